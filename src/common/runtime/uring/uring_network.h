// TCP on io_uring.
#pragma once

#include <memory>

#include "common/runtime/network.h"
#include "common/runtime/uring/ring.h"

namespace ashlar::uring {

class Reactor;

class UringNetwork final : public Network {
 public:
  explicit UringNetwork(Reactor& reactor) : reactor_(reactor) {}

  Task<Result<std::unique_ptr<Connection>>> connect(Endpoint to) override;
  Result<std::unique_ptr<Listener>> listen(const Endpoint& at) override;
  std::unique_ptr<Connection> adopt(std::unique_ptr<DetachedConnection> connection) override;

 private:
  Reactor& reactor_;
};

class UringConnection final : public Connection, private CompletionBackend {
 public:
  // Takes the connected socket `fd` over.
  UringConnection(Reactor& reactor, int fd);
  ~UringConnection() override;

  void shutdown_send() override;
  void abort() override;
  std::unique_ptr<DetachedConnection> detach() override;
  Endpoint local() const override;
  Endpoint peer() const override;

 private:
  void submit(SocketOperation& operation) override;
  void cancel(Operation& operation) override { ring_.cancel(operation); }
  void complete(Operation& operation, Part part, std::int32_t result, std::uint32_t flags) override;

  void submit_receive(SocketOperation& operation);
  void submit_send(SocketOperation& operation);
  bool may_bypass_ring();
  bool may_have_data();
  bool send_at_once(SocketOperation& operation);
  bool receive_at_once(SocketOperation& operation);
  void finish(SocketOperation& operation);
  void fail(SocketOperation& operation, int error_number);

  Reactor& reactor_;
  Ring& ring_;
  int fd_;
  bool receiving_ = false;
  bool sending_ = false;
  // The last receive left the socket empty: the next one waits for data instead of trying first.
  bool drained_ = true;
  // An empty socket is tried nevertheless: under load the peer has sent more by the
  // time its last is answered. Each try in vain doubles the number of receives that do not try.
  unsigned receives_till_try_ = 0;
  unsigned tries_in_vain_ = 0;
};

class UringListener final : public Listener, private CompletionBackend {
 public:
  UringListener(Reactor& reactor, int fd);
  ~UringListener() override;

  Endpoint endpoint() const override;

 private:
  void submit(AcceptAwaiter& operation) override;
  void cancel(Operation& operation) override { ring_.cancel(operation); }
  void complete(Operation& operation, Part part, std::int32_t result, std::uint32_t flags) override;

  void submit_accept(Operation& operation);

  Reactor& reactor_;
  Ring& ring_;
  int fd_;
  bool accepting_ = false;
};

}  // namespace ashlar::uring
