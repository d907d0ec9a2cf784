#include "volume/iscsi/text_exchange.h"

#include <gtest/gtest.h>

#include "tests/volume/iscsi/login_lab.h"

namespace ashlar::iscsi {
namespace {

class TextExchangeTest : public ::testing::Test, protected TextAnswerer {
 protected:
  void send_targets(std::string_view value, TextWriter& reply) override {
    asked_.emplace_back(value);
    for (int i = 0; i < 20; ++i) reply.add("TargetName", fmt::format("iqn.2026-01.io:{:04}", i));
  }
  static TextRequestPdu request(std::uint8_t flags, std::uint32_t transfer_tag = kReservedTag,
                                std::uint32_t task_tag = 9) {
    TextRequestPdu pdu;
    pdu.flags = flags;
    pdu.lun = 0x1234;
    pdu.initiator_task_tag = task_tag;
    pdu.target_transfer_tag = transfer_tag;
    return pdu;
  }
  TextStep feed(const TextRequestPdu& pdu, std::string_view text, std::uint32_t limit = 8192) {
    return exchange_.feed(pdu, bytes_of(text), limit, *this);
  }

  TextExchange exchange_;
  std::vector<std::string> asked_;
};

TEST_F(TextExchangeTest, AShortReplyEndsTheExchange) {
  const TextStep step = feed(request(kFinal), text_with("SendTargets=All;"));
  EXPECT_FALSE(step.reject_reason);
  EXPECT_EQ(step.reply.flags, kFinal);
  EXPECT_EQ(step.reply.initiator_task_tag, 9u);
  EXPECT_EQ(step.reply.target_transfer_tag, kReservedTag);
  EXPECT_EQ(step.reply.data_segment_length, step.text.size());
  EXPECT_EQ(asked_, std::vector<std::string>{"All"});
}

TEST_F(TextExchangeTest, ALongReplyGoesOnByItsTransferTag) {
  const TextStep whole = feed(request(kFinal), text_with("SendTargets=All;"));
  const std::string expected(whole.text);

  std::string got;
  TextStep step = feed(request(kFinal), text_with("SendTargets=All;"), 100);
  int count = 1;
  while (has_flag(step.reply, kFlagContinue)) {
    EXPECT_FALSE(is_final(step.reply));
    EXPECT_NE(step.reply.target_transfer_tag, kReservedTag);
    EXPECT_EQ(step.text.size(), 100u);
    got += step.text;
    step = feed(request(kFinal, step.reply.target_transfer_tag), "", 100);
    ASSERT_FALSE(step.reject_reason);
    ASSERT_LT(++count, 100);
  }
  got += step.text;
  EXPECT_TRUE(is_final(step.reply));
  EXPECT_EQ(step.reply.target_transfer_tag, kReservedTag);
  EXPECT_EQ(got, expected);
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(TextExchangeTest, ARequestMayBeSpreadOverSeveralPdus) {
  TextStep step = feed(request(kFlagContinue), "SendTar");
  EXPECT_EQ(step.reply.flags, 0);
  EXPECT_TRUE(step.text.empty());
  EXPECT_NE(step.reply.target_transfer_tag, kReservedTag);
  step = feed(request(kFinal, step.reply.target_transfer_tag), text_with("gets=All;"));
  EXPECT_TRUE(is_final(step.reply));
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(TextExchangeTest, AnInitiatorThatIsNotFinishedIsNotEither) {
  TextStep step = feed(request(0), text_with("SendTargets=All;"));
  EXPECT_FALSE(is_final(step.reply));
  EXPECT_FALSE(step.text.empty());
  step = feed(request(kFinal, step.reply.target_transfer_tag), text_with("X-key=1;"));
  EXPECT_TRUE(is_final(step.reply));
  EXPECT_EQ(step.text, text_with("X-key=NotUnderstood;"));
}

TEST_F(TextExchangeTest, ANewRequestForgetsWhatWasLeft) {
  TextStep step = feed(request(kFinal), text_with("SendTargets=All;"), 100);
  const std::uint32_t old_tag = step.reply.target_transfer_tag;
  step = feed(request(kFinal, kReservedTag, 10), text_with("X-key=1;"));
  EXPECT_EQ(step.text, text_with("X-key=NotUnderstood;"));
  EXPECT_EQ(feed(request(kFinal, old_tag), "", 100).reject_reason, RejectReason::kProtocolError);
}

TEST_F(TextExchangeTest, AnOldTransferTagIsNotTakenForANewOne) {
  const std::uint32_t first =
      feed(request(kFinal), text_with("SendTargets=All;"), 100).reply.target_transfer_tag;
  const std::uint32_t second =
      feed(request(kFinal), text_with("SendTargets=All;"), 100).reply.target_transfer_tag;
  EXPECT_NE(first, second);
  EXPECT_EQ(feed(request(kFinal, first), "", 100).reject_reason, RejectReason::kProtocolError);
}

TEST_F(TextExchangeTest, WhatBreaksTheProtocolIsRejected) {
  EXPECT_EQ(feed(request(kFinal | kFlagContinue), "").reject_reason, RejectReason::kProtocolError);
  EXPECT_EQ(feed(request(kFinal, 5), "").reject_reason, RejectReason::kProtocolError);
  EXPECT_EQ(feed(request(kFinal), "no list").reject_reason, RejectReason::kProtocolError);
  EXPECT_EQ(feed(request(kFinal), text_with("SendTargets=All;SendTargets=All;")).reject_reason,
            RejectReason::kProtocolError);
  // Another task's tag, and keys while the reply goes on.
  TextStep step = feed(request(kFinal), text_with("SendTargets=All;"), 100);
  EXPECT_EQ(feed(request(kFinal, step.reply.target_transfer_tag, 10), "").reject_reason,
            RejectReason::kProtocolError);
  step = feed(request(kFinal), text_with("SendTargets=All;"), 100);
  EXPECT_EQ(feed(request(kFinal, step.reply.target_transfer_tag), text_with("A=1;")).reject_reason,
            RejectReason::kProtocolError);
}

TEST_F(TextExchangeTest, ARequestHasItsBound) {
  TextStep step = feed(request(kFlagContinue), std::string(kMostTextBytes, 'A'));
  step = feed(request(kFlagContinue, step.reply.target_transfer_tag), "A");
  EXPECT_EQ(step.reject_reason, RejectReason::kOutOfResources);
}

TEST_F(TextExchangeTest, ASegmentLengthMayBeDeclaredAnew) {
  TextStep step = feed(request(kFinal), text_with("MaxRecvDataSegmentLength=1024;"));
  EXPECT_EQ(step.send_segment_max, 1024u);
  EXPECT_TRUE(step.text.empty());
  step = feed(request(kFinal), text_with("MaxRecvDataSegmentLength=1;InitialR2T=No;"));
  EXPECT_FALSE(step.send_segment_max);
  EXPECT_EQ(step.text, text_with("MaxRecvDataSegmentLength=Reject;InitialR2T=Reject;"));
}

}  // namespace
}  // namespace ashlar::iscsi
