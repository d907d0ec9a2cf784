#include "common/runtime/example/echo.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/runtime/channel.h"
#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"

namespace ashlar::example {
namespace {

constexpr std::size_t kBufferSize = 256 * 1024;
// Of a long burst the first answers leave while the rest still arrives, so both ends work at once.
constexpr std::size_t kReceiveSize = 64 * 1024;
static_assert(kBufferSize >= 2 * (sizeof(EchoHeader) + kEchoPayloadMax));

// How many bytes at the front are whole messages.
Result<std::size_t> whole_messages(ByteSpan bytes) {
  std::size_t whole = 0;
  while (bytes.size() - whole >= sizeof(EchoHeader)) {
    EchoHeader header;
    std::memcpy(&header, bytes.data() + whole, sizeof(header));
    if (header.magic != EchoHeader::kMagic || header.payload_size > kEchoPayloadMax) {
      return Error::invalid_argument("not an echo message: magic {:#x}, payload of {} bytes",
                                     header.magic, header.payload_size);
    }
    const std::size_t size = sizeof(EchoHeader) + header.payload_size;
    if (bytes.size() - whole < size) break;
    whole += size;
  }
  return whole;
}

Task<void> serve_and_close(std::unique_ptr<Connection> connection, Semaphore::Units) {
  // What goes wrong on one connection is that peer's trouble only.
  (void)co_await serve_echo_connection(*connection);
}

}  // namespace

Task<Result<>> serve_echo_connection(Connection& connection) {
  std::vector<std::byte> memory(kBufferSize);
  const MutableByteSpan buffer = memory;
  std::size_t filled = 0;
  while (true) {
    const std::size_t room = std::min(buffer.size() - filled, kReceiveSize);
    ASHLAR_CO_TRY_ASSIGN(const std::size_t received,
                         co_await connection.receive(buffer.subspan(filled, room)));
    if (received == 0) break;
    filled += received;
    ASHLAR_CO_TRY_ASSIGN(const std::size_t whole, whole_messages(buffer.first(filled)));
    if (whole == 0) continue;
    ASHLAR_CO_TRY(co_await connection.send(buffer.first(whole)));
    filled -= whole;
    std::memmove(buffer.data(), buffer.data() + whole, filled);
  }
  if (filled > 0) co_return Error::data_loss("the peer closed within a message");
  co_return {};
}

Task<Result<>> serve_echo(Listener& listener, std::size_t connections_max) {
  Semaphore slots(connections_max);
  TaskScope scope(co_await this_task());
  Result<> outcome;
  while (outcome.ok()) {
    Result<Semaphore::Units> slot = co_await slots.acquire();
    if (!slot.ok()) {
      outcome = slot.error();
      break;
    }
    Result<std::unique_ptr<Connection>> connection = co_await listener.accept();
    if (!connection.ok()) {
      outcome = connection.error();
      break;
    }
    scope.spawn(serve_and_close(std::move(*connection), std::move(*slot)));
  }
  scope.cancel();
  (void)co_await scope.join();
  co_return outcome;
}

namespace {

struct EchoClient {
  EchoClient(Connection& server, std::uint64_t messages, std::uint32_t size, std::uint64_t depth)
      : connection(server), count(messages), payload_size(size), window(depth), under_way(depth) {}

  Connection& connection;
  std::uint64_t count;
  std::uint32_t payload_size;
  Semaphore window;
  Channel<std::vector<std::byte>> under_way;
};

Task<Result<>> send_messages(EchoClient& client, Random& random) {
  for (std::uint64_t sequence = 0; sequence < client.count; ++sequence) {
    ASHLAR_CO_TRY(co_await client.window.take());
    std::vector<std::byte> message(sizeof(EchoHeader) + client.payload_size);
    EchoHeader header;
    header.payload_size = client.payload_size;
    header.sequence = sequence;
    std::memcpy(message.data(), &header, sizeof(header));
    random.fill(std::span(message).subspan(sizeof(header)));
    const ByteSpan bytes = message;
    ASHLAR_CO_TRY(co_await client.under_way.send(std::move(message)));
    // The vector's memory moved with it; its owner keeps it until the answer is here.
    ASHLAR_CO_TRY(co_await client.connection.send(bytes));
  }
  client.under_way.close();
  co_return {};
}

Task<Result<>> check_answers(EchoClient& client) {
  std::vector<std::byte> answer(sizeof(EchoHeader) + client.payload_size);
  for (std::uint64_t sequence = 0; sequence < client.count; ++sequence) {
    for (std::size_t filled = 0; filled < answer.size();) {
      const MutableByteSpan rest = std::span(answer).subspan(filled);
      ASHLAR_CO_TRY_ASSIGN(const std::size_t received, co_await client.connection.receive(rest));
      if (received == 0) {
        co_return Error::unavailable("the server closed after {} of {} answers", sequence,
                                     client.count);
      }
      filled += received;
    }
    ASHLAR_CO_TRY_ASSIGN(const std::vector<std::byte> sent, co_await client.under_way.receive());
    if (sent != answer) co_return Error::data_loss("answer {} is not what was sent", sequence);
    client.window.release(1);
  }
  client.connection.shutdown_send();
  co_return {};
}

}  // namespace

Task<Result<>> run_echo_client(Runtime runtime, Endpoint server, std::uint64_t count,
                               std::uint32_t payload_size, std::uint64_t depth) {
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Connection> connection,
                       co_await runtime.network.connect(server));
  EchoClient client(*connection, count, payload_size, depth);
  TaskScope scope(co_await this_task());
  scope.spawn(send_messages(client, runtime.random));
  scope.spawn(check_answers(client));
  co_return co_await scope.join();
}

}  // namespace ashlar::example
