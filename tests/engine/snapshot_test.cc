// Snapshots, reverts, clones, and what changed between two of them (L60, L62, L63).
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using test::outcome_of;
using testing::ElementsAre;

SnapshotUuid snapshot_of(unsigned n) {
  return lab_uuid<SnapshotUuid>(n);
}

Task<Result<Lsn>> take(Replica& replica, unsigned n) {
  return replica.snapshot(snapshot_of(n), WallTime(Duration(n * 1s)));
}

std::vector<SnapshotUuid> list(const Replica& replica) {
  std::vector<SnapshotUuid> all;
  for (const SnapshotStatus& one : replica.snapshots()) all.push_back(one.uuid);
  return all;
}

// Until the layers are as many, and their merges and files are done with.
Task<void> settle_at(StoreLab& l, const Replica& replica, std::uint64_t layers) {
  for (int i = 0; i < 600; ++i) {
    if (replica.status().layers == layers && replica.state().dropped.empty()) co_return;
    co_await l.sleep(1s);
  }
  ADD_FAILURE() << replica.status().layers << " layers";
}

// --- they stay as they are (L60)
// ------------------------------------------------------------------

constexpr std::uint64_t kBlocks = 96;

// A lab that knows what its volume and every snapshot hold.
struct SnapshotLab : StoreLab {
  std::vector<std::uint64_t> now = std::vector<std::uint64_t>(kBlocks);
  std::map<unsigned, std::vector<std::uint64_t>> cuts;
  Random random{11};
  unsigned next = 1;
};

Task<void> change_somehow(SnapshotLab& l, Replica& replica) {
  const std::uint64_t first = l.random.below(kBlocks - 8);
  const std::uint64_t count = 1 + l.random.below(8);
  const std::uint64_t what = l.random.below(8);
  const auto begin = l.now.begin() + static_cast<std::ptrdiff_t>(first);
  if (what < 5) {
    const std::uint64_t content = 1000 * (1 + l.random.below(1 << 20));
    CO_ASSERT_OK(co_await l.write(replica, first, count, content));
    for (std::uint64_t i = 0; i < count; ++i) l.now[first + i] = content + i;
  } else if (what < 7) {
    CO_ASSERT_OK(co_await replica.discard({BlockIndex(first), count}));
    std::fill_n(begin, count, 0);
  } else {
    CO_ASSERT_OK(co_await take(replica, l.next));
    l.cuts[l.next++] = l.now;
  }
}

Task<void> expect_cuts(SnapshotLab& l, Replica& replica) {
  EXPECT_EQ((co_await l.read(replica, 0, kBlocks)).value(), l.now);
  for (const auto& [n, contents] : l.cuts) {
    EXPECT_EQ((co_await l.read_snapshot(replica, snapshot_of(n), 0, kBlocks)).value(), contents)
        << n;
  }
}

TEST(SnapshotTest, EachStaysAsItWasUnderWritesDiscardsDeletionsAndCrashes) {
  SnapshotLab lab;
  for (int life = 0; life < 4; ++life) {
    const sim::CrashKind kind = life % 2 == 0 ? sim::CrashKind::kKill : sim::CrashKind::kPowerFail;
    lab.crash(kind, [](StoreLab& base) -> Task<void> {
      auto& l = static_cast<SnapshotLab&>(base);
      Replica* replica = l.find(1);
      if (replica == nullptr) replica = (co_await l.make(1, kBlocks)).value();
      for (int i = 0; i < 60; ++i) {
        co_await change_somehow(l, *replica);
        if (i % 25 == 7) co_await l.sleep(100ms);
        if (i % 30 != 29 || l.cuts.empty()) continue;
        co_await expect_cuts(l, *replica);
        CO_ASSERT_OK(co_await replica->delete_snapshot(snapshot_of(l.cuts.begin()->first)));
        l.cuts.erase(l.cuts.begin());
      }
      co_await expect_cuts(l, *replica);
    });
  }
  EXPECT_GT(lab.next, 10u);
}

