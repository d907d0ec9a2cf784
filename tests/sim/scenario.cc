#include "tests/sim/scenario.h"

#include "engine/planted_bug.h"
#include "tests/volume/iscsi/sim/iscsi_scenario.h"

namespace ashlar::sim {

namespace {

std::vector<std::string_view> engine_bugs() {
  std::vector<std::string_view> names;
  for (const engine::PlantedBugName& one : engine::kPlantedBugs) names.push_back(one.name);
  return names;
}

}  // namespace

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all{
      {"log", {"no-sync", "ack-early", "no-directory-sync", "trust-torn-tail"}, &run_log_scenario},
      {"echo", {}, &run_echo_scenario},
      {"engine", engine_bugs(), &run_engine_scenario},
      {"iscsi", iscsi::kIscsiBugs, &run_iscsi_scenario},
  };
  return all;
}

const Scenario* find_scenario(std::string_view name) {
  for (const Scenario& scenario : scenarios()) {
    if (scenario.name == name) return &scenario;
  }
  return nullptr;
}

}  // namespace ashlar::sim
