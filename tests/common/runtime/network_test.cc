#include "common/runtime/network.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "common/runtime/timeout.h"
#include "tests/support/connected_pair.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

using test::outcome_of;

class NetworkTest : public test::RuntimeTest {};

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> bytes(size);
  Random(seed).fill(bytes);
  return bytes;
}

Task<Result<>> receive_until_end(Connection& connection, std::vector<std::byte>& received) {
  std::vector<std::byte> buffer(256 << 10);
  while (true) {
    ASHLAR_CO_TRY_ASSIGN(const std::size_t count, co_await connection.receive(buffer));
    if (count == 0) co_return Result<>();
    received.insert(received.end(), buffer.begin(),
                    buffer.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

Task<Result<>> receive_exactly(Connection& connection, MutableByteSpan into) {
  while (!into.empty()) {
    ASHLAR_CO_TRY_ASSIGN(const std::size_t count, co_await connection.receive(into));
    if (count == 0) co_return Error::out_of_range("the stream ended early");
    into = into.subspan(count);
  }
  co_return Result<>();
}

Task<Result<>> send_all(Connection& connection, ByteSpan bytes) {
  co_return co_await connection.send(bytes);
}

Task<Result<>> send_all_and_note(Connection& connection, ByteSpan bytes, bool& sent) {
  ASHLAR_CO_TRY(co_await connection.send(bytes));
  sent = true;
  co_return Result<>();
}

// Sends what it receives, until the peer ends its side.
Task<Result<>> echo(Connection& connection) {
  std::vector<std::byte> buffer(64 << 10);
  while (true) {
    ASHLAR_CO_TRY_ASSIGN(const std::size_t count, co_await connection.receive(buffer));
    if (count == 0) break;
    ASHLAR_CO_TRY(co_await connection.send(ByteSpan(buffer).first(count)));
  }
  connection.shutdown_send();
  co_return Result<>();
}

Task<Result<>> send_in_random_chunks(Connection& connection, ByteSpan bytes, std::uint64_t seed) {
  Random random(seed);
  while (!bytes.empty()) {
    // Mostly small, now and then large.
    const std::size_t most = random.chance(1, 8) ? 200'000 : 3'000;
    const std::size_t count = std::min<std::size_t>(bytes.size(), random.between(1, most));
    ASHLAR_CO_TRY(co_await connection.send(bytes.first(count)));
    bytes = bytes.subspan(count);
  }
  connection.shutdown_send();
  co_return Result<>();
}

Task<void> note_receive(Connection& connection, std::string& outcome) {
  std::byte buffer[64];
  Result<std::size_t> count = co_await connection.receive(buffer);
  outcome = count.ok() ? fmt::format("{} bytes", *count) : std::string(outcome_of(count));
}

Task<void> note_send(Connection& connection, ByteSpan bytes, std::string& outcome) {
  outcome = outcome_of(co_await connection.send(bytes));
}

TEST_P(NetworkTest, PortZeroGivesARealPortAndBothSidesKnowEachOther) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        EXPECT_NE(pair.listener->endpoint().port(), 0);
        EXPECT_EQ(pair.listener->endpoint().with_port(0), address);
        EXPECT_EQ(pair.client->peer(), pair.listener->endpoint());
        EXPECT_EQ(pair.server->local(), pair.listener->endpoint());
        EXPECT_EQ(pair.client->local(), pair.server->peer());
        EXPECT_NE(pair.client->local().port(), 0);
        CO_ASSERT_OK_ASSIGN(auto other, runtime.network.listen(address));
        EXPECT_NE(other->endpoint().port(), pair.listener->endpoint().port());
      },
      address());
}

TEST_P(NetworkTest, EchoesAMebibyteInRandomChunks) {
  run(
      [](Runtime runtime, Endpoint address, std::uint64_t seed) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const std::vector<std::byte> bytes = random_bytes(1 << 20, seed);
        std::vector<std::byte> received;
        TaskScope scope(co_await this_task());
        scope.spawn(echo(*pair.server));
        scope.spawn(send_in_random_chunks(*pair.client, bytes, seed + 1));
        scope.spawn(receive_until_end(*pair.client, received));
        CO_ASSERT_OK(co_await scope.join());
        EXPECT_TRUE(received == bytes);
      },
      address(), seed());
}

