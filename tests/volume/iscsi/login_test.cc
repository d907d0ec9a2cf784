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

// The status that a login of one request gets.
LoginStatus status_after(const TestPolicy& policy, const LoginRequestPdu& request,
                         std::string_view text) {
  LoginLab lab(policy);
  const LoginStep step = lab.feed(request, text);
  EXPECT_EQ(step.kind, Kind::kFailed);
  EXPECT_FALSE(lab.machine.reason().empty());
  return status_of(step);
}
LoginStatus status_after(const TestPolicy& policy, std::string_view text) {
  return status_after(policy, login_request(Stage::kSecurity), text);
}

TEST(LoginTest, AFirstRequestSaysWhoWantsWhat) {
  const TestPolicy policy;
  EXPECT_EQ(status_after(policy, ""), LoginStatus::kMissingParameter);
  EXPECT_EQ(status_after(policy, text_with("TargetName=iqn.2026-01.io.ashlar:vol1;")),
            LoginStatus::kMissingParameter);
  EXPECT_EQ(status_after(policy, text_with("InitiatorName=iqn.2004-01.com.example:host1;")),
            LoginStatus::kMissingParameter);
  EXPECT_EQ(status_after(policy, text_with("InitiatorName=host1;TargetName=vol1;")),
            LoginStatus::kInitiatorError);
  EXPECT_EQ(status_after(policy, text_with("InitiatorName=iqn.2004-01.com.example:host1;"
                                           "TargetName=vol1;")),
            LoginStatus::kNotFound);
  EXPECT_EQ(status_after(policy, text_with("InitiatorName=iqn.2004-01.com.example:host1;"
                                           "SessionType=Other;")),
            LoginStatus::kSessionTypeNotSupported);
  EXPECT_TRUE(policy.asked.empty());
}

TEST(LoginTest, NamesAreNormalisedBeforeAnybodyIsAsked) {
  TestPolicy policy;
  policy.verdict.access.initiators = {"IQN.2004-01.com.example:HOST1"};
  LoginLab lab(policy);
  const LoginStep step = lab.send(Stage::kOperational, Stage::kFull,
                                  text_with("InitiatorName=iqn.2004-01.COM.example:Host1;"
                                            "TargetName=iqn.2026-01.io.ashlar:VOL1;"));
  EXPECT_EQ(step.kind, Kind::kDone) << lab.machine.reason();
  ASSERT_EQ(policy.asked.size(), 1u);
  EXPECT_EQ(policy.asked[0].initiator, kInitiator);
  EXPECT_EQ(policy.asked[0].target, kTarget);
}

TEST(LoginTest, WhatTheServerSaysOfTheTargetEndsTheLogin) {
  TestPolicy policy;
  for (const LoginStatus status :
       {LoginStatus::kNotFound, LoginStatus::kTargetRemoved, LoginStatus::kServiceUnavailable,
        LoginStatus::kOutOfResources, LoginStatus::kSessionDoesNotExist}) {
    policy.verdict.status = status;
    EXPECT_EQ(status_after(policy, names_text()), status);
  }
}

TEST(LoginTest, ARedirectNamesTheAddress) {
  TestPolicy policy;
  policy.require_chap();  // it is sent on before it proves anything
  policy.verdict.status = LoginStatus::kTargetMovedTemporarily;
  policy.verdict.redirect_to = "[2001:db8::1]:3260";
  LoginLab lab(policy);
  const LoginStep step = lab.send(Stage::kSecurity, Stage::kOperational, names_text());
  EXPECT_EQ(step.kind, Kind::kFailed);
  EXPECT_EQ(status_of(step), LoginStatus::kTargetMovedTemporarily);
  EXPECT_EQ(step.reply.status, 0x0101);
  EXPECT_EQ(step.text, text_with("TargetAddress=[2001:db8::1]:3260;"));
  EXPECT_EQ(step.reply.data_segment_length, step.text.size());
  EXPECT_EQ(step.reply.flags, 0);
}

TEST(LoginTest, AnInitiatorThatIsNotListedIsForbidden) {
  TestPolicy policy;
  policy.verdict.access.initiators = {"iqn.2004-01.com.example:host2"};
  EXPECT_EQ(status_after(policy, names_text()), LoginStatus::kAuthorizationFailure);
}

