// What goes to the initiator: Data-In in segments and bursts, residual counts, sense data.
#include <gmock/gmock.h>

#include "tests/volume/iscsi/target_lab.h"

namespace ashlar::iscsi {
namespace {

class DataInTest : public TargetTest {};

// Receives the answer to one read and checks every number in it.
Task<Result<std::vector<std::byte>>> receive_read(TestInitiator& host, std::uint32_t segment,
                                                  std::uint32_t burst, std::uint32_t& pdus) {
  std::vector<std::byte> data;
  pdus = 0;
  std::uint32_t in_burst = 0;
  while (true) {
    ASHLAR_CO_TRY_ASSIGN(const ReplyPdu pdu, co_await host.receive());
    if (pdu.opcode() != Opcode::kDataIn) co_return Error::internal("opcode");
    const auto header = pdu.as<DataInPdu>();
    EXPECT_EQ(header.data_sn, pdus++);
    EXPECT_EQ(header.buffer_offset, data.size());
    EXPECT_LE(pdu.data.size(), segment);
    EXPECT_EQ(header.target_transfer_tag, kReservedTag);
    in_burst += static_cast<std::uint32_t>(pdu.data.size());
    EXPECT_LE(in_burst, burst);
    const bool has_status = has_flag(header, kFlagStatus);
    EXPECT_EQ(is_final(header), has_status || in_burst == burst);
    if (in_burst == burst) in_burst = 0;
    data.insert(data.end(), pdu.data.begin(), pdu.data.end());
    if (has_status) break;
  }
  co_return data;
}

TEST_P(DataInTest, SegmentsAndBurstsAreAsNegotiated) {
  serve([](TargetLab& lab) -> Task<void> {
    Random(1).fill(lab.device->memory);
    for (const std::uint32_t segment : {512u, 1024u, 8192u, 262144u}) {
      for (const std::uint32_t burst : {1024u, 65536u, 1048576u}) {
        for (const std::size_t pieces : {1u, 2u, 5u}) {
          lab.device->read_pieces = pieces;
          CO_ASSERT_OK_ASSIGN(
              TestInitiator host,
              co_await lab.log_in(
                  fmt::format("MaxRecvDataSegmentLength={};MaxBurstLength={};FirstBurstLength=512;",
                              segment, burst)));
          for (const std::uint16_t blocks :
               {std::uint16_t{1}, std::uint16_t{2}, std::uint16_t{17}, std::uint16_t{300}}) {
            CO_ASSERT_OK(co_await host.send(host.read_command(3, blocks)));
            std::uint32_t pdus = 0;
            CO_ASSERT_OK_ASSIGN(const std::vector<std::byte> data,
                                co_await receive_read(host, segment, burst, pdus));
            const std::size_t size = std::size_t{blocks} * 512;
            CO_ASSERT_TRUE(data.size() == size);
            EXPECT_TRUE(std::equal(data.begin(), data.end(), lab.device->memory.begin() + 3 * 512));
          }
          CO_ASSERT_OK(co_await host.send(host.logout()));
          CO_ASSERT_OK(co_await host.receive());
        }
      }
    }
  });
}

TEST_P(DataInTest, ResidualsTellWhatDidNotFit) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    // The command has 1024 bytes; the initiator told 512, 1024 and 2048.
    struct Case {
      std::uint32_t told;
      std::uint8_t flags;
      std::uint32_t residual;
      std::size_t data;
    };
    for (const Case& test : {Case{512, kFlagOverflow, 512, 512}, Case{1024, 0, 0, 1024},
                             Case{2048, kFlagUnderflow, 1024, 1024}}) {
      ScsiCommandPdu read = host.read_command(0, 2);
      read.expected_length = test.told;
      CO_ASSERT_OK(co_await host.send(read));
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      CO_ASSERT_TRUE(reply.opcode() == Opcode::kDataIn);
      EXPECT_EQ(reply.as<DataInPdu>().flags, kFinal | kFlagStatus | test.flags);
      EXPECT_EQ(reply.as<DataInPdu>().residual, test.residual);
      EXPECT_EQ(reply.data.size(), test.data);
    }
    // Room for nothing at all: no Data-In.
    ScsiCommandPdu none = host.read_command(0, 2);
    none.expected_length = 0;
    CO_ASSERT_OK(co_await host.send(none));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu answer, co_await host.receive());
    CO_ASSERT_TRUE(answer.opcode() == Opcode::kScsiResponse);
    EXPECT_EQ(answer.as<ScsiResponsePdu>().flags, kFinal | kFlagOverflow);
    EXPECT_EQ(answer.as<ScsiResponsePdu>().residual, 1024u);
    // A write that is told more, or less, than the command wants.
    for (const Case& test :
         {Case{512, kFlagOverflow, 512, 512}, Case{2048, kFlagUnderflow, 1024, 2048}}) {
      ScsiCommandPdu write = host.write_command(0, 2);
      write.expected_length = test.told;
      CO_ASSERT_OK(co_await host.send(write, pattern(test.data, 1)));
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      CO_ASSERT_TRUE(reply.opcode() == Opcode::kScsiResponse);
      EXPECT_EQ(reply.as<ScsiResponsePdu>().flags, kFinal | test.flags);
      EXPECT_EQ(reply.as<ScsiResponsePdu>().residual, test.residual);
    }
  });
}

