#include "engine/interval_index.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/buffer.h"
#include "common/base/bytes.h"
#include "common/base/random.h"

namespace ashlar::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kBlock = kBytesPerBlock.value();
constexpr std::uint64_t kTenTiB = (std::uint64_t{10} << 40) / kBlock;

BlockRange blocks(std::uint64_t first, std::uint64_t count) {
  return {BlockIndex(first), count};
}

// A record's place in the log, so that a test sees which copy of it the index means.
LogPosition place_of(std::uint64_t lsn) {
  return LogPosition(lsn << 32);
}

IndexRecord write(std::uint64_t lsn, std::uint64_t first, std::uint64_t count) {
  return {Lsn(lsn), RecordKind::kWrite, blocks(first, count), place_of(lsn), {}};
}

IndexRecord discard(std::uint64_t lsn, std::uint64_t first, std::uint64_t count) {
  return {Lsn(lsn), RecordKind::kDiscard, blocks(first, count), {}, {}};
}

std::vector<std::uint32_t> sums_of(const IndexRecord& record) {
  std::vector<std::uint32_t> sums;
  for (std::uint64_t i = 0; i < record.blocks.count; ++i) {
    sums.push_back(static_cast<std::uint32_t>(record.lsn.value() * 1000 + i));
  }
  return sums;
}

// Every page of a payload says whose it is.
void sign(MutableByteSpan page, std::uint64_t lsn, std::uint64_t block) {
  store_le64(page, 0, lsn);
  store_le64(page, 8, block);
}

std::string text(const IndexRun& run) {
  const std::string range = fmt::format("[{},{})", run.blocks.first, run.blocks.end());
  if (run.is_hole()) return "hole" + range;
  const char kind = run.is_discard() ? 'd' : 'w';
  std::string said = fmt::format("{}{}{}", kind, run.record->lsn, range);
  if (run.offset() > 0) said += fmt::format("+{}", run.offset());
  return said;
}

class IntervalIndexTest : public testing::Test {
 protected:
  IndexRecord with_checksums(IndexRecord record) {
    record.checksums = ChecksumList(sums_, sums_of(record));
    return record;
  }
  IndexRecord without_place(IndexRecord record) {
    record.payload_position.reset();
    return record;
  }
  IndexRecord with_payload(IndexRecord record) {
    record.payload = pool_.allocate(kBytesPerBlock * record.blocks.count).value();
    for (std::uint64_t i = 0; i < record.blocks.count; ++i) {
      sign(record.payload.bytes().subspan(i * kBlock, kBlock), record.lsn.value(),
           record.blocks.first.value() + i);
    }
    return record;
  }

  std::vector<std::string> lookup(std::uint64_t first, std::uint64_t count) const {
    std::vector<std::string> runs;
    index_.lookup(blocks(first, count), [&](const IndexRun& run) { runs.push_back(text(run)); });
    index_.check_invariants();
    return runs;
  }

  std::vector<std::string> stable_from(std::uint64_t first) const {
    std::vector<std::string> runs;
    index_.visit_stable(BlockIndex(first), [&](const IndexRun& run) {
      runs.push_back(text(run));
      return true;
    });
    return runs;
  }

  BufferPool pool_{"test", ByteCount(64 << 20)};
  ChecksumPool sums_;
  IntervalIndex index_;
};

TEST_F(IntervalIndexTest, WhatNoRecordCoversIsAHole) {
  EXPECT_THAT(lookup(5, 3), ElementsAre("hole[5,8)"));
  EXPECT_THAT(lookup(5, 0), IsEmpty());
  EXPECT_EQ(index_.oldest_lsn(), std::nullopt);
}

TEST_F(IntervalIndexTest, RunsComeInBlockOrderAndAreClippedToTheRange) {
  index_.insert(write(1, 20, 4));
  index_.insert(discard(2, 10, 4));
  EXPECT_THAT(lookup(12, 10), ElementsAre("d2[12,14)+2", "hole[14,20)", "w1[20,22)"));
}

TEST_F(IntervalIndexTest, ARunNamesItsPlaceInTheLogBehindWhatWasCutOff) {
  index_.insert(write(1, 10, 8));
  index_.lookup(blocks(13, 2), [](const IndexRun& run) {
    EXPECT_EQ(run.position(), place_of(1) + 3 * kBlock);
    EXPECT_FALSE(run.in_memory());
  });
}

TEST_F(IntervalIndexTest, ANewerRecordCutsTheOlderOnes) {
  index_.insert(write(1, 0, 10));
  index_.insert(write(2, 10, 10));
  index_.insert(write(3, 4, 2));
  index_.insert(discard(4, 8, 4));
  EXPECT_THAT(lookup(0, 20),
              ElementsAre("w1[0,4)", "w3[4,6)", "w1[6,8)+6", "d4[8,12)", "w2[12,20)+2"));
}

TEST_F(IntervalIndexTest, AnOlderRecordFillsOnlyWhatIsFree) {
  index_.insert(write(5, 2, 2));
  index_.insert(write(7, 6, 2));
  index_.insert(write(3, 0, 10));
  EXPECT_THAT(lookup(0, 10),
              ElementsAre("w3[0,2)", "w5[2,4)", "w3[4,6)+4", "w7[6,8)", "w3[8,10)+8"));
}

