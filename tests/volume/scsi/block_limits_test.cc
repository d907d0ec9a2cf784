// The bounds of every command that names blocks (L69): each at 0, at 1, around 2^31 and 2^32, at
// the end of the unit and behind it, and at the largest it takes; what is zeroed is read back
// before and after a crash.
#include "volume/scsi/block_limits.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"

namespace ashlar::scsi {
namespace {

constexpr std::uint64_t kBlock = 512;
// A little more than 2^32 logical blocks.
constexpr std::uint64_t kSizeBlocks = (1ull << 29) + 100;
constexpr std::uint64_t kCapacity = kSizeBlocks * 8;
constexpr std::uint64_t kMostTransferred = BlockLimits::kLargestTransfer / kBlock;

struct Form {
  std::string name;
  std::uint8_t opcode;
  Cdb (*make)(std::uint8_t, std::uint64_t, std::uint64_t, std::uint8_t);
  std::uint64_t largest_lba;
  std::uint64_t largest_count;  // that the field holds
  std::uint64_t most;           // blocks that the command takes
  std::uint8_t flags = 0;
  enum class Data : std::uint8_t { kNone, kAll, kOneBlock } data = Data::kNone;
  int count_at = 0;
};

constexpr std::uint64_t kNoLimit = UINT64_MAX;

std::vector<Form> forms() {
  using D = Form::Data;
  const std::uint64_t ws = BlockLimits::kLargestWriteSame / kBlock;
  constexpr std::uint64_t k16 = 0xffff;
  constexpr std::uint64_t k32 = 0xffff'ffff;
  constexpr std::uint64_t k64 = UINT64_MAX;
  return {
      {"READ(10)", 0x28, &cdb10, k32, k16, kMostTransferred, 0, D::kNone, 7},
      {"READ(12)", 0xa8, &cdb12, k32, k32, kMostTransferred, 0, D::kNone, 6},
      {"READ(16)", 0x88, &cdb16, k64, k32, kMostTransferred, 0, D::kNone, 10},
      {"WRITE(10)", 0x2a, &cdb10, k32, k16, kMostTransferred, 0, D::kAll, 7},
      {"WRITE(12)", 0xaa, &cdb12, k32, k32, kMostTransferred, 0, D::kAll, 6},
      {"WRITE(16)", 0x8a, &cdb16, k64, k32, kMostTransferred, 0, D::kAll, 10},
      {"WRITE AND VERIFY(10)", 0x2e, &cdb10, k32, k16, kMostTransferred, 0, D::kAll, 7},
      {"WRITE AND VERIFY(12)", 0xae, &cdb12, k32, k32, kMostTransferred, 2, D::kAll, 6},
      {"WRITE AND VERIFY(16)", 0x8e, &cdb16, k64, k32, kMostTransferred, 2, D::kAll, 10},
      {"ORWRITE(16)", 0x8b, &cdb16, k64, k32, kMostTransferred, 0, D::kAll, 10},
      {"VERIFY(10)", 0x2f, &cdb10, k32, k16, kNoLimit, 0, D::kNone, 7},
      {"VERIFY(12)", 0xaf, &cdb12, k32, k32, kNoLimit, 0, D::kNone, 6},
      {"VERIFY(16)", 0x8f, &cdb16, k64, k32, kNoLimit, 0, D::kNone, 10},
      {"VERIFY(16) BYTCHK", 0x8f, &cdb16, k64, k32, kMostTransferred, 2, D::kAll, 10},
      {"PRE-FETCH(10)", 0x34, &cdb10, k32, k16, kNoLimit, 0, D::kNone, 7},
      {"PRE-FETCH(16)", 0x90, &cdb16, k64, k32, kNoLimit, 2, D::kNone, 10},
      {"SYNCHRONIZE CACHE(10)", 0x35, &cdb10, k32, k16, kNoLimit, 0, D::kNone, 7},
      {"SYNCHRONIZE CACHE(16)", 0x91, &cdb16, k64, k32, kNoLimit, 2, D::kNone, 10},
      {"WRITE SAME(10)", 0x41, &cdb10, k32, k16, ws, 0, D::kOneBlock, 7},
      {"WRITE SAME(10) UNMAP", 0x41, &cdb10, k32, k16, ws, 8, D::kOneBlock, 7},
      {"WRITE SAME(16)", 0x93, &cdb16, k64, k32, ws, 0, D::kOneBlock, 10},
      {"WRITE SAME(16) UNMAP NDOB", 0x93, &cdb16, k64, k32, ws, 9, D::kNone, 10},
  };
}

// What the standard says of it.
std::string expected(const Form& form, std::uint64_t lba, std::uint64_t count) {
  if (lba > kCapacity) return "5/21/00";
  const bool is_write_same = form.opcode == 0x41 || form.opcode == 0x93;
  if (is_write_same && count == 0) count = kCapacity - lba;
  if (count > kCapacity - lba) return "5/21/00";
  if (count > form.most) return fmt::format("5/24/00 cdb {}", form.count_at);
  return "GOOD";
}

Task<void> try_form(BlockLab* lab, Form form) {
  const std::uint64_t lbas[] = {0,
                                1,
                                (1ull << 31) - 1,
                                1ull << 31,
                                (1ull << 32) - 1,
                                1ull << 32,
                                (1ull << 32) + 1,
                                kCapacity - kMostTransferred,
                                kCapacity - 1,
                                kCapacity,
                                kCapacity + 1,
                                1ull << 63,
                                UINT64_MAX - 1,
                                UINT64_MAX};
  const std::uint64_t counts[] = {0,        1,          kMostTransferred, kMostTransferred + 1,
                                  0xffff,   1u << 20,   1u << 23,         (1u << 23) + 1,
                                  1u << 31, 0xffff'ffff};
  for (const std::uint64_t lba : lbas) {
    if (lba > form.largest_lba) continue;
    for (const std::uint64_t count : counts) {
      if (count > form.largest_count) continue;
      const std::string wanted = expected(form, lba, count);
      // What is refused is refused without its data.
      Bytes data;
      if (form.data == Form::Data::kOneBlock) data.resize(kBlock);
      if (form.data == Form::Data::kAll && wanted == "GOOD") data.resize(count * kBlock);
      const Answer answer =
          co_await lab->send(form.make(form.opcode, lba, count, form.flags), data);
      EXPECT_EQ(told(answer), wanted) << form.name << " lba " << lba << " count " << count;
    }
  }
}

class BlockLimitsTest : public testing::TestWithParam<std::size_t> {};

TEST_P(BlockLimitsTest, EveryCommandKnowsItsBounds) {
  BlockLab lab;
  lab.size_blocks = kSizeBlocks;
  const Form form = forms()[GetParam()];
  lab.run([form](BlockLab& l) { return try_form(&l, form); });
}

INSTANTIATE_TEST_SUITE_P(Opcodes, BlockLimitsTest, testing::Range<std::size_t>(0, forms().size()),
                         [](const auto& param) {
                           std::string name = forms()[param.param].name;
                           std::erase_if(name, [](char c) { return std::isalnum(c) == 0; });
                           return name;
                         });

TEST(BlockLimitsTest, SmallCommandsAndCompareAndWriteKnowTheEndToo) {
  BlockLab lab;
  lab.size_blocks = 16;  // 128 logical blocks
  lab.run([](BlockLab& l) -> Task<void> {
    for (const std::uint8_t opcode : {std::uint8_t{0x08}, std::uint8_t{0x0a}}) {
      for (const std::uint32_t lba : {0u, 126u, 127u, 128u, 129u, 0x1fffffu}) {
        for (const std::uint8_t count : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{2}}) {
          const std::uint64_t blocks = count == 0 ? 256 : count;
          const bool fits = lba + blocks <= 128;
          const Answer answer = co_await l.send(cdb6(opcode, lba, count), Bytes(blocks * kBlock));
          EXPECT_EQ(told(answer), fits ? "GOOD" : "5/21/00") << lba << " " << int{count};
        }
      }
    }
    for (const std::uint64_t lba : {0ull, 127ull, 128ull, 129ull, 1ull << 63, ~0ull}) {
      for (const unsigned count : {0u, 1u, 2u}) {
        const bool fits = lba <= 128 && count <= 128 - lba;
        const Answer compared =
            co_await l.send(compare_and_write_cdb(lba, static_cast<std::uint8_t>(count)),
                            Bytes(2 * count * kBlock));
        EXPECT_EQ(told(compared), fits ? "GOOD" : "5/21/00") << lba << " " << count;
        Cdb atomic = cdb16(0x9c, lba, 0);
        atomic[13] = static_cast<std::uint8_t>(count);
        const Answer written = co_await l.send(atomic, Bytes(count * kBlock));
        EXPECT_EQ(told(written), fits ? "GOOD" : "5/21/00") << lba << " " << count;
      }
    }
  });
}

TEST(BlockLimitsTest, AnAtomicWriteIsOneRecordAsLargeAsIsTold) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const std::uint64_t most = BlockLimits::largest_atomic_write(*l.volume) / kBlock;
    EXPECT_GE(most, 256u);
    for (const std::uint64_t lba : {0ull, 3ull}) {
      const Lsn before = l.volume->replica().last();
      Cdb cdb = cdb16(0x9c, lba, 0);
      put(cdb, 12, most, 2);
      const Bytes bytes = pattern(most * kBlock, 1 + lba);
      const Answer written = co_await l.send(cdb, bytes);
      EXPECT_EQ(told(written), "GOOD");
      EXPECT_EQ(l.volume->replica().last(), before.next()) << lba;
      const Answer read = co_await l.send(cdb16(0x88, lba, most));
      EXPECT_TRUE(read.data == bytes);
      put(cdb, 12, most + 1, 2);
      const Answer more = co_await l.send(cdb, Bytes((most + 1) * kBlock));
      EXPECT_EQ(told(more), "5/24/00 cdb 12");
    }
    Cdb boundary = cdb16(0x9c, 0, 0);
    boundary[11] = 1;
    const Answer refused = co_await l.send(boundary);
    EXPECT_EQ(told(refused), "5/24/00 cdb 11.0");
  });
}

