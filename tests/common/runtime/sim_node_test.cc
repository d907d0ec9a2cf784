#include "common/runtime/sim/sim_node.h"

#include <set>
#include <vector>

#include "common/runtime/sync.h"
#include "common/runtime/timeout.h"
#include "tests/common/runtime/sim_test_support.h"

namespace ashlar::sim {
namespace {

// A SimNode keeps the lambda it was started with for as long as its coroutines may run, so here
// they may capture. NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

TEST(SimWorld, TimeMovesFromEventToEventAndNotByItself) {
  SimWorld world(1);
  std::vector<int> order;
  world.after(2h, [&] { order.push_back(2); });
  world.after(1h, [&] { order.push_back(1); });
  world.after(2h, [&] { order.push_back(3); });
  world.run_for(24h);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(world.now(), MonoTime(24h));
  EXPECT_EQ(world.events(), 3u);
}

Task<void> yield_for_ever(Runtime) {
  while (true) co_await yield();
}

void run_without_an_end() {
  SimWorld world(99);
  world.set_event_limit(1000);
  run_on(world.add_node(), yield_for_ever);
}

TEST(SimWorldDeathTest, ARunWithoutAnEndFailsAndNamesItsSeed) {
  EXPECT_DEATH(run_without_an_end(), "seed 99 ran 1001 events without an end");
}

TEST(SimNode, ASleepLastsExactlyAsLongAsTheNodesClockSays) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, [](Runtime runtime) -> Task<void> {
    const MonoTime before = runtime.clock.now();
    (co_await sleep_for(runtime.clock, 5s)).value();
    EXPECT_GE(runtime.clock.now() - before, 5s);
    EXPECT_LT(runtime.clock.now() - before, 5s + 10us);
  });
  EXPECT_GE(world.now(), MonoTime(5s));
  EXPECT_LT(world.now(), MonoTime(5s + 100us));
}

class RestlessTimer final : public Timer {
 public:
  explicit RestlessTimer(Clock& clock) : clock_(clock) { clock_.arm(*this, clock_.now()); }
  void on_timer() override {
    ++fired;
    clock_.arm(*this, clock_.now());
  }

  std::uint64_t fired = 0;

 private:
  Clock& clock_;
};

TEST(SimNode, ATimerThatIsAlwaysDueDoesNotStopTime) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, [](Runtime runtime) -> Task<void> {
    RestlessTimer restless(runtime.clock);
    (co_await sleep_for(runtime.clock, 1ms)).value();
    EXPECT_GT(restless.fired, 100u);
    EXPECT_LT(restless.fired, 20'000u);
  });
}

TEST(SimNode, ADriftingClockMeasuresAnotherSecond) {
  SimWorld world(1);
  for (const std::int64_t ppm : {-200'000, 50, 200'000}) {
    SimNode& node = world.add_node();
    node.set_drift(ppm);
    const MonoTime before = world.now();
    run_on(node, [](Runtime runtime) -> Task<void> {
      const MonoTime begin = runtime.clock.now();
      (co_await sleep_for(runtime.clock, 1000s)).value();
      EXPECT_GE(runtime.clock.now() - begin, 1000s);
    });
    const Duration expected = Duration(1'000'000'000'000 / (1'000'000 + ppm) * 1'000'000);
    EXPECT_NEAR(static_cast<double>((world.now() - before).count()),
                static_cast<double>(expected.count()), 2e7);
  }
}

TEST(SimNode, TheWallClockStepsAndTheMonotonicOneDoesNot) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  node.boot();
  Clock& clock = node.runtime().clock;
  const MonoTime mono = clock.now();
  const WallTime wall = clock.wall_now();
  node.step_wall_clock(-1h);
  EXPECT_EQ(clock.now(), mono);
  EXPECT_EQ(wall - clock.wall_now(), 1h);
}

