// What the block commands do, one by one; their limits are in block_limits_test.cc.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"

namespace ashlar::scsi {
namespace {

constexpr std::uint64_t kBlock = 512;

TEST(BlockCommandsTest, EveryWriteIsReadByEveryRead) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const std::vector<Cdb> writes{
        cdb6(0x0a, 3, 5),  cdb10(0x2a, 3, 5),       cdb12(0xaa, 3, 5),
        cdb16(0x8a, 3, 5), cdb10(0x2e, 3, 5),       cdb12(0xae, 3, 5),
        cdb16(0x8e, 3, 5), cdb10(0x2a, 3, 5, 0x18), cdb16(0x8e, 3, 5, 0x12)};
    const std::vector<Cdb> reads{cdb6(0x08, 3, 5), cdb10(0x28, 3, 5), cdb12(0xa8, 3, 5),
                                 cdb16(0x88, 3, 5), cdb16(0x88, 3, 5, 0x18)};
    std::uint64_t seed = 100;
    for (const Cdb& write : writes) {
      const Bytes bytes = pattern(5 * kBlock, ++seed);
      const Answer written = co_await l.send(write, bytes);
      EXPECT_EQ(told(written), "GOOD") << int{write[0]};
      EXPECT_EQ(written.response.data_out_wanted, 5 * kBlock);
      for (const Cdb& read : reads) {
        const Answer answer = co_await l.send(read);
        EXPECT_EQ(told(answer), "GOOD");
        EXPECT_TRUE(answer.data == bytes) << int{write[0]} << " " << int{read[0]};
      }
    }
    Cdb atomic = cdb16(0x9c, 3, 0);
    atomic[13] = 5;
    const Bytes bytes = pattern(5 * kBlock, ++seed);
    const Answer written = co_await l.send(atomic, bytes);
    EXPECT_EQ(told(written), "GOOD");
    const Answer answer = co_await l.send(cdb10(0x28, 3, 5));
    EXPECT_TRUE(answer.data == bytes);
  });
}

TEST(BlockCommandsTest, SixBytesWithoutACountMean256Blocks) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes bytes = pattern(256 * kBlock, 1);
    const Answer written = co_await l.send(cdb6(0x0a, 8, 0), bytes);
    EXPECT_EQ(told(written), "GOOD");
    const Answer read = co_await l.send(cdb6(0x08, 8, 0));
    EXPECT_TRUE(read.data == bytes);
  });
}

TEST(BlockCommandsTest, LessDataThanWantedIsWrittenAsFarAsItGoesInWholeBlocks) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes old = pattern(2 * kBlock, 1);
    const Bytes fresh = pattern(kBlock, 2);
    (void)co_await l.send(cdb10(0x2a, 0, 2), old);
    for (const Cdb& cdb : {cdb10(0x2a, 0, 2), cdb10(0x2e, 0, 2)}) {
      const Answer written = co_await l.send(cdb, fresh);
      EXPECT_EQ(told(written), "GOOD");
      EXPECT_EQ(written.response.data_out_wanted, 2 * kBlock);
      const Bytes now = co_await l.bytes_at(0, 2 * kBlock);
      EXPECT_TRUE(now == joined(fresh, Bytes(old.begin() + kBlock, old.end())));
    }
    const Answer none = co_await l.send(cdb10(0x2a, 0, 1), {});
    EXPECT_EQ(told(none), "GOOD");
    EXPECT_EQ(none.response.data_out_wanted, kBlock);
    const Answer part = co_await l.send(cdb10(0x2a, 0, 1), pattern(200, 3));
    EXPECT_EQ(told(part), "5/0e/03");
    EXPECT_EQ(part.response.data_out_wanted, kBlock);
    const Bytes now = co_await l.bytes_at(0, kBlock);
    EXPECT_TRUE(now == fresh);
  });
}

