// The flusher and the log it empties: how much is read and written where, what a volume that stands
// still costs, and what can be scanned (L58, L59, L104).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using Kind = FileOperation::Kind;
using test::outcome_of;
using testing::ElementsAre;

// Random writes of one block, one after the other.
Task<void> write_randomly(StoreLab* l, Replica* replica, std::uint64_t seed, int count) {
  Random random(seed);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t block = random.below(replica->size_blocks());
    CO_ASSERT_OK(co_await l->write(*replica, block, 1, block + 1));
  }
}

Task<void> write_at_depth(StoreLab& l, Replica& replica, unsigned depth, int count) {
  TaskScope scope(co_await this_task());
  for (unsigned i = 0; i < depth; ++i) scope.spawn(write_randomly(&l, &replica, i, count));
  CO_ASSERT_OK(co_await scope.join());
}

Task<Result<ByteCount>> allocated(StoreLab& l, const Replica& replica) {
  const std::string path =
      std::string(kStoreDirectory) + "/layers/" + Layer::data_name({replica.uuid(), 0});
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<File> file,
                       co_await l.runtime->files.open(path, OpenMode::kReadOnly));
  co_return co_await file->allocated();
}

// --- how much is read and written (L58)
// -----------------------------------------------------------

TEST(FlushTest, WhatIsInMemoryIsFlushedWithoutAReadOfTheLog) {
  StoreLab lab;
  lab.options.log_capacity = ByteCount(32 << 20);
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 16384)).value();
    l.io.clear();
    co_await write_at_depth(l, *replica, 32, 50);
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1024, 1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(replica->status().unflushed_records, 0u);
    EXPECT_EQ(l.io.count(Kind::kRead, "/log"), 0u);
    EXPECT_EQ(l.metric("ashlar_engine_flush_log_read_bytes_total"), 0);
  });
}

TEST(FlushTest, RandomBlocksAreWrittenTwiceAndLittleMore) {
  StoreLab lab;
  lab.options.log_capacity = ByteCount(32 << 20);
  lab.options.flush_threshold = ByteCount(4 << 20);
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 16384)).value();
    l.io.clear();
    co_await write_at_depth(l, *replica, 32, 60);
    CO_ASSERT_OK(co_await l.store->checkpoint());
    const double payload = 32 * 60 * 4096.0;
    const double headers = 4096.0 * static_cast<double>(l.io.count(Kind::kWrite, "/log"));
    const double written = static_cast<double>(l.io.bytes(Kind::kWrite, kStoreDirectory));
    EXPECT_LE((written - headers) / payload, 2.1);
    // A header is shared by what came together.
    EXPECT_LE(headers / payload, 0.2);
  });
}

TEST(FlushTest, ALargeWriteIsFlushedOnceInLongPiecesAndReadBackOnce) {
  StoreLab lab;
  lab.options.log_capacity = ByteCount(32 << 20);
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 16384)).value();
    co_await l.sleep(1s);
    l.io.clear();
    CO_ASSERT_OK(co_await l.write(*replica, 64, 1024, 1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(l.io.bytes(Kind::kWrite, ".data"), 4u << 20);
    EXPECT_LE(l.io.count(Kind::kWrite, ".data"), 8u);
    EXPECT_LE(l.io.bytes(Kind::kWrite, kStoreDirectory), (8u << 20) + (128u << 10));
    l.io.clear();
    CO_ASSERT_OK(co_await l.read(*replica, 64, 1024));
    EXPECT_LE(l.io.bytes(Kind::kRead, kStoreDirectory), (4u << 20) + (64u << 10));
  });
}

TEST(FlushTest, NeighboursAreWrittenTogetherWhateverTheirOrder) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 16384)).value();
    for (unsigned i = 0; i < 64; ++i) {
      CO_ASSERT_OK(co_await l.write(*replica, i * 37 % 64, 1, i + 1));
    }
    l.io.clear();
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(l.io.count(Kind::kWrite, ".data"), 1u);
  });
}

TEST(FlushTest, OfManyWritesOfABlockTheLastAloneIsFlushed) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 64)).value();
    for (unsigned i = 0; i < 50; ++i) CO_ASSERT_OK(co_await l.write(*replica, 3, 1, i + 1));
    l.io.clear();
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(l.io.bytes(Kind::kWrite, ".data"), 4096u);
    EXPECT_THAT((co_await l.read(*replica, 3, 1)).value(), ElementsAre(50));
  });
}

