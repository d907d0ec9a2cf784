// Cancellation at every kind of leaf. A leaf is tried twice: waiting when the request comes, and
// reached after it came.
#include "common/runtime/cancel.h"

#include <memory>
#include <string>
#include <vector>

#include "common/runtime/channel.h"
#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "common/runtime/timeout.h"
#include "tests/support/aligned_bytes.h"
#include "tests/support/connected_pair.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

using test::outcome_of;

class CancelTest : public test::RuntimeTest {};

Task<void> note(Task<Result<>> leaf, std::string& outcome) {
  Result<> result = co_await std::move(leaf);
  outcome = outcome_of(result);
}

// What becomes of `leaf` when it waits for a while and is then cancelled.
Task<std::string> cancel_waiting(Clock& clock, Task<Result<>> leaf) {
  std::string outcome = "still waiting";
  TaskScope scope(co_await this_task());
  scope.spawn(note(std::move(leaf), outcome));
  EXPECT_TRUE((co_await sleep_for(clock, 5ms)).ok());
  EXPECT_EQ(outcome, "still waiting");
  scope.cancel();
  EXPECT_EQ(outcome, "still waiting") << "a request runs no coroutine";
  EXPECT_TRUE((co_await scope.join()).ok());
  co_return outcome;
}

// What becomes of `leaf` when it begins in a scope that is cancelled already.
Task<std::string> reach_cancelled(Task<Result<>> leaf) {
  std::string outcome = "never ran";
  CancelScope scope((co_await this_task()).cancel_scope);
  scope.cancel();
  co_await note(std::move(leaf), outcome).in_scope(&scope);
  co_return outcome;
}

Task<Result<>> sleep_long(Clock& clock) {
  co_return co_await sleep_for(clock, 1h);
}
Task<Result<>> wait_for(Event& event) {
  co_return co_await event.wait();
}
Task<Result<>> acquire(Semaphore& semaphore, std::uint64_t count) {
  ASHLAR_CO_TRY_ASSIGN(const auto units, co_await semaphore.acquire(count));
  co_return Result<>();
}
Task<Result<>> take(Semaphore& semaphore, std::uint64_t count) {
  co_return co_await semaphore.take(count);
}
Task<Result<>> send_to(Channel<int>& channel, int item) {
  co_return co_await channel.send(item);
}
Task<Result<>> receive_from(Channel<int>& channel) {
  ASHLAR_CO_TRY_ASSIGN(const int item, co_await channel.receive());
  (void)item;
  co_return Result<>();
}
Task<Result<>> receive_bytes(Connection& connection, MutableByteSpan into) {
  ASHLAR_CO_TRY_ASSIGN(const std::size_t count, co_await connection.receive(into));
  (void)count;
  co_return Result<>();
}
Task<Result<>> send_bytes(Connection& connection, ByteSpan from) {
  co_return co_await connection.send(from);
}
Task<Result<>> accept_one(Listener& listener) {
  ASHLAR_CO_TRY_ASSIGN(const auto connection, co_await listener.accept());
  co_return Result<>();
}
Task<Result<>> connect_to(Network& network, Endpoint to) {
  ASHLAR_CO_TRY_ASSIGN(const auto connection, co_await network.connect(to));
  co_return Result<>();
}

TEST_P(CancelTest, EndsASleep) {
  run([](Runtime runtime) -> Task<void> {
    EXPECT_EQ(co_await cancel_waiting(runtime.clock, sleep_long(runtime.clock)), "CANCELLED");
    EXPECT_EQ(co_await reach_cancelled(sleep_long(runtime.clock)), "CANCELLED");
  });
}

TEST_P(CancelTest, EndsAWaitForAnEventAndLeavesTheEventToOthers) {
  run([](Runtime runtime) -> Task<void> {
    Event event;
    std::string other = "still waiting";
    TaskScope scope(co_await this_task());
    scope.spawn(note(wait_for(event), other));
    EXPECT_EQ(co_await cancel_waiting(runtime.clock, wait_for(event)), "CANCELLED");
    EXPECT_EQ(co_await reach_cancelled(wait_for(event)), "CANCELLED");
    EXPECT_EQ(other, "still waiting");
    event.set();
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(other, "OK");
  });
}

