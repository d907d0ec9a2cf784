// LsnWatermark: "everything up to this LSN is so" (written, durable, committed), and who waits for
// it. It moves forward with advance(), and back only with retreat(), when a tail is dropped: those
// who wait for a dropped record get kAborted. After fail() every wait ends with that error.
//
// Waits are cancellable. Belongs to its executor's thread.
#pragma once

#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/runtime/wait_list.h"

namespace ashlar::engine {

class LsnWatermark {
 public:
  explicit LsnWatermark(Lsn value = Lsn()) : value_(value) {}
  LsnWatermark(const LsnWatermark&) = delete;
  LsnWatermark& operator=(const LsnWatermark&) = delete;

  Lsn value() const { return value_; }

  class [[nodiscard]] WaitAwaiter final : public Waiter {
   public:
    WaitAwaiter(LsnWatermark& watermark, Lsn lsn) : watermark_(watermark), lsn_(lsn) {}
    bool await_ready() {
      if (lsn_ <= watermark_.value_) return true;
      error_ = watermark_.failure_;
      return error_.has_value();
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      if (!prepare(caller.promise())) return false;
      watermark_.enqueue(*this);
      return true;
    }
    Result<> await_resume() {
      if (error_) return std::move(*error_);
      return outcome();
    }

   private:
    friend class LsnWatermark;

    LsnWatermark& watermark_;
    const Lsn lsn_;
    std::optional<Error> error_;
  };

  // Resolves when the value is `lsn` or more.
  WaitAwaiter wait(Lsn lsn) { return WaitAwaiter(*this, lsn); }

  void advance(Lsn lsn) {
    if (lsn <= value_) return;
    value_ = lsn;
    while (!waiters_.empty() && waiter(waiters_.front()).lsn_ <= value_) {
      waiters_.pop_front().grant();
    }
  }

  // Records > lsn are no more.
  void retreat(Lsn lsn, const Error& reason) {
    value_ = std::min(value_, lsn);
    WaitList stay;
    while (!waiters_.empty()) {
      Waiter& first = waiters_.pop_front();
      if (waiter(first).lsn_ <= lsn) {
        stay.push_back(first);
      } else {
        waiter(first).error_ = reason;
        first.grant();
      }
    }
    while (!stay.empty()) waiters_.push_back(stay.pop_front());
  }

  void fail(const Error& error) {
    if (!failure_) failure_ = error;
    while (!waiters_.empty()) {
      Waiter& first = waiters_.pop_front();
      waiter(first).error_ = *failure_;
      first.grant();
    }
  }

 private:
  static WaitAwaiter& waiter(Waiter& waiter) { return static_cast<WaitAwaiter&>(waiter); }

  // In the order of their LSNs. They come nearly in order, so the place is near the end.
  void enqueue(WaitAwaiter& arrival) {
    WaitList later;
    while (!waiters_.empty() && waiter(waiters_.back()).lsn_ > arrival.lsn_) {
      later.push_front(waiters_.pop_back());
    }
    waiters_.push_back(arrival);
    while (!later.empty()) waiters_.push_back(later.pop_front());
  }

  Lsn value_;
  WaitList waiters_;
  std::optional<Error> failure_;
};

}  // namespace ashlar::engine