TEST_F(IntervalIndexTest, AnOlderRecordOfTheSameBlocksChangesNothing) {
  index_.insert(write(5, 0, 4));
  index_.insert(write(3, 0, 4));
  EXPECT_THAT(lookup(0, 4), ElementsAre("w5[0,4)"));
  index_.truncate_after(Lsn(4));
  EXPECT_THAT(lookup(0, 4), ElementsAre("w3[0,4)"));
}

TEST_F(IntervalIndexTest, ARecordBetweenTwoOthersInAgeTakesTheOlderAndSparesTheNewer) {
  index_.insert(write(1, 0, 6));
  index_.insert(write(9, 3, 3));
  index_.insert(write(5, 2, 6));
  EXPECT_THAT(lookup(0, 9), ElementsAre("w1[0,2)", "w5[2,3)", "w9[3,6)", "w5[6,8)+4", "hole[8,9)"));
}

TEST_F(IntervalIndexTest, AnOlderRecordThatIsWhollyHiddenIsKeptOnlyWhileNotStable) {
  index_.insert(write(9, 0, 8));
  index_.insert(write(5, 2, 2));
  EXPECT_EQ(index_.record_count(), 2u);
  index_.advance_stable(Lsn(9));
  EXPECT_EQ(index_.record_count(), 1u);
  index_.insert(write(6, 2, 2));
  EXPECT_EQ(index_.record_count(), 1u);
  EXPECT_THAT(lookup(0, 8), ElementsAre("w9[0,8)"));
}

TEST_F(IntervalIndexTest, ARecordAppendedAgainKeepsItsCoverAndMovesInTheLog) {
  index_.insert(write(1, 0, 8));
  index_.insert(write(2, 3, 2));
  IndexRecord again = write(1, 0, 8);
  again.payload_position = place_of(77);
  index_.insert(std::move(again));
  EXPECT_THAT(lookup(0, 8), ElementsAre("w1[0,3)", "w2[3,5)", "w1[5,8)+5"));
  index_.lookup(blocks(5, 1),
                [](const IndexRun& run) { EXPECT_EQ(run.position(), place_of(77) + 5 * kBlock); });
  EXPECT_EQ(index_.record_count(), 2u);
}

TEST_F(IntervalIndexTest, ADiscardOfTenTiBIsOneEntryAndAWriteOverItMakesThree) {
  index_.insert(discard(1, 0, kTenTiB));
  EXPECT_EQ(index_.entry_count(), 1u);
  index_.advance_stable(Lsn(1));
  EXPECT_EQ(index_.entry_count(), 1u);
  index_.insert(write(2, 1000, 1));
  index_.advance_stable(Lsn(2));
  EXPECT_EQ(index_.entry_count(), 3u);
  EXPECT_THAT(lookup(999, 3),
              ElementsAre("d1[999,1000)+999", "w2[1000,1001)", "d1[1001,1002)+1001"));
}

TEST_F(IntervalIndexTest, TheLastBlockThatANumberCanNameIsServed) {
  const std::uint64_t last = UINT64_MAX - 1;
  index_.insert(write(1, last, 1));
  EXPECT_THAT(lookup(last - 1, 2), ElementsAre(fmt::format("hole[{},{})", last - 1, last),
                                               fmt::format("w1[{},{})", last, last + 1)));
}

// --- the stable LSN ------------------------------------------------------------------------------

TEST_F(IntervalIndexTest, TheFlusherSeesTheNewestStableRecordEvenWhereANewerHidesIt) {
  index_.insert(write(1, 0, 8));
  index_.insert(write(2, 4, 2));
  index_.insert(write(3, 4, 8));
  index_.advance_stable(Lsn(2));
  EXPECT_THAT(stable_from(0), ElementsAre("w1[0,4)", "w2[4,6)", "w1[6,8)+6"));
  EXPECT_THAT(lookup(0, 12), ElementsAre("w1[0,4)", "w3[4,12)"));
}

TEST_F(IntervalIndexTest, TheFlusherStartsAtThePieceThatHoldsTheBlock) {
  index_.insert(write(1, 0, 4));
  index_.insert(write(2, 8, 4));
  index_.advance_stable(Lsn(2));
  EXPECT_THAT(stable_from(2), ElementsAre("w1[0,4)", "w2[8,12)"));
  EXPECT_THAT(stable_from(4), ElementsAre("w2[8,12)"));
  EXPECT_THAT(stable_from(12), IsEmpty());
}

TEST_F(IntervalIndexTest, TheFlusherStopsWhenItsVisitorHasEnough) {
  for (std::uint64_t lsn = 1; lsn <= 5; ++lsn) index_.insert(write(lsn, lsn * 10, 1));
  index_.advance_stable(Lsn(5));
  int seen = 0;
  index_.visit_stable(BlockIndex(0), [&](const IndexRun&) { return ++seen < 3; });
  EXPECT_EQ(seen, 3);
}

