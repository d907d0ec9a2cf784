// PayloadBudget: the memory for the payload of one session's commands. Unsolicited data comes when
// it comes and is counted as it comes (the command window bounds it); what the target asks for
// (R2T) or produces (reads) waits here for room, in the order of asking. The first of those that
// wait goes on when nobody else who waited holds any, so that commands that each hold a part never
// wait for each other for ever.
#pragma once

#include <cstdint>

#include "common/base/strong.h"
#include "common/runtime/wait_list.h"

namespace ashlar::iscsi {

class PayloadBudget {
 public:
  explicit PayloadBudget(ByteCount limit) : limit_(limit.value()) {}

  std::uint64_t used() const { return used_; }
  std::uint64_t free() const { return used_ < limit_ ? limit_ - used_ : 0; }

  bool has_room(std::uint64_t bytes) const { return waiters_.empty() && bytes <= free(); }
  // Without asking. Given back with give_back().
  void charge(std::uint64_t bytes) { used_ += bytes; }
  void give_back(std::uint64_t bytes) {
    ASHLAR_CHECK_LE(bytes, used_);
    used_ -= bytes;
    grant();
  }

  class [[nodiscard]] Admission final : public Waiter {
   public:
    Admission(PayloadBudget& budget, std::uint64_t bytes) : budget_(budget), bytes_(bytes) {}
    bool await_ready() {
      if (!budget_.has_room(bytes_)) return false;
      budget_.charge(bytes_);
      ++budget_.admitted_;
      return true;
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      if (!prepare(caller.promise())) return false;
      budget_.waiters_.push_back(*this);
      budget_.grant();
      return true;
    }
    Result<> await_resume() const { return outcome(); }

   private:
    friend class PayloadBudget;
    void after_cancel() override { budget_.grant(); }

    PayloadBudget& budget_;
    std::uint64_t bytes_;
  };

  // Waits for room for `bytes` and charges them. Then leave() ends it, beside give_back().
  Admission admit(std::uint64_t bytes) { return {*this, bytes}; }
  void leave() {
    ASHLAR_CHECK(admitted_ > 0);
    --admitted_;
    grant();
  }

 private:
  void grant() {
    while (!waiters_.empty()) {
      auto& first = static_cast<Admission&>(waiters_.front());
      if (first.bytes_ > free() && admitted_ > 0) return;
      charge(first.bytes_);
      ++admitted_;
      first.grant();
    }
  }

  const std::uint64_t limit_;
  std::uint64_t used_ = 0;
  std::uint64_t admitted_ = 0;
  WaitList waiters_;
};

}  // namespace ashlar::iscsi
