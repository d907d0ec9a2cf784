// What the verifying writer puts into a cell, the smallest piece that is checked by itself: one
// logical block. A stamp names the run, the write and the place; a CRC covers the whole cell, whose
// rest follows from the stamp. So a cell that holds bytes of two writes, of another place or of
// another run is told from a good one.
#pragma once

#include <cstdint>
#include <span>

#include "common/base/bytes.h"

namespace ashlar::crash {

struct Stamp {
  std::uint64_t run = 0;
  std::uint64_t sequence = 0;  // of the command that wrote it; from 1
  std::uint64_t lba = 0;       // of the cell; of WRITE SAME's first cell

  friend bool operator==(const Stamp&, const Stamp&) = default;
};

enum class CellContent : std::uint8_t {
  kZeros,
  kStamp,
  kGarbage,  // no stamp, or one that its cell does not match
};

void fill_cell(std::span<std::byte> cell, const Stamp& stamp);
// `stamp` is set when it returns kStamp.
CellContent read_cell(std::span<const std::byte> cell, Stamp& stamp);

}  // namespace ashlar::crash
