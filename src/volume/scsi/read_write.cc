// READ, WRITE, WRITE AND VERIFY, WRITE ATOMIC, PRE-FETCH, SYNCHRONIZE CACHE (SBC-3, 5).

#include <array>
#include <utility>

#include "volume/scsi/block_commands.h"
#include "volume/scsi/block_limits.h"
#include "volume/scsi/extent.h"

namespace ashlar::scsi {

namespace {

bool has_write_cache(const CommandContext& context) {
  return context.unit().settings().ack_policy == volume::AckPolicy::kBuffered;
}

Task<Response> read(CommandContext& context) {
  const Extent extent = extent_of(context);
  if (auto refused = check_extent(context, extent, BlockLimits::kLargestTransfer)) {
    co_return std::move(*refused);
  }
  if (extent.empty()) co_return good();
  // Forced unit access reads what is on stable media; that is what is in the cache, once it is
  // there.
  if (context.opcode.length > 6 && force_of(context) == volume::Force::kYes &&
      has_write_cache(context)) {
    const Result<> flushed = co_await context.volume().flush();
    if (!flushed.ok()) co_return response_to(flushed.error(), Doing::kWriting);
  }
  const volume::ByteRange range = bytes_of(context, extent);
  Result<Buffer> bytes = co_await context.volume().read(range);
  if (!bytes.ok()) {
    if (bytes.error().code() == ErrorCode::kDataLoss)
      co_return co_await medium_error(context, range);
    co_return response_to(bytes.error(), Doing::kReading);
  }
  Response response;
  response.data_in.push_back(std::move(*bytes));
  co_return response;
}

Task<Response> write_extent(CommandContext& context, Extent extent, volume::Force force) {
  if (extent.empty()) co_return good();
  const volume::ByteRange range = bytes_of(context, extent);
  DataOutPlan plan = plan_data_out(context, range.length);
  if (plan.refused) co_return std::move(*plan.refused);
  if (plan.length == 0) co_return wanting(good(), range.length);
  Result<Buffer> bytes = co_await context.fetch(plan.length);
  if (!bytes.ok()) {
    co_return wanting(response_to(bytes.error(), Doing::kFetching), range.length);
  }
  const Result<> written = co_await context.volume().write(range.offset, std::move(*bytes), force);
  if (!written.ok()) {
    co_return wanting(response_to(written.error(), Doing::kWriting), range.length);
  }
  co_return wanting(good(), range.length);
}

// No coroutine of its own: one frame less on the way of every write.
Task<Response> answer(Response response) {
  co_return response;
}

Task<Response> write(CommandContext& context) {
  const Extent extent = extent_of(context);
  if (auto refused = check_extent(context, extent, BlockLimits::kLargestTransfer)) {
    return answer(std::move(*refused));
  }
  const bool has_flags = context.opcode.length > 6;
  return write_extent(context, extent, has_flags ? force_of(context) : volume::Force::kNo);
}

// What is read back has matched the checksum that was made of the data when it came in: that is the
// verification, with and without BYTCHK. To compare it with the data once more would call it a
// miscompare when another command has written in between.
Task<Response> write_and_verify(CommandContext& context) {
  constexpr std::uint8_t kBytchk = 0x06;
  constexpr std::uint8_t kSingleBlock = 0x06;
  constexpr std::uint8_t kReserved = 0x04;
  const std::uint8_t bytchk = context.u8(1) & kBytchk;
  if (bytchk == kReserved || bytchk == kSingleBlock) co_return invalid_cdb(1, 2);
  const Extent extent = extent_of(context);
  if (auto refused = check_extent(context, extent, BlockLimits::kLargestTransfer)) {
    co_return std::move(*refused);
  }
  Response response = co_await write_extent(context, extent, volume::Force::kYes);
  if (response.status != Status::kGood || extent.empty()) co_return response;
  const volume::ByteRange range = bytes_of(context, extent);
  const Result<Buffer> bytes = co_await context.volume().read(range);
  if (bytes.ok()) co_return response;
  if (bytes.error().code() == ErrorCode::kDataLoss) {
    Response error = co_await medium_error(context, range);
    co_return wanting(std::move(error), range.length);
  }
  co_return wanting(response_to(bytes.error(), Doing::kReading), range.length);
}

Task<Response> write_atomic(CommandContext& context) {
  const Extent extent{context.u64(2), context.u16(12), 12};
  const std::uint64_t largest = BlockLimits::largest_atomic_write(context.volume());
  if (auto refused = check_extent(context, extent, largest)) return answer(std::move(*refused));
  return write_extent(context, extent, force_of(context));
}

// There is no cache that reading ahead would fill: GOOD, where CONDITION MET would say that all of
// it is in there.
Task<Response> pre_fetch(CommandContext& context) {
  const Extent extent = extent_of(context);
  auto refused = check_extent(context, extent, UINT64_MAX);
  co_return refused ? std::move(*refused) : good();
}

// The whole cache, whatever the range: it is no more than what the log has not synced yet. IMMED
// may be answered later than it must.
Task<Response> synchronize_cache(CommandContext& context) {
  const Extent extent = extent_of(context);
  if (auto refused = check_extent(context, extent, UINT64_MAX)) co_return std::move(*refused);
  const Result<> flushed = co_await context.volume().flush();
  co_return flushed.ok() ? good() : response_to(flushed.error(), Doing::kWriting);
}

constexpr std::uint16_t kReadTraits = kNeedsMedium;
constexpr std::uint16_t kWriteTraits = kNeedsMedium | kWrites;

// DPO says nothing to a unit without a read cache, GROUP NUMBER nothing to one that does not
// count by groups; neither does harm.
constexpr std::array kRows{
    Opcode{.name = "READ(6)",
           .code = 0x08,
           .length = 6,
           .usage = {0, 0x1f, 0xff, 0xff, 0xff, 0},
           .handler = &read,
           .access = Access::kRead,
           .traits = kReadTraits},
    Opcode{.name = "READ(10)",
           .code = 0x28,
           .length = 10,
           .usage = {0, 0x18, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0},
           .handler = &read,
           .access = Access::kRead,
           .traits = kReadTraits},
    Opcode{.name = "READ(12)",
           .code = 0xa8,
           .length = 12,
           .usage = {0, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0},
           .handler = &read,
           .access = Access::kRead,
           .traits = kReadTraits},
    Opcode{.name = "READ(16)",
           .code = 0x88,
           .length = 16,
           .usage = {0, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0xff, 0x1f, 0},
           .handler = &read,
           .access = Access::kRead,
           .traits = kReadTraits},
    Opcode{.name = "WRITE(6)",
           .code = 0x0a,
           .length = 6,
           .usage = {0, 0x1f, 0xff, 0xff, 0xff, 0},
           .handler = &write,
           .access = Access::kWrite,
           .traits = kWriteTraits},
    Opcode{.name = "WRITE(10)",
           .code = 0x2a,
           .length = 10,
           .usage = {0, 0x18, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0},
           .handler = &write,
           .access = Access::kWrite,
           .traits = kWriteTraits},
    Opcode{.name = "WRITE(12)",
           .code = 0xaa,
           .length = 12,
           .usage = {0, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0},
           .handler = &write,
           .access = Access::kWrite,
           .traits = kWriteTraits},
    Opcode{.name = "WRITE(16)",
           .code = 0x8a,
           .length = 16,
           .usage = {0, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0xff, 0x1f, 0},
           .handler = &write,
           .access = Access::kWrite,
           .traits = kWriteTraits},
    Opcode{.name = "WRITE AND VERIFY(10)",
           .code = 0x2e,
           .length = 10,
           .usage = {0, 0x16, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0},
           .handler = &write_and_verify,
           .access = Access::kWrite,
           .traits = kWriteTraits},
    Opcode{.name = "WRITE AND VERIFY(12)",
           .code = 0xae,
           .length = 12,
           .usage = {0, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0},
           .handler = &write_and_verify,
           .access = Access::kWrite,
           .traits = kWriteTraits},
    Opcode{.name = "WRITE AND VERIFY(16)",
           .code = 0x8e,
           .length = 16,
           .usage = {0, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0xff, 0x1f, 0},
           .handler = &write_and_verify,
           .access = Access::kWrite,
           .traits = kWriteTraits},
    // ATOMIC BOUNDARY would ask for less than a whole write.
    Opcode{.name = "WRITE ATOMIC(16)",
           .code = 0x9c,
           .length = 16,
           .usage = {0, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff,
                     0x1f, 0},
           .handler = &write_atomic,
           .access = Access::kWrite,
           .traits = kWriteTraits},
    Opcode{.name = "PRE-FETCH(10)",
           .code = 0x34,
           .length = 10,
           .usage = {0, 0x02, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0},
           .handler = &pre_fetch,
           .access = Access::kRead,
           .traits = kReadTraits},
    Opcode{.name = "PRE-FETCH(16)",
           .code = 0x90,
           .length = 16,
           .usage = {0, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0xff, 0x1f, 0},
           .handler = &pre_fetch,
           .access = Access::kRead,
           .traits = kReadTraits},
    // SYNC_NV is obsolete and asks for less than we do.
    Opcode{.name = "SYNCHRONIZE CACHE(10)",
           .code = 0x35,
           .length = 10,
           .usage = {0, 0x06, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0},
           .handler = &synchronize_cache,
           .access = Access::kWrite,
           .traits = kReadTraits,
           .recommended_timeout = 60},
    Opcode{.name = "SYNCHRONIZE CACHE(16)",
           .code = 0x91,
           .length = 16,
           .usage = {0, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0xff, 0x1f, 0},
           .handler = &synchronize_cache,
           .access = Access::kWrite,
           .traits = kReadTraits,
           .recommended_timeout = 60},
};

}  // namespace

std::span<const Opcode> read_write_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
