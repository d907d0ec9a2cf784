// A scenario: a small system and its surroundings for one seed, and the judgement whether what was
// promised was kept. Everything follows from the seed and the planted bug.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::sim {

struct Verdict {
  std::uint64_t seed = 0;
  bool passed = true;
  std::string failure;  // what was promised and not kept
  std::uint64_t events = 0;
  double virtual_seconds = 0;
  std::uint64_t trace_hash = 0;
  std::string last_events;  // of a run that failed
  // Rare paths and how often they were taken, so that one sees what the run tested.
  std::uint64_t crashes = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t torn_tails = 0;
};

struct Scenario {
  std::string_view name;
  std::vector<std::string_view> bugs;  // that can be planted
  Verdict (*run)(std::uint64_t seed, std::string_view bug);
};

// Null when there is no scenario of that name.
const Scenario* find_scenario(std::string_view name);
const std::vector<Scenario>& scenarios();

Verdict run_log_scenario(std::uint64_t seed, std::string_view bug);
Verdict run_echo_scenario(std::uint64_t seed, std::string_view bug);
Verdict run_engine_scenario(std::uint64_t seed, std::string_view bug);
Verdict run_iscsi_scenario(std::uint64_t seed, std::string_view bug);

}  // namespace ashlar::sim
