#include "common/runtime/sim/sim_process.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "common/runtime/sim/sim_node.h"

namespace ashlar::sim {
namespace {

// What one resumption costs: enough for two nodes to overtake each other between any two of them.
constexpr Duration kLeastCost = 100ns;
constexpr Duration kMostCost = 2us;

Random stream(const SimNode& node, const char* what, std::uint32_t incarnation) {
  return node.world().split(fmt::format("{}/{}/{}", what, node.number(), incarnation));
}

}  // namespace

SimProcess::ResumeEvent::ResumeEvent(SimProcess& process, std::uint32_t node)
    : SimEvent(EventKind::kResume, node), process_(process) {}
SimProcess::TimerEvent::TimerEvent(SimProcess& process, std::uint32_t node)
    : SimEvent(EventKind::kTimer, node), process_(process) {}
SimProcess::PostedEvent::PostedEvent(SimProcess& process, std::uint32_t node)
    : SimEvent(EventKind::kPosted, node), process_(process) {}

SimProcess::SimProcess(SimNode& node, std::uint32_t incarnation)
    : node_(node),
      schedule_(stream(node, "schedule", incarnation)),
      random_(stream(node, "process", incarnation)),
      resume_event_(*this, node.number()),
      timer_event_(*this, node.number()),
      posted_event_(*this, node.number()),
      files_(node.disk()),
      network_(node.world().fabric(), node),
      root_(std::in_place, *this) {
  shuffle_with(&schedule_);
}

SimProcess::~SimProcess() {
  abandon();
  root_.reset();
}

MonoTime SimProcess::now() const {
  return node_.local_time();
}

WallTime SimProcess::wall_now() const {
  return node_.wall_time();
}

void SimProcess::refresh() {
  SimWorld& world = node_.world();
  if (has_ready() && !resume_event_.is_armed()) {
    world.arm(resume_event_, std::max(busy_until_, node_.paused_until()), resumptions());
  }
  if (timers_.earliest() != timer_armed_for_ || clock_generation_ != node_.clock_generation()) {
    timer_armed_for_ = timers_.earliest();
    clock_generation_ = node_.clock_generation();
    timer_event_.disarm();
    if (!timer_armed_for_.is_never()) {
      const MonoTime may_run = std::max(busy_until_, node_.paused_until());
      world.arm(timer_event_, std::max(node_.world_time_of(timer_armed_for_), may_run));
    }
  }
}

void SimProcess::resume_one() {
  SimWorld& world = node_.world();
  if (world.now() < node_.paused_until()) return;  // refresh() arms it again
  busy_until_ = world.now() + schedule_.between(kLeastCost, kMostCost);
  node_.in_resumption_ = true;
  run_one_ready();
  node_.after_resumption();  // may destroy this process
}

void SimProcess::TimerEvent::fire() {
  SimProcess& process = process_;
  process.timer_armed_for_ = MonoTime::kNever;
  if (process.node_.world().now() < process.node_.paused_until()) return;
  // Looking at timers takes time like everything else: one that arms itself again in the past must
  // not keep the world from moving on.
  process.busy_until_ =
      process.node_.world().now() + process.schedule_.between(kLeastCost, kMostCost);
  process.timers_.fire_until(process.now());
}

void SimProcess::post_work(std::unique_ptr<PostedWork> work) {
  posted_.push_back(std::move(work));
  if (!posted_event_.is_armed()) {
    node_.world().arm(posted_event_, std::max(node_.world().now() + 1us, node_.paused_until()));
  }
}

void SimProcess::PostedEvent::fire() {
  SimNode& node = process_.node_;
  if (node.world().now() < node.paused_until()) {
    node.world().arm(*this, node.paused_until());
    return;
  }
  std::vector<std::unique_ptr<PostedWork>> batch = std::move(process_.posted_);
  process_.posted_.clear();
  node.in_resumption_ = true;
  for (auto& work : batch) work->run();
  node.after_resumption();  // may destroy this event
}

}  // namespace ashlar::sim
