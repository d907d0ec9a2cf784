// Feeds arbitrary bytes to the code that reads pages of a chunk map, as they are and with their
// checksums made right so that they get past them. What is accepted must encode to the same bytes;
// what is not must stay refused.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/base/crc32c.h"
#include "engine/chunk_map_format.h"

namespace ashlar::engine {
namespace {

using Page = std::vector<std::byte>;

const MapSeed kSeed{VolumeUuid(), LayerId{.creator = ReplicaUuid(), .number = 3}};
constexpr MapPageIndex kPage{5};
constexpr MapGroupIndex kGroup{2};

// The input over and over again from `begin` of every sector on, in pieces of `size`.
Page spread(ByteSpan input, std::size_t size, std::size_t pieces) {
  Page page(kMapPageSize);
  std::size_t at = 0;
  for (std::size_t sector = 0; sector < kSectorsPerMapPage; ++sector) {
    for (std::size_t i = 0; i < pieces * size && at < input.size(); ++i, ++at) {
      page[sector * kMapSectorSize + i] = input[at];
    }
  }
  return page;
}

void check_entries(const Page& page) {
  const std::uint64_t damaged = damaged_entries(page, kPage, kSeed);
  const std::uint64_t blank = blank_entries(page);
  ASHLAR_CHECK((damaged & blank) == 0 && (damaged | blank) <= kAllEntries);
  Page again = page;
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    const ChunkIndex chunk = first_chunk_of(kPage) + slot;
    if ((damaged >> slot & 1) != 0) {
      spoil_entry(again, chunk, kSeed);
      continue;
    }
    const ChunkEntry entry = read_entry(page, slot);
    ASHLAR_CHECK(entry.is_empty() == is_empty_entry(page, slot));
    for (unsigned place = 0; place < kBlocksPerChunk; ++place) {
      ASHLAR_CHECK(entry.block(place) == read_block(page, slot, place));
    }
    if ((blank >> slot & 1) != 0) {
      ASHLAR_CHECK(entry == ChunkEntry());
      continue;
    }
    write_entry(again, chunk, entry, kSeed);
  }
  ASHLAR_CHECK(damaged_entries(again, kPage, kSeed) == damaged);
  if (damaged == 0) ASHLAR_CHECK(again == page);
}

void check_summary(const Page& summary) {
  const std::uint64_t damaged = damaged_sectors(summary, kGroup, kSeed);
  ASHLAR_CHECK(damaged <= kAllSectors);
  Page again(kMapPageSize);
  unsigned from = 0;
  while (const std::optional<unsigned> place = next_place(summary, damaged, from)) {
    ASHLAR_CHECK(*place >= from && *place < kPagesPerSummary);
    const PageExists exists = page_exists(summary, damaged, *place);
    ASHLAR_CHECK(exists != PageExists::kNo);
    if (exists == PageExists::kYes) set_page_exists(again, kGroup, *place, kSeed);
    // Of a damaged sector every page may exist; to see the first one is enough.
    const auto sector = static_cast<unsigned>(*place / kPagesPerSummarySector);
    const bool known = exists == PageExists::kYes;
    from = known ? *place + 1 : static_cast<unsigned>((sector + 1) * kPagesPerSummarySector);
  }
  for (unsigned sector = 0; sector < kSectorsPerMapPage; ++sector) {
    if ((damaged >> sector & 1) != 0) continue;
    const auto begin = static_cast<std::ptrdiff_t>(sector * kMapSectorSize);
    const auto end = begin + static_cast<std::ptrdiff_t>(kMapSectorSize);
    ASHLAR_CHECK(std::equal(summary.begin() + begin, summary.begin() + end, again.begin() + begin));
  }
}

void run(const std::uint8_t* data, std::size_t size) {
  const ByteSpan input(reinterpret_cast<const std::byte*>(data), size);
  Page entries = spread(input, kEntrySize, kEntriesPerSector);
  check_entries(entries);
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    const std::size_t at =
        slot / kEntriesPerSector * kMapSectorSize + slot % kEntriesPerSector * kEntrySize;
    const MutableByteSpan entry = MutableByteSpan(entries).subspan(at, kEntrySize);
    if (std::ranges::all_of(entry, [](std::byte b) { return b == std::byte{0}; })) continue;
    store_le32(entry, kEntrySize - 4,
               crc32c(entry.first(kEntrySize - 4), kSeed.of_entry(first_chunk_of(kPage) + slot)));
  }
  check_entries(entries);

  Page summary = spread(input, 32, 1);
  check_summary(summary);
  for (unsigned i = 0; i < kSectorsPerMapPage; ++i) {
    const MutableByteSpan sector =
        MutableByteSpan(summary).subspan(i * kMapSectorSize, kMapSectorSize);
    store_le32(sector, kMapSectorSize - 4,
               crc32c(sector.first(kMapSectorSize - 4), kSeed.of_summary_sector(kGroup, i)));
  }
  check_summary(summary);
}

}  // namespace
}  // namespace ashlar::engine

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ashlar::engine::run(data, size);
  return 0;
}
