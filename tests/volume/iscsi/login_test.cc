#include "volume/iscsi/login.h"

#include <gtest/gtest.h>

#include "tests/volume/iscsi/login_lab.h"

namespace ashlar::iscsi {
namespace {

using Kind = LoginStep::Kind;

TEST(LoginTest, AnInitiatorThatNeedsNoProofIsInAfterTwoRequests) {
  TestPolicy policy;
  policy.verdict.group_tag = 3;
  policy.verdict.target_alias = "vol1";
  LoginLab lab(policy);
  LoginStep step = lab.send(Stage::kSecurity, Stage::kOperational,
                            names_text() + text_with("AuthMethod=CHAP,None;"));
  EXPECT_EQ(step.kind, Kind::kContinue) << lab.machine.reason();
  EXPECT_EQ(step.reply.flags, kFlagTransit | 1);
  EXPECT_EQ(lab.reply("AuthMethod"), "None");
  EXPECT_EQ(lab.reply("TargetPortalGroupTag"), "3");
  EXPECT_EQ(lab.reply("TargetAlias"), "vol1");
  EXPECT_EQ(step.reply.stat_sn, 5000u);

  step = lab.send(Stage::kOperational, Stage::kFull,
                  text_with("HeaderDigest=CRC32C,None;DataDigest=None;InitialR2T=No;"
                            "MaxRecvDataSegmentLength=65536;MaxBurstLength=16776192;"
                            "FirstBurstLength=262144;X-com.example.flag=1;"));
  EXPECT_EQ(step.kind, Kind::kDone) << lab.machine.reason();
  EXPECT_EQ(step.reply.flags, kFlagTransit | 1 << 2 | 3);
  EXPECT_EQ(lab.reply("HeaderDigest"), "CRC32C");
  EXPECT_EQ(lab.reply("DataDigest"), "None");
  EXPECT_EQ(lab.reply("InitialR2T"), "No");
  EXPECT_EQ(lab.reply("MaxRecvDataSegmentLength"), "262144");
  EXPECT_EQ(lab.reply("MaxBurstLength"), "1048576");
  EXPECT_EQ(lab.reply("X-com.example.flag"), "NotUnderstood");
  EXPECT_EQ(step.reply.stat_sn, 5001u);
  EXPECT_EQ(step.reply.exp_cmd_sn, 100u);
  EXPECT_EQ(step.reply.max_cmd_sn, 131u);

  const LoginResult& result = lab.machine.result();
  EXPECT_EQ(result.identity.initiator, kInitiator);
  EXPECT_EQ(result.identity.target, kTarget);
  EXPECT_EQ(result.identity.isid, 0x400001370000u);
  EXPECT_EQ(result.connection.header_digest, DigestKind::kCrc32c);
  EXPECT_EQ(result.connection.send_segment_max, 65536u);
  EXPECT_EQ(result.connection.receive_segment_max, 262144u);
  EXPECT_EQ(result.session.max_burst_length, 1u << 20);
  EXPECT_FALSE(result.session.initial_r2t);
  EXPECT_EQ(result.cmd_sn, 100u);
  EXPECT_EQ(result.next_stat_sn, 5002u);
}

TEST(LoginTest, ChapInAllAlgorithmsLetsInWhoKnowsTheSecret) {
  for (const std::string_view offer : {"5", "6", "7", "8", "9,7,5", "0x8"}) {
    TestPolicy policy;
    policy.require_chap();
    LoginLab lab(policy);
    lab.send(Stage::kSecurity, std::nullopt, names_text() + text_with("AuthMethod=CHAP,None;"));
    EXPECT_EQ(lab.reply("AuthMethod"), "CHAP");
    lab.send(Stage::kSecurity, std::nullopt, "CHAP_A=" + std::string(offer) + '\0');
    LoginStep step = lab.send(Stage::kSecurity, Stage::kOperational, chap_answer(lab));
    EXPECT_EQ(step.kind, Kind::kContinue) << offer << ": " << lab.machine.reason();
    EXPECT_TRUE(step.reply.flags & kFlagTransit);
    step = lab.send(Stage::kOperational, Stage::kFull, "");
    EXPECT_EQ(step.kind, Kind::kDone) << offer << ": " << lab.machine.reason();
    EXPECT_EQ(lab.machine.result().chap_name, "host1");
  }
}

}  // namespace
}  // namespace ashlar::iscsi
