// What happens at the same time to a replica and its layers, in orders that were once wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/runtime/task_scope.h"
#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using testing::ElementsAre;

Task<void> read_all(StoreLab* lab, Replica* replica, std::vector<std::uint64_t>* found) {
  const auto contents = co_await lab->read(*replica, 0, 1024);
  EXPECT_TRUE(contents.ok());
  if (contents.ok()) *found = *contents;
}

// Appends one block to be committed by the test, and waits until it is durable.
Task<Result<>> append_one(StoreLab& lab, Replica& replica, Epoch epoch, std::uint64_t block,
                          std::uint64_t content) {
  ASHLAR_CO_TRY_ASSIGN(Buffer bytes, lab.pool->allocate(ByteCount(kBlockSize)));
  fill_block(bytes.bytes(), content);
  const std::uint32_t checksum =
      BlockChecksum(replica.volume()).of(BlockIndex(block), std::as_const(bytes).bytes());
  const RecordHeader header{.type = RecordType::kWrite,
                            .epoch = epoch,
                            .first_block = BlockIndex(block),
                            .block_count = 1,
                            .payload_length = kBlockSize};
  ASHLAR_CO_TRY_ASSIGN(const Lsn lsn,
                       co_await replica.append(header, {&checksum, 1}, std::move(bytes)));
  co_return co_await replica.durable(lsn);
}

TEST(ReplicaMergeRace, AReadGoesOnBelowLayersThatAreMergedTwiceMeanwhile) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    for (std::uint64_t first = 0; first < 1024; first += 64) {
      CO_ASSERT_OK(co_await l.write(*replica, first, 64, 1000 + first));
    }
    for (unsigned version = 1; version <= 2; ++version) {
      CO_ASSERT_OK(co_await replica->snapshot(lab_uuid<SnapshotUuid>(version), WallTime()));
      CO_ASSERT_OK(co_await l.write(*replica, 1020, 1, version));
    }
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(replica->status().layers, 3u);
    // The snapshots go, and both layers move down, long before the reader comes to the block.
    l.node.disk().timing.read_base = 50ms;
    std::vector<std::uint64_t> found;
    TaskScope reader(co_await this_task());
    reader.spawn(read_all(&l, replica, &found));
    for (unsigned version = 1; version <= 2; ++version) {
      CO_ASSERT_OK(co_await replica->delete_snapshot(lab_uuid<SnapshotUuid>(version)));
    }
    CO_ASSERT_OK(co_await l.store->checkpoint());
    (void)co_await reader.join();
    EXPECT_EQ(replica->status().layers, 1u);
    CO_ASSERT_TRUE(found.size() == 1024);
    EXPECT_EQ(found[1020], 2u);
  });
}

// Kills the process so many steps behind the request to delete volume 1, whose name changes slowly,
// with a checkpoint under way. False when the deletion was over before.
bool delete_and_die(StoreLab& lab, std::uint64_t steps) {
  bool over = false;
  const bool lived = lab.live([&over, steps](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 5, 1, 100));
    l.node.disk().timing.name_base = 5ms;
    l.node.crash_after_steps(steps, sim::CrashKind::kKill);
    TaskScope scope(co_await this_task());
    scope.spawn(l.store->checkpoint());
    CO_ASSERT_OK(co_await l.store->delete_replica(replica->uuid()));
    over = true;
    l.node.crash_after_steps(~std::uint64_t{0} / 2, sim::CrashKind::kKill);
    (void)co_await scope.join();
  });
  return !lived && !over;
}

TEST(ReplicaMergeRace, AReplicaWhoseDeletionIsCutShortComesBackWithAllItsRecords) {
  for (std::uint64_t steps = 1;; ++steps) {
    StoreLab lab;
    if (!delete_and_die(lab, steps)) break;
    lab.run([steps](StoreLab& l) -> Task<void> {
      Replica* replica = l.find(1);
      if (replica == nullptr) co_return;
      EXPECT_THAT((co_await l.read(*replica, 4, 3)).value(), ElementsAre(0, 100, 0))
          << "killed after " << steps << " steps";
    });
  }
}

TEST(ReplicaMergeRace, AReadThatSawATailWhichWasDroppedDoesNotShowIt) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 100));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    replica->set_commit_rule(CommitRule::kGiven);
    CO_ASSERT_OK(co_await append_one(l, *replica, Epoch(1), 1, 200));
    l.node.disk().timing.read_base = 50ms;
    std::vector<std::uint64_t> found;
    TaskScope reader(co_await this_task());
    reader.spawn(read_all(&l, replica, &found));
    (void)co_await sleep_for(l.node.runtime().clock, 1ms);
    // Another record takes the LSN of the one that the reader has seen.
    CO_ASSERT_OK(co_await replica->promise(Epoch(2)));
    CO_ASSERT_OK(co_await replica->truncate_after(Epoch(2), Lsn(1)));
    CO_ASSERT_OK(co_await append_one(l, *replica, Epoch(2), 2, 300));
    replica->set_commit(Lsn(2));
    (void)co_await reader.join();
    CO_ASSERT_TRUE(found.size() == 1024);
    EXPECT_THAT(std::span(found).first(3), ElementsAre(100, 0, 300));
  });
}

}  // namespace
}  // namespace ashlar::engine
