#include "volume/scsi/sense.h"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"
#include "volume/scsi/device.h"
#include "volume/scsi/response.h"
#include "volume/scsi/unit_attention.h"

namespace ashlar::scsi {
namespace {

std::string encoded(const Sense& sense, SenseFormat format) {
  std::array<std::byte, kLongestSense> bytes;
  bytes.fill(std::byte{0xee});
  const std::size_t size = encode_sense(sense, format, bytes);
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(bytes[i]));
  }
  return text;
}

TEST(SenseTest, BothFormatsSayTheSame) {
  const Sense plain{.key = SenseKey::kNotReady, .asc = {0x04, 0x01}};
  EXPECT_EQ(encoded(plain, SenseFormat::kFixed),
            "70000200000000"
            "0a"
            "00000000"
            "0401"
            "00000000");
  EXPECT_EQ(encoded(plain, SenseFormat::kDescriptor), "7202040100000000");

  const Sense full{.key = SenseKey::kMiscompare,
                   .asc = {0x1d, 0x00},
                   .information = 0x01020304,
                   .specific = field_pointer(FieldPlace::kCdb, 0x1234, 5)};
  EXPECT_EQ(encoded(full, SenseFormat::kFixed),
            "f0000e01020304"
            "0a"
            "00000000"
            "1d00"
            "00cd1234");
  EXPECT_EQ(encoded(full, SenseFormat::kDescriptor),
            "720e1d0000000014"
            "000a80000000000001020304"
            "02060000cd123400");
}

TEST(SenseTest, InformationOfMoreThan32BitsStandsInDescriptorsOnly) {
  const Sense sense{.key = SenseKey::kMediumError, .asc = {0x11, 0x00}, .information = 0x100000000};
  EXPECT_EQ(encoded(sense, SenseFormat::kFixed),
            "70000300000000"
            "0a"
            "00000000"
            "1100"
            "00000000");
  EXPECT_EQ(encoded(sense, SenseFormat::kDescriptor),
            "720311000000000c"
            "000a80000000000100000000");
}

TEST(SenseTest, FieldPointersTellPlaceByteAndBit) {
  EXPECT_EQ(field_pointer(FieldPlace::kCdb, 1, 7), (SenseKeySpecific{0xcf, 0, 1}));
  EXPECT_EQ(field_pointer(FieldPlace::kCdb, 2, std::nullopt), (SenseKeySpecific{0xc0, 0, 2}));
  EXPECT_EQ(field_pointer(FieldPlace::kParameters, 0x10000, 0),
            (SenseKeySpecific{0x88, 0xff, 0xff}));
  EXPECT_EQ(progress_indication(0x8001), (SenseKeySpecific{0x80, 0x80, 0x01}));
}

// L66: internal error × what the command was doing → what the host hears.
TEST(ResponseTest, EveryErrorHasItsWordForEveryCommand) {
  struct Row {
    ErrorCode code;
    std::string reading;
    std::string writing;
    std::string fetching;
  };
  const std::vector<Row> rows{
      {ErrorCode::kCancelled, "b/00/00", "b/00/00", "b/00/00"},
      {ErrorCode::kUnknown, "4/44/00", "4/44/00", "4/44/00"},
      {ErrorCode::kInvalidArgument, "4/44/00", "4/44/00", "4/44/00"},
      {ErrorCode::kDeadlineExceeded, "BUSY", "BUSY", "BUSY"},
      {ErrorCode::kNotFound, "5/25/00", "5/25/00", "5/25/00"},
      {ErrorCode::kAlreadyExists, "4/44/00", "4/44/00", "4/44/00"},
      {ErrorCode::kPermissionDenied, "7/27/00", "7/27/00", "7/27/00"},
      {ErrorCode::kResourceExhausted, "BUSY", "7/27/07", "BUSY"},
      {ErrorCode::kFailedPrecondition, "2/04/03", "2/04/03", "2/04/03"},
      {ErrorCode::kAborted, "b/00/00", "b/00/00", "b/00/00"},
      {ErrorCode::kOutOfRange, "5/21/00", "5/21/00", "5/21/00"},
      {ErrorCode::kUnimplemented, "5/20/00", "5/20/00", "5/20/00"},
      {ErrorCode::kInternal, "4/44/00", "4/44/00", "4/44/00"},
      {ErrorCode::kUnavailable, "2/04/0a", "2/04/0a", "2/04/0a"},
      {ErrorCode::kDataLoss, "3/11/00", "3/0c/00", "b/4b/00"},
      {ErrorCode::kUnauthenticated, "5/20/02", "5/20/02", "5/20/02"},
  };
  EXPECT_EQ(rows.size(), 16u);
  for (const Row& row : rows) {
    const Error error(row.code, "planned");
    EXPECT_EQ(told(response_to(error, Doing::kReading)), row.reading) << to_string(row.code);
    EXPECT_EQ(told(response_to(error, Doing::kWriting)), row.writing) << to_string(row.code);
    EXPECT_EQ(told(response_to(error, Doing::kFetching)), row.fetching) << to_string(row.code);
  }
}

