// What comes from the initiator: immediate, unsolicited and solicited data, in every negotiated
// combination (L70), and everything that is wrong with it (L68).
#include <gmock/gmock.h>

#include "tests/volume/iscsi/target_lab.h"

namespace ashlar::iscsi {
namespace {

using test::outcome_of;

struct Negotiated {
  bool initial_r2t;
  bool immediate_data;
  std::uint32_t first_burst;
  std::uint32_t max_burst;
  std::uint32_t outstanding;
  std::uint32_t segment;  // that the initiator sends at most
  std::string keys(bool digests = false) const {
    return fmt::format(
        "InitialR2T={};ImmediateData={};FirstBurstLength={};MaxBurstLength={};MaxOutstandingR2T={};"
        "{}",
        initial_r2t ? "Yes" : "No", immediate_data ? "Yes" : "No", first_burst, max_burst,
        outstanding, digests ? "HeaderDigest=CRC32C;DataDigest=CRC32C;" : "");
  }
};

// An initiator's side of a write: what it sends with the command and what it sends when asked.
class WritingHost {
 public:
  WritingHost(TestInitiator& host, Negotiated rules) : host_(host), rules_(rules) {}

  struct Write {
    std::vector<std::byte> data;
    std::uint32_t r2ts = 0;
    bool is_done = false;
    std::uint8_t status = 0xff;
  };
  std::map<std::uint32_t, Write> writes;

  // Command and unsolicited data.
  Task<Result<>> begin(std::uint32_t lba, std::vector<std::byte> data) {
    ScsiCommandPdu command =
        host_.write_command(lba, static_cast<std::uint16_t>(data.size() / 512));
    const std::uint32_t tag = command.initiator_task_tag;
    const auto size = static_cast<std::uint32_t>(data.size());
    const std::uint32_t unsolicited = std::min(rules_.first_burst, size);
    std::uint32_t sent = 0;
    if (rules_.immediate_data) sent = std::min(unsolicited, rules_.segment);
    const bool follows = !rules_.initial_r2t && sent < unsolicited;
    if (follows) command.flags = static_cast<std::uint8_t>(command.flags & ~kFinal);
    writes[tag].data = data;
    ASHLAR_CO_TRY(co_await host_.send(
        command, {data.begin(), data.begin() + static_cast<std::ptrdiff_t>(sent)}));
    if (follows) ASHLAR_CO_TRY(co_await send_data(tag, kReservedTag, sent, unsolicited - sent));
    co_return {};
  }

  // Takes one PDU of the target and does what it asks for.
  Task<Result<>> step() {
    ASHLAR_CO_TRY_ASSIGN(const ReplyPdu pdu, co_await host_.receive());
    const std::uint32_t tag = pdu.as<BasicHeader>().initiator_task_tag;
    if (!writes.contains(tag)) co_return Error::internal("an unknown tag");
    Write& write = writes[tag];
    if (pdu.opcode() == Opcode::kReadyToTransfer) {
      const auto r2t = pdu.as<ReadyToTransferPdu>();
      EXPECT_EQ(r2t.r2t_sn, write.r2ts++);
      EXPECT_LE(r2t.desired_length, rules_.max_burst);
      EXPECT_GT(r2t.desired_length, 0u);
      EXPECT_LE(r2t.buffer_offset + r2t.desired_length, write.data.size());
      EXPECT_NE(r2t.target_transfer_tag, kReservedTag);
      EXPECT_EQ(r2t.stat_sn, host_.exp_stat_sn) << "an R2T takes no StatSN";
      co_return co_await send_data(tag, r2t.target_transfer_tag, r2t.buffer_offset,
                                   r2t.desired_length);
    }
    if (pdu.opcode() != Opcode::kScsiResponse) co_return Error::internal("opcode");
    EXPECT_FALSE(write.is_done);
    write.is_done = true;
    write.status = pdu.as<ScsiResponsePdu>().status;
    ++done;
    co_return {};
  }

  std::size_t done = 0;