TEST_P(DataInTest, SenseDataComesWithItsLength) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    ScsiCommandPdu bad = host.command(0xc0, 0, 1, kFlagRead);
    CO_ASSERT_OK(co_await host.send(bad));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    CO_ASSERT_TRUE(reply.opcode() == Opcode::kScsiResponse);
    const auto header = reply.as<ScsiResponsePdu>();
    EXPECT_EQ(header.response, 0);
    EXPECT_EQ(header.status, 2);
    EXPECT_EQ(header.flags, kFinal | kFlagUnderflow);
    EXPECT_EQ(header.residual, 512u);
    CO_ASSERT_TRUE(reply.data.size() >= 2 + 14);
    EXPECT_EQ(load_be16(reply.data), reply.data.size() - 2);
    EXPECT_EQ(reply.data[2], std::byte{0x70});
    EXPECT_EQ(reply.data[4], std::byte{0x05});
    EXPECT_EQ(reply.data[14], std::byte{0x20});
  });
}

// Many reads at once: all answers are right, and few sends carry them.
TEST_P(DataInTest, AnswersThatAreReadyTogetherLeaveTogether) {
  serve([](TargetLab& lab) -> Task<void> {
    Random(1).fill(lab.device->memory);
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    lab.device->go.reset();
    std::vector<std::byte> burst;
    for (std::uint32_t i = 0; i < 64; ++i) {
      const std::vector<std::byte> pdu = host.encode(host.read_command(i * 8, 8));
      burst.insert(burst.end(), pdu.begin(), pdu.end());
    }
    CO_ASSERT_OK(co_await host.socket->send(ByteSpan(burst)));
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->running() == 64; });
    lab.device->go.set();
    for (std::uint32_t i = 0; i < 64; ++i) {
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      const std::uint32_t lba = (reply.as<DataInPdu>().initiator_task_tag - 2) * 8;
      EXPECT_TRUE(
          std::equal(reply.data.begin(), reply.data.end(), lab.device->memory.begin() + lba * 512));
    }
    EXPECT_LE(lab.metric("ashlar_iscsi_sends_total"), 3);
  });
}

TEST_P(DataInTest, ABidirectionalCommandTellsBothResiduals) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    // To the device it is a READ(10) of 1024 bytes; the initiator has 512 bytes to write and room
    // for 4096.
    ScsiCommandPdu both = host.read_command(0, 2);
    both.flags |= kFlagWrite;
    both.expected_length = 512;
    std::vector<std::byte> ahs(8);
    store_be16(ahs, 0, 5);
    ahs[2] = std::byte{2};
    store_be32(ahs, 4, 4096);
    const std::vector<std::byte> bytes = host.encode(both, pattern(512, 1), ahs);
    CO_ASSERT_OK(co_await host.socket->send(ByteSpan(bytes)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu data, co_await host.receive());
    CO_ASSERT_TRUE(data.opcode() == Opcode::kDataIn);
    EXPECT_EQ(data.as<DataInPdu>().flags, kFinal) << "the status comes by itself";
    EXPECT_EQ(data.data.size(), 1024u);
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    CO_ASSERT_TRUE(reply.opcode() == Opcode::kScsiResponse);
    const auto header = reply.as<ScsiResponsePdu>();
    EXPECT_EQ(header.flags, kFinal | kFlagBidiUnderflow | kFlagUnderflow);
    EXPECT_EQ(header.bidi_read_residual, 4096u - 1024);
    EXPECT_EQ(header.residual, 512u);
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(DataInTest);

}  // namespace
}  // namespace ashlar::iscsi
