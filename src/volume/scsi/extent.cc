#include "volume/scsi/extent.h"

#include <algorithm>
#include <cstring>

namespace ashlar::scsi {

Extent extent_of(const CommandContext& context) {
  switch (context.opcode.length) {
    case 6: {
      const std::uint64_t count = context.u8(4);
      return {context.u24(1) & 0x1fffffu, count == 0 ? 256 : count, 4};
    }
    case 10:
      return {context.u32(2), context.u16(7), 7};
    case 12:
      return {context.u32(2), context.u32(6), 6};
    default:
      return {context.u64(2), context.u32(10), 10};
  }
}

std::optional<Response> check_extent(const CommandContext& context, const Extent& extent,
                                     std::uint64_t largest) {
  LogicalUnit& unit = context.unit();
  const std::uint64_t capacity = unit.capacity();
  if (extent.lba > capacity || extent.count > capacity - extent.lba) {
    return illegal_request(asc::kLbaOutOfRange);
  }
  if (extent.count > largest / unit.block_size()) return invalid_cdb(extent.count_at);
  return std::nullopt;
}

DataOutPlan plan_data_out(const CommandContext& context, std::uint64_t wanted) {
  const std::uint64_t given = std::min(context.command.data_out->expected(), wanted);
  if (given == wanted || given % context.unit().block_size() == 0) return {given, std::nullopt};
  return {0, wanting(illegal_request(asc::kInvalidFieldInInformationUnit), wanted)};
}

std::optional<Response> check_data_out(const CommandContext& context, std::uint64_t wanted) {
  if (context.command.data_out->expected() == wanted) return std::nullopt;
  return wanting(illegal_request(asc::kInvalidFieldInInformationUnit), wanted);
}

Task<Response> medium_error(CommandContext& context, volume::ByteRange range) {
  const std::uint64_t block_size = context.unit().block_size();
  std::uint64_t at = range.offset;
  while (at < range.offset + range.length) {
    const Result<Buffer> block = co_await context.volume().read({at, block_size});
    if (!block.ok()) break;
    at += block_size;
  }
  Sense sense{.key = SenseKey::kMediumError, .asc = asc::kUnreadable};
  // A copy that was repaired meanwhile can be read: then nothing tells where it was.
  if (at < range.offset + range.length) sense.information = at / block_size;
  co_return check_condition(sense);
}

std::optional<std::uint64_t> first_difference(ByteSpan a, ByteSpan b) {
  ASHLAR_CHECK_EQ(a.size(), b.size());
  if (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0) return std::nullopt;
  const auto at = std::mismatch(a.begin(), a.end(), b.begin()).first;
  return static_cast<std::uint64_t>(at - a.begin());
}

Response miscompare(std::uint64_t offset) {
  return check_condition(
      {.key = SenseKey::kMiscompare, .asc = asc::kMiscompareDuringVerify, .information = offset});
}

}  // namespace ashlar::scsi