TEST(BlockCommandsTest, MoreDataThanWantedIsLeft) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes old = pattern(2 * kBlock, 1);
    (void)co_await l.send(cdb10(0x2a, 0, 2), old);
    const Bytes fresh = pattern(2 * kBlock, 2);
    const Answer written = co_await l.send(cdb10(0x2a, 0, 1), fresh);
    EXPECT_EQ(told(written), "GOOD");
    EXPECT_EQ(written.response.data_out_wanted, kBlock);
    const Bytes now = co_await l.bytes_at(0, 2 * kBlock);
    EXPECT_TRUE(now == joined(Bytes(fresh.begin(), fresh.begin() + kBlock),
                              Bytes(old.begin() + kBlock, old.end())));
  });
}

TEST(BlockCommandsTest, DataThatDoesNotComeAsPromisedChangesNothing) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes old = pattern(8 * kBlock, 1);
    (void)co_await l.send(cdb10(0x2a, 0, 8), old);
    for (const Cdb& cdb : {cdb10(0x2a, 0, 8), cdb10(0x2e, 0, 8), cdb16(0x8b, 0, 8)}) {
      TestDataOut out(*l.store.pool, pattern(8 * kBlock, 2));
      out.fails_with = Error::data_loss("a digest does not match");
      const Answer answer = co_await l.execute(&l.nexus(), cdb, {}, &out);
      EXPECT_EQ(told(answer), "b/4b/00");
      const Bytes now = co_await l.bytes_at(0, 8 * kBlock);
      EXPECT_TRUE(now == old) << int{cdb[0]};
    }
  });
}

TEST(BlockCommandsTest, CompareAndWriteWritesWhatMatchesAndTellsTheFirstDifference) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes old = pattern(3 * kBlock, 1);
    const Bytes fresh = pattern(3 * kBlock, 2);
    (void)co_await l.send(cdb16(0x8a, 5, 3), old);
    Bytes other = old;
    other[1300] ^= std::byte{1};
    const Answer refused = co_await l.send(compare_and_write_cdb(5, 3), joined(other, fresh));
    EXPECT_EQ(told(refused), "e/1d/00 info 1300");
    EXPECT_EQ(refused.response.data_out_wanted, 6 * kBlock);
    Bytes now = co_await l.bytes_at(5 * kBlock, 3 * kBlock);
    EXPECT_TRUE(now == old);

    const Answer changed = co_await l.send(compare_and_write_cdb(5, 3, 0x18), joined(old, fresh));
    EXPECT_EQ(told(changed), "GOOD");
    now = co_await l.bytes_at(5 * kBlock, 3 * kBlock);
    EXPECT_TRUE(now == fresh);
    // The same once more no longer matches.
    const Answer again = co_await l.send(compare_and_write_cdb(5, 3), joined(old, fresh));
    EXPECT_EQ(again.response.sense.key, SenseKey::kMiscompare);
  });
}

TEST(BlockCommandsTest, CompareAndWriteWantsExactlyItsData) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    for (const std::size_t blocks : {0u, 1u, 3u, 4u}) {
      const Answer answer = co_await l.send(compare_and_write_cdb(0, 1), Bytes(blocks * kBlock));
      EXPECT_EQ(told(answer), "5/0e/03") << blocks;
    }
    const Answer none = co_await l.send(compare_and_write_cdb(0, 0), Bytes(kBlock));
    EXPECT_EQ(told(none), "GOOD");
    // 256 blocks do not fit the field.
    const Answer wrapped = co_await l.send(compare_and_write_cdb(0, 0), Bytes(2 * 256 * kBlock));
    EXPECT_EQ(told(wrapped), "5/24/00 cdb 13");
    const Answer most = co_await l.send(compare_and_write_cdb(0, 255), Bytes(2 * 255 * kBlock));
    EXPECT_EQ(told(most), "GOOD");
  });
}

TEST(BlockCommandsTest, OrWriteSetsBits) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes old = pattern(9 * kBlock, 1);
    const Bytes with = pattern(9 * kBlock, 2);
    (void)co_await l.send(cdb16(0x8a, 7, 9), old);
    const Answer answer = co_await l.send(cdb16(0x8b, 7, 9, 0x08), with);
    EXPECT_EQ(told(answer), "GOOD");
    Bytes expected = old;
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] |= with[i];
    const Bytes now = co_await l.bytes_at(7 * kBlock, 9 * kBlock);
    EXPECT_TRUE(now == expected);
  });
}

