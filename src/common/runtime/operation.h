// Operation: one request to a disk or a socket, on its way. It lives in the frame of the coroutine
// that awaits it; the backend (io_uring or the simulator) keeps a pointer while it is in flight and
// calls finish() exactly once. No allocation, one virtual call per operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/result.h"
#include "common/runtime/cancel.h"
#include "common/runtime/executor.h"

namespace ashlar {

// One piece of a scatter list; laid out as struct iovec.
struct IoSlice {
  std::byte* data = nullptr;
  std::size_t size = 0;

  IoSlice() = default;
  explicit IoSlice(MutableByteSpan bytes) : data(bytes.data()), size(bytes.size()) {}
};

struct ConstIoSlice {
  const std::byte* data = nullptr;
  std::size_t size = 0;

  ConstIoSlice() = default;
  explicit ConstIoSlice(ByteSpan bytes) : data(bytes.data()), size(bytes.size()) {}
};

class Operation;

// The side of the backend that has operations in flight.
class OperationBackend {
 public:
  // Asks for an early end; the operation still finishes, with kCancelled or with what it got done.
  virtual void cancel(Operation& operation) = 0;
  // The frame of an operation in flight dies. Only a simulated crash may do that.
  virtual void forget(Operation& operation) = 0;

 protected:
  ~OperationBackend() = default;
};

class Operation : public CancelHook {
 public:
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  bool is_in_flight() const { return backend_ != nullptr; }

  // Backend: the operation is over, its outcome is stored, its coroutine may go on.
  void finish() {
    ASHLAR_CHECK(is_in_flight());
    backend_ = nullptr;
    static_cast<CancelHook*>(this)->unlink();
    promise_->executor->make_ready(*promise_);
  }

  // Backend: the operation is over and nobody awaits it (the runtime's own, such as its wake-up
  // read).
  void end_unawaited() { backend_ = nullptr; }

  // Backend: takes the operation over; called from submit().
  void begin(OperationBackend& backend) {
    ASHLAR_CHECK(!is_in_flight());
    backend_ = &backend;
  }

  void on_cancel() final {
    cancel_requested_ = true;
    if (backend_ != nullptr) backend_->cancel(*this);
  }

  // Backend: an operation that is told to end early must not be continued.
  bool cancel_requested() const { return cancel_requested_; }

  OperationBackend* backend() const { return backend_; }

  // For the backend's own use while the operation is in flight.
  std::uint64_t backend_progress = 0;
  std::int32_t backend_result = 0;

 protected:
  Operation() = default;
  ~Operation() {
    if (backend_ != nullptr) backend_->forget(*this);
  }

  void attach(PromiseBase& promise) { promise_ = &promise; }
  CancelScope* cancel_scope() const { return promise_->cancel_scope; }

 private:
  OperationBackend* backend_ = nullptr;
  PromiseBase* promise_ = nullptr;
  bool cancel_requested_ = false;
};

}  // namespace ashlar
