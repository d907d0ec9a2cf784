#include "common/runtime/timeout.h"

#include <string>

#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "tests/support/aligned_bytes.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

using test::outcome_of;

class TimeoutTest : public test::RuntimeTest {};

Task<Result<int>> answer_after(Clock& clock, Duration length) {
  ASHLAR_CO_TRY(co_await sleep_for(clock, length));
  co_return 42;
}

Task<Result<>> wait_for(Event& event) {
  co_return co_await event.wait();
}

// Does not let itself be hurried.
Task<Result<int>> answer_shielded(Clock& clock, Duration length) {
  co_return co_await without_cancellation(answer_after(clock, length));
}

TEST_P(TimeoutTest, GivesTheResultThatComesInTime) {
  run([](Runtime runtime) -> Task<void> {
    const MonoTime start = runtime.clock.now();
    Result<int> result = co_await with_timeout(runtime.clock, 1h, answer_after(runtime.clock, 1ms));
    CO_ASSERT_OK(result);
    EXPECT_EQ(*result, 42);
    EXPECT_LT(runtime.clock.now() - start, 10s);
  });
}

TEST_P(TimeoutTest, GivesTheErrorThatComesInTime) {
  run([](Runtime runtime) -> Task<void> {
    constexpr auto kFail = []() -> Task<Result<int>> { co_return Error::data_loss("broken"); };
    EXPECT_EQ(outcome_of(co_await with_timeout(runtime.clock, 1h, kFail())), "DATA_LOSS");
  });
}

TEST_P(TimeoutTest, EndsWithDeadlineExceededAndNotBeforeTheLimit) {
  run([](Runtime runtime) -> Task<void> {
    Event never;
    const MonoTime start = runtime.clock.now();
    Result<> result = co_await with_timeout(runtime.clock, 5ms, wait_for(never));
    EXPECT_EQ(outcome_of(result), "DEADLINE_EXCEEDED");
    EXPECT_EQ(result.error().message(), "not finished within 5 ms");
    const Duration waited = runtime.clock.now() - start;
    EXPECT_GE(waited, 5ms);
    EXPECT_LT(waited, 10s);
  });
}

TEST_P(TimeoutTest, DoesNotCancelTheCaller) {
  run([](Runtime runtime) -> Task<void> {
    Event never;
    (void)co_await with_timeout(runtime.clock, 1ms, wait_for(never));
    EXPECT_FALSE((co_await this_task()).is_cancelled());
    EXPECT_EQ(outcome_of(co_await sleep_for(runtime.clock, 1ms)), "OK");
  });
}

TEST_P(TimeoutTest, AResultThatArrivesAllTheSameIsReturned) {
  run([](Runtime runtime) -> Task<void> {
    Result<int> result =
        co_await with_timeout(runtime.clock, 1ms, answer_shielded(runtime.clock, 10ms));
    EXPECT_EQ(outcome_of(result), "OK");
  });
}

TEST_P(TimeoutTest, WaitsForADiskOperation) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        constexpr auto kWrite = [](FileSystem& files, std::string path) -> Task<Result<int>> {
          const test::AlignedBytes bytes(1 << 20, 3);
          ASHLAR_CO_TRY_ASSIGN(auto file, co_await files.open(path, OpenMode::kCreate));
          ASHLAR_CO_TRY(co_await file->write(0, bytes.span(), Durability::kDsync));
          co_return 1;
        };
        EXPECT_EQ(outcome_of(co_await with_timeout(runtime.clock, 1ns,
                                                   kWrite(runtime.files, directory + "/f"))),
                  "OK");
      },
      directory());
}

TEST_P(TimeoutTest, OfNoLengthStillLetsAtOnceWhatNeedNotWait) {
  run([](Runtime runtime) -> Task<void> {
    constexpr auto kNow = []() -> Task<Result<int>> { co_return 1; };
    EXPECT_EQ(outcome_of(co_await with_timeout(runtime.clock, 0ns, kNow())), "OK");
    Event never;
    EXPECT_EQ(outcome_of(co_await with_timeout(runtime.clock, 0ns, wait_for(never))),
              "DEADLINE_EXCEEDED");
  });
}