TEST(BlockCommandsTest, VerifyComparesAsBytchkSays) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes bytes = pattern(4 * kBlock, 1);
    Bytes other = bytes;
    other[700] ^= std::byte{4};
    (void)co_await l.send(cdb16(0x8a, 1, 4), bytes);
    enum Bytchk : std::uint8_t { kNone = 0, kAll = 0x02, kReserved = 0x04, kSingle = 0x06 };
    struct Form {
      Cdb (*make)(std::uint8_t, std::uint64_t, std::uint64_t, std::uint8_t);
      std::uint8_t opcode;
    };
    for (const Form& form : {Form{&cdb10, 0x2f}, Form{&cdb12, 0xaf}, Form{&cdb16, 0x8f}}) {
      const Answer same = co_await l.send(form.make(form.opcode, 1, 4, kAll), bytes);
      EXPECT_EQ(told(same), "GOOD");
      const Answer differs = co_await l.send(form.make(form.opcode, 1, 4, kAll), other);
      EXPECT_EQ(told(differs), "e/1d/00 info 700");
      // Without BYTCHK nothing is compared, whatever is sent.
      const Answer medium = co_await l.send(form.make(form.opcode, 1, 4, kNone), other);
      EXPECT_EQ(told(medium), "GOOD");
      EXPECT_EQ(medium.response.data_out_wanted, 0u);
      const Answer reserved = co_await l.send(form.make(form.opcode, 1, 4, kReserved), bytes);
      EXPECT_EQ(told(reserved), "5/24/00 cdb 1.2");
      const Answer single = co_await l.send(form.make(form.opcode, 1, 4, kSingle),
                                            Bytes(bytes.begin(), bytes.begin() + kBlock));
      EXPECT_EQ(single.response.sense.key, SenseKey::kMiscompare);
      EXPECT_EQ(single.response.data_out_wanted, kBlock);
      const Answer zeros =
          co_await l.send(form.make(form.opcode, 100, 4096, kSingle), Bytes(kBlock));
      EXPECT_EQ(told(zeros), "GOOD");
      const Answer none = co_await l.send(form.make(form.opcode, 1, 0, kAll), {});
      EXPECT_EQ(told(none), "GOOD");
      const Answer short_data = co_await l.send(form.make(form.opcode, 1, 4, kAll), Bytes(kBlock));
      EXPECT_EQ(told(short_data), "5/0e/03");
    }
  });
}

Bytes unmap_list(const std::vector<std::pair<std::uint64_t, std::uint32_t>>& extents) {
  Bytes list(8 + 16 * extents.size());
  store_be16(list, 0, static_cast<std::uint16_t>(list.size() - 2));
  store_be16(list, 2, static_cast<std::uint16_t>(list.size() - 8));
  for (std::size_t i = 0; i < extents.size(); ++i) {
    store_be64(list, 8 + 16 * i, extents[i].first);
    store_be32(list, 16 + 16 * i, extents[i].second);
  }
  return list;
}

Task<Answer> unmap(BlockLab& lab, Bytes list) {
  return lab.send(cdb10(0x42, 0, list.size()), std::move(list));
}

TEST(BlockCommandsTest, UnmapTakesItsListWholeOrNotAtAll) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes bytes = pattern(64 * kBlock, 1);
    (void)co_await l.send(cdb16(0x8a, 0, 64), bytes);
    const Answer beyond = co_await unmap(l, unmap_list({{0, 8}, {l.capacity() - 1, 2}}));
    EXPECT_EQ(told(beyond), "5/21/00");
    Bytes now = co_await l.bytes_at(0, 64 * kBlock);
    EXPECT_TRUE(now == bytes);

    const Answer done = co_await unmap(l, unmap_list({{8, 16}, {0, 0}, {41, 3}, {8, 8}}));
    EXPECT_EQ(told(done), "GOOD");
    Bytes expected = bytes;
    std::fill_n(expected.begin() + 8 * kBlock, 16 * kBlock, std::byte{0});
    std::fill_n(expected.begin() + 41 * kBlock, 3 * kBlock, std::byte{0});
    now = co_await l.bytes_at(0, 64 * kBlock);
    EXPECT_TRUE(now == expected);
  });
}