TEST_F(IntervalIndexTest, TheStableLsnMayPassNumbersWithoutARecord) {
  index_.insert(write(3, 0, 1));
  index_.advance_stable(Lsn(2));
  EXPECT_THAT(stable_from(0), IsEmpty());
  index_.advance_stable(Lsn(8));
  EXPECT_THAT(stable_from(0), ElementsAre("w3[0,1)"));
  EXPECT_EQ(index_.stable_lsn(), Lsn(8));
}

// --- truncation ----------------------------------------------------------------------------------

TEST_F(IntervalIndexTest, TruncationBringsBackWhatTheLostRecordsHid) {
  index_.insert(write(1, 0, 10));
  index_.advance_stable(Lsn(1));
  index_.insert(write(2, 2, 4));
  index_.insert(write(3, 5, 2));
  index_.insert(write(4, 0, 10));
  index_.insert(discard(5, 0, 20));
  index_.truncate_after(Lsn(3));
  EXPECT_THAT(lookup(0, 20),
              ElementsAre("w1[0,2)", "w2[2,5)", "w3[5,7)", "w1[7,10)+7", "hole[10,20)"));
  index_.truncate_after(Lsn(1));
  EXPECT_THAT(lookup(0, 20), ElementsAre("w1[0,10)", "hole[10,20)"));
  EXPECT_EQ(index_.record_count(), 1u);
}

TEST_F(IntervalIndexTest, ALostLsnIsTakenAgainByAnotherRecord) {
  index_.insert(write(1, 0, 4));
  index_.insert(write(2, 0, 4));
  index_.truncate_after(Lsn(1));
  index_.insert(discard(2, 2, 7));
  EXPECT_THAT(lookup(0, 9), ElementsAre("w1[0,2)", "d2[2,9)"));
}

TEST_F(IntervalIndexTest, TruncationReturnsThePayloadsOfTheLostRecords) {
  index_.insert(with_payload(write(1, 0, 4)));
  index_.insert(with_payload(write(2, 0, 4)));
  index_.truncate_after(Lsn(1));
  EXPECT_EQ(index_.payload_bytes(), kBytesPerBlock * 4);
  index_.truncate_after(Lsn(0));
  EXPECT_EQ(pool_.statistics().buffers, 0u);
}

// --- flushing ------------------------------------------------------------------------------------

TEST_F(IntervalIndexTest, WhatWasFlushedIsErasedInItsRangeOnly) {
  index_.insert(write(1, 0, 10));
  index_.advance_stable(Lsn(1));
  index_.erase_up_to(Lsn(1), blocks(3, 4));
  EXPECT_THAT(lookup(0, 10), ElementsAre("w1[0,3)", "hole[3,7)", "w1[7,10)+7"));
  EXPECT_EQ(index_.oldest_lsn(), Lsn(1));
  index_.erase_up_to(Lsn(1), blocks(0, 10));
  EXPECT_EQ(index_.oldest_lsn(), std::nullopt);
  EXPECT_EQ(index_.entry_count(), 0u);
}

TEST_F(IntervalIndexTest, ErasingSparesARecordThatBecameStableSinceTheFlusherLooked) {
  index_.insert(write(1, 0, 10));
  index_.advance_stable(Lsn(1));
  index_.insert(write(2, 4, 2));
  index_.advance_stable(Lsn(2));
  index_.erase_up_to(Lsn(1), blocks(0, 10));
  EXPECT_THAT(lookup(0, 10), ElementsAre("hole[0,4)", "w2[4,6)", "hole[6,10)"));
}

TEST_F(IntervalIndexTest, ErasingLeavesTheRecordsThatAreNotStable) {
  index_.insert(write(1, 0, 10));
  index_.advance_stable(Lsn(1));
  index_.insert(write(2, 0, 10));
  index_.erase_up_to(Lsn(1), blocks(0, 10));
  EXPECT_THAT(lookup(0, 10), ElementsAre("w2[0,10)"));
  index_.truncate_after(Lsn(1));
  EXPECT_THAT(lookup(0, 10), ElementsAre("hole[0,10)"));
}

TEST_F(IntervalIndexTest, TheOldestLsnFollowsWhatIsStillNeeded) {
  index_.insert(write(4, 0, 2));
  index_.insert(write(5, 8, 2));
  index_.insert(write(6, 0, 2));
  EXPECT_EQ(index_.oldest_lsn(), Lsn(4));
  index_.advance_stable(Lsn(5));
  EXPECT_EQ(index_.oldest_lsn(), Lsn(4)) << "6 may still be lost, and 4 then counts";
  index_.advance_stable(Lsn(6));
  EXPECT_EQ(index_.oldest_lsn(), Lsn(5)) << "6 is stable, so nobody reads 4 again";
}

// --- payloads ------------------------------------------------------------------------------------

