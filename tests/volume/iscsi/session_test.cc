// One session in full feature phase, PDU by PDU, on both runtimes.
#include <gmock/gmock.h>

#include "tests/volume/iscsi/target_lab.h"

namespace ashlar::iscsi {
namespace {

using test::outcome_of;

class SessionTest : public TargetTest {};

TEST_P(SessionTest, ALoginAReadAWriteAndALogout) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    EXPECT_NE(host.tsih, 0);
    EXPECT_EQ(lab.server->sessions().size(), 1u);
    const std::vector<std::byte> data = pattern(4096, 1);

    const ScsiCommandPdu write = host.write_command(8, 8);
    CO_ASSERT_OK(co_await host.send(write, data));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu written, co_await host.receive());
    CO_ASSERT_TRUE(written.opcode() == Opcode::kScsiResponse);
    EXPECT_EQ(written.as<ScsiResponsePdu>().status, 0);
    EXPECT_EQ(written.as<ScsiResponsePdu>().initiator_task_tag, write.initiator_task_tag);
    EXPECT_EQ(written.as<ScsiResponsePdu>().flags, kFinal);

    const ScsiCommandPdu read = host.read_command(8, 8);
    CO_ASSERT_OK(co_await host.send(read));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu answer, co_await host.receive());
    CO_ASSERT_TRUE(answer.opcode() == Opcode::kDataIn);
    const auto header = answer.as<DataInPdu>();
    EXPECT_EQ(header.flags, kFinal | kFlagStatus);
    EXPECT_EQ(header.status, 0);
    EXPECT_EQ(header.data_sn, 0u);
    EXPECT_EQ(header.buffer_offset, 0u);
    EXPECT_EQ(header.residual, 0u);
    EXPECT_EQ(header.exp_cmd_sn, 3u);
    EXPECT_EQ(header.max_cmd_sn, 3u + 128 - 1);
    EXPECT_EQ(answer.data, data);

    CO_ASSERT_OK(co_await host.send(host.logout()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu bye, co_await host.receive());
    EXPECT_EQ(bye.opcode(), Opcode::kLogoutResponse);
    EXPECT_EQ(bye.as<LogoutResponsePdu>().response, 0);
    EXPECT_EQ(outcome_of(co_await host.receive()), "UNAVAILABLE");
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.server->sessions().empty(); });
  });
}

// --- order of CmdSN ---

TEST_P(SessionTest, CommandsAheadOfTheirTurnWaitAndDuplicatesAreIgnored) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    const ScsiCommandPdu first = host.test_unit_ready();
    const ScsiCommandPdu second = host.test_unit_ready();
    NopOutPdu third = host.nop_out();
    const ScsiCommandPdu fourth = host.test_unit_ready();
    ScsiCommandPdu fourth_again = fourth;
    fourth_again.initiator_task_tag = 777;
    CO_ASSERT_OK(co_await host.send(fourth));
    CO_ASSERT_OK(co_await host.send(fourth_again));
    CO_ASSERT_OK(co_await host.send(third));
    CO_ASSERT_OK(co_await host.send(second));
    // An immediate NOP-Out passes them and tells what the target expects.
    NopOutPdu now = host.nop_out();
    now.opcode |= kImmediate;
    now.cmd_sn = --host.cmd_sn;
    CO_ASSERT_OK(co_await host.send(now));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu pong, co_await host.receive());
    EXPECT_EQ(pong.opcode(), Opcode::kNopIn);
    EXPECT_EQ(host.exp_cmd_sn, 1u);
    EXPECT_TRUE(lab.device->seen.empty());

    CO_ASSERT_OK(co_await host.send(first));
    std::vector<std::uint32_t> tags;
    for (int i = 0; i < 4; ++i) {
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      tags.push_back(reply.as<BasicHeader>().initiator_task_tag);
    }
    EXPECT_EQ(lab.device->seen,
              (std::vector<std::uint32_t>{first.initiator_task_tag, second.initiator_task_tag,
                                          fourth.initiator_task_tag}));
    EXPECT_EQ(host.exp_cmd_sn, 5u);
    // What was received already is ignored.
    CO_ASSERT_OK(co_await host.send(first));
    CO_ASSERT_OK(co_await host.send(host.nop_out()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu last, co_await host.receive());
    EXPECT_EQ(last.opcode(), Opcode::kNopIn);
    EXPECT_EQ(lab.device->seen.size(), 3u);
    EXPECT_EQ(lab.metric("ashlar_iscsi_ignored_commands_total"), 2);
  });
}

