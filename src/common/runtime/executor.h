// The ready queue of one reactor: every coroutine that may go on stands in it, and nothing is ever
// resumed from anywhere else, but for the one that awaits a task that ends: it goes on in the
// task's place. That bounds the stack, keeps frames from dying under their own feet, and gives the
// simulator one place to permute interleavings.
//
// Everything here belongs to the executor's thread except post().
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <utility>

#include "common/base/intrusive_list.h"

namespace ashlar {

class CancelScope;
class Executor;
class Random;
class TaskScope;

// What every coroutine of the runtime carries. Executor and cancel scope come from the parent when
// the task is first awaited (or from the TaskScope that spawned it), so no code looks them up in a
// thread_local.
class PromiseBase : public ListHook<struct ReadyTag>, public ListHook<struct ChildTag> {
 public:
  static void* operator new(std::size_t size);
  static void operator delete(void* frame, std::size_t size) noexcept;

  std::coroutine_handle<> handle;
  Executor* executor = nullptr;
  CancelScope* cancel_scope = nullptr;
  PromiseBase* continuation = nullptr;  // who awaits this task
  TaskScope* owner = nullptr;           // who reaps it, when it was spawned
  // True while the awaiting parent is inside await_suspend: completion then needs no resumption.
  bool started_in_place = false;
};

// Coroutine frames alive on this thread. Back at its old value when nothing leaked.
std::int64_t live_frames();

// Work sent to an executor from another thread.
class PostedWork {
 public:
  virtual ~PostedWork() = default;
  virtual void run() = 0;

  std::unique_ptr<PostedWork> next;
};

class Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Puts a suspended coroutine at the end of the queue. It must not stand there already.
  void make_ready(PromiseBase& promise) { ready_.push_back(promise); }

  // What goes on in the place of a coroutine that has ended: `next`, for which this saves a turn in
  // the queue. In the simulator it stands in the queue like all others, so that they overtake it.
  std::coroutine_handle<> hand_over(PromiseBase& next) {
    if (shuffle_ == nullptr) return next.handle;
    make_ready(next);
    return std::noop_coroutine();
  }

  bool has_ready() const { return !ready_.empty(); }

  // Takes one coroutine from the queue and runs it to its next suspension. Returns false when the
  // queue is empty. Called by the reactor's loop or the simulator.
  bool run_one_ready();

  // Runs `f()` on the executor's thread, soon. Safe from every thread; the only member that is.
  template <class F>
  void post(F f) {
    class Work final : public PostedWork {
     public:
      explicit Work(F work) : work_(std::move(work)) {}
      void run() override { work_(); }

     private:
      F work_;
    };
    post_work(std::make_unique<Work>(std::move(f)));
  }

  // A simulated process that was killed: its frames may be destroyed while suspended. Never true in
  // the real runtime, where a suspended frame may be owned by the kernel.
  bool abandoned() const { return abandoned_; }

  // Coroutines resumed so far.
  std::uint64_t resumptions() const { return resumptions_; }

 protected:
  ~Executor() = default;

  virtual void post_work(std::unique_ptr<PostedWork> work) = 0;

  // The simulator draws from `random` which of the first few ready coroutines goes next.
  void shuffle_with(Random* random) { shuffle_ = random; }
  // Destroys every spawned task where it stands, the youngest scope first: nobody joins them, so
  // this is what keeps the locals of a frame alive for as long as the tasks that refer to them.
  void abandon();

 private:
  friend class TaskScope;

  IntrusiveList<TaskScope, struct ScopeTag> scopes_;  // youngest first
  IntrusiveList<PromiseBase, ReadyTag> ready_;
  Random* shuffle_ = nullptr;
  std::uint64_t resumptions_ = 0;
  bool abandoned_ = false;
};

}  // namespace ashlar
