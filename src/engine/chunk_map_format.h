// The chunk map on disk. docs/formats/layer.md draws it byte by byte; this is its only code.
//
// A map file is a sparse row of 4 KiB pages in groups: a summary page, and the map pages that it
// stands for. A map page holds the entries of 48 chunks, six in each sector of 512 bytes, none
// across two sectors: a torn write never hurts an entry that was not being changed. A summary page
// says which map pages exist, one bit each, a CRC in each sector.
//
// Every CRC is seeded with the volume, the layer and the place, so what belongs elsewhere does not
// match. Zeros are valid: an entry that was never written, a sector of a summary without a page.
//
// Functions on bytes, without state. A page's span is 4096 bytes; a `slot` is below 48.
#pragma once

#include <cstdint>
#include <optional>

#include "common/base/bytes.h"
#include "common/base/strong.h"
#include "common/base/uuid.h"
#include "engine/chunk.h"

namespace ashlar::engine {

inline constexpr std::size_t kMapPageSize = 4096;
inline constexpr std::size_t kMapSectorSize = 512;
inline constexpr unsigned kSectorsPerMapPage = 8;
inline constexpr std::size_t kEntrySize = 80;
inline constexpr unsigned kEntriesPerSector = 6;
inline constexpr unsigned kEntriesPerPage = kEntriesPerSector * kSectorsPerMapPage;
inline constexpr std::uint64_t kBlocksPerMapPage = kEntriesPerPage * kBlocksPerChunk;
// One bit for each entry of a page, and for each sector of a summary.
inline constexpr std::uint64_t kAllEntries = (std::uint64_t{1} << kEntriesPerPage) - 1;
inline constexpr std::uint64_t kAllSectors = (std::uint64_t{1} << kSectorsPerMapPage) - 1;
inline constexpr std::uint64_t kPagesPerSummarySector = (kMapSectorSize - 4) * 8;
inline constexpr std::uint64_t kPagesPerSummary = kPagesPerSummarySector * kSectorsPerMapPage;
static_assert(kEntriesPerSector * kEntrySize <= kMapSectorSize);
static_assert(kEntriesPerPage == 48 && kPagesPerSummary == 32512);

// Counts map pages, without the summaries between them.
using MapPageIndex = Ordinal<struct MapPageIndexTag>;
// Counts groups, and so their summary pages.
using MapGroupIndex = Ordinal<struct MapGroupIndexTag>;
// Counts the pages of the file.
using PageNumber = Ordinal<struct PageNumberTag>;

inline MapPageIndex map_page_of(ChunkIndex chunk) {
  return MapPageIndex(chunk.value() / kEntriesPerPage);
}
inline unsigned slot_of(ChunkIndex chunk) {
  return static_cast<unsigned>(chunk.value() % kEntriesPerPage);
}
inline ChunkIndex first_chunk_of(MapPageIndex page) {
  return ChunkIndex(page.value() * kEntriesPerPage);
}
inline MapGroupIndex group_of(MapPageIndex page) {
  return MapGroupIndex(page.value() / kPagesPerSummary);
}
// The place of a map page's bit in its summary.
inline unsigned place_in_group(MapPageIndex page) {
  return static_cast<unsigned>(page.value() % kPagesPerSummary);
}
inline PageNumber number_of(MapGroupIndex summary) {
  return PageNumber(summary.value() * (kPagesPerSummary + 1));
}
inline PageNumber number_of(MapPageIndex page) {
  return number_of(group_of(page)) + 1 + place_in_group(page);
}
inline MapGroupIndex group_at(PageNumber number) {
  return MapGroupIndex(number.value() / (kPagesPerSummary + 1));
}
// Of a number that is no summary's.
MapPageIndex map_page_at(PageNumber number);

// What the checksums of one layer's map begin with.
class MapSeed {
 public:
  MapSeed(const VolumeUuid& volume, const LayerId& layer);

  std::uint32_t of_entry(ChunkIndex chunk) const { return of(1, chunk.value()); }
  std::uint32_t of_summary_sector(MapGroupIndex group, unsigned sector) const {
    return of(2, group.value() * kSectorsPerMapPage + sector);
  }

 private:
  std::uint32_t of(std::uint64_t kind, std::uint64_t number) const;

  std::uint32_t layer_;
};

// --- map pages -----------------------------------------------------------------------------------

// Where in its page an entry stands.
constexpr std::size_t entry_offset(unsigned slot) {
  return slot / kEntriesPerSector * kMapSectorSize + slot % kEntriesPerSector * kEntrySize;
}

// Bit i: entry i does not match its checksum, or says what nothing writes.
std::uint64_t damaged_entries(ByteSpan page, MapPageIndex index, const MapSeed& seed);
// Bit i: entry i is zeros, as before anything was written there.
std::uint64_t blank_entries(ByteSpan page);

// Of an entry that is not damaged.
ChunkEntry read_entry(ByteSpan page, unsigned slot);
BlockInfo read_block(ByteSpan page, unsigned slot, unsigned place);
bool is_empty_entry(ByteSpan page, unsigned slot);

// An empty entry gets a checksum too: a page that was written is never all zeros again.
void write_entry(MutableByteSpan page, ChunkIndex chunk, const ChunkEntry& entry,
                 const MapSeed& seed);
// Makes the entry one that does not match, here and after it was written and read again.
void spoil_entry(MutableByteSpan page, ChunkIndex chunk, const MapSeed& seed);

// --- summaries -----------------------------------------------------------------------------------

// Bit i: sector i does not match its checksum, or says what nothing writes. The pages it stands for
// may or may not exist.
std::uint64_t damaged_sectors(ByteSpan summary, MapGroupIndex group, const MapSeed& seed);

enum class PageExists : std::uint8_t { kNo, kYes, kUnknown };
PageExists page_exists(ByteSpan summary, std::uint64_t damaged, unsigned place);
// The first place at or behind `from` whose page exists, or may.
std::optional<unsigned> next_place(ByteSpan summary, std::uint64_t damaged, unsigned from);
void set_page_exists(MutableByteSpan summary, MapGroupIndex group, unsigned place,
                     const MapSeed& seed);
// Makes every sector one that does not match.
void spoil_summary(MutableByteSpan summary, MapGroupIndex group, const MapSeed& seed);

}  // namespace ashlar::engine
