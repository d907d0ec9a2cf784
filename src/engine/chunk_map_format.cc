#include "engine/chunk_map_format.h"

#include <algorithm>
#include <array>

#include "common/base/crc32c.h"

namespace ashlar::engine {
namespace {

struct EntryLayout {
  std::uint64_t last_lsn;
  std::uint16_t present;
  std::uint16_t discarded;
  std::uint32_t checksums[kBlocksPerChunk];
  std::uint32_t crc;
};
static_assert(sizeof(EntryLayout) == kEntrySize);
static_assert(offsetof(EntryLayout, present) == 8);
static_assert(offsetof(EntryLayout, discarded) == 10);
static_assert(offsetof(EntryLayout, checksums) == 12);
static_assert(offsetof(EntryLayout, crc) == 76);

constexpr std::size_t kPresentOffset = offsetof(EntryLayout, present);
constexpr std::size_t kDiscardedOffset = offsetof(EntryLayout, discarded);
constexpr std::size_t kChecksumsOffset = offsetof(EntryLayout, checksums);
constexpr std::size_t kEntryCrcOffset = offsetof(EntryLayout, crc);
constexpr std::size_t kSummaryCrcOffset = kMapSectorSize - 4;

std::size_t offset_of(unsigned slot) {
  ASHLAR_CHECK_LT(slot, kEntriesPerPage);
  return entry_offset(slot);
}

ByteSpan entry_at(ByteSpan page, unsigned slot) {
  ASHLAR_CHECK_EQ(page.size(), kMapPageSize);
  return page.subspan(offset_of(slot), kEntrySize);
}
MutableByteSpan entry_at(MutableByteSpan page, unsigned slot) {
  ASHLAR_CHECK_EQ(page.size(), kMapPageSize);
  return page.subspan(offset_of(slot), kEntrySize);
}

bool is_zero(ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

bool matches(ByteSpan entry, ChunkIndex chunk, const MapSeed& seed) {
  return crc32c(entry.first(kEntryCrcOffset), seed.of_entry(chunk)) ==
         load_le32(entry, kEntryCrcOffset);
}

// Only blocks that are present have a checksum.
bool has_stray_checksum(ByteSpan entry) {
  const unsigned present = load_le16(entry, kPresentOffset);
  const unsigned discarded = load_le16(entry, kDiscardedOffset);
  for (unsigned place = 0; place < kBlocksPerChunk; ++place) {
    const bool has = ((present & ~discarded) >> place & 1) != 0;
    if (!has && load_le32(entry, kChecksumsOffset + place * std::size_t{4}) != 0) return true;
  }
  return false;
}

ByteSpan sector_at(ByteSpan summary, unsigned sector) {
  ASHLAR_CHECK(summary.size() == kMapPageSize && sector < kSectorsPerMapPage);
  return summary.subspan(sector * kMapSectorSize, kMapSectorSize);
}

}  // namespace

MapPageIndex map_page_at(PageNumber number) {
  const std::uint64_t place = number.value() % (kPagesPerSummary + 1);
  ASHLAR_CHECK_GT(place, std::uint64_t{0});
  return MapPageIndex(group_at(number).value() * kPagesPerSummary + place - 1);
}

MapSeed::MapSeed(const VolumeUuid& volume, const LayerId& layer) {
  std::array<std::byte, 8> number{};
  store_le64(number, 0, layer.number);
  layer_ = crc32c(number, crc32c(layer.creator.bytes(), crc32c(volume.bytes())));
}

std::uint32_t MapSeed::of(std::uint64_t kind, std::uint64_t number) const {
  std::array<std::byte, 16> place{};
  store_le64(place, 0, kind);
  store_le64(place, 8, number);
  return crc32c(place, layer_);
}

std::uint64_t damaged_entries(ByteSpan page, MapPageIndex index, const MapSeed& seed) {
  std::uint64_t damaged = 0;
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    const ByteSpan entry = entry_at(page, slot);
    if (is_zero(entry)) continue;
    const bool whole =
        matches(entry, first_chunk_of(index) + slot, seed) && !has_stray_checksum(entry);
    if (!whole) damaged |= std::uint64_t{1} << slot;
  }
  return damaged;
}

std::uint64_t blank_entries(ByteSpan page) {
  std::uint64_t blank = 0;
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    if (is_zero(entry_at(page, slot))) blank |= std::uint64_t{1} << slot;
  }
  return blank;
}

ChunkEntry read_entry(ByteSpan page, unsigned slot) {
  ByteReader reader(entry_at(page, slot));
  ChunkEntry entry;
  entry.last_lsn = Lsn(reader.u64_le());
  entry.present = reader.u16_le();
  entry.discarded = reader.u16_le();
  for (std::uint32_t& checksum : entry.checksums) checksum = reader.u32_le();
  return entry;
}

