#include "common/runtime/task_scope.h"

namespace ashlar {

TaskScope::~TaskScope() {
  if (running_ == 0) return;
  ASHLAR_CHECK(executor_.abandoned(), "a TaskScope with {} running tasks was not joined", running_);
  destroy_children();
}

void TaskScope::destroy_children() {
  while (!children_.empty()) children_.pop_front().handle.destroy();
}

void TaskScope::adopt(PromiseBase& promise) {
  promise.executor = &executor_;
  promise.cancel_scope = &cancel_;
  promise.owner = this;
  children_.push_back(promise);
  ++running_;
  executor_.make_ready(promise);
  // Who joins and was told that all is over, but has not gone on yet, waits again.
  if (joiner_ != nullptr) static_cast<ListHook<ReadyTag>*>(joiner_)->unlink();
}

void TaskScope::reap(PromiseBase& promise) {
  promise.handle.destroy();
  --running_;
  if (running_ == 0 && joiner_ != nullptr) executor_.make_ready(*joiner_);
}

Task<void> TaskScope::watch(Task<Result<>> task) {
  Result<> outcome = co_await std::move(task);
  if (outcome.ok() || first_error_) co_return;
  if (cancel_.is_cancelled() && outcome.error().code() == ErrorCode::kCancelled) co_return;
  first_error_ = std::move(outcome).error();
  cancel_.cancel();
}

}  // namespace ashlar
