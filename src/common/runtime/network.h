// Stream sockets as deciding code sees them. Built for streams: one receive takes as many messages
// as have arrived, one send carries as many answers as are ready (stream.h helps with both).
//
// On a connection one receive and one send may be in flight at a time, by different tasks. Both are
// cancellable; a send that was cancelled or failed leaves the stream in an unknown place, so the
// connection is of no more use. Everything belongs to the runtime's executor.
#pragma once

#include <memory>
#include <optional>

#include "common/base/endpoint.h"
#include "common/runtime/operation.h"
#include "common/runtime/task.h"

namespace ashlar {

class Connection;
class DetachedConnection;
class Listener;

class SocketOperation : public Operation {
 public:
  enum class Kind : std::uint8_t { kAccept, kReceive, kSend };

  Kind kind() const { return kind_; }
  std::span<const IoSlice> slices() const { return slices_; }
  std::size_t length() const { return length_; }

  // Backend: a message header that must stay in place until the kernel has read it.
  alignas(8) std::byte backend_storage[64];

  // Backend: the outcome; then finish().
  void fail(Error error) { error_ = std::move(error); }
  void succeed(std::size_t transferred) { transferred_ = transferred; }

 protected:
  explicit SocketOperation(Kind kind) : kind_(kind) {}
  ~SocketOperation() = default;

  // False when the caller's scope is cancelled: the operation is over before it began.
  bool prepare(PromiseBase& promise) {
    attach(promise);
    CancelScope* scope = cancel_scope();
    if (scope == nullptr) return true;
    if (scope->is_cancelled()) {
      error_ = Error::cancelled("the operation was cancelled before it began");
      return false;
    }
    scope->add(*this);
    return true;
  }

  void set_slice(IoSlice slice) {
    single_ = slice;
    slices_ = {&single_, 1};
    length_ = slice.size;
  }
  void set_slices(std::span<const IoSlice> slices) {
    slices_ = slices;
    for (const IoSlice& slice : slices) length_ += slice.size;
  }

  Kind kind_;
  IoSlice single_;
  std::span<const IoSlice> slices_;
  std::size_t length_ = 0;
  std::size_t transferred_ = 0;
  std::optional<Error> error_;
};

class [[nodiscard]] ReceiveAwaiter final : public SocketOperation {
 public:
  ReceiveAwaiter(Connection& connection, IoSlice into)
      : SocketOperation(Kind::kReceive), connection_(connection) {
    set_slice(into);
  }
  ReceiveAwaiter(Connection& connection, std::span<const IoSlice> into)
      : SocketOperation(Kind::kReceive), connection_(connection) {
    set_slices(into);
  }
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller);
  Result<std::size_t> await_resume() {
    if (error_) return std::move(*error_);
    return transferred_;
  }

 private:
  Connection& connection_;
};

class [[nodiscard]] SendAwaiter final : public SocketOperation {
 public:
  SendAwaiter(Connection& connection, IoSlice from)
      : SocketOperation(Kind::kSend), connection_(connection) {
    set_slice(from);
  }
  SendAwaiter(Connection& connection, std::span<const IoSlice> from)
      : SocketOperation(Kind::kSend), connection_(connection) {
    set_slices(from);
  }
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller);
  Result<> await_resume() {
    if (error_) return std::move(*error_);
    return {};
  }

 private:
  Connection& connection_;
};

class Connection {
 public:
  // No operation may be in flight. Closes the socket.
  virtual ~Connection() = default;

  // Receives at least one byte, as many as are there and fit; 0 means the peer has closed its side.
  ReceiveAwaiter receive(MutableByteSpan into) { return {*this, IoSlice(into)}; }
  ReceiveAwaiter receive(std::span<const IoSlice> into) { return {*this, into}; }

  // Sends everything or fails. The bytes, and the array of slices, stay untouched until it
  // resolves.
  SendAwaiter send(ByteSpan from) {
    return {*this, IoSlice(MutableByteSpan(const_cast<std::byte*>(from.data()), from.size()))};
  }
  SendAwaiter send(std::span<const ConstIoSlice> from) {
    return {*this, std::span(reinterpret_cast<const IoSlice*>(from.data()), from.size())};
  }

  // Says to the peer that nothing more comes; receiving goes on.
  virtual void shutdown_send() = 0;
  // Ends both directions now: what is in flight finishes with an error or end of stream.
  virtual void abort() = 0;
  // Takes the socket out of this runtime, for the adopt() of another one. No operation may be in
  // flight; afterwards nothing but destroying it may be done with this object.
  virtual std::unique_ptr<DetachedConnection> detach() = 0;

  virtual Endpoint local() const = 0;
  virtual Endpoint peer() const = 0;

 protected:
  virtual void submit(SocketOperation& operation) = 0;

 private:
  friend class ReceiveAwaiter;
  friend class SendAwaiter;
};

class [[nodiscard]] AcceptAwaiter final : public SocketOperation {
 public:
  explicit AcceptAwaiter(Listener& listener)
      : SocketOperation(Kind::kAccept), listener_(listener) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller);
  Result<std::unique_ptr<Connection>> await_resume() {
    if (error_) return std::move(*error_);
    return std::move(accepted_);
  }
  // Backend: the new connection, before succeed().
  void set_accepted(std::unique_ptr<Connection> connection) { accepted_ = std::move(connection); }

 private:
  Listener& listener_;
  std::unique_ptr<Connection> accepted_;
};

class Listener {
 public:
  // No accept may be in flight. Stops listening.
  virtual ~Listener() = default;

  // One accept may be in flight at a time.
  AcceptAwaiter accept() { return AcceptAwaiter(*this); }

  // Where it listens; the real port when it was asked for port 0.
  virtual Endpoint endpoint() const = 0;

 protected:
  virtual void submit(AcceptAwaiter& operation) = 0;

 private:
  friend class AcceptAwaiter;
};

// A connection that belongs to no runtime: on its way from one reactor to another, by any thread.
// Closes the socket when it dies.
class DetachedConnection {
 public:
  virtual ~DetachedConnection() = default;
};

class Network {
 public:
  // kUnavailable when nobody listens there. While the way is cut it waits, for minutes with TCP:
  // bound it with with_timeout().
  virtual Task<Result<std::unique_ptr<Connection>>> connect(Endpoint to) = 0;
  // Port 0 picks a free one.
  virtual Result<std::unique_ptr<Listener>> listen(const Endpoint& at) = 0;
  // Makes a connection that was detached from a runtime of the same kind one of this runtime. What
  // had arrived and was not received before is received now.
  virtual std::unique_ptr<Connection> adopt(std::unique_ptr<DetachedConnection> connection) = 0;

 protected:
  ~Network() = default;
};

template <class Promise>
bool ReceiveAwaiter::await_suspend(std::coroutine_handle<Promise> caller) {
  if (!prepare(caller.promise())) return false;
  connection_.submit(*this);
  return true;
}

template <class Promise>
bool SendAwaiter::await_suspend(std::coroutine_handle<Promise> caller) {
  if (!prepare(caller.promise())) return false;
  connection_.submit(*this);
  return true;
}

template <class Promise>
bool AcceptAwaiter::await_suspend(std::coroutine_handle<Promise> caller) {
  if (!prepare(caller.promise())) return false;
  listener_.submit(*this);
  return true;
}

}  // namespace ashlar
