// Header and data digests: CRC32C (RFC 7143, 13.1). The four bytes of a digest stand on the wire
// with the least significant byte first, which is what the standard's bit order comes to; its
// examples (appendix A.4) are in the test.
//
//   the header digest covers the header and its additional header segments
//   the data digest covers the data segment and its padding
#pragma once

#include <array>

#include "common/base/bytes.h"
#include "common/base/crc32c.h"

namespace ashlar::iscsi {

using DigestBytes = std::array<std::byte, 4>;

inline DigestBytes digest_bytes(std::uint32_t crc) {
  DigestBytes bytes;
  store_le32(bytes, 0, crc);
  return bytes;
}
// `received` are at least four bytes; `crc` is the crc32c of what they stand for.
inline bool digest_matches(ByteSpan received, std::uint32_t crc) {
  return load_le32(received) == crc;
}

// The sum of a data segment and of the zeros behind it.
inline std::uint32_t padded_crc32c(std::uint32_t crc_of_data, std::uint32_t length) {
  static constexpr std::array<std::byte, 3> kZeros{};
  return crc32c(ByteSpan(kZeros).first((4 - (length & 3)) & 3), crc_of_data);
}

}  // namespace ashlar::iscsi