TEST(SnapshotTest, OneThatIsTakenUnderWritesHoldsExactlyTheRecordsBeforeIt) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 128)).value();
    TaskScope scope(co_await this_task());
    std::array<std::optional<Result<Lsn>>, 128> writes;
    std::optional<Result<Lsn>> cut;
    for (unsigned i = 0; i < 128; ++i) {
      if (i == 70) scope.spawn(keep(take(*replica, 1), &cut));
      scope.spawn(keep(l.write(*replica, i, 1, i + 1), &writes[i]));
    }
    CO_ASSERT_OK(co_await scope.join());
    const std::vector<std::uint64_t> seen =
        (co_await l.read_snapshot(*replica, snapshot_of(1), 0, 128)).value();
    for (unsigned i = 0; i < 128; ++i) {
      EXPECT_EQ(seen[i], writes[i]->value() < cut->value() ? i + 1 : 0) << i;
    }
  });
}

TEST(SnapshotTest, TheyAreListedInTheirOrderWithWhatIsKnownOfThem) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 128)).value();
    CO_ASSERT_OK(co_await take(*replica, 9));
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 1));
    CO_ASSERT_OK(co_await take(*replica, 4));
    const std::vector<SnapshotStatus> all = replica->snapshots();
    EXPECT_THAT(list(*replica), ElementsAre(snapshot_of(9), snapshot_of(4)));
    EXPECT_EQ(all[1].lsn, Lsn(3));
    EXPECT_EQ(all[1].created, WallTime(Duration(4s)));
    EXPECT_FALSE(all[1].materialized);
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_TRUE(replica->snapshots()[1].materialized);
    EXPECT_EQ(replica->status().snapshots, 2u);
  });
}

TEST(SnapshotTest, OneThatIsNotThereIsNotFound) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 128)).value();
    CO_ASSERT_OK(co_await take(*replica, 1));
    CO_ASSERT_OK(co_await replica->delete_snapshot(snapshot_of(1)));
    EXPECT_EQ(outcome_of(co_await replica->delete_snapshot(snapshot_of(1))), "NOT_FOUND");
    EXPECT_EQ(outcome_of(co_await replica->revert(snapshot_of(1))), "NOT_FOUND");
    EXPECT_EQ(outcome_of(co_await l.read_snapshot(*replica, snapshot_of(1), 0, 1)), "NOT_FOUND");
    EXPECT_EQ(outcome_of(co_await replica->next_changed(snapshot_of(1), Lsn(), ChunkIndex())),
              "NOT_FOUND");
    EXPECT_EQ(outcome_of(co_await replica->snapshot(SnapshotUuid(), WallTime())),
              "INVALID_ARGUMENT");
  });
}

// --- twice at once (L62)
// --------------------------------------------------------------------------

TEST(SnapshotTest, OneThatIsAskedForTwiceAtOnceIsTakenOnce) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 128)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    TaskScope scope(co_await this_task());
    // While it reads from the layer nothing else gets its place: both calls wait.
    const std::vector<std::byte> bytes(512, std::byte{1});
    std::optional<Result<Lsn>> written;
    l.io.clear();
    scope.spawn(keep(replica->write_bytes(1024, bytes), &written));
    co_await test::yield_until(
        [&l] { return l.io.count(FileOperation::Kind::kRead, ".data") > 0; });
    std::array<std::optional<Result<Lsn>>, 2> taken;
    for (auto& one : taken) scope.spawn(keep(take(*replica, 1), &one));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_TRUE(taken[0]->ok() != taken[1]->ok());
    EXPECT_EQ(outcome_of(taken[0]->ok() ? *taken[1] : *taken[0]), "ALREADY_EXISTS");
    EXPECT_THAT(list(*replica), ElementsAre(snapshot_of(1)));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_THAT(list(*replica), ElementsAre(snapshot_of(1)));
  });
}

