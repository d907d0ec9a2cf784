#include "common/runtime/task.h"

#include <memory>
#include <string>
#include <vector>

#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

class TaskTest : public test::RuntimeTest {};

Task<int> count_and_answer(int& runs) {
  ++runs;
  co_return 42;
}

Task<int> yield_and_answer(int answer) {
  co_await yield();
  co_return answer;
}

Task<int> descend(int depth) {
  if (depth == 0) co_return 0;
  co_return 1 + co_await descend(depth - 1);
}

Task<int> descend_and_wait(int depth, Event& event) {
  if (depth == 0) {
    EXPECT_TRUE((co_await event.wait()).ok());
    co_return 0;
  }
  co_return 1 + co_await descend_and_wait(depth - 1, event);
}

Task<void> set(Event& event) {
  event.set();
  co_return;
}

// Not inlined: clang puts the frame of a coroutine that it sees through into its caller's.
[[gnu::noinline]] Task<void> hold(std::shared_ptr<int>) {
  co_return;
}

Task<TaskContext> context_of_child() {
  co_return co_await this_task();
}

TEST_P(TaskTest, StartsOnlyWhenItIsAwaited) {
  run([](Runtime) -> Task<void> {
    int runs = 0;
    Task<int> task = count_and_answer(runs);
    co_await yield();
    EXPECT_EQ(runs, 0);
    EXPECT_EQ(co_await std::move(task), 42);
    EXPECT_EQ(runs, 1);
  });
}

TEST_P(TaskTest, ThatNeedNotWaitCompletesInPlace) {
  run([](Runtime runtime) -> Task<void> {
    int runs = 0;
    const std::uint64_t before = runtime.executor.resumptions();
    EXPECT_EQ(co_await count_and_answer(runs), 42);
    EXPECT_EQ(runtime.executor.resumptions(), before);
  });
}

TEST_P(TaskTest, ThatWaitsGoesOnThroughTheReadyQueueAndItsParentInItsPlace) {
  run([](Runtime runtime) -> Task<void> {
    const std::uint64_t before = runtime.executor.resumptions();
    EXPECT_EQ(co_await yield_and_answer(7), 7);
    // Once for the child behind its yield; once more for this task where others may overtake it.
    EXPECT_GE(runtime.executor.resumptions(), before + 1);
    EXPECT_LE(runtime.executor.resumptions(), before + 2);
  });
}

TEST_P(TaskTest, ThatWasNeverAwaitedIsDroppedWithItsParameters) {
  run([](Runtime) -> Task<void> {
    const auto parameter = std::make_shared<int>(1);
    const std::int64_t before = live_frames();
    {
      Task<void> task = hold(parameter);
      EXPECT_EQ(live_frames(), before + 1);
      EXPECT_EQ(parameter.use_count(), 2);
    }
    EXPECT_EQ(live_frames(), before);
    EXPECT_EQ(parameter.use_count(), 1);
    co_return;
  });
}

TEST_P(TaskTest, GivesItsFrameBackWhenItsOwnerDies) {
  run([](Runtime) -> Task<void> {
    const auto parameter = std::make_shared<int>(1);
    const std::int64_t before = live_frames();
    co_await hold(parameter);
    EXPECT_EQ(live_frames(), before);
    EXPECT_EQ(parameter.use_count(), 1);
  });
}

TEST_P(TaskTest, HandsOverAResultThatOnlyMoves) {
  run([](Runtime) -> Task<void> {
    constexpr auto kMake = [](int value) -> Task<std::unique_ptr<int>> {
      co_await yield();
      co_return std::make_unique<int>(value);
    };
    std::unique_ptr<int> made = co_await kMake(5);
    EXPECT_EQ(*made, 5);
    constexpr auto kMakeResult = [](int value) -> Task<Result<std::unique_ptr<int>>> {
      if (value < 0) co_return Error::invalid_argument("negative");
      co_return std::make_unique<int>(value);
    };
    EXPECT_EQ(**(co_await kMakeResult(6)), 6);
    EXPECT_EQ(test::outcome_of(co_await kMakeResult(-1)), "INVALID_ARGUMENT");
  });
}

TEST_P(TaskTest, CanBeMovedAndAwaitedInAnyOrder) {
  run([](Runtime) -> Task<void> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 10; ++i) tasks.push_back(yield_and_answer(i));
    tasks.front() = yield_and_answer(100);
    for (int i = 9; i >= 1; --i) {
      EXPECT_EQ(co_await std::move(tasks[static_cast<std::size_t>(i)]), i);
    }
    EXPECT_EQ(co_await std::move(tasks.front()), 100);
  });
}

