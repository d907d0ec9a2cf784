#include "tests/engine/engine_scenario.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "common/runtime/sim/sim_world.h"
#include "tests/engine/engine_world.h"

namespace ashlar::engine {
namespace {

using sim::CrashKind;
using sim::SimNode;
using sim::SimWorld;

constexpr int kLives = 9;  // the last ones in peace

struct NamedCount {
  std::string_view name;
  std::uint64_t EngineCounts::* count;
};
constexpr NamedCount kCounts[] = {
    {"lives", &EngineCounts::lives},
    {"kills", &EngineCounts::kills},
    {"power failures", &EngineCounts::power_failures},
    {"crashes in recovery", &EngineCounts::crashes_in_recovery},
    {"closes", &EngineCounts::closes},
    {"acknowledged", &EngineCounts::acknowledged},
    {"reads", &EngineCounts::reads},
    {"snapshot reads", &EngineCounts::snapshot_reads},
    {"snapshots", &EngineCounts::snapshots},
    {"reverts", &EngineCounts::reverts},
    {"clones", &EngineCounts::clones},
    {"deletions", &EngineCounts::deletions},
    {"cuts", &EngineCounts::cuts},
    {"recovered", &EngineCounts::recovered},
    {"torn tails", &EngineCounts::torn_tails},
    {"laps", &EngineCounts::laps},
    {"moved", &EngineCounts::moved},
    {"delayed", &EngineCounts::delayed},
    {"retried reads", &EngineCounts::retried_reads},
    {"log reads", &EngineCounts::log_reads},
    {"flush log bytes", &EngineCounts::flush_log_bytes},
    {"map misses", &EngineCounts::map_misses},
    {"rotations", &EngineCounts::rotations},
    {"merges", &EngineCounts::merges},
    {"refused", &EngineCounts::refused},
    {"space came back", &EngineCounts::space_came_back},
    {"broken lives", &EngineCounts::broken_lives},
    {"damaged reads", &EngineCounts::damaged_reads},
    {"faulted", &EngineCounts::faulted},
    {"modified", &EngineCounts::modified},
    {"copies", &EngineCounts::copies},
    {"scrubbed", &EngineCounts::scrubbed},
    {"repaired", &EngineCounts::repaired},
    {"unflushed lost", &EngineCounts::unflushed_lost},
};
static_assert(sizeof(EngineCounts) == std::size(kCounts) * sizeof(std::uint64_t));

// Half of the seeds have a healthy disk, the others one kind of trouble each.
Trouble trouble_of(std::uint64_t seed) {
  if (seed % 2 == 0) return Trouble::kNone;
  return static_cast<Trouble>(1 + seed / 2 % (kTroubles - 1));
}

void draw_options(EngineWorld& world, std::uint64_t seed) {
  Random& random = world.random;
  world.trouble = trouble_of(seed);
  world.options = {
      .directory = "/store",
      .server = ServerUuid(Volume(9999, 1, {}).replica_uuid().untyped()),
      .log_capacity = ByteCount(random.between(1, 4) << 20),
      .smallest_log = ByteCount(1 << 20),
      .seal_delay = random.between(Duration(1ms), Duration(20ms)),
      .batches_in_flight = random.between(1, 3),
      .payload_memory = ByteCount(random.between(64, 4096) << 10),
      .map_memory = ByteCount(random.between(2, 64) * kBlockSize),
      .flush_threshold = ByteCount(random.between(64, 1024) << 10),
      .flush_delay = random.between(Duration(500us), Duration(80ms)),
      .flush_depth = random.between(1, 16),
      .space_reserve = ByteCount(1 << 20),
      .delay_from = random.chance(1, 2) ? 0.5 : 0.1,
      .longest_delay = 5ms,
  };
  constexpr std::uint64_t kBufferedPercent[] = {0, 0, 0, 40, 40, 100};
  world.buffered_percent = kBufferedPercent[random.below(std::size(kBufferedPercent))];
  world.repairs = random.chance(1, 2);
  world.most_volumes = static_cast<unsigned>(random.between(1, 5));
  world.clients = static_cast<unsigned>(random.between(2, 10));
  // Of the log as much as the largest record takes of the smallest log.
  const std::uint64_t longest = (world.options.log_capacity.value() >> 16) - 2;
  world.longest_write = random.chance(1, 3) ? 4 : longest;
}

sim::DiskFaults faults_of(Trouble trouble, Random& random) {
  sim::DiskFaults faults;
  const auto rate = [&random](std::uint64_t least, std::uint64_t most) {
    return static_cast<std::uint32_t>(random.between(least, most));
  };
  switch (trouble) {
    case Trouble::kWriteError:
      faults.write_error = rate(200, 3'000);
      break;
    case Trouble::kSyncError:
      faults.sync_error = rate(500, 10'000);
      break;
    case Trouble::kNoSpace:
      faults.no_space = rate(1'000, 200'000);
      break;
    case Trouble::kSlow:
      faults.slow_spell = rate(200, 2'000);
      break;
    case Trouble::kHang:
      faults.hang = rate(100, 500);
      break;
    case Trouble::kReadError:
      faults.read_error = rate(200, 5'000);
      break;
    case Trouble::kBitRot:
      faults.bit_rot = rate(200, 5'000);
      break;
    case Trouble::kMisdirected:
      faults.misdirected_write = rate(200, 3'000);
      break;
    case Trouble::kDropped:
      faults.dropped_write = rate(200, 3'000);
      break;
    default:
      break;
  }
  return faults;
}

Task<Result<>> open_store(EngineWorld* world, Runtime runtime, std::unique_ptr<Store>* store) {
  // What a killed process had under way arrives first.
  while (world->node->disk().in_flight() > 0) (void)co_await sleep_for(runtime.clock, 100us);
  if (!world->formatted) {
    const Result<> formatted =
        co_await Store::format(runtime, world->options, StoreUuid(world->options.server.untyped()));
    if (!formatted.ok() && formatted.error().code() != ErrorCode::kAlreadyExists) {
      co_return formatted.error().with_context("format");
    }
    world->formatted = true;
    world->node->disk().faults = faults_of(world->trouble, world->random);
  }
  Result<PeekedLog> log = co_await peek_log(world);
  if (!log.ok()) co_return log.error().with_context("the judge reads the log");
  Result<std::unique_ptr<Store>> opened =
      co_await Store::open(runtime, *world->pool, world->options);
  if (!opened.ok()) co_return opened.error().with_context("open");
  *store = std::move(*opened);
  world->store = store->get();
  world->counts.recovered += (*store)->recovery().records;
  world->counts.torn_tails += (*store)->recovery().verdict == LogVerdict::kTornTail ? 1 : 0;
  ASHLAR_CO_TRY(co_await judge_recovery(world, *log));
  world->opened = true;
  co_return Result<>();
}

// Everything that came back commits itself; of a replicated volume the primary says so, and cuts
// what it does not know.
void start_volumes(EngineWorld& world) {
  for (Volume& volume : world.volumes) {
    if (volume.replica == nullptr) continue;
    volume.replica->set_repair_source(world.repairs ? &world.peer : nullptr);
    volume.replica->set_commit_rule(volume.rule);
    if (volume.rule == CommitRule::kGiven) volume.replica->set_commit(volume.replica->last());
  }
}

Task<Result<>> live_once(EngineWorld* world, Runtime runtime) {
  BufferPool pool("engine", ByteCount(128 << 20));
  world->pool = &pool;
  std::unique_ptr<Store> store;
  ASHLAR_CO_TRY(co_await open_store(world, runtime, &store));
  if (world->failure.empty()) {
    start_volumes(*world);
    co_await run_clients(world);
  }
  world->absorb(*store);
  world->store = nullptr;
  const Result<> closed = co_await store->close();
  store.reset();
  if (!world->failure.empty() || world->is_broken) co_return Result<>();
  if (!closed.ok()) {
    // What could not be flushed stays in the log.
    if (world->lacks_space() && closed.error().code() == ErrorCode::kResourceExhausted) {
      co_return Result<>();
    }
    co_return closed.error().with_context("close");
  }
  ++world->counts.closes;
  if (!world->loses_data()) ASHLAR_CO_TRY(co_await judge_directory(world, runtime));
  co_return Result<>();
}

void begin_life(EngineWorld& world) {
  world.budget = world.random.between(20, world.random.chance(1, 3) ? 600 : 120);
  world.is_broken = false;
  world.opened = false;
  world.store = nullptr;
  ++world.counts.lives;
  for (Volume& volume : world.volumes) {
    volume.replica = nullptr;
    volume.users = 0;
    volume.exclusive = volume.cutting = volume.resizing = volume.wording = false;
    volume.scrubbing = false;
    volume.busy.clear();
  }
}

// Ends when the process has, one way or the other; false when it stands still.
bool run_life(EngineWorld& world, SimWorld& sim) {
  SimNode& node = *world.node;
  const auto ended = [&] { return !node.is_running() || !world.failure.empty(); };
  const bool waits = world.trouble == Trouble::kSlow || world.trouble == Trouble::kHang;
  const bool ran = sim.run_until(ended, waits ? 36000s : 120s);
  world.counts.add(std::exchange(world.life_counts, {}));
  return ran;
}

// A replica whose records are damaged has stepped out, and holds the log until it is repaired.
bool may_stand_still(const EngineWorld& world) {
  return world.loses_data() &&
         std::any_of(world.volumes.begin(), world.volumes.end(), [](const Volume& one) {
           return one.being == Volume::Being::kThere && one.replica == nullptr;
         });
}

std::string describe_stop(EngineWorld& world) {
  std::string text = "the process stands still";
  if (world.store == nullptr) return text;
  const LogWriter& log = *world.store->shared().log;
  text += fmt::format("; log {} to {}, full {:.2f}, {} wait", log.tail(), log.head(),
                      log.fill_ratio(), log.waiting());
  for (const Volume& volume : world.volumes) {
    if (volume.replica == nullptr) continue;
    const ReplicaStatus status = volume.replica->status();
    text += fmt::format(
        "; volume {}, rule {}: {} users{}, last {} written {} durable {} committed {} stable {} "
        "flushed {}",
        volume.number, static_cast<int>(volume.rule), volume.users,
        volume.exclusive ? " (one alone)" : "", status.last, status.written, status.durable,
        status.committed, status.stable, status.flushed);
  }
  return text;
}

void arm_crash(EngineWorld& world) {
  Random& random = world.random;
  const std::uint64_t steps =
      random.chance(1, 3) ? random.between(1, 200) : random.between(100, 12'000);
  // A kill between a failed sync and the stepping out would start the next life on what the kernel
  // only believes to be on the disk.
  const bool kill = world.trouble != Trouble::kSyncError && random.chance(1, 3);
  world.power_fails_next = !kill;
  world.node->crash_after_steps(steps, kill ? CrashKind::kKill : CrashKind::kPowerFail);
}

void after_life(EngineWorld& world, bool armed) {
  SimNode& node = *world.node;
  // Of a life that ended in recovery nobody has seen yet what the crash before it took.
  const bool unseen = world.power_failed && !world.opened;
  if (node.has_exited()) {
    const bool fails = world.is_broken || world.random.chance(1, 2);
    if (fails) node.power_fail();
    world.power_failed = fails || unseen;
    return;
  }
  if (!armed) return;
  world.power_failed = world.power_fails_next || unseen;
  ++(world.power_fails_next ? world.counts.power_failures : world.counts.kills);
  world.counts.crashes_in_recovery += world.opened ? 0 : 1;
}

void run_lives(EngineWorld& world, SimWorld& sim) {
  SimNode& node = *world.node;
  for (int life = 0; life < kLives && world.failure.empty(); ++life) {
    const bool peaceful = life >= kLives - 2;
    begin_life(world);
    if (peaceful) {
      node.disk().faults = {};
      node.disk().set_capacity(ByteCount(std::uint64_t{1} << 40));
    }
    if (life == 0) {
      EngineWorld* self = &world;
      node.start([self](Runtime runtime) { return live(self, runtime); });
    } else {
      node.restart();
    }
    const bool armed = !peaceful && world.random.chance(5, 6);
    if (armed) arm_crash(world);
    if (!run_life(world, sim)) {
      if (!may_stand_still(world)) world.fail(describe_stop(world));
      node.power_fail();
      world.power_failed = true;
      ++world.counts.broken_lives;
      continue;
    }
    if (!world.failure.empty()) break;
    after_life(world, armed);
    node.crash_after_steps(~std::uint64_t{0} / 2, CrashKind::kKill);
  }
}

}  // namespace

std::string_view to_string(Trouble trouble) {
  switch (trouble) {
    case Trouble::kNone:
      return "none";
    case Trouble::kWriteError:
      return "write errors";
    case Trouble::kSyncError:
      return "failed syncs";
    case Trouble::kNoSpace:
      return "no space";
    case Trouble::kFullDisk:
      return "full disk";
    case Trouble::kSlow:
      return "slow disk";
    case Trouble::kHang:
      return "hung disk";
    case Trouble::kReadError:
      return "unreadable sectors";
    case Trouble::kBitRot:
      return "bit rot";
    case Trouble::kMisdirected:
      return "misdirected writes";
    case Trouble::kDropped:
      return "dropped writes";
  }
  return "unknown";
}

void EngineCounts::add(const EngineCounts& other) {
  for (const NamedCount& one : kCounts) this->*one.count += other.*one.count;
}

std::string EngineCounts::to_string() const {
  std::string all;
  for (const NamedCount& one : kCounts) {
    fmt::format_to(std::back_inserter(all), "{}{} {}", all.empty() ? "" : ", ", one.name,
                   this->*one.count);
  }
  return all;
}

void EngineWorld::judge(const Volume* volume, std::string_view what, const Error& error) {
  if (is_broken) return;
  // Damage of one block is no reason to stop.
  const bool steps_out =
      volume == nullptr || volume->replica == nullptr || volume->replica->fault().has_value();
  if (loses_data() && error.code() == ErrorCode::kDataLoss && !steps_out) {
    ++counts.damaged_reads;
    return;
  }
  if (breaks_lives()) {
    is_broken = true;
    ++counts.broken_lives;
    return;
  }
  fail(fmt::format("{} of volume {}: {}", what, volume == nullptr ? 0 : volume->number,
                   error.to_string()));
}

Volume* EngineWorld::any_volume() {
  std::vector<Volume*> ready;
  for (Volume& volume : volumes) {
    const bool is_there = volume.being == Volume::Being::kThere && volume.replica != nullptr;
    if (is_there && !volume.exclusive) ready.push_back(&volume);
  }
  return ready.empty() ? nullptr : ready[random.below(ready.size())];
}

Volume& EngineWorld::add_volume(std::uint64_t size_blocks, model::Contents contents) {
  Volume& made = volumes.emplace_back(next_volume++, size_blocks, std::move(contents));
  made.model.allows_old = may_show_old();
  made.model.may_lose = loses_data();
  if (random.chance(buffered_percent, 100)) {
    made.rule = CommitRule::kWritten;
  } else if (random.chance(1, 2)) {
    made.rule = CommitRule::kGiven;
  }
  return made;
}

void EngineWorld::absorb(const Store& opened_store) {
  Store& open = const_cast<Store&>(opened_store);
  const EngineMetrics& metrics = open.shared().metrics;
  life_counts.moved = metrics.moved_records.value();
  life_counts.delayed = metrics.delayed_appends.value();
  life_counts.retried_reads = metrics.read_retries.value();
  life_counts.log_reads = metrics.reads_from_log.value();
  life_counts.flush_log_bytes = metrics.flush_log_bytes.value();
  life_counts.refused = metrics.refused_appends.value();
  life_counts.map_misses = open.map_statistics().misses;
  if (open.shared().log->head().value() / options.log_capacity.value() > counts.laps) {
    counts.laps = open.shared().log->head().value() / options.log_capacity.value();
  }
  for (Volume& volume : volumes) {
    if (volume.replica == nullptr) continue;
    const std::size_t layers = volume.replica->state().layers.size();
    if (layers > volume.layers) life_counts.rotations += layers - volume.layers;
    if (layers < volume.layers) life_counts.merges += volume.layers - layers;
    volume.layers = layers;
  }
}

Task<void> live(EngineWorld* world, Runtime runtime) {
  const Result<> ended = co_await live_once(world, runtime);
  if (!ended.ok()) world->judge(nullptr, "the store", ended.error());
}

EngineVerdict run_engine(std::uint64_t seed, PlantedBug bug) {
  SimWorld sim(seed);
  sim.set_event_limit(20'000'000);
  EngineWorld world(sim.split("engine"));
  draw_options(world, seed);
  world.options.bug = bug;
  SimNode& node = sim.add_node();
  world.node = &node;
  run_lives(world, sim);
  EngineVerdict verdict;
  verdict.failure = world.failure;
  verdict.trouble = world.trouble;
  verdict.buffered = world.buffered_percent > 0;
  verdict.counts = world.counts;
  verdict.steps = node.steps();
  verdict.events = sim.events();
  verdict.virtual_seconds = static_cast<double>(sim.now().nanoseconds()) / 1e9;
  verdict.trace_hash = sim.trace_hash();
  if (!verdict.failure.empty()) verdict.last_events = sim.recent_events();
  // The process goes before the volumes that it points to.
  if (node.is_running() || node.has_exited()) node.power_fail();
  return verdict;
}

}  // namespace ashlar::engine