TEST(SnapshotTest, DeletionsAndRevertsTwiceAtOnceLeaveOneContents) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 128)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 1));
    CO_ASSERT_OK(co_await take(*replica, 1));
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 2));
    CO_ASSERT_OK(co_await take(*replica, 2));
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 3));
    TaskScope scope(co_await this_task());
    std::array<std::optional<Result<Lsn>>, 4> outcomes;
    scope.spawn(keep(replica->revert(snapshot_of(1)), &outcomes[0]));
    scope.spawn(keep(replica->revert(snapshot_of(1)), &outcomes[1]));
    scope.spawn(keep(replica->delete_snapshot(snapshot_of(2)), &outcomes[2]));
    scope.spawn(keep(replica->delete_snapshot(snapshot_of(2)), &outcomes[3]));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(outcome_of(*outcomes[0]), "OK");
    EXPECT_EQ(outcome_of(*outcomes[1]), "OK");
    EXPECT_TRUE(outcomes[2]->ok() != outcomes[3]->ok());
    EXPECT_EQ(outcome_of(outcomes[2]->ok() ? *outcomes[3] : *outcomes[2]), "NOT_FOUND");
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(1));
    EXPECT_THAT(list(*replica), ElementsAre(snapshot_of(1)));
    EXPECT_EQ(replica->fault(), std::nullopt);
  });
}

// --- many of them (L63)
// ---------------------------------------------------------------------------

TEST(SnapshotTest, TheLimitIsKeptAndDeletionsInAnyOrderGiveAllSpaceBack) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 64, 1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    const FileSystemSpace before = (co_await l.runtime->files.space(kStoreDirectory)).value();
    for (unsigned n = 0; n < kMostSnapshots; ++n) {
      CO_ASSERT_OK(co_await l.write(*replica, n % 64, 1, 1000 + n));
      CO_ASSERT_OK(co_await take(*replica, n));
    }
    EXPECT_EQ(outcome_of(co_await take(*replica, 251)), "RESOURCE_EXHAUSTED");
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(replica->status().layers, kMostSnapshots + 1);
    const std::vector<std::uint64_t> contents = (co_await l.read(*replica, 0, 64)).value();
    std::vector<unsigned> order(kMostSnapshots);
    for (unsigned n = 0; n < order.size(); ++n) order[n] = n;
    Random random(5);
    for (std::size_t i = order.size() - 1; i > 0; --i)
      std::swap(order[i], order[random.below(i + 1)]);
    for (const unsigned n : order) {
      CO_ASSERT_OK(co_await replica->delete_snapshot(snapshot_of(n)));
    }
    CO_ASSERT_OK(co_await l.store->checkpoint());
    co_await settle_at(l, *replica, 1);
    EXPECT_EQ((co_await l.read(*replica, 0, 64)).value(), contents);
    const FileSystemSpace after = (co_await l.runtime->files.space(kStoreDirectory)).value();
    EXPECT_LE(before.available, after.available + ByteCount(1 << 20));
    // And there is room for another.
    EXPECT_EQ(outcome_of(co_await take(*replica, 251)), "OK");
  });
}

TEST(SnapshotTest, TheNewestAndTheOldestCanBeDeletedAtOnceAndTheOthersStay) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 128)).value();
    for (unsigned n = 1; n <= 3; ++n) {
      CO_ASSERT_OK(co_await l.write(*replica, n, 1, n));
      CO_ASSERT_OK(co_await take(*replica, n));
    }
    CO_ASSERT_OK(co_await replica->delete_snapshot(snapshot_of(3)));
    CO_ASSERT_OK(co_await replica->delete_snapshot(snapshot_of(1)));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    co_await settle_at(l, *replica, 2);
    EXPECT_THAT((co_await l.read_snapshot(*replica, snapshot_of(2), 0, 4)).value(),
                ElementsAre(0, 1, 2, 0));
    EXPECT_THAT((co_await l.read(*replica, 0, 4)).value(), ElementsAre(0, 1, 2, 3));
  });
}

