#include "common/runtime/task_scope.h"

#include <memory>
#include <string>

#include "common/runtime/sync.h"
#include "common/runtime/timeout.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

using test::outcome_of;

class TaskScopeTest : public test::RuntimeTest {};

Task<void> sleep_and_count(Clock& clock, Duration length, int& finished) {
  EXPECT_TRUE((co_await sleep_for(clock, length)).ok());
  ++finished;
}

Task<Result<>> wait_for(Event& event) {
  co_return co_await event.wait();
}

Task<Result<>> note_outcome(Event& event, std::string& outcome) {
  Result<> result = co_await event.wait();
  outcome = outcome_of(result);
  co_return result;
}

Task<Result<>> fail_with(Error error) {
  co_return error;
}

Task<void> increment(int& count) {
  ++count;
  co_return;
}

TEST_P(TaskScopeTest, JoinWaitsForEveryChild) {
  run([](Runtime runtime) -> Task<void> {
    int finished = 0;
    TaskScope scope(co_await this_task());
    for (const Duration length : {3ms, 1ms, 2ms, 0ms}) {
      scope.spawn(sleep_and_count(runtime.clock, length, finished));
    }
    EXPECT_EQ(scope.running(), 4u);
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(finished, 4);
    EXPECT_EQ(scope.running(), 0u);
  });
}

TEST_P(TaskScopeTest, JoinOfNoChildrenReturnsAtOnce) {
  run([](Runtime runtime) -> Task<void> {
    const std::uint64_t before = runtime.executor.resumptions();
    TaskScope scope(co_await this_task());
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(runtime.executor.resumptions(), before);
  });
}

TEST_P(TaskScopeTest, ChildrenDoNotRunBeforeTheSpawnerSuspends) {
  run([](Runtime) -> Task<void> {
    int count = 0;
    TaskScope scope(co_await this_task());
    scope.spawn(increment(count));
    co_await increment(count);  // completes in place, which is no suspension
    EXPECT_EQ(count, 1);
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(count, 2);
  });
}

TEST_P(TaskScopeTest, ChildrenAndWhatTheyHeldAreGoneAfterJoin) {
  run([](Runtime) -> Task<void> {
    const auto held = std::make_shared<int>(0);
    const std::int64_t frames = live_frames();
    constexpr auto kHold = [](std::shared_ptr<int>) -> Task<void> { co_await yield(); };
    constexpr auto kHoldResult = [](std::shared_ptr<int>) -> Task<Result<>> {
      co_await yield();
      co_return Result<>();
    };
    TaskScope scope(co_await this_task());
    scope.spawn(kHold(held));
    scope.spawn(kHoldResult(held));
    EXPECT_EQ(held.use_count(), 3);
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(held.use_count(), 1);
    EXPECT_EQ(live_frames(), frames);
  });
}

TEST_P(TaskScopeTest, TheFirstErrorCancelsTheSiblingsAndIsWhatJoinReturns) {
  run([](Runtime) -> Task<void> {
    Event never;
    std::string sibling;
    TaskScope scope(co_await this_task());
    scope.spawn(note_outcome(never, sibling));
    scope.spawn(fail_with(Error::data_loss("the first")));
    Result<> outcome = co_await scope.join();
    EXPECT_EQ(outcome_of(outcome), "DATA_LOSS");
    EXPECT_EQ(outcome.error().message(), "the first");
    EXPECT_EQ(sibling, "CANCELLED");
  });
}

TEST_P(TaskScopeTest, LaterErrorsAreDropped) {
  run([](Runtime) -> Task<void> {
    constexpr auto kFailWhenCancelled = [](Event& event) -> Task<Result<>> {
      EXPECT_EQ(outcome_of(co_await event.wait()), "CANCELLED");
      co_return Error::internal("the second");
    };
    Event never;
    TaskScope scope(co_await this_task());
    scope.spawn(kFailWhenCancelled(never));
    scope.spawn(fail_with(Error::data_loss("the first")));
    EXPECT_EQ(outcome_of(co_await scope.join()), "DATA_LOSS");
  });
}

