// What a layer's map should say, in memory, and the changes that tests make to both.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "tests/engine/layer_test_support.h"

namespace ashlar::engine {

struct MapChange {
  enum class Kind : std::uint8_t { kWrite, kDiscard, kAbsent, kSet };

  Kind kind = Kind::kWrite;
  BlockRange range;  // kSet: of its first chunk
  Lsn lsn;
  std::uint32_t content = 0;
  ChunkEntry entry;  // kSet
};

class MapModel {
 public:
  void apply(const MapChange& change, const MapModel* below) {
    switch (change.kind) {
      case MapChange::Kind::kWrite:
        return write(change);
      case MapChange::Kind::kDiscard:
        return discard(change, below);
      case MapChange::Kind::kAbsent:
        return forget(change);
      case MapChange::Kind::kSet:
        entries_[chunk_of(change.range.first).value()] = change.entry;
        return drop_empty(chunk_of(change.range.first).value());
    }
  }

  ChunkEntry entry(ChunkIndex chunk) const {
    const auto found = entries_.find(chunk.value());
    return found == entries_.end() ? ChunkEntry() : found->second;
  }
  const std::map<std::uint64_t, ChunkEntry>& entries() const { return entries_; }

 private:
  static void clear(ChunkEntry& entry, unsigned place) {
    entry.present = static_cast<std::uint16_t>(entry.present & ~(1U << place));
    entry.discarded = static_cast<std::uint16_t>(entry.discarded & ~(1U << place));
    entry.checksums[place] = 0;
  }
  static bool holds(BlockRange range, BlockIndex block) {
    return range.first <= block && block < range.end();
  }

  void write(const MapChange& change) {
    const std::vector<std::uint32_t> checksums = sums(change.range.count, change.content);
    for (std::uint64_t i = 0; i < change.range.count; ++i) {
      const BlockIndex block = change.range.first + i;
      ChunkEntry& entry = entries_[chunk_of(block).value()];
      clear(entry, place_in_chunk(block));
      entry.present = static_cast<std::uint16_t>(entry.present | 1U << place_in_chunk(block));
      entry.checksums[place_in_chunk(block)] = checksums[i];
      entry.last_lsn = std::max(entry.last_lsn, change.lsn);
    }
  }

  std::vector<std::uint64_t> known_in(BlockRange range) const {
    std::vector<std::uint64_t> known;
    const std::uint64_t last = chunk_of(range.end() - 1).value();
    for (auto at = entries_.lower_bound(chunk_of(range.first).value());
         at != entries_.end() && at->first <= last; ++at) {
      known.push_back(at->first);
    }
    return known;
  }

  void discard(const MapChange& change, const MapModel* below) {
    std::vector<std::uint64_t> known = known_in(change.range);
    if (below != nullptr) {
      for (const std::uint64_t chunk : below->known_in(change.range)) known.push_back(chunk);
    }
    for (const std::uint64_t chunk : known) {
      const bool hides = below != nullptr && below->entries_.contains(chunk);
      ChunkEntry& entry = entries_[chunk];
      entry.last_lsn = std::max(entry.last_lsn, change.lsn);
      for (unsigned place = 0; place < kBlocksPerChunk; ++place) {
        if (!holds(change.range, block_in(ChunkIndex(chunk), place))) continue;
        const bool already = entry.block(place).state == BlockState::kDiscarded;
        clear(entry, place);
        if (hides || already) {
          entry.discarded = static_cast<std::uint16_t>(entry.discarded | 1U << place);
        }
      }
    }
  }

  void forget(const MapChange& change) {
    for (const std::uint64_t chunk : known_in(change.range)) {
      ChunkEntry& entry = entries_[chunk];
      const bool had_blocks = entry.present != 0 || entry.discarded != 0;
      unsigned covered = 0;
      for (unsigned place = 0; place < kBlocksPerChunk; ++place) {
        if (!holds(change.range, block_in(ChunkIndex(chunk), place))) continue;
        clear(entry, place);
        ++covered;
      }
      const bool has_blocks = entry.present != 0 || entry.discarded != 0;
      if (!has_blocks && (had_blocks || covered == kBlocksPerChunk)) entry = ChunkEntry();
      drop_empty(chunk);
    }
  }

  void drop_empty(std::uint64_t chunk) {
    if (entries_.at(chunk).is_empty()) entries_.erase(chunk);
  }

