// The worked example on both runtimes, and its server under a simulated network that breaks.
#include "common/runtime/example/echo.h"

#include <cstring>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "common/runtime/task_scope.h"
#include "tests/support/runtime_harness.h"

namespace ashlar::test {
namespace {

class EchoTest : public RuntimeTest {};
INSTANTIATE_ON_BOTH_RUNTIMES(EchoTest);

struct EchoLoad {
  std::uint64_t count;
  std::uint32_t payload;
  std::uint64_t depth;
};

Task<void> echo_everything(Runtime runtime, Endpoint at, EchoLoad load, int clients) {
  Result<std::unique_ptr<Listener>> listener = runtime.network.listen(at);
  ASHLAR_CHECK(listener.ok(), "{}", listener.error());
  const Endpoint server = (*listener)->endpoint();

  TaskScope serving(co_await this_task());
  serving.spawn(example::serve_echo(**listener, 16));
  TaskScope sending(co_await this_task());
  for (int i = 0; i < clients; ++i) {
    sending.spawn(example::run_echo_client(runtime, server, load.count, load.payload, load.depth));
  }
  const Result<> sent = co_await sending.join();
  EXPECT_TRUE(sent.ok()) << sent.error().message();
  serving.cancel();
  const Result<> served = co_await serving.join();
  EXPECT_TRUE(served.ok()) << served.error().message();
}

TEST_P(EchoTest, MessagesComeBackUnchangedAtDepthOne) {
  run(echo_everything, harness_->address(), EchoLoad{200, 4096, 1}, 1);
}

TEST_P(EchoTest, MessagesComeBackUnchangedManyAtATime) {
  run(echo_everything, harness_->address(), EchoLoad{2000, 4096, 32}, 1);
}

TEST_P(EchoTest, EmptyAndLargestPayloadsComeBack) {
  run(echo_everything, harness_->address(), EchoLoad{100, 0, 8}, 1);
  run(echo_everything, harness_->address(), EchoLoad{100, example::kEchoPayloadMax, 8}, 1);
}

TEST_P(EchoTest, ManyClientsAreServedAtOnceAndMoreThanTheSlotsInTurn) {
  run(echo_everything, harness_->address(), EchoLoad{50, 1000, 4}, 40);
}

TEST_P(EchoTest, GarbageEndsThatConnectionWithoutHarmToTheServer) {
  const auto body = [](Runtime runtime, Endpoint at) -> Task<void> {
    Result<std::unique_ptr<Listener>> listener = runtime.network.listen(at);
    ASHLAR_CHECK(listener.ok(), "{}", listener.error());
    const Endpoint server = (*listener)->endpoint();
    TaskScope serving(co_await this_task());
    serving.spawn(example::serve_echo(**listener, 4));

    Result<std::unique_ptr<Connection>> connection = co_await runtime.network.connect(server);
    ASHLAR_CHECK(connection.ok(), "{}", connection.error());
    std::vector<std::byte> garbage(sizeof(example::EchoHeader), std::byte{0xff});
    const Result<> sent = co_await (*connection)->send(garbage);
    EXPECT_TRUE(sent.ok());
    const Result<std::size_t> answer = co_await (*connection)->receive(garbage);
    EXPECT_TRUE(!answer.ok() || *answer == 0) << "garbage was answered";

    const Result<> good = co_await example::run_echo_client(runtime, server, 10, 100, 1);
    EXPECT_TRUE(good.ok()) << good.error().message();
    serving.cancel();
    (void)co_await serving.join();
  };
  run(body, harness_->address());
}

}  // namespace
}  // namespace ashlar::test