TEST_P(NetworkTest, SendsAndReceivesScatterLists) {
  run(
      [](Runtime runtime, Endpoint address, std::uint64_t seed) -> Task<void> {
        constexpr auto kSend = [](Connection& connection,
                                  std::span<const ConstIoSlice> slices) -> Task<Result<>> {
          ASHLAR_CO_TRY(co_await connection.send(slices));
          connection.shutdown_send();
          co_return Result<>();
        };
        // 1500 slices are more than one system call takes.
        for (const std::size_t count : {1u, 3u, 1500u}) {
          CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
          std::vector<std::vector<std::byte>> parts;
          std::vector<ConstIoSlice> slices;
          std::vector<std::byte> expected;
          Random random(seed + count);
          for (std::size_t i = 0; i < count; ++i) {
            parts.push_back(random_bytes(random.between(i == 1 ? 0 : 1, 2000), random.next()));
            expected.insert(expected.end(), parts.back().begin(), parts.back().end());
          }
          for (const auto& part : parts) slices.emplace_back(ByteSpan(part));
          TaskScope scope(co_await this_task());
          scope.spawn(kSend(*pair.client, slices));
          std::vector<std::byte> received;
          std::vector<std::byte> first(100);
          std::vector<std::byte> second(1000);
          std::vector<std::byte> third(5000);
          const IoSlice into[] = {IoSlice(first), IoSlice(second), IoSlice(third)};
          while (true) {
            CO_ASSERT_OK_ASSIGN(std::size_t left, co_await pair.server->receive(into));
            if (left == 0) break;
            for (const IoSlice& slice : into) {
              const std::size_t here = std::min(left, slice.size);
              received.insert(received.end(), slice.data, slice.data + here);
              left -= here;
            }
            EXPECT_EQ(left, 0u);
          }
          CO_ASSERT_OK(co_await scope.join());
          EXPECT_TRUE(received == expected) << count << " slices";
        }
      },
      address(), seed());
}

TEST_P(NetworkTest, AReceiveTakesWhatIsThereAndDoesNotWaitForMore) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const std::vector<std::byte> bytes = random_bytes(10, 1);
        CO_ASSERT_OK(co_await pair.client->send(ByteSpan(bytes)));
        std::vector<std::byte> buffer(1000);
        std::size_t total = 0;
        while (total < 10) {
          CO_ASSERT_OK_ASSIGN(const std::size_t count, co_await pair.server->receive(
                                                           MutableByteSpan(buffer).subspan(total)));
          CO_ASSERT_TRUE(count >= 1 && count <= 10 - total);
          total += count;
        }
        EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), buffer.begin()));
      },
      address());
}

TEST_P(NetworkTest, AfterShutdownThePeerSeesTheEndAndTheOtherDirectionGoesOn) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const std::vector<std::byte> bytes = random_bytes(100'000, 1);
        TaskScope scope(co_await this_task());
        scope.spawn(send_in_random_chunks(*pair.client, bytes, 2));  // ends with shutdown_send()
        std::vector<std::byte> at_server;
        CO_ASSERT_OK(co_await receive_until_end(*pair.server, at_server));
        EXPECT_TRUE(at_server == bytes) << "all that was sent before comes before the end";
        std::byte one[1];
        CO_ASSERT_OK_ASSIGN(const std::size_t again, co_await pair.server->receive(one));
        EXPECT_EQ(again, 0u) << "the end stays the end";

        scope.spawn(send_in_random_chunks(*pair.server, bytes, 3));
        std::vector<std::byte> at_client;
        CO_ASSERT_OK(co_await receive_until_end(*pair.client, at_client));
        EXPECT_TRUE(at_client == bytes);
        CO_ASSERT_OK(co_await scope.join());
        EXPECT_EQ(outcome_of(co_await pair.client->send(ByteSpan(bytes))), "UNAVAILABLE");
      },
      address());
}