  std::map<std::uint64_t, ChunkEntry> entries_;
};

// Draws changes around the borders of chunks, pages and groups, and some that span everything.
class ChangeSource {
 public:
  explicit ChangeSource(std::uint64_t seed) : random_(seed) {}

  MapChange draw() {
    MapChange change;
    const std::uint64_t kind = random_.below(10);
    change.kind = kind < 5   ? MapChange::Kind::kWrite
                  : kind < 8 ? MapChange::Kind::kDiscard
                  : kind < 9 ? MapChange::Kind::kAbsent
                             : MapChange::Kind::kSet;
    change.range = range(change.kind);
    change.lsn = Lsn(++lsn_);
    change.content = static_cast<std::uint32_t>(random_.below(20'000));
    if (change.kind == MapChange::Kind::kSet) change.entry = entry();
    return change;
  }
  BlockRange range() { return {place(), 1 + random_.below(1000)}; }
  BlockIndex place() {
    constexpr std::uint64_t kGroup = kPagesPerSummary * kBlocksPerMapPage;
    constexpr std::uint64_t kHome[] = {0, 5 * kBlocksPerMapPage, kGroup - 700, 7 * kGroup - 300};
    return BlockIndex(kHome[random_.below(4)] + random_.below(1500));
  }
  Random& random() { return random_; }

 private:
  BlockRange range(MapChange::Kind kind) {
    BlockRange drawn = range();
    if (random_.chance(1, 2)) drawn.count = 1 + random_.below(20);
    const bool may_be_long = kind == MapChange::Kind::kDiscard || kind == MapChange::Kind::kAbsent;
    if (may_be_long && random_.chance(1, 8)) drawn.count = std::uint64_t{10} << (40 - 12);
    return drawn;
  }
  ChunkEntry entry() {
    ChunkEntry drawn;
    if (random_.chance(1, 4)) return drawn;
    drawn.last_lsn = Lsn(lsn_);
    drawn.present = static_cast<std::uint16_t>(random_.below(1 << 16));
    drawn.discarded = static_cast<std::uint16_t>(random_.below(1 << 16));
    for (unsigned i = 0; i < kBlocksPerChunk; ++i) {
      if (drawn.block(i).state == BlockState::kPresent) drawn.checksums[i] = 1 + i;
    }
    return drawn;
  }

  Random random_;
  std::uint64_t lsn_ = 0;
};

inline Task<Result<>> apply(Layer& layer, const MapChange& change, std::span<Layer* const> below) {
  switch (change.kind) {
    case MapChange::Kind::kWrite: {
      const std::vector<std::uint32_t> checksums = sums(change.range.count, change.content);
      co_return co_await layer.mark_written(change.range, checksums, change.lsn);
    }
    case MapChange::Kind::kDiscard:
      co_return co_await layer.mark_discarded(change.range, change.lsn, below);
    case MapChange::Kind::kAbsent:
      co_return co_await layer.mark_absent(change.range);
    case MapChange::Kind::kSet:
      break;
  }
  co_return co_await layer.set_entry(chunk_of(change.range.first), change.entry);
}

// The first difference between what the layer and the model say of any chunk, or nothing.
inline Task<Result<std::string>> difference(Layer& layer, const MapModel& model) {
  auto expected = model.entries().begin();
  ChunkIndex from(0);
  for (;;) {
    ASHLAR_CO_TRY_ASSIGN(const std::optional<MappedChunk> next, co_await layer.next_chunk(from));
    const bool model_ends = expected == model.entries().end();
    if (!next && model_ends) co_return std::string();
    if (!next) co_return fmt::format("chunk {} is missing", expected->first);
    const std::uint64_t chunk = next->chunk.value();
    if (model_ends || chunk < expected->first) co_return fmt::format("chunk {} too much", chunk);
    if (chunk > expected->first) co_return fmt::format("chunk {} is missing", expected->first);
    if (next->is_damaged) co_return fmt::format("chunk {} is damaged", chunk);
    if (next->entry != expected->second) {
      co_return fmt::format(
          "chunk {}: lsn {}, present {:x}, discarded {:x}; expected {}, {:x}, {:x}", chunk,
          next->entry.last_lsn, next->entry.present, next->entry.discarded,
          expected->second.last_lsn, expected->second.present, expected->second.discarded);
    }
    from = next->chunk.next();
    ++expected;
  }
}

}  // namespace ashlar::engine
