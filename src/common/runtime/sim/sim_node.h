// SimNode: one machine. It has a disk that survives, an address, clocks that are wrong in their own
// way, and at most one process, which can be killed and started again.
//
//   kill_process()  kill -9: the kernel lives on. Writes that resolved are kept, those on their way
//                   arrive; peers get a reset; file locks are released.
//   power_fail()    the machine is gone in the middle of what it did: the disk decides by its seed
//                   what of the un-synced state survives, and peers hear nothing until they send
//                   to the machine after it is up again (then: a reset).
//   restart()       runs what start() was given once more, on the disk as it is.
//   pause()         SIGSTOP: nothing of the process runs, its clocks go on, its socket buffers
//   fill.
//
// Each may be called from outside of the run, from SimWorld::at(), or from a coroutine of any node;
// called from one of its own, the process dies when that coroutine next suspends. With
// crash_after_steps() a test visits every point between two resumptions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/endpoint.h"
#include "common/runtime/runtime.h"
#include "common/runtime/sim/sim_disk.h"
#include "common/runtime/sim/sim_world.h"

namespace ashlar::sim {

class SimProcess;

enum class CrashKind : std::uint8_t { kKill, kPowerFail };

class SimNode {
 public:
  using Main = std::function<Task<void>(Runtime)>;

  SimNode(SimWorld& world, std::uint32_t number);
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;
  ~SimNode();

  std::uint32_t number() const { return number_; }
  SimWorld& world() const { return world_; }
  SimDisk& disk() { return disk_; }
  std::string address() const;  // "10.0.0.<number>"
  Endpoint endpoint(std::uint16_t port) const;

  // Starts a process that runs `main`. The node keeps `main`, so a coroutine lambda may capture.
  void start(Main main);
  void restart();
  // A process without a main, for tests that spawn() into it.
  void boot();
  void spawn(Task<void> task);
  Runtime runtime();

  // There is a process and not all of its tasks are over.
  bool is_running() const;
  // The process came to its own end; nobody killed it.
  bool has_exited() const { return process_ != nullptr && !is_running(); }
  bool has_power() const { return has_power_; }

  void kill_process();
  void power_fail();
  void crash(CrashKind kind);
  void pause(Duration duration);
  // Crashes the process when `steps` more of its resumptions have run.
  void crash_after_steps(std::uint64_t steps, CrashKind kind);
  // Resumptions of all incarnations.
  std::uint64_t steps() const { return steps_; }
  std::uint32_t incarnation() const { return incarnation_; }

  // Parts per million by which the machine's clocks are fast (or, negative, slow) from now on.
  void set_drift(std::int64_t ppm);
  void step_wall_clock(Duration by);

  // For the process and the world.
  MonoTime local_time() const;
  WallTime wall_time() const;
  MonoTime world_time_of(MonoTime local) const;
  MonoTime paused_until() const { return paused_until_; }
  std::uint64_t clock_generation() const { return clock_generation_; }
  void after_resumption();
  void refresh();
  void shut_down();

 private:
  void crash_now(CrashKind kind);
  void rebase_clock();

  SimWorld& world_;
  const std::uint32_t number_;
  SimDisk disk_;
  Main main_;
  std::unique_ptr<SimProcess> process_;
  bool has_power_ = true;
  std::uint32_t incarnation_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t crash_at_step_ = 0;  // 0: never
  CrashKind crash_kind_ = CrashKind::kKill;
  std::optional<CrashKind> requested_crash_;
  bool in_resumption_ = false;
  MonoTime paused_until_;

  // local = local_base_ + (virtual - world_base_) × (1 + ppm/10⁶)
  MonoTime local_base_;
  MonoTime world_base_;
  std::int64_t drift_ppm_ = 0;
  Duration wall_offset_{};
  std::uint64_t clock_generation_ = 0;
  friend class SimProcess;
};

}  // namespace ashlar::sim
