// Stores as their owners see them: opening, replicas, the checkpoint, what an idle one does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using test::outcome_of;
using testing::ElementsAre;

TEST(StoreTest, WhatWasWrittenIsReadBeforeAndAfterAFlushAndInTheNextLife) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 10, 3, 100));
    CO_ASSERT_OK(co_await l.write(*replica, 11, 1, 200));
    EXPECT_THAT((co_await l.read(*replica, 9, 5)).value(), ElementsAre(0, 100, 200, 102, 0));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(replica->status().flushed, Lsn(2));
    EXPECT_THAT((co_await l.read(*replica, 9, 5)).value(), ElementsAre(0, 100, 200, 102, 0));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = l.find(1);
    CO_ASSERT_TRUE(replica != nullptr);
    EXPECT_THAT((co_await l.read(*replica, 9, 5)).value(), ElementsAre(0, 100, 200, 102, 0));
  });
}

// --- who may open it (L14) -----------------------------------------------------------------------

TEST(StoreTest, ASecondOpenIsRefusedAndWritesNothing) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    co_await l.sleep(1s);
    l.io.clear();
    const auto second = co_await Store::open(*l.runtime, *l.pool, l.options);
    EXPECT_EQ(outcome_of(second), "FAILED_PRECONDITION");
    EXPECT_EQ(l.io.changes(), 0u);
  });
}

TEST(StoreTest, AnotherServersStoreIsRefusedAndNothingIsWritten) {
  StoreLab lab;
  lab.run([](StoreLab&) -> Task<void> { co_return; });
  lab.options.server = lab_uuid<ServerUuid>(2);
  lab.outside([](StoreLab& l) -> Task<void> {
    BufferPool pool("foreign", ByteCount(16 << 20));
    const auto before = (co_await l.files()).value();
    EXPECT_EQ(outcome_of(co_await Store::open(*l.runtime, pool, l.options)), "FAILED_PRECONDITION");
    EXPECT_EQ((co_await l.files()).value(), before);
  });
}

TEST(StoreTest, AStoreThatWasTakenOverIsItsNewServersAndNoMoreTheOldOnes) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 64)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 5));
  });
  lab.options.server = lab_uuid<ServerUuid>(2);
  lab.options.take_over = true;
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_THAT((co_await l.read(*l.find(1), 0, 1)).value(), ElementsAre(5));
  });
  lab.options.take_over = false;
  EXPECT_TRUE(lab.live([](StoreLab&) -> Task<void> { co_return; }));
  lab.options.server = lab_uuid<ServerUuid>(1);
  EXPECT_FALSE(lab.live([](StoreLab&) -> Task<void> { co_return; }));
  EXPECT_EQ(lab.error->code(), ErrorCode::kFailedPrecondition);
}

TEST(StoreTest, ADirectoryThatIsNoStoreIsNotFoundAndStaysAsItIs) {
  StoreLab lab;
  lab.outside([](StoreLab& l) -> Task<void> {
    BufferPool pool("lab", ByteCount(16 << 20));
    EXPECT_EQ(outcome_of(co_await Store::open(*l.runtime, pool, l.options)), "NOT_FOUND");
    EXPECT_EQ(outcome_of(co_await l.runtime->files.list(kStoreDirectory)), "NOT_FOUND");
  });
}

TEST(StoreTest, FormatRefusesADirectoryThatHoldsSomethingElse) {
  StoreLab lab;
  lab.outside([](StoreLab& l) -> Task<void> {
    FileSystem& files = l.runtime->files;
    CO_ASSERT_OK(co_await files.make_directory(kStoreDirectory));
    CO_ASSERT_OK(co_await files.open("/store/letters", OpenMode::kCreate));
    const auto outcome = co_await Store::format(*l.runtime, l.options, lab_uuid<StoreUuid>(1));
    EXPECT_EQ(outcome_of(outcome), "FAILED_PRECONDITION");
    EXPECT_EQ(outcome_of(co_await files.open("/store/log", OpenMode::kReadOnly)), "NOT_FOUND");
  });
}

