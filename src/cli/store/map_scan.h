// MapScan: the pages of one layer's map file that exist, in order, each thing that is damaged
// reported with its place. ChunkMap answers what a block is; this says where it stands, and keeps
// nothing.
//
//   ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<MapScan> scan, co_await MapScan::open(…));
//   for (MapPageIndex at;;) {
//     ASHLAR_CO_TRY_ASSIGN(const std::optional<MapPageView> page, co_await scan->next(at));
//     if (!page) break;
//     …
//     at = page->index.next();
//   }
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/store/damage.h"
#include "common/base/buffer.h"
#include "common/base/result.h"
#include "common/runtime/file.h"
#include "common/runtime/task.h"
#include "engine/chunk_map_format.h"

namespace ashlar::store_tool {

struct MapPageView {
  engine::MapPageIndex index;
  std::uint64_t offset = 0;   // in the file
  ByteSpan bytes;             // valid until the next call of the scan
  std::uint64_t damaged = 0;  // bit i: entry i

  bool is_damaged(unsigned slot) const { return (damaged >> slot & 1) != 0; }
  // Of entries that are neither damaged nor empty.
  bool is_known(unsigned slot) const {
    return !is_damaged(slot) && !engine::is_empty_entry(bytes, slot);
  }
  engine::ChunkIndex chunk(unsigned slot) const { return engine::first_chunk_of(index) + slot; }
  std::uint64_t offset_of(unsigned slot) const { return offset + engine::entry_offset(slot); }
};

class MapScan {
 public:
  // `name` is the file's in messages. Keeps `file`.
  static Task<Result<std::unique_ptr<MapScan>>> open(std::unique_ptr<File> file, std::string name,
                                                     BufferPool& pool, engine::MapSeed seed,
                                                     DamageList& damages);

  // The first page at or behind `from` that exists; nothing at the end. `from` only grows.
  Task<Result<std::optional<MapPageView>>> next(engine::MapPageIndex from);

  ByteCount size() const { return size_; }
  File& file() { return *file_; }

 private:
  static constexpr std::uint64_t kWindowPages = 64;

  MapScan(std::unique_ptr<File> file, std::string name, ByteCount size, Buffer summary,
          Buffer window, engine::MapSeed seed, DamageList& damages);

  Task<Result<>> load_summary(engine::MapGroupIndex group);
  // Nothing when the page cannot be read; behind the end there are zeros.
  Task<Result<std::optional<ByteSpan>>> read_page(engine::PageNumber number);
  Task<Result<bool>> fill(std::uint64_t first, std::uint64_t count);
  MapPageView judge(engine::MapPageIndex index, std::optional<ByteSpan> bytes,
                    engine::PageExists exists);

  const std::unique_ptr<File> file_;
  const std::string name_;
  const ByteCount size_;
  const std::uint64_t pages_;
  Buffer summary_;
  Buffer window_;
  const engine::MapSeed seed_;
  DamageList& damages_;
  std::optional<engine::MapGroupIndex> group_;  // whose summary is loaded
  std::uint64_t damaged_sectors_ = 0;
  std::uint64_t window_first_ = 0;
  std::uint64_t window_count_ = 0;
};

}  // namespace ashlar::store_tool