TEST_P(SessionTest, CommandsBeyondTheWindowAreIgnored) {
  TargetServerOptions options;
  options.command_window = 4;
  serve_with(options, [](TargetLab& lab) -> Task<void> {
    lab.device->go.reset();
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    for (int i = 0; i < 6; ++i) CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    co_await test::poll_until(
        lab.runtime.clock, [&] { return lab.metric("ashlar_iscsi_ignored_commands_total") == 2; });
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->seen.size() >= 4; });
    EXPECT_EQ(lab.device->seen.size(), 4u);
    // With nothing to spare the window is closed.
    NopOutPdu now = host.nop_out();
    now.opcode |= kImmediate;
    now.cmd_sn = 5;
    CO_ASSERT_OK(co_await host.send(now));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu pong, co_await host.receive());
    EXPECT_EQ(host.exp_cmd_sn, 5u);
    EXPECT_EQ(host.max_cmd_sn, 4u);
    lab.device->go.set();
    for (int i = 0; i < 4; ++i) {
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      EXPECT_EQ(reply.opcode(), Opcode::kScsiResponse);
    }
    EXPECT_EQ(host.max_cmd_sn, 8u) << "each answer gives its place back";
  });
}

TEST_P(SessionTest, NumbersWrap) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.connect());
    host.cmd_sn = 0xfffffffd;
    CO_ASSERT_OK(co_await host.log_in());
    for (std::uint32_t i = 0; i < 8; ++i) {
      CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      EXPECT_EQ(reply.as<ScsiResponsePdu>().exp_cmd_sn, 0xfffffffe + i);
      EXPECT_EQ(host.max_cmd_sn, 0xfffffffe + i + 127);
    }
    EXPECT_EQ(lab.device->seen.size(), 8u);
  });
}

TEST_P(SessionTest, EveryAnswerTakesTheNextStatSn) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    std::uint32_t expected = host.exp_stat_sn;
    for (int i = 0; i < 3; ++i) {
      CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
      CO_ASSERT_OK(co_await host.send(host.nop_out()));
      CO_ASSERT_OK(co_await host.send(host.read_command(0, 1)));
    }
    for (int i = 0; i < 9; ++i) {
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      EXPECT_EQ(reply.as<NopInPdu>().stat_sn, expected++);
    }
  });
}

TEST_P(SessionTest, ImmediateCommandsPassAClosedWindowAndAreBounded) {
  TargetServerOptions options;
  options.command_window = 1;
  serve_with(options, [](TargetLab& lab) -> Task<void> {
    lab.device->go.reset();
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    for (std::uint32_t i = 0; i < 17; ++i) {
      ScsiCommandPdu now = host.test_unit_ready();
      now.opcode |= kImmediate;
      now.cmd_sn = --host.cmd_sn;
      CO_ASSERT_OK(co_await host.send(now));
    }
    CO_ASSERT_OK_ASSIGN(const ReplyPdu refused, co_await host.receive());
    CO_ASSERT_TRUE(refused.opcode() == Opcode::kReject);
    EXPECT_EQ(refused.as<RejectPdu>().reason,
              static_cast<std::uint8_t>(RejectReason::kTooManyImmediateCommands));
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->seen.size() >= 17; });
    EXPECT_EQ(lab.device->seen.size(), 17u);
    lab.device->go.set();
    for (int i = 0; i < 17; ++i) {
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      EXPECT_EQ(reply.opcode(), Opcode::kScsiResponse);
    }
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK(co_await host.receive());
  });
}