BlockInfo read_block(ByteSpan page, unsigned slot, unsigned place) {
  ASHLAR_CHECK_LT(place, kBlocksPerChunk);
  const ByteSpan bytes = entry_at(page, slot);
  ChunkEntry entry;
  entry.present = load_le16(bytes, kPresentOffset);
  entry.discarded = load_le16(bytes, kDiscardedOffset);
  entry.checksums[place] = load_le32(bytes, kChecksumsOffset + place * std::size_t{4});
  return entry.block(place);
}

bool is_empty_entry(ByteSpan page, unsigned slot) {
  return is_zero(entry_at(page, slot).first(kChecksumsOffset));
}

void write_entry(MutableByteSpan page, ChunkIndex chunk, const ChunkEntry& entry,
                 const MapSeed& seed) {
  const MutableByteSpan bytes = entry_at(page, slot_of(chunk));
  ByteWriter writer(bytes);
  writer.u64_le(entry.last_lsn.value());
  writer.u16_le(entry.present);
  writer.u16_le(entry.discarded);
  for (unsigned place = 0; place < kBlocksPerChunk; ++place) {
    writer.u32_le(entry.block(place).checksum);
  }
  ASHLAR_CHECK_EQ(writer.position(), kEntryCrcOffset);
  writer.u32_le(crc32c(bytes.first(kEntryCrcOffset), seed.of_entry(chunk)));
  ASHLAR_CHECK(!writer.failed());
}

void spoil_entry(MutableByteSpan page, ChunkIndex chunk, const MapSeed& seed) {
  const MutableByteSpan bytes = entry_at(page, slot_of(chunk));
  std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
  store_le32(bytes, kEntryCrcOffset, ~crc32c(bytes.first(kEntryCrcOffset), seed.of_entry(chunk)));
}

std::uint64_t damaged_sectors(ByteSpan summary, MapGroupIndex group, const MapSeed& seed) {
  std::uint64_t damaged = 0;
  for (unsigned i = 0; i < kSectorsPerMapPage; ++i) {
    const ByteSpan sector = sector_at(summary, i);
    if (is_zero(sector)) continue;
    const ByteSpan bits = sector.first(kSummaryCrcOffset);
    const bool whole =
        crc32c(bits, seed.of_summary_sector(group, i)) == load_le32(sector, kSummaryCrcOffset) &&
        !is_zero(bits);
    if (!whole) damaged |= std::uint64_t{1} << i;
  }
  return damaged;
}

PageExists page_exists(ByteSpan summary, std::uint64_t damaged, unsigned place) {
  const auto sector = static_cast<unsigned>(place / kPagesPerSummarySector);
  const auto bit = static_cast<unsigned>(place % kPagesPerSummarySector);
  if ((damaged >> sector & 1) != 0) return PageExists::kUnknown;
  const auto byte = std::to_integer<unsigned>(sector_at(summary, sector)[bit / 8]);
  return (byte >> bit % 8 & 1) != 0 ? PageExists::kYes : PageExists::kNo;
}

std::optional<unsigned> next_place(ByteSpan summary, std::uint64_t damaged, unsigned from) {
  unsigned place = from;
  while (place < kPagesPerSummary) {
    if (page_exists(summary, damaged, place) != PageExists::kNo) return place;
    // 508 bytes to a sector, so a byte never belongs to two.
    const auto sector = static_cast<unsigned>(place / kPagesPerSummarySector);
    const auto bit = static_cast<unsigned>(place % kPagesPerSummarySector);
    const bool nothing_in_byte = sector_at(summary, sector)[bit / 8] == std::byte{0};
    place += nothing_in_byte ? 8 - bit % 8 : 1;
  }
  return std::nullopt;
}

void set_page_exists(MutableByteSpan summary, MapGroupIndex group, unsigned place,
                     const MapSeed& seed) {
  ASHLAR_CHECK(summary.size() == kMapPageSize && place < kPagesPerSummary);
  const auto index = static_cast<unsigned>(place / kPagesPerSummarySector);
  const auto bit = static_cast<unsigned>(place % kPagesPerSummarySector);
  const MutableByteSpan sector = summary.subspan(index * kMapSectorSize, kMapSectorSize);
  sector[bit / 8] |= std::byte(static_cast<unsigned char>(1U << bit % 8));
  store_le32(sector, kSummaryCrcOffset,
             crc32c(sector.first(kSummaryCrcOffset), seed.of_summary_sector(group, index)));
}

void spoil_summary(MutableByteSpan summary, MapGroupIndex group, const MapSeed& seed) {
  ASHLAR_CHECK_EQ(summary.size(), kMapPageSize);
  std::fill(summary.begin(), summary.end(), std::byte{0xff});
  for (unsigned i = 0; i < kSectorsPerMapPage; ++i) {
    const MutableByteSpan sector = summary.subspan(i * kMapSectorSize, kMapSectorSize);
    store_le32(sector, kSummaryCrcOffset,
               ~crc32c(sector.first(kSummaryCrcOffset), seed.of_summary_sector(group, i)));
  }
}

}  // namespace ashlar::engine