TEST_P(CancelTest, EndsAWaitForASemaphoreAndTakesNoUnits) {
  run([](Runtime runtime) -> Task<void> {
    Semaphore semaphore(2);
    CO_ASSERT_OK_ASSIGN(auto held, co_await semaphore.acquire(1));
    EXPECT_EQ(co_await cancel_waiting(runtime.clock, acquire(semaphore, 2)), "CANCELLED");
    EXPECT_EQ(co_await cancel_waiting(runtime.clock, take(semaphore, 2)), "CANCELLED");
    EXPECT_EQ(co_await reach_cancelled(acquire(semaphore, 2)), "CANCELLED");
    EXPECT_EQ(semaphore.available(), 1u);
    held.release();
    EXPECT_EQ(semaphore.available(), 2u);
  });
}

TEST_P(CancelTest, EndsAChannelSendAndTheItemIsNotSent) {
  run([](Runtime runtime) -> Task<void> {
    Channel<int> channel(1);
    CO_ASSERT_OK(co_await channel.send(1));
    EXPECT_EQ(co_await cancel_waiting(runtime.clock, send_to(channel, 2)), "CANCELLED");
    EXPECT_EQ(co_await reach_cancelled(send_to(channel, 3)), "CANCELLED");
    EXPECT_EQ(channel.try_receive(), 1);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
  });
}

TEST_P(CancelTest, EndsAChannelReceiveAndTheItemIsKept) {
  run([](Runtime runtime) -> Task<void> {
    Channel<int> channel(1);
    EXPECT_EQ(co_await cancel_waiting(runtime.clock, receive_from(channel)), "CANCELLED");
    EXPECT_EQ(co_await reach_cancelled(receive_from(channel)), "CANCELLED");
    CO_ASSERT_OK(co_await channel.send(7));
    EXPECT_EQ(channel.try_receive(), 7);
  });
}

TEST_P(CancelTest, EndsAReceiveAndTheConnectionIsStillGood) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        std::byte buffer[16] = {};
        Task<Result<>> waiting = receive_bytes(*pair.server, buffer);
        EXPECT_EQ(co_await cancel_waiting(runtime.clock, std::move(waiting)), "CANCELLED");
        EXPECT_EQ(co_await reach_cancelled(receive_bytes(*pair.server, buffer)), "CANCELLED");
        const std::byte message[] = {std::byte{1}, std::byte{2}};
        CO_ASSERT_OK(co_await pair.client->send(ByteSpan(message)));
        CO_ASSERT_OK_ASSIGN(const std::size_t count, co_await pair.server->receive(buffer));
        EXPECT_GE(count, 1u);
        EXPECT_EQ(buffer[0], std::byte{1});
      },
      address());
}

TEST_P(CancelTest, EndsASendThatBackPressureHolds) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const std::vector<std::byte> much(64 << 20);
        EXPECT_EQ(co_await cancel_waiting(runtime.clock, send_bytes(*pair.client, much)),
                  "CANCELLED");
        EXPECT_EQ(co_await reach_cancelled(send_bytes(*pair.client, much)), "CANCELLED");
      },
      address());
}

TEST_P(CancelTest, EndsAVectoredSendThatBackPressureHolds) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        constexpr auto kSend = [](Connection& connection,
                                  std::span<const ConstIoSlice> slices) -> Task<Result<>> {
          co_return co_await connection.send(slices);
        };
        CO_ASSERT_OK_ASSIGN(auto pair, co_await test::make_connected_pair(runtime, address));
        const std::vector<std::byte> much(8 << 20);
        const std::vector<ConstIoSlice> slices(8, ConstIoSlice(much));
        EXPECT_EQ(co_await cancel_waiting(runtime.clock, kSend(*pair.client, slices)), "CANCELLED");
      },
      address());
}

