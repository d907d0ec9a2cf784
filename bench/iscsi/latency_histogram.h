// Latencies in buckets of at most 1.6 % width, from 1 ns to over an hour, in a fixed array.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ashlar::bench {

class LatencyHistogram {
 public:
  void add(std::uint64_t ns) {
    ++counts_[bucket_of(ns)];
    ++total_;
    sum_ += ns;
    longest_ = std::max(longest_, ns);
  }

  void add(const LatencyHistogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    sum_ += other.sum_;
    longest_ = std::max(longest_, other.longest_);
  }

  std::uint64_t total() const { return total_; }
  double longest_us() const { return static_cast<double>(longest_) / 1e3; }
  double mean_us() const {
    return total_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(total_) / 1e3;
  }

  // The upper end of the bucket below which `share` of all lie.
  double quantile_us(double share) const {
    const auto wanted = static_cast<std::uint64_t>(static_cast<double>(total_) * share);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > wanted) return static_cast<double>(std::min(end_of(i), longest_)) / 1e3;
    }
    return longest_us();
  }

 private:
  static constexpr std::uint64_t kSteps = 64;  // buckets for each doubling
  static constexpr int kStepBits = 6;
  static constexpr int kDoublings = 36;

  static std::size_t bucket_of(std::uint64_t ns) {
    if (ns < kSteps) return static_cast<std::size_t>(ns);
    const int shift = static_cast<int>(std::bit_width(ns)) - kStepBits - 1;
    const std::uint64_t bucket =
        static_cast<std::uint64_t>(shift + 1) * kSteps + ((ns >> shift) - kSteps);
    return static_cast<std::size_t>(std::min<std::uint64_t>(bucket, kDoublings * kSteps - 1));
  }
  static std::uint64_t end_of(std::size_t bucket) {
    if (bucket < kSteps) return bucket;
    const std::size_t shift = bucket / kSteps - 1;
    return ((kSteps + bucket % kSteps + 1) << shift) - 1;
  }

  std::array<std::uint64_t, kDoublings * kSteps> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t longest_ = 0;
};

}  // namespace ashlar::bench
