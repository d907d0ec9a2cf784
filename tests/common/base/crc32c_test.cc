#include "common/base/crc32c.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar {
namespace {

struct Vector {
  const char* name;
  std::vector<std::byte> bytes;
  std::uint32_t crc;
};

// RFC 3720, B.4; the RFC prints the checksum in the order of the wire, low byte first.
std::vector<Vector> rfc_vectors() {
  std::vector<Vector> vectors = {
      {"32 bytes of zeros", std::vector<std::byte>(32, std::byte{0}), 0x8a9136aa},
      {"32 bytes of ones", std::vector<std::byte>(32, std::byte{0xff}), 0x62a8ab43},
      {"32 bytes ascending", std::vector<std::byte>(32), 0x46dd794e},
      {"32 bytes descending", std::vector<std::byte>(32), 0x113fdb5c},
      {"an iSCSI SCSI Read (10) Command PDU", std::vector<std::byte>(48), 0xd9963a56},
  };
  for (unsigned i = 0; i < 32; ++i) {
    vectors[2].bytes[i] = static_cast<std::byte>(i);
    vectors[3].bytes[i] = static_cast<std::byte>(31 - i);
  }
  constexpr std::uint32_t kReadPdu[] = {0x01c00000, 0,          0,          0,
                                        0x14000000, 0x00000400, 0x00000014, 0x00000018,
                                        0x28000000, 0,          0x02000000, 0};
  for (std::size_t i = 0; i < std::size(kReadPdu); ++i) {
    store_be32(vectors[4].bytes, i * 4, kReadPdu[i]);
  }
  return vectors;
}

TEST(Crc32cTest, AgreesWithTheRfc) {
  for (const Vector& vector : rfc_vectors()) {
    EXPECT_EQ(crc32c(vector.bytes), vector.crc) << vector.name;
    EXPECT_EQ(crc32c_portable(vector.bytes), vector.crc) << vector.name;
  }
}

TEST(Crc32cTest, AgreesWithTheUsualCheckValue) {
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c_portable(bytes_of("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(crc32c({}, 0x12345678), 0x12345678u);
}

TEST(Crc32cTest, EveryLengthAtEveryAlignmentGivesTheSameOnEveryPath) {
  Random random(1);
  std::vector<std::byte> memory(512);
  random.fill(memory);
  for (std::size_t alignment = 0; alignment < 16; ++alignment) {
    for (std::size_t length = 0; length <= 300; ++length) {
      const ByteSpan bytes = ByteSpan(memory).subspan(alignment, length);
      const auto seed = static_cast<std::uint32_t>(random.next());
      ASSERT_EQ(crc32c(bytes, seed), crc32c_portable(bytes, seed)) << length << "@" << alignment;
    }
  }
}

TEST(Crc32cTest, LargeSpansGiveTheSameOnEveryPath) {
  Random random(2);
  std::vector<std::byte> memory(1 << 20);
  random.fill(memory);
  for (int i = 0; i < 100; ++i) {
    const std::size_t offset = random.below(memory.size());
    const ByteSpan bytes = ByteSpan(memory).subspan(offset, random.below(memory.size() - offset));
    ASSERT_EQ(crc32c(bytes), crc32c_portable(bytes));
  }
}

TEST(Crc32cTest, PiecesChainToTheWhole) {
  Random random(3);
  std::vector<std::byte> memory(5'000);
  random.fill(memory);
  for (int i = 0; i < 2'000; ++i) {
    const ByteSpan whole = ByteSpan(memory).first(random.below(memory.size() + 1));
    std::uint32_t crc = 0;
    std::uint32_t portable = 0;
    for (ByteSpan rest = whole; !rest.empty();) {
      const std::size_t piece = 1 + random.below(std::min<std::size_t>(rest.size(), 200));
      crc = crc32c(rest.first(piece), crc);
      portable = crc32c_portable(rest.first(piece), portable);
      rest = rest.subspan(piece);
    }
    ASSERT_EQ(crc, crc32c(whole));
    ASSERT_EQ(portable, crc);
  }
}

TEST(Crc32cTest, EverySingleBitMatters) {
  std::vector<std::byte> memory(100, std::byte{0x5a});
  const std::uint32_t intact = crc32c(memory);
  for (std::size_t bit = 0; bit < memory.size() * 8; ++bit) {
    memory[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_NE(crc32c(memory), intact) << bit;
    memory[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

TEST(Crc32cTest, ReadsNothingBesideTheSpan) {
  // For AddressSanitizer: exact heap allocations of every small length.
  for (std::size_t length = 1; length <= 200; ++length) {
    const std::vector<std::byte> memory(length, std::byte{1});
    ASSERT_EQ(crc32c(memory), crc32c_portable(memory));
  }
}

TEST(Crc32cTest, NamesItsImplementation) {
#if defined(__x86_64__)
  EXPECT_EQ(crc32c_implementation(), __builtin_cpu_supports("sse4.2") ? "isa-l + sse4.2" : "table");
#else
  EXPECT_EQ(crc32c_implementation(), "table");
#endif
}

const std::uint32_t kCrcBeforeMain = crc32c(bytes_of("123456789"));

TEST(Crc32cTest, WorksBeforeMain) {
  EXPECT_EQ(kCrcBeforeMain, 0xe3069283u);
}

}  // namespace
}  // namespace ashlar