TEST_F(IntervalIndexTest, ACutEntryHandsOutItsPartOfThePayloadWithoutACopy) {
  IndexRecord record = with_payload(write(1, 10, 8));
  const std::byte* bytes = record.payload.data();
  index_.insert(std::move(record));
  index_.insert(write(2, 12, 2));
  index_.lookup(blocks(15, 2), [&](const IndexRun& run) {
    ASSERT_TRUE(run.in_memory());
    const Buffer payload = run.payload();
    EXPECT_EQ(payload.data(), bytes + 5 * kBlock);
    EXPECT_EQ(payload.size(), 2 * kBlock);
    EXPECT_EQ(load_le64(payload.bytes(), 8), 15u);
  });
  EXPECT_EQ(pool_.statistics().buffers, 1u);
}

TEST_F(IntervalIndexTest, APayloadGoesWithTheLastBlockThatShowsIt) {
  index_.insert(with_payload(write(1, 0, 4)));
  index_.advance_stable(Lsn(1));
  index_.erase_up_to(Lsn(1), blocks(0, 3));
  EXPECT_EQ(index_.payload_bytes(), kBytesPerBlock * 4);
  index_.erase_up_to(Lsn(1), blocks(3, 1));
  EXPECT_EQ(index_.payload_bytes(), ByteCount());
  EXPECT_EQ(pool_.statistics().buffers, 0u);
}

TEST_F(IntervalIndexTest, TheOldestPayloadsAreDroppedFirstAndTheEntriesStay) {
  for (std::uint64_t lsn = 1; lsn <= 4; ++lsn) {
    index_.insert(with_payload(write(lsn, lsn * 10, 2)));
  }
  EXPECT_EQ(index_.drop_payloads(kBytesPerBlock * 5, Lsn(4)), kBytesPerBlock * 4);
  EXPECT_EQ(index_.payload_bytes(), kBytesPerBlock * 4);
  std::vector<std::uint64_t> in_memory;
  index_.lookup(blocks(0, 100), [&](const IndexRun& run) {
    if (run.in_memory()) in_memory.push_back(run.record->lsn.value());
  });
  EXPECT_THAT(in_memory, ElementsAre(3u, 4u));
  EXPECT_EQ(index_.entry_count(), 4u);
  EXPECT_EQ(pool_.statistics().buffers, 2u);
}

TEST_F(IntervalIndexTest, APayloadThatTheLogDoesNotHoldYetIsNotDropped) {
  index_.insert(with_payload(write(1, 0, 1)));
  index_.insert(with_payload(write(2, 1, 1)));
  EXPECT_EQ(index_.drop_payloads(ByteCount(), Lsn(1)), kBytesPerBlock);
  EXPECT_EQ(index_.drop_payloads(ByteCount(), Lsn(1)), ByteCount());
  EXPECT_EQ(index_.payload_bytes(), kBytesPerBlock);
}

TEST_F(IntervalIndexTest, AnOlderPayloadThatComesLateIsDroppedToo) {
  index_.insert(with_payload(write(5, 0, 1)));
  index_.drop_payloads(ByteCount(), Lsn(5));
  index_.insert(with_payload(write(3, 1, 1)));
  EXPECT_EQ(index_.drop_payloads(ByteCount(), Lsn(5)), kBytesPerBlock);
}

TEST_F(IntervalIndexTest, AReaderKeepsThePayloadThatIsDroppedUnderIt) {
  index_.insert(with_payload(write(1, 0, 1)));
  Buffer payload;
  index_.lookup(blocks(0, 1), [&](const IndexRun& run) { payload = run.payload(); });
  index_.drop_payloads(ByteCount(), Lsn(1));
  EXPECT_EQ(load_le64(payload.bytes(), 0), 1u);
}

// --- misuse --------------------------------------------------------------------------------------

using IntervalIndexDeathTest = IntervalIndexTest;

TEST_F(IntervalIndexDeathTest, WhatWouldLoseOrReviveDataIsFatal) {
  index_.insert(write(1, 0, 4));
  index_.insert(write(2, 8, 4));
  index_.advance_stable(Lsn(1));
  EXPECT_DEATH(index_.truncate_after(Lsn(0)), "record 1 is stable, 0 would be the last one left");
  EXPECT_DEATH(index_.advance_stable(Lsn(0)), "stable moves from 1 back to 0");
  EXPECT_DEATH(index_.erase_up_to(Lsn(2), blocks(0, 4)), "flushed up to 2, stable is 1");
  EXPECT_DEATH(index_.insert(write(2, 8, 5)), "record 2 came again and covers other blocks");
  EXPECT_DEATH(index_.insert(discard(2, 8, 4)), "record 2 came again");
  EXPECT_DEATH(index_.insert(write(3, 8, 0)), "record 3 covers nothing");
  index_.erase_up_to(Lsn(1), blocks(0, 4));
  EXPECT_DEATH(index_.insert(write(1, 0, 4)), "record 1 is not above 1, up to which was flushed");
}

TEST_F(IntervalIndexDeathTest, APayloadOfAnotherSizeIsFatal) {
  IndexRecord record = with_payload(write(1, 0, 4));
  record.blocks.count = 5;
  EXPECT_DEATH(index_.insert(std::move(record)), "left 4, right 5");
}

// --- places in the log and checksums ---

