#include "common/runtime/timer_queue.h"

#include <map>
#include <memory>
#include <vector>

#include "common/base/random.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

constexpr MonoTime at(std::int64_t nanoseconds) {
  return MonoTime(Duration(nanoseconds));
}

class NumberedTimer final : public Timer {
 public:
  NumberedTimer(std::size_t number, std::vector<std::size_t>& fired)
      : number_(number), fired_(fired) {}
  void on_timer() override { fired_.push_back(number_); }

 private:
  std::size_t number_;
  std::vector<std::size_t>& fired_;
};

TEST(TimerQueueTest, FiresWhatIsDueAndNothingElse) {
  std::vector<std::size_t> fired;
  NumberedTimer a(0, fired);
  NumberedTimer b(1, fired);
  NumberedTimer c(2, fired);
  TimerQueue queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.earliest().is_never());
  queue.arm(a, at(30));
  queue.arm(b, at(10));
  queue.arm(c, at(20));
  EXPECT_EQ(queue.earliest(), at(10));
  queue.fire_until(at(9));
  EXPECT_TRUE(fired.empty());
  queue.fire_until(at(20));
  EXPECT_EQ(fired, (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(queue.earliest(), at(30));
  EXPECT_TRUE(a.is_armed());
  EXPECT_FALSE(b.is_armed());
}

TEST(TimerQueueTest, NeverFiresATimerThatIsArmedForNever) {
  std::vector<std::size_t> fired;
  NumberedTimer never(0, fired);
  TimerQueue queue;
  queue.arm(never, MonoTime::kNever);
  queue.fire_until(at(1'000'000'000'000));
  EXPECT_TRUE(fired.empty());
  EXPECT_TRUE(never.is_armed());
}

TEST(TimerQueueTest, ATimerMayDisarmAndDestroyOthersWhileItFires) {
  class Killer final : public Timer {
   public:
    explicit Killer(std::vector<std::unique_ptr<NumberedTimer>>& victims) : victims_(victims) {}
    void on_timer() override { victims_.clear(); }

   private:
    std::vector<std::unique_ptr<NumberedTimer>>& victims_;
  };
  std::vector<std::size_t> fired;
  std::vector<std::unique_ptr<NumberedTimer>> victims;
  TimerQueue queue;
  Killer killer(victims);
  queue.arm(killer, at(1));
  for (std::size_t i = 0; i < 10; ++i) {
    victims.push_back(std::make_unique<NumberedTimer>(i, fired));
    queue.arm(*victims.back(), at(2));
  }
  queue.fire_until(at(5));
  EXPECT_TRUE(fired.empty());
  EXPECT_TRUE(queue.empty());
}

// Arms another timer, itself perhaps, when it fires.
class ArmingTimer final : public Timer {
 public:
  ArmingTimer(TimerQueue& queue, Timer* other, MonoTime when)
      : queue_(queue), other_(other != nullptr ? other : this), when_(when) {}
  void on_timer() override {
    ++fired;
    queue_.arm(*other_, when_);
  }
  int fired = 0;

 private:
  TimerQueue& queue_;
  Timer* other_;
  MonoTime when_;
};

TEST(TimerQueueTest, ATimerArmedInThePastFromATimerWaitsForTheNextCall) {
  TimerQueue queue;
  ArmingTimer timer(queue, nullptr, at(0));
  queue.arm(timer, at(1));
  queue.fire_until(at(5));
  EXPECT_EQ(timer.fired, 1);
  EXPECT_TRUE(timer.is_armed());
  EXPECT_EQ(queue.earliest(), at(0));
  queue.fire_until(at(5));
  EXPECT_EQ(timer.fired, 2);
}

TEST(TimerQueueTest, ATimerArmedInThePastFromATimerDoesNotHoldTheOthersUp) {
  std::vector<std::size_t> fired;
  TimerQueue queue;
  ArmingTimer greedy(queue, nullptr, at(0));
  NumberedTimer other(7, fired);
  queue.arm(greedy, at(1));
  queue.arm(other, at(2));
  queue.fire_until(at(5));
  EXPECT_EQ(greedy.fired, 1);
  EXPECT_EQ(fired, std::vector<std::size_t>{7});
}

TEST(TimerQueueTest, ATimerArmedFromATimerCanBeMovedAndDisarmedBeforeTheCallEnds) {
  class Disarming final : public Timer {
   public:
    explicit Disarming(std::vector<Timer*> others) : others_(std::move(others)) {}
    void on_timer() override {
      for (Timer* other : others_) {
        EXPECT_TRUE(other->is_armed());
        other->disarm();
      }
    }

   private:
    std::vector<Timer*> others_;
  };
  std::vector<std::size_t> fired;
  TimerQueue queue;
  NumberedTimer a(0, fired);
  NumberedTimer b(1, fired);
  NumberedTimer c(2, fired);
  ArmingTimer arms_a(queue, &a, at(3));
  ArmingTimer arms_b(queue, &b, at(3));
  ArmingTimer arms_c(queue, &c, at(3));
  ArmingTimer moves_c(queue, &c, at(4));
  Disarming disarms_a_and_b({&a, &b});
  queue.arm(arms_a, at(1));
  queue.arm(arms_b, at(1));
  queue.arm(arms_c, at(1));
  queue.arm(moves_c, at(2));
  queue.arm(disarms_a_and_b, at(3));
  queue.fire_until(at(10));
  EXPECT_TRUE(fired.empty());
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(queue.earliest(), at(4));
  queue.fire_until(at(10));
  EXPECT_EQ(fired, std::vector<std::size_t>{2});
}

TEST(TimerQueueTest, DisarmsItsTimersWhenItDies) {
  std::vector<std::size_t> fired;
  NumberedTimer timer(0, fired);
  {
    TimerQueue queue;
    queue.arm(timer, at(1));
  }
  EXPECT_FALSE(timer.is_armed());
  TimerQueue other;
  other.arm(timer, at(1));
  other.fire_until(at(1));
  EXPECT_EQ(fired, std::vector<std::size_t>{0});
}

TEST(TimerQueueTest, MovesATimerOverFromAnotherQueue) {
  std::vector<std::size_t> fired;
  NumberedTimer timer(0, fired);
  TimerQueue first;
  TimerQueue second;
  first.arm(timer, at(1));
  second.arm(timer, at(2));
  EXPECT_TRUE(first.empty());
  EXPECT_EQ(second.size(), 1u);
}

TEST(TimerQueueTest, AgreesWithAMultimapUnderRandomUse) {
  constexpr std::size_t kTimers = 200;
  Random random(test::pick_seed());
  std::vector<std::size_t> fired;
  std::vector<std::unique_ptr<NumberedTimer>> timers;
  for (std::size_t i = 0; i < kTimers; ++i) {
    timers.push_back(std::make_unique<NumberedTimer>(i, fired));
  }
  TimerQueue queue;
  // A multimap keeps equal keys in the order of insertion, which is what the queue promises.
  std::multimap<MonoTime, std::size_t> model;
  const auto forget = [&](std::size_t number) {
    std::erase_if(model, [&](const auto& entry) { return entry.second == number; });
  };
  std::int64_t now = 0;
  for (int step = 0; step < 20'000; ++step) {
    const std::size_t number = random.below(kTimers);
    switch (random.below(8)) {
      case 0:
        forget(number);
        timers[number]->disarm();
        break;
      case 1: {
        now += static_cast<std::int64_t>(random.below(20));
        std::vector<std::size_t> expected;
        while (!model.empty() && model.begin()->first <= at(now)) {
          expected.push_back(model.begin()->second);
          model.erase(model.begin());
        }
        fired.clear();
        queue.fire_until(at(now));
        ASSERT_EQ(fired, expected) << "step " << step;
        break;
      }
      case 2:
        if (random.chance(1, 4)) {
          forget(number);
          timers[number] = std::make_unique<NumberedTimer>(number, fired);
        }
        break;
      default: {
        // Few different deadlines, so that many are equal; some in the past.
        const MonoTime deadline = at(now - 5 + static_cast<std::int64_t>(random.below(40)));
        forget(number);
        model.emplace(deadline, number);
        queue.arm(*timers[number], deadline);
        break;
      }
    }
    ASSERT_EQ(queue.size(), model.size());
    ASSERT_EQ(queue.empty(), model.empty());
    ASSERT_EQ(queue.earliest(), model.empty() ? MonoTime::kNever : model.begin()->first);
  }
}

}  // namespace
}  // namespace ashlar
