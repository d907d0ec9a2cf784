#include "engine/map_cache.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/runtime/task_scope.h"

namespace ashlar::engine {

MapCache::MapCache(BufferPool& pool, ByteCount bound)
    : pool_(pool), bound_(std::max<std::uint64_t>(bound.value() / kMapPageSize, 1)) {}

MapCache::~MapCache() {
  ASHLAR_CHECK_EQ(statistics_.pages, std::uint64_t{0});
}

bool MapCache::evict_one() {
  if (lru_.empty()) return false;
  detail::MapPage& page = lru_.front();
  page.owner->drop(page);
  return true;
}

Result<Buffer> MapCache::allocate() {
  while (statistics_.pages >= bound_ && evict_one()) {
  }
  for (;;) {
    Result<Buffer> buffer = pool_.allocate(ByteCount(kMapPageSize));
    // Others share the pool: what we can do without is given up before the asker is refused.
    if (buffer.ok() || !evict_one()) return buffer;
  }
}

void MapCache::pin(detail::MapPage& page) {
  page.unlink();
  if (page.pins++ == 0) ++statistics_.pinned;
}

void MapCache::unpin(detail::MapPage& page) {
  ASHLAR_CHECK_GT(page.pins, 0U);
  if (--page.pins > 0) return;
  --statistics_.pinned;
  if (page.load != nullptr) {
    page.owner->drop(page);  // it was never read to its end
  } else {
    release(page);
  }
}

void MapCache::release(detail::MapPage& page) {
  if (page.pins > 0 || page.dirty) return;
  lru_.push_back(page);
  while (statistics_.pages > bound_ && evict_one()) {
  }
}

MapPin::~MapPin() {
  if (page_ != nullptr) page_->owner->cache_.unpin(*page_);
}

MapPages::~MapPages() {
  while (!pages_.empty()) drop(*pages_.begin()->second);
}

MapPages::Page* MapPages::page_at(PageNumber number) const {
  const auto found = pages_.find(number);
  return found == pages_.end() ? nullptr : found->second.get();
}

Result<MapPages::Page*> MapPages::add(PageNumber number) {
  ASHLAR_TRY_ASSIGN(Buffer bytes, cache_.allocate());
  auto owned = std::make_unique<Page>();
  Page* page = owned.get();
  page->owner = this;
  page->number = number;
  page->bytes = std::move(bytes);
  std::memset(page->bytes.data(), 0, kMapPageSize);
  const bool is_new = pages_.emplace(number, std::move(owned)).second;
  ASHLAR_CHECK(is_new, "page {} twice", number);
  ++cache_.statistics_.pages;
  return page;
}

void MapPages::drop(Page& page) {
  ASHLAR_CHECK_EQ(page.pins, 0U);
  if (page.dirty) {
    dirty_.erase(page.number);
    --cache_.statistics_.dirty;
  }
  --cache_.statistics_.pages;
  const PageNumber number = page.number;
  pages_.erase(number);
}

MapPin MapPages::find(PageNumber number) {
  Page* page = page_at(number);
  if (page == nullptr || page->load != nullptr) return {};
  ++cache_.statistics_.hits;
  return {cache_, *page};
}

Task<Result<MapPin>> MapPages::get(PageNumber number, bool must_exist) {
  for (;;) {
    Page* page = page_at(number);
    if (page == nullptr) co_return co_await load(number, must_exist);
    if (page->load == nullptr) {
      ++cache_.statistics_.hits;
      co_return MapPin(cache_, *page);
    }
    const std::shared_ptr<detail::MapPageLoad> load = page->load;
    ASHLAR_CO_TRY(co_await load->over.wait());
    if (load->error) co_return *load->error;
    // It may have gone again by now: then this is one who reads.
  }
}

Task<Result<MapPin>> MapPages::load(PageNumber number, bool must_exist) {
  ASHLAR_CO_TRY_ASSIGN(Page* const page, add(number));
  const auto load = std::make_shared<detail::MapPageLoad>();
  page->load = load;
  MapPin pin(cache_, *page);
  MapPageRead read{
      .number = number, .bytes = page->bytes.bytes(), .readable = true, .must_exist = must_exist};
  if (number.value() < file_.pages) {
    ++cache_.statistics_.misses;
    const Result<> outcome = co_await file_.file.read(number.value() * kMapPageSize, read.bytes);
    if (!outcome.ok() && outcome.error().code() != ErrorCode::kDataLoss) {
      load->error = outcome.error();
      load->over.set();
      co_return outcome.error();  // the pin takes the page along
    }
    if (!outcome.ok()) {
      read.readable = false;
      std::memset(read.bytes.data(), 0, kMapPageSize);
    }
  }
  page->damaged = check(read);
  page->load.reset();
  load->over.set();
  co_return pin;
}

Result<MapPin> MapPages::make(PageNumber number) {
  ASHLAR_TRY_ASSIGN(Page* const page, add(number));
  return MapPin(cache_, *page);
}

MutableByteSpan MapPages::change(const MapPin& pin) {
  Page& page = *pin.page_;
  ASHLAR_CHECK(page.owner == this && !page.writing, "page {} is changed while it is written",
               page.number);
  if (!page.dirty) {
    page.dirty = true;
    dirty_.insert(page.number);
    ++cache_.statistics_.dirty;
  }
  return page.bytes.bytes();
}

MapPages::Run MapPages::next_run(PageNumber from) const {
  auto next = dirty_.lower_bound(from);
  Run run;
  if (next != dirty_.end()) run.first = *next;
  while (next != dirty_.end() && *next == run.first + run.count && run.count < kMostPagesInWrite) {
    ++run.count;
    ++next;
  }
  return run;
}

void MapPages::written(const Run& run, bool clean) {
  for (std::uint64_t i = 0; i < run.count; ++i) {
    Page& page = *page_at(run.first + i);
    page.writing = false;
    if (!clean) continue;
    page.dirty = false;
    dirty_.erase(page.number);
    --cache_.statistics_.dirty;
    cache_.release(page);
  }
}

// A dirty page stays, so nothing has to pin it.
Task<Result<>> MapPages::write_run(Run run, Semaphore::Units) {
  std::vector<ConstIoSlice> slices;
  for (std::uint64_t i = 0; i < run.count; ++i) {
    Page& page = *page_at(run.first + i);
    page.writing = true;
    slices.emplace_back(page.bytes.bytes());
  }
  const Result<> outcome =
      co_await file_.file.write(run.first.value() * kMapPageSize, slices, Durability::kNone);
  if (outcome.ok()) file_.pages = std::max(file_.pages, run.first.value() + run.count);
  written(run, outcome.ok());
  co_return outcome;
}

Task<Result<>> MapPages::write_dirty() {
  Semaphore writes(kMostWrites);
  TaskScope scope(co_await this_task());
  Result<> outcome;
  Run run = next_run(PageNumber(0));
  while (run.count > 0) {
    Result<Semaphore::Units> units = co_await writes.acquire();
    if (!units.ok()) {
      outcome = units.error();
      break;
    }
    if (scope.cancel_scope().is_cancelled()) {
      // By a write that failed, whose error counts more, or because nobody wants this any more.
      outcome = Error::cancelled("pages of a chunk map were left dirty");
      break;
    }
    scope.spawn(write_run(run, std::move(*units)));
    run = next_run(run.first + run.count);
  }
  const Result<> joined = co_await scope.join();
  if (!joined.ok()) co_return joined;
  // Of a cancelled caller the children were cancelled too, which join() calls no error: pages are
  // still dirty.
  if (outcome.ok() && scope.cancel_scope().is_cancelled()) {
    outcome = Error::cancelled("pages of a map were not written");
  }
  co_return outcome;
}

}  // namespace ashlar::engine
