// WaitList and Waiter: what the synchronisation primitives (sync.h, channel.h) are made of. A
// Waiter lives in the frame of the coroutine that waits; it leaves its list when it is granted,
// cancelled or destroyed, so no primitive ever wakes a frame that is gone.
#pragma once

#include "common/base/intrusive_list.h"
#include "common/base/result.h"
#include "common/runtime/cancel.h"
#include "common/runtime/executor.h"

namespace ashlar {

class Waiter : public ListHook<struct WaitListTag>, public CancelHook {
 public:
  // Gives the waiter what it waited for; its coroutine becomes ready.
  void grant() {
    static_cast<ListHook<WaitListTag>*>(this)->unlink();
    static_cast<CancelHook*>(this)->unlink();
    promise_->executor->make_ready(*promise_);
  }

  void on_cancel() override {
    static_cast<ListHook<WaitListTag>*>(this)->unlink();
    cancelled_ = true;
    promise_->executor->make_ready(*promise_);
    after_cancel();
  }

  bool is_cancelled() const { return cancelled_; }

 protected:
  // False when the caller's scope is cancelled already: then do not suspend.
  bool prepare(PromiseBase& promise) {
    promise_ = &promise;
    if (promise.cancel_scope == nullptr) return true;
    if (promise.cancel_scope->is_cancelled()) {
      cancelled_ = true;
      return false;
    }
    promise.cancel_scope->add(*this);
    return true;
  }

  // Lets the primitive look again when a waiter in front of others has gone.
  virtual void after_cancel() {}

  Result<> outcome() const {
    if (cancelled_) return Error::cancelled("the operation was cancelled while it waited");
    return {};
  }

  ~Waiter() = default;

 private:
  PromiseBase* promise_ = nullptr;
  bool cancelled_ = false;
};

using WaitList = IntrusiveList<Waiter, WaitListTag>;

}  // namespace ashlar
