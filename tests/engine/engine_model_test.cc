// The engine against its model, over many seeds: engine_scenario.h says what is promised.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/engine/engine_scenario.h"

namespace ashlar::engine {
namespace {

constexpr std::uint64_t kSeeds = 300;

TEST(EngineModel, TheEngineKeepsItsPromisesOver300Seeds) {
  EngineCounts sum;
  std::uint64_t steps = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const EngineVerdict verdict = run_engine(seed);
    ASSERT_EQ(verdict.failure, "") << "seed " << seed << " (" << to_string(verdict.trouble)
                                   << "): ashlar_sim --scenario engine --seed " << seed << "\n"
                                   << verdict.last_events;
    sum.add(verdict.counts);
    steps += verdict.steps;
  }
  const std::string seen = fmt::format("steps {}, {}", steps, sum.to_string());
  RecordProperty("seen", seen);
  // Floors under half of what was measured, to notice when a path is no longer taken.
  EXPECT_GT(steps, 1'000'000u) << seen;
  EXPECT_GT(sum.kills, 100u) << seen;
  EXPECT_GT(sum.power_failures, 300u) << seen;
  EXPECT_GT(sum.crashes_in_recovery, 200u) << seen;
  EXPECT_GT(sum.torn_tails, 10u) << seen;
  EXPECT_GT(sum.laps, 500u) << seen;
  EXPECT_GT(sum.moved, 500u) << seen;
  EXPECT_GT(sum.retried_reads, 100u) << seen;
  EXPECT_GT(sum.log_reads, 1000u) << seen;
  EXPECT_GT(sum.flush_log_bytes, 10'000'000u) << seen;
  EXPECT_GT(sum.map_misses, 10'000u) << seen;
  EXPECT_GT(sum.rotations, 3000u) << seen;
  EXPECT_GT(sum.merges, 1000u) << seen;
  EXPECT_GT(sum.refused, 100u) << seen;
  EXPECT_GT(sum.cuts, 200u) << seen;
  EXPECT_GT(sum.unflushed_lost, 20u) << seen;
  EXPECT_GT(sum.modified, 1000u) << seen;
  EXPECT_GT(sum.copies, 30u) << seen;
  EXPECT_GT(sum.scrubbed, 5u) << seen;
  EXPECT_GT(sum.repaired, 1u) << seen;
}

TEST(EngineModel, TheSameSeedIsTheSameRun) {
  const EngineVerdict once = run_engine(4);
  EXPECT_EQ(run_engine(4).trace_hash, once.trace_hash);
}

}  // namespace
}  // namespace ashlar::engine