TEST_P(TaskScopeTest, CancelEndsTheChildrenWithoutAnError) {
  run([](Runtime) -> Task<void> {
    Event never;
    std::string first;
    std::string second;
    TaskScope scope(co_await this_task());
    scope.spawn(note_outcome(never, first));
    scope.spawn(note_outcome(never, second));
    co_await yield();
    scope.cancel();
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(first, "CANCELLED");
    EXPECT_EQ(second, "CANCELLED");
  });
}

TEST_P(TaskScopeTest, CancelDoesNotHideOtherErrors) {
  run([](Runtime) -> Task<void> {
    constexpr auto kFailWhenCancelled = [](Event& event) -> Task<Result<>> {
      (void)co_await event.wait();
      co_return Error::data_loss("while leaving");
    };
    Event never;
    TaskScope scope(co_await this_task());
    scope.spawn(kFailWhenCancelled(never));
    scope.cancel();
    EXPECT_EQ(outcome_of(co_await scope.join()), "DATA_LOSS");
  });
}

TEST_P(TaskScopeTest, KCancelledThatNobodyAskedForIsAnError) {
  run([](Runtime) -> Task<void> {
    TaskScope scope(co_await this_task());
    scope.spawn(fail_with(Error::cancelled("says who?")));
    EXPECT_EQ(outcome_of(co_await scope.join()), "CANCELLED");
  });
}

TEST_P(TaskScopeTest, CancelReachesChildrenThatHaveNotStarted) {
  run([](Runtime) -> Task<void> {
    Event never;
    std::string before;
    std::string after;
    TaskScope scope(co_await this_task());
    scope.spawn(note_outcome(never, before));
    scope.cancel();
    scope.spawn(note_outcome(never, after));
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(before, "CANCELLED");
    EXPECT_EQ(after, "CANCELLED");
  });
}

TEST_P(TaskScopeTest, CancellingTheCreatorCancelsTheChildren) {
  run([](Runtime) -> Task<void> {
    constexpr auto kCreator = [](Event& never, std::string& child) -> Task<Result<>> {
      TaskScope inner(co_await this_task());
      inner.spawn(note_outcome(never, child));
      co_return co_await inner.join();
    };
    Event never;
    std::string child;
    TaskScope outer(co_await this_task());
    outer.spawn(kCreator(never, child));
    co_await yield();
    outer.cancel();
    EXPECT_EQ(outcome_of(co_await outer.join()), "OK");
    EXPECT_EQ(child, "CANCELLED");
  });
}

TEST_P(TaskScopeTest, AScopeMadeAfterTheCancellationIsCancelledFromTheStart) {
  run([](Runtime) -> Task<void> {
    constexpr auto kCreator = [](Event& never, std::string& child) -> Task<Result<>> {
      TaskScope inner(co_await this_task());
      inner.spawn(note_outcome(never, child));
      co_return co_await inner.join();
    };
    Event never;
    std::string child;
    TaskScope outer(co_await this_task());
    outer.cancel();
    outer.spawn(kCreator(never, child));
    EXPECT_EQ(outcome_of(co_await outer.join()), "OK");
    EXPECT_EQ(child, "CANCELLED");
  });
}

TEST_P(TaskScopeTest, CancellingAScopeLeavesItsCreatorAlone) {
  run([](Runtime runtime) -> Task<void> {
    Event never;
    TaskScope scope(co_await this_task());
    scope.spawn(wait_for(never));
    scope.cancel();
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_FALSE((co_await this_task()).is_cancelled());
    EXPECT_EQ(outcome_of(co_await sleep_for(runtime.clock, 1us)), "OK");
  });
}

TEST_P(TaskScopeTest, JoinWaitsEvenWhenItsCallerIsCancelled) {
  run([](Runtime runtime) -> Task<void> {
    constexpr auto kShielded = [](Clock& clock, bool& finished) -> Task<void> {
      EXPECT_EQ(outcome_of(co_await sleep_for(clock, 2ms)), "OK");
      finished = true;
    };
    constexpr auto kStubborn = [](Clock& clock, bool& finished, auto shielded) -> Task<void> {
      co_await without_cancellation(shielded(clock, finished));
    };
    constexpr auto kCreator = [](Clock& clock, bool& finished, auto child) -> Task<Result<>> {
      TaskScope inner(co_await this_task());
      inner.spawn(std::move(child));
      (void)co_await inner.join();
      EXPECT_TRUE(finished);
      (void)clock;
      co_return Result<>();
    };
    bool finished = false;
    TaskScope outer(co_await this_task());
    outer.spawn(kCreator(runtime.clock, finished, kStubborn(runtime.clock, finished, kShielded)));
    co_await yield();
    outer.cancel();
    EXPECT_EQ(outcome_of(co_await outer.join()), "OK");
    EXPECT_TRUE(finished);
  });
}

