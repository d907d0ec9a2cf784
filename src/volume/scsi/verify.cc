// VERIFY (SBC-3, 5.32): the medium is readable, and holds what the initiator sends.

#include <algorithm>
#include <array>
#include <utility>

#include "volume/scsi/block_commands.h"
#include "volume/scsi/block_limits.h"
#include "volume/scsi/extent.h"

namespace ashlar::scsi {

namespace {

constexpr std::uint64_t kPiece = 1 << 20;

enum class ByteCheck : std::uint8_t { kNone = 0, kAll = 1, kReserved = 2, kSingleBlock = 3 };

Task<Response> read_error(CommandContext& context, Error error, volume::ByteRange range) {
  if (error.code() == ErrorCode::kDataLoss) co_return co_await medium_error(context, range);
  co_return response_to(error, Doing::kReading);
}

// Reads what is mapped: its checksums are compared on the way. What is not mapped has none, and
// reads as zeros.
Task<Response> verify_medium(CommandContext& context, volume::ByteRange range) {
  const std::uint64_t end = range.offset + range.length;
  for (std::uint64_t at = range.offset; at < end && !context.is_aborted();) {
    const Result<volume::ProvisionedRun> run = co_await context.volume().provisioning(at, end - at);
    if (!run.ok()) co_return response_to(run.error(), Doing::kReading);
    if (!run->is_mapped) {
      at += run->length;
      continue;
    }
    const volume::ByteRange piece{at, std::min(run->length, kPiece)};
    const Result<Buffer> bytes = co_await context.volume().read(piece);
    if (!bytes.ok()) co_return co_await read_error(context, bytes.error(), piece);
    at += piece.length;
  }
  co_return good();
}

Task<Response> verify_all(CommandContext& context, volume::ByteRange range) {
  if (context.command.data_out->expected() < range.length) {
    co_return wanting(illegal_request(asc::kInvalidFieldInInformationUnit), range.length);
  }
  const Result<Buffer> expected = co_await context.fetch(range.length);
  if (!expected.ok()) {
    co_return wanting(response_to(expected.error(), Doing::kFetching), range.length);
  }
  const Result<Buffer> bytes = co_await context.volume().read(range);
  if (!bytes.ok()) {
    Response error = co_await read_error(context, bytes.error(), range);
    co_return wanting(std::move(error), range.length);
  }
  const auto difference = first_difference(bytes->bytes(), expected->bytes());
  co_return wanting(difference ? miscompare(*difference) : good(), range.length);
}

// Every block against the one that is sent.
Task<Response> verify_single(CommandContext& context, volume::ByteRange range) {
  const std::uint64_t block_size = context.unit().block_size();
  if (context.command.data_out->expected() < block_size) {
    co_return wanting(illegal_request(asc::kInvalidFieldInInformationUnit), block_size);
  }
  const Result<Buffer> expected = co_await context.fetch(block_size);
  if (!expected.ok()) {
    co_return wanting(response_to(expected.error(), Doing::kFetching), block_size);
  }
  for (std::uint64_t at = 0; at < range.length && !context.is_aborted();) {
    const volume::ByteRange piece{range.offset + at, std::min(range.length - at, kPiece)};
    const Result<Buffer> bytes = co_await context.volume().read(piece);
    if (!bytes.ok()) {
      Response error = co_await read_error(context, bytes.error(), piece);
      co_return wanting(std::move(error), block_size);
    }
    for (std::uint64_t in = 0; in < piece.length; in += block_size) {
      const ByteSpan block = bytes->bytes().subspan(in, block_size);
      const auto difference = first_difference(block, expected->bytes());
      if (difference) co_return wanting(miscompare(at + in + *difference), block_size);
    }
    at += piece.length;
  }
  co_return wanting(good(), block_size);
}

Task<Response> answer(Response response) {
  co_return response;
}

Task<Response> verify(CommandContext& context) {
  const auto check = static_cast<ByteCheck>(context.u8(1) >> 1 & 0x03);
  if (check == ByteCheck::kReserved) return answer(invalid_cdb(1, 2));
  const Extent extent = extent_of(context);
  const std::uint64_t largest =
      check == ByteCheck::kAll ? BlockLimits::kLargestTransfer : UINT64_MAX;
  if (auto refused = check_extent(context, extent, largest)) return answer(std::move(*refused));
  if (extent.empty()) return answer(good());
  const volume::ByteRange range = bytes_of(context, extent);
  switch (check) {
    case ByteCheck::kAll:
      return verify_all(context, range);
    case ByteCheck::kSingleBlock:
      return verify_single(context, range);
    default:
      return verify_medium(context, range);
  }
}

constexpr std::uint32_t kTimeout = 600;

constexpr std::array kRows{
    Opcode{.name = "VERIFY(10)",
           .code = 0x2f,
           .length = 10,
           .usage = {0, 0x16, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0},
           .handler = &verify,
           .access = Access::kRead,
           .traits = kNeedsMedium,
           .recommended_timeout = kTimeout},
    Opcode{.name = "VERIFY(12)",
           .code = 0xaf,
           .length = 12,
           .usage = {0, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0},
           .handler = &verify,
           .access = Access::kRead,
           .traits = kNeedsMedium,
           .recommended_timeout = kTimeout},
    Opcode{.name = "VERIFY(16)",
           .code = 0x8f,
           .length = 16,
           .usage = {0, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0xff, 0x1f, 0},
           .handler = &verify,
           .access = Access::kRead,
           .traits = kNeedsMedium,
           .recommended_timeout = kTimeout},
};

}  // namespace

std::span<const Opcode> verify_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
