// Time as deciding code sees it: a monotonic clock with timers, and wall time for people. In the
// simulator both run on virtual time, each node with its own drift and offset.
//
// Belongs to its executor's thread.
#pragma once

#include <cstddef>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/runtime/wait_list.h"

namespace ashlar {

class TimerQueue;

// A timer that can be armed again and again. It disarms itself when it dies. on_timer() runs on the
// executor's thread outside of any coroutine; it may make coroutines ready, not run them.
class Timer {
 public:
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  virtual void on_timer() = 0;

  bool is_armed() const { return queue_ != nullptr; }
  MonoTime deadline() const { return deadline_; }
  void disarm();

 protected:
  Timer() = default;
  ~Timer() { disarm(); }

 private:
  friend class TimerQueue;

  TimerQueue* queue_ = nullptr;
  std::size_t place_ = 0;       // in the queue's heap
  bool waits_outside_ = false;  // of the heap, until the queue is done with firing
  MonoTime deadline_{};
  std::uint64_t sequence_ = 0;
};

class Clock {
 public:
  virtual MonoTime now() const = 0;
  virtual WallTime wall_now() const = 0;

  // Fires `timer` once, at or soon after `deadline`. Arming an armed timer moves it.
  virtual void arm(Timer& timer, MonoTime deadline) = 0;

 protected:
  ~Clock() = default;
};

class [[nodiscard]] SleepAwaiter final : private Waiter, private Timer {
 public:
  SleepAwaiter(Clock& clock, MonoTime deadline) : clock_(clock), until_(deadline) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    if (!prepare(caller.promise())) return false;
    clock_.arm(*this, until_);
    return true;
  }
  Result<> await_resume() const { return outcome(); }

 private:
  void on_timer() override { grant(); }
  void after_cancel() override { disarm(); }

  Clock& clock_;
  MonoTime until_;
};

// Both end early with kCancelled when the caller's scope is cancelled.
inline SleepAwaiter sleep_until(Clock& clock, MonoTime deadline) {
  return {clock, deadline};
}
inline SleepAwaiter sleep_for(Clock& clock, Duration duration) {
  return {clock, clock.now() + duration};
}

}  // namespace ashlar
