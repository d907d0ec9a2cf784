// What the disk formats of the engine have in common, for their code only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include "common/base/bytes.h"
#include "common/base/uuid.h"

namespace ashlar::engine {

// Positions, generations, LSNs and epochs that anybody has reached stay far below; what is above
// would overflow when it is counted on.
inline constexpr std::uint64_t kLargestNumber = std::numeric_limits<std::uint64_t>::max() / 2;

inline bool is_zero(ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

template <class Id>
Id read_uuid(ByteReader& reader) {
  const ByteSpan bytes = reader.bytes(Uuid::kSize);
  return bytes.empty() ? Id() : Id(std::span<const std::byte, Uuid::kSize>(bytes));
}

// Reads `count` bytes that must be zero; others make the reader fail.
inline void read_zeros(ByteReader& reader, std::size_t count) {
  if (!is_zero(reader.bytes(count))) reader.fail();
}

}  // namespace ashlar::engine
