// ChecksumList: the checksums of one record's blocks. Up to four stand in the list itself; more in
// memory of a pool, which takes back what the list gives back, so that a steady load allocates
// nothing.
//
// A list moves and is not copied. The pool outlives its lists. One thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <utility>

#include "engine/limits.h"

namespace ashlar::engine {

class ChecksumPool {
 public:
  ChecksumPool() = default;
  ChecksumPool(const ChecksumPool&) = delete;
  ChecksumPool& operator=(const ChecksumPool&) = delete;

 private:
  friend class ChecksumList;
  static constexpr std::size_t kLargestList = kLargestRecordPayload / kBlockSize * 4;

  std::pmr::unsynchronized_pool_resource memory_{std::pmr::pool_options{
      .max_blocks_per_chunk = 0, .largest_required_pool_block = kLargestList}};
};

class ChecksumList {
 public:
  static constexpr std::size_t kInline = 4;

  ChecksumList() = default;
  ChecksumList(ChecksumPool& pool, std::span<const std::uint32_t> values)
      : size_(static_cast<std::uint32_t>(values.size())) {
    if (size_ > kInline) {
      pool_ = &pool;
      far_ = static_cast<std::uint32_t*>(
          pool.memory_.allocate(values.size_bytes(), alignof(std::uint32_t)));
    }
    std::ranges::copy(values, pool_ == nullptr ? near_.data() : far_);
  }
  ChecksumList(ChecksumList&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        far_(std::exchange(other.far_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        near_(other.near_) {}
  ChecksumList& operator=(ChecksumList&& other) noexcept {
    ChecksumList taken(std::move(other));
    std::swap(pool_, taken.pool_);
    std::swap(far_, taken.far_);
    std::swap(size_, taken.size_);
    std::swap(near_, taken.near_);
    return *this;
  }
  ~ChecksumList() {
    if (pool_ == nullptr) return;
    pool_->memory_.deallocate(far_, size_ * sizeof(std::uint32_t), alignof(std::uint32_t));
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const std::uint32_t> values() const {
    return {pool_ == nullptr ? near_.data() : far_, size_};
  }

 private:
  ChecksumPool* pool_ = nullptr;  // null: they are near
  std::uint32_t* far_ = nullptr;
  std::uint32_t size_ = 0;
  std::array<std::uint32_t, kInline> near_{};
};

}  // namespace ashlar::engine
