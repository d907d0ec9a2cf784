#include "common/base/bytes.h"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar {
namespace {

std::array<std::byte, 8> one_to_eight() {
  std::array<std::byte, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i + 1);
  return bytes;
}

TEST(BytesTest, LoadsNumbersInBothOrders) {
  const auto bytes = one_to_eight();
  EXPECT_EQ(load_le16(bytes), 0x0201u);
  EXPECT_EQ(load_le32(bytes), 0x04030201u);
  EXPECT_EQ(load_le64(bytes), 0x0807060504030201u);
  EXPECT_EQ(load_be16(bytes), 0x0102u);
  EXPECT_EQ(load_be24(bytes), 0x010203u);
  EXPECT_EQ(load_be32(bytes), 0x01020304u);
  EXPECT_EQ(load_be64(bytes), 0x0102030405060708u);
  EXPECT_EQ(load_be24(bytes, 5), 0x060708u);
  EXPECT_EQ(load_le32(bytes, 3), 0x07060504u);
}

TEST(BytesTest, StoresWhatIsLoaded) {
  Random random(1);
  std::array<std::byte, 16> bytes{};
  for (int i = 0; i < 1'000; ++i) {
    const std::uint64_t n = random.next();
    const std::size_t at = random.below(9);
    store_le64(bytes, at, n);
    ASSERT_EQ(load_le64(bytes, at), n);
    store_be64(bytes, at, n);
    ASSERT_EQ(load_be64(bytes, at), n);
    store_le32(bytes, at, static_cast<std::uint32_t>(n));
    ASSERT_EQ(load_le32(bytes, at), static_cast<std::uint32_t>(n));
    store_be32(bytes, at, static_cast<std::uint32_t>(n));
    ASSERT_EQ(load_be32(bytes, at), static_cast<std::uint32_t>(n));
    store_be24(bytes, at, n & 0xffffff);
    ASSERT_EQ(load_be24(bytes, at), n & 0xffffff);
    store_le16(bytes, at, static_cast<std::uint16_t>(n));
    ASSERT_EQ(load_le16(bytes, at), static_cast<std::uint16_t>(n));
    store_be16(bytes, at, static_cast<std::uint16_t>(n));
    ASSERT_EQ(load_be16(bytes, at), static_cast<std::uint16_t>(n));
  }
}

TEST(BytesDeathTest, PlacesOutsideTheSpanAreFatal) {
  auto bytes = one_to_eight();
  EXPECT_DEATH(load_le64(bytes, 1), "8 bytes at 1 of 8");
  EXPECT_DEATH(load_be32(bytes, 5), "4 bytes at 5 of 8");
  EXPECT_DEATH(load_be16(bytes, SIZE_MAX), "of 8");
  EXPECT_DEATH(load_be24(bytes, 6), "3 bytes at 6 of 8");
  EXPECT_DEATH(store_le16(bytes, 7, 1), "2 bytes at 7 of 8");
  EXPECT_DEATH(store_be24(bytes, 6, 1), "3 bytes at 6 of 8");
  EXPECT_DEATH(store_be24(bytes, 0, 1u << 24), "does not fit three bytes");
}

TEST(BytesTest, TextIsBytesAndBack) {
  EXPECT_EQ(text_of(bytes_of("iqn.2026")), "iqn.2026");
  EXPECT_TRUE(bytes_of("").empty());
}

TEST(AlignTest, MovesToThePowerOfTwo) {
  EXPECT_EQ(align_up(0, 4096), 0u);
  EXPECT_EQ(align_up(1, 4096), 4096u);
  EXPECT_EQ(align_up(4096, 4096), 4096u);
  EXPECT_EQ(align_down(8191, 4096), 4096u);
  EXPECT_TRUE(is_aligned(8192, 4096));
  EXPECT_FALSE(is_aligned(8193, 4096));
  EXPECT_EQ(align_up(ByteCount(5), ByteCount(8)), ByteCount(8));
  EXPECT_EQ(align_up(LogPosition(4097), ByteCount(4096)), LogPosition(8192));
  EXPECT_EQ(align_down(LogPosition(4097), ByteCount(4096)), LogPosition(4096));
  EXPECT_TRUE(is_aligned(LogPosition(512), ByteCount(512)));
  static_assert(align_up(3, 2) == 4);
}

