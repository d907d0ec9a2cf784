// The scenario of two hosts, a faulty network and a server that crashes, judged by what it finds:
// nothing in the target as it is, each planted flaw within 60 seeds.
#include "tests/volume/iscsi/sim/iscsi_scenario.h"

#include <gtest/gtest.h>

namespace ashlar::iscsi {
namespace {

TEST(IscsiScenarioTest, EveryPromiseIsKeptOver60Seeds) {
  IscsiCounts counts;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const IscsiVerdict verdict = run_iscsi(seed);
    ASSERT_EQ(verdict.failure, "") << "seed " << seed << "\n"
                                   << verdict.counts.to_string() << "\n"
                                   << verdict.last_events;
    counts.add(verdict.counts);
  }
  RecordProperty("counts", counts.to_string());
  // Floors under what was measured, to notice when a path is no longer taken.
  EXPECT_GT(counts.acknowledged, 5000u);
  EXPECT_GT(counts.lost_sessions, 300u);
  EXPECT_GT(counts.aborted, 100u);
  EXPECT_GT(counts.miscompares, 100u);
  EXPECT_GT(counts.kills + counts.power_failures, 60u);
}

class PlantedFlaw : public testing::TestWithParam<std::string_view> {};

TEST_P(PlantedFlaw, IsFoundWithin60SeedsAndFailsTheSameWayAgain) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const IscsiVerdict verdict = run_iscsi(seed, GetParam());
    if (verdict.failure.empty()) continue;
    const IscsiVerdict again = run_iscsi(seed, GetParam());
    EXPECT_EQ(again.failure, verdict.failure);
    EXPECT_EQ(again.trace_hash, verdict.trace_hash);
    return;
  }
  ADD_FAILURE() << GetParam() << " was not found within 60 seeds";
}

INSTANTIATE_TEST_SUITE_P(Iscsi, PlantedFlaw, testing::ValuesIn(kIscsiBugs), [](const auto& bug) {
  std::string name(bug.param);
  std::erase(name, '-');
  return name;
});

}  // namespace
}  // namespace ashlar::iscsi
