// MapCache: the pages of chunk maps that are in memory, of all layers of a store together, within a
// bound. A map is never in memory as a whole: 1 TiB of data has 1.4 GiB of it.
//
// Pages are 4 KiB. A page that is pinned or dirty stays; of the others the least recently used goes
// when there is need. Pins and dirty pages may exceed the bound for a while; whoever changes many
// pages writes them when should_write() says so. Who asks for a page that is being read waits for
// that read.
//
// A MapPages is one kind of pages of one file: a ChunkMap has two, its map pages and its summaries.
//
//   find()   what is in memory, without waiting and without allocating
//   get()    the same, else it is read and handed to check() before anybody sees it
//   make()   a page of zeros that was not there before
//
// and each gives a MapPin, which keeps the page where it is. A read that fails leaves nothing in
// memory; all who waited for it get its error. Only kDataLoss is no error here: the page is then
// there, and check() was told that it could not be read.
//
// One coroutine changes the pages of a map at a time, and it is the one that writes them: a page
// must not be changed while its write is in flight (checked). Any number may read.
//
// Belongs to its executor's thread; outlives every MapPages.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <absl/container/btree_map.h>
#include <absl/container/btree_set.h>

#include "common/base/buffer.h"
#include "common/base/intrusive_list.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/runtime/file.h"
#include "common/runtime/sync.h"
#include "common/runtime/task.h"
#include "engine/chunk_map_format.h"

namespace ashlar::engine {

class MapPages;

struct MapCacheStatistics {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;  // pages read from disk
  std::uint64_t pages = 0;   // in memory
  std::uint64_t pinned = 0;
  std::uint64_t dirty = 0;
};

struct MapPageLruTag;

namespace detail {

// A read on its way, for those who wait for it; it outlives the page if the read fails.
struct MapPageLoad {
  Event over;
  std::optional<Error> error;
};

struct MapPage : ListHook<MapPageLruTag> {
  MapPages* owner = nullptr;
  PageNumber number;
  Buffer bytes;
  std::uint64_t damaged = 0;  // what check() found
  std::uint32_t pins = 0;
  bool dirty = false;
  bool writing = false;
  std::shared_ptr<MapPageLoad> load;  // null once the page may be seen
};

}  // namespace detail

class MapCache {
 public:
  // `bound` is rounded down to whole pages, at least one. The pool must have room for more than the
  // bound: for what is pinned and dirty.
  MapCache(BufferPool& pool, ByteCount bound);
  MapCache(const MapCache&) = delete;
  MapCache& operator=(const MapCache&) = delete;
  ~MapCache();

  MapCacheStatistics statistics() const { return statistics_; }

 private:
  friend class MapPages;
  friend class MapPin;

  // Memory for one more page; others go for it.
  Result<Buffer> allocate();
  bool evict_one();
  void pin(detail::MapPage& page);
  void unpin(detail::MapPage& page);
  // The page may go, unless it is pinned or dirty.
  void release(detail::MapPage& page);

  BufferPool& pool_;
  const std::uint64_t bound_;                          // pages
  IntrusiveList<detail::MapPage, MapPageLruTag> lru_;  // may go; least recently used first
  MapCacheStatistics statistics_;
};

// Keeps a page in memory while it lives; one of them may be empty.
class MapPin {
 public:
  MapPin() = default;
  MapPin(MapPin&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
  MapPin& operator=(MapPin&& other) noexcept {
    std::swap(page_, other.page_);
    return *this;
  }
  ~MapPin();

  explicit operator bool() const { return page_ != nullptr; }
  PageNumber number() const { return page_->number; }
  ByteSpan bytes() const { return std::as_const(page_->bytes).bytes(); }
  std::uint64_t damaged() const { return page_->damaged; }

 private:
  friend class MapPages;
  MapPin(MapCache& cache, detail::MapPage& page) : page_(&page) { cache.pin(page); }

  detail::MapPage* page_ = nullptr;
};

// What a page looked like when it came from the disk.
struct MapPageRead {
  PageNumber number;
  MutableByteSpan bytes;   // zeros if they were not readable, or the file ends before
  bool readable = true;    // false: kDataLoss
  bool must_exist = true;  // whoever asked knows that the page was written once
};

// The file of a map: shared by the two kinds of its pages.
struct MapFile {
  File& file;
  std::uint64_t pages = 0;  // its size; what is behind reads as zeros, without I/O
};

class MapPages {
 public:
  MapPages(MapCache& cache, MapFile& file) : cache_(cache), file_(file) {}
  MapPages(const MapPages&) = delete;
  MapPages& operator=(const MapPages&) = delete;

  MapPin find(PageNumber number);
  Task<Result<MapPin>> get(PageNumber number, bool must_exist);
  // In memory, or on its way.
  bool contains(PageNumber number) const { return page_at(number) != nullptr; }
  // contains() is false, and what the file may hold in its place does not count.
  Result<MapPin> make(PageNumber number);
  // To change it: at once, before the next co_await.
  MutableByteSpan change(const MapPin& pin);
  void set_damaged(const MapPin& pin, std::uint64_t damaged) { pin.page_->damaged = damaged; }

  // Writes what is dirty, in order, neighbours together, some at a time; no sync. What could not be
  // written stays dirty.
  Task<Result<>> write_dirty();
  std::uint64_t dirty() const { return dirty_.size(); }
  // Dirty pages take up more than half of the cache, and a good part of them is here.
  bool should_write() const {
    return cache_.statistics_.dirty > cache_.bound_ / 2 &&
           dirty_.size() >= std::min(kMostPagesInWrite, cache_.bound_ / 8 + 1);
  }

 protected:
  // Drops all pages, dirty ones too; none is pinned (checked).
  ~MapPages();

  // Looks at a page before anybody sees it, may mend its bytes in memory, and returns which of its
  // parts are damaged.
  virtual std::uint64_t check(const MapPageRead& read) = 0;

 private:
  friend class MapCache;
  friend class MapPin;
  using Page = detail::MapPage;

  static constexpr std::uint64_t kMostPagesInWrite = 64;
  static constexpr std::uint64_t kMostWrites = 8;

  struct Run {
    PageNumber first;
    std::uint64_t count = 0;
  };

  Page* page_at(PageNumber number) const;
  Result<Page*> add(PageNumber number);
  void drop(Page& page);
  Task<Result<MapPin>> load(PageNumber number, bool must_exist);
  Run next_run(PageNumber from) const;
  Task<Result<>> write_run(Run run, Semaphore::Units units);
  void written(const Run& run, bool clean);

  MapCache& cache_;
  MapFile& file_;
  absl::btree_map<PageNumber, std::unique_ptr<Page>> pages_;
  absl::btree_set<PageNumber> dirty_;
};

}  // namespace ashlar::engine
