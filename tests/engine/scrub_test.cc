// Scrub and repair: whatever the disk did to flushed data is found in one pass, told again until it
// is mended, and never imagined (L65).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using Fate = test::DiskLog::Fate;
using Kind = FileOperation::Kind;
using test::outcome_of;
using testing::ElementsAre;

std::string file_of(unsigned n, const char* suffix) {
  return std::string(kStoreDirectory) + "/layers/" + lab_uuid<ReplicaUuid>(n).to_string() + "-0." +
         suffix;
}

// One whole pass, in small steps: the blocks that did not match, and how many were repaired.
struct Pass {
  std::vector<std::uint64_t> blocks;
  std::uint64_t repaired = 0;
};
Task<Result<Pass>> scrub(Replica& replica) {
  Pass pass;
  Replica::ScrubCursor cursor;
  do {
    ASHLAR_CO_TRY_ASSIGN(const std::vector<Replica::ScrubVerdict> verdicts,
                         co_await replica.scrub(cursor, ByteCount(256 << 10)));
    for (const Replica::ScrubVerdict& verdict : verdicts) {
      pass.blocks.push_back(verdict.block.value());
      pass.repaired += verdict.repaired ? 1 : 0;
    }
  } while (!cursor.at_end);
  co_return pass;
}

// A peer whose block b says b + 1.
class Peer final : public RepairSource {
 public:
  explicit Peer(BufferPool& pool) : pool_(pool) {}
  Task<Result<Buffer>> fetch(VolumeUuid /*volume*/, BlockRange blocks, Lsn /*at_most*/) override {
    ++asked;
    ASHLAR_CO_TRY_ASSIGN(Buffer bytes, pool_.allocate(ByteCount(blocks.count * kBlockSize)));
    for (std::uint64_t i = 0; i < blocks.count; ++i) {
      fill_block(bytes.bytes().subspan(i * kBlockSize, kBlockSize),
                 blocks.first.value() + i + 1 + wrong);
    }
    co_return bytes;
  }

  std::uint64_t asked = 0;
  std::uint64_t wrong = 0;

 private:
  BufferPool& pool_;
};

// Blocks 0 to 63 of volume 1, of which block b says b + 1, in the layer.
Task<Result<Replica*>> make_flushed(StoreLab& l) {
  ASHLAR_CO_TRY_ASSIGN(Replica* const replica, co_await l.make(1, 1024));
  ASHLAR_CO_TRY(co_await l.write(*replica, 0, 64, 1));
  ASHLAR_CO_TRY(co_await l.store->checkpoint());
  co_await l.sleep(1s);
  co_return replica;
}

TEST(ScrubTest, AFlippedBitIsFoundAndToldAgainAlsoInTheNextLife) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    l.node.disk().rot(file_of(1, "data"), 7 * kBlockSize + 99);
    EXPECT_THAT((co_await scrub(*replica)).value().blocks, ElementsAre(7));
    EXPECT_THAT((co_await scrub(*replica)).value().blocks, ElementsAre(7));
    EXPECT_TRUE(replica->status().repair_needed);
    EXPECT_EQ(outcome_of(co_await l.read(*replica, 7, 1)), "DATA_LOSS");
    EXPECT_THAT((co_await l.read(*replica, 8, 1)).value(), ElementsAre(9));
    EXPECT_GE(l.metric("ashlar_engine_damaged_blocks_total"), 2);
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_TRUE(l.find(1)->status().repair_needed);
    EXPECT_THAT((co_await scrub(*l.find(1))).value().blocks, ElementsAre(7));
  });
}

TEST(ScrubTest, ALostWriteIsFound) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 20, 2, 500));
    l.io.fate = [](const test::DiskIo& io) {
      return io.is(Kind::kWrite, ".data") ? Fate::kVanishes : Fate::kGoesOn;
    };
    CO_ASSERT_OK(co_await l.store->checkpoint());
    l.io.fate = {};
    EXPECT_THAT((co_await scrub(*replica)).value().blocks, ElementsAre(20, 21));
  });
}

TEST(ScrubTest, AMisdirectedWriteIsFoundWhereItWentAndWhereItIsMissing) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 20, 1, 500));
    co_await l.sleep(1s);
    l.node.disk().misdirect_next_write(40 * kBlockSize);
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_THAT((co_await scrub(*replica)).value().blocks, ElementsAre(20, 40));
  });
}

TEST(ScrubTest, ASectorThatCannotBeReadIsFound) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    l.node.disk().make_unreadable(file_of(1, "data"), 33 * kBlockSize);
    EXPECT_THAT((co_await scrub(*replica)).value().blocks, ElementsAre(33));
  });
}

TEST(ScrubTest, DamageInALayerOfASnapshotIsFound) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    CO_ASSERT_OK(co_await replica->snapshot(lab_uuid<SnapshotUuid>(1), WallTime()));
    CO_ASSERT_OK(co_await l.write(*replica, 0, 64, 1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    l.node.disk().rot(file_of(1, "data"), 7 * kBlockSize);
    EXPECT_THAT((co_await scrub(*replica)).value().blocks, ElementsAre(7));
    // The volume itself does not use that block.
    EXPECT_THAT((co_await l.read(*replica, 7, 1)).value(), ElementsAre(8));
  });
}

