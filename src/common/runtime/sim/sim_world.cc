#include "common/runtime/sim/sim_world.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "common/runtime/sim/sim_network.h"
#include "common/runtime/sim/sim_node.h"

namespace ashlar::sim {

std::string_view to_string(EventKind kind) {
  switch (kind) {
    case EventKind::kResume:
      return "resume";
    case EventKind::kTimer:
      return "timer";
    case EventKind::kPosted:
      return "posted";
    case EventKind::kDisk:
      return "disk";
    case EventKind::kDeliver:
      return "deliver";
    case EventKind::kAck:
      return "ack";
    case EventKind::kReset:
      return "reset";
    case EventKind::kConnect:
      return "connect";
    case EventKind::kScript:
      return "script";
    case EventKind::kNote:
      return "fault";
  }
  ASHLAR_UNREACHABLE();
}

void SimEvent::disarm() {
  if (world_ != nullptr) world_->remove(*this);
}

SimWorld::SimWorld(std::uint64_t seed)
    : seed_(seed),
      root_(seed),
      trace_hash_(seed),
      fabric_(std::make_unique<SimFabric>(*this)),
      dump_hook_("simulation", this, &SimWorld::print_state) {}

SimWorld::~SimWorld() {
  // Processes first: their operations point into disks and connections.
  for (auto& node : nodes_) node->shut_down();
  while (!heap_.empty()) {
    destroy(*heap_.back());
  }
  nodes_.clear();
}

SimNode& SimWorld::add_node() {
  nodes_.push_back(std::make_unique<SimNode>(*this, node_count() + 1));
  return *nodes_.back();
}

SimNode& SimWorld::node(std::uint32_t number) {
  ASHLAR_CHECK(number >= 1 && number <= nodes_.size(), "no node {}", number);
  return *nodes_[number - 1];
}

void SimWorld::arm(SimEvent& event, MonoTime at, std::uint64_t detail) {
  event.disarm();
  if (firing_.get() == &event) event.self_ = std::move(firing_);
  event.world_ = this;
  event.due_ = std::max(at, now_);
  event.sequence_ = next_sequence_++;
  event.detail_ = detail;
  heap_.push_back(nullptr);
  place(heap_.size() - 1, &event);
  sift_up(event.place_);
}

void SimWorld::own(std::unique_ptr<SimEvent> event, MonoTime at, std::uint64_t detail) {
  SimEvent& armed = *event;
  armed.self_ = std::move(event);
  arm(armed, at, detail);
}

void SimWorld::destroy(SimEvent& event) {
  event.disarm();
  // Not `event.self_.reset()`: the event would die while its own member is being assigned.
  const std::unique_ptr<SimEvent> dies_here = std::move(event.self_);
}

bool SimWorld::step() {
  return step_before(MonoTime::kNever);
}

void SimWorld::refresh_nodes() {
  // Coroutines become ready in many ways, and the ready queue tells nobody. There are few nodes, so
  // asking each of them costs less than a notification would in the real runtime.
  for (auto& node : nodes_) node->refresh();
}

bool SimWorld::step_before(MonoTime end) {
  refresh_nodes();
  if (heap_.empty() || heap_.front()->due_ > end) return false;
  SimEvent& event = *heap_.front();
  ASHLAR_CHECK(event.due_ >= now_, "time runs backwards");
  now_ = event.due_;
  ++events_;
  ASHLAR_CHECK(events_ <= event_limit_, "seed {} ran {} events without an end", seed_, events_);
  mix(static_cast<std::uint64_t>(now_.nanoseconds()));
  mix(static_cast<std::uint64_t>(event.kind_) << 56 ^ std::uint64_t{event.node_} << 40 ^
      event.detail_);
  remember(event.kind_, event.node_, event.detail_);
  remove(event);
  firing_ = std::move(event.self_);
  event.fire();
  firing_.reset();
  return true;
}

void SimWorld::note_fault(std::uint32_t node, std::uint64_t what) {
  mix(what);
  remember(EventKind::kNote, node, what);
}

void SimWorld::remember(EventKind kind, std::uint32_t node, std::uint64_t detail) {
  recent_[remembered_++ % kRememberedEvents] = {now_, kind, node, detail};
}

std::string SimWorld::recent_events() const {
  std::string text;
  const std::uint64_t first = remembered_ > kRememberedEvents ? remembered_ - kRememberedEvents : 0;
  for (std::uint64_t i = first; i < remembered_; ++i) {
    const TraceEntry& entry = recent_[i % kRememberedEvents];
    fmt::format_to(std::back_inserter(text), "{} node {} {} {}\n", entry.time, entry.node,
                   to_string(entry.kind), entry.detail);
  }
  return text;
}

std::string SimWorld::print_state(const void* self) {
  const auto& world = *static_cast<const SimWorld*>(self);
  return fmt::format("seed {}, event {}, virtual time {}; the last events:\n{}", world.seed_,
                     world.events_, world.now_, world.recent_events());
}

void SimWorld::remove(SimEvent& event) {
  const std::size_t hole = event.place_;
  SimEvent* last = heap_.back();
  heap_.pop_back();
  event.world_ = nullptr;
  if (last == &event) return;
  place(hole, last);
  sift_up(hole);
  sift_down(last->place_);
}

void SimWorld::place(std::size_t index, SimEvent* event) {
  heap_[index] = event;
  event->place_ = index;
}

void SimWorld::sift_up(std::size_t index) {
  SimEvent* event = heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (!before(*event, *heap_[parent])) break;
    place(index, heap_[parent]);
    index = parent;
  }
  place(index, event);
}

void SimWorld::sift_down(std::size_t index) {
  SimEvent* event = heap_[index];
  while (true) {
    std::size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *event)) break;
    place(index, heap_[child]);
    index = child;
  }
  place(index, event);
}

}  // namespace ashlar::sim
