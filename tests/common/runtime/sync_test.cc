#include "common/runtime/sync.h"

#include <string>
#include <vector>

#include "common/runtime/task_scope.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

using test::outcome_of;
using test::yield_until;

class SyncTest : public test::RuntimeTest {};

Task<void> wait_and_count(Event& event, int& waiting, int& woken) {
  ++waiting;
  EXPECT_EQ(outcome_of(co_await event.wait()), "OK");
  ++woken;
}

TEST_P(SyncTest, EventWakesEverybodyWhoWaits) {
  run([](Runtime) -> Task<void> {
    Event event;
    int waiting = 0;
    int woken = 0;
    TaskScope scope(co_await this_task());
    for (int i = 0; i < 5; ++i) scope.spawn(wait_and_count(event, waiting, woken));
    co_await yield_until([&] { return waiting == 5; });
    EXPECT_EQ(woken, 0);
    EXPECT_FALSE(event.is_set());
    event.set();
    EXPECT_EQ(woken, 0) << "set() runs no coroutine";
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(woken, 5);
  });
}

TEST_P(SyncTest, EventStaysSetUntilItIsReset) {
  run([](Runtime runtime) -> Task<void> {
    Event event;
    event.set();
    const std::uint64_t before = runtime.executor.resumptions();
    EXPECT_EQ(outcome_of(co_await event.wait()), "OK");
    EXPECT_EQ(outcome_of(co_await event.wait()), "OK");
    EXPECT_EQ(runtime.executor.resumptions(), before) << "a set event is not waited for";
    event.reset();
    EXPECT_FALSE(event.is_set());
    int waiting = 0;
    int woken = 0;
    TaskScope scope(co_await this_task());
    scope.spawn(wait_and_count(event, waiting, woken));
    co_await yield_until([&] { return waiting == 1; });
    for (int i = 0; i < 20; ++i) co_await yield();
    EXPECT_EQ(woken, 0);
    event.set();
    EXPECT_TRUE((co_await scope.join()).ok());
  });
}

TEST_P(SyncTest, EventThatIsResetAtOnceStillWakesThoseWhoWaited) {
  run([](Runtime) -> Task<void> {
    Event event;
    int waiting = 0;
    int woken = 0;
    TaskScope scope(co_await this_task());
    scope.spawn(wait_and_count(event, waiting, woken));
    co_await yield_until([&] { return waiting == 1; });
    event.set();
    event.reset();
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(woken, 1);
    EXPECT_FALSE(event.is_set());
  });
}

// A taker notes that it stands in the queue before it waits, and its name when it was served.
Task<Result<>> take_and_note(Semaphore& semaphore, std::uint64_t count, int name,
                             std::vector<int>& queued, std::vector<int>& served) {
  queued.push_back(name);
  Result<> outcome = co_await semaphore.take(count);
  if (outcome.ok()) served.push_back(name);
  co_return outcome;
}

// Queues takers 0, 1, … in this order, whatever order the simulator would have run them in.
Task<void> queue_takers(TaskScope& scope, Semaphore& semaphore, std::vector<std::uint64_t> counts,
                        std::vector<int>& queued, std::vector<int>& served) {
  for (std::size_t i = 0; i < counts.size(); ++i) {
    scope.spawn(take_and_note(semaphore, counts[i], static_cast<int>(i), queued, served));
    co_await yield_until([&] { return queued.size() == i + 1; });
  }
}

TEST_P(SyncTest, SemaphoreServesInTheOrderOfAsking) {
  run([](Runtime) -> Task<void> {
    Semaphore semaphore(1);
    CO_ASSERT_OK(co_await semaphore.take(1));
    std::vector<int> queued;
    std::vector<int> served;
    TaskScope scope(co_await this_task());
    co_await queue_takers(scope, semaphore, {1, 1, 1, 1}, queued, served);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(served.size(), i);
      semaphore.release(1);
      co_await yield_until([&] { return served.size() == i + 1; });
    }
    EXPECT_EQ(served, (std::vector{0, 1, 2, 3}));
    semaphore.release(1);
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(semaphore.available(), 1u);
  });
}