 private:
  Task<Result<>> send_data(std::uint32_t tag, std::uint32_t transfer_tag, std::uint32_t offset,
                           std::uint32_t length) {
    std::uint32_t number = 0;
    const std::vector<std::byte>& data = writes[tag].data;
    while (length > 0) {
      const std::uint32_t part = std::min(length, rules_.segment);
      DataOutPdu pdu;
      pdu.initiator_task_tag = tag;
      pdu.target_transfer_tag = transfer_tag;
      pdu.data_sn = number++;
      pdu.buffer_offset = offset;
      if (part == length) pdu.flags = kFinal;
      ASHLAR_CO_TRY(
          co_await host_.send(pdu, {data.begin() + offset, data.begin() + offset + part}));
      offset += part;
      length -= part;
    }
    co_return {};
  }

  TestInitiator& host_;
  const Negotiated rules_;
};

class DataOutTest : public TargetTest {};

// L70: 128 writes under way, in every combination of the keys that rule them.
Task<void> write_pipelined(TargetLab& lab, Negotiated rules, bool digests, std::uint64_t seed) {
  CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.connect());
  host.isid += seed;
  CO_ASSERT_OK(co_await host.log_in(rules.keys(digests)));
  WritingHost writer(host, rules);
  Random random(seed);
  std::vector<std::byte> model = lab.device->memory;
  constexpr std::uint32_t kWrites = 160;
  constexpr std::uint32_t kBlocksEach = 24;
  std::uint32_t begun = 0;
  host.max_cmd_sn = 128;
  while (writer.done < kWrites) {
    // As many as the window allows.
    while (begun < kWrites && !serial_before(host.max_cmd_sn, host.cmd_sn) &&
           begun - writer.done < 128) {
      const auto blocks = static_cast<std::uint32_t>(1 + random.below(kBlocksEach));
      const std::vector<std::byte> data = pattern(std::size_t{blocks} * 512, random.next());
      const std::uint32_t lba = begun * kBlocksEach;
      std::copy(data.begin(), data.end(), model.begin() + lba * 512);
      CO_ASSERT_OK(co_await writer.begin(lba, data));
      ++begun;
    }
    CO_ASSERT_OK(co_await writer.step());
  }
  for (const auto& [tag, write] : writer.writes) EXPECT_EQ(write.status, 0);
  EXPECT_TRUE(model == lab.device->memory);
  CO_ASSERT_OK(co_await host.send(host.logout()));
  CO_ASSERT_OK(co_await host.receive());
}

TEST_P(DataOutTest, PipelinedWritesInEveryNegotiatedCombination) {
  serve(
      [](TargetLab& lab, std::uint64_t seed) -> Task<void> {
        std::uint64_t run = seed % 1000;
        for (const bool initial_r2t : {false, true}) {
          for (const bool immediate : {false, true}) {
            for (const std::uint32_t first : {512u, 4096u, 65536u}) {
              for (const std::uint32_t burst : {4096u, 16384u, 65536u}) {
                if (first > burst) continue;
                const std::uint32_t outstanding = 1 + run % 4;
                const std::uint32_t segment = run % 3 == 0 ? 1024 : 8192;
                co_await write_pipelined(
                    lab, {initial_r2t, immediate, first, burst, outstanding, segment}, run % 5 == 0,
                    run);
                ++run;
              }
            }
          }
        }
      },
      seed());
}

TEST_P(DataOutTest, LargeWritesLandInOneAlignedBuffer) {
  serve([](TargetLab& lab) -> Task<void> {
    const Negotiated rules{false, true, 65536, 262144, 2, 262144};
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in(rules.keys()));
    WritingHost writer(host, rules);
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::vector<std::byte> data = pattern(1 << 20, i);
      CO_ASSERT_OK(co_await writer.begin(0, data));
      while (writer.done <= i) CO_ASSERT_OK(co_await writer.step());
      EXPECT_TRUE(std::equal(data.begin(), data.end(), lab.device->memory.begin()));
    }
    EXPECT_EQ(lab.device->fetched_in_place, 4u);
    EXPECT_EQ(writer.writes.begin()->second.r2ts, 4u);
    // At most the first bytes of a payload, that came with its header, are moved.
    EXPECT_LE(lab.metric("ashlar_iscsi_moved_bytes_total"), 16 * 8192);
  });
}

