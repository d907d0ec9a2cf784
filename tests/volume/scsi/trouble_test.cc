// What a host hears when the disk is in trouble (L66), command by command.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"

namespace ashlar::scsi {
namespace {

constexpr std::uint64_t kBlock = 512;

std::string layer_file() {
  return std::string(engine::kStoreDirectory) + "/layers/" +
         engine::lab_uuid<ReplicaUuid>(1).to_string() + "-0.data";
}

TEST(TroubleTest, OnlyBytesThatCannotBeHadAreAMediumErrorWhichNamesTheFirstOfThem) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes bytes = pattern(64 * kBlock, 1);
    (void)co_await l.send(cdb16(0x8a, 0, 64), bytes);
    CO_ASSERT_OK(co_await l.store.store->checkpoint());
    co_await l.store.sleep(1s);
    // In the block of the engine that holds the logical blocks 24 to 31.
    l.store.node.disk().rot(layer_file(), 3 * 4096 + 99);

    for (const Cdb& cdb : {cdb10(0x28, 8, 40), cdb16(0x88, 20, 8), cdb16(0x8f, 0, 4096)}) {
      const Answer answer = co_await l.send(cdb);
      EXPECT_EQ(told(answer), "3/11/00 info 24") << int{cdb[0]};
      EXPECT_TRUE(answer.data.empty());
    }
    const Answer verified = co_await l.send(cdb16(0x8f, 0, 64, 2), bytes);
    EXPECT_EQ(told(verified), "3/11/00 info 24");
    const Answer compared =
        co_await l.send(compare_and_write_cdb(24, 1), joined(Bytes(kBlock), Bytes(kBlock)));
    EXPECT_EQ(told(compared), "3/11/00 info 24");
    const Answer ored = co_await l.send(cdb16(0x8b, 16, 16), Bytes(16 * kBlock));
    EXPECT_EQ(told(ored), "3/11/00 info 24");
    // What lies beside it is read and written as ever.
    const Answer before = co_await l.send(cdb16(0x88, 0, 24));
    EXPECT_TRUE(before.data == Bytes(bytes.begin(), bytes.begin() + 24 * kBlock));
    // Writing it anew mends it.
    const Answer written = co_await l.send(cdb16(0x8a, 24, 8), pattern(8 * kBlock, 2));
    EXPECT_EQ(told(written), "GOOD");
    const Answer read = co_await l.send(cdb16(0x88, 24, 8));
    EXPECT_TRUE(read.data == pattern(8 * kBlock, 2));
  });
}

TEST(TroubleTest, AFullDiskIsSpaceAllocationFailedForWritesOnlyAndPasses) {
  BlockLab lab;
  lab.store.options.log_capacity = ByteCount(4 << 20);
  lab.size_blocks = 1 << 20;
  lab.store.node.disk().set_capacity(ByteCount(12 << 20));
  lab.run([](BlockLab& l) -> Task<void> {
    std::string refused = "GOOD";
    std::uint64_t count = 0;
    while (refused == "GOOD" && count < 10'000) {
      const Answer answer =
          co_await l.send(cdb16(0x8a, count * 128, 8), pattern(8 * kBlock, count + 1));
      refused = told(answer);
      if (refused == "GOOD") ++count;
    }
    EXPECT_GT(count, 50u);
    const Bytes some = pattern(8 * kBlock, 3);
    for (const Cdb& cdb :
         {cdb10(0x2a, 0, 8), cdb16(0x8b, 0, 8), cdb16(0x8e, 0, 8), cdb16(0x93, 0, 8)}) {
      const Answer answer = co_await l.send(cdb, cdb[0] == 0x93 ? pattern(kBlock, 1) : some);
      EXPECT_EQ(told(answer), "7/27/07") << int{cdb[0]};
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      const Answer read = co_await l.send(cdb16(0x88, i * 128, 8));
      EXPECT_TRUE(read.data == pattern(8 * kBlock, i + 1)) << i;
    }
    const Answer ready = co_await l.send(cdb6(0x00));
    EXPECT_EQ(told(ready), "GOOD");
    l.store.node.disk().set_capacity(ByteCount(64 << 20));
    co_await l.store.sleep(1s);
    const Answer again = co_await l.send(cdb10(0x2a, 0, 8), some);
    EXPECT_EQ(told(again), "GOOD");
  });
}

TEST(TroubleTest, AReplicaThatHasSteppedOutServesNothing) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    l.volume->replica().fail(engine::FaultCause::kLogDamage, Error::data_loss("planned"));
    for (const Cdb& cdb : {cdb6(0x00), cdb10(0x28, 0, 1), cdb10(0x25, 0, 0), cdb10(0x2f, 0, 1)}) {
      const Answer answer = co_await l.send(cdb);
      EXPECT_EQ(told(answer), "3/11/00") << int{cdb[0]};
    }
    for (const Cdb& cdb : {cdb10(0x2a, 0, 1), cdb10(0x42, 0, 24), compare_and_write_cdb(0, 1)}) {
      const Answer answer = co_await l.send(cdb, Bytes(kBlock));
      EXPECT_EQ(told(answer), "3/0c/00") << int{cdb[0]};
    }
    const Answer identity = co_await l.send(cdb6(0x12, 0, 96));
    EXPECT_EQ(told(identity), "GOOD");
  });
}

}  // namespace
}  // namespace ashlar::scsi
