#include "tests/e2e/crash/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::crash {
namespace {

constexpr std::uint64_t kRun = 7;

std::vector<std::byte> cell_of(std::uint64_t sequence, std::uint64_t lba,
                               std::uint64_t run = kRun) {
  std::vector<std::byte> cell(512);
  if (sequence != 0) fill_cell(cell, {.run = run, .sequence = sequence, .lba = lba});
  return cell;
}

class LedgerTest : public ::testing::Test {
 protected:
  void acknowledge(std::uint64_t first, std::uint64_t count, Written written) {
    ASSERT_TRUE(ledger_.claim(first, count));
    ledger_.acknowledged(first, count, written);
  }
  void lose(std::uint64_t first, std::uint64_t count, Written written) {
    ASSERT_TRUE(ledger_.claim(first, count));
    ledger_.lost(first, count, written);
  }
  void expect_wrong(std::uint64_t lost, std::uint64_t foreign) {
    EXPECT_EQ(ledger_.lost_cells(), lost);
    EXPECT_EQ(ledger_.foreign_cells(), foreign);
  }

  Ledger ledger_{kRun, 16};
};

TEST_F(LedgerTest, AnAcknowledgedWriteIsWhatMustStandThere) {
  acknowledge(3, 2, {.sequence = 1, .pattern = Pattern::kStamps});
  EXPECT_TRUE(ledger_.look(3, cell_of(1, 3)));
  EXPECT_TRUE(ledger_.look(4, cell_of(1, 4)));
  EXPECT_TRUE(ledger_.look(5, cell_of(0, 5)));
  expect_wrong(0, 0);
}

TEST_F(LedgerTest, AnOlderWriteOrZerosAreALostWrite) {
  acknowledge(3, 2, {.sequence = 1, .pattern = Pattern::kStamps});
  acknowledge(3, 2, {.sequence = 2, .pattern = Pattern::kStamps});
  EXPECT_FALSE(ledger_.look(3, cell_of(1, 3)));
  EXPECT_FALSE(ledger_.look(4, cell_of(0, 4)));
  expect_wrong(2, 0);
  EXPECT_THAT(ledger_.problems(),
              ::testing::ElementsAre("block 3: wants write 2, has the older write 1",
                                     "block 4: wants write 2, has zeros"));
}

TEST_F(LedgerTest, AWriteThatWasLostWithItsSessionMayHaveHappenedOrNot) {
  acknowledge(3, 2, {.sequence = 1, .pattern = Pattern::kStamps});
  lose(3, 2, {.sequence = 2, .pattern = Pattern::kStamps});
  EXPECT_TRUE(ledger_.look(3, cell_of(1, 3)));
  EXPECT_TRUE(ledger_.look(4, cell_of(2, 4)));
  expect_wrong(0, 0);
}

TEST_F(LedgerTest, WhatWasSeenOnceMustStay) {
  acknowledge(3, 1, {.sequence = 1, .pattern = Pattern::kStamps});
  lose(3, 1, {.sequence = 2, .pattern = Pattern::kStamps});
  EXPECT_TRUE(ledger_.look(3, cell_of(2, 3)));
  EXPECT_FALSE(ledger_.look(3, cell_of(1, 3)));
  expect_wrong(1, 0);
}

TEST_F(LedgerTest, AnotherBlockAnotherRunAndTornBytesAreForeign) {
  acknowledge(3, 3, {.sequence = 1, .pattern = Pattern::kStamps});
  EXPECT_FALSE(ledger_.look(3, cell_of(1, 4)));
  EXPECT_FALSE(ledger_.look(4, cell_of(1, 4, kRun + 1)));
  auto torn = cell_of(1, 5);
  torn[511] ^= std::byte{1};
  EXPECT_FALSE(ledger_.look(5, torn));
  expect_wrong(0, 3);
}

TEST_F(LedgerTest, AWriteThatWasNeverIssuedIsForeign) {
  acknowledge(3, 1, {.sequence = 1, .pattern = Pattern::kStamps});
  EXPECT_FALSE(ledger_.look(3, cell_of(9, 3)));
  expect_wrong(0, 1);
}

TEST_F(LedgerTest, WriteSameCarriesTheStampOfItsFirstCell) {
  acknowledge(3, 4, {.sequence = 1, .pattern = Pattern::kSame, .first = 3});
  EXPECT_TRUE(ledger_.look(6, cell_of(1, 3)));
  EXPECT_FALSE(ledger_.look(5, cell_of(1, 5)));
  expect_wrong(0, 1);
}

TEST_F(LedgerTest, UnmappedCellsAreZeros) {
  acknowledge(3, 1, {.sequence = 1, .pattern = Pattern::kStamps});
  acknowledge(3, 1, {.sequence = 2, .pattern = Pattern::kZeros});
  EXPECT_TRUE(ledger_.look(3, cell_of(0, 3)));
  EXPECT_FALSE(ledger_.look(3, cell_of(1, 3)));
  expect_wrong(1, 0);
}

TEST_F(LedgerTest, OverlappingCommandsAreNotUnderWayTogether) {
  ASSERT_TRUE(ledger_.claim(3, 4));
  EXPECT_FALSE(ledger_.claim(6, 1));
  EXPECT_TRUE(ledger_.claim(7, 1));
  ledger_.release(3, 4);
  EXPECT_TRUE(ledger_.claim(6, 1));
}

}  // namespace
}  // namespace ashlar::crash
