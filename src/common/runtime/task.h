// Task<T>: a lazy coroutine with one owner. It starts when it is awaited, is awaited exactly once,
// and inherits executor and cancel scope from whoever awaits it. There are no detached tasks: what
// runs beside its caller is spawned into a TaskScope (task_scope.h), which joins it.
//
//   Task<Result<ByteCount>> copy(File& from, File& to) {
//     ASHLAR_CO_TRY_ASSIGN(const ByteCount size, co_await from.size());
//     …
//     co_return size;
//   }
//
// Rules that the compiler cannot check (docs/development.md has them all): parameters are values or
// references that outlive the task; no lambda with captures is a coroutine; no thread_local, lock
// or iterator is held across a co_await.
#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/runtime/cancel.h"
#include "common/runtime/executor.h"

namespace ashlar {

template <class T = void>
class Task;

// Where the current coroutine runs: `const TaskContext here = co_await this_task();`
struct TaskContext {
  Executor* executor;
  CancelScope* cancel_scope;

  bool is_cancelled() const { return cancel_scope != nullptr && cancel_scope->is_cancelled(); }
};

class ThisTaskAwaiter {
 public:
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    context_ = {caller.promise().executor, caller.promise().cancel_scope};
    return false;
  }
  TaskContext await_resume() const noexcept { return context_; }

 private:
  TaskContext context_{};
};

// Asks for the current coroutine's context. Does not suspend.
inline ThisTaskAwaiter this_task() {
  return {};
}

// Goes to the end of the ready queue, so that others run first.
class YieldAwaiter {
 public:
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    caller.promise().executor->make_ready(caller.promise());
  }
  void await_resume() const noexcept {}
};

inline YieldAwaiter yield() {
  return {};
}

namespace detail {

// The end of a task: goes on with whoever awaits it, or queues the frame to be reaped by its
// TaskScope.
class FinalAwaiter {
 public:
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> finished) noexcept {
    PromiseBase& promise = finished.promise();
    if (promise.started_in_place) return std::noop_coroutine();
    if (promise.continuation != nullptr) return promise.executor->hand_over(*promise.continuation);
    promise.executor->make_ready(promise);
    return std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

class TaskPromiseBase : public PromiseBase {
 public:
  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  // Core code is built without exceptions; one that escapes from an edge is a broken invariant.
  [[noreturn]] void unhandled_exception() noexcept {
    ASHLAR_UNREACHABLE("an exception escaped from a coroutine");
  }
};

template <class T>
class TaskPromise : public TaskPromiseBase {
 public:
  Task<T> get_return_object() noexcept;

  template <class U = T>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T take() {
    ASHLAR_CHECK(value_.has_value());
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() noexcept {}
  void take() noexcept {}
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using value_type = T;
  using Handle = std::coroutine_handle<promise_type>;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  // A task that never ran is dropped; one that is suspended half way dies only with its executor.
  ~Task() {
    if (handle_) handle_.destroy();
  }

  class [[nodiscard]] Awaiter {
   public:
    Awaiter(Handle handle, CancelScope* scope, bool own_scope)
        : handle_(handle), scope_(scope), own_scope_(own_scope) {}

    bool await_ready() const noexcept { return false; }

    // Runs the child in place and goes on at once when it did not have to wait.
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      PromiseBase& parent = caller.promise();
      PromiseBase& child = handle_.promise();
      ASHLAR_CHECK(child.executor == nullptr, "a task was awaited twice");
      child.executor = parent.executor;
      child.cancel_scope = own_scope_ ? scope_ : parent.cancel_scope;
      child.continuation = &parent;
      child.started_in_place = true;
      handle_.resume();
      if (handle_.done()) return false;
      child.started_in_place = false;
      return true;
    }

    T await_resume() { return handle_.promise().take(); }

   private:
    Handle handle_;
    CancelScope* scope_;
    bool own_scope_;
  };

  Awaiter operator co_await() && noexcept { return Awaiter(handle_, nullptr, false); }

  // Awaits the task inside `scope` (null: out of reach of every cancellation) instead of the
  // caller's own.
  Awaiter in_scope(CancelScope* scope) && noexcept { return Awaiter(handle_, scope, true); }

  // For TaskScope and the loops that run a root task: gives up the frame.
  Handle release() noexcept { return std::exchange(handle_, nullptr); }

 private:
  friend promise_type;
  explicit Task(Handle handle) noexcept : handle_(handle) { handle.promise().handle = handle; }

  Handle handle_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

inline Task<void> TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

}  // namespace detail
}  // namespace ashlar