TEST(SimNode, NothingOfAPausedProcessRunsAndItsClockGoesOn) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  int ticks = 0;
  Duration longest_gap{};
  node.start([&](Runtime runtime) -> Task<void> {
    MonoTime last = runtime.clock.now();
    while (true) {
      (co_await sleep_for(runtime.clock, 10ms)).value();
      longest_gap = std::max(longest_gap, runtime.clock.now() - last);
      last = runtime.clock.now();
      ++ticks;
    }
  });
  world.run_for(1s);
  const int before = ticks;
  node.pause(3s);
  world.run_for(2990ms);
  EXPECT_EQ(ticks, before);
  world.run_for(1s);
  EXPECT_GT(ticks, before + 50);
  EXPECT_GE(longest_gap, 3s);
}

TEST(SimNode, WorkPostedToItsExecutorRuns) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  node.boot();
  int ran = 0;
  node.runtime().executor.post([&] { ++ran; });
  EXPECT_EQ(ran, 0);
  world.run_for(1ms);
  EXPECT_EQ(ran, 1);
}

TEST(SimNode, AKillKeepsResolvedWritesAndAPowerFailureMayLoseThem) {
  bool lost_by_kill = false, lost_by_power = false;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    for (const CrashKind kind : {CrashKind::kKill, CrashKind::kPowerFail}) {
      SimWorld world(seed);
      SimNode& node = world.add_node();
      bool written = false;
      node.start([&](Runtime runtime) -> Task<void> {
        auto file = (co_await runtime.files.open("/data/f", OpenMode::kCreate)).value();
        (co_await runtime.files.sync_directory("/data")).value();
        (co_await write_page(*file, 0, 7)).value();
        written = true;
        (void)co_await sleep_for(runtime.clock, 1h);
      });
      ASSERT_TRUE(world.run_until([&] { return written; }, 1s));
      node.crash(kind);
      bool lost = false;
      run_on(
          node,
          [](Runtime runtime, bool* gone) -> Task<void> {
            auto file = (co_await runtime.files.open("/data/f", OpenMode::kExisting)).value();
            const auto fill = co_await read_page(*file, 0);
            *gone = !fill.ok() || *fill != 7;
          },
          &lost);
      (kind == CrashKind::kKill ? lost_by_kill : lost_by_power) |= lost;
    }
  }
  EXPECT_FALSE(lost_by_kill);
  EXPECT_TRUE(lost_by_power);
}

// Uses a bit of everything, so that a crash finds frames at every kind of wait.
Task<void> busy(Runtime runtime, bool* over) {
  Mutex mutex;
  TaskScope scope(co_await this_task());
  const Endpoint at = Endpoint::ipv4(10, 0, 0, 1, 99);
  auto listener = runtime.network.listen(at).value();
  scope.spawn([](Runtime, Listener& listen) -> Task<void> {
    auto connection = (co_await listen.accept()).value();
    std::array<std::byte, 64> bytes{};
    while (true) {
      const auto got = co_await connection->receive(bytes);
      if (!got.ok() || *got == 0) co_return;
      (void)co_await connection->send(std::span(bytes).first(*got));
    }
  }(runtime, *listener));
  for (int i = 0; i < 3; ++i) {
    scope.spawn([](Runtime r, Mutex& m, int n) -> Task<void> {
      auto held = (co_await m.lock()).value();
      auto file = (co_await r.files.open("/data/f", OpenMode::kCreate)).value();
      (co_await write_page(*file, static_cast<std::uint64_t>(n), 1)).value();
      (co_await file->sync()).value();
    }(runtime, mutex, i));
  }
  auto connection = (co_await runtime.network.connect(at)).value();
  std::array<std::byte, 200> bytes{};
  (co_await connection->send(bytes)).value();
  std::size_t back = 0;
  while (back < bytes.size()) back += (co_await connection->receive(bytes)).value();
  connection->shutdown_send();
  (void)co_await with_timeout(runtime.clock, 1ms, [](Runtime r) -> Task<Result<>> {
    co_return co_await sleep_for(r.clock, 1s);
  }(runtime));
  (co_await scope.join()).value();
  *over = true;
}