TEST(BlockCommandsTest, UnmapDescriptorsThatContinueEachOtherAreOneChange) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes bytes = pattern(256 * kBlock, 1);
    (void)co_await l.send(cdb16(0x8a, 0, 256), bytes);
    std::vector<std::pair<std::uint64_t, std::uint32_t>> each;
    for (std::uint64_t lba = 1; lba < 200; ++lba) each.emplace_back(lba, 1);
    each.emplace_back(220, 8);
    each.emplace_back(228, 8);
    const engine::ReplicaStatus before = l.volume->replica().status();
    const Answer done = co_await unmap(l, unmap_list(each));
    EXPECT_EQ(told(done), "GOOD");
    // Of each extent: whole engine blocks, and what sticks out at its two ends.
    EXPECT_LE(l.volume->replica().status().last.value() - before.last.value(), 6u);
    Bytes expected = bytes;
    std::fill_n(expected.begin() + kBlock, 199 * kBlock, std::byte{0});
    std::fill_n(expected.begin() + 220 * kBlock, 16 * kBlock, std::byte{0});
    const Bytes now = co_await l.bytes_at(0, 256 * kBlock);
    EXPECT_TRUE(now == expected);
  });
}

TEST(BlockCommandsTest, UnmapChecksItsParameterList) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const std::vector<std::pair<std::uint64_t, std::uint32_t>> many(256, {0, 1});
    const std::vector<std::pair<std::uint64_t, std::uint32_t>> too_many(257, {0, 1});
    const Answer most = co_await unmap(l, unmap_list(many));
    EXPECT_EQ(told(most), "GOOD");
    const Answer more = co_await unmap(l, unmap_list(too_many));
    EXPECT_EQ(told(more), "5/26/00 list 2");
    const Answer empty = co_await unmap(l, unmap_list({}));
    EXPECT_EQ(told(empty), "GOOD");
    const Answer nothing = co_await l.send(cdb10(0x42, 0, 0));
    EXPECT_EQ(told(nothing), "GOOD");
    const Answer cut = co_await l.send(cdb10(0x42, 0, 7), Bytes(7));
    EXPECT_EQ(told(cut), "5/1a/00");
    // The list is longer than what is sent, the descriptors are longer than the list.
    const Answer unsent = co_await l.send(cdb10(0x42, 0, 24), Bytes(8));
    EXPECT_EQ(told(unsent), "5/1a/00");
    Bytes list = unmap_list({{0, 1}});
    store_be16(list, 2, 32);
    const Answer longer = co_await unmap(l, list);
    EXPECT_EQ(told(longer), "5/1a/00");
    // Half a descriptor at the end counts for nothing.
    Bytes half = unmap_list({{0, 1}, {l.capacity(), 1}});
    store_be16(half, 2, 31);
    const Answer ignored = co_await unmap(l, half);
    EXPECT_EQ(told(ignored), "GOOD");
    const Answer anchor = co_await l.send(cdb10(0x42, 0, 24, 0x01), unmap_list({{0, 1}}));
    EXPECT_EQ(told(anchor), "5/24/00 cdb 1.0");
    const Answer at_end = co_await unmap(l, unmap_list({{l.capacity(), 0}}));
    EXPECT_EQ(told(at_end), "GOOD");
    const Answer behind_end = co_await unmap(l, unmap_list({{l.capacity() + 1, 0}}));
    EXPECT_EQ(told(behind_end), "5/21/00");
  });
}