TEST_F(IntervalIndexTest, ARecordTakesItsPlaceWhenItsBatchIsWritten) {
  index_.insert(without_place(write(1, 0, 4)));
  index_.insert(without_place(discard(2, 8, 4)));
  EXPECT_EQ(index_.lowest_position(), std::nullopt);
  index_.set_position(Lsn(1), place_of(1));
  index_.set_position(Lsn(2), place_of(2));
  index_.check_invariants();
  index_.lookup(blocks(2, 1),
                [](const IndexRun& run) { EXPECT_EQ(run.position(), place_of(1) + 2 * kBlock); });
  index_.lookup(blocks(8, 1),
                [](const IndexRun& run) { EXPECT_EQ(run.record->payload_position, place_of(2)); });
  EXPECT_EQ(index_.lowest_position(), place_of(1));
  index_.set_position(Lsn(3), place_of(3));  // not here
  EXPECT_EQ(index_.record_count(), 2u);
}

TEST_F(IntervalIndexTest, DroppingPayloadsStopsAtARecordWithoutAPlace) {
  index_.insert(with_payload(write(1, 0, 1)));
  index_.insert(without_place(with_payload(write(2, 1, 1))));
  index_.insert(with_payload(write(3, 2, 1)));
  EXPECT_EQ(index_.drop_payloads(ByteCount(), Lsn(3)), kBytesPerBlock);
  EXPECT_EQ(index_.payload_bytes(), kBytesPerBlock * 2);
  index_.set_position(Lsn(2), place_of(2));
  EXPECT_EQ(index_.drop_payloads(ByteCount(), Lsn(3)), kBytesPerBlock * 2);
}

TEST_F(IntervalIndexTest, TheLowestPositionIsFoundAlsoWhenCopiesStandBehindNewerRecords) {
  for (std::uint64_t lsn = 1; lsn <= 4; ++lsn) index_.insert(write(lsn, lsn * 10, 1));
  index_.set_position(Lsn(1), place_of(9));
  EXPECT_EQ(index_.lowest_position(), place_of(2));
  index_.check_invariants();
  index_.advance_stable(Lsn(4));
  index_.erase_up_to(Lsn(4), blocks(20, 20));
  EXPECT_EQ(index_.lowest_position(), place_of(4));
  index_.erase_up_to(Lsn(4), blocks(40, 1));
  EXPECT_EQ(index_.lowest_position(), place_of(9));
  index_.erase_up_to(Lsn(4), blocks(10, 1));
  EXPECT_EQ(index_.lowest_position(), std::nullopt);
}

TEST_F(IntervalIndexTest, RecordsAreVisitedInTheOrderOfTheirLsnsFromAnyOn) {
  index_.insert(write(2, 0, 1));
  index_.insert(write(3, 0, 1));  // hides it
  index_.insert(discard(7, 5, 1));
  index_.insert(write(5, 9, 1));
  const auto visited = [&](std::uint64_t from, std::size_t most) {
    std::vector<Lsn> lsns;
    index_.visit_records(Lsn(from), [&](const IndexRecord& record) {
      lsns.push_back(record.lsn);
      return lsns.size() < most;
    });
    return lsns;
  };
  EXPECT_THAT(visited(0, 9), ElementsAre(Lsn(2), Lsn(3), Lsn(5), Lsn(7)));
  EXPECT_THAT(visited(3, 9), ElementsAre(Lsn(3), Lsn(5), Lsn(7)));
  EXPECT_THAT(visited(4, 9), ElementsAre(Lsn(5), Lsn(7)));
  EXPECT_THAT(visited(8, 9), ElementsAre());
  EXPECT_THAT(visited(0, 2), ElementsAre(Lsn(2), Lsn(3)));
}

TEST_F(IntervalIndexTest, ARunHasTheChecksumsOfItsBlocksAlsoWithoutThePayload) {
  index_.insert(with_checksums(with_payload(write(1, 10, 8))));
  index_.insert(with_checksums(write(2, 12, 2)));
  index_.drop_payloads(ByteCount(), Lsn(1));
  std::vector<std::vector<std::uint32_t>> found;
  index_.lookup(blocks(11, 6), [&](const IndexRun& run) {
    EXPECT_FALSE(run.in_memory());
    found.emplace_back(run.checksums().begin(), run.checksums().end());
  });
  EXPECT_THAT(found, ElementsAre(ElementsAre(1001u), ElementsAre(2000u, 2001u),
                                 ElementsAre(1004u, 1005u, 1006u)));
}

TEST(ChecksumList, HoldsWhatItWasGivenAndMoves) {
  ChecksumPool pool;
  for (const std::size_t count : {0u, 1u, 4u, 5u, 1024u}) {
    std::vector<std::uint32_t> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<std::uint32_t>(i * i + 1);
    ChecksumList list(pool, values);
    ChecksumList moved(std::move(list));
    ChecksumList assigned(pool, std::vector<std::uint32_t>(7, 1));
    assigned = std::move(moved);
    EXPECT_TRUE(std::ranges::equal(assigned.values(), values));
    EXPECT_EQ(assigned.size(), count);
  }
}

// --- bounds --------------------------------------------------------------------------------------

