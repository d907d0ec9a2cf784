#include "common/runtime/channel.h"

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "common/runtime/task_scope.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

using test::outcome_of;
using test::yield_until;

class ChannelTest : public test::RuntimeTest {};

// Note that they began before they wait, so that a test can queue them in an order of its own.
Task<Result<>> send_one(Channel<int>& channel, int item, int& begun, int& sent) {
  ++begun;
  ASHLAR_CO_TRY(co_await channel.send(item));
  ++sent;
  co_return Result<>();
}
Task<void> receive_one(Channel<int>& channel, int& begun, std::string& got) {
  ++begun;
  Result<int> item = co_await channel.receive();
  got = item.ok() ? std::to_string(*item) : std::string(outcome_of(item));
}
Task<void> note_send(Channel<int>& channel, int item, int& begun, std::string& outcome) {
  ++begun;
  outcome = outcome_of(co_await channel.send(item));
}

TEST_P(ChannelTest, GivesItemsInTheOrderInWhichTheyWereSent) {
  run([](Runtime) -> Task<void> {
    Channel<int> channel(3);
    for (const int item : {1, 2, 3}) CO_ASSERT_OK(co_await channel.send(item));
    EXPECT_EQ(channel.size(), 3u);
    for (const int item : {1, 2, 3}) {
      CO_ASSERT_OK_ASSIGN(const int got, co_await channel.receive());
      EXPECT_EQ(got, item);
    }
    EXPECT_EQ(channel.size(), 0u);
  });
}

TEST_P(ChannelTest, SendWaitsWhileItIsFull) {
  run([](Runtime) -> Task<void> {
    Channel<int> channel(2);
    int begun = 0;
    int sent = 0;
    TaskScope scope(co_await this_task());
    for (int i = 0; i < 4; ++i) {
      scope.spawn(send_one(channel, i, begun, sent));
      co_await yield_until([&] { return begun == i + 1; });
    }
    for (int i = 0; i < 20; ++i) co_await yield();
    EXPECT_EQ(sent, 2);
    EXPECT_EQ(channel.size(), 2u);
    for (int i = 0; i < 4; ++i) {
      CO_ASSERT_OK_ASSIGN(const int got, co_await channel.receive());
      EXPECT_EQ(got, i);
      EXPECT_LE(channel.size(), 2u);
      co_await yield_until([&] { return sent == std::min(4, i + 3); });
    }
    EXPECT_TRUE((co_await scope.join()).ok());
  });
}

TEST_P(ChannelTest, ReceiversAreServedInTheOrderOfAsking) {
  run([](Runtime) -> Task<void> {
    Channel<int> channel(1);
    int begun = 0;
    std::string first;
    std::string second;
    TaskScope scope(co_await this_task());
    scope.spawn(receive_one(channel, begun, first));
    co_await yield_until([&] { return begun == 1; });
    scope.spawn(receive_one(channel, begun, second));
    co_await yield_until([&] { return begun == 2; });
    CO_ASSERT_OK(co_await channel.send(1));
    CO_ASSERT_OK(co_await channel.send(2));
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(first, "1");
    EXPECT_EQ(second, "2");
  });
}

TEST_P(ChannelTest, ALaterReceiverCannotStealFromOneThatWaits) {
  run([](Runtime) -> Task<void> {
    Channel<int> channel(1);
    int begun = 0;
    std::string waiting;
    TaskScope scope(co_await this_task());
    scope.spawn(receive_one(channel, begun, waiting));
    co_await yield_until([&] { return begun == 1; });
    CO_ASSERT_TRUE(channel.try_send(1));
    // The waiter has not run yet, and the item is its already.
    EXPECT_EQ(channel.size(), 0u);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(waiting, "1");
  });
}

TEST_P(ChannelTest, ALaterSenderCannotOvertakeOneThatWaits) {
  run([](Runtime) -> Task<void> {
    Channel<int> channel(1);
    CO_ASSERT_OK(co_await channel.send(1));
    int begun = 0;
    int sent = 0;
    TaskScope scope(co_await this_task());
    scope.spawn(send_one(channel, 2, begun, sent));
    co_await yield_until([&] { return begun == 1; });
    EXPECT_FALSE(channel.try_send(3));
    EXPECT_EQ(channel.try_receive(), 1);
    EXPECT_FALSE(channel.try_send(3)) << "the place is the waiter's";
    EXPECT_EQ(channel.try_receive(), 2);
    EXPECT_TRUE(channel.try_send(3));
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(sent, 1);
    EXPECT_EQ(channel.try_receive(), 3);
  });
}

TEST_P(ChannelTest, TrySendLeavesTheItemAloneWhenItIsRefused) {
  run([](Runtime) -> Task<void> {
    Channel<std::unique_ptr<int>> channel(1);
    EXPECT_TRUE(channel.try_send(std::make_unique<int>(1)));
    auto item = std::make_unique<int>(2);
    EXPECT_FALSE(channel.try_send(std::move(item)));
    // That a refused item was not moved from is what is promised.
    // NOLINTBEGIN(bugprone-use-after-move)
    CO_ASSERT_TRUE(item != nullptr);
    EXPECT_EQ(*item, 2);
    channel.close();
    EXPECT_FALSE(channel.try_send(std::move(item)));
    EXPECT_NE(item, nullptr);
    // NOLINTEND(bugprone-use-after-move)
    co_return;
  });
}