TEST(BlockCommandsTest, WriteSameFillsWithItsBlock) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes block = pattern(kBlock, 7);
    for (const std::uint64_t first : {0u, 3u, 8u}) {
      for (const std::uint64_t count : {1u, 5u, 8u, 13u, 3000u}) {
        (void)co_await l.send(cdb16(0x93, 0, 4096), Bytes(kBlock));
        const Answer answer = co_await l.send(cdb16(0x93, first, count), block);
        EXPECT_EQ(told(answer), "GOOD");
        EXPECT_EQ(answer.response.data_out_wanted, kBlock);
        const Answer before = co_await l.send(cdb16(0x8f, 0, first, 0x06), Bytes(kBlock));
        const Answer in = co_await l.send(cdb16(0x8f, first, count, 0x06), block);
        const Answer after = co_await l.send(cdb16(0x8f, first + count, 100, 0x06), Bytes(kBlock));
        EXPECT_EQ(told(before), "GOOD");
        EXPECT_EQ(told(in), "GOOD") << first << " " << count;
        EXPECT_EQ(told(after), "GOOD");
      }
    }
  });
}

TEST(BlockCommandsTest, WriteSameUnmapsWhatWouldReadAsZerosOnly) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Bytes bytes = pattern(64 * kBlock, 1);
    (void)co_await l.send(cdb16(0x8a, 0, 64), bytes);
    const Answer zeros = co_await l.send(cdb10(0x41, 8, 8, 0x08), Bytes(kBlock));
    EXPECT_EQ(told(zeros), "GOOD");
    const Answer filled = co_await l.send(cdb16(0x93, 24, 8, 0x08), pattern(kBlock, 9));
    EXPECT_EQ(told(filled), "GOOD");
    const Answer no_data = co_await l.send(cdb16(0x93, 40, 8, 0x09));
    EXPECT_EQ(told(no_data), "GOOD");
    const Answer no_data_either = co_await l.send(cdb16(0x93, 56, 8, 0x01));
    EXPECT_EQ(told(no_data_either), "GOOD");
    Bytes expected = bytes;
    for (const int at : {8, 40, 56}) {
      std::fill_n(expected.begin() + at * 512, 8 * kBlock, std::byte{0});
    }
    const Bytes block = pattern(kBlock, 9);
    for (int i = 24; i < 32; ++i) std::ranges::copy(block, expected.begin() + i * 512);
    const Bytes now = co_await l.bytes_at(0, 64 * kBlock);
    EXPECT_TRUE(now == expected);
    Cdb status = cdb16(0x9e, 8, 512, 0x12);
    const Answer runs = co_await l.send(status);
    EXPECT_EQ(told(runs), "GOOD");
    EXPECT_EQ(load_be32(runs.data, 16), 8u);
    EXPECT_EQ(runs.data[20], std::byte{1});
  });
}

TEST(BlockCommandsTest, WriteSameChecksItsFieldsAndItsBlock) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    for (const Cdb& cdb : {cdb10(0x41, 0, 8), cdb16(0x93, 0, 8)}) {
      for (const std::size_t size : {0UL, kBlock / 2, 2 * kBlock}) {
        const Answer answer = co_await l.send(cdb, Bytes(size));
        EXPECT_EQ(told(answer), "5/0e/03") << size;
      }
    }
    const Answer anchor = co_await l.send(cdb10(0x41, 0, 8, 0x10), Bytes(kBlock));
    EXPECT_EQ(told(anchor), "5/24/00 cdb 1.4");
    const Answer anchor_unmap = co_await l.send(cdb16(0x93, 0, 8, 0x18), Bytes(kBlock));
    EXPECT_EQ(told(anchor_unmap), "5/24/00 cdb 1.4");
    const Answer ndob_10 = co_await l.send(cdb10(0x41, 0, 8, 0x01), Bytes(kBlock));
    EXPECT_EQ(told(ndob_10), "5/24/00 cdb 1.0");
    // No count goes to the end.
    (void)co_await l.send(cdb16(0x8a, l.capacity() - 8, 8), pattern(8 * kBlock, 1));
    const Answer to_end = co_await l.send(cdb10(0x41, 5, 0), Bytes(kBlock));
    EXPECT_EQ(told(to_end), "GOOD");
    const Answer zeros = co_await l.send(cdb16(0x8f, l.capacity() - 8, 8, 0x06), Bytes(kBlock));
    EXPECT_EQ(told(zeros), "GOOD");
    const Answer behind_end = co_await l.send(cdb10(0x41, l.capacity() + 1, 0), Bytes(kBlock));
    EXPECT_EQ(told(behind_end), "5/21/00");
  });
}