TEST_P(TaskTest, InheritsExecutorAndCancelScopeOfWhoeverAwaitsIt) {
  run([](Runtime runtime) -> Task<void> {
    const TaskContext here = co_await this_task();
    EXPECT_EQ(here.executor, &runtime.executor);
    Task<TaskContext> made_here = context_of_child();
    const TaskContext child = co_await std::move(made_here);
    EXPECT_EQ(child.executor, here.executor);
    EXPECT_EQ(child.cancel_scope, here.cancel_scope);
  });
}

TEST_P(TaskTest, RunsInTheScopeItIsGiven) {
  run([](Runtime runtime) -> Task<void> {
    CancelScope scope((co_await this_task()).cancel_scope);
    const TaskContext inside = co_await context_of_child().in_scope(&scope);
    EXPECT_EQ(inside.cancel_scope, &scope);
    EXPECT_EQ(inside.executor, &runtime.executor);
    const TaskContext outside = co_await context_of_child().in_scope(nullptr);
    EXPECT_EQ(outside.cancel_scope, nullptr);
    EXPECT_FALSE(outside.is_cancelled());
  });
}

TEST_P(TaskTest, AwaitingAHundredThousandInARowDoesNotGrowTheStack) {
  run([](Runtime) -> Task<void> {
    int runs = 0;
    for (int i = 0; i < 100'000; ++i) (void)co_await count_and_answer(runs);
    EXPECT_EQ(runs, 100'000);
    std::int64_t sum = 0;
    for (int i = 0; i < 100'000; ++i) sum += co_await yield_and_answer(1);
    EXPECT_EQ(sum, 100'000);
  });
}

TEST_P(TaskTest, NestsAThousandDeepInPlace) {
  run([](Runtime) -> Task<void> { EXPECT_EQ(co_await descend(1000), 1000); });
}

TEST_P(TaskTest, NestsAThousandDeepAroundAWait) {
  run([](Runtime) -> Task<void> {
    Event event;
    TaskScope scope(co_await this_task());
    scope.spawn(set(event));
    EXPECT_EQ(co_await descend_and_wait(1000, event), 1000);
    EXPECT_TRUE((co_await scope.join()).ok());
  });
}

TEST_P(TaskTest, YieldLetsOthersRun) {
  run([](Runtime) -> Task<void> {
    Event event;
    TaskScope scope(co_await this_task());
    scope.spawn(set(event));
    co_await test::yield_until([&] { return event.is_set(); });
    EXPECT_TRUE((co_await scope.join()).ok());
  });
}

TEST_P(TaskTest, PostedWorkRunsSoonAndOutsideOfTheCaller) {
  run([](Runtime runtime) -> Task<void> {
    Event event;
    runtime.executor.post([&event] { event.set(); });
    EXPECT_FALSE(event.is_set());
    EXPECT_TRUE((co_await event.wait()).ok());
  });
}

TEST_P(TaskTest, PostedWorkRunsInTheOrderInWhichItWasPosted) {
  run([](Runtime runtime) -> Task<void> {
    std::vector<int> order;
    Event done;
    for (int i = 0; i < 100; ++i) {
      runtime.executor.post([&, i, owned = std::make_unique<int>(i)] {
        EXPECT_EQ(*owned, i);
        order.push_back(i);
        if (i == 99) done.set();
      });
    }
    EXPECT_TRUE((co_await done.wait()).ok());
    EXPECT_EQ(order.size(), 100u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(TaskTest);

TEST(TaskDeathTest, AwaitingATaskTwiceIsFatal) {
  if (test::make_uring_harness() == nullptr) return;
  constexpr auto kAwaitTwice = []() -> Task<void> {
    int runs = 0;
    Task<int> task = count_and_answer(runs);
    (void)co_await std::move(task);
    (void)co_await std::move(task);  // NOLINT(bugprone-use-after-move): the point of the test
  };
  EXPECT_DEATH(test::make_uring_harness()->run(kAwaitTwice()), "a task was awaited twice");
}

TEST(TaskDeathTest, AnExceptionThatEscapesIsFatal) {
  if (test::make_uring_harness() == nullptr) return;
  constexpr auto kThrow = []() -> Task<void> {
    throw 1;
    co_return;
  };
  EXPECT_DEATH(test::make_uring_harness()->run(kThrow()), "an exception escaped");
}

}  // namespace
}  // namespace ashlar
