#include "common/runtime/clock.h"

#include <memory>
#include <string>
#include <vector>

#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

using test::outcome_of;

class ClockTest : public test::RuntimeTest {};

// Writes down when it fires.
class NotingTimer final : public Timer {
 public:
  NotingTimer(Clock& clock, int name, std::vector<int>& fired)
      : clock_(clock), name_(name), fired_(fired) {}

  void on_timer() override {
    EXPECT_FALSE(is_armed());
    EXPECT_GE(clock_.now(), deadline());
    fired_.push_back(name_);
  }

 private:
  Clock& clock_;
  int name_;
  std::vector<int>& fired_;
};

TEST_P(ClockTest, SleepLastsAtLeastAsLong) {
  run([](Runtime runtime) -> Task<void> {
    for (const Duration length :
         std::initializer_list<Duration>{0ns, 1ns, 999ns, 1us, 100us, 1ms, 3ms, 20ms}) {
      const MonoTime before = runtime.clock.now();
      EXPECT_EQ(outcome_of(co_await sleep_for(runtime.clock, length)), "OK");
      const Duration slept = runtime.clock.now() - before;
      EXPECT_GE(slept, length);
      EXPECT_LT(slept, length + 5s);
    }
  });
}

TEST_P(ClockTest, SleepUntilEndsAtTheDeadlineAndAtOnceWhenItHasPassed) {
  run([](Runtime runtime) -> Task<void> {
    const MonoTime start = runtime.clock.now();
    EXPECT_EQ(outcome_of(co_await sleep_until(runtime.clock, start + 2ms)), "OK");
    EXPECT_GE(runtime.clock.now(), start + 2ms);
    EXPECT_EQ(outcome_of(co_await sleep_until(runtime.clock, start)), "OK");
    EXPECT_EQ(outcome_of(co_await sleep_until(runtime.clock, start - 1ns)), "OK");
    EXPECT_LT(runtime.clock.now(), start + 5s);
  });
}

TEST_P(ClockTest, NeverGoesBack) {
  run([](Runtime runtime) -> Task<void> {
    MonoTime last = runtime.clock.now();
    for (int i = 0; i < 1000; ++i) {
      if (i % 100 == 0) (void)co_await sleep_for(runtime.clock, 10us);
      const MonoTime now = runtime.clock.now();
      EXPECT_GE(now, last);
      last = now;
    }
  });
}

TEST_P(ClockTest, WallTimeIsInThisCenturyAndMovesOn) {
  run([](Runtime runtime) -> Task<void> {
    const WallTime before = runtime.clock.wall_now();
    EXPECT_GT(before.since_epoch(), 24h * 365 * 50);
    EXPECT_EQ(outcome_of(co_await sleep_for(runtime.clock, 2ms)), "OK");
    EXPECT_GT(runtime.clock.wall_now(), before);
  });
}

TEST_P(ClockTest, SleepersWakeInTheOrderOfTheirDeadlines) {
  run([](Runtime runtime) -> Task<void> {
    constexpr auto kSleep = [](Clock& clock, MonoTime until, int name,
                               std::vector<int>& woken) -> Task<void> {
      EXPECT_TRUE((co_await sleep_until(clock, until)).ok());
      woken.push_back(name);
    };
    std::vector<int> woken;
    const MonoTime start = runtime.clock.now() + 5ms;
    TaskScope scope(co_await this_task());
    // Far enough apart that one is not late for the next on a busy machine: then both would be
    // ready together, and the ready queue may permute.
    for (const int name : {3, 1, 4, 0, 2}) {
      scope.spawn(kSleep(runtime.clock, start + name * 100ms, name, woken));
    }
    EXPECT_TRUE((co_await scope.join()).ok());
    EXPECT_EQ(woken, (std::vector{0, 1, 2, 3, 4}));
  });
}

TEST_P(ClockTest, TimersFireByDeadlineAndEqualOnesInTheOrderOfArming) {
  run([](Runtime runtime) -> Task<void> {
    std::vector<int> fired;
    std::vector<std::unique_ptr<NotingTimer>> timers;
    for (int i = 0; i < 9; ++i) {
      timers.push_back(std::make_unique<NotingTimer>(runtime.clock, i, fired));
    }
    const MonoTime late = runtime.clock.now() + 4ms;
    for (std::size_t i = 0; i < 6; ++i) runtime.clock.arm(*timers[i], late);
    for (std::size_t i = 6; i < 9; ++i) runtime.clock.arm(*timers[i], late - 1ms);
    // Arming again moves it behind the others of its new deadline.
    runtime.clock.arm(*timers[0], late);
    EXPECT_EQ(outcome_of(co_await sleep_until(runtime.clock, late + 1ms)), "OK");
    EXPECT_EQ(fired, (std::vector{6, 7, 8, 1, 2, 3, 4, 5, 0}));
  });
}

