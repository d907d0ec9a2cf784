#include "common/runtime/uring/uring_network.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/runtime/uring/reactor.h"

namespace ashlar::uring {
namespace {

static_assert(sizeof(msghdr) <= sizeof(SocketOperation::backend_storage));

constexpr int kListenBacklog = 1024;
constexpr unsigned kTriesInVainMax = 5;  // then one receive of 33 is a try
constexpr std::uint64_t kMostPerCall = 1U << 30;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress to_socket_address(const Endpoint& endpoint) {
  SocketAddress address;
  if (endpoint.family() == Endpoint::Family::kIpv4) {
    auto* in = new (&address.storage) sockaddr_in{};
    in->sin_family = AF_INET;
    in->sin_port = htons(endpoint.port());
    std::memcpy(&in->sin_addr, endpoint.address().data(), sizeof(in->sin_addr));
    address.length = sizeof(*in);
  } else {
    auto* in6 = new (&address.storage) sockaddr_in6{};
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(endpoint.port());
    std::memcpy(&in6->sin6_addr, endpoint.address().data(), sizeof(in6->sin6_addr));
    address.length = sizeof(*in6);
  }
  return address;
}

Endpoint to_endpoint(const SocketAddress& address) {
  Endpoint::Address bytes{};
  if (address.storage.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
    std::memcpy(bytes.data(), &in6.sin6_addr, sizeof(in6.sin6_addr));
    return Endpoint(Endpoint::Family::kIpv6, bytes, ntohs(in6.sin6_port));
  }
  const auto& in = reinterpret_cast<const sockaddr_in&>(address.storage);
  std::memcpy(bytes.data(), &in.sin_addr, sizeof(in.sin_addr));
  return Endpoint(Endpoint::Family::kIpv4, bytes, ntohs(in.sin_port));
}

int open_socket(const Endpoint& endpoint) {
  return ::socket(endpoint.family() == Endpoint::Family::kIpv4 ? AF_INET : AF_INET6,
                  SOCK_STREAM | SOCK_CLOEXEC, 0);
}

Endpoint local_endpoint(int fd) {
  SocketAddress address;
  if (::getsockname(fd, address.get(), &address.length) != 0) return {};
  return to_endpoint(address);
}

// We batch ourselves, so Nagle's waiting only adds latency.
void set_no_delay(int fd) {
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// What of a scatter list is still to go after `skip` bytes.
struct Rest {
  std::span<const IoSlice> slices;
  std::uint64_t skip;
};

Rest rest_after(std::span<const IoSlice> slices, std::uint64_t skip) {
  while (!slices.empty() && skip >= slices.front().size) {
    skip -= slices.front().size;
    slices = slices.subspan(1);
  }
  return {slices, skip};
}

msghdr* make_header(SocketOperation& operation, std::span<const IoSlice> slices) {
  auto* header = new (operation.backend_storage) msghdr{};
  header->msg_iov = reinterpret_cast<iovec*>(const_cast<IoSlice*>(slices.data()));
  header->msg_iovlen = std::min<std::size_t>(slices.size(), IOV_MAX);
  return header;
}

class UringDetachedConnection final : public DetachedConnection {
 public:
  explicit UringDetachedConnection(int fd) : fd_(fd) {}
  ~UringDetachedConnection() override {
    if (fd_ >= 0) ::close(fd_);
  }
  int take() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

Task<Result<std::unique_ptr<Connection>>> UringNetwork::connect(Endpoint to) {
  const int fd = open_socket(to);
  if (fd < 0) co_return Error::from_errno(errno, fmt::format("a socket for {}", to));
  set_no_delay(fd);
  auto connection = std::make_unique<UringConnection>(reactor_, fd);
  SocketAddress address = to_socket_address(to);
  const int status = co_await RingCall(reactor_.ring(), [fd, &address](io_uring_sqe& entry) {
    io_uring_prep_connect(&entry, fd, address.get(), address.length);
  });
  if (status < 0) co_return Error::from_errno(-status, fmt::format("connecting to {}", to));
  co_return std::unique_ptr<Connection>(std::move(connection));
}

Result<std::unique_ptr<Listener>> UringNetwork::listen(const Endpoint& at) {
  const int fd = open_socket(at);
  if (fd < 0) return Error::from_errno(errno, fmt::format("a socket for {}", at));
  auto listener = std::make_unique<UringListener>(reactor_, fd);
  // A restarted server takes its port back at once, past the TIME_WAIT of its old connections.
  const int on = 1;
  (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  SocketAddress address = to_socket_address(at);
  if (::bind(fd, address.get(), address.length) != 0 || ::listen(fd, kListenBacklog) != 0) {
    return Error::from_errno(errno, fmt::format("listening at {}", at));
  }
  return std::unique_ptr<Listener>(std::move(listener));
}

std::unique_ptr<Connection> UringNetwork::adopt(std::unique_ptr<DetachedConnection> connection) {
  auto& detached = static_cast<UringDetachedConnection&>(*connection);
  return std::make_unique<UringConnection>(reactor_, detached.take());
}

UringConnection::UringConnection(Reactor& reactor, int fd)
    : reactor_(reactor), ring_(reactor.ring()), fd_(fd) {}

UringConnection::~UringConnection() {
  ASHLAR_CHECK(!receiving_ && !sending_, "a connection was closed with I/O in flight");
  if (fd_ >= 0) ::close(fd_);
}

std::unique_ptr<DetachedConnection> UringConnection::detach() {
  ASHLAR_CHECK(!receiving_ && !sending_, "a connection was detached with I/O in flight");
  return std::make_unique<UringDetachedConnection>(std::exchange(fd_, -1));
}

void UringConnection::shutdown_send() {
  (void)::shutdown(fd_, SHUT_WR);
}

void UringConnection::abort() {
  (void)::shutdown(fd_, SHUT_RDWR);
}

Endpoint UringConnection::local() const {
  return local_endpoint(fd_);
}

Endpoint UringConnection::peer() const {
  SocketAddress address;
  if (::getpeername(fd_, address.get(), &address.length) != 0) return {};
  return to_endpoint(address);
}

void UringConnection::submit(SocketOperation& operation) {
  operation.begin(*this);
  operation.backend_progress = 0;
  bool& busy = operation.kind() == SocketOperation::Kind::kReceive ? receiving_ : sending_;
  ASHLAR_CHECK(!busy, "two {} at once on one connection",
               operation.kind() == SocketOperation::Kind::kReceive ? "receives" : "sends");
  busy = true;
  if (operation.kind() == SocketOperation::Kind::kReceive) {
    if (!may_have_data() || !may_bypass_ring() || !receive_at_once(operation)) {
      submit_receive(operation);
    }
  } else {
    if (!may_bypass_ring() || !send_at_once(operation)) submit_send(operation);
  }
}

// Whether this operation would be alone in the enter that carries it. Then it costs less as a
// system call of its own, provided that it completes at once: a send nearly always finds room, a
// receive finds data when the one before left some. But not for long: what others wait for is in
// the ring.
bool UringConnection::may_bypass_ring() {
  return !reactor_.has_ready() && !ring_.has_prepared() && ring_.take_bypass();
}

bool UringConnection::may_have_data() {
  if (!drained_) return true;
  if (receives_till_try_ == 0) return true;
  --receives_till_try_;
  return false;
}

// False when there was no data: the ring waits for it.
bool UringConnection::receive_at_once(SocketOperation& operation) {
  const std::span<const IoSlice> slices = operation.slices();
  const ssize_t received = slices.size() == 1
                               ? ::recv(fd_, slices.front().data, slices.front().size, MSG_DONTWAIT)
                               : ::recvmsg(fd_, make_header(operation, slices), MSG_DONTWAIT);
  if (received < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      drained_ = true;
      tries_in_vain_ = std::min(tries_in_vain_ + 1, kTriesInVainMax);
      receives_till_try_ = 1U << tries_in_vain_;
      return false;
    }
    fail(operation, errno);
    return true;
  }
  tries_in_vain_ = 0;
  // A receive that was filled most likely left something.
  drained_ = static_cast<std::size_t>(received) < operation.length();
  operation.succeed(static_cast<std::size_t>(received));
  finish(operation);
  return true;
}

void UringConnection::submit_receive(SocketOperation& operation) {
  const std::span<const IoSlice> slices = operation.slices();
  ring_.submit(operation, [&](io_uring_sqe& entry) {
    if (slices.size() == 1) {
      const std::size_t size = std::min<std::uint64_t>(slices.front().size, kMostPerCall);
      io_uring_prep_recv(&entry, fd_, slices.front().data, size, 0);
    } else {
      io_uring_prep_recvmsg(&entry, fd_, make_header(operation, slices), 0);
    }
    if (drained_) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
  });
}

// False when it found no room, or not for all: the ring does the rest.
bool UringConnection::send_at_once(SocketOperation& operation) {
  constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
  const std::span<const IoSlice> slices = operation.slices();
  const ssize_t sent = slices.size() == 1
                           ? ::send(fd_, slices.front().data, slices.front().size, kFlags)
                           : ::sendmsg(fd_, make_header(operation, slices), kFlags);
  if (sent < 0) {
    if (errno == EAGAIN || errno == EINTR) return false;
    fail(operation, errno);
    return true;
  }
  operation.backend_progress = static_cast<std::uint64_t>(sent);
  if (operation.backend_progress < operation.length()) return false;
  operation.succeed(operation.length());
  finish(operation);
  return true;
}

void UringConnection::submit_send(SocketOperation& operation) {
  // MSG_WAITALL lets the kernel send the rest itself when the socket's buffer was full.
  constexpr int kFlags = MSG_NOSIGNAL | MSG_WAITALL;
  const Rest rest = rest_after(operation.slices(), operation.backend_progress);
  ring_.submit(operation, [&](io_uring_sqe& entry) {
    if (rest.slices.empty()) {
      io_uring_prep_nop(&entry);
    } else if (rest.slices.size() == 1 || rest.skip > 0) {
      const std::size_t size =
          std::min<std::uint64_t>(rest.slices.front().size - rest.skip, kMostPerCall);
      io_uring_prep_send(&entry, fd_, rest.slices.front().data + rest.skip, size, kFlags);
    } else {
      io_uring_prep_sendmsg(&entry, fd_, make_header(operation, rest.slices), kFlags);
    }
  });
}

void UringConnection::complete(Operation& completed, Part, std::int32_t result,
                               std::uint32_t flags) {
  auto& operation = static_cast<SocketOperation&>(completed);
  const bool is_receive = operation.kind() == SocketOperation::Kind::kReceive;
  if (result == -EINTR || result == -EAGAIN) {
    // A second try would be out of the cancellation's reach.
    if (operation.cancel_requested()) return fail(operation, ECANCELED);
    if (is_receive) return submit_receive(operation);
    return submit_send(operation);
  }
  if (result < 0) return fail(operation, -result);
  if (is_receive) {
    drained_ = (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0;
    operation.succeed(static_cast<std::size_t>(result));
    return finish(operation);
  }
  operation.backend_progress += static_cast<std::uint64_t>(result);
  if (operation.backend_progress < operation.length()) {
    if (operation.cancel_requested()) return fail(operation, ECANCELED);
    return submit_send(operation);
  }
  operation.succeed(operation.length());
  finish(operation);
}

void UringConnection::finish(SocketOperation& operation) {
  (operation.kind() == SocketOperation::Kind::kReceive ? receiving_ : sending_) = false;
  operation.finish();
}

void UringConnection::fail(SocketOperation& operation, int error_number) {
  operation.fail(Error::from_errno(
      error_number,
      fmt::format(
          "{} {}",
          operation.kind() == SocketOperation::Kind::kReceive ? "receiving from" : "sending to",
          peer())));
  finish(operation);
}

UringListener::UringListener(Reactor& reactor, int fd)
    : reactor_(reactor), ring_(reactor.ring()), fd_(fd) {}

UringListener::~UringListener() {
  ASHLAR_CHECK(!accepting_, "a listener was closed with an accept in flight");
  ::close(fd_);
}

Endpoint UringListener::endpoint() const {
  return local_endpoint(fd_);
}

void UringListener::submit(AcceptAwaiter& operation) {
  ASHLAR_CHECK(!accepting_, "two accepts at once on {}", endpoint());
  accepting_ = true;
  operation.begin(*this);
  submit_accept(operation);
}

void UringListener::submit_accept(Operation& operation) {
  ring_.submit(operation, [this](io_uring_sqe& entry) {
    io_uring_prep_accept(&entry, fd_, nullptr, nullptr, SOCK_CLOEXEC);
  });
}

void UringListener::complete(Operation& completed, Part, std::int32_t result, std::uint32_t) {
  auto& operation = static_cast<AcceptAwaiter&>(completed);
  // ECONNABORTED: the peer gave up while it stood in the backlog; no reason to stop listening.
  if (result == -ECONNABORTED || result == -EINTR || result == -EAGAIN) {
    if (!operation.cancel_requested()) return submit_accept(operation);
    result = -ECANCELED;
  }
  if (result < 0) {
    operation.fail(Error::from_errno(-result, fmt::format("accepting at {}", endpoint())));
  } else {
    set_no_delay(result);
    operation.set_accepted(std::make_unique<UringConnection>(reactor_, result));
  }
  accepting_ = false;
  operation.finish();
}

}  // namespace ashlar::uring
