#include "volume/iscsi/digest.h"

#include <array>

#include <gtest/gtest.h>

#include "volume/iscsi/pdu.h"

namespace ashlar::iscsi {
namespace {

DigestBytes digest_of(ByteSpan bytes) {
  return digest_bytes(crc32c(bytes));
}
DigestBytes bytes(int a, int b, int c, int d) {
  return {std::byte(a), std::byte(b), std::byte(c), std::byte(d)};
}

// The examples of RFC 7143, appendix A.4, with the digest in the order of the wire.
TEST(DigestTest, TheExamplesOfTheStandardComeOut) {
  std::array<std::byte, 32> block{};
  EXPECT_EQ(digest_of(block), bytes(0xaa, 0x36, 0x91, 0x8a));
  block.fill(std::byte{0xff});
  EXPECT_EQ(digest_of(block), bytes(0x43, 0xab, 0xa8, 0x62));
  for (int i = 0; i < 32; ++i) block[static_cast<std::size_t>(i)] = std::byte(i);
  EXPECT_EQ(digest_of(block), bytes(0x4e, 0x79, 0xdd, 0x46));
  for (int i = 0; i < 32; ++i) block[static_cast<std::size_t>(i)] = std::byte(31 - i);
  EXPECT_EQ(digest_of(block), bytes(0x5c, 0xdb, 0x3f, 0x11));

  ScsiCommandPdu read;
  read.flags = 0xc0;
  read.initiator_task_tag = 0x14000000;
  read.expected_length = 0x400;
  read.cmd_sn = 0x14;
  read.exp_stat_sn = 0x18;
  read.cdb[0] = std::byte{0x28};
  read.cdb[8] = std::byte{0x02};
  EXPECT_EQ(digest_of(header_bytes(read)), bytes(0x56, 0x3a, 0x96, 0xd9));
}

TEST(DigestTest, AMatchIsOfAllFourBytes) {
  const std::uint32_t crc = crc32c(bytes_of("header"));
  DigestBytes received = digest_bytes(crc);
  EXPECT_TRUE(digest_matches(received, crc));
  for (std::byte& byte : received) {
    byte ^= std::byte{1};
    EXPECT_FALSE(digest_matches(received, crc));
    byte ^= std::byte{1};
  }
}

TEST(DigestTest, PaddingIsPartOfADataDigest) {
  const std::string_view data = "abcde";
  std::array<std::byte, 8> padded{};
  std::memcpy(padded.data(), data.data(), data.size());
  EXPECT_EQ(padded_crc32c(crc32c(bytes_of(data)), 5), crc32c(padded));
  EXPECT_EQ(padded_crc32c(crc32c(bytes_of("abcd")), 4), crc32c(bytes_of("abcd")));
}

}  // namespace
}  // namespace ashlar::iscsi