TEST_F(IntervalIndexTest, OneBlockWritesOverAHugeDiscardCostTwoEntriesEach) {
  constexpr std::uint64_t kWrites = 10'000;
  index_.insert(discard(1, 0, kTenTiB));
  for (std::uint64_t i = 0; i < kWrites; ++i) index_.insert(write(2 + i, 1 + i * 2, 1));
  EXPECT_EQ(index_.entry_count(), 2 * kWrites + 1);
  index_.advance_stable(Lsn(kWrites + 1));
  EXPECT_EQ(index_.entry_count(), 2 * kWrites + 1);
  index_.insert(discard(kWrites + 2, 0, kTenTiB));
  EXPECT_THAT(lookup(0, kTenTiB).size(), 1u) << "one run, whatever it hides";
  index_.advance_stable(Lsn(kWrites + 2));
  EXPECT_EQ(index_.entry_count(), 1u);
  EXPECT_EQ(index_.record_count(), 1u);
}

TEST_F(IntervalIndexTest, AlternatingOverlapsLeaveOnePieceForEachRecord) {
  // Each record covers half of the one before; every second run starts again from the left.
  std::uint64_t lsn = 0;
  for (int sweep = 0; sweep < 50; ++sweep) {
    for (std::uint64_t i = 0; i < 100; ++i) {
      index_.insert(write(++lsn, (sweep % 2 == 0 ? i : 99 - i) * 4, 8));
    }
    index_.advance_stable(Lsn(lsn - 50));
  }
  index_.advance_stable(Lsn(lsn));
  index_.check_invariants();
  EXPECT_EQ(index_.record_count(), 100u);
  EXPECT_EQ(index_.entry_count(), 100u);
}

TEST_F(IntervalIndexTest, OverwritingTheSameBlocksNeedsNoMoreRecordsThanAreNotStable) {
  for (std::uint64_t lsn = 1; lsn <= 10'000; ++lsn) {
    index_.insert(with_payload(write(lsn, lsn % 16, 1)));
    if (lsn > 32) index_.advance_stable(Lsn(lsn - 32));
    ASSERT_LE(index_.record_count(), 16u + 32u);
    ASSERT_LE(index_.entry_count(), 16u + 16u);
  }
  EXPECT_LE(index_.payload_bytes(), kBytesPerBlock * 48);
}

// --- against a model -----------------------------------------------------------------------------

// Keeps every version of every block, and nothing clever.
class Model {
 public:
  struct Version {
    RecordKind kind;
    std::uint64_t first;
    LogPosition position;
  };

  explicit Model(std::uint64_t size) : versions_(size) {}

  void insert(const IndexRecord& record) {
    const std::uint64_t first = record.blocks.first.value();
    for (std::uint64_t i = 0; i < record.blocks.count; ++i) {
      versions_[first + i][record.lsn.value()] = {record.kind, first,
                                                  record.payload_position.value()};
    }
    if (record.lsn.value() > stable) tail_[record.lsn.value()] = record.blocks.count;
    sizes_[record.lsn.value()] = record.blocks.count;
    if (!record.payload.empty()) payloads_.insert(record.lsn.value());
  }
  void erase_up_to(std::uint64_t lsn, BlockRange range) {
    for (std::uint64_t at = range.first.value(); at < range.end().value(); ++at) {
      auto& versions = versions_[at];
      versions.erase(versions.begin(), versions.upper_bound(lsn));
    }
  }
  void truncate_after(std::uint64_t lsn) {
    for (auto& versions : versions_) versions.erase(versions.upper_bound(lsn), versions.end());
    tail_.erase(tail_.upper_bound(lsn), tail_.end());
    sizes_.erase(sizes_.upper_bound(lsn), sizes_.end());
    payloads_.erase(payloads_.upper_bound(lsn), payloads_.end());
  }
  void advance_stable(std::uint64_t lsn) {
    stable = lsn;
    tail_.erase(tail_.begin(), tail_.upper_bound(lsn));
  }

  // The newest version <= lsn, and its LSN; 0 for a hole.
  std::pair<std::uint64_t, Version> newest(std::uint64_t block, std::uint64_t lsn) const {
    const auto& versions = versions_[block];
    const auto above = versions.upper_bound(lsn);
    if (above == versions.begin()) return {0, {}};
    return *std::prev(above);
  }
  // Records that are to be kept, with their payload's bytes or 0.
  std::map<std::uint64_t, std::uint64_t> kept() const {
    std::set<std::uint64_t> lsns;
    for (const auto& [lsn, count] : tail_) lsns.insert(lsn);
    for (std::uint64_t block = 0; block < versions_.size(); ++block) {
      if (const auto lsn = newest(block, stable).first; lsn > 0) lsns.insert(lsn);
    }
    std::map<std::uint64_t, std::uint64_t> bytes;
    for (const std::uint64_t lsn : lsns) {
      bytes[lsn] = payloads_.contains(lsn) ? sizes_.at(lsn) * kBlock : 0;
    }
    return bytes;
  }
  bool has_payload(std::uint64_t lsn) const { return payloads_.contains(lsn); }
  void drop_payloads(std::uint64_t down_to, std::uint64_t up_to) {
    const auto all = kept();
    std::uint64_t left = 0;
    for (const auto& [lsn, bytes] : all) left += bytes;
    for (const auto& [lsn, bytes] : all) {
      if (left <= down_to || lsn > up_to) return;
      left -= bytes;
      payloads_.erase(lsn);
    }
  }
  std::uint64_t size() const { return versions_.size(); }

