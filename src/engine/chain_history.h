// ChainHistory: where batches of the log ended, so that a checkpoint can be set anywhere near a
// position, and not only at the newest end.
//
// Points are added in order. Of those that are closer together than a 1024th of the log only one
// stays, so there are about a thousand at most; the first and the newest always stay. All memory
// is taken in the beginning.
#pragma once

#include <optional>
#include <vector>

#include "engine/log_format.h"

namespace ashlar::engine {

class ChainHistory {
 public:
  // `capacity` of the log: the points that are kept lie within so much.
  explicit ChainHistory(ByteCount capacity)
      : spacing_(capacity.value() / kPointsInLog), ring_(kPointsInLog + kSpare) {}

  // `point` ends behind all others; one that ends where the newest does is ignored.
  void add(const ChainPoint& point) {
    if (count_ > 0) {
      ASHLAR_CHECK_LE(at(count_ - 1).end, point.end);
      if (at(count_ - 1).end == point.end) return;
    }
    // The newest so far stays when it is far enough from the one before it.
    const bool replaces = count_ > 1 && at(count_ - 1).end - at(count_ - 2).end < spacing_;
    if (replaces) --count_;
    ASHLAR_CHECK(count_ < ring_.size(), "a log from {} back to {}", point.end, at(0).end);
    at(count_++) = point;
  }

  void forget_before(LogPosition position) {
    while (count_ > 0 && at(0).end < position) {
      begin_ = (begin_ + 1) % ring_.size();
      --count_;
    }
  }

  // The last point that ends at or before `position`.
  std::optional<ChainPoint> last_up_to(LogPosition position) const {
    std::size_t low = 0;  // all below end at or before it
    std::size_t high = count_;
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (at(middle).end <= position) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == 0) return std::nullopt;
    return at(low - 1);
  }

  std::size_t size() const { return count_; }
  std::vector<ChainPoint> points() const {
    std::vector<ChainPoint> all;
    all.reserve(count_);
    for (std::size_t i = 0; i < count_; ++i) all.push_back(at(i));
    return all;
  }

 private:
  static constexpr std::size_t kPointsInLog = 1024;
  static constexpr std::size_t kSpare = 4;  // both ends, the newest, and what rounding leaves

  ChainPoint& at(std::size_t index) { return ring_[(begin_ + index) % ring_.size()]; }
  const ChainPoint& at(std::size_t index) const { return ring_[(begin_ + index) % ring_.size()]; }

  std::uint64_t spacing_;
  std::vector<ChainPoint> ring_;
  std::size_t begin_ = 0;
  std::size_t count_ = 0;
};

}  // namespace ashlar::engine
