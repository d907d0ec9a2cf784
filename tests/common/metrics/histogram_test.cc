#include "common/metrics/histogram.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar {
namespace {

using testing::ElementsAre;

TEST(HistogramBucketsTest, EveryBucketEndsWhereTheNextBegins) {
  for (std::size_t i = 0; i + 1 < HistogramBuckets::kCount; ++i) {
    const std::uint64_t upper = HistogramBuckets::upper(i);
    EXPECT_EQ(HistogramBuckets::index(upper), i);
    EXPECT_EQ(HistogramBuckets::index(upper + 1), i + 1);
  }
  EXPECT_EQ(HistogramBuckets::upper(HistogramBuckets::kCount - 1), HistogramBuckets::kValueMax);
}

TEST(HistogramBucketsTest, ValuesOutsideTheRangeFallIntoTheOutermostBuckets) {
  EXPECT_EQ(HistogramBuckets::index(0), 0U);
  EXPECT_EQ(HistogramBuckets::index(HistogramBuckets::kValueMax + 1), HistogramBuckets::kCount - 1);
  EXPECT_EQ(HistogramBuckets::index(std::numeric_limits<std::uint64_t>::max()),
            HistogramBuckets::kCount - 1);
}

TEST(HistogramBucketsTest, TheMiddleOfABucketIsWithinThreePercentOfEveryValueInIt) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t value = 1 + random() % (HistogramBuckets::kValueMax >> (random() % 40));
    const double middle = HistogramBuckets::middle(HistogramBuckets::index(value));
    const auto exact = static_cast<double>(value);
    EXPECT_LE(std::abs(middle - exact) / exact, 0.032) << value;
  }
}

TEST(HistogramTest, QuantilesOfKnownObservations) {
  DurationHistogram histogram;
  for (int ms = 1; ms <= 1000; ++ms) histogram.observe(std::chrono::milliseconds(ms));
  const HistogramSnapshot snapshot = histogram.snapshot();
  EXPECT_EQ(snapshot.count(), 1000U);
  EXPECT_EQ(snapshot.sum(), 500'500'000'000U);
  EXPECT_NEAR(snapshot.quantile(0), 1e6, 0.032e6);
  EXPECT_NEAR(snapshot.quantile(0.5), 500e6, 500e6 * 0.032);
  EXPECT_NEAR(snapshot.quantile(0.99), 990e6, 990e6 * 0.032);
  EXPECT_NEAR(snapshot.quantile(1), 1000e6, 1000e6 * 0.032);
}

TEST(HistogramTest, WithoutObservationsEverythingIsZero) {
  const DurationHistogram histogram;
  EXPECT_EQ(histogram.snapshot().count(), 0U);
  EXPECT_EQ(histogram.snapshot().quantile(0.5), 0);
  EXPECT_EQ(HistogramSnapshot{}.quantile(0.5), 0);
  EXPECT_THAT(HistogramSnapshot{}.count_up_to({1, 2}), ElementsAre(0, 0));
}

TEST(HistogramTest, TimeThatRanBackwardsCountsAsNone) {
  DurationHistogram histogram;
  histogram.observe(-5ns);
  EXPECT_EQ(histogram.snapshot().count(), 1U);
  EXPECT_EQ(histogram.snapshot().sum(), 0U);
}

TEST(HistogramTest, PowersOfTwoCountIntoTheBoundThatEndsWithThem) {
  SizeHistogram histogram;
  histogram.observe(ByteCount(4096));
  histogram.observe(ByteCount(4097));
  histogram.observe(ByteCount(8192));
  EXPECT_THAT(histogram.snapshot().count_up_to({512, 4096, 8192}), ElementsAre(0, 1, 3));
}

TEST(HistogramTest, SnapshotsAddUp) {
  SizeHistogram a;
  SizeHistogram b;
  a.observe(ByteCount(512));
  b.observe(ByteCount(512));
  b.observe(ByteCount(1024));
  HistogramSnapshot sum;
  sum.add(a.snapshot());
  sum.add(b.snapshot());
  sum.add(HistogramSnapshot{});
  EXPECT_EQ(sum.count(), 3U);
  EXPECT_EQ(sum.sum(), 2048U);
  EXPECT_THAT(sum.count_up_to({512, 1024}), ElementsAre(2, 3));
}

}  // namespace
}  // namespace ashlar
