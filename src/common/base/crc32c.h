// CRC-32C (Castagnoli), the checksum of iSCSI digests and of everything we keep on disk.
//
//   crc32c("123456789") == 0xe3069283         initial value and final inversion are inside
//   crc32c(b, crc32c(a)) == crc32c(a + b)     so a scatter list is summed piece by piece
//   crc32c({}) == 0
//
// The implementation is chosen by the CPU when first used. ISA-L folds large spans by carry-less
// multiplication, the crc32 instruction alone does short ones such as a 48-byte header, tables do
// everything where the instruction is missing. All give the same values. May be called from any
// thread, also before main.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"

namespace ashlar {

std::uint32_t crc32c(ByteSpan bytes, std::uint32_t seed = 0);

// What crc32c() uses on this machine, for logs: "isa-l + sse4.2" or "table".
std::string_view crc32c_implementation();

// The tables (slicing by eight), on any machine: what the others are tested against.
std::uint32_t crc32c_portable(ByteSpan bytes, std::uint32_t seed = 0);

}  // namespace ashlar
