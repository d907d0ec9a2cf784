#include "common/base/buffer.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include <sys/mman.h>

#include "common/base/units.h"

#if defined(__SANITIZE_ADDRESS__)
#define ASHLAR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASHLAR_ASAN 1
#endif
#endif

#if defined(ASHLAR_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace ashlar {

using detail::BufferChunk;

namespace detail {

// One mapping. Chunks are handed out from the free list or, while that is empty, from the part that
// was never used since the region was cut, so cutting costs nothing per chunk.
struct BufferRegion {
  BufferPool* pool;
  std::byte* base;
  std::size_t mapped;
  std::size_t place;       // in the pool's vector
  std::size_t size_class;  // the rest is set when the region is cut
  std::size_t chunk_size;
  std::uint32_t capacity;
  std::uint32_t cut;   // chunks that have been handed out at least once
  std::uint32_t used;  // chunks in use
  BufferChunk* free;
  BufferRegion* previous;
  BufferRegion* next;
  std::unique_ptr<BufferChunk[]> chunks;
};

}  // namespace detail

namespace {

using detail::BufferRegion;

void poison([[maybe_unused]] const std::byte* data, [[maybe_unused]] std::size_t size) {
#if defined(ASHLAR_ASAN)
  __asan_poison_memory_region(data, size);
#endif
}

void unpoison([[maybe_unused]] const std::byte* data, [[maybe_unused]] std::size_t size) {
#if defined(ASHLAR_ASAN)
  __asan_unpoison_memory_region(data, size);
#endif
}

void link(BufferRegion*& head, BufferRegion* region) {
  region->previous = nullptr;
  region->next = head;
  if (head != nullptr) head->previous = region;
  head = region;
}

void unlink(BufferRegion*& head, BufferRegion* region) {
  (region->previous != nullptr ? region->previous->next : head) = region->next;
  if (region->next != nullptr) region->next->previous = region->previous;
}

void cut(BufferRegion* region, std::size_t size_class, std::size_t chunk_size) {
  region->size_class = size_class;
  region->chunk_size = chunk_size;
  region->capacity = static_cast<std::uint32_t>(region->mapped / chunk_size);
  region->cut = 0;
  region->free = nullptr;
}

// A mapping whose address is a multiple of the region size, so that it can be a huge page.
std::byte* map_aligned(std::size_t size) {
  const std::size_t alignment = BufferPool::kRegionSize.value();
  const std::size_t generous = size + alignment;
  void* mapping = ::mmap(nullptr, generous, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  auto* const first = static_cast<std::byte*>(mapping);
  const auto address = reinterpret_cast<std::uintptr_t>(first);
  const std::size_t before = align_up(address, alignment) - address;
  const std::size_t behind = generous - before - size;
  if (before != 0) ::munmap(first, before);
  if (behind != 0) ::munmap(first + before + size, behind);
  // Advice only: without huge pages the pool works as well, a little slower.
  (void)::madvise(first + before, size, MADV_HUGEPAGE);
  return first + before;
}

}  // namespace

void Buffer::give_back(BufferChunk* chunk) {
  chunk->region->pool->take_back(chunk);
}

BufferPool::BufferPool(std::string name, ByteCount budget)
    : name_(std::move(name)),
      budget_(budget),
      dump_hook_("buffer pool", this, [](const void* subject) {
        return static_cast<const BufferPool*>(subject)->to_string();
      }) {
  ASHLAR_CHECK(budget >= kRegionSize && budget <= kLargestBudget,
               "buffer pool {}: a budget of {} is not between {} and {}", name_, budget,
               kRegionSize, kLargestBudget);
}

BufferPool::~BufferPool() {
  ASHLAR_CHECK(buffers_ == 0, "buffer pool {} is destroyed while {} buffers of it are alive", name_,
               buffers_);
  while (!regions_.empty()) unmap_region(regions_.back().get());
  ASHLAR_CHECK(in_use_ == 0 && mapped_ == 0);
}

// Inlined so that the three words of the Buffer stay in registers: handed over through memory they
// cost more than all the rest of an allocation (the wide load waits for the narrow stores).
[[gnu::always_inline]] inline Buffer BufferPool::take_chunk(Region* region, std::size_t size) {
  BufferChunk* chunk = region->free;
  if (chunk != nullptr) {
    region->free = chunk->next_free;
  } else {
    ASHLAR_CHECK(region->cut < region->capacity);
    chunk = &region->chunks[region->cut++];
    chunk->region = region;
  }
  chunk->references = 1;
  ++region->used;
  ++buffers_;
  in_use_ += region->chunk_size;
  high_water_ = std::max(high_water_, in_use_);
  const auto index = static_cast<std::size_t>(chunk - region->chunks.get());
  std::byte* const data = region->base + index * region->chunk_size;
  unpoison(data, size);
  return {chunk, data, size};
}

Result<Buffer> BufferPool::allocate(ByteCount size) {
  if (size == ByteCount(0)) return Buffer();
  const std::uint64_t bytes = size.value();
  if (bytes > kRegionSize.value()) return allocate_own_region(size);
  const auto shift = std::max(kSmallestShift, static_cast<unsigned>(std::bit_width(bytes - 1)));
  const std::size_t size_class = shift - kSmallestShift;
  Region* region = partial_[size_class];
  if (region == nullptr) [[unlikely]] {
    ASHLAR_TRY_ASSIGN(region, region_with_room(size_class, size));
  }
  Buffer buffer = take_chunk(region, bytes);
  if (region->used == region->capacity) unlink(partial_[size_class], region);
  return buffer;
}

Result<Buffer> BufferPool::allocate_own_region(ByteCount size) {
  if (size > budget_) return exhausted(size);
  const ByteCount pages = align_up(size, kAlignment);
  if (!make_room(pages)) return exhausted(size);
  ASHLAR_TRY_ASSIGN(Region* const own, map_region(pages));
  cut(own, kClasses, own->mapped);
  return take_chunk(own, size.value());
}

Result<BufferPool::Region*> BufferPool::region_with_room(std::size_t size_class, ByteCount size) {
  Region* region = idle_;
  if (region != nullptr) {
    unlink(idle_, region);
    --idle_count_;
  } else {
    if (!make_room(kRegionSize)) return exhausted(size);
    ASHLAR_TRY_ASSIGN(region, map_region(kRegionSize));
  }
  cut(region, size_class, std::size_t{1} << (size_class + kSmallestShift));
  link(partial_[size_class], region);
  return region;
}

void BufferPool::take_back(BufferChunk* chunk) {
  Region* const region = chunk->region;
  const auto index = static_cast<std::size_t>(chunk - region->chunks.get());
  poison(region->base + index * region->chunk_size, region->chunk_size);
  const bool was_full = region->used == region->capacity;
  chunk->next_free = region->free;
  region->free = chunk;
  --region->used;
  --buffers_;
  in_use_ -= region->chunk_size;
  if (region->mapped != kRegionSize.value()) {
    unmap_region(region);
    return;
  }
  Region*& partial = partial_[region->size_class];
  if (region->used != 0) {
    if (was_full) link(partial, region);
    return;
  }
  if (!was_full) unlink(partial, region);
  if (idle_count_ >= idle_kept_) {
    unmap_region(region);
  } else {
    link(idle_, region);
    ++idle_count_;
  }
}

void BufferPool::keep_idle(ByteCount size) {
  idle_kept_ = std::max<std::uint64_t>(size / kRegionSize, kIdleRegionsKept);
}

void BufferPool::trim() {
  while (idle_count_ > kIdleRegionsKept) {
    Region* const surplus = idle_;
    unlink(idle_, surplus);
    --idle_count_;
    unmap_region(surplus);
  }
}

// Idle regions count as mapped; a large allocation may need their room.
bool BufferPool::make_room(ByteCount size) {
  while (mapped_ + size.value() > budget_.value() && idle_ != nullptr) {
    Region* const surplus = idle_;
    unlink(idle_, surplus);
    --idle_count_;
    unmap_region(surplus);
  }
  return mapped_ + size.value() <= budget_.value();
}

Result<BufferPool::Region*> BufferPool::map_region(ByteCount size) {
  std::byte* const base = map_aligned(size.value());
  if (base == nullptr) {
    return Error::from_errno(errno, fmt::format("buffer pool {}: mapping {}", name_, size));
  }
  const std::size_t chunks =
      size == kRegionSize ? kRegionSize / kAlignment : 1;  // the most it can be cut into
  auto region = std::make_unique<Region>();
  region->pool = this;
  region->base = base;
  region->mapped = size.value();
  region->place = regions_.size();
  region->chunks = std::make_unique_for_overwrite<BufferChunk[]>(chunks);
  poison(base, region->mapped);
  mapped_ += region->mapped;
  regions_.push_back(std::move(region));
  return regions_.back().get();
}

void BufferPool::unmap_region(Region* region) {
  ASHLAR_CHECK(region->used == 0, "{} chunks are in use", region->used);
  // Whoever gets these addresses next must not find our poison.
  unpoison(region->base, region->mapped);
  ::munmap(region->base, region->mapped);
  mapped_ -= region->mapped;
  const std::size_t place = region->place;
  regions_.back()->place = place;
  std::swap(regions_[place], regions_.back());
  regions_.pop_back();
}

BufferPoolStatistics BufferPool::statistics() const {
  return {.buffers = buffers_,
          .in_use = ByteCount(in_use_),
          .high_water = ByteCount(high_water_),
          .mapped = ByteCount(mapped_),
          .regions = regions_.size(),
          .idle_regions = idle_count_};
}

std::string BufferPool::to_string() const {
  return fmt::format("{}: {} in use by {} buffers, {} mapped, budget {}", name_, ByteCount(in_use_),
                     buffers_, ByteCount(mapped_), budget_);
}

Error BufferPool::exhausted(ByteCount size) const {
  return Error::resource_exhausted("{} more would exceed the budget of buffer pool {}", size,
                                   to_string());
}

}  // namespace ashlar
