// LogRing: where a logical position of the log lies in its file. Positions only grow; the physical
// offset is the position modulo the capacity, and nothing is ever decided by comparing physical
// offsets (L5). A batch does not wrap: what does not fit before the ring's end starts at the next
// lap, and the space between is skipped.
#pragma once

#include <algorithm>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "engine/limits.h"

namespace ashlar::engine {

class LogRing {
 public:
  // A file's size comes from a person or a disk: check() it before.
  static Result<> check(ByteCount capacity, ByteCount smallest = kSmallestLogCapacity) {
    if (capacity.value() % kLogCapacityUnit.value() != 0 || capacity < smallest ||
        capacity < kLogCapacityUnit) {
      return Error::invalid_argument(
          "a log of {} bytes: it takes a multiple of 1 MiB and at least {} bytes", capacity.value(),
          smallest.value());
    }
    return {};
  }

  explicit LogRing(ByteCount capacity) : capacity_(capacity.value()) {
    ASHLAR_CHECK(check(capacity, kLogCapacityUnit).ok(), "capacity {}", capacity.value());
  }

  std::uint64_t capacity() const { return capacity_; }
  std::uint64_t physical(LogPosition position) const { return position.value() % capacity_; }
  // The first start of a lap at or behind `position`.
  LogPosition lap_start(LogPosition position) const {
    const std::uint64_t into = physical(position);
    return into == 0 ? position : position + (capacity_ - into);
  }
  // Where a batch of `length` goes when the one before ends at `end`.
  LogPosition place(LogPosition end, std::uint64_t length) const {
    return length <= capacity_ - physical(end) ? end : lap_start(end);
  }
  // A batch of this size has room in an empty log even when it must skip to the next lap.
  std::uint64_t largest_batch() const {
    return std::min<std::uint64_t>(kLargestBatch, capacity_ / 4);
  }

 private:
  std::uint64_t capacity_;
};

}  // namespace ashlar::engine
