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
  fmt::print("{}\n", seen);
  RecordProperty("seen", seen);
}

TEST(EngineModel, TheSameSeedIsTheSameRun) {
  const EngineVerdict once = run_engine(4);
  EXPECT_EQ(run_engine(4).trace_hash, once.trace_hash);
}

}  // namespace
}  // namespace ashlar::engine