TEST_P(SyncTest, ASmallRequestDoesNotOvertakeALargeOne) {
  run([](Runtime) -> Task<void> {
    Semaphore semaphore(4);
    CO_ASSERT_OK(co_await semaphore.take(2));
    std::vector<int> queued;
    std::vector<int> served;
    TaskScope scope(co_await this_task());
    // Two units are free: enough for the second taker, who has to stand behind the first.
    co_await queue_takers(scope, semaphore, {4, 1}, queued, served);
    for (int i = 0; i < 20; ++i) co_await yield();
    EXPECT_EQ(served, std::vector<int>{});
    EXPECT_EQ(semaphore.available(), 2u);
    semaphore.release(1);
    for (int i = 0; i < 20; ++i) co_await yield();
    EXPECT_EQ(served, std::vector<int>{});
    semaphore.release(1);
    co_await yield_until([&] { return served.size() == 1; });
    EXPECT_EQ(served, std::vector{0});
    semaphore.release(4);
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(served, (std::vector{0, 1}));
    semaphore.release(1);
  });
}

TEST_P(SyncTest, UnitsGivenBackCannotBeStolenFromWhoeverWaits) {
  run([](Runtime) -> Task<void> {
    Semaphore semaphore(1);
    CO_ASSERT_OK(co_await semaphore.take(1));
    std::vector<int> queued;
    std::vector<int> served;
    TaskScope scope(co_await this_task());
    co_await queue_takers(scope, semaphore, {1}, queued, served);
    semaphore.release(1);
    // The waiter has not run yet, and the unit is its already.
    EXPECT_EQ(semaphore.available(), 0u);
    EXPECT_EQ(served, std::vector<int>{});
    EXPECT_TRUE((co_await scope.join()).ok());
    semaphore.release(1);
  });
}

TEST_P(SyncTest, ACancelledTakerAtTheHeadLetsTheNextGo) {
  run([](Runtime) -> Task<void> {
    Semaphore semaphore(4);
    CO_ASSERT_OK(co_await semaphore.take(2));
    std::vector<int> queued;
    std::vector<int> served;
    TaskScope large(co_await this_task());
    TaskScope small(co_await this_task());
    large.spawn(take_and_note(semaphore, 4, 0, queued, served));
    co_await yield_until([&] { return queued.size() == 1; });
    small.spawn(take_and_note(semaphore, 1, 1, queued, served));
    co_await yield_until([&] { return queued.size() == 2; });
    small.spawn(take_and_note(semaphore, 1, 2, queued, served));
    co_await yield_until([&] { return queued.size() == 3; });
    large.cancel();
    EXPECT_EQ(semaphore.available(), 0u) << "both small ones were served at once";
    EXPECT_TRUE((co_await large.join()).ok());
    EXPECT_TRUE((co_await small.join()).ok());
    EXPECT_EQ(served.size(), 2u);
    semaphore.release(4);
  });
}

TEST_P(SyncTest, OneReleaseServesAllItReachesTo) {
  run([](Runtime) -> Task<void> {
    Semaphore semaphore(10);
    CO_ASSERT_OK(co_await semaphore.take(10));
    std::vector<int> queued;
    std::vector<int> served;
    TaskScope scope(co_await this_task());
    co_await queue_takers(scope, semaphore, {3, 3, 3, 3}, queued, served);
    semaphore.release(10);
    EXPECT_EQ(semaphore.available(), 1u);
    co_await yield_until([&] { return served.size() == 3; });
    for (int i = 0; i < 20; ++i) co_await yield();
    EXPECT_EQ(served.size(), 3u);
    semaphore.release(9);
    EXPECT_TRUE((co_await scope.join()).ok());
    semaphore.release(3);
    EXPECT_EQ(semaphore.available(), 10u);
  });
}

