#include "common/base/random.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace ashlar {
namespace {

// From an independent implementation in Python, itself checked against the authors' first outputs
// for the state 1, 2, 3, 4.
TEST(RandomTest, SeedOneGivesTheKnownNumbers) {
  Random random(1);
  EXPECT_EQ(random.next(), 0xb3f2af6d0fc710c5u);
  EXPECT_EQ(random.next(), 0x853b559647364ceau);
  EXPECT_EQ(random.next(), 0x92f89756082a4514u);
  EXPECT_EQ(random.next(), 0x642e1c7bc266a3a7u);
  EXPECT_EQ(random.next(), 0xb27a48e29a233673u);
}

TEST(RandomTest, FillGivesTheSameBytesOnEveryMachine) {
  std::array<std::byte, 11> bytes{};
  Random(1).fill(bytes);
  EXPECT_EQ(bytes[0], std::byte{0xc5});
  EXPECT_EQ(bytes[7], std::byte{0xb3});
  EXPECT_EQ(bytes[8], std::byte{0xea});
  EXPECT_EQ(bytes[10], std::byte{0x36});
}

TEST(RandomTest, CannotBeCopied) {
  static_assert(!std::is_copy_constructible_v<Random> && !std::is_copy_assignable_v<Random>);
  static_assert(std::is_move_constructible_v<Random>);
}

TEST(RandomTest, SplitDependsOnSeedAndNameOnly) {
  Random root(7);
  const std::uint64_t before = root.split("disk").next();
  root.next();
  EXPECT_EQ(root.split("disk").next(), before);
  EXPECT_EQ(Random(7).split("disk").next(), before);
}

TEST(RandomTest, SplitsAreUnrelated) {
  const Random root(7);
  std::vector<std::uint64_t> firsts;
  for (const char* name : {"", "a", "b", "aa", "disk", "network"}) {
    firsts.push_back(root.split(name).next());
    firsts.push_back(root.split(name).split("a").next());
    firsts.push_back(Random(8).split(name).next());
  }
  firsts.push_back(Random(7).next());
  std::sort(firsts.begin(), firsts.end());
  EXPECT_EQ(std::adjacent_find(firsts.begin(), firsts.end()), firsts.end());
}

TEST(RandomTest, SplitDoesNotDisturbTheParent) {
  Random random(1);
  (void)random.split("x").next();
  EXPECT_EQ(random.next(), 0xb3f2af6d0fc710c5u);
}

// The streams of named parts are part of what a seed means: changing how they are derived
// invalidates every seed written down in a bug report.
TEST(RandomTest, SplitStaysAsItIs) {
  EXPECT_EQ(Random(1).split("disk").next(), 0xb5eb2dae82279db0u);
}

TEST(RandomTest, BelowIsEvenAndInBounds) {
  Random random(2);
  std::array<int, 7> seen{};
  constexpr int kDraws = 70'000;
  for (int i = 0; i < kDraws; ++i) ++seen.at(random.below(seen.size()));
  for (const int count : seen) EXPECT_NEAR(count, 10'000, 400);
  EXPECT_EQ(random.below(1), 0u);
}

TEST(RandomTest, BelowAHugeBoundHasNoModuloBias) {
  // With `next() % bound` two thirds of the draws would fall into the lower half.
  Random random(3);
  constexpr std::uint64_t kBound = (UINT64_MAX / 4) * 3;
  int lower = 0;
  for (int i = 0; i < 10'000; ++i) lower += random.below(kBound) < kBound / 2 ? 1 : 0;
  EXPECT_NEAR(lower, 5'000, 250);
}

TEST(RandomTest, BetweenIncludesBothEnds) {
  Random random(4);
  bool low = false;
  bool high = false;
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t n = random.between(10, 13);
    ASSERT_GE(n, 10u);
    ASSERT_LE(n, 13u);
    low |= n == 10;
    high |= n == 13;
  }
  EXPECT_TRUE(low && high);
  EXPECT_EQ(random.between(5, 5), 5u);
  (void)random.between(0, UINT64_MAX);
}

TEST(RandomTest, BetweenWorksForDurationsOfEitherSign) {
  Random random(5);
  for (int i = 0; i < 1'000; ++i) {
    const Duration d = random.between(-2ms, 3ms);
    ASSERT_GE(d, -2ms);
    ASSERT_LE(d, 3ms);
  }
  (void)random.between(Duration::min(), Duration::max());
}

TEST(RandomTest, ChanceIsNeverAlwaysAndInBetween) {
  Random random(6);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_FALSE(random.chance(0, 3));
    ASSERT_TRUE(random.chance(3, 3));
    hits += random.chance(1, 4) ? 1 : 0;
  }
  EXPECT_NEAR(hits, 2'500, 150);
}

TEST(RandomTest, ExponentialHasItsMeanAndItsTail) {
  Random random(7);
  constexpr int kDraws = 100'000;
  Duration sum{0};
  int beyond_mean = 0;
  int beyond_thrice = 0;
  for (int i = 0; i < kDraws; ++i) {
    const Duration d = random.exponential(1ms);
    ASSERT_GE(d.count(), 0);
    sum += d;
    beyond_mean += d > 1ms ? 1 : 0;
    beyond_thrice += d > 3ms ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(sum.count()) / kDraws, 1e6, 1e4);
  EXPECT_NEAR(beyond_mean, 36'788, 500);   // 1/e
  EXPECT_NEAR(beyond_thrice, 4'979, 250);  // 1/e^3
}

TEST(RandomTest, ExponentialEndsAtTheLongestDuration) {
  Random random(8);
  EXPECT_EQ(random.exponential(0ns), 0ns);
  bool ended = false;
  for (int i = 0; i < 50; ++i) ended |= random.exponential(Duration::max()) == Duration::max();
  EXPECT_TRUE(ended);
}

TEST(RandomTest, TheSystemGivesDifferentStreams) {
  EXPECT_NE(Random::from_os().next(), Random::from_os().next());
}

TEST(RandomDeathTest, EmptyRangesAreFatal) {
  EXPECT_DEATH(Random(1).below(0), "bound > 0");
  EXPECT_DEATH(Random(1).between(2, 1), "left 2, right 1");
  EXPECT_DEATH(Random(1).chance(2, 1), "left 2, right 1");
  EXPECT_DEATH(Random(1).exponential(-1ns), "mean -1 ns");
}

}  // namespace
}  // namespace ashlar
