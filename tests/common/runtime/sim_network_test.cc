#include "common/runtime/sim/sim_network.h"

#include <numeric>
#include <set>
#include <vector>

#include "common/runtime/sync.h"
#include "common/runtime/timeout.h"
#include "tests/common/runtime/sim_test_support.h"

namespace ashlar::sim {
namespace {

// A SimNode keeps the lambda it was started with for as long as its coroutines may run, so here
// they may capture. NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

constexpr std::uint16_t kPort = 3260;

using ConnectionRef = std::unique_ptr<Connection>;

class SimNetworkTest : public testing::Test {
 protected:
  // The server accepts one connection and keeps what it receives.
  void start_server() {
    server.start([this](Runtime runtime) -> Task<void> {
      auto listener = runtime.network.listen(server.endpoint(kPort)).value();
      auto connection = (co_await listener->accept()).value();
      std::vector<std::byte> bytes(64 * 1024);
      while (true) {
        while (!reading) (void)co_await sleep_for(runtime.clock, 1ms);
        const Result<std::size_t> got = co_await connection->receive(bytes);
        if (!got.ok()) {
          server_error = got.error().code();
          server_noticed = world.now();
          co_return;
        }
        if (*got == 0) break;
        ++chunks;
        received.insert(received.end(), bytes.begin(),
                        bytes.begin() + static_cast<std::ptrdiff_t>(*got));
      }
      server_saw_end = true;
    });
  }

  // The client connects, sends `count` bytes and then waits for the server to close.
  void start_client(std::size_t count) {
    client.start([this, count](Runtime runtime) -> Task<void> {
      auto connection = co_await runtime.network.connect(server.endpoint(kPort));
      if (!connection.ok()) {
        client_error = connection.error().code();
        co_return;
      }
      connected = true;
      sent_bytes.resize(count);
      runtime.random.fill(sent_bytes);
      const Result<> sent = co_await (*connection)->send(ByteSpan(sent_bytes));
      send_is_over = true;
      std::array<std::byte, 16> answer{};
      const Result<std::size_t> got = co_await (*connection)->receive(answer);
      client_noticed = world.now();
      if (!got.ok()) {
        client_error = got.error().code();
      } else if (!sent.ok()) {
        client_error = sent.error().code();
      } else {
        client_saw_end = *got == 0;
      }
    });
  }

