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

Contents not_read() {
  return Error::internal("not read");
}

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

// Begins to read block 0 as soon as the state has moved up to `lsn`.
Task<Result<>> read_when_flushed(StoreLab* lab, Replica* replica, Lsn lsn, Contents* out) {
  while (replica->state().flushed < lsn) co_await yield();
  *out = co_await with_timeout(lab->store->shared().clock, 10s, lab->read(*replica, 0, 1));
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
    // The read has the record from memory, and is at the layer's block until all else is over.
    l.node.disk().timing.read_base = 100ms;
    TaskScope scope(co_await this_task());
    Contents seen = not_read();
    scope.spawn(read_into(&l, replica, 0, 2, &seen));
    CO_ASSERT_OK(co_await sleep_for(l.store->shared().clock, 10ms));
    CO_ASSERT_OK(co_await replica->truncate_after(Epoch(2), Lsn(1)));
    CO_ASSERT_OK(co_await place(l, *replica, Epoch(2), 5, 88));
    replica->set_commit(Lsn(2));
    EXPECT_FALSE(seen.ok()) << "the read was over before the cut";
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_THAT(seen.value(), ElementsAre(5, 0));
  });
}

TEST(ReplicaRaceTest, AReadThatComesAtTheEndOfARevertsPassIsAnswered) {
  StoreLab lab;
  lab.options.flush_delay = 1h;  // no pass but those that are asked for
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    const SnapshotUuid snapshot = lab_uuid<SnapshotUuid>(1);
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 5));
    CO_ASSERT_OK(co_await replica->snapshot(snapshot, WallTime()));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    // The pass yields when the index has forgotten it. The state has moved by then.
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 6));
    CO_ASSERT_OK(co_await replica->revert(snapshot));
    // With so many in the queue before the pass, some of them see that.
    std::vector<Contents> seen(32, not_read());
    TaskScope scope(co_await this_task());
    for (Contents& out : seen) {
      scope.spawn(read_when_flushed(&l, replica, replica->last(), &out));
    }
    CO_ASSERT_OK(co_await l.store->checkpoint());
    CO_ASSERT_OK(co_await scope.join());
    for (const Contents& one : seen) {
      CO_ASSERT_OK(one);
      EXPECT_THAT(*one, ElementsAre(5));
    }
  });
}

TEST(ReplicaRaceTest, AReadThatOutlivesTwoMergesShowsTheNewest) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    for (std::uint64_t at = 0; at < 1024; at += 32) {
      CO_ASSERT_OK(co_await l.write(*replica, at, 32, 10'000 + at));
    }
    CO_ASSERT_OK(co_await replica->snapshot(lab_uuid<SnapshotUuid>(1), WallTime()));
    CO_ASSERT_OK(co_await l.write(*replica, 1000, 1, 5));
    CO_ASSERT_OK(co_await replica->snapshot(lab_uuid<SnapshotUuid>(2), WallTime()));
    CO_ASSERT_OK(co_await l.write(*replica, 1000, 1, 6));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    // The read comes to block 1000 last, many reads of the disk later; the merges need few.
    l.node.disk().timing.read_base = 20ms;
    TaskScope scope(co_await this_task());
    Contents seen = not_read();
    scope.spawn(read_into(&l, replica, 0, 1024, &seen));
    co_await yield();
    EXPECT_EQ(replica->status().layers, 3u);
    CO_ASSERT_OK(co_await replica->delete_snapshot(lab_uuid<SnapshotUuid>(1)));
    CO_ASSERT_OK(co_await replica->delete_snapshot(lab_uuid<SnapshotUuid>(2)));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    while (replica->status().layers > 1) {
      CO_ASSERT_OK(co_await sleep_for(l.store->shared().clock, 1ms));
    }
    EXPECT_FALSE(seen.ok()) << "the read was over before the merges";
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(seen.value()[1000], 6u);
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