// A way to zero `count` blocks, and how many at once it takes.
struct Eraser {
  std::string name;
  std::uint64_t most;
  Task<Answer> (*erase)(BlockLab&, std::uint64_t lba, std::uint64_t count);
};

std::vector<Eraser> erasers() {
  const std::uint64_t ws = BlockLimits::kLargestWriteSame / kBlock;
  return {
      {"UNMAP", 0xffff'ffff,
       [](BlockLab& l, std::uint64_t lba, std::uint64_t count) {
         Bytes list(24);
         store_be16(list, 0, 22);
         store_be16(list, 2, 16);
         store_be64(list, 8, lba);
         store_be32(list, 16, static_cast<std::uint32_t>(count));
         return l.send(cdb10(0x42, 0, 24), std::move(list));
       }},
      {"WRITE SAME(16)", ws,
       [](BlockLab& l, std::uint64_t lba, std::uint64_t count) {
         return l.send(cdb16(0x93, lba, count), Bytes(kBlock));
       }},
      {"WRITE SAME(16) UNMAP", ws,
       [](BlockLab& l, std::uint64_t lba, std::uint64_t count) {
         return l.send(cdb16(0x93, lba, count, 0x08), Bytes(kBlock));
       }},
  };
}

// A marker in the block before, in the first, in the middle, in the last, and behind.
std::vector<std::uint64_t> marked(std::uint64_t lba, std::uint64_t count) {
  std::vector<std::uint64_t> places;
  if (lba > 0) places.push_back(lba - 1);
  places.push_back(lba);
  if (count > 2) places.push_back(lba + count / 2);
  if (count > 1) places.push_back(lba + count - 1);
  if (lba + count < kCapacity) places.push_back(lba + count);
  return places;
}