TEST(FlushTest, PayloadThatLeftMemoryIsReadFromTheLogAndFlushedRight) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 64)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 3, 4, 7));
    replica->drop_payloads(ByteCount(0));
    EXPECT_EQ(replica->payload_bytes(), ByteCount(0));
    EXPECT_THAT((co_await l.read(*replica, 3, 4)).value(), ElementsAre(7, 8, 9, 10));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(l.metric("ashlar_engine_flush_log_read_bytes_total"), 16384);
    EXPECT_THAT((co_await l.read(*replica, 3, 4)).value(), ElementsAre(7, 8, 9, 10));
  });
}

TEST(FlushTest, UnflushedPayloadInMemoryKeepsToItsBound) {
  StoreLab lab;
  lab.options.log_capacity = ByteCount(32 << 20);
  lab.options.payload_memory = ByteCount(2 << 20);
  lab.options.flush_threshold = ByteCount(64 << 20);
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 16384)).value();
    for (unsigned i = 0; i < 100; ++i) {
      CO_ASSERT_OK(co_await l.write(*replica, i * 16, 16, i + 1));
      EXPECT_LE(l.store->shared().payload_bytes, ByteCount((2 << 20) + (64 << 10)));
    }
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(1));
  });
}

// --- discards (L59) ------------------------------------------------------------------------------

TEST(FlushTest, ADiscardOfTenTebibytesIsOneRecordTakesLittleAndGivesTheSpaceBack) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    const std::uint64_t blocks = 10ULL << 28;
    const std::uint64_t stride = blocks / 200 / 16 * 16;
    Replica* replica = (co_await l.make(1, blocks)).value();
    for (std::uint64_t i = 0; i < 200; ++i) {
      CO_ASSERT_OK(co_await l.write(*replica, i * stride, 16, i + 1));
    }
    CO_ASSERT_OK(co_await l.store->checkpoint());
    co_await l.sleep(1s);
    EXPECT_EQ((co_await allocated(l, *replica)).value(), ByteCount(200 * 65536));
    const ByteCount memory = l.pool->statistics().in_use;
    l.io.clear();
    const MonoTime begin = l.runtime->clock.now();
    CO_ASSERT_OK(co_await replica->discard({BlockIndex(0), blocks}));
    EXPECT_EQ(replica->status().unflushed_records, 1u);
    EXPECT_EQ(l.io.bytes(Kind::kWrite, "/log"), 4096u);
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_LT(l.runtime->clock.now() - begin, 1s);
    EXPECT_EQ((co_await allocated(l, *replica)).value(), ByteCount(0));
    EXPECT_LE(l.pool->statistics().in_use, memory + ByteCount(2 << 20));
    EXPECT_THAT((co_await l.read(*replica, stride, 2)).value(), ElementsAre(0, 0));
  });
}

// --- the log's sectors (L104)
// ---------------------------------------------------------------------

TEST(FlushTest, EachSectorOfTheLogIsWrittenOncePerLap) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 16384)).value();
    co_await l.sleep(1s);
    l.io.clear();
    Random random(3);
    for (unsigned i = 0; i < 400; ++i) {
      CO_ASSERT_OK(co_await l.write(*replica, random.below(16000), 1 + random.below(32), i + 1));
      // Time for a seal.
      if (i % 20 == 0) co_await l.sleep(100ms);
    }
    co_await l.sleep(1s);
    std::uint64_t end = l.io.ios.empty() ? 0 : l.store->shared().ring.capacity();
    int laps = 0;
    for (const test::DiskIo& io : l.io.ios) {
      if (!io.is(Kind::kWrite, "/log")) continue;
      if (io.offset < end) {
        // Not over what this lap has written: the next lap begins.
        ++laps;
        EXPECT_TRUE(io.offset == 0 || laps == 1) << io.offset;
      }
      end = io.offset + io.length;
    }
    EXPECT_GE(laps, 5);
  });
}

// --- volumes that stand still --------------------------------------------------------------------

