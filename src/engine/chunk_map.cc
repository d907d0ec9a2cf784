#include "engine/chunk_map.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

namespace ashlar::engine {
namespace {

constexpr std::uint16_t kAllBlocks = 0xffff;
constexpr MapPageIndex kNoPage{std::numeric_limits<std::uint64_t>::max()};

// What a damaged entry says once it is written down: every block was here and is lost.
ChunkEntry damaged_entry() {
  ChunkEntry entry;
  entry.present = kAllBlocks;
  entry.discarded = kAllBlocks;
  return entry;
}

// The entry as one to be changed.
ChunkEntry entry_in(const MapPin& page, ChunkIndex chunk) {
  const unsigned slot = slot_of(chunk);
  return (page.damaged() >> slot & 1) != 0 ? damaged_entry() : read_entry(page.bytes(), slot);
}

void forget_blocks(ChunkEntry& entry, std::uint16_t blocks) {
  entry.present = static_cast<std::uint16_t>(entry.present & ~blocks);
  entry.discarded = static_cast<std::uint16_t>(entry.discarded & ~blocks);
  for (unsigned place = 0; place < kBlocksPerChunk; ++place) {
    if ((blocks >> place & 1) != 0) entry.checksums[place] = 0;
  }
}

// Nothing is left of an entry whose last block goes.
ChunkEntry without(ChunkEntry entry, std::uint16_t blocks) {
  const unsigned before = entry.present | entry.discarded;
  forget_blocks(entry, blocks);
  const bool has_blocks = (entry.present | entry.discarded) != 0;
  if (!has_blocks && (before != 0 || blocks == kAllBlocks)) return {};
  return entry;
}

MapPageIndex map_page_of(BlockIndex block) {
  return engine::map_page_of(chunk_of(block));
}
// The entries, as bits, of a range that lies within one page.
std::uint64_t chunks_of(BlockRange range) {
  const unsigned first = slot_of(chunk_of(range.first));
  const unsigned last = slot_of(chunk_of(range.end() - 1));
  return (std::uint64_t{2} << last) - (std::uint64_t{1} << first);
}
// The page behind the last one of the range.
MapPageIndex end_page_of(BlockRange range) {
  return map_page_of(range.end() - 1).next();
}

}  // namespace

std::uint64_t ChunkMap::EntryPages::check(const MapPageRead& read) {
  const MapPageIndex page = map_page_at(read.number);
  const bool lost = !read.readable || (read.must_exist && blank_entries(read.bytes) == kAllEntries);
  if (!lost) return damaged_entries(read.bytes, page, seed_);
  // Nobody knows which chunks it had. They stay damaged when the page is written again.
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    spoil_entry(read.bytes, first_chunk_of(page) + slot, seed_);
  }
  return kAllEntries;
}

std::uint64_t ChunkMap::SummaryPages::check(const MapPageRead& read) {
  if (!read.readable) {
    spoil_summary(read.bytes, group_at(read.number), seed_);
    return kAllSectors;
  }
  return damaged_sectors(read.bytes, group_at(read.number), seed_);
}

ChunkMap::ChunkMap(MapCache& cache, File& file, ByteCount size, const MapSeed& seed)
    : seed_(seed),
      file_{.file = file, .pages = size.value() / kMapPageSize},
      extent_(file_.pages),
      pages_(cache, file_, seed_),
      summaries_(cache, file_, seed_) {}

// --- ranges --------------------------------------------------------------------------------------

BlockRange ChunkMap::within(BlockRange range, MapPageIndex page) {
  const BlockIndex begin = first_block_of(first_chunk_of(page));
  const BlockIndex first = std::max(range.first, begin);
  const BlockIndex end = std::min(range.end(), begin + kBlocksPerMapPage);
  return {first, end - first};
}

ChunkMap::Part ChunkMap::first_part(BlockRange range) {
  const unsigned place = place_in_chunk(range.first);
  const std::uint64_t count = std::min(range.count, kBlocksPerChunk - place);
  const std::uint32_t ones = (std::uint32_t{1} << count) - 1;
  return {chunk_of(range.first), static_cast<std::uint16_t>(ones << place)};
}

// --- pages ---------------------------------------------------------------------------------------

MapGroupIndex ChunkMap::end_of_groups() const {
  return extent_ == 0 ? MapGroupIndex(0) : group_at(PageNumber(extent_ - 1)).next();
}

