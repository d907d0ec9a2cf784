// Scenario "iscsi": tests/volume/iscsi/sim/iscsi_scenario.h, one seed at a time.
#include "tests/volume/iscsi/sim/iscsi_scenario.h"

#include <fmt/format.h>

#include "tests/sim/scenario.h"

namespace ashlar::sim {

Verdict run_iscsi_scenario(std::uint64_t seed, std::string_view bug) {
  const iscsi::IscsiVerdict found = iscsi::run_iscsi(seed, bug);
  Verdict verdict;
  verdict.seed = seed;
  verdict.passed = found.failure.empty();
  if (!verdict.passed) {
    verdict.failure = fmt::format("{}\n{}", found.failure, found.counts.to_string());
  }
  verdict.events = found.events;
  verdict.virtual_seconds = found.virtual_seconds;
  verdict.trace_hash = found.trace_hash;
  verdict.last_events = found.last_events;
  verdict.crashes = found.counts.kills + found.counts.power_failures;
  verdict.acknowledged = found.counts.acknowledged;
  return verdict;
}

}  // namespace ashlar::sim