TEST(LoginTest, ADiscoverySessionNeedsNoTarget) {
  TestPolicy policy;
  LoginLab lab(policy);
  const LoginStep step =
      lab.send(Stage::kOperational, Stage::kFull,
               text_with("InitiatorName=iqn.2004-01.com.example:host1;SessionType=Discovery;"
                         "MaxBurstLength=65536;InitialR2T=No;DefaultTime2Wait=5;"
                         "MaxRecvDataSegmentLength=1024;"));
  EXPECT_EQ(step.kind, Kind::kDone) << lab.machine.reason();
  EXPECT_TRUE(lab.machine.result().identity.is_discovery);
  EXPECT_EQ(lab.reply("TargetPortalGroupTag"), "-");
  EXPECT_EQ(lab.reply("MaxBurstLength"), "Irrelevant");
  EXPECT_EQ(lab.reply("InitialR2T"), "Irrelevant");
  EXPECT_EQ(lab.reply("DefaultTime2Wait"), "5");
  EXPECT_EQ(lab.machine.result().connection.send_segment_max, 1024u);
}

TEST(LoginTest, AVersionThatWeDoNotSpeakIsRefused) {
  const TestPolicy policy;
  LoginRequestPdu request = login_request(Stage::kSecurity);
  request.version_min = 1;
  request.version_max = 2;
  EXPECT_EQ(status_after(policy, request, names_text()), LoginStatus::kUnsupportedVersion);
  LoginLab lab(policy);
  request.version_min = 0;
  EXPECT_EQ(lab.feed(request, names_text()).kind, Kind::kContinue);
}

TEST(LoginTest, WhatIdentifiesTheLoginStaysTheSame) {
  const std::vector<void (*)(LoginRequestPdu&)> changes = {
      [](LoginRequestPdu& request) { request.initiator_task_tag = 8; },
      [](LoginRequestPdu& request) { request.isid = 1; },
      [](LoginRequestPdu& request) { request.tsih = 1; },
      [](LoginRequestPdu& request) { request.cid = 1; },
      [](LoginRequestPdu& request) { request.cmd_sn = 101; },
  };
  const TestPolicy policy;
  for (const auto change : changes) {
    LoginLab lab(policy);
    lab.send(Stage::kSecurity, std::nullopt, names_text());
    LoginRequestPdu request = login_request(Stage::kSecurity);
    change(request);
    const LoginStep step = lab.feed(request, "");
    EXPECT_EQ(step.kind, Kind::kFailed);
    EXPECT_EQ(status_of(step), LoginStatus::kInitiatorError);
  }
}

TEST(LoginTest, TextMayBeSpreadOverRequestsThatGoOn) {
  const TestPolicy policy;
  const std::string text = names_text() + text_with("AuthMethod=None;");
  for (std::size_t cut = 0; cut <= text.size(); cut += 7) {
    LoginLab lab(policy);
    LoginRequestPdu part = login_request(Stage::kSecurity);
    part.flags |= kFlagContinue;
    LoginStep step = lab.feed(part, text.substr(0, cut));
    EXPECT_EQ(step.kind, Kind::kContinue);
    EXPECT_EQ(step.reply.flags, 0);
    EXPECT_TRUE(step.text.empty());
    step = lab.send(Stage::kSecurity, Stage::kOperational, text.substr(cut));
    EXPECT_EQ(step.reply.flags, kFlagTransit | 1) << lab.machine.reason();
    EXPECT_EQ(lab.reply("AuthMethod"), "None");
  }
}

TEST(LoginTest, ALongReplyGoesOutInPiecesWhileTheInitiatorAsksForThem) {
  const TestPolicy policy;
  LoginLab lab(policy);
  lab.send(Stage::kOperational, std::nullopt, names_text());
  std::string text;
  for (int i = 0; i < 120; ++i) text += fmt::format("X-{:03}-{}=1", i, std::string(57, 'y')) + '\0';
  LoginRequestPdu part = login_request(Stage::kOperational);
  part.flags |= kFlagContinue;
  lab.feed(part, text.substr(0, 4000));
  LoginStep step = lab.send(Stage::kOperational, Stage::kFull, text.substr(4000));
  EXPECT_EQ(step.kind, Kind::kContinue) << lab.machine.reason();
  EXPECT_EQ(step.reply.flags, kFlagContinue | 1 << 2);
  EXPECT_EQ(step.text.size(), 8192u);
  step = lab.send(Stage::kOperational, Stage::kFull, "");
  EXPECT_EQ(step.kind, Kind::kContinue);
  EXPECT_EQ(step.reply.flags, 1 << 2);
  EXPECT_FALSE(step.text.empty());
  step = lab.send(Stage::kOperational, Stage::kFull, "");
  EXPECT_EQ(step.kind, Kind::kDone);
}

