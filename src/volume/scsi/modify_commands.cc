// COMPARE AND WRITE and ORWRITE (SBC-3, 5.2 and 5.10): what they read and what they write is one
// step, which no other command comes between.

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "volume/scsi/block_commands.h"
#include "volume/scsi/block_limits.h"
#include "volume/scsi/extent.h"

namespace ashlar::scsi {

namespace {

class CompareAndReplace final : public volume::Modifier {
 public:
  CompareAndReplace(ByteSpan expected, ByteSpan replacement)
      : expected_(expected), replacement_(replacement) {}

  bool modify(MutableByteSpan bytes) override {
    difference_ = first_difference(bytes, expected_);
    if (difference_) return false;
    std::memcpy(bytes.data(), replacement_.data(), bytes.size());
    return true;
  }
  std::uint64_t difference() const { return *difference_; }

 private:
  const ByteSpan expected_;
  const ByteSpan replacement_;
  std::optional<std::uint64_t> difference_;
};

class Or final : public volume::Modifier {
 public:
  explicit Or(ByteSpan with) : with_(with) {}

  bool modify(MutableByteSpan bytes) override {
    std::transform(bytes.begin(), bytes.end(), with_.begin(), bytes.begin(),
                   [](std::byte a, std::byte b) { return a | b; });
    return true;
  }

 private:
  const ByteSpan with_;
};

Task<Response> compare_and_write(CommandContext& context) {
  const Extent extent{context.u64(2), context.u8(13), 13};
  if (auto refused = check_extent(context, extent, context.volume().largest_modify())) {
    co_return std::move(*refused);
  }
  if (extent.empty()) {
    // Who sends more than the largest command takes has meant a count that the field cannot hold.
    const std::uint64_t most =
        std::uint64_t{2} * BlockLimits::kMostCompareBlocks * context.unit().block_size();
    co_return context.command.data_out->expected() > most ? invalid_cdb(extent.count_at) : good();
  }
  const volume::ByteRange range = bytes_of(context, extent);
  const std::uint64_t wanted = 2 * range.length;
  if (auto refused = check_data_out(context, wanted)) co_return std::move(*refused);
  const Result<Buffer> bytes = co_await context.fetch(wanted);
  if (!bytes.ok()) co_return wanting(response_to(bytes.error(), Doing::kFetching), wanted);
  CompareAndReplace change(bytes->bytes().first(range.length), bytes->bytes().last(range.length));
  const Result<bool> changed = co_await context.volume().modify(range, change, force_of(context));
  if (!changed.ok()) {
    if (changed.error().code() == ErrorCode::kDataLoss) {
      Response error = co_await medium_error(context, range);
      co_return wanting(std::move(error), wanted);
    }
    co_return wanting(response_to(changed.error(), Doing::kWriting), wanted);
  }
  co_return wanting(*changed ? good() : miscompare(change.difference()), wanted);
}

Task<Response> or_write(CommandContext& context) {
  const Extent extent = extent_of(context);
  if (auto refused = check_extent(context, extent, BlockLimits::kLargestTransfer)) {
    co_return std::move(*refused);
  }
  if (extent.empty()) co_return good();
  const volume::ByteRange range = bytes_of(context, extent);
  DataOutPlan plan = plan_data_out(context, range.length);
  if (plan.refused) co_return std::move(*plan.refused);
  if (plan.length == 0) co_return wanting(good(), range.length);
  const Result<Buffer> bytes = co_await context.fetch(plan.length);
  if (!bytes.ok()) co_return wanting(response_to(bytes.error(), Doing::kFetching), range.length);
  // Each block is one step; the whole command is none (SBC-3, 4.10).
  for (std::uint64_t at = 0; at < plan.length;) {
    const std::uint64_t length = std::min(plan.length - at, context.volume().largest_modify());
    Or change(bytes->bytes().subspan(at, length));
    const Result<bool> changed =
        co_await context.volume().modify({range.offset + at, length}, change, force_of(context));
    if (!changed.ok()) {
      if (changed.error().code() == ErrorCode::kDataLoss) {
        Response error = co_await medium_error(context, {range.offset + at, length});
        co_return wanting(std::move(error), range.length);
      }
      co_return wanting(response_to(changed.error(), Doing::kWriting), range.length);
    }
    at += length;
  }
  co_return wanting(good(), range.length);
}

constexpr std::array kRows{
    Opcode{
        .name = "COMPARE AND WRITE",
        .code = 0x89,
        .length = 16,
        .usage = {0, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0x1f, 0},
        .handler = &compare_and_write,
        .access = Access::kWrite,
        .traits = kNeedsMedium | kWrites},
    Opcode{.name = "ORWRITE(16)",
           .code = 0x8b,
           .length = 16,
           .usage = {0, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0xff, 0x1f, 0},
           .handler = &or_write,
           .access = Access::kWrite,
           .traits = kNeedsMedium | kWrites},
};

}  // namespace

std::span<const Opcode> modify_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
