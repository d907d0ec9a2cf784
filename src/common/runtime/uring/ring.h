// Ring: set-up, probing and completion dispatch of one io_uring. Belongs to the thread that made
// it.
#pragma once

#include <cstdint>

#include <liburing.h>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/runtime/operation.h"

namespace ashlar::uring {

// The side of a socket or file that hears what became of its operations. `result` is what the
// system call would have returned, or -errno; `flags` are the completion's.
class CompletionBackend : public OperationBackend {
 public:
  enum class Part : std::uint8_t {
    kWhole,
    kLinkedFirst,  // the write of a linked write and sync; kWhole follows for the sync
  };

  virtual void complete(Operation& operation, Part part, std::int32_t result,
                        std::uint32_t flags) = 0;
  void forget(Operation& operation) final;

 protected:
  ~CompletionBackend() = default;
};

class Ring {
 public:
  // Refuses with a sentence that names what is missing: the kernel's age, a sysctl, a seccomp
  // profile, a memory limit, an opcode.
  static Result<Ring> create(unsigned entries);

  Ring(Ring&& other) noexcept;
  Ring& operator=(Ring&&) = delete;
  ~Ring();

  // Queues one entry for `operation`; `fill(io_uring_sqe&)` makes it a call. It goes to the kernel
  // with the next wait, or earlier when the queue is full.
  template <class Fill>
  void submit(Operation& operation, Fill&& fill,
              CompletionBackend::Part part = CompletionBackend::Part::kWhole) {
    io_uring_sqe& entry = next_entry();
    fill(entry);
    entry.user_data = reinterpret_cast<std::uint64_t>(&operation) |
                      (part == CompletionBackend::Part::kLinkedFirst ? kLinkedFirstTag : 0);
  }
  // Makes room so that `count` entries, linked to each other, go out in one submission.
  void reserve(unsigned count);
  void cancel(Operation& operation);

  // Whether entries wait for the next submission.
  bool has_prepared() const { return io_uring_sq_ready(&ring_) > 0; }

  // Some operations may be done by a system call of their own, past the ring. True a bounded number
  // of times between two looks at the ring, so that what completes in it is not kept waiting.
  bool take_bypass() {
    if (bypasses_ == kBypassesMax) return false;
    ++bypasses_;
    return true;
  }

  // Submits what is prepared, and goes on.
  void submit_now();
  // Submits what is prepared. kWait blocks until something completes or `deadline` passes.
  void submit_and_wait(MonoTime now, MonoTime deadline);
  void submit_and_poll();
  // Hands every completion that is there to its backend.
  void dispatch();

  // The set-up flags that this kernel has, for the log: "single_issuer defer_taskrun".
  const char* mode() const { return mode_; }
  std::uint64_t completions() const { return completions_; }

 private:
  // Operations are 8-aligned, which leaves low bits of their address free.
  static constexpr std::uint64_t kLinkedFirstTag = 1;

  Ring() = default;

  io_uring_sqe& next_entry();

  io_uring ring_{};
  bool open_ = false;
  const char* mode_ = "";
  std::uint64_t completions_ = 0;
  static constexpr unsigned kBypassesMax = 16;
  unsigned bypasses_ = 0;
};

// Awaits one io_uring call: co_await RingCall(ring, [&](io_uring_sqe& sqe) { io_uring_prep_…(&sqe,
// …); }) gives the call's result or -errno. What `prepare` refers to outlives the call.
// Cancellable.
template <class Prepare>
class [[nodiscard]] RingCall final : public Operation, private CompletionBackend {
 public:
  RingCall(Ring& ring, Prepare prepare) : ring_(ring), prepare_(std::move(prepare)) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    attach(caller.promise());
    if (CancelScope* scope = cancel_scope(); scope != nullptr) {
      if (scope->is_cancelled()) {
        result_ = -ECANCELED;
        return false;
      }
      scope->add(*this);
    }
    begin(*this);
    ring_.submit(*this, prepare_);
    return true;
  }
  std::int32_t await_resume() const { return result_; }

 private:
  void cancel(Operation& operation) override { ring_.cancel(operation); }
  void complete(Operation& operation, Part, std::int32_t result, std::uint32_t) override {
    result_ = result;
    operation.finish();
  }

  Ring& ring_;
  Prepare prepare_;
  std::int32_t result_ = 0;
};

}  // namespace ashlar::uring
