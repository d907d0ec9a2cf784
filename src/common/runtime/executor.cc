#include "common/runtime/executor.h"

#include "common/base/random.h"
#include "common/runtime/task_scope.h"

namespace ashlar {
namespace {

// How far behind the front of the ready queue a seeded pick may reach. Enough to swap neighbours
// and let a late-comer overtake a burst, and it bounds the walk.
constexpr std::size_t kShuffleReach = 8;

}  // namespace

bool Executor::run_one_ready() {
  if (ready_.empty()) return false;
  PromiseBase* promise = nullptr;
  if (shuffle_ == nullptr) {
    promise = &ready_.pop_front();
  } else {
    promise = &ready_.at_most(shuffle_->below(kShuffleReach));
    static_cast<ListHook<ReadyTag>*>(promise)->unlink();
  }
  ++resumptions_;
  if (promise->handle.done()) {
    // A spawned task that reached its end stands in the queue once more, to be reaped from here
    // rather than from inside its own final suspension.
    promise->owner->reap(*promise);
  } else {
    promise->handle.resume();
  }
  return true;
}

void Executor::abandon() {
  abandoned_ = true;
  while (!scopes_.empty()) scopes_.pop_front().destroy_children();
}

}  // namespace ashlar
