#include "tests/volume/iscsi/sim/iscsi_scenario.h"

#include <iterator>

#include <fmt/format.h>

#include "common/log/log.h"
#include "common/runtime/sim/sim_network.h"
#include "common/runtime/sim/sim_world.h"
#include "tests/volume/iscsi/sim/iscsi_world.h"

namespace ashlar::iscsi {
namespace {

using sim::CrashKind;
using sim::SimNode;
using sim::SimWorld;

struct NamedCount {
  std::string_view name;
  std::uint64_t IscsiCounts::* count;
};
constexpr NamedCount kCounts[] = {
    {"sessions", &IscsiCounts::sessions},
    {"lost", &IscsiCounts::lost_sessions},
    {"commands", &IscsiCounts::commands},
    {"acknowledged", &IscsiCounts::acknowledged},
    {"unknown", &IscsiCounts::unknown},
    {"reads", &IscsiCounts::reads},
    {"swaps", &IscsiCounts::swaps},
    {"miscompares", &IscsiCounts::miscompares},
    {"R2Ts", &IscsiCounts::ready_to_transfers},
    {"aborts", &IscsiCounts::aborts},
    {"aborted", &IscsiCounts::aborted},
    {"resets", &IscsiCounts::resets},
    {"kills", &IscsiCounts::kills},
    {"power failures", &IscsiCounts::power_failures},
    {"refused", &IscsiCounts::refused},
};
static_assert(sizeof(IscsiCounts) == std::size(kCounts) * sizeof(std::uint64_t));

void draw_options(IscsiWorld& world) {
  Random& random = world.random;
  world.store = {
      .directory = "/store",
      .server = ServerUuid(Uuid::parse("00000000-0000-4000-8000-000000000099").value()),
      .log_capacity = ByteCount(random.between(8, 16) << 20),
      .smallest_log = ByteCount(1 << 20),
      .seal_delay = random.between(Duration(1ms), Duration(20ms)),
      .batches_in_flight = random.between(1, 3),
      .payload_memory = ByteCount(random.between(64, 4096) << 10),
      .flush_threshold = ByteCount(random.between(64, 1024) << 10),
      .flush_delay = random.between(Duration(500us), Duration(80ms)),
      .space_reserve = ByteCount(1 << 20),
      .longest_delay = 5ms,
  };
  world.portal = Endpoint::ipv4(10, 0, 0, 1, 3260);
  constexpr std::uint32_t kWindows[] = {1, 2, 8, 32, 128};
  world.target = {
      .portals = {{world.portal, world.portal, 1}},
      .login_timeout = random.between(Duration(1s), Duration(15s)),
      .idle_ping = random.between(Duration(500ms), Duration(10s)),
      .ping_timeout = random.between(Duration(2s), Duration(10s)),
      .command_window = kWindows[random.below(std::size(kWindows))],
      .session_memory = ByteCount(random.between(1, 16) << 20),
  };
  if (random.chance(1, 4)) world.policy = volume::AckPolicy::kBuffered;
}

// Buffered volumes promise nothing about power.
bool power_may_fail(const IscsiWorld& world) {
  return world.policy == volume::AckPolicy::kDurable;
}

void crash(IscsiWorld& world, SimWorld& sim, SimNode& node) {
  Random& random = world.random;
  const bool kills = !power_may_fail(world) || random.chance(1, 2);
  node.crash(kills ? CrashKind::kKill : CrashKind::kPowerFail);
  ++(kills ? world.counts.kills : world.counts.power_failures);
  sim.run_for(random.between(Duration(0), Duration(300ms)));
  node.restart();
}

void inject(IscsiWorld& world, SimWorld& sim) {
  Random& random = world.random;
  SimNode& node = sim.node(1 + static_cast<std::uint32_t>(random.below(1 + kHosts)));
  const std::uint32_t host = 2 + static_cast<std::uint32_t>(random.below(kHosts));
  switch (random.below(8)) {
    case 0:
      sim.fabric().cut(node.number(), node.number() == 1 ? host : 1);
      break;
    case 1:
      sim.fabric().isolate(node.number());
      break;
    case 2:
      node.pause(random.between(Duration(0), Duration(3s)));
      break;
    case 3:
      sim.fabric().lose_connections(1, host);
      break;
    case 4:
      crash(world, sim, node);
      break;
    case 5:
      crash(world, sim, *world.server);
      break;
    default:
      sim.fabric().heal_all();
  }
}

void run_faults(IscsiWorld& world, SimWorld& sim) {
  Random& random = world.random;
  const auto stops = [&] { return !world.failure.empty(); };
  const std::uint64_t faults = random.between(3, 12);
  for (std::uint64_t i = 0; i < faults && !stops(); ++i) {
    sim.run_until(stops, random.between(Duration(1ms), Duration(400ms)));
    if (random.chance(1, 4)) {
      // In the midst of what it does, at a step of the server's program.
      SimNode& server = *world.server;
      const bool kills = !power_may_fail(world) || random.chance(1, 2);
      server.crash_after_steps(random.between(1, 3000),
                               kills ? CrashKind::kKill : CrashKind::kPowerFail);
      sim.run_until([&] { return !server.is_running() || stops(); }, 2s);
      if (!server.is_running()) {
        ++(kills ? world.counts.kills : world.counts.power_failures);
        server.restart();
      }
      server.crash_after_steps(~std::uint64_t{0} / 2, CrashKind::kKill);
    } else {
      inject(world, sim);
    }
  }
}

void run_quiet(IscsiWorld& world, SimWorld& sim) {
  sim.fabric().heal_all();
  sim.fabric().faults = {};
  world.is_quiet = true;
  const auto done = [&] { return world.quiet_sessions >= 2 * kHosts || !world.failure.empty(); };
  if (!sim.run_until(done, 600s)) world.fail("hosts are not served though nothing is in their way");
  world.is_over = true;
  const auto over = [&] {
    for (std::uint32_t n = 1; n <= sim.node_count(); ++n) {
      if (sim.node(n).is_running()) return false;
    }
    return true;
  };
  if (world.failure.empty() && !sim.run_until(over, 120s)) world.fail("the machines do not end");
}

}  // namespace

void IscsiCounts::add(const IscsiCounts& other) {
  for (const NamedCount& one : kCounts) this->*one.count += other.*one.count;
}

std::string IscsiCounts::to_string() const {
  std::string all;
  for (const NamedCount& one : kCounts) {
    fmt::format_to(std::back_inserter(all), "{}{} {}", all.empty() ? "" : ", ", one.name,
                   this->*one.count);
  }
  return all;
}

IscsiVerdict run_iscsi(std::uint64_t seed, std::string_view bug) {
  // Sessions come and go by the hundred.
  const LogLevel level = log_level();
  set_log_level(LogLevel::kError);
  SimWorld sim(seed);
  sim.set_event_limit(50'000'000);
  IscsiWorld world(sim.split("iscsi"));
  world.bug = bug;
  draw_options(world);
  if (world.random.chance(1, 2)) {
    sim.fabric().faults.connection_loss =
        static_cast<std::uint32_t>(world.random.between(100, 2000));
  }
  if (world.random.chance(1, 3)) {
    sim.fabric().faults.long_delay = static_cast<std::uint32_t>(world.random.between(100, 2000));
  }
  SimNode& server = sim.add_node();
  world.server = &server;
  IscsiWorld* self = &world;
  server.start([self](Runtime runtime) { return serve_volume(self, runtime); });
  for (unsigned n = 0; n < kHosts; ++n) {
    sim.add_node().start([self, n](Runtime runtime) { return run_host(self, n, runtime); });
  }
  run_faults(world, sim);
  if (world.failure.empty()) run_quiet(world, sim);

  IscsiVerdict verdict;
  world.counts.unknown = world.oracle.closed();
  verdict.failure = world.failure;
  verdict.counts = world.counts;
  verdict.events = sim.events();
  verdict.virtual_seconds = static_cast<double>(sim.now().nanoseconds()) / 1e9;
  verdict.trace_hash = sim.trace_hash();
  if (!verdict.failure.empty()) verdict.last_events = sim.recent_events();
  set_log_level(level);
  // Processes go before the world that they point to.
  for (std::uint32_t n = 1; n <= sim.node_count(); ++n) {
    if (sim.node(n).is_running() || sim.node(n).has_exited()) sim.node(n).power_fail();
  }
  return verdict;
}

}  // namespace ashlar::iscsi
