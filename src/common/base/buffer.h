// Buffer and BufferPool: the memory in which data travels from a socket to the disk and back
// without being copied.
//
// A Buffer is a handle on a run of bytes: pointer, length, and a share in keeping the memory. It
// moves; it is copied only on purpose, with share() (the same bytes) or slice() (some of them).
// The memory goes back to its pool with the last handle. An empty Buffer holds nothing.
//
// A pool maps regions of 2 MiB, aligned to that (huge pages, few registrations), and cuts each into
// chunks of one power-of-two class from 4 KiB to 2 MiB. A region whose last chunk came back may be
// cut for another class, and when many lie idle they return to the system. An allocation above
// 2 MiB gets a region of its own and gives it back at once. Reference counts live in metadata
// beside the region, so every allocation starts on a 4 KiB boundary, fit for O_DIRECT. Allocating
// and freeing are list operations of a few nanoseconds; nothing is zeroed.
//
// Bounds: mapped memory never exceeds the budget; beyond it allocate() refuses with
// kResourceExhausted. Classes do not share a region, so a pool under mixed load can refuse before
// the bytes in use reach the budget: give a pool tens of MiB, not a handful of regions.
//
// Threads: counts are not atomic. A pool is made, used and destroyed on one thread, and all its
// Buffers live there. Destroying a pool while a Buffer is alive is fatal. Under AddressSanitizer
// freed memory is poisoned, and so is the rest of a chunk behind the length asked for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/result.h"
#include "common/base/strong.h"

namespace ashlar {

namespace detail {
struct BufferRegion;

// The control block of one chunk; lives in its region's metadata.
struct BufferChunk {
  BufferRegion* region;
  BufferChunk* next_free;
  std::uint32_t references;
};
}  // namespace detail

class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : chunk_(std::exchange(other.chunk_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() { reset(); }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  MutableByteSpan bytes() { return {data_, size_}; }
  ByteSpan bytes() const { return {data_, size_}; }

  // Another handle on the same bytes. All sharers see what one of them writes: fill first, share
  // afterwards.
  Buffer share() const { return slice(0, size_); }
  // A handle on some of the bytes, which keeps the whole chunk.
  Buffer slice(std::size_t offset, std::size_t length) const {
    ASHLAR_CHECK(offset <= size_ && length <= size_ - offset, "{} bytes at {} of {}", length,
                 offset, size_);
    if (chunk_ != nullptr) ++chunk_->references;
    return {chunk_, data_ + offset, length};
  }
  // True when another handle keeps the same memory.
  bool is_shared() const { return chunk_ != nullptr && chunk_->references > 1; }

  void reset() {
    if (chunk_ != nullptr && --chunk_->references == 0) give_back(chunk_);
    chunk_ = nullptr;
    data_ = nullptr;
    size_ = 0;
  }
  void swap(Buffer& other) noexcept {
    std::swap(chunk_, other.chunk_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

 private:
  friend class BufferPool;
  Buffer(detail::BufferChunk* chunk, std::byte* data, std::size_t size)
      : chunk_(chunk), data_(data), size_(size) {}
  static void give_back(detail::BufferChunk* chunk);

  detail::BufferChunk* chunk_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

struct BufferPoolStatistics {
  std::uint64_t buffers = 0;  // allocations alive; sharers count once
  ByteCount in_use;           // their chunks, so rounded up to the class
  ByteCount high_water;       // the most that was ever in use
  ByteCount mapped;           // what the pool holds of the system's memory
  std::uint64_t regions = 0;
  std::uint64_t idle_regions = 0;
};

class BufferPool {
 public:
  static constexpr ByteCount kAlignment{4096};
  static constexpr ByteCount kRegionSize{2 << 20};
  static constexpr ByteCount kLargestBudget{std::uint64_t{1} << 46};

  // `name` is for messages; the budget is at least one region.
  BufferPool(std::string name, ByteCount budget);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // The contents are whatever was there before. Zero bytes give an empty Buffer.
  Result<Buffer> allocate(ByteCount size);

  // How much idle memory stays mapped from now on, instead of 32 MiB: for a load that takes and
  // gives back more than that again and again.
  void keep_idle(ByteCount size);
  // Returns idle memory to the system, all but 32 MiB: when such a load has ended.
  void trim();

  BufferPoolStatistics statistics() const;
  ByteCount budget() const { return budget_; }
  // One line of state for messages: name, in use, mapped, budget.
  std::string to_string() const;

 private:
  friend class Buffer;
  using Region = detail::BufferRegion;

  static constexpr unsigned kSmallestShift = 12;
  static constexpr unsigned kRegionShift = 21;
  static constexpr std::size_t kClasses = kRegionShift - kSmallestShift + 1;
  // 32 MiB: mapping and faulting a region in costs some 100 µs, which load that comes and goes
  // should not pay each time.
  static constexpr std::size_t kIdleRegionsKept = 16;

  Result<Buffer> allocate_own_region(ByteCount size);
  Result<Region*> region_with_room(std::size_t size_class, ByteCount size);
  bool make_room(ByteCount size);
  Result<Region*> map_region(ByteCount size);
  void unmap_region(Region* region);
  Buffer take_chunk(Region* region, std::size_t size);
  void take_back(detail::BufferChunk* chunk);
  Error exhausted(ByteCount size) const;

  std::string name_;
  ByteCount budget_;
  std::vector<std::unique_ptr<Region>> regions_;
  // Heads of lists through the regions: those of a class with some but not all chunks in use, and
  // those with none in use, which belong to no class.
  std::array<Region*, kClasses> partial_{};
  Region* idle_ = nullptr;
  std::uint64_t idle_count_ = 0;
  std::uint64_t idle_kept_ = kIdleRegionsKept;
  std::uint64_t buffers_ = 0;
  std::uint64_t in_use_ = 0;
  std::uint64_t high_water_ = 0;
  std::uint64_t mapped_ = 0;
  CheckDumpHook dump_hook_;
};

}  // namespace ashlar