  std::uint64_t stable = 0;

 private:
  std::vector<std::map<std::uint64_t, Version>> versions_;
  std::map<std::uint64_t, std::uint64_t> tail_;   // blocks of each record > stable
  std::map<std::uint64_t, std::uint64_t> sizes_;  // blocks of each record
  std::set<std::uint64_t> payloads_;              // of those not dropped, hidden ones as well
};

class IntervalIndexModelTest : public IntervalIndexTest {
 protected:
  static constexpr std::uint64_t kBlocks = 96;

  // A run says of each of its blocks what the model says, and could not have been longer.
  void expect_run(const IndexRun& run, std::uint64_t up_to, BlockRange range) {
    ASSERT_GT(run.blocks.count, 0u);
    const std::uint64_t lsn = run.is_hole() ? 0 : run.record->lsn.value();
    for (std::uint64_t at = run.blocks.first.value(); at < run.blocks.end().value(); ++at) {
      const auto [expected, version] = model_.newest(at, up_to);
      ASSERT_EQ(lsn, expected) << "block " << at;
      if (lsn == 0) continue;
      ASSERT_EQ(run.record->kind, version.kind);
      ASSERT_EQ(run.record->blocks.first.value(), version.first);
      ASSERT_EQ(run.in_memory(), model_.has_payload(lsn));
      if (!run.is_discard()) {
        const std::uint64_t skipped = at - run.blocks.first.value();
        ASSERT_EQ(run.position() + skipped * kBlock,
                  version.position + (at - version.first) * kBlock);
        if (run.in_memory()) {
          const Buffer payload = run.payload();
          ASSERT_EQ(payload.size(), run.blocks.count * kBlock);
          ASSERT_EQ(load_le64(payload.bytes(), skipped * kBlock), lsn);
          ASSERT_EQ(load_le64(payload.bytes(), skipped * kBlock + 8), at);
        }
      }
    }
    for (const bool after : {false, true}) {
      const std::uint64_t edge = after ? run.blocks.end().value() : run.blocks.first.value();
      const bool in_range = after ? edge < range.end().value() : edge > range.first.value();
      if (in_range) {
        ASSERT_NE(lsn, model_.newest(after ? edge : edge - 1, up_to).first) << "at " << edge;
      }
    }
  }

  void expect_lookup(BlockRange range) {
    std::uint64_t at = range.first.value();
    index_.lookup(range, [&](const IndexRun& run) {
      ASSERT_EQ(run.blocks.first.value(), at);
      expect_run(run, UINT64_MAX, range);
      at = run.blocks.end().value();
    });
    ASSERT_EQ(at, range.end().value());
  }

  void expect_stable() {
    std::uint64_t at = 0;
    const auto expect_nothing_until = [&](std::uint64_t end) {
      for (; at < end; ++at) ASSERT_EQ(model_.newest(at, model_.stable).first, 0u) << at;
    };
    index_.visit_stable(BlockIndex(0), [&](const IndexRun& run) {
      expect_nothing_until(run.blocks.first.value());
      expect_run(run, model_.stable, blocks(0, kBlocks));
      at = run.blocks.end().value();
      return !HasFatalFailure();
    });
    expect_nothing_until(kBlocks);
  }

  void expect_all() {
    ASSERT_NO_FATAL_FAILURE(expect_lookup(blocks(0, kBlocks)));
    ASSERT_NO_FATAL_FAILURE(expect_stable());
    const auto kept = model_.kept();
    std::uint64_t bytes = 0;
    for (const auto& [lsn, size] : kept) bytes += size;
    ASSERT_EQ(index_.record_count(), kept.size());
    ASSERT_EQ(index_.payload_bytes().value(), bytes);
    ASSERT_EQ(index_.oldest_lsn().value_or(Lsn()).value(), kept.empty() ? 0 : kept.begin()->first);
    index_.check_invariants();
  }

  BlockRange random_range(Random& random) {
    const std::uint64_t first = random.below(kBlocks);
    const std::uint64_t longest = random.chance(1, 8) ? kBlocks : random.chance(1, 2) ? 1 : 12;
    return blocks(first, random.between(1, std::min(longest, kBlocks - first)));
  }

  void insert(std::uint64_t lsn, Random& random) {
    const BlockRange range = random_range(random);
    const bool is_write = random.chance(4, 5);
    IndexRecord record{Lsn(lsn),
                       is_write ? RecordKind::kWrite : RecordKind::kDiscard,
                       range,
                       LogPosition(++place_ << 32),
                       {}};
    if (is_write && random.chance(3, 4)) record = with_payload(std::move(record));
    model_.insert(record);
    mark("into the base", lsn <= model_.stable);
    mark("late", lsn < head_);
    if (lsn > model_.stable) {
      // Of what may be appended again: the same record without its payload.
      tail_.push_back({record.lsn, record.kind, record.blocks, {}, {}});
    }
    const LogPosition position = record.payload_position.value();
    const bool told_later = random.chance(1, 2);
    if (told_later) record.payload_position.reset();
    index_.insert(std::move(record));
    if (told_later) index_.set_position(Lsn(lsn), position);
  }