TEST_P(SessionTest, ATaskTagInUseIsRejected) {
  serve([](TargetLab& lab) -> Task<void> {
    lab.device->go.reset();
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    const ScsiCommandPdu first = host.test_unit_ready();
    ScsiCommandPdu second = host.test_unit_ready();
    second.initiator_task_tag = first.initiator_task_tag;
    CO_ASSERT_OK(co_await host.send(first));
    CO_ASSERT_OK(co_await host.send(second));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu refused, co_await host.receive());
    CO_ASSERT_TRUE(refused.opcode() == Opcode::kReject);
    EXPECT_EQ(refused.as<RejectPdu>().initiator_task_tag, kReservedTag);
    EXPECT_EQ(refused.data.size(), kHeaderSize);
    EXPECT_EQ(std::memcmp(refused.data.data(), &second, kHeaderSize), 0) << "the bad header";
    lab.device->go.set();
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(reply.opcode(), Opcode::kScsiResponse);
    EXPECT_EQ(lab.device->seen.size(), 1u);
    EXPECT_EQ(host.exp_cmd_sn, 3u) << "its number is used up";
  });
}

// --- NOP, Text, Logout, what is no request ---

TEST_P(SessionTest, APingIsEchoedWithItsDataUpToWhatTheInitiatorTakes) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in("MaxRecvDataSegmentLength=1024;"));
    for (const std::size_t size : {0u, 1u, 7u, 1024u, 3000u}) {
      const std::vector<std::byte> data = pattern(size, size);
      const NopOutPdu ping = host.nop_out();
      CO_ASSERT_OK(co_await host.send(ping, data));
      CO_ASSERT_OK_ASSIGN(const ReplyPdu pong, co_await host.receive());
      CO_ASSERT_TRUE(pong.opcode() == Opcode::kNopIn);
      EXPECT_EQ(pong.as<NopInPdu>().initiator_task_tag, ping.initiator_task_tag);
      EXPECT_EQ(pong.as<NopInPdu>().target_transfer_tag, kReservedTag);
      const std::vector<std::byte> expected(
          data.begin(),
          data.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(size, 1024)));
      EXPECT_EQ(pong.data, expected);
    }
    // One without a task tag gets no answer, and takes a number when it is not immediate.
    NopOutPdu silent = host.nop_out();
    silent.initiator_task_tag = kReservedTag;
    CO_ASSERT_OK(co_await host.send(silent));
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu next, co_await host.receive());
    EXPECT_EQ(next.opcode(), Opcode::kScsiResponse);
  });
}

TEST_P(SessionTest, SendTargetsInPiecesInADiscoverySession) {
  serve([](TargetLab& lab) -> Task<void> {
    for (int i = 0; i < 40; ++i) {
      lab.directory.entries.push_back({fmt::format("iqn.2026-01.io.ashlar:more{}", i), {}});
    }
    lab.directory.entries.push_back(
        {"iqn.2026-01.io.ashlar:secret", {{"iqn.2004-01.com.example:other"}, {}, {}}});
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.connect());
    CO_ASSERT_OK(co_await host.log_in("MaxRecvDataSegmentLength=512;", ""));
    std::string text;
    TextRequestPdu request;
    request.flags = kFinal;
    request.initiator_task_tag = 99;
    std::string keys("SendTargets=All\0", 16);
    for (int piece = 0; piece < 20; ++piece) {
      request.cmd_sn = host.cmd_sn++;
      request.exp_stat_sn = host.exp_stat_sn;
      const ByteSpan bytes = bytes_of(keys);
      CO_ASSERT_OK(co_await host.send(request, {bytes.begin(), bytes.end()}));
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      CO_ASSERT_TRUE(reply.opcode() == Opcode::kTextResponse);
      EXPECT_LE(reply.data.size(), 512u);
      text += text_of(reply.data);
      const auto header = reply.as<TextResponsePdu>();
      if (is_final(header)) break;
      EXPECT_TRUE(has_flag(header, kFlagContinue));
      request.target_transfer_tag = header.target_transfer_tag;
      keys.clear();
    }
    const std::string address = fmt::format("TargetAddress={},1", lab.endpoint);
    EXPECT_NE(text.find(std::string("TargetName=") + TestInitiator::kTargetName),
              std::string::npos);
    EXPECT_NE(text.find("more39"), std::string::npos);
    EXPECT_NE(text.find(address), std::string::npos);
    EXPECT_EQ(text.find("secret"), std::string::npos) << "L98";
    // There is nothing else to do in a discovery session.
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu refused, co_await host.receive());
    EXPECT_EQ(refused.opcode(), Opcode::kReject);
    CO_ASSERT_OK(co_await host.send(host.logout()));
  });
}

