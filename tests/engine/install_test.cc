// Installing a copy: what a peer's volume is, beside what comes in live meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using test::outcome_of;
using testing::ElementsAre;

// Two replicas of one volume, here in one store: 1 is where a copy comes from, 2 where it goes.
Task<Result<Replica*>> make_target(StoreLab& l) {
  const ReplicaSpec spec{lab_uuid<ReplicaUuid>(2), lab_uuid<VolumeUuid>(1), 1024};
  Result<Replica*> made = co_await l.store->create_replica(spec);
  if (made.ok()) (*made)->set_commit_rule(CommitRule::kDurable);
  co_return made;
}

Task<Result<>> install_one(Replica& from, Replica& to, ChunkView view) {
  std::vector<std::byte> bytes;
  for (unsigned i = 0; i < kBlocksPerChunk; ++i) {
    if (view.blocks[i].state != BlockState::kPresent) continue;
    ASHLAR_CO_TRY_ASSIGN(const Buffer block,
                         co_await from.read({first_block_of(view.chunk) + i, 1}));
    bytes.insert(bytes.end(), block.bytes().begin(), block.bytes().end());
  }
  co_return co_await to.install_chunk(view, bytes);
}

Task<Result<std::uint64_t>> install_all(Replica& from, Replica& to, Lsn since) {
  std::uint64_t count = 0;
  ChunkIndex at;
  while (true) {
    ASHLAR_CO_TRY_ASSIGN(const std::optional<ChunkView> view,
                         co_await from.next_changed(std::nullopt, since, at));
    if (!view) co_return count;
    ASHLAR_CO_TRY(co_await install_one(from, to, *view));
    at = view->chunk.next();
    ++count;
  }
}

// Blocks 0 to 39 of the source, flushed.
Task<Result<Replica*>> make_source(StoreLab& l) {
  ASHLAR_CO_TRY_ASSIGN(Replica* const from, co_await l.make(1, 1024));
  ASHLAR_CO_TRY(co_await l.write(*from, 0, 40, 100));
  ASHLAR_CO_TRY(co_await from->discard({BlockIndex(5), 1}));
  ASHLAR_CO_TRY(co_await l.store->checkpoint());
  co_return from;
}

TEST(InstallTest, AReplacedReplicaIsTheCopyAndNothingElse) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* from = (co_await make_source(l)).value();
    Replica* to = (co_await make_target(l)).value();
    // Of another history: it must not show.
    CO_ASSERT_OK(co_await l.write(*to, 30, 100, 9000));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    CO_ASSERT_OK(co_await to->begin_install(Epoch(1), from->status().flushed));
    CO_ASSERT_OK(co_await install_all(*from, *to, Lsn(0)));
    CO_ASSERT_OK(co_await to->finish_install(Replica::InstallKind::kReplace));
    EXPECT_EQ((co_await l.read(*to, 0, 1024)).value(), (co_await l.read(*from, 0, 1024)).value());
    EXPECT_EQ(to->last(), from->last());
    EXPECT_EQ(to->status().layers, 1u);
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ((co_await l.read(*l.find(2), 0, 1024)).value(),
              (co_await l.read(*l.find(1), 0, 1024)).value());
  });
}

TEST(InstallTest, ADeltaMovesWhatHasChangedAndKeepsTheRest) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* from = (co_await make_source(l)).value();
    Replica* to = (co_await make_target(l)).value();
    CO_ASSERT_OK(co_await to->begin_install(Epoch(1), from->status().flushed));
    CO_ASSERT_OK(co_await install_all(*from, *to, Lsn(0)));
    CO_ASSERT_OK(co_await to->finish_install(Replica::InstallKind::kReplace));
    const Lsn common = from->last();
    CO_ASSERT_OK(co_await l.write(*from, 33, 1, 700));
    CO_ASSERT_OK(co_await from->discard({BlockIndex(34), 1}));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    CO_ASSERT_OK(co_await to->begin_install(Epoch(1), from->last()));
    EXPECT_EQ((co_await install_all(*from, *to, common)).value(), 1u);
    CO_ASSERT_OK(co_await to->finish_install(Replica::InstallKind::kDelta));
    EXPECT_EQ((co_await l.read(*to, 0, 1024)).value(), (co_await l.read(*from, 0, 1024)).value());
  });
}