TEST(BlockCommandsTest, CapacityAndBlockSizeAreTold) {
  for (const std::uint32_t block_size : {512u, 4096u}) {
    BlockLab lab;
    lab.settings.logical_block_size = block_size;
    lab.run([block_size](BlockLab& l) -> Task<void> {
      return [](BlockLab& m, std::uint32_t size) -> Task<void> {
        const std::uint64_t last = 4096ull * 4096 / size - 1;
        const Answer ten = co_await m.send(cdb10(0x25, 0, 0));
        EXPECT_EQ(ten.data.size(), 8u);
        EXPECT_EQ(load_be32(ten.data, 0), last);
        EXPECT_EQ(load_be32(ten.data, 4), size);
        const Answer sixteen = co_await m.send(cdb16(0x9e, 0, 255, 0x10));
        EXPECT_EQ(sixteen.data.size(), 32u);
        EXPECT_EQ(load_be64(sixteen.data, 0), last);
        EXPECT_EQ(load_be32(sixteen.data, 8), size);
        EXPECT_EQ(sixteen.data[13], std::byte{static_cast<std::uint8_t>(size == 512 ? 3 : 0)});
        EXPECT_EQ(sixteen.data[14], std::byte{0xc0});
        for (const unsigned length : {0u, 5u, 31u}) {
          const Answer cut = co_await m.send(cdb16(0x9e, 0, length, 0x10));
          EXPECT_EQ(told(cut), "GOOD");
          EXPECT_EQ(cut.data.size(), length);
        }
        const Bytes bytes = pattern(2 * size, 3);
        (void)co_await m.send(cdb10(0x2a, last - 1, 2), bytes);
        const Answer read = co_await m.send(cdb10(0x28, last - 1, 2));
        EXPECT_TRUE(read.data == bytes);
      }(l, block_size);
    });
  }
}

TEST(BlockCommandsTest, LbaStatusTellsMappedFromUnmapped) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    (void)co_await l.send(cdb16(0x8a, 80, 16), pattern(16 * kBlock, 1));
    const Answer all = co_await l.send(cdb16(0x9e, 3, 8 + 16 * 8, 0x12));
    CO_ASSERT_TRUE(all.data.size() == 8 + 16 * 3);
    EXPECT_EQ(load_be32(all.data, 0), all.data.size() - 4);
    const std::vector<std::array<std::uint64_t, 3>> expected{
        {3, 77, 1}, {80, 16, 0}, {96, l.capacity() - 96, 1}};
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(load_be64(all.data, 8 + 16 * i), expected[i][0]);
      EXPECT_EQ(load_be32(all.data, 16 + 16 * i), expected[i][1]);
      EXPECT_EQ(std::to_integer<unsigned>(all.data[20 + 16 * i]), expected[i][2]);
    }
    const Answer one = co_await l.send(cdb16(0x9e, 85, 24, 0x12));
    CO_ASSERT_TRUE(one.data.size() == 24);
    EXPECT_EQ(load_be64(one.data, 8), 85u);
    EXPECT_EQ(load_be32(one.data, 16), 11u);
    const Answer beyond = co_await l.send(cdb16(0x9e, l.capacity(), 24, 0x12));
    EXPECT_EQ(told(beyond), "5/21/00");
  });
}