// --- wrong data: the command fails and nothing is written ---

DataOutPdu data_out(std::uint32_t tag, std::uint32_t transfer_tag, std::uint32_t number,
                    std::uint32_t offset, bool is_last) {
  DataOutPdu pdu;
  pdu.initiator_task_tag = tag;
  pdu.target_transfer_tag = transfer_tag;
  pdu.data_sn = number;
  pdu.buffer_offset = offset;
  if (is_last) pdu.flags = kFinal;
  return pdu;
}

// Sense key, ASC and ASCQ of a response; 0 when it has none.
std::uint32_t sense_of(const ReplyPdu& reply) {
  if (reply.data.size() < 16) return 0;
  return std::to_integer<std::uint32_t>(reply.data[4] & std::byte{0xf}) << 16 |
         load_be16(reply.data, 14);
}

TEST_P(DataOutTest, WrongDataFailsTheCommandAndNothingIsWritten) {
  serve([](TargetLab& lab) -> Task<void> {
    const Negotiated rules{true, false, 512, 4096, 1, 8192};
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in(rules.keys()));
    const std::vector<std::byte> before = lab.device->memory;
    struct Case {
      const char* what;
      std::uint32_t number;
      std::uint32_t offset;
      std::uint32_t length;
      bool is_last;
    };
    const Case cases[] = {{"short", 0, 0, 2048, true},
                          {"long", 0, 0, 4608, true},
                          {"no F", 0, 0, 4096, false},
                          {"shifted", 0, 512, 3584, true},
                          {"wrong DataSN", 1, 0, 4096, true}};
    for (const Case& test : cases) {
      const ScsiCommandPdu write = host.write_command(0, 8);
      CO_ASSERT_OK(co_await host.send(write));
      CO_ASSERT_OK_ASSIGN(const ReplyPdu asked, co_await host.receive());
      CO_ASSERT_TRUE(asked.opcode() == Opcode::kReadyToTransfer);
      const auto r2t = asked.as<ReadyToTransferPdu>();
      CO_ASSERT_OK(co_await host.send(data_out(write.initiator_task_tag, r2t.target_transfer_tag,
                                               test.number, test.offset, test.is_last),
                                      pattern(test.length, 1)));
      if (!test.is_last) {
        CO_ASSERT_OK(co_await host.send(
            data_out(write.initiator_task_tag, r2t.target_transfer_tag, 1, 4096, true)));
      }
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      CO_ASSERT_TRUE(reply.opcode() == Opcode::kScsiResponse);
      EXPECT_EQ(reply.as<ScsiResponsePdu>().status, 2) << test.what;
      EXPECT_EQ(sense_of(reply), 0x0b0c0du) << test.what;
      EXPECT_TRUE(lab.device->memory == before) << test.what;
    }
    EXPECT_EQ(lab.device->executed, 0u);
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 0)));
    CO_ASSERT_OK(co_await host.receive());
  });
}

TEST_P(DataOutTest, DataOfNobodyIsDropped) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host,
                        co_await lab.log_in("InitialR2T=Yes;ImmediateData=No;"));
    const ScsiCommandPdu write = host.write_command(0, 8);
    CO_ASSERT_OK(co_await host.send(write));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu asked, co_await host.receive());
    const std::uint32_t transfer_tag = asked.as<ReadyToTransferPdu>().target_transfer_tag;
    const std::vector<std::byte> data = pattern(4096, 1);
    // The right transfer tag with a foreign task tag changes nothing.
    CO_ASSERT_OK(co_await host.send(data_out(4711, transfer_tag, 0, 0, true), pattern(4096, 9)));
    CO_ASSERT_OK(
        co_await host.send(data_out(write.initiator_task_tag, transfer_tag, 0, 0, true), data));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(reply.as<ScsiResponsePdu>().status, 0);
    EXPECT_TRUE(std::equal(data.begin(), data.end(), lab.device->memory.begin()));
    EXPECT_EQ(lab.metric("ashlar_iscsi_dropped_data_total"), 1);
    // After the command is over its data has no effect either.
    CO_ASSERT_OK(co_await host.send(data_out(write.initiator_task_tag, transfer_tag, 1, 0, true),
                                    pattern(4096, 9)));
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK(co_await host.receive());
    EXPECT_TRUE(std::equal(data.begin(), data.end(), lab.device->memory.begin()));
  });
}