TEST_P(CancelTest, EndsAnAcceptAndTheListenerIsStillGood) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto listener, runtime.network.listen(address));
        EXPECT_EQ(co_await cancel_waiting(runtime.clock, accept_one(*listener)), "CANCELLED");
        EXPECT_EQ(co_await reach_cancelled(accept_one(*listener)), "CANCELLED");
        TaskScope scope(co_await this_task());
        scope.spawn(accept_one(*listener));
        scope.spawn(connect_to(runtime.network, listener->endpoint()));
        EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
      },
      address());
}

TEST_P(CancelTest, AConnectReachedAfterwardsFailsAtOnce) {
  run(
      [](Runtime runtime, Endpoint address) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto listener, runtime.network.listen(address));
        Task<Result<>> late = connect_to(runtime.network, listener->endpoint());
        EXPECT_EQ(co_await reach_cancelled(std::move(late)), "CANCELLED");
      },
      address());
}

Task<Result<>> use_every_disk_operation(FileSystem& files, std::string directory) {
  test::AlignedBytes bytes(8192, 1);
  const std::string path = directory + "/file";
  {
    ASHLAR_CO_TRY_ASSIGN(auto file, co_await files.open(path, OpenMode::kCreateNew));
    ASHLAR_CO_TRY(co_await file->lock());
    ASHLAR_CO_TRY(co_await file->allocate(0, 65536));
    ASHLAR_CO_TRY(co_await file->write(0, bytes.span(), Durability::kNone));
    ASHLAR_CO_TRY(co_await file->write(0, bytes.span(), Durability::kDsync));
    ASHLAR_CO_TRY(co_await file->write(0, bytes.span(), Durability::kWriteThenSync));
    ASHLAR_CO_TRY(co_await file->sync());
    ASHLAR_CO_TRY(co_await file->read(0, bytes.span()));
    ASHLAR_CO_TRY(co_await file->punch(0, 4096));
    ASHLAR_CO_TRY(co_await file->resize(ByteCount(4096)));
    ASHLAR_CO_TRY(co_await file->size());
    ASHLAR_CO_TRY(co_await file->allocated());
  }
  ASHLAR_CO_TRY(co_await files.rename(path, path + "2"));
  ASHLAR_CO_TRY(co_await files.remove(path + "2"));
  ASHLAR_CO_TRY(co_await files.make_directory(directory + "/d"));
  ASHLAR_CO_TRY(co_await files.remove_directory(directory + "/d"));
  ASHLAR_CO_TRY(co_await files.sync_directory(directory));
  ASHLAR_CO_TRY(co_await files.list(directory));
  ASHLAR_CO_TRY(co_await files.space(directory));
  co_return Result<>();
}

TEST_P(CancelTest, DiskOperationsTakeNoNoticeOfIt) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        EXPECT_EQ(co_await reach_cancelled(use_every_disk_operation(runtime.files, directory)),
                  "OK");
      },
      directory());
}

TEST_P(CancelTest, ADiskOperationUnderWayIsFinished) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        constexpr auto kWrite = [](File& file, ByteSpan bytes, bool& begun) -> Task<Result<>> {
          begun = true;
          co_return co_await file.write(0, bytes, Durability::kDsync);
        };
        const test::AlignedBytes bytes(1 << 20, 2);
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreate));
        std::string outcome = "still writing";
        bool begun = false;
        TaskScope scope(co_await this_task());
        scope.spawn(note(kWrite(*file, bytes.span(), begun), outcome));
        co_await test::yield_until([&] { return begun; });
        scope.cancel();
        EXPECT_TRUE((co_await scope.join()).ok());
        EXPECT_EQ(outcome, "OK");
        test::AlignedBytes back(bytes.size());
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(back == bytes);
      },
      directory());
}

TEST_P(CancelTest, DoesNotReachAShieldedPart) {
  run([](Runtime runtime) -> Task<void> {
    constexpr auto kShielded = [](Clock& clock) -> Task<Result<>> {
      EXPECT_FALSE((co_await this_task()).is_cancelled());
      co_return co_await sleep_for(clock, 2ms);
    };
    constexpr auto kLeaf = [](Clock& clock, auto shielded) -> Task<Result<>> {
      Result<> inside = co_await without_cancellation(shielded(clock));
      EXPECT_EQ(outcome_of(inside), "OK");
      co_return co_await sleep_for(clock, 1h);
    };
    EXPECT_EQ(co_await reach_cancelled(kLeaf(runtime.clock, kShielded)), "CANCELLED");
  });
}

