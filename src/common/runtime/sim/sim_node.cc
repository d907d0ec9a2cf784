#include "common/runtime/sim/sim_node.h"

#include <utility>

#include <fmt/format.h>

#include "common/runtime/sim/sim_network.h"
#include "common/runtime/sim/sim_process.h"

namespace ashlar::sim {
namespace {

constexpr std::int64_t kMillion = 1'000'000;

// length × parts / 10⁶ without leaving 64 bits for any length of a run.
Duration scaled(Duration length, std::int64_t parts) {
  const std::int64_t n = length.count();
  return Duration(n / kMillion * parts + n % kMillion * parts / kMillion);
}

// The day simulated time begins: any, as long as it is not the epoch itself.
constexpr Duration kWallOrigin = 1'700'000'000s;

}  // namespace

SimNode::SimNode(SimWorld& world, std::uint32_t number)
    : world_(world), number_(number), disk_(world, number) {
  Random random = world.split(fmt::format("clock/{}", number));
  ASHLAR_CHECK(number >= 1 && number <= 254, "10.0.0.{} is no address", number);
  // A monotonic clock starts at boot: no two machines agree on it.
  local_base_ = MonoTime(random.between(Duration(1s), Duration(1000s)));
  world_base_ = world.now();
}

SimNode::~SimNode() {
  shut_down();
}

std::string SimNode::address() const {
  return fmt::format("10.0.0.{}", number_);
}

Endpoint SimNode::endpoint(std::uint16_t port) const {
  return Endpoint::ipv4(10, 0, 0, static_cast<std::uint8_t>(number_), port);
}

void SimNode::start(Main main) {
  main_ = std::move(main);
  restart();
}

void SimNode::restart() {
  ASHLAR_CHECK(main_ != nullptr, "node {} has nothing to start again", number_);
  boot();
  process_->root().spawn(main_(process_->runtime()));
}

void SimNode::boot() {
  ASHLAR_CHECK(!is_running(), "node {} runs already", number_);
  process_.reset();
  if (!has_power_) {
    has_power_ = true;
    world_.fabric().power_is_back(*this);
  }
  crash_at_step_ = 0;
  requested_crash_.reset();
  paused_until_ = MonoTime();
  process_ = std::make_unique<SimProcess>(*this, ++incarnation_);
}

void SimNode::spawn(Task<void> task) {
  ASHLAR_CHECK(process_ != nullptr, "node {} has no process", number_);
  process_->root().spawn(std::move(task));
}

Runtime SimNode::runtime() {
  ASHLAR_CHECK(process_ != nullptr, "node {} has no process", number_);
  return process_->runtime();
}

bool SimNode::is_running() const {
  return process_ != nullptr && process_->root().running() > 0;
}

void SimNode::kill_process() {
  crash(CrashKind::kKill);
}

void SimNode::power_fail() {
  crash(CrashKind::kPowerFail);
}

void SimNode::crash(CrashKind kind) {
  if (in_resumption_) {
    // A frame cannot be destroyed from inside itself.
    if (requested_crash_ != CrashKind::kPowerFail) requested_crash_ = kind;
    return;
  }
  crash_now(kind);
}

void SimNode::crash_now(CrashKind kind) {
  if (!has_power_) return;
  world_.note_fault(number_, 100 + static_cast<std::uint64_t>(kind));
  crash_at_step_ = 0;
  requested_crash_.reset();
  if (kind == CrashKind::kKill) {
    if (process_ == nullptr) return;
    world_.fabric().process_died(*this);
    process_.reset();
    return;
  }
  has_power_ = false;
  world_.fabric().power_failed(*this);
  process_.reset();
  disk_.power_fail();
}

void SimNode::shut_down() {
  if (process_ == nullptr) return;
  world_.fabric().process_died(*this);
  process_.reset();
}

void SimNode::pause(Duration duration) {
  paused_until_ = world_.now() + duration;
  ++clock_generation_;
  world_.note_fault(number_, 102);
}

void SimNode::crash_after_steps(std::uint64_t steps, CrashKind kind) {
  ASHLAR_CHECK_GT(steps, 0u);
  crash_at_step_ = steps_ + steps;
  crash_kind_ = kind;
}

void SimNode::after_resumption() {
  ++steps_;
  in_resumption_ = false;
  if (requested_crash_) {
    crash_now(*requested_crash_);
  } else if (steps_ == crash_at_step_) {
    crash_now(crash_kind_);
  }
}

void SimNode::refresh() {
  if (process_ != nullptr) process_->refresh();
}

void SimNode::rebase_clock() {
  local_base_ = local_time();
  world_base_ = world_.now();
  ++clock_generation_;
}

void SimNode::set_drift(std::int64_t ppm) {
  ASHLAR_CHECK(ppm > -kMillion && ppm < kMillion, "a drift of {} ppm", ppm);
  rebase_clock();
  drift_ppm_ = ppm;
}

void SimNode::step_wall_clock(Duration by) {
  wall_offset_ += by;
}

MonoTime SimNode::local_time() const {
  const Duration passed = world_.now() - world_base_;
  return local_base_ + passed + scaled(passed, drift_ppm_);
}

WallTime SimNode::wall_time() const {
  return WallTime(kWallOrigin + (local_time() - MonoTime()) + wall_offset_);
}

MonoTime SimNode::world_time_of(MonoTime local) const {
  if (local <= local_time()) return world_.now();
  const Duration wanted = local - local_base_;
  MonoTime time = world_base_ + wanted;
  if (time.is_never()) return time;
  // One division brings it close; rounding is repaired so that the timer is never early.
  const std::int64_t n = wanted.count();
  const std::int64_t rate = kMillion + drift_ppm_;
  time = world_base_ + Duration(n / rate * kMillion + n % rate * kMillion / rate);
  while (local_base_ + (time - world_base_) + scaled(time - world_base_, drift_ppm_) < local) {
    time += Duration(1);
  }
  return time;
}

}  // namespace ashlar::sim