// --- reverts -------------------------------------------------------------------------------------

TEST(SnapshotTest, ARevertShowsTheSnapshotAndKeepsTheOthers) {
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 128)).value();
    for (unsigned n = 1; n <= 3; ++n) {
      CO_ASSERT_OK(co_await l.write(*replica, 0, 1, n));
      CO_ASSERT_OK(co_await take(*replica, n));
    }
    CO_ASSERT_OK(co_await l.write(*replica, 5, 1, 5));
    const Lsn before = replica->last();
    EXPECT_EQ((co_await replica->revert(snapshot_of(1))).value(), before.next());
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(1));
    EXPECT_THAT((co_await l.read(*replica, 5, 1)).value(), ElementsAre(0));
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 9));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = l.find(1);
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(9));
    EXPECT_THAT(list(*replica), ElementsAre(snapshot_of(1), snapshot_of(2), snapshot_of(3)));
    for (unsigned n = 1; n <= 3; ++n) {
      EXPECT_THAT((co_await l.read_snapshot(*replica, snapshot_of(n), 0, 1)).value(),
                  ElementsAre(n));
    }
  });
}

// --- clones --------------------------------------------------------------------------------------

TEST(CloneTest, BeginsWithTheSnapshotAndGoesItsOwnWay) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* parent = (co_await l.make(1, 128)).value();
    CO_ASSERT_OK(co_await l.write(*parent, 0, 2, 10));
    CO_ASSERT_OK(co_await take(*parent, 1));
    CO_ASSERT_OK(co_await l.write(*parent, 0, 1, 20));
    const ReplicaSpec spec{lab_uuid<ReplicaUuid>(2), lab_uuid<VolumeUuid>(2)};
    Replica* clone = (co_await l.store->clone_replica(*parent, snapshot_of(1), spec)).value();
    clone->set_commit_rule(CommitRule::kDurable);
    EXPECT_EQ(clone->size_blocks(), 128u);
    EXPECT_THAT((co_await l.read(*clone, 0, 2)).value(), ElementsAre(10, 11));
    CO_ASSERT_OK(co_await l.write(*clone, 1, 1, 30));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_THAT((co_await l.read(*clone, 0, 2)).value(), ElementsAre(10, 30));
    EXPECT_THAT((co_await l.read(*parent, 0, 2)).value(), ElementsAre(20, 11));
    EXPECT_THAT((co_await l.read_snapshot(*parent, snapshot_of(1), 0, 2)).value(),
                ElementsAre(10, 11));
  });
}

TEST(CloneTest, SharesTheLayersItBeginsWith) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* parent = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*parent, 0, 64, 10));
    CO_ASSERT_OK(co_await take(*parent, 1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    l.io.clear();
    const ReplicaSpec spec{lab_uuid<ReplicaUuid>(2), lab_uuid<VolumeUuid>(2)};
    CO_ASSERT_OK(co_await l.store->clone_replica(*parent, snapshot_of(1), spec));
    EXPECT_EQ(l.io.bytes(FileOperation::Kind::kWrite, ".data"), 0u);
    EXPECT_EQ(l.io.bytes(FileOperation::Kind::kRead, ".data"), 0u);
  });
}

TEST(CloneTest, OutlivesItsParentAndTheFilesGoWithTheLastOfThem) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* parent = (co_await l.make(1, 128)).value();
    CO_ASSERT_OK(co_await l.write(*parent, 0, 2, 10));
    CO_ASSERT_OK(co_await take(*parent, 1));
    const ReplicaSpec spec{lab_uuid<ReplicaUuid>(2), lab_uuid<VolumeUuid>(2)};
    CO_ASSERT_OK(co_await l.store->clone_replica(*parent, snapshot_of(1), spec));
    CO_ASSERT_OK(co_await l.store->delete_replica(lab_uuid<ReplicaUuid>(1)));
    EXPECT_THAT((co_await l.read(*l.find(2), 0, 2)).value(), ElementsAre(10, 11));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_TRUE(l.find(1) == nullptr);
    EXPECT_THAT((co_await l.read(*l.find(2), 0, 2)).value(), ElementsAre(10, 11));
    CO_ASSERT_OK(co_await l.store->delete_replica(lab_uuid<ReplicaUuid>(2)));
    EXPECT_THAT((co_await l.runtime->files.list("/store/layers")).value(), ElementsAre());
    EXPECT_THAT((co_await l.runtime->files.list("/store/replicas")).value(), ElementsAre());
  });
}

