#include "cli/store/replica_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::store_tool {
namespace {

using engine::RecordHeader;
using engine::RecordType;
using testing::ElementsAre;
using testing::Pair;

// Flushed up to record 10 of epoch 2.
engine::ReplicaState flushed_state() {
  return {.size_blocks = 64,
          .flushed = Lsn(10),
          .flushed_epoch = Epoch(2),
          .epochs = {{Epoch(2), Lsn(1)}}};
}

RecordHeader record(std::uint64_t lsn, std::uint64_t epoch, std::uint64_t previous,
                    RecordType type = RecordType::kWrite) {
  return {.type = type,
          .epoch = Epoch(epoch),
          .lsn = Lsn(lsn),
          .previous_epoch = Epoch(previous),
          .block_count = 1};
}

ReplicaHistory history_of(const std::vector<RecordHeader>& records) {
  ReplicaHistory history(flushed_state());
  for (const RecordHeader& one : records) history.add(one);
  history.finish();
  return history;
}

TEST(ReplicaHistoryTest, WithoutRecordsItIsTheState) {
  const ReplicaHistory history = history_of({});
  EXPECT_EQ(history.last(), Lsn(10));
  EXPECT_EQ(history.last_epoch(), Epoch(2));
  EXPECT_EQ(history.size_blocks(), 64u);
}

TEST(ReplicaHistoryTest, WhatIsFlushedAlreadyIsNotCounted) {
  const ReplicaHistory history = history_of({record(9, 2, 2), record(10, 2, 2), record(11, 2, 2)});
  EXPECT_THAT(history.unflushed(), ElementsAre(Pair(RecordType::kWrite, 1)));
}

TEST(ReplicaHistoryTest, ACopyCountsOnceWhereverItStands) {
  const ReplicaHistory history = history_of(
      {record(11, 2, 2), record(12, 2, 2), record(11, 2, 2), record(13, 2, 2), record(12, 2, 2)});
  EXPECT_EQ(history.hole(), "");
  EXPECT_EQ(history.last(), Lsn(13));
  EXPECT_THAT(history.unflushed(), ElementsAre(Pair(RecordType::kWrite, 3)));
}

TEST(ReplicaHistoryTest, ATruncationDropsWhatStandsBeforeIt) {
  RecordHeader resize = record(13, 3, 2, RecordType::kResize);
  resize.block_count = 128;
  const ReplicaHistory history =
      history_of({record(11, 2, 2), record(12, 2, 2), resize,
                  record(11, 3, 2, RecordType::kTruncate), record(12, 3, 2)});
  EXPECT_EQ(history.hole(), "");
  EXPECT_EQ(history.last(), Lsn(12));
  EXPECT_EQ(history.size_blocks(), 64u) << "the resize was dropped";
  EXPECT_THAT(history.epochs(), ElementsAre(engine::EpochStart{Epoch(2), Lsn(1)},
                                            engine::EpochStart{Epoch(3), Lsn(12)}));
}

TEST(ReplicaHistoryTest, AHoleIsNamed) {
  EXPECT_EQ(history_of({record(11, 2, 2), record(13, 2, 2)}).hole(),
            "record 13 of epoch 2 does not follow record 11 of epoch 2");
}

TEST(ReplicaHistoryTest, ARecordOfAnotherHistoryIsAHole) {
  EXPECT_EQ(history_of({record(11, 4, 3)}).hole(),
            "record 11 of epoch 4 does not follow record 10 of epoch 2");
}

}  // namespace
}  // namespace ashlar::store_tool