TEST(StoreTest, FormatOfAStoreIsRefusedAndChangesNothing) {
  StoreLab lab;
  lab.run([](StoreLab&) -> Task<void> { co_return; });
  lab.outside([](StoreLab& l) -> Task<void> {
    const auto before = (co_await l.files()).value();
    const auto outcome = co_await Store::format(*l.runtime, l.options, lab_uuid<StoreUuid>(9));
    EXPECT_EQ(outcome_of(outcome), "ALREADY_EXISTS");
    EXPECT_EQ((co_await l.files()).value(), before);
  });
}

// --- what is accepted can be opened again (L13)
// ---------------------------------------------------

TEST(StoreTest, ALogOfAnyCapacityIsRefusedWithNothingLeftOrOpens) {
  const ByteCount capacities[] = {ByteCount(0),
                                  ByteCount(4096),
                                  ByteCount((1 << 20) - 4096),
                                  ByteCount(1 << 20),
                                  ByteCount((1 << 20) + 1),
                                  ByteCount((1 << 20) + 4096),
                                  ByteCount(2 << 20),
                                  ByteCount((16 << 20) - 1),
                                  ByteCount(16 << 20),
                                  ByteCount(std::uint64_t{1} << 62),
                                  ByteCount(-1ULL << 20),
                                  ByteCount(-1ULL)};
  for (const ByteCount capacity : capacities) {
    SCOPED_TRACE(capacity.value());
    StoreLab lab;
    lab.options.log_capacity = capacity;
    lab.io.clear();
    if (lab.live([](StoreLab&) -> Task<void> { co_return; })) {
      EXPECT_TRUE(lab.live([](StoreLab& l) -> Task<void> {
        Replica* replica = (co_await l.make(1, 64)).value();
        EXPECT_EQ(outcome_of(co_await l.write(*replica, 0, 16, 1)), "OK");
      }));
    } else {
      EXPECT_EQ(lab.error->code(), ErrorCode::kInvalidArgument);
      EXPECT_EQ(lab.io.changes(), 0u);
    }
  }
}

TEST(StoreTest, AVolumeOfAnySizeIsRefusedWithNothingLeftOrOpensGrowsAndIsRead) {
  static const std::vector<std::uint64_t> sizes{0,
                                                1,
                                                15,
                                                16,
                                                17,
                                                2560,
                                                1 << 20,
                                                kLargestVolumeBlocks - 1,
                                                kLargestVolumeBlocks,
                                                kLargestVolumeBlocks + 1,
                                                std::numeric_limits<std::uint64_t>::max()};
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    for (unsigned i = 0; i < sizes.size(); ++i) {
      const auto before = (co_await l.files()).value();
      const Result<Replica*> made = co_await l.make(i, sizes[i]);
      const bool may_be = i > 0 && sizes[i] <= kLargestVolumeBlocks;
      EXPECT_EQ(outcome_of(made), may_be ? "OK" : "INVALID_ARGUMENT") << sizes[i];
      if (!made.ok()) EXPECT_EQ((co_await l.files()).value().size(), before.size());
      if (made.ok()) CO_ASSERT_OK(co_await l.write(**made, sizes[i] - 1, 1, 70 + i));
    }
  });
  lab.run([](StoreLab& l) -> Task<void> {
    for (unsigned i = 1; i < sizes.size(); ++i) {
      Replica* replica = l.find(i);
      if (replica == nullptr) continue;
      EXPECT_THAT((co_await l.read(*replica, sizes[i] - 1, 1)).value(), ElementsAre(70 + i));
      EXPECT_EQ(outcome_of(co_await replica->resize(kLargestVolumeBlocks)), "OK");
      EXPECT_THAT((co_await l.read(*replica, kLargestVolumeBlocks - 1, 1)).value(),
                  ElementsAre(sizes[i] == kLargestVolumeBlocks ? 70 + i : 0));
    }
    EXPECT_EQ(l.store->replicas().size(), 8u);
    EXPECT_THAT(l.store->unreadable(), testing::IsEmpty());
  });
}

