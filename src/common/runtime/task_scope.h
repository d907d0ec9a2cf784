// TaskScope owns the tasks that run beside their creator, and joins them: structured concurrency.
//
//   TaskScope scope(co_await this_task());
//   scope.spawn(reader(connection));
//   scope.spawn(writer(connection));
//   Result<> outcome = co_await scope.join();   // both are over
//
// The first child that ends with an error cancels the others and is what join() returns. Cancelling
// the creator's scope, or calling cancel(), cancels all children; their kCancelled is then no
// error. join() itself always waits, so no child outlives what it refers to. A scope must be joined
// before it is destroyed.
//
// Belongs to its executor's thread. The number of children is the caller's to bound (Semaphore).
#pragma once

#include <cstddef>
#include <optional>

#include "common/base/result.h"
#include "common/runtime/task.h"

namespace ashlar {

class TaskScope : private ListHook<struct ScopeTag> {
 public:
  explicit TaskScope(TaskContext here) : executor_(*here.executor), cancel_(here.cancel_scope) {
    executor_.scopes_.push_front(*this);
  }
  explicit TaskScope(Executor& executor) : executor_(executor) {
    executor_.scopes_.push_front(*this);
  }
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope();

  // Starts `task` through the ready queue; it does not run before the caller suspends.
  void spawn(Task<void> task) { adopt(task.release().promise()); }
  void spawn(Task<Result<>> task) { spawn(watch(std::move(task))); }

  void cancel() { cancel_.cancel(); }
  CancelScope& cancel_scope() { return cancel_; }
  std::size_t running() const { return running_; }

  class [[nodiscard]] JoinAwaiter {
   public:
    explicit JoinAwaiter(TaskScope& scope) : scope_(scope) {}
    bool await_ready() const noexcept { return scope_.running_ == 0; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> caller) {
      ASHLAR_CHECK(scope_.joiner_ == nullptr, "two tasks join one scope");
      scope_.joiner_ = &caller.promise();
      waited_ = true;
    }
    Result<> await_resume() const {
      if (waited_) scope_.joiner_ = nullptr;
      if (scope_.first_error_) return *scope_.first_error_;
      return {};
    }

   private:
    TaskScope& scope_;
    bool waited_ = false;
  };

  // Waits until every child is over and returns the first error of one, if any.
  JoinAwaiter join() { return JoinAwaiter(*this); }

 private:
  friend class Executor;
  friend class IntrusiveList<TaskScope, ScopeTag>;

  void destroy_children();
  void adopt(PromiseBase& promise);
  void reap(PromiseBase& promise);
  Task<void> watch(Task<Result<>> task);

  Executor& executor_;
  CancelScope cancel_;
  // The children's frames, so that a killed (simulated) process can destroy them.
  IntrusiveList<PromiseBase, ChildTag> children_;
  std::size_t running_ = 0;
  PromiseBase* joiner_ = nullptr;  // until it goes on: it may stand in the ready queue
  std::optional<Error> first_error_;
};

}  // namespace ashlar