TEST_P(ClockTest, ATimerFiresOnceAndCanBeArmedAgain) {
  run([](Runtime runtime) -> Task<void> {
    std::vector<int> fired;
    NotingTimer timer(runtime.clock, 1, fired);
    for (std::size_t round = 1; round <= 3; ++round) {
      const MonoTime deadline = runtime.clock.now() + 1ms;
      runtime.clock.arm(timer, deadline);
      EXPECT_TRUE(timer.is_armed());
      EXPECT_EQ(timer.deadline(), deadline);
      EXPECT_EQ(outcome_of(co_await sleep_until(runtime.clock, deadline + 3ms)), "OK");
      EXPECT_EQ(fired.size(), round);
      EXPECT_FALSE(timer.is_armed());
    }
  });
}

TEST_P(ClockTest, ArmingAnArmedTimerMovesItBothWays) {
  run([](Runtime runtime) -> Task<void> {
    std::vector<int> fired;
    NotingTimer sooner(runtime.clock, 1, fired);
    NotingTimer later(runtime.clock, 2, fired);
    const MonoTime start = runtime.clock.now();
    runtime.clock.arm(sooner, start + 1h);
    runtime.clock.arm(sooner, start + 1ms);
    runtime.clock.arm(later, start + 1ms);
    runtime.clock.arm(later, start + 1h);
    EXPECT_EQ(outcome_of(co_await sleep_for(runtime.clock, 5ms)), "OK");
    EXPECT_EQ(fired, std::vector{1});
    EXPECT_TRUE(later.is_armed());
    later.disarm();
    EXPECT_FALSE(later.is_armed());
  });
}

TEST_P(ClockTest, ADisarmedOrDeadTimerDoesNotFire) {
  run([](Runtime runtime) -> Task<void> {
    std::vector<int> fired;
    NotingTimer disarmed(runtime.clock, 1, fired);
    disarmed.disarm();
    runtime.clock.arm(disarmed, runtime.clock.now() + 1ms);
    {
      NotingTimer dead(runtime.clock, 2, fired);
      runtime.clock.arm(dead, runtime.clock.now() + 1ms);
    }
    disarmed.disarm();
    EXPECT_EQ(outcome_of(co_await sleep_for(runtime.clock, 5ms)), "OK");
    EXPECT_EQ(fired, std::vector<int>{});
  });
}

TEST_P(ClockTest, ATimerMayMakeCoroutinesReadyAndArmItselfAgain) {
  run([](Runtime runtime) -> Task<void> {
    class Ticker final : public Timer {
     public:
      Ticker(Clock& clock, Event& done) : clock_(clock), done_(done) {}
      void on_timer() override {
        if (++ticks == 5) return done_.set();
        clock_.arm(*this, deadline() + 100us);
      }
      int ticks = 0;

     private:
      Clock& clock_;
      Event& done_;
    };
    Event done;
    Ticker ticker(runtime.clock, done);
    runtime.clock.arm(ticker, runtime.clock.now());
    EXPECT_EQ(outcome_of(co_await done.wait()), "OK");
    EXPECT_EQ(ticker.ticks, 5);
  });
}

TEST_P(ClockTest, ATimerThatReArmsItselfInThePastStarvesNobody) {
  run([](Runtime runtime) -> Task<void> {
    class Greedy final : public Timer {
     public:
      explicit Greedy(Clock& clock) : clock_(clock) {}
      void on_timer() override {
        // Not for ever: virtual time stands still while something is due.
        if (++turns < 1000) clock_.arm(*this, deadline());
      }
      int turns = 0;

     private:
      Clock& clock_;
    };
    class Other final : public Timer {
     public:
      Other(Greedy& greedy, Event& fired) : greedy_(greedy), fired_(fired) {}
      void on_timer() override {
        EXPECT_LE(greedy_.turns, 2);
        fired_.set();
      }

     private:
      Greedy& greedy_;
      Event& fired_;
    };
    Event fired;
    Greedy greedy(runtime.clock);
    Other other(greedy, fired);
    const MonoTime now = runtime.clock.now();
    runtime.clock.arm(greedy, now);
    runtime.clock.arm(other, now);
    EXPECT_EQ(outcome_of(co_await fired.wait()), "OK");
    greedy.disarm();
  });
}

TEST_P(ClockTest, KeepsManySleepersOfRandomLengthsApart) {
  run(
      [](Runtime runtime, std::uint64_t seed) -> Task<void> {
        constexpr auto kSleep = [](Clock& clock, Duration length, int& woken) -> Task<Result<>> {
          const MonoTime before = clock.now();
          ASHLAR_CO_TRY(co_await sleep_for(clock, length));
          EXPECT_GE(clock.now() - before, length);
          ++woken;
          co_return Result<>();
        };
        Random random(seed);
        int woken = 0;
        TaskScope scope(co_await this_task());
        for (int i = 0; i < 2000; ++i) {
          scope.spawn(kSleep(runtime.clock, random.between(0ns, 30ms), woken));
        }
        EXPECT_EQ(outcome_of(co_await scope.join()), "OK");
        EXPECT_EQ(woken, 2000);
      },
      seed());
}

INSTANTIATE_ON_BOTH_RUNTIMES(ClockTest);

}  // namespace
}  // namespace ashlar