TEST(AlignDeathTest, OverflowAndOddAlignmentsAreFatal) {
  EXPECT_DEATH(align_up(UINT64_MAX, 4096), "check failed");
  EXPECT_DEATH(align_down(5, 3), "3 is not a power of two");
  EXPECT_DEATH(is_aligned(5, 0), "0 is not a power of two");
}

TEST(ByteReaderTest, ReadsFieldAfterField) {
  const auto bytes = one_to_eight();
  ByteReader reader(bytes);
  EXPECT_EQ(reader.u8(), 1u);
  EXPECT_EQ(reader.u16_be(), 0x0203u);
  EXPECT_EQ(reader.u24_be(), 0x040506u);
  EXPECT_EQ(reader.remaining(), 2u);
  EXPECT_EQ(reader.bytes(2)[1], std::byte{8});
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.failed());
}

TEST(ByteReaderTest, PastTheEndTheFailureSticksAndZerosAreRead) {
  const auto bytes = one_to_eight();
  ByteReader reader(bytes);
  reader.skip(6);
  EXPECT_EQ(reader.u32_be(), 0u);
  EXPECT_TRUE(reader.failed());
  // The two bytes that are left are not handed out as if they were the next field.
  EXPECT_EQ(reader.u8(), 0u);
  EXPECT_TRUE(reader.bytes(1).empty());
  EXPECT_EQ(reader.position(), 6u);
}

TEST(ByteReaderTest, AHugeLengthFromOutsideIsNoOverflow) {
  const auto bytes = one_to_eight();
  ByteReader reader(bytes);
  reader.skip(1);
  EXPECT_TRUE(reader.bytes(UINT64_MAX).empty());
  EXPECT_TRUE(reader.failed());
}

TEST(ByteReaderTest, NoBytesCanBeTakenAtTheEnd) {
  ByteReader reader(ByteSpan{});
  EXPECT_TRUE(reader.bytes(0).empty());
  EXPECT_FALSE(reader.failed());
  reader.fail();
  EXPECT_TRUE(reader.failed());
}

TEST(ByteWriterTest, WhatIsWrittenReadsBack) {
  std::array<std::byte, 64> memory{};
  ByteWriter writer(memory);
  writer.u8(0x11);
  writer.u16_be(0x2233);
  writer.u24_be(0x445566);
  writer.u32_be(0x778899aa);
  writer.u64_be(0x0102030405060708);
  writer.u16_le(0x2233);
  writer.u32_le(0x778899aa);
  writer.u64_le(0x0102030405060708);
  writer.bytes(bytes_of("name"));
  writer.bytes({});
  writer.zeros(4);
  ASSERT_FALSE(writer.failed());
  EXPECT_EQ(writer.written().size(), 40u);

  ByteReader reader(writer.written());
  EXPECT_EQ(reader.u8(), 0x11u);
  EXPECT_EQ(reader.u16_be(), 0x2233u);
  EXPECT_EQ(reader.u24_be(), 0x445566u);
  EXPECT_EQ(reader.u32_be(), 0x778899aau);
  EXPECT_EQ(reader.u64_be(), 0x0102030405060708u);
  EXPECT_EQ(reader.u16_le(), 0x2233u);
  EXPECT_EQ(reader.u32_le(), 0x778899aau);
  EXPECT_EQ(reader.u64_le(), 0x0102030405060708u);
  EXPECT_EQ(text_of(reader.bytes(4)), "name");
  EXPECT_EQ(reader.u32_le(), 0u);
  EXPECT_FALSE(reader.failed());
}

TEST(ByteWriterTest, WhatDoesNotFitIsNotWrittenNorIsAnythingAfterIt) {
  std::array<std::byte, 4> memory{};
  ByteWriter writer(memory);
  writer.u8(1);
  writer.u32_be(0xffffffff);
  writer.u8(2);
  writer.zeros(UINT64_MAX);
  EXPECT_TRUE(writer.failed());
  EXPECT_EQ(writer.written().size(), 1u);
  EXPECT_EQ(load_be32(memory), 0x01000000u);
}

}  // namespace
}  // namespace ashlar
