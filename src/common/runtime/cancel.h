// Cancellation. Every coroutine runs inside a CancelScope (or none); scopes nest, and cancelling
// one cancels what it encloses. Cancellation is a request: the leaf a task waits at (a sleep, a
// recv, an event) ends with kCancelled, and the task leaves by its ordinary error path. Nothing is
// torn out.
//
// Disk operations are not cancellable: their buffers belong to the kernel until it is done, and
// they always end. After the request a leaf that would have to wait fails at once; one that has
// what it needs (a set event, a free unit, an item in the channel) still succeeds.
//
// Belongs to its executor's thread.
#pragma once

#include "common/base/intrusive_list.h"

namespace ashlar {

// Something to be told when a scope is cancelled. on_cancel() may make coroutines ready or submit
// operations; it must not run coroutines. It is called at most once, unlinked before the call.
class CancelHook : public ListHook<struct CancelHookTag> {
 public:
  virtual void on_cancel() = 0;

 protected:
  ~CancelHook() = default;
};

class CancelScope : private ListHook<struct CancelScopeTag> {
 public:
  // `parent` may be null; otherwise it outlives this scope.
  explicit CancelScope(CancelScope* parent = nullptr) {
    if (parent == nullptr) return;
    cancelled_ = parent->cancelled_;
    parent->children_.push_back(*this);
  }

  void cancel() {
    if (cancelled_) return;
    cancelled_ = true;
    while (!hooks_.empty()) hooks_.pop_front().on_cancel();
    // A cancelled scope has nothing more to tell its children, so the links go with the message.
    while (!children_.empty()) children_.pop_front().cancel();
  }

  bool is_cancelled() const { return cancelled_; }

  void add(CancelHook& hook) { hooks_.push_back(hook); }

 private:
  friend class IntrusiveList<CancelScope, CancelScopeTag>;

  IntrusiveList<CancelHook, CancelHookTag> hooks_;
  IntrusiveList<CancelScope, CancelScopeTag> children_;
  bool cancelled_ = false;
};

}  // namespace ashlar