TEST_P(TaskScopeTest, ChildrenMaySpawnSiblings) {
  run([](Runtime) -> Task<void> {
    constexpr auto kSpawner = [](TaskScope& scope, int& count) -> Task<void> {
      co_await yield();
      scope.spawn(increment(count));
      scope.spawn(increment(count));
    };
    int count = 0;
    TaskScope scope(co_await this_task());
    scope.spawn(kSpawner(scope, count));
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(count, 2);
  });
}

TEST_P(TaskScopeTest, JoinWaitsForAChildSpawnedBeforeTheJoinerGoesOn) {
  run([](Runtime) -> Task<void> {
    constexpr auto kChild = []() -> Task<void> { co_await yield(); };
    constexpr auto kLate = [](int& count) -> Task<void> {
      for (int i = 0; i < 10; ++i) co_await yield();
      ++count;
    };
    // Spawns when the last child is over and the joiner stands in the ready queue.
    constexpr auto kSpawner = [](TaskScope& scope, bool& joined, int& spawned, int& count,
                                 auto late) -> Task<void> {
      while (scope.running() != 0) co_await yield();
      if (joined) co_return;  // the simulator may have let the joiner go first
      ++spawned;
      scope.spawn(late(count));
    };
    int spawned = 0;
    int count = 0;
    bool joined = false;
    TaskScope outer(co_await this_task());
    TaskScope scope(co_await this_task());
    scope.spawn(kChild());
    outer.spawn(kSpawner(scope, joined, spawned, count, kLate));
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    joined = true;
    EXPECT_EQ(scope.running(), 0u);
    EXPECT_EQ(count, spawned);
    EXPECT_EQ(outcome_of(co_await outer.join()), "OK");
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
  });
}

TEST_P(TaskScopeTest, MayBeUsedAgainAfterJoin) {
  run([](Runtime) -> Task<void> {
    int count = 0;
    TaskScope scope(co_await this_task());
    for (int round = 0; round < 3; ++round) {
      scope.spawn(increment(count));
      EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
      EXPECT_EQ(count, round + 1);
    }
  });
}

TEST_P(TaskScopeTest, HoldsTenThousandChildren) {
  run([](Runtime) -> Task<void> {
    constexpr auto kChild = [](int& count) -> Task<Result<>> {
      co_await yield();
      ++count;
      co_return Result<>();
    };
    int count = 0;
    TaskScope scope(co_await this_task());
    for (int i = 0; i < 10'000; ++i) scope.spawn(kChild(count));
    EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
    EXPECT_EQ(count, 10'000);
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(TaskScopeTest);

TEST(TaskScopeDeathTest, AScopeThatIsNotJoinedIsFatal) {
  if (test::make_uring_harness() == nullptr) return;
  constexpr auto kForgetful = []() -> Task<void> {
    int count = 0;
    TaskScope scope(co_await this_task());
    scope.spawn(increment(count));
  };
  EXPECT_DEATH(test::make_uring_harness()->run(kForgetful()), "1 running tasks was not joined");
}

TEST(TaskScopeDeathTest, TwoJoinersAreFatal) {
  if (test::make_uring_harness() == nullptr) return;
  constexpr auto kJoin = [](TaskScope& scope) -> Task<void> { (void)co_await scope.join(); };
  constexpr auto kMain = [](auto join) -> Task<void> {
    Event never;
    TaskScope inner(co_await this_task());
    inner.spawn(wait_for(never));
    TaskScope outer(co_await this_task());
    outer.spawn(join(inner));
    outer.spawn(join(inner));
    (void)co_await outer.join();
  };
  EXPECT_DEATH(test::make_uring_harness()->run(kMain(kJoin)), "two tasks join one scope");
}

}  // namespace
}  // namespace ashlar