TEST_P(SessionTest, ANewSegmentLengthIsTakenInFullFeaturePhase) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    TextRequestPdu request;
    request.flags = kFinal;
    request.initiator_task_tag = 99;
    request.cmd_sn = host.cmd_sn++;
    const ByteSpan keys = bytes_of(std::string_view("MaxRecvDataSegmentLength=1024\0", 30));
    CO_ASSERT_OK(co_await host.send(request, {keys.begin(), keys.end()}));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    CO_ASSERT_TRUE(reply.opcode() == Opcode::kTextResponse);
    CO_ASSERT_OK(co_await host.send(host.read_command(0, 8)));
    for (std::uint32_t i = 0; i < 4; ++i) {
      CO_ASSERT_OK_ASSIGN(const ReplyPdu part, co_await host.receive());
      EXPECT_EQ(part.data.size(), 1024u);
      EXPECT_EQ(part.as<DataInPdu>().data_sn, i);
    }
  });
}

TEST_P(SessionTest, LogoutsThatCannotBeAreRefused) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    CO_ASSERT_OK(co_await host.send(host.logout(LogoutReason::kRemoveForRecovery)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu recovery, co_await host.receive());
    EXPECT_EQ(recovery.as<LogoutResponsePdu>().response,
              static_cast<std::uint8_t>(LogoutResult::kRecoveryNotSupported));
    LogoutRequestPdu other = host.logout(LogoutReason::kCloseConnection);
    other.cid = 9;
    CO_ASSERT_OK(co_await host.send(other));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu unknown, co_await host.receive());
    EXPECT_EQ(unknown.as<LogoutResponsePdu>().response,
              static_cast<std::uint8_t>(LogoutResult::kCidNotFound));
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK(co_await host.receive());
    CO_ASSERT_OK(co_await host.send(host.logout(LogoutReason::kCloseConnection)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu bye, co_await host.receive());
    EXPECT_EQ(bye.opcode(), Opcode::kLogoutResponse);
    EXPECT_EQ(outcome_of(co_await host.receive()), "UNAVAILABLE");
  });
}

TEST_P(SessionTest, ALogoutEndsCommandsThatHang) {
  serve([](TargetLab& lab) -> Task<void> {
    lab.device->go.reset();
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 1), pattern(512, 1)));
    CO_ASSERT_OK(co_await host.send(host.logout()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu bye, co_await host.receive());
    EXPECT_EQ(bye.opcode(), Opcode::kLogoutResponse);
    EXPECT_EQ(lab.device->running(), 0u);
    lab.device->go.set();
    EXPECT_EQ(lab.device->executed, 0u) << "no late write";
  });
}

TEST_P(SessionTest, WhatIsNoRequestIsRejected) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    struct Case {
      std::uint8_t opcode;
      RejectReason reason;
    };
    const Case cases[] = {{0x10, RejectReason::kSnackReject},
                          {0x07, RejectReason::kCommandNotSupported},
                          {0x1c, RejectReason::kCommandNotSupported},
                          {0x3f, RejectReason::kCommandNotSupported}};
    for (const Case& test : cases) {
      BasicHeader header;
      header.opcode = test.opcode;
      header.flags = kFinal;
      CO_ASSERT_OK(co_await host.send(header));
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      CO_ASSERT_TRUE(reply.opcode() == Opcode::kReject);
      EXPECT_EQ(reply.as<RejectPdu>().reason, static_cast<std::uint8_t>(test.reason))
          << unsigned{test.opcode};
      EXPECT_EQ(reply.data.size(), kHeaderSize);
    }
    // A login request in full feature phase ends the session.
    LoginRequestPdu login;
    CO_ASSERT_OK(co_await host.send(login));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(reply.opcode(), Opcode::kReject);
    EXPECT_EQ(outcome_of(co_await host.receive()), "UNAVAILABLE");
  });
}