TEST_P(DataOutTest, DataThatWasNotAgreedFailsTheCommand) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host,
                        co_await lab.log_in("InitialR2T=Yes;ImmediateData=No;"));
    const std::vector<std::byte> before = lab.device->memory;
    // Immediate data.
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 8), pattern(4096, 1)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu immediate, co_await host.receive());
    EXPECT_EQ(sense_of(immediate), 0x0b0c0cu);
    // Data-Out that nobody has asked for; the answer comes after it.
    ScsiCommandPdu write = host.write_command(0, 8);
    write.flags = static_cast<std::uint8_t>(write.flags & ~kFinal);
    CO_ASSERT_OK(co_await host.send(write));
    CO_ASSERT_OK(co_await host.send(data_out(write.initiator_task_tag, kReservedTag, 0, 0, true),
                                    pattern(4096, 1)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu unsolicited, co_await host.receive());
    CO_ASSERT_TRUE(unsolicited.opcode() == Opcode::kScsiResponse);
    EXPECT_EQ(sense_of(unsolicited), 0x0b0c0cu);
    EXPECT_TRUE(lab.device->memory == before);
    EXPECT_TRUE(lab.device->seen.empty());
  });
}

TEST_P(DataOutTest, MoreImmediateDataThanTheFirstBurstFailsTheCommand) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host,
                        co_await lab.log_in("ImmediateData=Yes;FirstBurstLength=1024;"));
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 4), pattern(2048, 1)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(sense_of(reply), 0x0b0c0du);
    // More than the command has.
    ScsiCommandPdu write = host.write_command(0, 1);
    CO_ASSERT_OK(co_await host.send(write, pattern(1024, 1)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu more, co_await host.receive());
    EXPECT_EQ(sense_of(more), 0x0b0c0du);
    EXPECT_TRUE(lab.device->seen.empty());
  });
}

