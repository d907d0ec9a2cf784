// SimProcess: one running incarnation of a node's program: its executor, its clock and timers, its
// open files and sockets, and the root scope that owns all of its coroutines. It is the simulated
// counterpart of uring::Reactor.
//
// Killing it destroys every coroutine where it stands: the executor is abandoned first, so scopes
// let their frames go unjoined, and operations in flight tell their backends to forget them. What
// the frames owned (files, connections, timers) goes with them; what the kernel owned (writes on
// their way to the disk) goes on without them.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "common/runtime/runtime.h"
#include "common/runtime/sim/sim_file_system.h"
#include "common/runtime/sim/sim_network.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"
#include "common/runtime/timer_queue.h"

namespace ashlar::sim {

class SimNode;

class SimProcess final : public Executor, public Clock {
 public:
  SimProcess(SimNode& node, std::uint32_t incarnation);
  ~SimProcess();

  Runtime runtime() { return {*this, *this, files_, network_, random_}; }
  TaskScope& root() { return *root_; }
  SimNode& node() { return node_; }

  MonoTime now() const override;
  WallTime wall_now() const override;
  void arm(Timer& timer, MonoTime deadline) override { timers_.arm(timer, deadline); }

  // Arms the events for the next resumption and the next timer, where they changed.
  void refresh();

 private:
  class ResumeEvent final : public SimEvent {
   public:
    ResumeEvent(SimProcess& process, std::uint32_t node);
    void fire() override { process_.resume_one(); }

   private:
    SimProcess& process_;
  };
  class TimerEvent final : public SimEvent {
   public:
    TimerEvent(SimProcess& process, std::uint32_t node);
    void fire() override;

   private:
    SimProcess& process_;
  };
  class PostedEvent final : public SimEvent {
   public:
    PostedEvent(SimProcess& process, std::uint32_t node);
    void fire() override;

   private:
    SimProcess& process_;
  };

  void resume_one();
  void post_work(std::unique_ptr<PostedWork> work) override;

  SimNode& node_;
  Random schedule_;
  Random random_;
  TimerQueue timers_;
  MonoTime timer_armed_for_ = MonoTime::kNever;
  std::uint64_t clock_generation_ = 0;
  MonoTime busy_until_;
  ResumeEvent resume_event_;
  TimerEvent timer_event_;
  PostedEvent posted_event_;
  std::vector<std::unique_ptr<PostedWork>> posted_;
  SimFileSystem files_;
  SimNetwork network_;
  std::optional<TaskScope> root_;
};

}  // namespace ashlar::sim