Task<Result<MapPin>> ChunkMap::existing(MapPageIndex page) {
  const PageNumber number = number_of(page);
  if (MapPin found = pages_.find(number)) co_return found;
  if (group_of(page) >= end_of_groups()) co_return MapPin();
  bool must_exist = true;
  {
    const PageNumber summary_number = number_of(group_of(page));
    ASHLAR_CO_TRY_ASSIGN(const MapPin summary, co_await summaries_.get(summary_number, false));
    const PageExists exists = page_exists(summary.bytes(), summary.damaged(), place_in_group(page));
    if (exists == PageExists::kNo) co_return MapPin();
    must_exist = exists == PageExists::kYes;
  }
  co_return co_await pages_.get(number, must_exist);
}

Task<Result<MapPin>> ChunkMap::writable(MapPageIndex page) {
  const MapGroupIndex group = group_of(page);
  const PageNumber number = number_of(page);
  ASHLAR_CO_TRY_ASSIGN(const MapPin summary, co_await summaries_.get(number_of(group), false));
  const PageExists exists = page_exists(summary.bytes(), summary.damaged(), place_in_group(page));
  // A page may be here although it does not exist: when a summary could not be read for a while.
  if (exists == PageExists::kNo && !pages_.contains(number)) {
    ASHLAR_CO_TRY_ASSIGN(MapPin made, pages_.make(number));
    note_exists(summary, page);
    co_return made;
  }
  ASHLAR_CO_TRY_ASSIGN(MapPin found, co_await pages_.get(number, exists == PageExists::kYes));
  if (exists != PageExists::kYes) note_exists(summary, page);
  co_return found;
}

// For a page that is changed next. A damaged sector cannot say it; but it must be as damaged on the
// disk as it is here, or it would deny the page once it can be read again.
void ChunkMap::note_exists(const MapPin& summary, MapPageIndex page) {
  const MutableByteSpan bytes = summaries_.change(summary);
  const unsigned place = place_in_group(page);
  if (page_exists(bytes, summary.damaged(), place) == PageExists::kNo) {
    set_page_exists(bytes, group_of(page), place, seed_);
  }
  extent_ = std::max(extent_, number_of(page).value() + 1);
}

Task<Result<std::optional<MapPageIndex>>> ChunkMap::next_page(MapPageIndex from, MapPageIndex end) {
  while (from < end && group_of(from) < end_of_groups()) {
    const MapGroupIndex group = group_of(from);
    const MapPageIndex group_begin = from - place_in_group(from);
    ASHLAR_CO_TRY_ASSIGN(const MapPin summary, co_await summaries_.get(number_of(group), false));
    const std::optional<unsigned> place =
        next_place(summary.bytes(), summary.damaged(), place_in_group(from));
    if (!place) {
      from = group_begin + kPagesPerSummary;
      continue;
    }
    const MapPageIndex found = group_begin + *place;
    if (found >= end) break;
    co_return found;
  }
  co_return std::nullopt;
}

void ChunkMap::change(const MapPin& page, ChunkIndex chunk, const ChunkEntry& entry) {
  write_entry(pages_.change(page), chunk, entry, seed_);
  pages_.set_damaged(page, page.damaged() & ~(std::uint64_t{1} << slot_of(chunk)));
}

// Memory is constant although a change may touch every page there is.
Task<Result<>> ChunkMap::relieve() {
  if (!pages_.should_write()) co_return Result<>();
  co_return co_await pages_.write_dirty();
}

// --- reading -------------------------------------------------------------------------------------

void ChunkMap::answer(const MapPin& page, BlockRange range, std::span<BlockInfo> out) {
  for (std::uint64_t i = 0; i < range.count; ++i) {
    const BlockIndex block = range.first + i;
    const unsigned slot = slot_of(chunk_of(block));
    const bool damaged = (page.damaged() >> slot & 1) != 0;
    out[i] = damaged ? BlockInfo{BlockState::kDamaged, 0}
                     : read_block(page.bytes(), slot, place_in_chunk(block));
  }
}

bool ChunkMap::answer_from_memory(MapPageIndex page, BlockRange range, std::span<BlockInfo> out) {
  if (const MapPin found = pages_.find(number_of(page))) {
    answer(found, range, out);
    return true;
  }
  if (group_of(page) < end_of_groups()) {
    const MapPin summary = summaries_.find(number_of(group_of(page)));
    if (!summary) return false;
    const PageExists exists = page_exists(summary.bytes(), summary.damaged(), place_in_group(page));
    if (exists != PageExists::kNo) return false;
  }
  std::fill(out.begin(), out.end(), BlockInfo{});
  return true;
}

