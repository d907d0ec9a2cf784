// Deadlines and shields around a task.
#pragma once

#include <utility>

#include "common/base/result.h"
#include "common/runtime/clock.h"
#include "common/runtime/task.h"

namespace ashlar {

namespace detail {

class DeadlineTimer final : public Timer {
 public:
  explicit DeadlineTimer(CancelScope& scope) : scope_(scope) {}
  void on_timer() override {
    // A cancellation that came first is the reason, however long the task takes to leave.
    fired_ = !scope_.is_cancelled();
    scope_.cancel();
  }
  bool has_fired() const { return fired_; }

 private:
  CancelScope& scope_;
  bool fired_ = false;
};

}  // namespace detail

// Runs `task`; when it is not over after `limit` it is cancelled, and its kCancelled becomes
// kDeadlineExceeded. What it cannot abandon (a disk operation, a shielded part) is waited for, and
// a result that arrives all the same is returned.
template <class T>
Task<Result<T>> with_timeout(Clock& clock, Duration limit, Task<Result<T>> task) {
  const TaskContext here = co_await this_task();
  CancelScope scope(here.cancel_scope);
  detail::DeadlineTimer timer(scope);
  clock.arm(timer, clock.now() + limit);
  Result<T> result = co_await std::move(task).in_scope(&scope);
  if (!result.ok() && result.error().code() == ErrorCode::kCancelled && timer.has_fired()) {
    co_return Error::deadline_exceeded("not finished within {} ms", limit.count() / 1'000'000);
  }
  co_return result;
}

// Runs `task` out of reach of every cancellation: for the few steps that must be finished once they
// are begun (closing files, giving back what was taken).
template <class T>
Task<T> without_cancellation(Task<T> task) {
  co_return co_await std::move(task).in_scope(nullptr);
}

template <>
inline Task<void> without_cancellation(Task<void> task) {
  co_await std::move(task).in_scope(nullptr);
}

}  // namespace ashlar