TEST(BlockCommandsTest, DefectListsAreEmpty) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    Cdb ten = cdb10(0x37, 0, 32);
    ten[2] = 0x1d;
    const Answer answer = co_await l.send(ten);
    EXPECT_TRUE(answer.data == (Bytes{std::byte{0}, std::byte{0x1d}, std::byte{0}, std::byte{0}}));
    const Answer twelve = co_await l.send(cdb12(0xb7, 0, 32, 0x08));
    EXPECT_EQ(twelve.data.size(), 8u);
    EXPECT_EQ(twelve.data[1], std::byte{0x08});
  });
}

TEST(BlockCommandsTest, AReadOnlyVolumeIsWriteProtected) {
  BlockLab lab;
  lab.settings.read_only = true;
  lab.run([](BlockLab& l) -> Task<void> {
    for (const Cdb& cdb :
         {cdb6(0x0a, 0, 1), cdb10(0x2a, 0, 1), cdb12(0xaa, 0, 1), cdb16(0x8a, 0, 1),
          cdb10(0x2e, 0, 1), cdb16(0x8b, 0, 1), cdb16(0x93, 0, 1), cdb10(0x41, 0, 1, 0x08),
          cdb10(0x42, 0, 24), compare_and_write_cdb(0, 1), cdb6(0x04)}) {
      const Answer answer = co_await l.send(cdb, Bytes(kBlock));
      EXPECT_EQ(told(answer), "7/27/00") << int{cdb[0]};
    }
    const Answer read = co_await l.send(cdb10(0x28, 0, 1));
    EXPECT_EQ(told(read), "GOOD");
    const Answer sync = co_await l.send(cdb10(0x35, 0, 0));
    EXPECT_EQ(told(sync), "GOOD");
  });
}

TEST(BlockCommandsTest, AMediumThatCanBeRemovedIsEjectedLoadedAndLocked) {
  BlockLab lab;
  lab.settings.removable = true;
  lab.run([](BlockLab& l) -> Task<void> {
    const Cdb ready = cdb6(0x00);
    const Cdb eject = cdb6(0x1b, 0, 0x02);
    const Cdb load = cdb6(0x1b, 0, 0x03);
    const Cdb stop = cdb6(0x1b, 0, 0x00);
    const Cdb prevent = cdb6(0x1e, 0, 1);
    const Cdb allow = cdb6(0x1e, 0, 0);
    Nexus* const a = &l.nexus("a");
    Nexus* const b = &l.nexus("b");
    const auto tell = [&l](Nexus* from, const Cdb& cdb) { return l.send_as(from, cdb); };

    Answer answer = co_await tell(a, stop);
    EXPECT_EQ(told(answer), "GOOD");
    answer = co_await tell(a, ready);
    EXPECT_EQ(told(answer), "GOOD");
    // Beside a power condition LOEJ means nothing.
    answer = co_await tell(a, cdb6(0x1b, 0, 0x32));
    EXPECT_EQ(told(answer), "GOOD");
    answer = co_await tell(a, ready);
    EXPECT_EQ(told(answer), "GOOD");

    answer = co_await tell(b, prevent);
    EXPECT_EQ(told(answer), "GOOD");
    answer = co_await tell(a, eject);
    EXPECT_EQ(told(answer), "5/53/02");
    answer = co_await tell(a, allow);  // only b's own lock is b's to open
    answer = co_await tell(a, eject);
    EXPECT_EQ(told(answer), "5/53/02");
    answer = co_await tell(b, allow);
    answer = co_await tell(a, eject);
    EXPECT_EQ(told(answer), "GOOD");

    for (const Cdb& cdb : {ready, cdb10(0x28, 0, 1), cdb10(0x2a, 0, 1), cdb10(0x25, 0, 0),
                           cdb16(0x9e, 0, 32, 0x10), cdb16(0x9e, 0, 24, 0x12), cdb10(0x35, 0, 1, 6),
                           cdb10(0x34, 0, 1, 2), cdb10(0x2f, 0, 1), cdb10(0x42, 0, 24)}) {
      answer = co_await tell(b, cdb);
      EXPECT_EQ(told(answer), "2/3a/00") << int{cdb[0]};
    }
    answer = co_await tell(a, load);
    EXPECT_EQ(told(answer), "GOOD");
    // Who has loaded it knows; the others are told.
    answer = co_await tell(a, ready);
    EXPECT_EQ(told(answer), "GOOD");
    answer = co_await tell(b, ready);
    EXPECT_EQ(told(answer), "6/28/00");
    answer = co_await tell(b, ready);
    EXPECT_EQ(told(answer), "GOOD");

    // A session's lock goes with it, and with a reset.
    answer = co_await tell(b, prevent);
    l.close("b");
    answer = co_await tell(a, eject);
    EXPECT_EQ(told(answer), "GOOD");
    answer = co_await tell(a, prevent);
    answer = co_await tell(a, load);
    EXPECT_EQ(told(answer), "5/53/02");
    const auto reset =
        co_await l.device->manage(*a, TaskManagementFunction::kLogicalUnitReset, 0, 0);
    EXPECT_EQ(reset, TaskManagementAnswer::kComplete);
    answer = co_await tell(a, load);
    EXPECT_EQ(told(answer), "6/29/03");
    answer = co_await tell(a, load);
    EXPECT_EQ(told(answer), "GOOD");
  });
}