TEST(StoreTest, AReplicaWithoutANameOrWithOneThatIsTakenIsRefused) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await l.make(1, 64));
    const ReplicaUuid uuid = lab_uuid<ReplicaUuid>(2);
    const VolumeUuid volume = lab_uuid<VolumeUuid>(2);
    EXPECT_EQ(outcome_of(co_await l.make(1, 64)), "ALREADY_EXISTS");
    EXPECT_EQ(outcome_of(co_await l.store->create_replica({uuid, VolumeUuid(), 64})),
              "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await l.store->create_replica({ReplicaUuid(), volume, 64})),
              "INVALID_ARGUMENT");
  });
}

// --- replicas come and go ------------------------------------------------------------------------

TEST(StoreTest, AReplicaIsThereAfterAPowerFailureOnceItWasMade) {
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail,
            [](StoreLab& l) -> Task<void> { CO_ASSERT_OK(co_await l.make(1, 64)); });
  lab.run([](StoreLab& l) -> Task<void> {
    CO_ASSERT_TRUE(l.find(1) != nullptr);
    EXPECT_EQ(l.find(1)->size_blocks(), 64u);
  });
}

TEST(StoreTest, ADeletedReplicaAndItsFilesAreGoneForGoodAlsoAfterAPowerFailure) {
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    const auto before = (co_await l.files()).value();
    Replica* replica = (co_await l.make(1, 64)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 16, 1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    CO_ASSERT_OK(co_await l.write(*replica, 8, 16, 1));
    CO_ASSERT_OK(co_await l.store->delete_replica(lab_uuid<ReplicaUuid>(1)));
    EXPECT_TRUE(l.find(1) == nullptr);
    EXPECT_EQ((co_await l.files()).value().size(), before.size());
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_THAT(l.store->replicas(), testing::IsEmpty());
    // Its uuid is free; nothing of the old one shows.
    Replica* again = (co_await l.make(1, 64)).value();
    EXPECT_THAT((co_await l.read(*again, 7, 2)).value(), ElementsAre(0, 0));
  });
}

TEST(StoreTest, AReplicaThatIsNotThereCannotBeDeleted) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(outcome_of(co_await l.store->delete_replica(lab_uuid<ReplicaUuid>(1))), "NOT_FOUND");
  });
}

TEST(StoreTest, ReplicasAreFoundByTheirUuidAndListed) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* first = (co_await l.make(1, 64)).value();
    Replica* second = (co_await l.make(2, 64)).value();
    EXPECT_THAT(l.store->replicas(), testing::UnorderedElementsAre(first, second));
    EXPECT_EQ(l.store->find(lab_uuid<ReplicaUuid>(2)), second);
    EXPECT_EQ(l.store->find(lab_uuid<ReplicaUuid>(3)), nullptr);
  });
}

// --- the checkpoint ------------------------------------------------------------------------------

TEST(StoreTest, BehindACheckpointNothingIsReplayed) {
  StoreLab lab;
  lab.crash(sim::CrashKind::kKill, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    for (unsigned i = 0; i < 20; ++i) CO_ASSERT_OK(co_await l.write(*replica, 4 * i, 4, 100));
    CO_ASSERT_OK(co_await l.store->checkpoint());
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(l.store->recovery().records, 0u);
    EXPECT_THAT((co_await l.read(*l.find(1), 76, 2)).value(), ElementsAre(100, 101));
  });
}

TEST(StoreTest, AStoreThatWasClosedHasEverythingInItsLayers) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 1, 4, 100));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(l.store->recovery().records, 0u);
    EXPECT_EQ(l.find(1)->status().flushed, Lsn(1));
    co_return;
  });
}

// --- an idle store (L105) ------------------------------------------------------------------------

