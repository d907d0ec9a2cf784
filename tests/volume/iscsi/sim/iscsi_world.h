// What survives every crash in the iSCSI scenario: the oracle, the knobs of the run, the verdict.
#pragma once

#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/runtime/runtime.h"
#include "common/runtime/sim/sim_node.h"
#include "engine/store_options.h"
#include "tests/volume/iscsi/sim/iscsi_scenario.h"
#include "tests/volume/iscsi/sim/sector_oracle.h"
#include "volume/core/volume_settings.h"
#include "volume/iscsi/target_server.h"

namespace ashlar::iscsi {

inline constexpr unsigned kHosts = 2;
inline constexpr std::uint64_t kVolumeSectors = 1024;
inline constexpr std::uint64_t kVolumeBlocks = kVolumeSectors / 8;
inline constexpr const char* kVolumeTarget = "iqn.2026-01.io.ashlar:vol1";

// A reset of the unit by one host, under which commands of the other may vanish.
struct UnitReset {
  unsigned by = 0;
  Moment begin = 0;
  Moment end = kStillOpen;
};

struct IscsiWorld {
  explicit IscsiWorld(Random r) : random(std::move(r)), oracle(kVolumeSectors) {}

  void fail(std::string why) {
    if (failure.empty()) failure = std::move(why);
  }
  void judge(std::string why) {
    if (!why.empty()) fail(std::move(why));
  }

  Random random;
  std::string_view bug;
  SectorOracle oracle;
  std::vector<UnitReset> resets;
  IscsiCounts counts;
  std::string failure;

  engine::StoreOptions store;
  TargetServerOptions target;
  volume::AckPolicy policy = volume::AckPolicy::kDurable;
  bool is_formatted = false;

  sim::SimNode* server = nullptr;
  Endpoint portal;

  // The last part: no more faults; each host does so many sessions to their end.
  bool is_quiet = false;
  unsigned quiet_sessions = 0;
  bool is_over = false;
};

// scenario_server.cc: one life of the server.
Task<void> serve_volume(IscsiWorld* world, Runtime runtime);
// scenario_host.cc: one life of a host.
Task<void> run_host(IscsiWorld* world, unsigned number, Runtime runtime);

}  // namespace ashlar::iscsi