TEST(UnitAttentionTest, TheyAreToldOnceAndResetsFirst) {
  UnitAttentions attentions;
  attentions.add(UnitAttention::kModeParametersChanged);
  attentions.add(UnitAttention::kCapacityChanged);
  attentions.add(UnitAttention::kNexusLoss);
  attentions.add(UnitAttention::kCapacityChanged);
  EXPECT_EQ(attentions.take_first(), UnitAttention::kNexusLoss);
  EXPECT_EQ(attentions.take_first(), UnitAttention::kCapacityChanged);
  EXPECT_EQ(attentions.take_first(), UnitAttention::kModeParametersChanged);
  EXPECT_EQ(attentions.take_first(), std::nullopt);
}

TEST(UnitAttentionTest, AResetTakesThePlaceOfWhatWasBeforeIt) {
  UnitAttentions attentions;
  attentions.add(UnitAttention::kCapacityChanged);
  attentions.add(UnitAttention::kReset);
  attentions.add(UnitAttention::kModeParametersChanged);
  EXPECT_EQ(attentions.take_first(), UnitAttention::kReset);
  EXPECT_EQ(attentions.take_first(), UnitAttention::kModeParametersChanged);
  EXPECT_FALSE(attentions.any());

  attentions.add(UnitAttention::kPowerOn);
  attentions.add(UnitAttention::kReset);
  EXPECT_EQ(attentions.take_first(), UnitAttention::kPowerOn);
  EXPECT_FALSE(attentions.any());
}

TEST(UnitAttentionTest, EachHasACodeOfItsOwn) {
  std::vector<std::pair<int, int>> codes;
  for (int i = 0; i <= static_cast<int>(UnitAttention::kThinProvisioningThreshold); ++i) {
    const Asc asc = asc_of(static_cast<UnitAttention>(i));
    codes.emplace_back(asc.code, asc.qualifier);
  }
  std::ranges::sort(codes);
  EXPECT_EQ(std::ranges::adjacent_find(codes), codes.end());
}

TEST(LunTest, PeripheralAndFlatAddressesAreUnderstood) {
  EXPECT_EQ(decode_lun(0), 0);
  EXPECT_EQ(decode_lun(0x0007'0000'0000'0000), 7);
  EXPECT_EQ(decode_lun(0x00ff'0000'0000'0000), 255);
  EXPECT_EQ(decode_lun(0x4000'0000'0000'0000), 0);
  EXPECT_EQ(decode_lun(0x7fff'0000'0000'0000), 0x3fff);
  // Another bus, a second level, well-known, extended and reserved addressing.
  for (const std::uint64_t lun : {0x0100'0000'0000'0000ull, 0x0000'0001'0000'0000ull, 1ull,
                                  0xc101'0000'0000'0000ull, 0x8000'0000'0000'0000ull}) {
    EXPECT_EQ(decode_lun(lun), std::nullopt) << std::hex << lun;
  }
  for (const unsigned lun : {0u, 1u, 255u, 256u, 0x3fffu}) {
    EXPECT_EQ(decode_lun(encode_lun(static_cast<std::uint16_t>(lun))), lun);
  }
}

}  // namespace
}  // namespace ashlar::scsi