TEST(InstallTest, MeanwhileItIsNoCandidateAlsoAfterACrash) {
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* from = (co_await make_source(l)).value();
    Replica* to = (co_await make_target(l)).value();
    EXPECT_TRUE(to->status().candidate);
    CO_ASSERT_OK(co_await to->begin_install(Epoch(1), from->status().flushed));
    EXPECT_FALSE(to->status().candidate);
  });
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* to = l.find(2);
    EXPECT_FALSE(to->status().candidate);
    // It is begun again, over what the first attempt left.
    CO_ASSERT_OK(co_await to->begin_install(Epoch(1), l.find(1)->last()));
    CO_ASSERT_OK(co_await install_all(*l.find(1), *to, Lsn(0)));
    CO_ASSERT_OK(co_await to->finish_install(Replica::InstallKind::kReplace));
    EXPECT_TRUE(to->status().candidate);
    EXPECT_THAT((co_await l.read(*to, 4, 3)).value(), ElementsAre(104, 0, 106));
  });
}

TEST(InstallTest, ALiveRecordIsNewerThanTheCopyFlushedOrNot) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* from = (co_await make_source(l)).value();
    Replica* to = (co_await make_target(l)).value();
    CO_ASSERT_OK(co_await to->begin_install(Epoch(1), from->status().flushed));
    EXPECT_EQ((co_await l.write(*to, 2, 1, 500)).value(), from->last().next());
    CO_ASSERT_OK(co_await to->discard({BlockIndex(3), 1}));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    CO_ASSERT_OK(co_await l.write(*to, 6, 1, 600));
    CO_ASSERT_OK(co_await install_all(*from, *to, Lsn(0)));
    CO_ASSERT_OK(co_await to->finish_install(Replica::InstallKind::kReplace));
    EXPECT_THAT((co_await l.read(*to, 1, 7)).value(), ElementsAre(101, 500, 0, 104, 0, 600, 107));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_THAT((co_await l.read(*to, 6, 1)).value(), ElementsAre(600));
  });
}

TEST(InstallTest, DoesNotBeginOverRecordsThatAreNotFlushedNorBehindItsOwnEnd) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* to = (co_await make_target(l)).value();
    CO_ASSERT_OK(co_await l.write(*to, 2, 1, 500));
    CO_ASSERT_OK(co_await l.write(*to, 2, 1, 501));
    EXPECT_EQ(outcome_of(co_await to->begin_install(Epoch(1), Lsn(9))), "FAILED_PRECONDITION");
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(outcome_of(co_await to->begin_install(Epoch(1), Lsn(1))), "FAILED_PRECONDITION");
    EXPECT_EQ(outcome_of(co_await to->begin_install(Epoch(1), Lsn(9))), "OK");
  });
}

TEST(InstallTest, AChunkThatIsNotWhatItSaysIsRefused) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* from = (co_await make_source(l)).value();
    Replica* to = (co_await make_target(l)).value();
    const ChunkView good =
        (co_await from->next_changed(std::nullopt, Lsn(0), ChunkIndex(0))).value().value();
    EXPECT_EQ(outcome_of(co_await install_one(*from, *to, good)), "FAILED_PRECONDITION");
    CO_ASSERT_OK(co_await to->begin_install(Epoch(1), from->status().flushed));
    ChunkView other = good;
    other.blocks[1].checksum ^= 1;
    EXPECT_EQ(outcome_of(co_await install_one(*from, *to, other)), "DATA_LOSS");
    ChunkView damaged = good;
    damaged.blocks[1].state = BlockState::kDamaged;
    EXPECT_EQ(outcome_of(co_await install_one(*from, *to, damaged)), "DATA_LOSS");
    const std::vector<std::byte> few(kBlockSize - 1);
    EXPECT_EQ(outcome_of(co_await to->install_chunk(good, few)), "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await install_one(*from, *to, good)), "OK");
  });
}

}  // namespace
}  // namespace ashlar::engine
