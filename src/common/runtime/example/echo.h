// The worked example: an echo server and its client, written once against the runtime's interfaces.
// tests/common/runtime/echo_test.cc runs both on io_uring and in the simulator, bench/runtime.cc
// measures the server.
//
// A message is a 48-byte header (EchoHeader) and a payload. The server answers every message with
// itself, in order. It shows the shape of all our stream code: one receive takes as many messages
// as have arrived, and one send carries all of them back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/runtime/runtime.h"
#include "common/runtime/task.h"

namespace ashlar::example {

struct EchoHeader {
  static constexpr std::uint32_t kMagic = 0x4f484345;  // "ECHO", little-endian

  std::uint32_t magic = kMagic;
  std::uint32_t payload_size = 0;  // at most kEchoPayloadMax
  std::uint64_t sequence = 0;
  std::uint8_t reserved[32] = {};
};
static_assert(sizeof(EchoHeader) == 48);

inline constexpr std::uint32_t kEchoPayloadMax = 64 * 1024;

// Serves one connection until the peer closes it. kInvalidArgument when the peer sends garbage.
Task<Result<>> serve_echo_connection(Connection& connection);

// Accepts connections and serves them, at most `connections_max` at a time, until cancelled.
Task<Result<>> serve_echo(Listener& listener, std::size_t connections_max);

// Sends `count` messages with `payload_size` random bytes each, keeps `depth` of them under way,
// and compares every byte that comes back. kDataLoss when one differs.
Task<Result<>> run_echo_client(Runtime runtime, Endpoint server, std::uint64_t count,
                               std::uint32_t payload_size, std::uint64_t depth);

}  // namespace ashlar::example
