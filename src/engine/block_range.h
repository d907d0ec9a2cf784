// Blocks [first, first + count) of a volume.
#pragma once

#include <cstdint>

#include "common/base/strong.h"

namespace ashlar::engine {

inline constexpr ByteCount kBytesPerBlock{4096};

struct BlockRange {
  BlockIndex first;
  std::uint64_t count = 0;

  // The block behind the last one; fatal if there is no such number.
  constexpr BlockIndex end() const { return first + count; }
  friend constexpr bool operator==(const BlockRange&, const BlockRange&) = default;
};

}  // namespace ashlar::engine