TEST(LoginTest, KeysWhileAReplyGoesOnAreRefused) {
  const TestPolicy policy;
  LoginLab lab(policy);
  std::string text = names_text();
  for (int i = 0; i < 110; ++i) text += fmt::format("X-{:03}-{}=1", i, std::string(57, 'y')) + '\0';
  EXPECT_EQ(lab.send(Stage::kOperational, std::nullopt, text).reply.flags & kFlagContinue,
            kFlagContinue);
  const LoginStep step = lab.send(Stage::kOperational, std::nullopt, text_with("InitialR2T=No;"));
  EXPECT_EQ(step.kind, Kind::kFailed);
}

TEST(LoginTest, TextBeyondItsBoundsEndsTheLogin) {
  const TestPolicy policy;
  EXPECT_EQ(status_after(policy, std::string(8193, 'A')), LoginStatus::kInitiatorError);
  LoginLab lab(policy);
  LoginRequestPdu part = login_request(Stage::kSecurity);
  part.flags |= kFlagContinue;
  EXPECT_EQ(lab.feed(part, std::string(8192, 'A')).kind, Kind::kContinue);
  EXPECT_EQ(lab.feed(part, std::string(8192, 'A')).kind, Kind::kContinue);
  const LoginStep step = lab.feed(part, "A");
  EXPECT_EQ(status_of(step), LoginStatus::kOutOfResources);

  LoginLab endless(policy);
  LoginStep last;
  int count = 0;
  do {
    last = endless.feed(part, "");
    ++count;
  } while (last.kind == Kind::kContinue && count < 1000);
  EXPECT_EQ(count, 129);
}

TEST(LoginTest, NothingIsSettledTwice) {
  const TestPolicy policy;
  EXPECT_EQ(status_after(policy, names_text() + text_with("AuthMethod=None;AuthMethod=None;")),
            LoginStatus::kInitiatorError);
  EXPECT_EQ(status_after(policy, names_text() + names_text()), LoginStatus::kInitiatorError);
  for (const std::string_view key :
       {"InitialR2T=Yes;", "MaxRecvDataSegmentLength=8192;", "HeaderDigest=None;"}) {
    LoginLab lab(policy);
    lab.send(Stage::kOperational, std::nullopt, names_text() + text_with(key));
    const LoginStep step = lab.send(Stage::kOperational, std::nullopt, text_with(key));
    EXPECT_EQ(status_of(step), LoginStatus::kInitiatorError) << key;
  }
}

TEST(LoginTest, KeysHaveTheirPlace) {
  const TestPolicy policy;
  // In the security stage.
  for (const std::string_view key :
       {"InitialR2T=Yes;", "SendTargets=All;", "TargetAlias=x;", "TargetAddress=10.0.0.1;",
        "TargetPortalGroupTag=1;", "MaxRecvDataSegmentLength=8192;", "CHAP_A=5;", "CHAP_N=x;"}) {
    EXPECT_EQ(status_after(policy, names_text() + text_with(key)), LoginStatus::kInitiatorError)
        << key;
  }
  // In the operational stage.
  for (const std::string_view key : {"AuthMethod=None;", "CHAP_A=5;", "SendTargets=All;"}) {
    EXPECT_EQ(
        status_after(policy, login_request(Stage::kOperational), names_text() + text_with(key)),
        LoginStatus::kInitiatorError)
        << key;
  }
  // After the first request.
  for (const std::string_view key :
       {"TargetName=iqn.2026-01.io.ashlar:vol2;", "SessionType=Normal;",
        "InitiatorName=iqn.2004-01.com.example:host2;"}) {
    LoginLab lab(policy);
    lab.send(Stage::kSecurity, std::nullopt,
             text_with("InitiatorName=iqn.2004-01.com.example:host1;"
                       "TargetName=iqn.2026-01.io.ashlar:vol1;"));
    EXPECT_EQ(status_of(lab.send(Stage::kSecurity, std::nullopt, text_with(key))),
              LoginStatus::kInitiatorError)
        << key;
  }
}

