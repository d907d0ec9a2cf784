#include "bench/echo_peer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/runtime/example/echo.h"

namespace ashlar::bench {
namespace {

using example::EchoHeader;
constexpr std::size_t kPayload = 4096;
// Our server's limit too, and the client's: a burst moves in pieces, so both ends work at once. A
// client that takes its whole window with one receive and answers with one send makes the two take
// turns, and then the wake-ups of two CPUs are measured, not the servers.
constexpr std::size_t kReceiveSize = 64 * 1024;
constexpr std::size_t kMessage = sizeof(EchoHeader) + kPayload;

void send_all(int fd, const std::byte* data, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(fd, data, size, MSG_NOSIGNAL);
    ASHLAR_CHECK(sent > 0, "send: {}", std::strerror(errno));
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
}

int connect_to_loopback(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASHLAR_CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}

// Writes the sequence number into a message: header, first and last word of the payload.
void stamp(std::byte* message, std::uint64_t sequence) {
  EchoHeader header;
  header.payload_size = kPayload;
  header.sequence = sequence;
  std::memcpy(message, &header, sizeof(header));
  std::memcpy(message + sizeof(header), &sequence, sizeof(sequence));
  std::memcpy(message + kMessage - sizeof(sequence), &sequence, sizeof(sequence));
}

void check(const std::byte* message, std::uint64_t sequence) {
  EchoHeader header;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::memcpy(&header, message, sizeof(header));
  std::memcpy(&first, message + sizeof(header), sizeof(first));
  std::memcpy(&last, message + kMessage - sizeof(last), sizeof(last));
  ASHLAR_CHECK(header.sequence == sequence && first == sequence && last == sequence);
}

}  // namespace

double drive_echo(const EchoLoad& load) {
  using SteadyClock = std::chrono::steady_clock;
  const int fd = connect_to_loopback(load.port);
  const auto depth = static_cast<std::size_t>(load.depth);
  std::vector<std::byte> outgoing(depth * kMessage);
  std::vector<std::byte> incoming(depth * kMessage);
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;
  std::size_t filled = 0;

  const auto send_messages = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) stamp(outgoing.data() + i * kMessage, sent++);
    send_all(fd, outgoing.data(), count * kMessage);
  };

  const auto start = SteadyClock::now();
  send_messages(depth);
  while (SteadyClock::now() - start < load.duration) {
    const std::size_t room = std::min(incoming.size() - filled, kReceiveSize);
    const ssize_t received = ::recv(fd, incoming.data() + filled, room, 0);
    ASHLAR_CHECK(received > 0, "recv: {}", std::strerror(errno));
    filled += static_cast<std::size_t>(received);
    const std::size_t whole = filled / kMessage;
    for (std::size_t i = 0; i < whole; ++i) check(incoming.data() + i * kMessage, answered++);
    std::memmove(incoming.data(), incoming.data() + whole * kMessage, filled - whole * kMessage);
    filled -= whole * kMessage;
    if (whole > 0) send_messages(whole);
  }
  const std::chrono::duration<double> elapsed = SteadyClock::now() - start;
  ::shutdown(fd, SHUT_WR);
  while (::recv(fd, incoming.data(), incoming.size(), 0) > 0) {
  }
  ::close(fd);
  return static_cast<double>(answered) / elapsed.count();
}

void serve_echo_with_epoll(int listening_fd) {
  const int fd = ::accept4(listening_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  ASHLAR_CHECK(fd >= 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event interest{.events = EPOLLIN, .data = {.fd = fd}};
  ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &interest);

  std::vector<std::byte> buffer(256 * 1024);
  std::size_t filled = 0;
  while (true) {
    epoll_event event{};
    if (::epoll_wait(poll, &event, 1, -1) < 0) continue;
    const ssize_t received =
        ::recv(fd, buffer.data() + filled, std::min(buffer.size() - filled, kReceiveSize), 0);
    if (received < 0 && errno == EAGAIN) continue;
    if (received <= 0) break;
    filled += static_cast<std::size_t>(received);

    std::size_t whole = 0;
    while (filled - whole >= sizeof(EchoHeader)) {
      EchoHeader header;
      std::memcpy(&header, buffer.data() + whole, sizeof(header));
      ASHLAR_CHECK(header.magic == EchoHeader::kMagic);
      if (filled - whole < sizeof(header) + header.payload_size) break;
      whole += sizeof(header) + header.payload_size;
    }
    for (std::size_t sent = 0; sent < whole;) {
      const ssize_t count = ::send(fd, buffer.data() + sent, whole - sent, MSG_NOSIGNAL);
      if (count < 0 && errno == EAGAIN) {
        // The client reads slower than it asks: wait until the socket takes more.
        epoll_event writable{.events = EPOLLOUT, .data = {.fd = fd}};
        ::epoll_ctl(poll, EPOLL_CTL_MOD, fd, &writable);
        ::epoll_wait(poll, &event, 1, -1);
        ::epoll_ctl(poll, EPOLL_CTL_MOD, fd, &interest);
        continue;
      }
      ASHLAR_CHECK(count > 0, "send: {}", std::strerror(errno));
      sent += static_cast<std::size_t>(count);
    }
    std::memmove(buffer.data(), buffer.data() + whole, filled - whole);
    filled -= whole;
  }
  ::close(poll);
  ::close(fd);
}

int listen_on_loopback(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASHLAR_CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  ASHLAR_CHECK(::listen(fd, 8) == 0);
  socklen_t length = sizeof(address);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  port = ntohs(address.sin_port);
  return fd;
}

void pin_to_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // Where there is one CPU only, both sides share it: the comparison still holds.
  (void)::sched_setaffinity(0, sizeof(set), &set);
}

}  // namespace ashlar::bench
