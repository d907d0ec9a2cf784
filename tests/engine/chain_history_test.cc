#include "engine/chain_history.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar::engine {
namespace {

constexpr ByteCount kCapacity{64 << 20};  // one point for each 64 KiB

ChainPoint ending_at(std::uint64_t end) {
  return {.end = LogPosition(end), .generation = LogGeneration(1)};
}

TEST(ChainHistory, TheLastPointUpToAPositionIsFound) {
  ChainHistory history(kCapacity);
  EXPECT_EQ(history.last_up_to(LogPosition(1) + (std::uint64_t{1} << 40)), std::nullopt);
  for (const std::uint64_t mib : {1u, 2u, 5u, 9u}) history.add(ending_at(mib << 20));
  EXPECT_EQ(history.last_up_to(LogPosition((1 << 20) - 1)), std::nullopt);
  EXPECT_EQ(history.last_up_to(LogPosition(1 << 20)), ending_at(1 << 20));
  EXPECT_EQ(history.last_up_to(LogPosition((5 << 20) - 1)), ending_at(2 << 20));
  EXPECT_EQ(history.last_up_to(LogPosition(100 << 20)), ending_at(9 << 20));
}

TEST(ChainHistory, WhatIsBehindIsForgotten) {
  ChainHistory history(kCapacity);
  for (const std::uint64_t mib : {1u, 2u, 5u, 9u}) history.add(ending_at(mib << 20));
  history.forget_before(LogPosition(2 << 20));
  EXPECT_EQ(history.last_up_to(LogPosition((2 << 20) - 1)), std::nullopt);
  EXPECT_EQ(history.last_up_to(LogPosition(2 << 20)), ending_at(2 << 20));
}

// Over many laps of small and large batches: few points, and none further from a position than the
// spacing and a batch.
TEST(ChainHistory, ManySmallBatchesLeaveAThousandPointsThatAreNowhereFarApart) {
  constexpr std::uint64_t kSpacing = kCapacity.value() / 1024;
  ChainHistory history(kCapacity);
  Random random(3);
  std::uint64_t end = 0;
  history.add(ending_at(0));
  std::size_t most = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t batch = 4096 * random.between(1, random.chance(1, 50) ? 100 : 3);
    end += batch;
    history.add(ending_at(end));
    const std::uint64_t tail = end - std::min(end, kCapacity.value());
    history.forget_before(LogPosition(tail));
    most = std::max(most, history.size());
    const LogPosition needed(tail + random.below(end - tail + 1));
    const std::optional<ChainPoint> found = history.last_up_to(needed);
    if (needed.value() > tail + kSpacing + 100 * 4096) {
      ASSERT_TRUE(found.has_value());
      ASSERT_LE(needed - found->end, kSpacing + 100 * 4096);
    }
    ASSERT_EQ(history.last_up_to(LogPosition(end)), ending_at(end));  // the newest is there
  }
  EXPECT_LE(most, 1026u);
  EXPECT_GT(most, 700u);
}

}  // namespace
}  // namespace ashlar::engine
