// The limits that the unit tells (VPD B0) and its commands keep to. In bytes where the volume sets
// them, in logical blocks as SBC-3 counts them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "volume/core/volume.h"

namespace ashlar::scsi {

struct BlockLimits {
  // Of one command that moves data.
  static constexpr std::uint64_t kLargestTransfer = volume::Volume::kLargestTransfer;
  static constexpr std::uint64_t kOptimalTransfer = 1 << 20;
  // A block of the engine: what is written or unmapped in whole ones is quickest.
  static constexpr std::uint64_t kGranularity = 4096;
  // Of COMPARE AND WRITE, in logical blocks: the field has eight bits.
  static constexpr std::uint32_t kMostCompareBlocks = 255;
  // Of one UNMAP. A limit is told because a public test wants one.
  static constexpr std::uint32_t kMostUnmapDescriptors = 256;
  static constexpr std::uint32_t kMostUnmapBlocks = 0xffff'ffff;
  // Of WRITE SAME: what is no zeros is written, and a command has to end before its host gives up.
  static constexpr std::uint64_t kLargestWriteSame = std::uint64_t{4} << 30;

  // A write of so many bytes is one record of the log, wherever it begins: it is there after a
  // crash as a whole or not at all, and readers see it as a whole.
  static std::uint64_t largest_atomic_write(const volume::Volume& volume) {
    return std::min(kOptimalTransfer, volume.largest_modify());
  }

  static constexpr std::uint32_t blocks(std::uint64_t bytes, std::uint32_t block_size) {
    return static_cast<std::uint32_t>(bytes / block_size);
  }
};

}  // namespace ashlar::scsi
