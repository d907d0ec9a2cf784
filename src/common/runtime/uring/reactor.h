// Reactor: the real runtime. One thread, one io_uring, one ready queue; it sleeps in the kernel
// when nothing is ready, and an idle reactor does not wake up at all.
//
//   auto reactor = Reactor::create({});            // on the thread that will run it
//   if (!reactor.ok()) …                           // says what the kernel or container lacks
//   const int status = (*reactor)->run(serve((*reactor)->runtime()));
//
// Works on Linux 6.1 and newer. Everything but post() belongs to the thread that created it; no
// thread may begin to post once the reactor is destroyed. The destructor waits for those within
// post(); what it finds posted, or comes while it runs, is dropped.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/result.h"
#include "common/runtime/runtime.h"
#include "common/runtime/task_scope.h"
#include "common/runtime/timer_queue.h"
#include "common/runtime/uring/ring.h"

namespace ashlar::uring {

class Offload;
class UringFileSystem;
class UringNetwork;

struct ReactorOptions {
  unsigned ring_entries = 1024;
};

struct ReactorStats {
  std::uint64_t iterations = 0;   // turns of the loop: stands still while idle
  std::uint64_t completions = 0;  // of io_uring
};

class Reactor final : public Executor, public Clock {
 public:
  static Result<std::unique_ptr<Reactor>> create(const ReactorOptions& options);
  ~Reactor();

  Runtime runtime();

  // Runs the loop until `main` and every call that came in meanwhile are over; gives main's result.
  template <class T>
  T run(Task<T> main) {
    std::optional<T> result;
    TaskScope scope(*this);
    scope.spawn(store(std::move(main), result));
    loop(scope);
    return std::move(*result);
  }
  void run(Task<void> main) {
    TaskScope scope(*this);
    scope.spawn(std::move(main));
    loop(scope);
  }

  MonoTime now() const override;
  WallTime wall_now() const override;
  void arm(Timer& timer, MonoTime deadline) override { timers_.arm(timer, deadline); }

  Ring& ring() { return ring_; }
  // A helper thread for system calls that block and have no place in io_uring. Starts when first
  // used.
  Offload& offload() { return *offload_; }
  // Tasks begun by other threads (call_on in call.h). Cancelled and joined when run() ends.
  TaskScope& calls() { return *calls_; }

  ReactorStats stats() const { return {iterations_, ring_.completions()}; }

 private:
  class Wake;

  explicit Reactor(Ring ring);

  template <class T>
  static Task<void> store(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }

  void loop(TaskScope& main);
  void turn_until_over(const TaskScope& scope);
  void turn();
  void wait();
  void run_posted();
  void post_work(std::unique_ptr<PostedWork> work) override;
  void push_posted(PostedWork* mine);

  Ring ring_;
  TimerQueue timers_;
  std::optional<TaskScope> calls_;  // a new one for each run()
  Random random_;
  std::atomic<PostedWork*> posted_ = nullptr;
  std::atomic<bool> closed_ = false;
  std::atomic<int> posting_ = 0;  // threads within post_work()
  std::unique_ptr<Wake> wake_;
  std::unique_ptr<Offload> offload_;
  std::unique_ptr<UringFileSystem> files_;
  std::unique_ptr<UringNetwork> network_;
  std::uint64_t iterations_ = 0;
};

}  // namespace ashlar::uring