TEST(FlushTest, AVolumeThatStandsStillHoldsUpNobodyAndLosesNothing) {
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* still = (co_await l.make(1, 1024)).value();
    still->set_commit_rule(CommitRule::kGiven);
    Replica* busy = (co_await l.make(2, 16384)).value();
    TaskScope scope(co_await this_task());
    std::optional<Result<Lsn>> written;
    scope.spawn(keep(l.write(*still, 5, 2, 77), &written));
    co_await write_at_depth(l, *busy, 16, 400);
    EXPECT_GT(l.store->shared().log->tail(), LogPosition(5 * (4ULL << 20)));
    EXPECT_GT(l.metric("ashlar_engine_moved_records_total"), 4);
    EXPECT_EQ(busy->fault(), std::nullopt);
    EXPECT_FALSE(written);
    still->set_commit(Lsn(1));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_THAT((co_await l.read(*still, 4, 4)).value(), ElementsAre(0, 77, 78, 0));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(l.find(1)->last(), Lsn(1));
    EXPECT_THAT((co_await l.read(*l.find(1), 4, 4)).value(), ElementsAre(0, 77, 78, 0));
  });
}

TEST(FlushTest, AVolumeThatStandsStillMayHoldOnlyALittleOfTheLog) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* still = (co_await l.make(1, 1024)).value();
    still->set_commit_rule(CommitRule::kGiven);
    TaskScope scope(co_await this_task());
    std::array<std::optional<Result<Lsn>>, 64> outcomes;
    for (unsigned i = 0; i < 64; ++i) {
      scope.spawn(keep(l.write(*still, i * 4, 4, i + 1), &outcomes[i]));
    }
    co_await l.sleep(10s);
    // A sixty-fourth of 4 MiB, and the record that goes over it.
    EXPECT_LE(still->last(), Lsn(5));
    // It goes on as soon as it may.
    still->set_commit_rule(CommitRule::kDurable);
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(still->committed_lsn(), Lsn(64));
  });
}

// --- scans ---------------------------------------------------------------------------------------

// The LSNs that a scan gives, and then how it ends.
Task<Result<std::vector<std::uint64_t>>> scan(Replica& replica, Lsn after, Lsn up_to,
                                              LogScanStep::Kind* end) {
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<LogScan> scan, replica.scan(after, up_to));
  std::vector<std::uint64_t> all;
  while (true) {
    ASHLAR_CO_TRY_ASSIGN(const LogScanStep step, co_await scan->next());
    *end = step.kind;
    if (step.kind != LogScanStep::Kind::kRecord) co_return all;
    EXPECT_EQ(content_of(step.payload.bytes()), step.header.lsn.value() + 100);
    all.push_back(step.header.lsn.value());
  }
}

TEST(FlushTest, AScanGivesExactlyTheRecordsItWasAskedFor) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    Replica* other = (co_await l.make(2, 1024)).value();
    for (unsigned i = 1; i <= 10; ++i) {
      CO_ASSERT_OK(co_await l.write(*replica, i, 1, i + 100));
      CO_ASSERT_OK(co_await l.write(*other, i, 1, i));
    }
    LogScanStep::Kind end{};
    EXPECT_THAT((co_await scan(*replica, Lsn(3), Lsn(7), &end)).value(), ElementsAre(4, 5, 6, 7));
    EXPECT_EQ(end, LogScanStep::Kind::kComplete);
    EXPECT_THAT((co_await scan(*replica, Lsn(3), Lsn(3), &end)).value(), ElementsAre());
    EXPECT_EQ(outcome_of(replica->scan(Lsn(4), Lsn(3))), "OUT_OF_RANGE");
    EXPECT_EQ(outcome_of(replica->scan(Lsn(4), Lsn(11))), "OUT_OF_RANGE");
  });
}

TEST(FlushTest, AScanOfWhatTheLogHasReusedSaysSo) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 16384)).value();
    co_await write_at_depth(l, *replica, 16, 100);
    CO_ASSERT_OK(co_await l.store->checkpoint());
    LogScanStep::Kind end{};
    EXPECT_THAT((co_await scan(*replica, Lsn(0), replica->last(), &end)).value(), ElementsAre());
    EXPECT_EQ(end, LogScanStep::Kind::kRecycled);
  });
}

}  // namespace
}  // namespace ashlar::engine
