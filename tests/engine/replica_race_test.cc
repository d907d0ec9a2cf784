// What happens to a replica while something else is under way: cuts, merges, reverts, deletions and
// cancellations, each at its worst moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/runtime/timeout.h"
#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using testing::ElementsAre;

using Contents = Result<std::vector<std::uint64_t>>;

// Places a record of one block, and does not wait for its commit.
Task<Result<Lsn>> place(StoreLab& lab, Replica& replica, Epoch epoch, std::uint64_t block,
                        std::uint64_t content) {
  ASHLAR_CO_TRY_ASSIGN(Buffer bytes, lab.pool->allocate(ByteCount(kBlockSize)));
  fill_block(bytes.bytes(), content);
  const std::uint32_t sum = BlockChecksum(replica.volume()).of(BlockIndex(block), bytes.bytes());
  const RecordHeader header{.type = RecordType::kWrite,
                            .epoch = epoch,
                            .first_block = BlockIndex(block),
                            .block_count = 1,
                            .payload_length = kBlockSize};
  co_return co_await replica.append(header, {&sum, 1}, std::move(bytes));
}

Task<Result<>> read_into(StoreLab* lab, Replica* replica, std::uint64_t first, std::uint64_t count,
                         Contents* out) {
  *out = co_await lab->read(*replica, first, count);
  co_return Result<>();
}

Task<Result<>> truncate(Replica* replica, Epoch epoch, Lsn kept) {
  co_return co_await replica->truncate_after(epoch, kept);
}

Task<Result<>> flush(Replica* replica, Result<>* out) {
  *out = co_await replica->flush();
  co_return Result<>();
}

Task<Result<>> remove(Store* store, ReplicaUuid uuid, Result<>* out) {
  *out = co_await store->delete_replica(uuid);
  co_return Result<>();
}

Task<Result<>> revert(Replica* replica, SnapshotUuid uuid) {
  const Result<Lsn> lsn = co_await replica->revert(uuid);
  if (!lsn.ok()) co_return lsn.error();
  co_return Result<>();
}

TEST(ReplicaRaceTest, NothingOfAReplicaWithAFaultIsOnItsWayWhenItIsQuiet) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    replica->set_commit_rule(CommitRule::kGiven);
    CO_ASSERT_OK(co_await place(l, *replica, Epoch(1), 0, 7));
    replica->fail(FaultCause::kMismatch, Error::data_loss("a test"));
    CO_ASSERT_OK(co_await replica->quiesce());
    const LogWriter& log = *l.store->shared().log;
    EXPECT_EQ(log.written_end(), log.head());
  });
}

TEST(ReplicaRaceTest, ADeletionThatIsCancelledWhileOthersAreAtTheReplicaLeavesIt) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    const Replica::Use use(*replica);
    TaskScope scope(co_await this_task());
    Result<> removed;
    scope.spawn(remove(l.store, replica->uuid(), &removed));
    co_await yield();
    scope.cancel();
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_FALSE(removed.ok());
    EXPECT_EQ(l.store->find(lab_uuid<ReplicaUuid>(1)), replica);
  });
}

TEST(ReplicaRaceTest, AFlushThatIsCancelledIsNoFault) {
  StoreLab lab;
  lab.options.durability = LogDurability::kBuffered;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    replica->set_commit_rule(CommitRule::kWritten);
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 7));
    TaskScope first(co_await this_task());
    TaskScope second(co_await this_task());
    Result<> flushed;
    Result<> cancelled;
    first.spawn(flush(replica, &flushed));
    CO_ASSERT_OK(co_await sleep_for(l.store->shared().clock, 1us));
    second.spawn(flush(replica, &cancelled));
    CO_ASSERT_OK(co_await sleep_for(l.store->shared().clock, 1us));
    second.cancel();
    CO_ASSERT_OK(co_await second.join());
    CO_ASSERT_OK(co_await first.join());
    EXPECT_FALSE(cancelled.ok());
    EXPECT_TRUE(flushed.ok());
    EXPECT_FALSE(replica->fault().has_value());
  });
}

TEST(ReplicaRaceTest, AReadDoesNotShowARecordThatWasDroppedWhileItWasUnderWay) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 5));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    replica->set_commit_rule(CommitRule::kGiven);
    CO_ASSERT_OK(co_await place(l, *replica, Epoch(1), 1, 77));
    CO_ASSERT_OK(co_await replica->promise(Epoch(2)));
    TaskScope scope(co_await this_task());
    Contents seen = Error::internal("not read");
    scope.spawn(read_into(&l, replica, 0, 2, &seen));
    scope.spawn(truncate(replica, Epoch(2), Lsn(1)));
    co_await yield();
    CO_ASSERT_OK(co_await place(l, *replica, Epoch(2), 5, 88));
    replica->set_commit(Lsn(2));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_THAT(seen.value(), ElementsAre(5, 0));
  });
}