bool ChunkMap::try_look_up(BlockRange range, std::span<BlockInfo> out) {
  ASHLAR_CHECK_EQ(out.size(), range.count);
  for (std::uint64_t done = 0; done < range.count;) {
    const MapPageIndex page = map_page_of(range.first + done);
    const BlockRange part = within(range, page);
    if (!answer_from_memory(page, part, out.subspan(done, part.count))) return false;
    done += part.count;
  }
  return true;
}

Task<Result<>> ChunkMap::look_up(BlockRange range, std::span<BlockInfo> out) {
  ASHLAR_CHECK_EQ(out.size(), range.count);
  for (std::uint64_t done = 0; done < range.count;) {
    const MapPageIndex page = map_page_of(range.first + done);
    const BlockRange part = within(range, page);
    const std::span<BlockInfo> rest = out.subspan(done, part.count);
    done += part.count;
    if (answer_from_memory(page, part, rest)) continue;
    ASHLAR_CO_TRY_ASSIGN(const MapPin found, co_await existing(page));
    if (found) {
      answer(found, part, rest);
    } else {
      std::fill(rest.begin(), rest.end(), BlockInfo{});
    }
  }
  co_return Result<>();
}

std::uint64_t ChunkMap::known_chunks(const MapPin& page) {
  std::uint64_t known = page.damaged();
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    if (!is_empty_entry(page.bytes(), slot)) known |= std::uint64_t{1} << slot;
  }
  return known;
}

MappedChunk ChunkMap::mapped(const MapPin& page, ChunkIndex chunk) {
  return {.chunk = chunk,
          .entry = entry_in(page, chunk),
          .is_damaged = (page.damaged() >> slot_of(chunk) & 1) != 0};
}

Task<Result<MappedChunk>> ChunkMap::entry(ChunkIndex chunk) {
  ASHLAR_CO_TRY_ASSIGN(const MapPin page, co_await existing(engine::map_page_of(chunk)));
  if (!page) co_return MappedChunk{.chunk = chunk, .entry = {}};
  co_return mapped(page, chunk);
}

Task<Result<std::optional<MappedChunk>>> ChunkMap::next_chunk(ChunkIndex from) {
  for (;;) {
    const MapPageIndex start = engine::map_page_of(from);
    ASHLAR_CO_TRY_ASSIGN(const std::optional<MapPageIndex> next,
                         co_await next_page(start, kNoPage));
    if (!next) co_return std::nullopt;
    from = std::max(from, first_chunk_of(*next));
    ASHLAR_CO_TRY_ASSIGN(const MapPin page, co_await existing(*next));
    if (page) {
      for (const std::uint64_t known = known_chunks(page); map_page_of(from) == *next; ++from) {
        if ((known >> slot_of(from) & 1) != 0) co_return mapped(page, from);
      }
    } else {
      from = first_chunk_of(next->next());
    }
  }
}

// --- changing ------------------------------------------------------------------------------------

Task<Result<>> ChunkMap::mark_written(BlockRange range, std::span<const std::uint32_t> checksums,
                                      Lsn lsn) {
  ASHLAR_CHECK_EQ(checksums.size(), range.count);
  while (range.count > 0) {
    {
      const MapPageIndex index = map_page_of(range.first);
      ASHLAR_CO_TRY_ASSIGN(const MapPin page, co_await writable(index));
      while (range.count > 0 && map_page_of(range.first) == index) {
        const Part part = first_part(range);
        ChunkEntry entry = entry_in(page, part.chunk);
        forget_blocks(entry, part.blocks);
        entry.present |= part.blocks;
        const unsigned place = place_in_chunk(range.first);
        const auto count = static_cast<std::size_t>(std::popcount(part.blocks));
        std::copy_n(checksums.begin(), count, entry.checksums.begin() + place);
        entry.last_lsn = std::max(entry.last_lsn, lsn);
        change(page, part.chunk, entry);
        checksums = checksums.subspan(count);
        range = {range.first + count, range.count - count};
      }
    }
    ASHLAR_CO_TRY(co_await relieve());
  }
  co_return Result<>();
}

