// Scenario "log": one machine appends to a MiniLog while its disk is slow, full or failing and the
// machine is killed, paused and loses power. After each restart the log must serve every record
// that was acknowledged, with the bytes that were appended, and no other bytes ever.
#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "tests/sim/mini_log.h"
#include "tests/sim/scenario.h"

namespace ashlar::sim {
namespace {

constexpr int kCrashes = 12;
constexpr Duration kLongestPause = 5ms;

// What the outside world knows of the log. It survives every crash.
class LogOracle {
 public:
  void attempt(std::uint64_t number, std::uint32_t digest) { attempted_[number].insert(digest); }

  void acknowledge(const MiniLogRecord& record) {
    if (record.number != acknowledged_.size() + 1) {
      fail(fmt::format("record {} was acknowledged after record {}", record.number,
                       acknowledged_.size()));
      return;
    }
    acknowledged_.push_back(record.digest);
  }

  // Whatever recovery serves counts as acknowledged from then on: somebody has seen it.
  void recovered(const std::vector<MiniLogRecord>& records) {
    if (records.size() < acknowledged_.size()) {
      fail(fmt::format("record {} was acknowledged and is gone; {} were recovered",
                       records.size() + 1, records.size()));
      return;
    }
    for (const MiniLogRecord& record : records) {
      const std::size_t index = record.number - 1;
      if (index < acknowledged_.size()) {
        if (acknowledged_[index] != record.digest) {
          fail(fmt::format("record {} was served with other bytes than acknowledged",
                           record.number));
          return;
        }
      } else if (!attempted_[record.number].contains(record.digest)) {
        fail(fmt::format("record {} was served with bytes nobody appended", record.number));
        return;
      } else {
        acknowledged_.push_back(record.digest);
      }
    }
  }

  std::uint64_t acknowledged() const { return acknowledged_.size(); }
  bool has_failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }
  void fail(std::string why) {
    if (failure_.empty()) failure_ = std::move(why);
  }

  std::uint64_t torn_tails = 0;
  std::uint64_t recoveries = 0;

 private:
  std::map<std::uint64_t, std::set<std::uint32_t>> attempted_;
  std::vector<std::uint32_t> acknowledged_;
  std::string failure_;
};

Task<void> serve(Runtime runtime, MiniLogBugs bugs, LogOracle* oracle) {
  MiniLog log(runtime, bugs);
  Result<std::vector<MiniLogRecord>> records = co_await log.open();
  if (!records.ok()) co_return;
  ++oracle->recoveries;
  if (log.found_torn_tail()) ++oracle->torn_tails;
  oracle->recovered(*records);
  const MiniLog::Acknowledge done = [oracle](const MiniLogRecord& r) { oracle->acknowledge(r); };
  while (!oracle->has_failed()) {
    const std::uint64_t content = runtime.random.next();
    const std::size_t pages = 1 + runtime.random.below(kLongestRecordPages);
    oracle->attempt(log.next_number(), MiniLog::digest_of(content, pages));
    const Result<> appended = co_await log.append(content, pages, done);
    if (!appended.ok()) co_return;  // fail stop
    if (runtime.random.chance(1, 4)) {
      const Duration idle = runtime.random.between(Duration(0), Duration(500us));
      if (!(co_await sleep_for(runtime.clock, idle)).ok()) co_return;
    }
  }
}

}  // namespace

Verdict run_log_scenario(std::uint64_t seed, std::string_view bug) {
  SimWorld world(seed);
  world.set_event_limit(5'000'000);
  Random random = world.split("scenario");
  Random swarm = world.split("knobs");
  const SimKnobs knobs = SimKnobs::draw(swarm).without_data_loss();
  SimNode& node = world.add_node();
  node.disk().faults = knobs.disk;
  node.disk().timing = knobs.disk_timing;
  node.set_drift(knobs.node.drift_ppm);

  const MiniLogBugs bugs{.no_sync = bug == "no-sync",
                         .ack_early = bug == "ack-early",
                         .no_directory_sync = bug == "no-directory-sync",
                         .trust_torn_tail = bug == "trust-torn-tail"};
  LogOracle oracle;
  node.start([&](Runtime runtime) { return serve(runtime, bugs, &oracle); });

  Verdict verdict;
  for (int crash = 0; crash < kCrashes && !oracle.has_failed(); ++crash) {
    // Sometimes soon after the start, to hit recovery itself; sometimes in the middle of the work.
    const std::uint64_t steps = random.between(1, random.chance(1, 3) ? 20 : 300);
    // A kill between a failed sync and the fail stop would start the next life on what the kernel
    // only believes to be on the disk: one copy of the data does not survive that.
    const bool kill = knobs.disk.sync_error == 0 && random.chance(knobs.node.kill_percent, 100);
    node.crash_after_steps(steps, kill ? CrashKind::kKill : CrashKind::kPowerFail);
    if (knobs.node.mean_time_to_pause > Duration(0)) {
      world.run_for(random.between(Duration(0), Duration(2ms)));
      if (node.is_running()) node.pause(random.between(Duration(0), kLongestPause));
    }
    const std::uint32_t incarnation = node.incarnation();
    world.run_until([&] { return !node.is_running() || oracle.has_failed(); }, 120s);
    if (oracle.has_failed()) break;
    if (node.is_running()) {
      oracle.fail(fmt::format("incarnation {} stands still", incarnation));
      break;
    }
    // A process that stopped by itself met an error; the supervisor cycles the power, because after
    // a failed sync the kernel's view of the disk cannot be trusted.
    if (node.has_exited()) node.power_fail();
    ++verdict.crashes;
    world.run_for(random.between(Duration(0), Duration(10ms)));
    node.restart();
  }
  // In the end the faults stop, and then the log must come up and serve.
  if (!oracle.has_failed()) {
    if (node.has_power()) node.power_fail();
    node.disk().faults = DiskFaults{};
    node.restart();
    const std::uint64_t recoveries = oracle.recoveries;
    const std::uint64_t before = oracle.acknowledged();
    const auto served = [&] {
      return oracle.has_failed() ||
             (oracle.recoveries > recoveries && oracle.acknowledged() > before + 3);
    };
    if (!world.run_until(served, 120s)) oracle.fail("the log did not come up on a healthy machine");
  }
  verdict.seed = seed;
  verdict.passed = !oracle.has_failed();
  verdict.failure = oracle.failure();
  verdict.events = world.events();
  verdict.virtual_seconds = static_cast<double>(world.now().nanoseconds()) / 1e9;
  verdict.trace_hash = world.trace_hash();
  verdict.acknowledged = oracle.acknowledged();
  verdict.torn_tails = oracle.torn_tails;
  if (!verdict.passed) verdict.last_events = world.recent_events();
  return verdict;
}

}  // namespace ashlar::sim