Task<void> mark(BlockLab* lab, std::uint64_t lba, std::uint64_t count) {
  for (const std::uint64_t place : marked(lba, count)) {
    const Answer answer = co_await lab->send(cdb16(0x8a, place, 1), pattern(kBlock, place + 1));
    EXPECT_EQ(told(answer), "GOOD");
  }
}

Task<void> look(BlockLab* lab, std::uint64_t lba, std::uint64_t count, std::string what) {
  for (const std::uint64_t place : marked(lba, count)) {
    const bool is_gone = place >= lba && place < lba + count;
    const Answer answer = co_await lab->send(cdb16(0x88, place, 1));
    EXPECT_TRUE(answer.data == pattern(kBlock, is_gone ? 0 : place + 1)) << what << " " << place;
  }
}

struct Erasure {
  Eraser eraser;
  std::uint64_t lba;
  std::uint64_t count;
};

Task<void> mark_and_erase(BlockLab* lab, Erasure erasure) {
  co_await mark(lab, erasure.lba, erasure.count);
  const Answer answer = co_await erasure.eraser.erase(*lab, erasure.lba, erasure.count);
  EXPECT_EQ(told(answer), "GOOD");
  co_await look(lab, erasure.lba, erasure.count, "before the crash");
}

TEST(BlockLimitsTest, WhatIsErasedIsGoneAndNothingElseAlsoAfterACrash) {
  const std::pair<std::uint64_t, std::uint64_t> extents[] = {
      {0, 1},
      {1, 7},
      {8, 8},
      {5, 1u << 20},
      {3, (1u << 23)},
      {7, (1u << 23) + 1},
      {0, 0xffff'ffff},
      {9, 0xffff'ffff},
      {(1ull << 32) - 3, 6},
      {kCapacity - 1, 1},
      {kCapacity - (1u << 20), 1u << 20},
  };
  for (const Eraser& eraser : erasers()) {
    BlockLab lab;
    lab.size_blocks = kSizeBlocks;
    for (const auto& [lba, count] : extents) {
      if (count > eraser.most) continue;
      const Erasure erasure{eraser, lba, count};
      lab.crash(sim::CrashKind::kPowerFail,
                [erasure](BlockLab& l) { return mark_and_erase(&l, erasure); });
      lab.run([erasure](BlockLab& l) {
        return look(&l, erasure.lba, erasure.count,
                    fmt::format("{} of {} at {}", erasure.eraser.name, erasure.count, erasure.lba));
      });
    }
  }
}

}  // namespace
}  // namespace ashlar::scsi
