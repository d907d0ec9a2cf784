// Extent: the logical blocks that a command is about, out of its CDB, and the checks that all of
// these commands share. Arithmetic is in 64 bits and cannot overflow once an extent is checked
// (L69).
#pragma once

#include <cstdint>
#include <optional>

#include "volume/core/volume.h"
#include "volume/scsi/command_context.h"
#include "volume/scsi/parameter_list.h"

namespace ashlar::scsi {

struct Extent {
  std::uint64_t lba = 0;
  std::uint64_t count = 0;
  std::size_t count_at = 0;  // where the CDB says the count, for field pointers

  bool empty() const { return count == 0; }
};

// As READ and WRITE of 6, 10, 12 and 16 bytes have it; in 6 bytes a count of 0 means 256.
Extent extent_of(const CommandContext& context);

// LBA OUT OF RANGE for what is not on the unit, also for an empty extent behind its end; INVALID
// FIELD IN CDB for more than `largest` bytes.
std::optional<Response> check_extent(const CommandContext& context, const Extent& extent,
                                     std::uint64_t largest);

// Of a checked extent.
inline volume::ByteRange bytes_of(const CommandContext& context, const Extent& extent) {
  const std::uint64_t block_size = context.unit().block_size();
  return {extent.lba * block_size, extent.count * block_size};
}

// How much of `wanted` bytes the initiator gives. What it gives less than that is not written and
// told as a residual (RFC 7143, 11.4.5); half a block is refused.
struct DataOutPlan {
  std::uint64_t length = 0;
  std::optional<Response> refused;
};
DataOutPlan plan_data_out(const CommandContext& context, std::uint64_t wanted);

// For commands that cannot do with less or more.
std::optional<Response> check_data_out(const CommandContext& context, std::uint64_t wanted);

// Reads that block by block until it fails, and tells a MEDIUM ERROR with the first block that
// cannot be had: for a read of the range that failed.
Task<Response> medium_error(CommandContext& context, volume::ByteRange range);

// The byte in which they first differ.
std::optional<std::uint64_t> first_difference(ByteSpan a, ByteSpan b);
Response miscompare(std::uint64_t offset);

inline volume::Force force_of(const CommandContext& context) {
  constexpr unsigned kFua = 3;
  return context.has_bit(1, kFua) ? volume::Force::kYes : volume::Force::kNo;
}

}  // namespace ashlar::scsi