TEST_P(CancelTest, AfterAGrantIsTooLateToTakeItBack) {
  run([](Runtime) -> Task<void> {
    constexpr auto kReceive = [](Channel<int>& channel, int& got) -> Task<Result<>> {
      ASHLAR_CO_TRY_ASSIGN(got, co_await channel.receive());
      co_return Result<>();
    };
    Channel<int> channel(1);
    int got = 0;
    bool waiting = false;
    constexpr auto kNoteStart = [](bool& started, Task<Result<>> next) -> Task<Result<>> {
      started = true;
      co_return co_await std::move(next);
    };
    TaskScope scope(co_await this_task());
    scope.spawn(kNoteStart(waiting, kReceive(channel, got)));
    co_await test::yield_until([&] { return waiting; });
    CO_ASSERT_TRUE(channel.try_send(9));
    scope.cancel();
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(got, 9) << "an item that was handed over must not get lost";
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(CancelTest);

class CountingHook final : public CancelHook {
 public:
  void on_cancel() override {
    ++calls;
    linked_in_call = is_linked();
  }
  int calls = 0;
  bool linked_in_call = true;
};

TEST(CancelScopeTest, TellsEachHookOnceAndUnlinkedBefore) {
  CancelScope scope;
  CountingHook hook;
  scope.add(hook);
  EXPECT_TRUE(hook.is_linked());
  scope.cancel();
  scope.cancel();
  EXPECT_EQ(hook.calls, 1);
  EXPECT_FALSE(hook.linked_in_call);
}

TEST(CancelScopeTest, CancelsWhatItEnclosesAndNotWhatEnclosesIt) {
  CancelScope outer;
  CancelScope middle(&outer);
  CancelScope inner(&middle);
  CancelScope sibling(&outer);
  CountingHook inner_hook;
  CountingHook outer_hook;
  inner.add(inner_hook);
  outer.add(outer_hook);
  middle.cancel();
  EXPECT_FALSE(outer.is_cancelled());
  EXPECT_TRUE(middle.is_cancelled());
  EXPECT_TRUE(inner.is_cancelled());
  EXPECT_FALSE(sibling.is_cancelled());
  EXPECT_EQ(inner_hook.calls, 1);
  EXPECT_EQ(outer_hook.calls, 0);
  outer.cancel();
  EXPECT_EQ(inner_hook.calls, 1);
  EXPECT_EQ(outer_hook.calls, 1);
  EXPECT_TRUE(sibling.is_cancelled());
}

TEST(CancelScopeTest, AScopeOfACancelledParentIsCancelled) {
  CancelScope parent;
  parent.cancel();
  const CancelScope child(&parent);
  EXPECT_TRUE(child.is_cancelled());
}

TEST(CancelScopeTest, ForgetsHooksAndChildrenThatDied) {
  CancelScope scope;
  {
    CancelScope child(&scope);
    CountingHook own_hook;
    CountingHook child_hook;
    scope.add(own_hook);
    child.add(child_hook);
  }
  scope.cancel();  // the sanitizers watch
  EXPECT_TRUE(scope.is_cancelled());
}

TEST(CancelScopeTest, AHookMayRemoveAnotherDuringTheCall) {
  class Remover final : public CancelHook {
   public:
    explicit Remover(std::unique_ptr<CountingHook>& victim) : victim_(victim) {}
    void on_cancel() override { victim_.reset(); }

   private:
    std::unique_ptr<CountingHook>& victim_;
  };
  auto victim = std::make_unique<CountingHook>();
  CancelScope scope;
  Remover remover(victim);
  scope.add(remover);
  scope.add(*victim);
  scope.cancel();
  EXPECT_EQ(victim, nullptr);
}

}  // namespace
}  // namespace ashlar