TEST(ReplicaRaceTest, AReadThatComesAtTheEndOfARevertsPassIsAnswered) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    const SnapshotUuid snapshot = lab_uuid<SnapshotUuid>(1);
    Clock& clock = l.store->shared().clock;
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 5));
    CO_ASSERT_OK(co_await replica->snapshot(snapshot, WallTime()));
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 6));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    TaskScope scope(co_await this_task());
    scope.spawn(revert(replica, snapshot));
    // The pass wakes the merges right after it has moved the state.
    while (replica->state().flushed < Lsn(4)) {
      if (l.store->shared().merge_wanted.is_set()) CO_ASSERT_OK(co_await sleep_for(clock, 1ms));
      CO_ASSERT_OK(co_await l.store->shared().merge_wanted.wait());
    }
    Contents seen = Error::internal("not read");
    const Result<> read = co_await with_timeout(clock, 10s, read_into(&l, replica, 0, 1, &seen));
    CO_ASSERT_OK(read);
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_THAT(seen.value(), ElementsAre(5));
  });
}

TEST(ReplicaRaceTest, AReadThatOutlivesTwoMergesShowsTheNewest) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 4096)).value();
    for (std::uint64_t at = 0; at < 1024; at += 32) {
      CO_ASSERT_OK(co_await l.write(*replica, at, 32, 10'000 + at));
    }
    CO_ASSERT_OK(co_await replica->snapshot(lab_uuid<SnapshotUuid>(1), WallTime()));
    CO_ASSERT_OK(co_await l.write(*replica, 1000, 1, 5));
    CO_ASSERT_OK(co_await replica->snapshot(lab_uuid<SnapshotUuid>(2), WallTime()));
    CO_ASSERT_OK(co_await l.write(*replica, 1000, 1, 6));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    CO_ASSERT_OK(co_await replica->delete_snapshot(lab_uuid<SnapshotUuid>(1)));
    CO_ASSERT_OK(co_await replica->delete_snapshot(lab_uuid<SnapshotUuid>(2)));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    Clock& clock = l.store->shared().clock;
    constexpr std::size_t kReads = 400;
    std::vector<Contents> seen(kReads, Contents(Error::internal("not read")));
    TaskScope scope(co_await this_task());
    for (std::size_t i = 0; i < kReads; ++i) {
      scope.spawn(read_into(&l, replica, 513 - i % 512, 500, &seen[i]));
      CO_ASSERT_OK(co_await sleep_for(clock, 50us));
    }
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(replica->status().layers, 1u);
    for (std::size_t i = 0; i < kReads; ++i) {
      const std::uint64_t first = 513 - i % 512;
      if (first + 500 > 1000) EXPECT_EQ(seen[i].value()[1000 - first], 6u) << i;
    }
  });
}

TEST(ReplicaRaceTest, ASecondCutToTheSamePlaceWaitsUntilTheFirstIsDurable) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    replica->set_commit_rule(CommitRule::kGiven);
    CO_ASSERT_OK(co_await place(l, *replica, Epoch(1), 1, 77));
    CO_ASSERT_OK(co_await replica->promise(Epoch(2)));
    TaskScope scope(co_await this_task());
    scope.spawn(truncate(replica, Epoch(2), Lsn()));
    co_await yield();
    scope.cancel();
    CO_ASSERT_OK(co_await scope.join());
    CO_ASSERT_OK(co_await replica->truncate_after(Epoch(2), Lsn()));
    const LogWriter& log = *l.store->shared().log;
    EXPECT_EQ(log.durable_end(), log.head());
  });
}

TEST(ReplicaRaceTest, AnUnfinishedSecondAttemptToMakeAReplicaDoesNotHurtTheFirst) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 5));
    const std::string name = "/store/replicas/" + replica->uuid().to_string() + ".new";
    CO_ASSERT_OK(co_await l.store->shared().layers.files().open(name, OpenMode::kCreate));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = l.find(1);
    CO_ASSERT_TRUE(replica != nullptr);
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(5));
  });
}

TEST(ReplicaRaceTest, SpaceThatWasJustTakenIsNotPromisedAgain) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    StoreShared& shared = l.store->shared();
    SpaceGuard guard(shared.layers.files(), shared.clock, kStoreDirectory, ByteCount());
    CO_ASSERT_OK(co_await guard.refresh());
    const ByteCount most = guard.free() - ByteCount(1 << 20);
    guard.promise(most);
    guard.settle(most);
    EXPECT_FALSE(guard.admits(ByteCount(2 << 20)));
    CO_ASSERT_OK(co_await guard.refresh());
    EXPECT_TRUE(guard.admits(ByteCount(2 << 20)));
  });
}

}  // namespace
}  // namespace ashlar::engine