TEST_P(NetworkTest, AReceiveThatWaitsSeesTheShutdown) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        std::string outcome = "still waiting";
        TaskScope scope(co_await this_task());
        scope.spawn(note_receive(*pair.server, outcome));
        CO_ASSERT_OK(co_await sleep_for(runtime.clock, 5ms));
        EXPECT_EQ(outcome, "still waiting");
        pair.client->shutdown_send();
        CO_ASSERT_OK(co_await scope.join());
        EXPECT_EQ(outcome, "0 bytes");
      },
      address());
}

TEST_P(NetworkTest, ClosingAConnectionEndsThePeersReceive) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        std::string outcome = "still waiting";
        TaskScope scope(co_await this_task());
        scope.spawn(note_receive(*pair.server, outcome));
        CO_ASSERT_OK(co_await sleep_for(runtime.clock, 5ms));
        pair.client.reset();
        CO_ASSERT_OK(co_await scope.join());
        EXPECT_NE(outcome, "still waiting");
      },
      address());
}

TEST_P(NetworkTest, SendingToAPeerThatIsGoneFailsInTheEnd) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const std::vector<std::byte> bytes(1000);
        pair.server.reset();
        std::string outcome = "OK";
        for (int i = 0; i < 1000 && outcome == "OK"; ++i) {
          outcome = outcome_of(co_await pair.client->send(ByteSpan(bytes)));
          (void)co_await sleep_for(runtime.clock, 1ms);
        }
        EXPECT_EQ(outcome, "UNAVAILABLE");
      },
      address());
}

TEST_P(NetworkTest, AbortEndsWhatIsInFlightOnBothSides) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const std::vector<std::byte> much(64 << 20);
        std::string own_receive = "still waiting";
        std::string own_send = "still waiting";
        std::string other_receive = "still waiting";
        TaskScope own(co_await this_task());
        TaskScope other(co_await this_task());
        own.spawn(note_receive(*pair.client, own_receive));
        own.spawn(note_send(*pair.client, much, own_send));
        CO_ASSERT_OK(co_await sleep_for(runtime.clock, 10ms));
        EXPECT_EQ(own_receive, "still waiting");
        EXPECT_EQ(own_send, "still waiting");
        pair.client->abort();
        CO_ASSERT_OK(co_await own.join());
        EXPECT_NE(own_receive, "still waiting");
        EXPECT_EQ(own_send, "UNAVAILABLE");
        EXPECT_EQ(outcome_of(co_await pair.client->send(ByteSpan(much))), "UNAVAILABLE");
        // What had arrived may still be there; behind it is the end.
        std::vector<std::byte> rest;
        (void)co_await receive_until_end(*pair.server, rest);
        EXPECT_LT(rest.size(), much.size());
        other.spawn(note_receive(*pair.server, other_receive));
        CO_ASSERT_OK(co_await other.join());
      },
      address());
}

TEST_P(NetworkTest, AbortEndsAReceiveOfThePeer) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        std::string outcome = "still waiting";
        TaskScope scope(co_await this_task());
        scope.spawn(note_receive(*pair.server, outcome));
        CO_ASSERT_OK(co_await sleep_for(runtime.clock, 5ms));
        pair.client->abort();
        CO_ASSERT_OK(co_await scope.join());
        EXPECT_THAT(outcome, testing::AnyOf("0 bytes", "UNAVAILABLE"));
      },
      address());
}

TEST_P(NetworkTest, ConnectingWhereNobodyListensIsUnavailable) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto listener, runtime.network.listen(address));
        const Endpoint endpoint = listener->endpoint();
        listener.reset();
        EXPECT_EQ(outcome_of(co_await runtime.network.connect(endpoint)), "UNAVAILABLE");
        CO_ASSERT_OK_ASSIGN(auto again, runtime.network.listen(endpoint));
        EXPECT_EQ(again->endpoint(), endpoint) << "a port given up is free at once";
      },
      address());
}

