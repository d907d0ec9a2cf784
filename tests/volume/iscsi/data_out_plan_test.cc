#include "volume/iscsi/data_out_plan.h"

#include <gtest/gtest.h>

namespace ashlar::iscsi {
namespace {

DataOutPdu data_out(std::uint32_t tag, std::uint32_t number, std::uint32_t offset,
                    std::uint32_t length, bool is_last) {
  DataOutPdu pdu;
  pdu.target_transfer_tag = tag;
  pdu.data_sn = number;
  pdu.buffer_offset = offset;
  pdu.data_segment_length = length;
  if (is_last) pdu.flags |= kFinal;
  return pdu;
}

TEST(DataOutPlanTest, UnsolicitedThenSolicitedDataInOrder) {
  DataOutPlan plan;
  plan.begin(20'000, 8192, true);
  plan.take_immediate(4096);
  EXPECT_FALSE(plan.may_request(20'000, 1)) << "unsolicited data is still to come";
  plan.take(data_out(kReservedTag, 0, 4096, 4096, true));
  EXPECT_EQ(plan.received(), 8192u);
  ASSERT_TRUE(plan.may_request(20'000, 2));
  const DataOutPlan::Request first = plan.request(7, 20'000, 8000);
  EXPECT_EQ(first.offset, 8192u);
  EXPECT_EQ(first.length, 8000u);
  ASSERT_TRUE(plan.may_request(20'000, 2));
  const DataOutPlan::Request second = plan.request(8, 20'000, 8000);
  EXPECT_EQ(second.number, 1u);
  EXPECT_EQ(second.length, 20'000u - 16'192);
  EXPECT_FALSE(plan.may_request(20'000, 2));
  plan.take(data_out(7, 0, 8192, 5000, false));
  plan.take(data_out(7, 1, 13'192, 3000, true));
  EXPECT_FALSE(plan.is_quiet());
  plan.take(data_out(8, 0, 16'192, 3808, true));
  EXPECT_TRUE(plan.is_quiet());
  EXPECT_EQ(plan.received(), 20'000u);
  EXPECT_EQ(plan.fault(), DataOutFault::kNone);
}

TEST(DataOutPlanTest, FewerUnsolicitedBytesThanAllowedAreAskedForLater) {
  DataOutPlan plan;
  plan.begin(10'000, 8192, true);
  plan.take(data_out(kReservedTag, 0, 0, 100, true));
  EXPECT_EQ(plan.fault(), DataOutFault::kNone);
  const DataOutPlan::Request request = plan.request(1, 10'000, 65'536);
  EXPECT_EQ(request.offset, 100u);
  EXPECT_EQ(request.length, 9900u);
}

// L68: every way in which a Data-Out can be wrong is a fault, and nothing more is taken.
TEST(DataOutPlanTest, WhatIsNotTheExactContinuationIsAFault) {
  struct Case {
    const char* what;
    DataOutPdu pdu;
  };
  const Case cases[] = {
      {"too long", data_out(7, 1, 1000, 3001, true)},
      {"short with F", data_out(7, 1, 1000, 2999, true)},
      {"complete without F", data_out(7, 1, 1000, 3000, false)},
      {"overlapping", data_out(7, 1, 999, 1000, false)},
      {"a gap", data_out(7, 1, 1001, 1000, false)},
      {"DataSN ahead", data_out(7, 2, 1000, 1000, false)},
      {"DataSN again", data_out(7, 0, 1000, 1000, false)},
      {"a foreign tag", data_out(9, 1, 1000, 1000, false)},
      {"unsolicited", data_out(kReservedTag, 1, 1000, 1000, false)},
      {"at the end of numbers", data_out(7, 1, 0xffffff00, 0x200, false)},
  };
  for (const Case& test : cases) {
    DataOutPlan plan;
    plan.begin(4000, 0, false);
    (void)plan.request(7, 4000, 65'536);
    plan.take(data_out(7, 0, 0, 1000, false));
    ASSERT_EQ(plan.fault(), DataOutFault::kNone);
    plan.take(test.pdu);
    EXPECT_EQ(plan.fault(), DataOutFault::kAmount) << test.what;
    const std::uint32_t received = plan.received();
    plan.take(data_out(7, 1, 1000, 3000, true));
    EXPECT_EQ(plan.received(), received) << test.what;
    EXPECT_FALSE(plan.may_request(4000, 8)) << test.what;
  }
}

TEST(DataOutPlanTest, AfterAFaultTheOpenSequencesAreWaitedFor) {
  DataOutPlan plan;
  plan.begin(4000, 0, false);
  (void)plan.request(1, 4000, 2000);
  (void)plan.request(2, 4000, 2000);
  plan.take(data_out(1, 5, 0, 1000, false));
  EXPECT_EQ(plan.fault(), DataOutFault::kAmount);
  plan.take(data_out(1, 6, 1000, 1000, true));
  EXPECT_FALSE(plan.is_quiet());
  plan.take(data_out(2, 0, 2000, 2000, true));
  EXPECT_TRUE(plan.is_quiet());
}

TEST(DataOutPlanTest, MoreImmediateDataThanAgreedIsAFault) {
  DataOutPlan plan;
  plan.begin(4000, 1000, false);
  plan.take_immediate(1001);
  EXPECT_EQ(plan.fault(), DataOutFault::kAmount);
  plan.begin(500, 1000, false);
  plan.take_immediate(501);
  EXPECT_EQ(plan.fault(), DataOutFault::kAmount) << "more than the command has";
}

TEST(DataOutPlanTest, LengthsUpTo32BitsDoNotWrap) {
  DataOutPlan plan;
  plan.begin(0xffffffff, 0, false);
  std::uint32_t offset = 0;
  const DataOutPlan::Request first = plan.request(1, 0xffffffff, 0xfffffff0);
  EXPECT_EQ(first.length, 0xfffffff0);
  while (offset < first.length) {
    const std::uint32_t part = std::min<std::uint32_t>(first.length - offset, (1u << 24) - 1);
    plan.take(data_out(1, offset / ((1u << 24) - 1), offset, part, offset + part == first.length));
    offset += part;
  }
  const DataOutPlan::Request last = plan.request(2, 0xffffffff, 0xfffffff0);
  EXPECT_EQ(last.offset, 0xfffffff0);
  EXPECT_EQ(last.length, 15u);
  EXPECT_EQ(plan.fault(), DataOutFault::kNone);
}

}  // namespace
}  // namespace ashlar::iscsi
