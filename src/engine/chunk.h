// A chunk: 64 KiB of a volume, the unit of the chunk map; and what the map says of one.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "common/base/strong.h"
#include "common/base/uuid.h"

namespace ashlar::engine {

inline constexpr std::uint64_t kBlocksPerChunk = 16;

using ChunkIndex = Ordinal<struct ChunkIndexTag>;

inline ChunkIndex chunk_of(BlockIndex block) {
  return ChunkIndex(block.value() / kBlocksPerChunk);
}
inline BlockIndex first_block_of(ChunkIndex chunk) {
  return BlockIndex(chunk.value() * kBlocksPerChunk);
}
inline unsigned place_in_chunk(BlockIndex block) {
  return static_cast<unsigned>(block.value() % kBlocksPerChunk);
}

// What one layer says of one block.
enum class BlockState : std::uint8_t {
  kAbsent,     // nothing: ask the layer below; zeros if there is none
  kPresent,    // its bytes are in the data file, with this checksum
  kDiscarded,  // zeros, whatever is below
  kDamaged,    // it was here, and its checksum is lost
};

struct BlockInfo {
  BlockState state = BlockState::kAbsent;
  std::uint32_t checksum = 0;

  friend bool operator==(const BlockInfo&, const BlockInfo&) = default;
};

struct ChunkEntry {
  // The highest LSN of a record that changed the chunk in this layer.
  Lsn last_lsn;
  // Bit i is block i. Both bits together: damaged.
  std::uint16_t present = 0;
  std::uint16_t discarded = 0;
  std::array<std::uint32_t, kBlocksPerChunk> checksums{};  // of present blocks; else 0

  bool is_empty() const { return last_lsn == Lsn() && present == 0 && discarded == 0; }
  BlockInfo block(unsigned place) const {
    const bool has = (present >> place & 1) != 0;
    const bool hides = (discarded >> place & 1) != 0;
    if (has && hides) return {BlockState::kDamaged, 0};
    if (has) return {BlockState::kPresent, checksums[place]};
    return {hides ? BlockState::kDiscarded : BlockState::kAbsent, 0};
  }
  friend bool operator==(const ChunkEntry&, const ChunkEntry&) = default;
};

// Names a layer in its store for good: the replica that made it, and that replica's count.
// A clone's lower layers were made by another replica.
struct LayerId {
  ReplicaUuid creator;
  std::uint64_t number = 0;

  friend auto operator<=>(const LayerId&, const LayerId&) = default;
};

}  // namespace ashlar::engine