TEST_P(NetworkTest, AnAddressInUseIsRefused) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto listener, runtime.network.listen(address));
        EXPECT_EQ(outcome_of(runtime.network.listen(listener->endpoint())), "ALREADY_EXISTS");
        co_return;
      },
      address());
}

TEST_P(NetworkTest, APortWithOldConnectionsCanBeListenedAtAgain) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const Endpoint endpoint = pair.listener->endpoint();
        pair.server.reset();  // who closes first keeps the port in TIME_WAIT
        pair.client.reset();
        pair.listener.reset();
        EXPECT_EQ(outcome_of(runtime.network.listen(endpoint)), "OK");
      },
      address());
}

TEST_P(NetworkTest, ASendDoesNotResolveBeforeThePeerReads) {
  run(
      [](Runtime runtime, Endpoint address, std::uint64_t seed) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const std::vector<std::byte> bytes = random_bytes(64 << 20, seed);
        bool sent = false;
        TaskScope scope(co_await this_task());
        scope.spawn(send_all_and_note(*pair.client, bytes, sent));
        CO_ASSERT_OK(co_await sleep_for(runtime.clock, 100ms));
        EXPECT_FALSE(sent);
        std::vector<std::byte> back(bytes.size());
        CO_ASSERT_OK(co_await receive_exactly(*pair.server, back));
        CO_ASSERT_OK(co_await scope.join());
        EXPECT_TRUE(sent);
        EXPECT_TRUE(back == bytes);
      },
      address(), seed());
}

TEST_P(NetworkTest, OneSendAndOneReceiveGoOnAtTheSameTimeOnEachSide) {
  run(
      [](Runtime runtime, Endpoint address, std::uint64_t seed) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        // More than the buffers hold, so that it ends only when both directions move.
        const std::vector<std::byte> up = random_bytes(24 << 20, seed);
        const std::vector<std::byte> down = random_bytes(24 << 20, seed + 1);
        std::vector<std::byte> up_received(up.size());
        std::vector<std::byte> down_received(down.size());
        TaskScope scope(co_await this_task());
        scope.spawn(send_all(*pair.client, up));
        scope.spawn(send_all(*pair.server, down));
        scope.spawn(receive_exactly(*pair.server, up_received));
        scope.spawn(receive_exactly(*pair.client, down_received));
        CO_ASSERT_OK(co_await scope.join());
        EXPECT_TRUE(up_received == up);
        EXPECT_TRUE(down_received == down);
      },
      address(), seed());
}

TEST_P(NetworkTest, ServesAHundredConnectionsAtOnce) {
  run(
      [](Runtime runtime, Endpoint address, std::uint64_t seed) -> Task<void> {
        constexpr auto kServe = [](std::unique_ptr<Connection> connection) -> Task<Result<>> {
          co_return co_await echo(*connection);
        };
        constexpr auto kAccept = [](Listener& listener, TaskScope& scope,
                                    auto serve) -> Task<Result<>> {
          for (int i = 0; i < 100; ++i) {
            ASHLAR_CO_TRY_ASSIGN(auto connection, co_await listener.accept());
            scope.spawn(serve(std::move(connection)));
          }
          co_return Result<>();
        };
        constexpr auto kClient = [](Network& network, Endpoint to, std::uint64_t own_seed,
                                    Latch& all, int& done) -> Task<Result<>> {
          ASHLAR_CO_TRY_ASSIGN(auto connection, co_await network.connect(to));
          all.count_down();
          ASHLAR_CO_TRY(co_await all.wait());  // all of them are open at the same time
          const std::vector<std::byte> bytes = random_bytes(5000, own_seed);
          std::vector<std::byte> received(bytes.size());
          ASHLAR_CO_TRY(co_await connection->send(ByteSpan(bytes)));
          ASHLAR_CO_TRY(co_await receive_exactly(*connection, received));
          EXPECT_TRUE(received == bytes);
          ++done;
          co_return Result<>();
        };
        CO_ASSERT_OK_ASSIGN(auto listener, runtime.network.listen(address));
        Latch all(100);
        int done = 0;
        TaskScope scope(co_await this_task());
        scope.spawn(kAccept(*listener, scope, kServe));
        for (std::uint64_t i = 0; i < 100; ++i) {
          scope.spawn(kClient(runtime.network, listener->endpoint(), seed + i, all, done));
        }
        CO_ASSERT_OK(co_await scope.join());
        EXPECT_EQ(done, 100);
      },
      address(), seed());
}

