#include "volume/iscsi/pdu.h"

#include <array>

#include <gtest/gtest.h>

#include "common/base/bytes.h"

namespace ashlar::iscsi {
namespace {

std::array<std::byte, kHeaderSize> bytes_with(
    std::initializer_list<std::pair<std::size_t, int>> values) {
  std::array<std::byte, kHeaderSize> bytes{};
  for (const auto& [at, value] : values) bytes[at] = static_cast<std::byte>(value);
  return bytes;
}

// The SCSI Read (10) of RFC 7143, appendix A.4.
TEST(PduTest, AScsiCommandIsReadAsItStandsOnTheWire) {
  const auto bytes = bytes_with({{0, 0x01},
                                 {1, 0xc0},
                                 {16, 0x14},
                                 {22, 0x04},
                                 {27, 0x14},
                                 {31, 0x18},
                                 {32, 0x28},
                                 {40, 0x02}});
  const auto command = read_header<ScsiCommandPdu>(HeaderSpan(bytes));
  EXPECT_EQ(opcode_of(command), Opcode::kScsiCommand);
  EXPECT_FALSE(is_immediate(command));
  EXPECT_TRUE(is_final(command));
  EXPECT_TRUE(has_flag(command, kFlagRead));
  EXPECT_FALSE(has_flag(command, kFlagWrite));
  EXPECT_EQ(command.initiator_task_tag, 0x14000000u);
  EXPECT_EQ(command.expected_length, 0x400u);
  EXPECT_EQ(command.cmd_sn, 0x14u);
  EXPECT_EQ(command.exp_stat_sn, 0x18u);
  EXPECT_EQ(command.cdb[0], std::byte{0x28});
}

TEST(PduTest, NumbersAreWrittenInNetworkOrder) {
  LoginRequestPdu request;
  request.data_segment_length = 0x010203;
  request.isid = 0x0a0b0c0d0e0f;
  request.tsih = 0x1122;
  request.cid = 0x3344;
  request.cmd_sn = 0xdeadbeef;
  const HeaderSpan bytes = header_bytes(request);
  EXPECT_EQ(bytes[0], std::byte{0x43});
  EXPECT_EQ(load_be24(bytes, 5), 0x010203u);
  EXPECT_EQ(load_be16(bytes, 8), 0x0a0bu);
  EXPECT_EQ(load_be32(bytes, 10), 0x0c0d0e0fu);
  EXPECT_EQ(load_be16(bytes, 14), 0x1122u);
  EXPECT_EQ(load_be16(bytes, 20), 0x3344u);
  EXPECT_EQ(load_be32(bytes, 24), 0xdeadbeefu);
  EXPECT_EQ(request.isid, 0x0a0b0c0d0e0fu);
}

TEST(PduTest, StagesAndBitsOfALoginRequestAreTakenApart) {
  LoginRequestPdu request;
  request.flags = 0x87;
  EXPECT_TRUE(request.transit());
  EXPECT_FALSE(request.goes_on());
  EXPECT_EQ(request.current_stage(), 1);
  EXPECT_EQ(request.next_stage(), 3);
  request.flags = 0x40;
  EXPECT_FALSE(request.transit());
  EXPECT_TRUE(request.goes_on());
  EXPECT_EQ(request.current_stage(), 0);
}

TEST(PduTest, ANewHeaderHasItsOpcodeAndItsFixedBits) {
  EXPECT_EQ(header_bytes(RejectPdu())[0], std::byte{0x3f});
  EXPECT_EQ(header_bytes(RejectPdu())[1], std::byte{0x80});
  EXPECT_EQ(load_be32(header_bytes(RejectPdu()), 16), 0xffffffffu);
  EXPECT_EQ(header_bytes(ReadyToTransferPdu())[1], std::byte{0x80});
  EXPECT_EQ(header_bytes(DataInPdu())[1], std::byte{0});
  EXPECT_EQ(load_be32(header_bytes(NopInPdu()), 20), 0xffffffffu);
}

TEST(PduTest, OnlyWhatAnInitiatorSendsIsAnInitiatorOpcode) {
  int count = 0;
  for (std::uint8_t value = 0; value < 64; ++value) {
    const bool is = is_initiator_opcode(static_cast<Opcode>(value));
    count += is ? 1 : 0;
    if (value >= 0x20) {
      EXPECT_FALSE(is) << int{value};
    }
  }
  EXPECT_EQ(count, 8);
  EXPECT_EQ(to_string(static_cast<Opcode>(0x1d)), "unknown opcode");
}

TEST(PduTest, DataSegmentsArePaddedToFour) {
  EXPECT_EQ(with_padding(0), 0u);
  EXPECT_EQ(with_padding(1), 4u);
  EXPECT_EQ(with_padding(4), 4u);
  EXPECT_EQ(with_padding(5), 8u);
  EXPECT_EQ(padding_after(7), 1u);
}

TEST(PduTest, SerialNumbersCompareAcrossTheWrap) {
  EXPECT_TRUE(serial_before(1, 2));
  EXPECT_FALSE(serial_before(2, 1));
  EXPECT_FALSE(serial_before(2, 2));
  EXPECT_TRUE(serial_before(0xffffffff, 0));
  EXPECT_TRUE(serial_before(0xfffffff0, 0x10));
  EXPECT_FALSE(serial_before(0x10, 0xfffffff0));
}

}  // namespace
}  // namespace ashlar::iscsi
