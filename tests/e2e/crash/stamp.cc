#include "tests/e2e/crash/stamp.h"

#include <algorithm>
#include <cstring>

#include "common/base/check.h"
#include "common/base/crc32c.h"

namespace ashlar::crash {
namespace {

constexpr std::uint64_t kMagic = 0x706d617473687361;  // "ashstamp"

struct Header {
  std::uint64_t magic;
  Stamp stamp;
  std::uint32_t crc;  // of the cell with this field zero
  std::uint32_t reserved;
};
static_assert(sizeof(Header) == 40);

std::uint32_t crc_of(std::span<const std::byte> cell, Header header) {
  header.crc = 0;
  const auto bytes = std::as_bytes(std::span(&header, 1));
  return crc32c(cell.subspan(sizeof header), crc32c(bytes));
}

}  // namespace

void fill_cell(std::span<std::byte> cell, const Stamp& stamp) {
  ASHLAR_CHECK(cell.size() > sizeof(Header) && cell.size() % 8 == 0);
  std::uint64_t state = stamp.run ^ stamp.sequence * 0x9e3779b97f4a7c15 ^ stamp.lba << 32;
  for (std::size_t at = sizeof(Header); at < cell.size(); at += sizeof state) {
    state = state * 6364136223846793005 + 1442695040888963407;
    std::memcpy(cell.data() + at, &state, sizeof state);
  }
  Header header{.magic = kMagic, .stamp = stamp, .crc = 0, .reserved = 0};
  header.crc = crc_of(cell, header);
  std::memcpy(cell.data(), &header, sizeof header);
}

CellContent read_cell(std::span<const std::byte> cell, Stamp& stamp) {
  Header header;
  ASHLAR_CHECK(cell.size() > sizeof header);
  std::memcpy(&header, cell.data(), sizeof header);
  if (header.magic != kMagic) {
    const bool zeros =
        std::ranges::all_of(cell, [](std::byte byte) { return byte == std::byte{0}; });
    return zeros ? CellContent::kZeros : CellContent::kGarbage;
  }
  if (header.crc != crc_of(cell, header)) return CellContent::kGarbage;
  stamp = header.stamp;
  return CellContent::kStamp;
}

}  // namespace ashlar::crash
