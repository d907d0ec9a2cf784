// What the echo server is measured with: a closed-loop client on a thread of its own with plain
// blocking sockets, and the epoll server that ours is compared with.
#pragma once

#include <chrono>
#include <cstdint>

namespace ashlar::bench {

struct EchoLoad {
  std::uint16_t port;
  int depth;
  std::chrono::milliseconds duration;
};

// Messages answered per second; every answer's header and both ends of its payload are checked, a
// wrong one ends the program.
double drive_echo(const EchoLoad& load);

// Serves one connection as a good epoll program does: a level-triggered loop over a non-blocking
// socket, one recv for as many messages as have arrived, one send for all their answers. Returns at
// end of stream. `listening_fd` stays open.
void serve_echo_with_epoll(int listening_fd);

// A listening socket on 127.0.0.1; `port` gets its number.
int listen_on_loopback(std::uint16_t& port);

void pin_to_cpu(int cpu);

}  // namespace ashlar::bench