TEST(ScrubTest, DamageIsRepairedFromAPeerAndThenGone) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    Peer peer(*l.pool);
    replica->set_repair_source(&peer);
    for (const std::uint64_t block : {3u, 30u, 31u}) {
      l.node.disk().rot(file_of(1, "data"), block * kBlockSize + 5);
    }
    EXPECT_EQ((co_await scrub(*replica)).value().repaired, 3u);
    EXPECT_EQ(peer.asked, 3u);
    EXPECT_THAT((co_await scrub(*replica)).value().blocks, ElementsAre());
    EXPECT_THAT((co_await l.read(*replica, 30, 2)).value(), ElementsAre(31, 32));
    EXPECT_EQ(l.metric("ashlar_engine_repaired_blocks_total"), 3);
    EXPECT_FALSE(replica->status().repair_needed);
    replica->set_repair_source(nullptr);
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_THAT((co_await scrub(*l.find(1))).value().blocks, ElementsAre());
  });
}

TEST(ScrubTest, AReaderGetsGoodBytesFromAPeerAndMendsTheBlock) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    Peer peer(*l.pool);
    replica->set_repair_source(&peer);
    l.node.disk().rot(file_of(1, "data"), 3 * kBlockSize);
    EXPECT_THAT((co_await l.read(*replica, 2, 3)).value(), ElementsAre(3, 4, 5));
    EXPECT_THAT((co_await l.read(*replica, 2, 3)).value(), ElementsAre(3, 4, 5));
    EXPECT_EQ(peer.asked, 1u);
    replica->set_repair_source(nullptr);
  });
}

TEST(ScrubTest, BytesOfAPeerThatDoNotMatchAreNotTaken) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    Peer peer(*l.pool);
    peer.wrong = 1;
    replica->set_repair_source(&peer);
    l.node.disk().rot(file_of(1, "data"), 3 * kBlockSize);
    EXPECT_EQ(outcome_of(co_await l.read(*replica, 3, 1)), "DATA_LOSS");
    EXPECT_EQ((co_await scrub(*replica)).value().repaired, 0u);
    replica->set_repair_source(nullptr);
  });
}

TEST(ScrubTest, AWriteOverADamagedBlockMendsIt) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    l.node.disk().rot(file_of(1, "data"), 3 * kBlockSize);
    CO_ASSERT_OK(co_await l.write(*replica, 3, 1, 4));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_THAT((co_await scrub(*replica)).value().blocks, ElementsAre());
  });
}

// --- false alarms --------------------------------------------------------------------------------

Task<void> change_a_lot(StoreLab* l, Replica* replica, bool* over) {
  Random random(9);
  for (unsigned i = 0; i < 600; ++i) {
    const std::uint64_t first = random.below(1000);
    const std::uint64_t count = 1 + random.below(24);
    if (random.below(4) == 0) {
      CO_ASSERT_OK(co_await replica->discard({BlockIndex(first), count}));
    } else {
      CO_ASSERT_OK(co_await l->write(*replica, first, count, i + 1));
    }
    if (i % 200 == 99) {
      CO_ASSERT_OK(co_await replica->snapshot(lab_uuid<SnapshotUuid>(i / 200), WallTime()));
    }
    if (i % 200 == 199) {
      CO_ASSERT_OK(co_await replica->delete_snapshot(lab_uuid<SnapshotUuid>(i / 200)));
    }
  }
  *over = true;
}

TEST(ScrubTest, UnderWritesDiscardsFlushesAndMergesThereIsNoFalseAlarm) {
  StoreLab lab;
  lab.options.flush_delay = 1ms;
  lab.options.flush_threshold = ByteCount(64 << 10);
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    TaskScope scope(co_await this_task());
    bool over = false;
    scope.spawn(change_a_lot(&l, replica, &over));
    int passes = 0;
    while (!over) {
      EXPECT_THAT((co_await scrub(*replica)).value().blocks, ElementsAre());
      ++passes;
      co_await l.sleep(100us);
    }
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_GT(passes, 10);
    EXPECT_GT(l.metric("ashlar_engine_flush_passes_total"), 10);
    EXPECT_EQ(l.metric("ashlar_engine_damaged_blocks_total"), 0);
    EXPECT_FALSE(replica->status().repair_needed);
  });
}

TEST(ScrubTest, AStepReadsNoMoreThanItsBudgetAndAChunk) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_flushed(l)).value();
    Replica::ScrubCursor cursor;
    l.io.clear();
    CO_ASSERT_OK(co_await replica->scrub(cursor, ByteCount(kBlockSize)));
    EXPECT_EQ(l.io.bytes(Kind::kRead, ".data"), 65536u);
    EXPECT_FALSE(cursor.at_end);
    EXPECT_EQ(cursor.chunk, ChunkIndex(1));
  });
}

}  // namespace
}  // namespace ashlar::engine