TEST_P(SessionTest, AdditionalHeadersAreParsed) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    // Extended CDB of 4 bytes, and one that is cut short.
    std::vector<std::byte> good(8);
    store_be16(good, 0, 5);
    good[2] = std::byte{1};
    const std::vector<std::byte> right = host.encode(host.test_unit_ready(), {}, good);
    CO_ASSERT_OK(co_await host.socket->send(ByteSpan(right)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(reply.opcode(), Opcode::kScsiResponse);
    std::vector<std::byte> bad = good;
    store_be16(bad, 0, 500);
    const std::vector<std::byte> wrong = host.encode(host.test_unit_ready(), {}, bad);
    CO_ASSERT_OK(co_await host.socket->send(ByteSpan(wrong)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu refused, co_await host.receive());
    EXPECT_EQ(refused.opcode(), Opcode::kReject);
    EXPECT_EQ(lab.device->seen.size(), 1u);
  });
}

// --- digests ---

TEST_P(SessionTest, DigestsBothWays) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host,
                        co_await lab.log_in("HeaderDigest=CRC32C;DataDigest=CRC32C;"));
    CO_ASSERT_TRUE(host.header_digest && host.data_digest);
    const std::vector<std::byte> data = pattern(8192, 3);
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 16), data));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu written, co_await host.receive());
    EXPECT_EQ(written.as<ScsiResponsePdu>().status, 0);
    CO_ASSERT_OK(co_await host.send(host.read_command(0, 16)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu read, co_await host.receive());
    EXPECT_EQ(read.data, data);
    CO_ASSERT_OK(co_await host.send(host.nop_out(), pattern(5, 1)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu pong, co_await host.receive());
    EXPECT_EQ(pong.data, pattern(5, 1));
    CO_ASSERT_OK(co_await host.send(host.command(0xc0, 0, 0, 0)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu failed, co_await host.receive());
    EXPECT_EQ(failed.as<ScsiResponsePdu>().status, 2);
  });
}

TEST_P(SessionTest, ABadHeaderDigestClosesTheConnection) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in("HeaderDigest=CRC32C;"));
    std::vector<std::byte> bytes = host.encode(host.test_unit_ready());
    bytes[40] ^= std::byte{1};
    CO_ASSERT_OK(co_await host.socket->send(ByteSpan(bytes)));
    EXPECT_EQ(outcome_of(co_await host.receive()), "UNAVAILABLE");
    EXPECT_TRUE(lab.device->seen.empty());
    EXPECT_EQ(lab.metric("ashlar_iscsi_digest_errors_total"), 1);
  });
}

TEST_P(SessionTest, ACommandWithABadDataDigestIsRejectedAndCanBeSentAgain) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in("DataDigest=CRC32C;"));
    const std::vector<std::byte> data = pattern(4096, 1);
    const ScsiCommandPdu write = host.write_command(0, 8);
    std::vector<std::byte> bytes = host.encode(write, data);
    bytes[1000] ^= std::byte{1};
    CO_ASSERT_OK(co_await host.socket->send(ByteSpan(bytes)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu refused, co_await host.receive());
    CO_ASSERT_TRUE(refused.opcode() == Opcode::kReject);
    EXPECT_EQ(refused.as<RejectPdu>().reason,
              static_cast<std::uint8_t>(RejectReason::kDataDigestError));
    EXPECT_EQ(host.exp_cmd_sn, 1u);
    CO_ASSERT_OK(co_await host.send(write, data));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu written, co_await host.receive());
    EXPECT_EQ(written.as<ScsiResponsePdu>().status, 0);
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(SessionTest);

}  // namespace
}  // namespace ashlar::iscsi