Task<Result<>> ChunkMap::discard_page(MapPageIndex index, BlockRange range, Lsn lsn,
                                      std::span<ChunkMap* const> below) {
  std::uint64_t hidden = 0;  // chunks that must be hidden
  for (ChunkMap* const map : below) {
    ASHLAR_CO_TRY_ASSIGN(const MapPin page, co_await map->existing(index));
    if (page) hidden |= known_chunks(page);
  }
  hidden &= chunks_of(range);
  MapPin page;
  if (hidden != 0) {
    ASHLAR_CO_TRY_ASSIGN(page, co_await writable(index));
  } else {
    ASHLAR_CO_TRY_ASSIGN(page, co_await existing(index));
    if (!page) co_return Result<>();
  }
  const std::uint64_t known = known_chunks(page) | hidden;
  while (range.count > 0) {
    const Part part = first_part(range);
    const auto count = static_cast<std::uint64_t>(std::popcount(part.blocks));
    range = {range.first + count, range.count - count};
    if ((known >> slot_of(part.chunk) & 1) == 0) continue;
    ChunkEntry entry = entry_in(page, part.chunk);
    const bool hides = (hidden >> slot_of(part.chunk) & 1) != 0;
    const auto already = static_cast<std::uint16_t>(entry.discarded & ~entry.present & part.blocks);
    forget_blocks(entry, part.blocks);
    entry.discarded |= hides ? part.blocks : already;
    entry.last_lsn = std::max(entry.last_lsn, lsn);
    change(page, part.chunk, entry);
  }
  co_return Result<>();
}

Task<Result<>> ChunkMap::mark_discarded(BlockRange range, Lsn lsn,
                                        std::span<ChunkMap* const> below) {
  if (range.count == 0) co_return Result<>();
  // Goes through the pages that exist in any of the maps, in order.
  std::vector<ChunkMap*> maps(below.begin(), below.end());
  maps.push_back(this);
  std::vector<MapPageIndex> next(maps.size(), map_page_of(range.first));
  const MapPageIndex end = end_page_of(range);
  MapPageIndex from = next.front();
  for (;;) {
    MapPageIndex first = kNoPage;
    for (std::size_t i = 0; i < maps.size(); ++i) {
      if (next[i] <= from && next[i] != kNoPage) {
        ASHLAR_CO_TRY_ASSIGN(const std::optional<MapPageIndex> found,
                             co_await maps[i]->next_page(from, end));
        next[i] = found.value_or(kNoPage);
      }
      first = std::min(first, next[i]);
    }
    if (first == kNoPage) co_return Result<>();
    ASHLAR_CO_TRY(co_await discard_page(first, within(range, first), lsn, below));
    ASHLAR_CO_TRY(co_await relieve());
    from = first.next();
  }
}

Task<Result<>> ChunkMap::mark_absent(BlockRange range) {
  if (range.count == 0) co_return Result<>();
  const MapPageIndex end = end_page_of(range);
  MapPageIndex from = map_page_of(range.first);
  for (;;) {
    ASHLAR_CO_TRY_ASSIGN(const std::optional<MapPageIndex> index, co_await next_page(from, end));
    if (!index) co_return Result<>();
    {
      ASHLAR_CO_TRY_ASSIGN(const MapPin page, co_await existing(*index));
      BlockRange rest = within(range, *index);
      const std::uint64_t known = page ? known_chunks(page) : 0;
      while (rest.count > 0) {
        const Part part = first_part(rest);
        const auto count = static_cast<std::uint64_t>(std::popcount(part.blocks));
        rest = {rest.first + count, rest.count - count};
        if ((known >> slot_of(part.chunk) & 1) == 0) continue;
        const ChunkEntry before = entry_in(page, part.chunk);
        const ChunkEntry after = without(before, part.blocks);
        if (after != before) change(page, part.chunk, after);
      }
    }
    ASHLAR_CO_TRY(co_await relieve());
    from = index->next();
  }
}

Task<Result<>> ChunkMap::set_entry(ChunkIndex chunk, const ChunkEntry& entry) {
  const MapPageIndex index = engine::map_page_of(chunk);
  MapPin page;
  if (entry.is_empty()) {
    ASHLAR_CO_TRY_ASSIGN(page, co_await existing(index));
    if (!page) co_return Result<>();
  } else {
    ASHLAR_CO_TRY_ASSIGN(page, co_await writable(index));
  }
  change(page, chunk, entry);
  page = MapPin();
  co_return co_await relieve();
}

}  // namespace ashlar::engine