  // That the rare paths were taken.
  void mark(const char* what, bool taken) { marks_[what] += taken ? 1 : 0; }

  void step(Random& random) {
    std::erase_if(tail_, [&](const IndexRecord& r) { return r.lsn.value() <= model_.stable; });
    const std::uint64_t chance = random.below(100);
    if (chance < 45) {
      // In order mostly; now and then one is left out and comes late.
      while (random.chance(1, 6)) late_.push_back(++head_);
      insert(++head_, random);
    } else if (chance < 52) {
      std::erase_if(late_, [&](std::uint64_t late) { return late <= erased_; });
      if (late_.empty()) return;
      const auto place = late_.begin() + static_cast<std::ptrdiff_t>(random.below(late_.size()));
      const std::uint64_t lsn = *place;
      late_.erase(place);
      insert(lsn, random);
    } else if (chance < 55) {
      if (tail_.empty()) return;
      const IndexRecord& old = tail_[random.below(tail_.size())];
      IndexRecord again{old.lsn, old.kind, old.blocks, LogPosition(++place_ << 32), {}};
      if (old.kind == RecordKind::kWrite && random.chance(1, 4)) {
        again = with_payload(std::move(again));
      }
      mark("again", true);
      model_.insert(again);
      index_.insert(std::move(again));
    } else if (chance < 65) {
      const std::uint64_t lsn =
          random.between(model_.stable, std::min(head_, model_.stable + random.below(24)));
      model_.advance_stable(lsn);
      index_.advance_stable(Lsn(lsn));
    } else if (chance < 75) {
      const std::uint64_t lsn =
          model_.stable - random.below(std::min<std::uint64_t>(model_.stable, 16) + 1);
      const BlockRange range = random_range(random);
      erased_ = std::max(erased_, lsn);
      const std::uint64_t entries = index_.entry_count();
      model_.erase_up_to(lsn, range);
      index_.erase_up_to(Lsn(lsn), range);
      mark("erased", index_.entry_count() < entries);
      mark("split by an erase", index_.entry_count() > entries);
    } else if (chance < 76) {
      if (!random.chance(1, 3)) return;
      const std::uint64_t lsn = random.between(model_.stable, head_);
      const std::uint64_t records = index_.record_count();
      model_.truncate_after(lsn);
      index_.truncate_after(Lsn(lsn));
      mark("lost", index_.record_count() < records);
      head_ = lsn;
      std::erase_if(late_, [&](std::uint64_t late) { return late > lsn; });
      std::erase_if(tail_, [&](const IndexRecord& r) { return r.lsn.value() > lsn; });
    } else if (chance < 78) {
      const std::uint64_t up_to = head_ - random.below(std::min<std::uint64_t>(head_, 48) + 1);
      const ByteCount down_to = kBytesPerBlock * random.below(100);
      model_.drop_payloads(down_to.value(), up_to);
      mark("dropped", index_.drop_payloads(down_to, Lsn(up_to)) > ByteCount());
    } else {
      expect_lookup(random_range(random));
    }
  }

  void run(std::uint64_t seed, int operations) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    for (int i = 0; i < operations; ++i) {
      SCOPED_TRACE(fmt::format("operation {}", i));
      ASSERT_NO_FATAL_FAILURE(step(random));
      if (i % 16 == 0) ASSERT_NO_FATAL_FAILURE(expect_all());
    }
    ASSERT_NO_FATAL_FAILURE(expect_all());
    for (const auto& [what, times] : marks_) EXPECT_GT(times, operations / 10'000) << what;
    // Nothing is left behind.
    index_.truncate_after(Lsn(model_.stable));
    index_.erase_up_to(Lsn(model_.stable), blocks(0, kBlocks));
    ASSERT_EQ(index_.record_count(), 0u);
    ASSERT_EQ(index_.entry_count(), 0u);
    ASSERT_EQ(pool_.statistics().buffers, 0u);
  }

  Model model_{kBlocks};
  std::map<std::string, int> marks_;
  std::deque<IndexRecord> tail_;
  std::vector<std::uint64_t> late_;
  std::uint64_t head_ = 0;
  std::uint64_t erased_ = 0;
  std::uint64_t place_ = 0;
};

TEST_F(IntervalIndexModelTest, ALongHistoryMatchesAModelWithAllVersions) {
  run(1, 100'000);
}

TEST_F(IntervalIndexModelTest, AHistoryOfAnyOtherSeedDoesToo) {
  const std::uint64_t seed = Random::from_os().next();
  std::cout << "seed " << seed << '\n';
  run(seed, 150'000);
}

}  // namespace
}  // namespace ashlar::engine
