// ChunkMap: what one layer knows of each chunk, in a sparse file of its own. chunk_map_format.h is
// the format, map_cache.h keeps what is in memory of it; the header of layer.h says how a layer is
// read and changed, and the functions here mean what those of the same name mean there.
//
// Only pages that exist cost anything: a page comes to be with the first change of one of its
// chunks. Long ranges are gone through page by page with a few pages pinned at a time, and what
// they change is written early when it crowds the cache, so memory is constant whatever the range.
//
// On disk, in this order: write_pages() the map pages, a sync, write_summaries() the bits of pages
// that are new, a sync. A bit is never on disk before its page is. So a page that should exist and
// is all zeros was lost, and its 48 chunks are damaged; and a new page that a crash left without
// its bit is as if it had never been written (the log still holds what it said).
//
// Damage is an answer, not an error: of an entry that does not match its checksum, and of every
// entry of a page that cannot be read, all blocks are kDamaged. A change of some blocks of a
// damaged entry leaves the others kDamaged, explicitly. Other errors of the disk are errors.
//
// Belongs to its executor's thread. Nothing may be in flight when it dies; changes not written are
// then forgotten.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "common/base/result.h"
#include "common/runtime/file.h"
#include "common/runtime/task.h"
#include "engine/block_range.h"
#include "engine/chunk.h"
#include "engine/chunk_map_format.h"
#include "engine/map_cache.h"

namespace ashlar::engine {

// A chunk of which a layer knows something.
struct MappedChunk {
  ChunkIndex chunk;
  ChunkEntry entry;
  bool is_damaged = false;  // the entry's own checksum is wrong: all of its blocks are
};

class ChunkMap {
 public:
  // `size` is that of the file.
  ChunkMap(MapCache& cache, File& file, ByteCount size, const MapSeed& seed);
  ChunkMap(const ChunkMap&) = delete;
  ChunkMap& operator=(const ChunkMap&) = delete;

  bool try_look_up(BlockRange range, std::span<BlockInfo> out);
  Task<Result<>> look_up(BlockRange range, std::span<BlockInfo> out);

  Task<Result<>> mark_written(BlockRange range, std::span<const std::uint32_t> checksums, Lsn lsn);
  Task<Result<>> mark_discarded(BlockRange range, Lsn lsn, std::span<ChunkMap* const> below);
  Task<Result<>> mark_absent(BlockRange range);
  Task<Result<>> set_entry(ChunkIndex chunk, const ChunkEntry& entry);

  Task<Result<>> write_pages() { return pages_.write_dirty(); }
  Task<Result<>> write_summaries() { return summaries_.write_dirty(); }
  std::uint64_t dirty_pages() const { return pages_.dirty(); }
  std::uint64_t dirty_summaries() const { return summaries_.dirty(); }

  Task<Result<MappedChunk>> entry(ChunkIndex chunk);
  Task<Result<std::optional<MappedChunk>>> next_chunk(ChunkIndex from);

 private:
  class EntryPages final : public MapPages {
   public:
    EntryPages(MapCache& cache, MapFile& file, const MapSeed& seed)
        : MapPages(cache, file), seed_(seed) {}

   private:
    std::uint64_t check(const MapPageRead& read) override;
    const MapSeed& seed_;
  };
  class SummaryPages final : public MapPages {
   public:
    SummaryPages(MapCache& cache, MapFile& file, const MapSeed& seed)
        : MapPages(cache, file), seed_(seed) {}

   private:
    std::uint64_t check(const MapPageRead& read) override;
    const MapSeed& seed_;
  };
  // Blocks of one chunk, as a mask.
  struct Part {
    ChunkIndex chunk;
    std::uint16_t blocks = 0;
  };

  static BlockRange within(BlockRange range, MapPageIndex page);
  static Part first_part(BlockRange range);
  static void answer(const MapPin& page, BlockRange range, std::span<BlockInfo> out);
  static std::uint64_t known_chunks(const MapPin& page);
  static MappedChunk mapped(const MapPin& page, ChunkIndex chunk);

  bool answer_from_memory(MapPageIndex page, BlockRange range, std::span<BlockInfo> out);
  // Empty when the page does not exist.
  Task<Result<MapPin>> existing(MapPageIndex page);
  // Makes it if it does not exist; the caller changes it before it waits again.
  Task<Result<MapPin>> writable(MapPageIndex page);
  void note_exists(const MapPin& summary, MapPageIndex page);
  // The first page in [from, end) that exists, or may.
  Task<Result<std::optional<MapPageIndex>>> next_page(MapPageIndex from, MapPageIndex end);
  MapGroupIndex end_of_groups() const;

  void change(const MapPin& page, ChunkIndex chunk, const ChunkEntry& entry);
  Task<Result<>> relieve();
  Task<Result<>> discard_page(MapPageIndex page, BlockRange range, Lsn lsn,
                              std::span<ChunkMap* const> below);

  const MapSeed seed_;
  MapFile file_;
  std::uint64_t extent_;  // pages of the file, with those that are not written yet
  EntryPages pages_;
  SummaryPages summaries_;
};

}  // namespace ashlar::engine