TEST_P(DataOutTest, ABadDigestOfDataOutFailsTheCommandWhenAllIsThere) {
  serve([](TargetLab& lab) -> Task<void> {
    const Negotiated rules{true, false, 512, 4096, 2, 2048};
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in(rules.keys(true)));
    const std::vector<std::byte> before = lab.device->memory;
    const ScsiCommandPdu write = host.write_command(0, 16);
    CO_ASSERT_OK(co_await host.send(write));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu first, co_await host.receive());
    CO_ASSERT_OK_ASSIGN(const ReplyPdu second, co_await host.receive());
    CO_ASSERT_TRUE(second.opcode() == Opcode::kReadyToTransfer);
    const std::uint32_t tag = write.initiator_task_tag;
    const std::uint32_t one = first.as<ReadyToTransferPdu>().target_transfer_tag;
    const std::uint32_t two = second.as<ReadyToTransferPdu>().target_transfer_tag;
    std::vector<std::byte> bad = host.encode(data_out(tag, one, 0, 0, false), pattern(2048, 1));
    bad[100] ^= std::byte{1};
    CO_ASSERT_OK(co_await host.socket->send(ByteSpan(bad)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu refused, co_await host.receive());
    CO_ASSERT_TRUE(refused.opcode() == Opcode::kReject);
    EXPECT_EQ(refused.as<RejectPdu>().reason,
              static_cast<std::uint8_t>(RejectReason::kDataDigestError));
    CO_ASSERT_OK(co_await host.send(data_out(tag, one, 1, 2048, true), pattern(2048, 1)));
    CO_ASSERT_OK(co_await host.send(host.nop_out()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu pong, co_await host.receive());
    EXPECT_EQ(pong.opcode(), Opcode::kNopIn) << "the answer waits for the second R2T";
    CO_ASSERT_OK(co_await host.send(data_out(tag, two, 0, 4096, true), pattern(4096, 1)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    CO_ASSERT_TRUE(reply.opcode() == Opcode::kScsiResponse);
    EXPECT_EQ(sense_of(reply), 0x0b4705u);
    EXPECT_TRUE(lab.device->memory == before);
  });
}

TEST_P(DataOutTest, AnAnswerWaitsForTheUnsolicitedDataThatWasAnnounced) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in("InitialR2T=No;"));
    // The device refuses 0xc0 without asking for data.
    ScsiCommandPdu bad = host.command(0xc0, 0, 8, kFlagWrite);
    bad.flags = static_cast<std::uint8_t>(bad.flags & ~kFinal);
    CO_ASSERT_OK(co_await host.send(bad));
    CO_ASSERT_OK(co_await host.send(host.nop_out()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu pong, co_await host.receive());
    EXPECT_EQ(pong.opcode(), Opcode::kNopIn);
    CO_ASSERT_OK(co_await host.send(data_out(bad.initiator_task_tag, kReservedTag, 0, 0, true),
                                    pattern(4096, 1)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    CO_ASSERT_TRUE(reply.opcode() == Opcode::kScsiResponse);
    EXPECT_EQ(sense_of(reply), 0x052000u);
  });
}

TEST_P(DataOutTest, UnsolicitedDataMayBeMoreThanTheCommandWants) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in("InitialR2T=No;"));
    for (const std::uint32_t piece : {8192u, 4096u}) {
      ScsiCommandPdu write = host.write_command(0, 2);
      write.expected_length = 8192;
      write.flags = static_cast<std::uint8_t>(write.flags & ~kFinal);
      CO_ASSERT_OK(co_await host.send(write));
      co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->running() == 1; });
      const std::vector<std::byte> data = pattern(8192, piece);
      std::uint32_t number = 0;
      for (std::uint32_t at = 0; at < 8192; at += piece) {
        const auto from = data.begin() + at;
        CO_ASSERT_OK(co_await host.send(
            data_out(write.initiator_task_tag, kReservedTag, number++, at, at + piece == 8192),
            std::vector<std::byte>(from, from + piece)));
      }
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      CO_ASSERT_TRUE(reply.opcode() == Opcode::kScsiResponse);
      EXPECT_EQ(reply.as<ScsiResponsePdu>().status, 0);
      EXPECT_EQ(reply.as<ScsiResponsePdu>().residual, 8192u - 1024u);
      EXPECT_TRUE(std::equal(data.begin(), data.begin() + 1024, lab.device->memory.begin()));
    }
  });
}

// Back-pressure: with little memory for payload everything is slower, and nothing fails.
TEST_P(DataOutTest, WithLittleMemoryWritesTakeTurns) {
  TargetServerOptions options;
  options.session_memory = ByteCount(64 << 10);
  serve_with(
      options,
      [](TargetLab& lab, std::uint64_t seed) -> Task<void> {
        co_await write_pipelined(lab, {true, false, 512, 16384, 4, 8192}, false, seed % 1000);
        co_await write_pipelined(lab, {false, true, 4096, 16384, 4, 8192}, false, seed % 1000 + 1);
      },
      seed());
}

TEST_P(DataOutTest, TheWindowShrinksWithThePayloadUnderWay) {
  TargetServerOptions options;
  options.session_memory = ByteCount(256 << 10);
  serve_with(options, [](TargetLab& lab) -> Task<void> {
    lab.device->go.reset();
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in("FirstBurstLength=65536;"));
    for (int i = 0; i < 3; ++i) {
      CO_ASSERT_OK(co_await host.send(host.write_command(0, 128), pattern(65536, 1)));
    }
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->running() == 3; });
    // One more of 64 KiB fits; what was promised before is not taken back.
    CO_ASSERT_OK(co_await host.send(host.nop_out()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu pong, co_await host.receive());
    EXPECT_EQ(host.exp_cmd_sn, 5u);
    EXPECT_EQ(host.max_cmd_sn, 128u);
    lab.device->go.set();
    for (int i = 0; i < 3; ++i) CO_ASSERT_OK(co_await host.receive());
    EXPECT_EQ(host.max_cmd_sn, 128u) << "with room for 4 of them the window is smaller now";
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(DataOutTest);

}  // namespace
}  // namespace ashlar::iscsi
