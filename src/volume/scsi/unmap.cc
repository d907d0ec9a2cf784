// UNMAP, WRITE SAME, FORMAT UNIT (SBC-3, 5.28, 5.43 and 5.3): many blocks at once.

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <absl/container/inlined_vector.h>

#include "volume/scsi/block_commands.h"
#include "volume/scsi/block_limits.h"
#include "volume/scsi/extent.h"

namespace ashlar::scsi {

namespace {

constexpr std::size_t kUnmapHeader = 8;
constexpr std::size_t kUnmapDescriptor = 16;

using Extents = absl::InlinedVector<Extent, 16>;

// Descriptors that continue each other are one extent: a host that names every block by itself
// (and one of 512 bytes has to be read and written) does not wait for each of them.
void append(Extents& extents, const Extent& extent) {
  if (extent.empty()) return;
  if (!extents.empty() && extents.back().lba + extents.back().count == extent.lba) {
    extents.back().count += extent.count;
  } else {
    extents.push_back(extent);
  }
}

// What the parameter list asks for, all of it checked before anything is done.
std::optional<Response> parse_unmap(const CommandContext& context, ByteSpan list,
                                    Extents& extents) {
  // SBC-3, 5.28.2: an incomplete descriptor at the end of the length is ignored, one that the
  // parameter list has not room for is an error.
  const std::size_t length = load_be16(list, 2);
  if (length > list.size() - kUnmapHeader) return illegal_request(asc::kParameterListLengthError);
  const std::size_t count = length / kUnmapDescriptor;
  if (count > BlockLimits::kMostUnmapDescriptors) return invalid_parameter(2);
  std::uint64_t blocks = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = kUnmapHeader + i * kUnmapDescriptor;
    const Extent extent{load_be64(list, at), load_be32(list, at + 8)};
    if (auto refused = check_extent(context, extent, UINT64_MAX)) return refused;
    blocks += extent.count;
    if (blocks > BlockLimits::kMostUnmapBlocks) return invalid_parameter(at + 8);
    append(extents, extent);
  }
  return std::nullopt;
}

Task<Response> unmap(CommandContext& context) {
  const std::uint64_t length = context.u16(7);
  if (length == 0) co_return good();
  if (length < kUnmapHeader) co_return illegal_request(asc::kParameterListLengthError);
  ParameterList list = co_await fetch_parameter_list(context, length);
  if (list.refused) co_return std::move(*list.refused);
  Extents extents;
  if (auto refused = parse_unmap(context, list.bytes(), extents)) {
    co_return wanting(std::move(*refused), length);
  }
  for (const Extent& extent : extents) {
    if (context.is_aborted()) break;
    const Result<> done = co_await context.volume().discard(bytes_of(context, extent));
    if (!done.ok()) co_return wanting(response_to(done.error(), Doing::kWriting), length);
  }
  co_return wanting(good(), length);
}

// Writes the block again and again: one buffer full of it, shared by all the records.
Task<Result<>> write_pattern(CommandContext& context, volume::ByteRange range, ByteSpan block) {
  constexpr std::uint64_t kPiece = 1 << 20;
  const std::uint64_t size = std::min(range.length, kPiece);
  ASHLAR_CO_TRY_ASSIGN(Buffer pattern, context.pool().allocate(ByteCount(size)));
  for (std::uint64_t at = 0; at < size; at += block.size()) {
    std::memcpy(pattern.data() + at, block.data(), block.size());
  }
  for (std::uint64_t at = 0; at < range.length && !context.is_aborted();) {
    const std::uint64_t offset = range.offset + at;
    // The first piece ends where blocks of the engine do, so that all others are whole ones.
    const std::uint64_t room = size - offset % BlockLimits::kGranularity % size;
    const std::uint64_t length = std::min(range.length - at, room);
    ASHLAR_CO_TRY(co_await context.volume().write(offset, pattern.slice(0, length)));
    at += length;
  }
  co_return Result<>();
}

bool is_zero(ByteSpan bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

// With UNMAP, blocks are unmapped if they read as what is sent afterwards, that is: as zeros; else
// they are written (SBC-3, 4.7.3.4.4). A count of 0 goes to the end of the unit (WSNZ is 0).
Task<Response> write_same(CommandContext& context) {
  constexpr unsigned kUnmapBit = 3;
  constexpr unsigned kNdobBit = 0;
  Extent extent = extent_of(context);
  const std::uint64_t capacity = context.unit().capacity();
  if (extent.empty() && extent.lba < capacity) extent.count = capacity - extent.lba;
  if (auto refused = check_extent(context, extent, BlockLimits::kLargestWriteSame)) {
    co_return std::move(*refused);
  }
  const bool has_block = context.opcode.length == 10 || !context.has_bit(1, kNdobBit);
  const std::uint64_t wanted = has_block ? context.unit().block_size() : 0;
  if (has_block) {
    if (auto refused = check_data_out(context, wanted)) co_return std::move(*refused);
  }
  Buffer block;
  if (has_block) {
    Result<Buffer> bytes = co_await context.fetch(wanted);
    if (!bytes.ok()) co_return wanting(response_to(bytes.error(), Doing::kFetching), wanted);
    block = std::move(*bytes);
  }
  if (extent.empty()) co_return wanting(good(), wanted);
  const volume::ByteRange range = bytes_of(context, extent);
  Result<> done;
  if (!is_zero(block.bytes())) {
    done = co_await write_pattern(context, range, block.bytes());
  } else if (context.has_bit(1, kUnmapBit)) {
    done = co_await context.volume().discard(range);
  } else {
    done = co_await context.volume().write_zeroes(range);
  }
  co_return wanting(done.ok() ? good() : response_to(done.error(), Doing::kWriting), wanted);
}

// The unit is empty afterwards. There is one format, no defects, and nothing to choose: of the
// parameter list only IMMED is allowed, and what it asks for, to answer early, is not needed.
Task<Response> format_unit(CommandContext& context) {
  constexpr unsigned kFmtData = 4;
  constexpr std::uint64_t kHeader = 4;
  std::uint64_t wanted = 0;
  if (context.has_bit(1, kFmtData)) {
    wanted = kHeader;
    ParameterList list = co_await fetch_parameter_list(context, wanted);
    if (list.refused) co_return std::move(*list.refused);
    constexpr std::array<std::uint8_t, kHeader> kAllowed{0, 0x02, 0, 0};
    for (std::size_t i = 0; i < kHeader; ++i) {
      const auto foreign = std::to_integer<unsigned>(list.bytes()[i]) & ~unsigned{kAllowed[i]};
      if (foreign != 0) co_return wanting(invalid_parameter(i), wanted);
    }
  }
  const Result<> done = co_await context.volume().discard({0, context.volume().size().value()});
  co_return wanting(done.ok() ? good() : response_to(done.error(), Doing::kWriting), wanted);
}

constexpr std::uint16_t kWriteTraits = kNeedsMedium | kWrites;
constexpr std::uint32_t kTimeout = 600;

// ANCHOR is none of ours, nor are LBDATA and PBDATA, which are obsolete.
constexpr std::array kRows{
    Opcode{.name = "UNMAP",
           .code = 0x42,
           .length = 10,
           .usage = {0, 0, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 0},
           .handler = &unmap,
           .access = Access::kWrite,
           .traits = kWriteTraits,
           .recommended_timeout = 60},
    Opcode{.name = "WRITE SAME(10)",
           .code = 0x41,
           .length = 10,
           .usage = {0, 0x08, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0},
           .handler = &write_same,
           .access = Access::kWrite,
           .traits = kWriteTraits,
           .recommended_timeout = kTimeout},
    Opcode{.name = "WRITE SAME(16)",
           .code = 0x93,
           .length = 16,
           .usage = {0, 0x09, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0xff, 0x1f, 0},
           .handler = &write_same,
           .access = Access::kWrite,
           .traits = kWriteTraits,
           .recommended_timeout = kTimeout},
    Opcode{.name = "FORMAT UNIT",
           .code = 0x04,
           .length = 6,
           .usage = {0, 0x10, 0, 0, 0, 0},
           .handler = &format_unit,
           .access = Access::kWrite,
           .traits = kWriteTraits,
           .recommended_timeout = kTimeout},
};

}  // namespace

std::span<const Opcode> unmap_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
