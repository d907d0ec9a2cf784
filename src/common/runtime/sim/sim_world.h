// SimWorld: everything that happens in a simulated run, in one process and one thread, from one
// seed.
//
//   SimWorld world(seed);
//   SimNode& node = world.add_node();
//   node.start([](Runtime runtime) -> Task<void> { … });
//   world.after(3s, [&] { node.power_fail(); });
//   ASHLAR_CHECK(world.run_until([&] { return done; }, 60s));
//   fmt::print("{:016x}\n", world.trace_hash());
//
// Time is virtual, in nanoseconds, and moves only from one event to the next. Events run in the
// order of (time, insertion number), so two events of the same instant have an order too. Every
// event is mixed into the trace hash with numbers that are the same in every run (never a pointer):
// two runs with equal hashes did the same things at the same times.
//
// Randomness: every part has its own stream, split by name from the seed, so a draw added in one
// part does not shift the others.
//
// A failed check anywhere on this thread prints the seed and the last events of the run.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/time.h"

namespace ashlar::sim {

class SimFabric;
class SimNode;
class SimWorld;

enum class EventKind : std::uint8_t {
  kResume,   // one coroutine of a node goes on
  kTimer,    // a timer of a node is due
  kPosted,   // work posted to a node's executor
  kDisk,     // a disk operation is over
  kDeliver,  // bytes reach the other side of a connection
  kAck,      // the sender learns that its window is free again
  kReset,    // one side of a connection learns that it is gone
  kConnect,  // a handshake takes its next step
  kScript,   // at() and after(): what a test or scenario planned
  kNote,     // not an event: a fact mixed into the trace (SimWorld::note)
};
std::string_view to_string(EventKind kind);

// Something that happens at a point in time. It belongs to whoever made it and leaves the world
// when it dies; only those made by SimWorld::at() belong to the world.
class SimEvent {
 public:
  // `node` is the number of the machine it concerns, 0 for none.
  SimEvent(EventKind kind, std::uint32_t node) : kind_(kind), node_(node) {}
  SimEvent(const SimEvent&) = delete;
  SimEvent& operator=(const SimEvent&) = delete;
  virtual ~SimEvent() { disarm(); }

  virtual void fire() = 0;

  bool is_armed() const { return world_ != nullptr; }
  MonoTime due() const { return due_; }
  void disarm();

 private:
  friend class SimWorld;

  const EventKind kind_;
  const std::uint32_t node_;
  SimWorld* world_ = nullptr;
  std::size_t place_ = 0;  // in the world's heap
  MonoTime due_;
  std::uint64_t sequence_ = 0;
  std::uint64_t detail_ = 0;
  std::unique_ptr<SimEvent> self_;  // set when the world owns it
};

class SimWorld {
 public:
  explicit SimWorld(std::uint64_t seed);
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;
  ~SimWorld();

  std::uint64_t seed() const { return seed_; }
  MonoTime now() const { return now_; }
  std::uint64_t trace_hash() const { return trace_hash_; }
  std::uint64_t events() const { return events_; }
  // More events than this is a run that does not end: a fatal check that names the seed.
  void set_event_limit(std::uint64_t limit) { event_limit_ = limit; }

  // A stream that follows from the seed and `name` only.
  Random split(std::string_view name) const { return root_.split(name); }

  // Machines are numbered from 1 in the order in which they are added.
  SimNode& add_node();
  SimNode& node(std::uint32_t number);
  std::uint32_t node_count() const { return static_cast<std::uint32_t>(nodes_.size()); }
  SimFabric& fabric() { return *fabric_; }

  // Arming an armed event moves it. `detail` tells events of the same kind and node apart in the
  // trace. A point in the past means now.
  void arm(SimEvent& event, MonoTime at, std::uint64_t detail = 0);
  // The same, and the world keeps the event until it has fired (it may arm itself once more from
  // fire()) or is destroyed here.
  void own(std::unique_ptr<SimEvent> event, MonoTime at, std::uint64_t detail);
  void destroy(SimEvent& event);

  // Calls `f()` from the event loop; the world owns it until then.
  template <class F>
  void at(MonoTime time, F f) {
    post(EventKind::kScript, 0, time, std::move(f));
  }
  template <class F>
  void after(Duration delay, F f) {
    at(now_ + delay, std::move(f));
  }
  template <class F>
  void post(EventKind kind, std::uint32_t node, MonoTime time, F f, std::uint64_t detail = 0) {
    class Call final : public SimEvent {
     public:
      Call(EventKind k, std::uint32_t n, F call) : SimEvent(k, n), call_(std::move(call)) {}
      void fire() override { call_(); }

     private:
      F call_;
    };
    own(std::make_unique<Call>(kind, node, std::move(f)), time, detail);
  }

  // Runs the next event. False when there is none.
  bool step();
  // Runs events until `predicate()` holds or `limit` of virtual time has gone by; returns whether
  // it holds. Time stands at the limit when it was reached.
  template <class Predicate>
    requires std::is_invocable_r_v<bool, Predicate>
  bool run_until(Predicate predicate, Duration limit) {
    const MonoTime end = now_ + limit;
    while (!predicate()) {
      if (!step_before(end)) {
        if (!end.is_never()) now_ = end;
        return predicate();
      }
    }
    return true;
  }
  void run_until(MonoTime end) {
    run_until([] { return false; }, end - now_);
  }
  void run_for(Duration duration) { run_until(now_ + duration); }

  // Mixes a fact that is no event into the trace hash: bytes written, a pick, a fault.
  void note(std::uint64_t fact) { mix(fact); }
  // The same, and it shows in the printed trace.
  void note_fault(std::uint32_t node, std::uint64_t what);

  // The last events, one a line, oldest first.
  std::string recent_events() const;

 private:
  friend class SimEvent;

  struct TraceEntry {
    MonoTime time;
    EventKind kind;
    std::uint32_t node;
    std::uint64_t detail;
  };
  static constexpr std::size_t kRememberedEvents = 48;

  static std::string print_state(const void* self);
  static bool before(const SimEvent& a, const SimEvent& b) {
    return a.due_ != b.due_ ? a.due_ < b.due_ : a.sequence_ < b.sequence_;
  }

  void refresh_nodes();
  bool step_before(MonoTime end);
  void remove(SimEvent& event);
  void place(std::size_t index, SimEvent* event);
  void sift_up(std::size_t index);
  void sift_down(std::size_t index);
  void remember(EventKind kind, std::uint32_t node, std::uint64_t detail);
  void mix(std::uint64_t value) {
    trace_hash_ = (trace_hash_ ^ value) * 0x9e3779b97f4a7c15ull;
    trace_hash_ ^= trace_hash_ >> 29;
  }

  const std::uint64_t seed_;
  const Random root_;
  MonoTime now_;
  std::vector<SimEvent*> heap_;
  std::unique_ptr<SimEvent> firing_;  // the owned event whose turn it is
  std::uint64_t next_sequence_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t event_limit_ = 200'000'000;
  std::uint64_t trace_hash_ = 0;
  std::array<TraceEntry, kRememberedEvents> recent_{};
  std::uint64_t remembered_ = 0;
  std::unique_ptr<SimFabric> fabric_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  CheckDumpHook dump_hook_;
};

}  // namespace ashlar::sim