TEST_P(TimeoutTest, OfTheLargestLengthNeverFires) {
  run([](Runtime runtime) -> Task<void> {
    Result<int> result =
        co_await with_timeout(runtime.clock, Duration::max(), answer_after(runtime.clock, 1ms));
    EXPECT_EQ(outcome_of(result), "OK");
  });
}

TEST_P(TimeoutTest, TheInnerOfTwoEndsItsPartOnly) {
  run([](Runtime runtime) -> Task<void> {
    constexpr auto kOuter = [](Clock& clock, Event& never) -> Task<Result<int>> {
      EXPECT_EQ(outcome_of(co_await with_timeout(clock, 1ms, wait_for(never))),
                "DEADLINE_EXCEEDED");
      EXPECT_FALSE((co_await this_task()).is_cancelled());
      ASHLAR_CO_TRY(co_await sleep_for(clock, 1ms));
      co_return 1;
    };
    Event never;
    EXPECT_EQ(outcome_of(co_await with_timeout(runtime.clock, 1h, kOuter(runtime.clock, never))),
              "OK");
  });
}

TEST_P(TimeoutTest, TheOuterOfTwoEndsBothAndIsTheOneThatSaysSo) {
  run([](Runtime runtime) -> Task<void> {
    constexpr auto kOuter = [](Clock& clock, Event& never) -> Task<Result<>> {
      Result<> inner = co_await with_timeout(clock, 1h, wait_for(never));
      EXPECT_EQ(outcome_of(inner), "CANCELLED");
      co_return inner;
    };
    Event never;
    Result<> result = co_await with_timeout(runtime.clock, 2ms, kOuter(runtime.clock, never));
    EXPECT_EQ(outcome_of(result), "DEADLINE_EXCEEDED");
    EXPECT_EQ(result.error().message(), "not finished within 2 ms");
  });
}

TEST_P(TimeoutTest, ACancelledCallerGetsKCancelled) {
  run([](Runtime runtime) -> Task<void> {
    constexpr auto kWait = [](Clock& clock, Event& never, std::string& outcome) -> Task<void> {
      outcome = outcome_of(co_await with_timeout(clock, 1h, wait_for(never)));
    };
    Event never;
    std::string outcome;
    TaskScope scope(co_await this_task());
    scope.spawn(kWait(runtime.clock, never, outcome));
    co_await yield();
    scope.cancel();
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(outcome, "CANCELLED");
  });
}

TEST_P(TimeoutTest, ACancellationThatCameFirstIsNotTakenForTheDeadline) {
  run([](Runtime runtime) -> Task<void> {
    // Cancelled at once, it takes longer to leave than the deadline is away.
    constexpr auto kSlowToLeave = [](Clock& clock, Event& never) -> Task<Result<int>> {
      Result<> outcome = co_await never.wait();
      (void)co_await answer_shielded(clock, 20ms);
      co_return std::move(outcome).error();
    };
    constexpr auto kWait = [](Clock& clock, Task<Result<int>> task,
                              std::string& outcome) -> Task<void> {
      outcome = outcome_of(co_await with_timeout(clock, 10ms, std::move(task)));
    };
    Event never;
    std::string outcome;
    TaskScope scope(co_await this_task());
    scope.spawn(kWait(runtime.clock, kSlowToLeave(runtime.clock, never), outcome));
    scope.cancel();
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(outcome, "CANCELLED");
  });
}

TEST_P(TimeoutTest, ShieldsGiveTheResultOfWhatTheyShield) {
  run([](Runtime) -> Task<void> {
    constexpr auto kVoid = [](int& runs) -> Task<void> {
      ++runs;
      co_return;
    };
    constexpr auto kValue = []() -> Task<int> { co_return 3; };
    int runs = 0;
    co_await without_cancellation(kVoid(runs));
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(co_await without_cancellation(kValue()), 3);
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(TimeoutTest);

}  // namespace
}  // namespace ashlar