  SimWorld world{11};
  SimNode& server = world.add_node();
  SimNode& client = world.add_node();
  bool reading = true;
  bool connected = false, send_is_over = false, server_saw_end = false, client_saw_end = false;
  std::vector<std::byte> sent_bytes, received;
  int chunks = 0;
  std::optional<ErrorCode> server_error, client_error;
  MonoTime server_noticed, client_noticed;
};

TEST_F(SimNetworkTest, BytesArriveInOrderInArbitraryChunks) {
  world.fabric().timing.split_percent = 70;
  start_server();
  start_client(300'000);
  world.run_for(10s);
  EXPECT_TRUE(send_is_over);
  EXPECT_EQ(received, sent_bytes);
  EXPECT_GT(chunks, 10);
}

TEST_F(SimNetworkTest, AConnectIsRefusedWhereNobodyListens) {
  start_client(1);
  world.run_for(1s);
  EXPECT_EQ(client_error, ErrorCode::kUnavailable);
}

TEST_F(SimNetworkTest, ASendWaitsForTheWindowOfAReaderWhoDoesNotRead) {
  reading = false;
  start_server();
  start_client(world.fabric().timing.window + 1);
  world.run_for(60s);
  EXPECT_TRUE(connected);
  EXPECT_FALSE(send_is_over);
  reading = true;
  world.run_for(60s);
  EXPECT_TRUE(send_is_over);
  EXPECT_EQ(received, sent_bytes);
}

TEST_F(SimNetworkTest, ASendWithinTheWindowDoesNotWaitForTheReader) {
  reading = false;
  start_server();
  start_client(world.fabric().timing.window);
  world.run_for(1s);
  EXPECT_TRUE(send_is_over);
}

TEST_F(SimNetworkTest, ACutWayHoldsBytesBackUntilItHeals) {
  start_server();
  start_client(1000);
  ASSERT_TRUE(world.run_until([&] { return connected; }, 1s));
  world.fabric().cut(2, 1);
  world.run_for(60s);
  EXPECT_TRUE(send_is_over);
  EXPECT_TRUE(received.empty());
  world.fabric().heal(2, 1);
  world.run_for(1s);
  EXPECT_EQ(received, sent_bytes);
}

TEST_F(SimNetworkTest, AWayCutTheOtherWayRoundLetsBytesThrough) {
  start_server();
  start_client(1000);
  ASSERT_TRUE(world.run_until([&] { return connected; }, 1s));
  world.fabric().cut(1, 2);
  world.run_for(1s);
  EXPECT_EQ(received, sent_bytes);
}

TEST_F(SimNetworkTest, AConnectWaitsWhileTheWayIsCutInEitherDirection) {
  for (const auto& [from, to] : {std::pair{1u, 2u}, std::pair{2u, 1u}}) {
    connected = false;
    world.fabric().cut(from, to);
    start_server();
    start_client(1);
    world.run_for(30s);
    EXPECT_FALSE(connected);
    EXPECT_FALSE(client_error);
    world.fabric().heal_all();
    world.run_for(1s);
    EXPECT_TRUE(connected);
    client.kill_process();
    server.kill_process();
  }
}

TEST_F(SimNetworkTest, AKilledProcessResetsItsPeersAtOnce) {
  start_server();
  start_client(1000);
  world.run_for(1s);
  const MonoTime killed = world.now();
  server.kill_process();
  world.run_for(1s);
  EXPECT_EQ(client_error, ErrorCode::kUnavailable);
  EXPECT_LT(client_noticed - killed, 100ms);
}

TEST_F(SimNetworkTest, AMachineWithoutPowerIsSilentAndResetsWhenItIsBackAndHearsSomething) {
  start_server();
  world.fabric().timing.window = 1 << 20;
  Event send_more;
  std::optional<ErrorCode> error;
  client.start([&](Runtime runtime) -> Task<void> {
    auto connection = (co_await runtime.network.connect(server.endpoint(kPort))).value();
    connected = true;
    (co_await send_more.wait()).value();
    std::array<std::byte, 16> bytes{};
    (co_await connection->send(bytes)).value();
    error = (co_await connection->receive(bytes)).error().code();
  });
  world.run_for(1s);
  ASSERT_TRUE(connected);
  server.power_fail();
  world.run_for(60s);
  server.restart();
  world.run_for(60s);
  EXPECT_FALSE(error);
  send_more.set();
  world.run_for(10s);
  EXPECT_EQ(error, ErrorCode::kUnavailable);
}

TEST_F(SimNetworkTest, ALostConnectionIsNoticedByItsEndsAtDifferentTimes) {
  start_server();
  start_client(1000);
  world.run_for(1s);
  world.fabric().lose_connections(1, 2);
  world.run_for(10s);
  EXPECT_EQ(server_error, ErrorCode::kUnavailable);
  EXPECT_EQ(client_error, ErrorCode::kUnavailable);
  EXPECT_NE(server_noticed, client_noticed);
}

TEST_F(SimNetworkTest, ConnectionsAreLostAtTheirRate) {
  world.fabric().faults.connection_loss = 1'000'000;
  start_server();
  start_client(1000);
  world.run_for(10s);
  EXPECT_EQ(client_error, ErrorCode::kUnavailable);
  EXPECT_TRUE(received.empty());
}

TEST_F(SimNetworkTest, BuffersOfAPausedProcessFillAndItsPeerWaits) {
  start_server();
  ASSERT_TRUE(!world.run_until([&] { return connected; }, 1ms));
  start_client(world.fabric().timing.window * std::size_t{2});
  ASSERT_TRUE(world.run_until([&] { return connected; }, 1s));
  server.pause(10s);
  world.run_for(9s);
  EXPECT_FALSE(send_is_over);
  world.run_for(5s);
  EXPECT_TRUE(send_is_over);
  EXPECT_EQ(received, sent_bytes);
}

TEST_F(SimNetworkTest, ShutdownIsSeenBehindTheBytesAndReceivingGoesOn) {
  std::size_t answered = 0;
  server.start([&](Runtime runtime) -> Task<void> {
    auto listener = runtime.network.listen(server.endpoint(kPort)).value();
    auto connection = (co_await listener->accept()).value();
    std::array<std::byte, 100> bytes{};
    std::size_t count = 0;
    while (const std::size_t got = (co_await connection->receive(bytes)).value()) count += got;
    EXPECT_EQ(count, 1000u);
    (co_await connection->send(bytes)).value();
  });
  client.start([&](Runtime runtime) -> Task<void> {
    auto connection = (co_await runtime.network.connect(server.endpoint(kPort))).value();
    std::array<std::byte, 1000> bytes{};
    (co_await connection->send(bytes)).value();
    connection->shutdown_send();
    const Result<> refused = co_await connection->send(bytes);
    EXPECT_FALSE(refused.ok());
    while (const std::size_t got = (co_await connection->receive(bytes)).value()) answered += got;
  });
  world.run_for(1s);
  EXPECT_EQ(answered, 100u);
}

TEST_F(SimNetworkTest, AbortEndsTheOwnReceiveAndResetsThePeer) {
  start_server();
  std::optional<ErrorCode> own;
  client.start([&](Runtime runtime) -> Task<void> {
    auto connection = (co_await runtime.network.connect(server.endpoint(kPort))).value();
    TaskScope scope(co_await this_task());
    scope.spawn([](Connection& c, std::optional<ErrorCode>* out) -> Task<void> {
      std::array<std::byte, 16> bytes{};
      const auto got = co_await c.receive(bytes);
      if (!got.ok()) *out = got.error().code();
    }(*connection, &own));
    (co_await sleep_for(runtime.clock, 10ms)).value();
    connection->abort();
    (co_await scope.join()).value();
  });
  world.run_for(1s);
  EXPECT_EQ(own, ErrorCode::kUnavailable);
  EXPECT_EQ(server_error, ErrorCode::kUnavailable);
}

TEST_F(SimNetworkTest, EveryWaitCanBeCancelled) {
  int cancelled = 0;
  server.start([&](Runtime runtime) -> Task<void> {
    auto listener = runtime.network.listen(server.endpoint(0)).value();
    EXPECT_NE(listener->endpoint().port(), 0);
    auto accepting = [](Listener& l) -> Task<Result<>> {
      auto connection = co_await l.accept();
      if (!connection.ok()) co_return connection.error();
      co_return Result<>();
    };
    const auto accepted = co_await with_timeout(runtime.clock, 1s, accepting(*listener));
    cancelled += accepted.error().code() == ErrorCode::kDeadlineExceeded ? 1 : 0;
    // Nobody accepts this one, but the backlog takes it.
    auto connection = (co_await runtime.network.connect(listener->endpoint())).value();
    std::vector<std::byte> bytes(world.fabric().timing.window * std::size_t{2});
    auto receiving = [](Connection& c, std::span<std::byte> into) -> Task<Result<>> {
      auto got = co_await c.receive(into);
      if (!got.ok()) co_return got.error();
      co_return Result<>();
    };
    auto sending = [](Connection& c, ByteSpan from) -> Task<Result<>> {
      co_return co_await c.send(from);
    };
    const auto got = co_await with_timeout(runtime.clock, 1s, receiving(*connection, bytes));
    cancelled += got.error().code() == ErrorCode::kDeadlineExceeded ? 1 : 0;
    const auto sent = co_await with_timeout(runtime.clock, 1s, sending(*connection, bytes));
    cancelled += sent.error().code() == ErrorCode::kDeadlineExceeded ? 1 : 0;
    world.fabric().cut(1, 2);
    auto connecting = [](Runtime r, Endpoint to) -> Task<Result<>> {
      auto c = co_await r.network.connect(to);
      if (!c.ok()) co_return c.error();
      co_return Result<>();
    };
    const auto never =
        co_await with_timeout(runtime.clock, 1s, connecting(runtime, client.endpoint(1)));
    cancelled += never.error().code() == ErrorCode::kDeadlineExceeded ? 1 : 0;
  });
  world.run_for(60s);
  EXPECT_FALSE(server.is_running());
  EXPECT_EQ(cancelled, 4);
}

TEST_F(SimNetworkTest, APortIsTakenOnceAndFreeAgainAfterTheListenerOrItsProcess) {
  const auto body = [](Runtime runtime, Endpoint at, Endpoint elsewhere) -> Task<void> {
    {
      auto first = runtime.network.listen(at);
      EXPECT_TRUE(first.ok());
      EXPECT_EQ(runtime.network.listen(at).error().code(), ErrorCode::kAlreadyExists);
      EXPECT_FALSE(runtime.network.listen(elsewhere).ok());
    }
    auto again = runtime.network.listen(at).value();
    (void)co_await sleep_for(runtime.clock, 10s);
  };
  const Endpoint at = server.endpoint(kPort), elsewhere = client.endpoint(kPort);
  server.start([&](Runtime runtime) { return body(runtime, at, elsewhere); });
  world.run_for(1s);
  server.kill_process();
  server.restart();
  world.run_for(1s);
  EXPECT_TRUE(server.is_running());
}

TEST(SimNetwork, ConnectionsOvertakeEachOther) {
  // Two connections are each in order, but not with each other: over seeds, each arrives first.
  std::set<std::byte> first;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SimWorld world(seed);
    SimNode& server = world.add_node();
    SimNode& client = world.add_node();
    std::vector<std::byte> order;
    server.start([&](Runtime runtime) -> Task<void> {
      auto listener = runtime.network.listen(server.endpoint(kPort)).value();
      TaskScope scope(co_await this_task());
      for (int i = 0; i < 2; ++i) {
        auto connection = (co_await listener->accept()).value();
        scope.spawn([](ConnectionRef c, std::vector<std::byte>* out) -> Task<void> {
          std::array<std::byte, 1> byte{};
          (void)(co_await c->receive(byte)).value();
          out->push_back(byte[0]);
        }(std::move(connection), &order));
      }
      (co_await scope.join()).value();
    });
    client.start([&](Runtime runtime) -> Task<void> {
      auto a = (co_await runtime.network.connect(server.endpoint(kPort))).value();
      auto b = (co_await runtime.network.connect(server.endpoint(kPort))).value();
      const std::array<std::byte, 1> one{std::byte{1}}, two{std::byte{2}};
      (co_await a->send(one)).value();
      (co_await b->send(two)).value();
      (void)co_await sleep_for(runtime.clock, 1s);
    });
    world.run_for(2s);
    ASSERT_EQ(order.size(), 2u);
    first.insert(order[0]);
  }
  EXPECT_EQ(first.size(), 2u);
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::sim