TEST_P(ChannelTest, CarriesItemsThatOnlyMove) {
  run([](Runtime) -> Task<void> {
    constexpr auto kSend = [](Channel<std::unique_ptr<int>>& channel) -> Task<Result<>> {
      for (int i = 0; i < 10; ++i) ASHLAR_CO_TRY(co_await channel.send(std::make_unique<int>(i)));
      channel.close();
      co_return Result<>();
    };
    Channel<std::unique_ptr<int>> channel(2);
    TaskScope scope(co_await this_task());
    scope.spawn(kSend(channel));
    for (int i = 0; i < 10; ++i) {
      CO_ASSERT_OK_ASSIGN(const std::unique_ptr<int> item, co_await channel.receive());
      EXPECT_EQ(*item, i);
    }
    EXPECT_TRUE((co_await scope.join()).ok());
  });
}

TEST_P(ChannelTest, CloseLetsReceiversDrainWhatIsThere) {
  run([](Runtime) -> Task<void> {
    Channel<int> channel(2);
    CO_ASSERT_OK(co_await channel.send(1));
    CO_ASSERT_OK(co_await channel.send(2));
    channel.close();
    EXPECT_TRUE(channel.is_closed());
    CO_ASSERT_OK_ASSIGN(const int first, co_await channel.receive());
    CO_ASSERT_OK_ASSIGN(const int second, co_await channel.receive());
    EXPECT_EQ(first, 1);
    EXPECT_EQ(second, 2);
    EXPECT_EQ(outcome_of(co_await channel.receive()), "OUT_OF_RANGE");
    EXPECT_EQ(outcome_of(co_await channel.receive()), "OUT_OF_RANGE");
  });
}

TEST_P(ChannelTest, CloseEndsReceiversThatWait) {
  run([](Runtime) -> Task<void> {
    Channel<int> channel(1);
    int begun = 0;
    std::string first;
    std::string second;
    TaskScope scope(co_await this_task());
    scope.spawn(receive_one(channel, begun, first));
    scope.spawn(receive_one(channel, begun, second));
    co_await yield_until([&] { return begun == 2; });
    channel.close();
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(first, "OUT_OF_RANGE");
    EXPECT_EQ(second, "OUT_OF_RANGE");
  });
}

TEST_P(ChannelTest, CloseRefusesSendersThatWaitAndThoseThatCome) {
  run([](Runtime) -> Task<void> {
    Channel<int> channel(1);
    CO_ASSERT_OK(co_await channel.send(1));
    int begun = 0;
    std::string outcome;
    TaskScope scope(co_await this_task());
    scope.spawn(note_send(channel, 2, begun, outcome));
    co_await yield_until([&] { return begun == 1; });
    channel.close();
    channel.close();
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(outcome, "FAILED_PRECONDITION");
    EXPECT_EQ(outcome_of(co_await channel.send(3)), "FAILED_PRECONDITION");
    EXPECT_EQ(channel.try_receive(), 1);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
  });
}

TEST_P(ChannelTest, ACancelledReceiverLetsTheNextHaveTheItem) {
  run([](Runtime) -> Task<void> {
    Channel<int> channel(1);
    int begun = 0;
    std::string first;
    std::string second;
    TaskScope cancelled(co_await this_task());
    TaskScope scope(co_await this_task());
    cancelled.spawn(receive_one(channel, begun, first));
    co_await yield_until([&] { return begun == 1; });
    scope.spawn(receive_one(channel, begun, second));
    co_await yield_until([&] { return begun == 2; });
    cancelled.cancel();
    CO_ASSERT_TRUE(channel.try_send(5));
    EXPECT_TRUE((co_await cancelled.join()).ok());
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(first, "CANCELLED");
    EXPECT_EQ(second, "5");
  });
}

TEST_P(ChannelTest, LosesAndDuplicatesNothingBetweenManyTasks) {
  run([](Runtime) -> Task<void> {
    constexpr int kSenders = 8;
    constexpr int kEach = 200;
    constexpr auto kSend = [](Channel<int>& channel, int first, int& open) -> Task<Result<>> {
      for (int i = 0; i < 200; ++i) {
        ASHLAR_CO_TRY(co_await channel.send(first + i));
        if (i % 7 == 0) co_await yield();
      }
      if (--open == 0) channel.close();
      co_return Result<>();
    };
    constexpr auto kReceive = [](Channel<int>& channel, std::vector<int>& seen) -> Task<void> {
      // Of one sender, a receiver sees the items in order.
      std::vector<int> last(8, -1);
      while (true) {
        Result<int> item = co_await channel.receive();
        if (!item.ok()) co_return;
        EXPECT_LE(channel.size(), 3u);
        auto& before = last[static_cast<std::size_t>(*item / 200)];
        EXPECT_LT(before, *item);
        before = *item;
        ++seen[static_cast<std::size_t>(*item)];
      }
    };
    Channel<int> channel(3);
    int open = kSenders;
    std::vector<int> seen(kSenders * kEach, 0);
    TaskScope scope(co_await this_task());
    for (int i = 0; i < kSenders; ++i) scope.spawn(kSend(channel, i * kEach, open));
    for (int i = 0; i < 5; ++i) scope.spawn(kReceive(channel, seen));
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(seen, std::vector<int>(kSenders * kEach, 1));
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(ChannelTest);

TEST(ChannelDeathTest, ACapacityOfZeroIsFatal) {
  EXPECT_DEATH({ Channel<int> channel(0); }, "capacity");
}

}  // namespace
}  // namespace ashlar
