// Scenario "engine": tests/engine/engine_scenario.h, one seed at a time.
#include "tests/engine/engine_scenario.h"

#include <cstdio>

#include <fmt/core.h>

#include "tests/sim/scenario.h"

namespace ashlar::sim {

Verdict run_engine_scenario(std::uint64_t seed, std::string_view bug) {
  const engine::PlantedBug planted = engine::planted_bug(bug).value_or(engine::PlantedBug::kNone);
  const engine::EngineVerdict found = engine::run_engine(seed, planted);
  Verdict verdict;
  verdict.seed = seed;
  verdict.passed = found.failure.empty();
  if (!verdict.passed) {
    verdict.failure =
        fmt::format("{}{}: {}\n{}", engine::to_string(found.trouble),
                    found.buffered ? ", buffered" : "", found.failure, found.counts.to_string());
  }
  verdict.events = found.events;
  verdict.virtual_seconds = found.virtual_seconds;
  verdict.trace_hash = found.trace_hash;
  verdict.last_events = found.last_events;
  verdict.crashes = found.counts.kills + found.counts.power_failures;
  verdict.acknowledged = found.counts.acknowledged;
  verdict.torn_tails = found.counts.torn_tails;
  return verdict;
}

}  // namespace ashlar::sim
