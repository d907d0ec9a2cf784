// Event, Semaphore, Mutex and Latch for the coroutines of one executor. Waiting is FIFO and
// cancellable: a wait ends with kCancelled when its scope is cancelled. Nothing here is
// thread-safe.
#pragma once

#include <cstdint>
#include <utility>

#include "common/runtime/wait_list.h"

namespace ashlar {

// A condition that is false until set() and stays true until reset().
class Event {
 public:
  void set() {
    set_ = true;
    while (!waiters_.empty()) waiters_.pop_front().grant();
  }
  void reset() { set_ = false; }
  bool is_set() const { return set_; }

  class [[nodiscard]] WaitAwaiter final : public Waiter {
   public:
    explicit WaitAwaiter(Event& event) : event_(event) {}
    bool await_ready() const noexcept { return event_.set_; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      if (!prepare(caller.promise())) return false;
      event_.waiters_.push_back(*this);
      return true;
    }
    Result<> await_resume() const { return outcome(); }

   private:
    Event& event_;
  };

  // Returns when the event was set; it may have been reset again by then.
  WaitAwaiter wait() { return WaitAwaiter(*this); }

 private:
  WaitList waiters_;
  bool set_ = false;
};

// A bounded supply of units. Strictly first come, first served: a small request does not overtake a
// large one that waits.
class Semaphore {
 public:
  explicit Semaphore(std::uint64_t units) : available_(units), capacity_(units) {}

  // Units held; given back when it dies. Must not outlive the semaphore.
  class [[nodiscard]] Units {
   public:
    Units() = default;
    Units(Semaphore& semaphore, std::uint64_t count) : semaphore_(&semaphore), count_(count) {}
    Units(Units&& other) noexcept
        : semaphore_(std::exchange(other.semaphore_, nullptr)), count_(other.count_) {}
    Units& operator=(Units&& other) noexcept {
      std::swap(semaphore_, other.semaphore_);
      std::swap(count_, other.count_);
      return *this;
    }
    ~Units() { release(); }

    void release() {
      if (semaphore_ != nullptr) std::exchange(semaphore_, nullptr)->release(count_);
    }
    std::uint64_t count() const { return semaphore_ == nullptr ? 0 : count_; }

   private:
    Semaphore* semaphore_ = nullptr;
    std::uint64_t count_ = 0;
  };

  class [[nodiscard]] TakeAwaiter : public Waiter {
   public:
    TakeAwaiter(Semaphore& semaphore, std::uint64_t count) : semaphore_(semaphore), count_(count) {}
    bool await_ready() const noexcept {
      return semaphore_.waiters_.empty() && semaphore_.available_ >= count_;
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      if (!prepare(caller.promise())) return false;
      waited_ = true;
      semaphore_.waiters_.push_back(*this);
      return true;
    }
    Result<> await_resume() {
      if (is_cancelled()) return outcome();
      if (!waited_) semaphore_.available_ -= count_;
      return {};
    }

   protected:
    Semaphore& semaphore_;
    std::uint64_t count_;

   private:
    friend class Semaphore;
    void after_cancel() override { semaphore_.grant_waiters(); }

    bool waited_ = false;
  };

  class [[nodiscard]] AcquireAwaiter final : public TakeAwaiter {
   public:
    using TakeAwaiter::TakeAwaiter;
    Result<Units> await_resume() {
      ASHLAR_TRY(TakeAwaiter::await_resume());
      return Units(semaphore_, count_);
    }
  };

  // Waits for `count` units, at most the capacity.
  AcquireAwaiter acquire(std::uint64_t count = 1) {
    ASHLAR_CHECK(count <= capacity_, "{} units asked of a semaphore of {}", count, capacity_);
    return AcquireAwaiter(*this, count);
  }

  // As acquire(), for units that no scope can hold: whoever ends what they stand for calls
  // release().
  TakeAwaiter take(std::uint64_t count = 1) {
    ASHLAR_CHECK(count <= capacity_, "{} units asked of a semaphore of {}", count, capacity_);
    return TakeAwaiter(*this, count);
  }
  void release(std::uint64_t count) {
    available_ += count;
    ASHLAR_CHECK(available_ <= capacity_);
    grant_waiters();
  }

  std::uint64_t available() const { return available_; }

 private:
  void grant_waiters() {
    while (!waiters_.empty()) {
      auto& first = static_cast<TakeAwaiter&>(waiters_.front());
      if (first.count_ > available_) return;
      available_ -= first.count_;
      first.grant();
    }
  }

  WaitList waiters_;
  std::uint64_t available_;
  const std::uint64_t capacity_;
};

// A lock that may be held across a co_await.
class Mutex {
 public:
  using Guard = Semaphore::Units;
  auto lock() { return semaphore_.acquire(1); }

 private:
  Semaphore semaphore_{1};
};

// Opens when it was counted down to zero, for good.
class Latch {
 public:
  explicit Latch(std::uint64_t count) : count_(count) {
    if (count == 0) event_.set();
  }
  void count_down() {
    ASHLAR_CHECK(count_ > 0);
    if (--count_ == 0) event_.set();
  }
  auto wait() { return event_.wait(); }

 private:
  Event event_;
  std::uint64_t count_;
};

}  // namespace ashlar