TEST(SimNode, ACrashAtEverySuspensionPointLeaksNoFrame) {
  const std::int64_t frames = live_frames();
  for (const CrashKind kind : {CrashKind::kKill, CrashKind::kPowerFail}) {
    bool over = false;
    std::uint64_t steps = 1;
    for (; !over; ++steps) {
      ASSERT_LT(steps, 1000u);
      SimWorld world(3);
      SimNode& node = world.add_node();
      int starts = 0;
      node.start([&](Runtime runtime) -> Task<void> {
        ++starts;
        return busy(runtime, &over);
      });
      node.crash_after_steps(steps, kind);
      world.run_until([&] { return !node.is_running(); }, 10s);
      ASSERT_EQ(live_frames(), frames) << "after " << steps << " steps";
      if (over) break;
      node.restart();
      ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, 10s)) << steps;
      ASSERT_TRUE(over) << "after a crash at step " << steps;
      over = false;
      ASSERT_EQ(starts, 2);
    }
    EXPECT_GT(steps, 30u);
  }
  EXPECT_EQ(live_frames(), frames);
}

TEST(SimNode, ACrashDestroysTasksBeforeTheLocalsTheyUse) {
  // The mutex is declared behind the scope whose task holds it: fine when the scope is joined, and
  // so it must be fine in a crash.
  const std::int64_t frames = live_frames();
  SimWorld world(1);
  SimNode& node = world.add_node();
  node.start([](Runtime runtime) -> Task<void> {
    TaskScope scope(co_await this_task());
    auto mutex = std::make_unique<Mutex>();
    scope.spawn([](Runtime r, Mutex& m) -> Task<void> {
      auto held = (co_await m.lock()).value();
      (void)co_await sleep_for(r.clock, 1h);
    }(runtime, *mutex));
    (co_await scope.join()).value();
  });
  world.run_for(1s);
  node.kill_process();
  EXPECT_EQ(live_frames(), frames);
}

TEST(SimNode, AProcessMayKillItselfFromItsOwnCoroutine) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  int starts = 0;
  node.start([&](Runtime runtime) -> Task<void> {
    ++starts;
    node.power_fail();
    (void)co_await sleep_for(runtime.clock, 1s);
    ADD_FAILURE() << "survived";
  });
  world.run_for(10s);
  EXPECT_FALSE(node.has_power());
  EXPECT_EQ(starts, 1);
}

TEST(SimNode, AWorldMayEndInTheMiddleOfEverything) {
  const std::int64_t frames = live_frames();
  for (int microseconds = 1; microseconds < 2000; microseconds += 37) {
    SimWorld world(5);
    bool over = false;
    world.add_node().start([&](Runtime runtime) { return busy(runtime, &over); });
    world.run_for(std::chrono::microseconds(microseconds));
  }
  EXPECT_EQ(live_frames(), frames);
}

std::uint64_t hash_of_run(std::uint64_t seed) {
  SimWorld world(seed);
  SimNode& node = world.add_node();
  bool over = false;
  node.start([&](Runtime runtime) { return busy(runtime, &over); });
  EXPECT_TRUE(world.run_until([&] { return over; }, 10s));
  return world.trace_hash();
}

TEST(SimWorld, TheSameSeedGivesTheSameTraceAndOthersOthers) {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::uint64_t hash = hash_of_run(seed);
    EXPECT_EQ(hash, hash_of_run(seed)) << "seed " << seed;
    hashes.insert(hash);
  }
  EXPECT_EQ(hashes.size(), 50u);
}

TEST(SimKnobs, ASwarmTurnsEveryClassOnInSomeRunsAndOffInOthers) {
  int on = 0, off = 0, crash_on = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Random random(seed);
    const SimKnobs knobs = SimKnobs::draw(random);
    (knobs.disk.sync_error > 0 ? on : off) += 1;
    crash_on += knobs.node.mean_time_to_crash > Duration(0) ? 1 : 0;
  }
  EXPECT_GT(on, 25);
  EXPECT_GT(off, 25);
  EXPECT_GT(crash_on, 25);
  EXPECT_EQ(SimKnobs().disk.sync_error, 0u);
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::sim
