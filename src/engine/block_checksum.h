// The checksum of one 4 KiB block of a volume: CRC32C over the block, seeded with the volume and
// the block's number, so that a block which turns up in the wrong place or volume does not match
// although its bytes are whole (L104).
//
//   seed(block)  = crc32c(volume uuid, 16 bytes ++ block index, 8 bytes little-endian)
//   of(block, b) = crc32c(b, seed(block))
//
// It is computed once, where data enters, and travels in the log, in replication and in the chunk
// map. Payload that is not data of the volume (a reservation's state) counts its blocks from the
// record's first block in the same way.
#pragma once

#include <array>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/crc32c.h"
#include "common/base/strong.h"
#include "common/base/uuid.h"

namespace ashlar::engine {

class BlockChecksum {
 public:
  explicit BlockChecksum(const VolumeUuid& volume) : volume_(crc32c(volume.bytes())) {}

  std::uint32_t seed(BlockIndex block) const {
    std::array<std::byte, 8> number{};
    store_le64(number, 0, block.value());
    return crc32c(number, volume_);
  }
  std::uint32_t of(BlockIndex block, ByteSpan bytes) const { return crc32c(bytes, seed(block)); }

 private:
  std::uint32_t volume_;
};

}  // namespace ashlar::engine