TEST(BlockCommandsTest, AMediumThatCannotBeRemovedStays) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    const Answer eject = co_await l.send(cdb6(0x1b, 0, 0x02));
    EXPECT_EQ(told(eject), "5/24/00 cdb 4.1");
    const Answer ready = co_await l.send(cdb6(0x00));
    EXPECT_EQ(told(ready), "GOOD");
  });
}

TEST(BlockCommandsTest, FormatUnitLeavesNothing) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    (void)co_await l.send(cdb16(0x8a, 100, 64), pattern(64 * kBlock, 1));
    Cdb with_list = cdb6(0x04);
    with_list[1] = 0x10;
    Bytes defects(4);
    defects[3] = std::byte{8};
    const Answer refused = co_await l.send(with_list, defects);
    EXPECT_EQ(told(refused), "5/26/00 list 3");
    const Answer done = co_await l.send(with_list, Bytes{{}, std::byte{2}, {}, {}});
    EXPECT_EQ(told(done), "GOOD");
    const Answer zeros = co_await l.send(cdb16(0x8f, 0, l.capacity(), 0x06), Bytes(kBlock));
    EXPECT_EQ(told(zeros), "GOOD");
  });
}

TEST(BlockCommandsTest, AForcedWriteOfABufferedVolumeIsThereAfterAPowerFailure) {
  BlockLab lab;
  lab.settings.ack_policy = volume::AckPolicy::kBuffered;
  const std::vector<Cdb> forced{cdb10(0x2a, 8, 8, 0x08), cdb10(0x2e, 8, 8),
                                compare_and_write_cdb(8, 8, 0x08), cdb16(0x8b, 8, 8, 0x08)};
  for (const Cdb& cdb : forced) {
    lab.run([](BlockLab& l) -> Task<void> {
      const Answer done = co_await l.send(cdb6(0x04));
      EXPECT_EQ(told(done), "GOOD");
      (void)co_await l.send(cdb10(0x35, 0, 0));
    });
    lab.crash(sim::CrashKind::kPowerFail, [cdb](BlockLab& l) {
      return [](BlockLab& m, Cdb write) -> Task<void> {
        const Bytes bytes = pattern(8 * kBlock, 5);
        const bool compares = write[0] == 0x89;
        const Answer done =
            co_await m.send(write, compares ? joined(Bytes(8 * kBlock), bytes) : bytes);
        EXPECT_EQ(told(done), "GOOD") << int{write[0]};
      }(l, cdb);
    });
    lab.run([](BlockLab& l) -> Task<void> {
      const Bytes now = co_await l.bytes_at(8 * kBlock, 8 * kBlock);
      EXPECT_TRUE(now == pattern(8 * kBlock, 5));
    });
  }
}

}  // namespace
}  // namespace ashlar::scsi