TEST(StoreTest, AHundredIdleVolumesDoNoIoAndHaveNoTimers) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    for (unsigned n = 0; n < 100; ++n) {
      Replica* replica = (co_await l.make(n, 1024)).value();
      CO_ASSERT_OK(co_await l.write(*replica, n, 1, n));
    }
    // The seal, the flush, and memory that goes back.
    co_await l.sleep(60s);
    EXPECT_EQ(l.store->shared().log->failure(), std::nullopt);
    for (const Replica* replica : l.store->replicas()) {
      EXPECT_EQ(replica->status().unflushed_records, 0u);
    }
    l.io.clear();
    const std::uint64_t before = l.world.events();
    co_await l.sleep(3600s);
    EXPECT_EQ(l.io.ios.size(), 0u);
    // Our own timer, and that we go on.
    EXPECT_LE(l.world.events() - before, 4u);
  });
}

// --- metrics -------------------------------------------------------------------------------------

TEST(StoreTest, EachStageMovesItsSeries) {
  StoreLab lab;
  lab.crash(sim::CrashKind::kKill, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 2, 7));
    EXPECT_EQ(l.metric("ashlar_engine_appended_records_total"), 1);
    EXPECT_EQ(l.metric("ashlar_engine_appended_bytes_total"), 8192);
    EXPECT_EQ(l.metric("ashlar_engine_append_seconds_count"), 1);
    EXPECT_EQ(l.metric("ashlar_engine_append_bytes_count"), 1);
    CO_ASSERT_OK(co_await l.read(*replica, 0, 2));
    EXPECT_EQ(l.metric("ashlar_engine_reads_from_memory_total"), 1);
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(l.metric("ashlar_engine_flush_passes_total"), 1);
    EXPECT_EQ(l.metric("ashlar_engine_flush_seconds_count"), 1);
    EXPECT_EQ(l.metric("ashlar_engine_flushed_runs_total"), 1);
    EXPECT_EQ(l.metric("ashlar_engine_flush_writes_total"), 1);
    EXPECT_EQ(l.metric("ashlar_engine_flushed_bytes_total"), 8192);
    EXPECT_EQ(l.metric("ashlar_engine_flush_log_read_bytes_total"), 0);
    CO_ASSERT_OK(co_await l.read(*replica, 0, 2));
    EXPECT_EQ(l.metric("ashlar_engine_reads_total"), 2);
    EXPECT_EQ(l.metric("ashlar_engine_read_bytes_total"), 16384);
    EXPECT_EQ(l.metric("ashlar_engine_read_seconds_count"), 2);
    EXPECT_EQ(l.metric("ashlar_engine_reads_from_memory_total"), 1);
    Replica::ScrubCursor cursor;
    CO_ASSERT_OK(co_await replica->scrub(cursor, ByteCount(1 << 20)));
    EXPECT_EQ(l.metric("ashlar_engine_scrubbed_bytes_total"), 65536);
    EXPECT_EQ(l.metric("ashlar_engine_recovery_seconds_count"), 1);
    CO_ASSERT_OK(co_await l.write(*replica, 0, 2, 7));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(l.metric("ashlar_engine_recovered_records_total"), 1);
    CO_ASSERT_OK(co_await l.read(*l.find(1), 0, 2));
    EXPECT_EQ(l.metric("ashlar_engine_reads_from_log_total"), 1);
    // So short a gauge is set by a round of the flusher.
    co_await l.sleep(1s);
    EXPECT_EQ(l.metric("ashlar_engine_unflushed_memory_bytes"), 0);
    EXPECT_GE(l.metric("ashlar_engine_log_fill_ratio"), 0);
  });
}

TEST(StoreTest, TheSeriesOfTheLogAndOfTheMapCacheMove) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 2, 7));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    CO_ASSERT_OK(co_await l.read(*replica, 0, 2));
    EXPECT_EQ(l.metric("ashlar_engine_log_batches_total"), 1);
    EXPECT_EQ(l.metric("ashlar_engine_log_batch_bytes_sum"), 12288);
    EXPECT_EQ(l.metric("ashlar_engine_log_batch_records_total"), 1);
    // Counted at the end of a round of the flusher.
    CO_ASSERT_OK(co_await l.write(*replica, 0, 2, 7));
    co_await l.sleep(1s);
    EXPECT_GE(l.metric("ashlar_engine_map_cache_hits_total"), 1);
  });
}

}  // namespace
}  // namespace ashlar::engine