TEST(CloneTest, OfASnapshotThatIsNotThereLeavesNothing) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* parent = (co_await l.make(1, 128)).value();
    const auto before = (co_await l.files()).value();
    const ReplicaSpec spec{lab_uuid<ReplicaUuid>(2), lab_uuid<VolumeUuid>(2)};
    EXPECT_EQ(outcome_of(co_await l.store->clone_replica(*parent, snapshot_of(1), spec)),
              "NOT_FOUND");
    EXPECT_EQ((co_await l.files()).value().size(), before.size());
  });
}

// --- what has changed ----------------------------------------------------------------------------

Task<Result<std::vector<std::uint64_t>>> changed(Replica& replica, std::optional<SnapshotUuid> at,
                                                 Lsn since) {
  std::vector<std::uint64_t> all;
  ChunkIndex from;
  while (true) {
    ASHLAR_CO_TRY_ASSIGN(const std::optional<ChunkView> view,
                         co_await replica.next_changed(at, since, from));
    if (!view) co_return all;
    EXPECT_GT(view->last_lsn, since);
    all.push_back(view->chunk.value());
    from = view->chunk.next();
  }
}

TEST(NextChangedTest, NamesExactlyTheChunksOfLaterRecords) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1 << 20)).value();
    for (std::uint64_t chunk = 0; chunk < 100; ++chunk) {
      CO_ASSERT_OK(co_await l.write(*replica, chunk * 16, 1, chunk + 1));
    }
    const Lsn first = (co_await take(*replica, 1)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 7 * 16, 1, 1));
    CO_ASSERT_OK(co_await replica->discard({BlockIndex(9 * 16), 16}));
    CO_ASSERT_OK(co_await take(*replica, 2));
    CO_ASSERT_OK(co_await l.write(*replica, 60000 * 16, 1, 1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_THAT((co_await changed(*replica, snapshot_of(2), first)).value(), ElementsAre(7, 9));
    EXPECT_THAT((co_await changed(*replica, std::nullopt, first)).value(),
                ElementsAre(7, 9, 60000));
    EXPECT_EQ((co_await changed(*replica, snapshot_of(1), Lsn(0))).value().size(), 100u);
    EXPECT_THAT((co_await changed(*replica, snapshot_of(1), first)).value(), ElementsAre());
  });
}

TEST(NextChangedTest, ShowsWhichBlocksThereAreWithTheirChecksums) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 16, 3, 5));
    CO_ASSERT_OK(co_await take(*replica, 1));
    CO_ASSERT_OK(co_await replica->discard({BlockIndex(17), 1}));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    const ChunkView view =
        (co_await replica->next_changed(std::nullopt, Lsn(), ChunkIndex())).value().value();
    EXPECT_EQ(view.chunk, ChunkIndex(1));
    EXPECT_EQ(view.blocks[0].state, BlockState::kPresent);
    EXPECT_EQ(view.blocks[1].state, BlockState::kAbsent);
    EXPECT_EQ(view.blocks[3].state, BlockState::kAbsent);
    const Buffer bytes = (co_await replica->read({BlockIndex(18), 1})).value();
    EXPECT_EQ(view.blocks[2].checksum,
              BlockChecksum(replica->volume()).of(BlockIndex(18), bytes.bytes()));
  });
}

}  // namespace
}  // namespace ashlar::engine
