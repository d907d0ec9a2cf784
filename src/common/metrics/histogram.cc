#include "common/metrics/histogram.h"

#include <cmath>
#include <numeric>

#include "common/base/check.h"

namespace ashlar {

std::uint64_t HistogramSnapshot::count() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

double HistogramSnapshot::quantile(double q) const {
  ASHLAR_CHECK(q >= 0 && q <= 1);
  const std::uint64_t total = count();
  if (total == 0) return 0;
  const auto rank = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(total))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= rank) return HistogramBuckets::middle(i);
  }
  ASHLAR_UNREACHABLE("rank {} of {}", rank, total);
}

std::vector<std::uint64_t> HistogramSnapshot::count_up_to(const std::vector<double>& bounds) const {
  std::vector<std::uint64_t> counts;
  counts.reserve(bounds.size());
  std::size_t i = 0;
  std::uint64_t seen = 0;
  for (const double bound : bounds) {
    while (i < counts_.size() && HistogramBuckets::middle(i) <= bound) seen += counts_[i++];
    counts.push_back(seen);
  }
  return counts;
}

void HistogramSnapshot::add(const HistogramSnapshot& other) {
  if (other.counts_.empty()) return;
  counts_.resize(HistogramBuckets::kCount);
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  sum_ += other.sum_;
}

HistogramSnapshot Histogram::snapshot() const {
  HistogramSnapshot now;
  now.counts_.reserve(buckets_.size());
  for (const auto& bucket : buckets_) now.counts_.push_back(bucket.load(std::memory_order_relaxed));
  now.sum_ = sum_.load(std::memory_order_relaxed);
  return now;
}

}  // namespace ashlar
