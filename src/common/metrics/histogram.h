// Histograms of durations and of sizes, fine enough for a quantile to be right within 3.2 %.
//
// Buckets are log-linear: sixteen per power of two. A bucket holds (lower, upper], so that a power
// of two, the size of most I/O, falls into the bucket that ends with it. Values are whole
// nanoseconds or bytes; above 2^40 (18 minutes, 1 TiB) all fall into the last bucket.
//
// One thread observes, any thread reads meanwhile: an observation is two plain loads and stores, no
// locked instruction. A reader may see the count of an observation and not yet its part of the sum.
// A histogram is 4.7 KiB.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/strong.h"
#include "common/base/time.h"

namespace ashlar {

// Which bucket a value falls into; the whole of the arithmetic.
struct HistogramBuckets {
  static constexpr int kSubBits = 4;
  static constexpr std::uint64_t kPerOctave = 1U << kSubBits;
  static constexpr int kOctaves = 40 - kSubBits;
  static constexpr std::uint64_t kValueMax = std::uint64_t{1} << 40;
  static constexpr std::size_t kCount = (kOctaves + 1) * kPerOctave;

  static constexpr std::size_t index(std::uint64_t value) {
    const std::uint64_t below = std::min(value, kValueMax) - (value == 0 ? 0 : 1);
    if (below < kPerOctave) return below;
    const auto shift = static_cast<int>(std::bit_width(below)) - 1 - kSubBits;
    return (static_cast<std::size_t>(shift) << kSubBits) + (below >> shift);
  }
  // The greatest value in the bucket.
  static constexpr std::uint64_t upper(std::size_t index) {
    if (index < kPerOctave) return index + 1;
    const std::uint64_t shift = (index >> kSubBits) - 1;
    return (index - (shift << kSubBits) + 1) << shift;
  }
  static constexpr double middle(std::size_t index) {
    const std::uint64_t lower = index == 0 ? 0 : upper(index - 1);
    const std::uint64_t most = upper(index);
    // A bucket of one value is that value.
    return most - lower == 1 ? static_cast<double>(most) : static_cast<double>(lower + most) / 2;
  }
};

// What a histogram held at one moment; adds up over writers. In nanoseconds or bytes.
class HistogramSnapshot {
 public:
  std::uint64_t count() const;
  std::uint64_t sum() const { return sum_; }
  // The value that a share `q` in [0, 1] of all observations does not exceed; 0 without any.
  double quantile(double q) const;
  // How many observations were at most each of the ascending `bounds`: exact at powers of two, else
  // the bound is moved by at most half a bucket.
  std::vector<std::uint64_t> count_up_to(const std::vector<double>& bounds) const;

  void add(const HistogramSnapshot& other);

 private:
  friend class Histogram;
  std::vector<std::uint64_t> counts_;  // empty for none at all
  std::uint64_t sum_ = 0;
};

class Histogram {
 public:
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  HistogramSnapshot snapshot() const;

 protected:
  Histogram() = default;
  ~Histogram() = default;

  void record(std::uint64_t value) {
    bump(buckets_[HistogramBuckets::index(value)], 1);
    bump(sum_, value);
  }

 private:
  static void bump(std::atomic<std::uint64_t>& cell, std::uint64_t by) {
    cell.store(cell.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  std::array<std::atomic<std::uint64_t>, HistogramBuckets::kCount> buckets_{};
  std::atomic<std::uint64_t> sum_{0};
};

class DurationHistogram final : public Histogram {
 public:
  // A clock that ran backwards counts as no time.
  void observe(Duration took) {
    record(static_cast<std::uint64_t>(std::max<std::int64_t>(took.count(), 0)));
  }
};

class SizeHistogram final : public Histogram {
 public:
  void observe(ByteCount size) { record(size.value()); }
};

}  // namespace ashlar