TEST(LoginTest, AnInitiatorMayProveAndAskForProof) {
  TestPolicy policy;
  policy.require_chap("0x41");
  policy.offer_proof();
  LoginLab lab(policy);
  lab.send(Stage::kSecurity, std::nullopt, names_text() + text_with("AuthMethod=CHAP;"));
  lab.send(Stage::kSecurity, std::nullopt, text_with("CHAP_A=7;"));
  const LoginStep step =
      lab.send(Stage::kSecurity, Stage::kFull,
               chap_answer(lab, "0x41") + text_with("CHAP_I=5;CHAP_C=0xaabbccdd;"));
  EXPECT_EQ(step.kind, Kind::kDone) << lab.machine.reason();
  EXPECT_EQ(lab.reply("CHAP_N"), "target1");
  const auto proof =
      chap_response(ChapAlgorithm::kSha256, 5, kTargetSecret, *parse_binary("0xaabbccdd", 4));
  EXPECT_EQ(lab.reply("CHAP_R"), format_binary(proof->bytes()));
}

TEST(LoginTest, ASecretThatIsTooShortLetsNobodyIn) {
  TestPolicy policy;
  policy.verdict.access.chap = volume::ChapCredentials{"host1", Secret("11 bytes...")};
  EXPECT_EQ(status_after(policy, names_text()), LoginStatus::kTargetError);
}

TEST(LoginTest, MethodsThatDoNotMeetEndTheLogin) {
  TestPolicy policy;
  EXPECT_EQ(status_after(policy, names_text() + text_with("AuthMethod=CHAP;")),
            LoginStatus::kAuthenticationFailure);
  EXPECT_EQ(status_after(policy, names_text() + text_with("AuthMethod=KRB5,SRP;")),
            LoginStatus::kAuthenticationFailure);
  policy.require_chap();
  EXPECT_EQ(status_after(policy, names_text() + text_with("AuthMethod=None;")),
            LoginStatus::kAuthenticationFailure);
  EXPECT_EQ(
      status_after(policy, login_request(Stage::kSecurity, Stage::kOperational), names_text()),
      LoginStatus::kAuthenticationFailure);
  EXPECT_EQ(status_after(policy, login_request(Stage::kOperational), names_text()),
            LoginStatus::kAuthenticationFailure);
}

TEST(LoginTest, ALoginThatIsDoneCanStillBeRefused) {
  const TestPolicy policy;
  LoginLab lab(policy);
  EXPECT_EQ(lab.send(Stage::kOperational, Stage::kFull, names_text()).kind, Kind::kDone);
  const LoginStep step = lab.machine.refuse(LoginStatus::kTooManyConnections);
  EXPECT_EQ(step.kind, Kind::kFailed);
  EXPECT_EQ(status_of(step), LoginStatus::kTooManyConnections);
  EXPECT_EQ(step.reply.stat_sn, 5000u);
  EXPECT_TRUE(step.text.empty());
}

TEST(LoginTest, TheTargetIsPeekedAtWhereItCanBe) {
  LoginRequestPdu request = login_request(Stage::kSecurity);
  EXPECT_EQ(peek_target(request, bytes_of(names_text())), kTarget);
  EXPECT_FALSE(peek_target(request, bytes_of(text_with("SessionType=Discovery;"
                                                       "TargetName=iqn.2026-01.io.ashlar:vol1;"))));
  EXPECT_FALSE(peek_target(request, {}));
  EXPECT_FALSE(peek_target(request, bytes_of("broken")));
  EXPECT_FALSE(peek_target(request, bytes_of(text_with("TargetName=vol1;"))));
  request.flags |= kFlagContinue;
  EXPECT_EQ(peek_target(request, bytes_of(names_text() + "AuthMe")), kTarget);
  EXPECT_FALSE(peek_target(request, bytes_of(names_text().substr(0, names_text().size() - 3))));
}

}  // namespace
}  // namespace ashlar::iscsi