TEST_P(NetworkTest, ConnectionsWaitInTheBacklogUntilTheyAreAccepted) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto listener, runtime.network.listen(address));
        std::vector<std::unique_ptr<Connection>> clients;
        for (int i = 0; i < 10; ++i) {
          CO_ASSERT_OK_ASSIGN(auto client, co_await runtime.network.connect(listener->endpoint()));
          const std::byte hello[] = {static_cast<std::byte>(i)};
          CO_ASSERT_OK(co_await client->send(ByteSpan(hello)));
          clients.push_back(std::move(client));
        }
        std::vector<bool> seen(10, false);
        for (int i = 0; i < 10; ++i) {
          CO_ASSERT_OK_ASSIGN(auto server, co_await listener->accept());
          std::byte hello[1] = {};
          CO_ASSERT_OK(co_await receive_exactly(*server, hello));
          seen[static_cast<std::size_t>(hello[0])] = true;
        }
        EXPECT_EQ(seen, std::vector<bool>(10, true));
      },
      address());
}

TEST_P(NetworkTest, ASendOfNothingIsFine) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        EXPECT_EQ(outcome_of(co_await pair.client->send(ByteSpan())), "OK");
        EXPECT_EQ(outcome_of(co_await pair.client->send(std::span<const ConstIoSlice>())), "OK");
      },
      address());
}

TEST_P(NetworkTest, AnAdoptedConnectionGoesOnWhereItWasDetached) {
  run(
      [](Runtime runtime, Endpoint address, std::uint64_t seed) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const std::vector<std::byte> bytes = random_bytes(10'000, seed);
        CO_ASSERT_OK(co_await pair.client->send(ByteSpan(bytes)));
        std::vector<std::byte> received(bytes.size());
        const MutableByteSpan all = received;
        CO_ASSERT_OK(co_await receive_exactly(*pair.server, all.first(1000)));
        const Endpoint peer = pair.server->peer();

        auto detached = pair.server->detach();
        pair.server.reset();
        pair.server = runtime.network.adopt(std::move(detached));

        EXPECT_EQ(pair.server->peer(), peer);
        CO_ASSERT_OK(co_await receive_exactly(*pair.server, all.subspan(1000)));
        EXPECT_TRUE(received == bytes);
        CO_ASSERT_OK(co_await pair.server->send(ByteSpan(bytes)));
        std::vector<std::byte> back(bytes.size());
        CO_ASSERT_OK(co_await receive_exactly(*pair.client, back));
        EXPECT_TRUE(back == bytes);
      },
      address(), seed());
}

TEST_P(NetworkTest, ADetachedConnectionThatNobodyAdoptsIsClosed) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        auto detached = pair.server->detach();
        pair.server.reset();
        detached.reset();
        std::byte buffer[1];
        CO_ASSERT_OK_ASSIGN(const std::size_t count, co_await pair.client->receive(buffer));
        EXPECT_EQ(count, 0u);
      },
      address());
}

INSTANTIATE_ON_BOTH_RUNTIMES(NetworkTest);

TEST(NetworkDeathTest, TwoReceivesAtOnceOnOneConnectionAreFatal) {
  if (test::make_uring_harness() == nullptr) return;
  constexpr auto kMain = [](Runtime runtime, Endpoint address) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
    std::string first;
    std::string second;
    TaskScope scope(co_await this_task());
    scope.spawn(note_receive(*pair.client, first));
    scope.spawn(note_receive(*pair.client, second));
    (void)co_await scope.join();
  };
  EXPECT_DEATH(
      {
        auto harness = test::make_uring_harness();
        harness->run(kMain(harness->runtime(), harness->address()));
      },
      "two receives at once");
}

}  // namespace
}  // namespace ashlar
