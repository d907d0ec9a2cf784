// A store whose log or disk is nearly full (L12, L103).
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/back_pressure.h"
#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using test::outcome_of;
using testing::ElementsAre;

// --- how long an append is held back
// --------------------------------------------------------------

TEST(AppendDelay, GrowsFromNothingToTheLongest) {
  struct Row {
    double fill;
    double from;
    Duration delay;
  };
  const Row rows[] = {{0, 0.5, 0ms},      {0.5, 0.5, 0ms}, {0.75, 0.5, 8ms},
                      {0.875, 0.5, 27ms}, {1, 0.5, 64ms},  {1.5, 0.5, 64ms},
                      {0.5, 0, 8ms},      {0, 0, 0ms},     {0.9375, 0.5, 42875us},
                      {1, 1, 0ms},        {1.01, 1, 64ms}};
  for (const Row& row : rows) {
    EXPECT_EQ(append_delay(row.fill, row.from, 64ms), row.delay) << row.fill << " " << row.from;
  }
}

TEST(AppendDelay, HasNoStep) {
  Duration before{};
  for (int i = 0; i <= 1000; ++i) {
    const Duration delay = append_delay(i / 1000.0, 0.5, 50ms);
    EXPECT_GE(delay, before);
    EXPECT_LE(delay - before, 400us);
    before = delay;
  }
}

// --- more than the flusher can do (L103)
// ----------------------------------------------------------

struct Overload {
  std::uint64_t done = 0;
  std::uint64_t errors = 0;
  Duration longest{};
  double fullest = 0;
};

Task<void> overload(StoreLab* l, Replica* replica, std::uint64_t seed, const bool* over,
                    Overload* seen) {
  Random random(seed);
  while (!*over) {
    const MonoTime begin = l->runtime->clock.now();
    const Result<Lsn> written = co_await l->write(*replica, random.below(8192), 1, seed + 1);
    ++(written.ok() ? seen->done : seen->errors);
    seen->longest = std::max(seen->longest, l->runtime->clock.now() - begin);
    seen->fullest = std::max(seen->fullest, l->store->shared().fill());
  }
}

TEST(PressureTest, UnderOverloadWritersSlowDownToTheFlusherWithoutAnErrorOrAWall) {
  StoreLab lab;
  lab.options.flush_depth = 1;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 8192)).value();
    TaskScope scope(co_await this_task());
    bool over = false;
    Overload seen;
    for (unsigned i = 0; i < 32; ++i) scope.spawn(overload(&l, replica, i, &over, &seen));
    co_await l.sleep(200ms);
    seen = {};
    const Lsn flushed = replica->status().flushed;
    co_await l.sleep(600ms);
    const Overload steady = seen;
    const double records = static_cast<double>(replica->status().flushed - flushed);
    over = true;
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(steady.errors, 0u);
    EXPECT_NEAR(static_cast<double>(steady.done) / records, 1.0, 0.1);
    EXPECT_GT(l.metric("ashlar_engine_delayed_appends_total"), 0);
    EXPECT_LT(steady.fullest, 1.0);
    EXPECT_LT(steady.longest, l.options.longest_delay);
  });
}

// --- the disk is full (L12)
// -----------------------------------------------------------------------

// Writes single blocks far apart, each of its own chunk, until one is refused.
Task<std::uint64_t> write_until_refused(StoreLab& l, Replica& replica) {
  for (std::uint64_t i = 0;; ++i) {
    const Result<Lsn> written = co_await l.write(replica, i * 16, 1, i + 1);
    if (written.ok()) continue;
    EXPECT_EQ(outcome_of(written), "RESOURCE_EXHAUSTED");
    co_return i;
  }
}

Task<void> expect_all(StoreLab& l, Replica& replica, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    EXPECT_THAT((co_await l.read(replica, i * 16, 1)).value(), ElementsAre(i + 1));
  }
}

TEST(PressureTest, ANearlyFullDiskRefusesNewWritesAndKeepsEveryAcknowledgedOne) {
  StoreLab lab;
  lab.node.disk().set_capacity(ByteCount(12 << 20));
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1 << 20)).value();
    const std::uint64_t count = co_await write_until_refused(l, *replica);
    EXPECT_GT(count, 100u);
    co_await expect_all(l, *replica, count);
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(replica->status().unflushed_records, 0u);
    co_await expect_all(l, *replica, count);
    EXPECT_EQ(replica->fault(), std::nullopt);
    EXPECT_GT(l.metric("ashlar_engine_refused_appends_total"), 0);
  });
}

TEST(PressureTest, OnAFullDiskReadsAndDiscardsGoOnAndWhatTheyFreeIsWrittenAgain) {
  StoreLab lab;
  lab.node.disk().set_capacity(ByteCount(12 << 20));
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1 << 20)).value();
    // What is promised is more than what is needed: to the very end it takes some rounds.
    std::uint64_t count = 0;
    for (int i = 0; i < 20; ++i) {
      CO_ASSERT_OK(co_await l.store->checkpoint());
      count = std::max(count, co_await write_until_refused(l, *replica));
    }
    CO_ASSERT_OK(co_await replica->discard({BlockIndex(0), 1 << 20}));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    co_await l.sleep(200ms);
    EXPECT_EQ(outcome_of(co_await l.write(*replica, 0, 16, 1)), "OK");
  });
}

TEST(PressureTest, WhenThereIsSpaceAgainWritesAreTakenWithoutARestart) {
  StoreLab lab;
  lab.node.disk().set_capacity(ByteCount(12 << 20));
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1 << 20)).value();
    (void)co_await write_until_refused(l, *replica);
    l.node.disk().set_capacity(ByteCount(64 << 20));
    co_await l.sleep(200ms);
    EXPECT_EQ(outcome_of(co_await l.write(*replica, 0, 16, 1)), "OK");
  });
}

TEST(PressureTest, WhenOthersTakeTheSpaceNothingAcknowledgedIsLostAndTheFlusherComesBackByItself) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1 << 20)).value();
    co_await l.sleep(1s);
    for (std::uint64_t i = 0; i < 50; ++i) {
      CO_ASSERT_OK(co_await l.write(*replica, i * 16, 1, i + 1));
    }
    l.node.disk().set_capacity(ByteCount(1 << 20));
    co_await l.sleep(5s);
    EXPECT_EQ(outcome_of(co_await l.store->checkpoint()), "RESOURCE_EXHAUSTED");
    EXPECT_EQ(outcome_of(co_await l.write(*replica, 0, 1, 9)), "RESOURCE_EXHAUSTED");
    EXPECT_EQ(replica->fault(), std::nullopt);
    co_await expect_all(l, *replica, 50);
    l.node.disk().set_capacity(ByteCount(64 << 20));
    co_await l.sleep(5s);
    EXPECT_EQ(replica->status().flushed, Lsn(50));
    co_await expect_all(l, *replica, 50);
  });
}

}  // namespace
}  // namespace ashlar::engine
