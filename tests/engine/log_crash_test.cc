// The log judged by crashes: the correct one keeps its promises over many seeds, each planted bug
// is found.
#include <chrono>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/engine/log_crash_scenario.h"

namespace ashlar::engine {
namespace {

constexpr std::uint64_t kSeeds = 300;

TEST(LogCrash, TheLogKeepsItsPromisesOver300Seeds) {
  LogCrashResult sum;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const LogCrashResult result = run_log_crashes(seed, LogBug::kNone);
    ASSERT_EQ(result.failure, "") << "seed " << seed;
    sum.crashes += result.crashes;
    sum.acknowledged += result.acknowledged;
    sum.recovered += result.recovered;
    sum.torn_tails += result.torn_tails;
    sum.laps += result.laps;
    sum.waits += result.waits;
    sum.copies += result.copies;
    sum.cuts += result.cuts;
  }
  const std::string seen = fmt::format(
      "crashes {} acknowledged {} recovered {} torn tails {} laps {} waits {} copies {} cuts {}",
      sum.crashes, sum.acknowledged, sum.recovered, sum.torn_tails, sum.laps, sum.waits, sum.copies,
      sum.cuts);
  RecordProperty("seen", seen);
  // Floors under what was measured, to notice when a path is no longer taken.
  EXPECT_GT(sum.crashes, kSeeds * 7) << seen;
  EXPECT_GT(sum.torn_tails, kSeeds / 2) << seen;
  EXPECT_GT(sum.laps, kSeeds / 3) << seen;
  EXPECT_GT(sum.waits, kSeeds / 2) << seen;
  EXPECT_GT(sum.recovered, 10 * kSeeds) << seen;
  EXPECT_GT(sum.copies, 10 * kSeeds) << seen;
  EXPECT_GT(sum.cuts, 5 * kSeeds) << seen;
}

TEST(LogCrash, TheSameSeedIsTheSameRun) {
  EXPECT_EQ(run_log_crashes(7, LogBug::kNone).trace_hash,
            run_log_crashes(7, LogBug::kNone).trace_hash);
}

class PlantedLogBug : public testing::TestWithParam<LogBug> {};

TEST_P(PlantedLogBug, IsFoundWithin300Seeds) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const LogCrashResult result = run_log_crashes(seed, GetParam());
    if (result.failure.empty()) continue;
    RecordProperty("seed", static_cast<int>(seed));
    RecordProperty("failure", result.failure);
    EXPECT_EQ(run_log_crashes(seed, GetParam()).failure, result.failure);
    return;
  }
  ADD_FAILURE() << "not found";
}

INSTANTIATE_TEST_SUITE_P(LogCrash, PlantedLogBug,
                         testing::Values(LogBug::kAckBeforeDurable, LogBug::kNoGenerationBump,
                                         LogBug::kTrustTornTail, LogBug::kCutWithoutRecord),
                         [](const auto& bug) {
                           switch (bug.param) {
                             case LogBug::kAckBeforeDurable:
                               return "AckBeforeDurable";
                             case LogBug::kNoGenerationBump:
                               return "NoGenerationBump";
                             case LogBug::kCutWithoutRecord:
                               return "CutWithoutRecord";
                             default:
                               return "TrustTornTail";
                           }
                         });

}  // namespace
}  // namespace ashlar::engine