TEST_P(SyncTest, UnitsAreGivenBackWhenTheirHolderDies) {
  run([](Runtime) -> Task<void> {
    Semaphore semaphore(3);
    {
      CO_ASSERT_OK_ASSIGN(Semaphore::Units one, co_await semaphore.acquire());
      EXPECT_EQ(one.count(), 1u);
      EXPECT_EQ(semaphore.available(), 2u);
      CO_ASSERT_OK_ASSIGN(Semaphore::Units two, co_await semaphore.acquire(2));
      EXPECT_EQ(semaphore.available(), 0u);
      Semaphore::Units moved = std::move(two);
      EXPECT_EQ(moved.count(), 2u);
      EXPECT_EQ(two.count(), 0u);  // NOLINT(bugprone-use-after-move): moved from means empty
      EXPECT_EQ(semaphore.available(), 0u);
      moved.release();
      moved.release();
      EXPECT_EQ(semaphore.available(), 2u);
      one = Semaphore::Units();
      EXPECT_EQ(semaphore.available(), 3u);
    }
    EXPECT_EQ(semaphore.available(), 3u);
  });
}

TEST_P(SyncTest, SemaphoreNeverHandsOutMoreThanItHas) {
  run(
      [](Runtime runtime, std::uint64_t seed) -> Task<void> {
        struct Shared {
          Semaphore semaphore{7};
          std::uint64_t held = 0;
          std::uint64_t rounds = 0;
        };
        constexpr auto kWorker = [](Runtime run_here, Shared& shared,
                                    std::uint64_t own_seed) -> Task<Result<>> {
          Random random(own_seed);
          for (int i = 0; i < 50; ++i) {
            const std::uint64_t count = random.between(1, 7);
            ASHLAR_CO_TRY_ASSIGN(auto units, co_await shared.semaphore.acquire(count));
            shared.held += count;
            EXPECT_LE(shared.held, 7u);
            if (random.chance(1, 10)) {
              (void)co_await sleep_for(run_here.clock, 10us);
            } else {
              co_await yield();
            }
            shared.held -= count;
            ++shared.rounds;
          }
          co_return Result<>();
        };
        Shared shared;
        TaskScope scope(co_await this_task());
        for (std::uint64_t i = 0; i < 20; ++i) {
          scope.spawn(kWorker(runtime, shared, seed + i));
        }
        EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
        EXPECT_EQ(shared.rounds, 20u * 50u);
        EXPECT_EQ(shared.semaphore.available(), 7u);
      },
      seed());
}

TEST_P(SyncTest, MutexLetsOneInAtATimeAcrossWaits) {
  run([](Runtime runtime) -> Task<void> {
    constexpr auto kEnter = [](Runtime here, Mutex& mutex, int& inside,
                               int& entered) -> Task<Result<>> {
      ASHLAR_CO_TRY_ASSIGN(const Mutex::Guard guard, co_await mutex.lock());
      EXPECT_EQ(++inside, 1);
      (void)co_await sleep_for(here.clock, 100us);
      --inside;
      ++entered;
      co_return Result<>();
    };
    Mutex mutex;
    int inside = 0;
    int entered = 0;
    TaskScope scope(co_await this_task());
    for (int i = 0; i < 10; ++i) scope.spawn(kEnter(runtime, mutex, inside, entered));
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(entered, 10);
  });
}

TEST_P(SyncTest, LatchOpensWhenItIsCountedDown) {
  run([](Runtime) -> Task<void> {
    constexpr auto kWait = [](Latch& latch, bool& open) -> Task<Result<>> {
      ASHLAR_CO_TRY(co_await latch.wait());
      open = true;
      co_return Result<>();
    };
    Latch latch(3);
    bool open = false;
    TaskScope scope(co_await this_task());
    scope.spawn(kWait(latch, open));
    for (int i = 0; i < 3; ++i) {
      for (int turn = 0; turn < 20; ++turn) co_await yield();
      EXPECT_FALSE(open);
      latch.count_down();
    }
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_TRUE(open);
    EXPECT_EQ(outcome_of(co_await latch.wait()), "OK");
    Latch nothing(0);
    EXPECT_EQ(outcome_of(co_await nothing.wait()), "OK");
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(SyncTest);

TEST(SyncDeathTest, MisuseIsFatal) {
  EXPECT_DEATH({ (void)Semaphore(2).acquire(3); }, "3 units asked of a semaphore of 2");
  EXPECT_DEATH({ Semaphore(2).release(1); }, "available_ <= capacity_");
  EXPECT_DEATH({ Latch(0).count_down(); }, "count_ > 0");
}

}  // namespace
}  // namespace ashlar
