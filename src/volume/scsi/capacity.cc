// READ CAPACITY, GET LBA STATUS, READ DEFECT DATA (SBC-3, 5.15, 5.16, 5.5, 5.17): what the unit
// says about its blocks.

#include <algorithm>
#include <array>
#include <bit>
#include <utility>
#include <vector>

#include "volume/scsi/block_commands.h"
#include "volume/scsi/block_limits.h"
#include "volume/scsi/extent.h"

namespace ashlar::scsi {

namespace {

Task<Response> read_capacity_10(CommandContext& context) {
  LogicalUnit& unit = context.unit();
  std::array<std::byte, 8> data{};
  const std::uint64_t last = unit.capacity() - 1;
  store_be32(data, 0, static_cast<std::uint32_t>(std::min<std::uint64_t>(last, UINT32_MAX)));
  store_be32(data, 4, unit.block_size());
  co_return data_in(context.pool(), data, data.size());
}

Task<Response> read_capacity_16(CommandContext& context) {
  constexpr unsigned kLbpme = 0x80;
  constexpr unsigned kLbprz = 0x40;
  LogicalUnit& unit = context.unit();
  std::array<std::byte, 32> data{};
  store_be64(data, 0, unit.capacity() - 1);
  store_be32(data, 8, unit.block_size());
  data[13] = static_cast<std::byte>(std::countr_zero(BlockLimits::kGranularity) -
                                    std::countr_zero(unit.block_size()));
  data[14] = std::byte{kLbpme | kLbprz};
  co_return data_in(context.pool(), data, context.u32(10));
}

struct LbaStatus {
  std::uint64_t lba = 0;
  std::uint32_t count = 0;
  bool is_mapped = false;
};

Task<Response> get_lba_status(CommandContext& context) {
  constexpr std::size_t kHeader = 8;
  constexpr std::size_t kDescriptor = 16;
  constexpr std::size_t kMostDescriptors = 256;
  enum Provisioning : std::uint8_t { kMapped = 0, kDeallocated = 1 };
  LogicalUnit& unit = context.unit();
  const std::uint64_t block_size = unit.block_size();
  const std::uint64_t capacity = unit.capacity();
  const std::uint64_t first = context.u64(2);
  const std::uint64_t allocation_length = context.u32(10);
  if (first >= capacity) co_return illegal_request(asc::kLbaOutOfRange);
  const std::size_t room =
      allocation_length < kHeader + kDescriptor
          ? 1
          : std::min<std::uint64_t>((allocation_length - kHeader) / kDescriptor, kMostDescriptors);

  std::vector<LbaStatus> all;
  for (std::uint64_t lba = first; lba < capacity && !context.is_aborted();) {
    // Runs of the volume may be shorter than they are alike; one of ours holds 32 bits of blocks.
    const bool goes_on = !all.empty() && all.back().count < UINT32_MAX;
    const std::uint64_t most = std::min<std::uint64_t>(
        capacity - lba, goes_on ? UINT32_MAX - all.back().count : UINT32_MAX);
    const Result<volume::ProvisionedRun> run =
        co_await context.volume().provisioning(lba * block_size, most * block_size);
    if (!run.ok()) co_return response_to(run.error(), Doing::kReading);
    const auto count = static_cast<std::uint32_t>(run->length / block_size);
    if (goes_on && all.back().is_mapped == run->is_mapped) {
      all.back().count += count;
    } else {
      if (all.size() == room) break;
      all.push_back({lba, count, run->is_mapped});
    }
    lba += count;
  }

  std::vector<std::byte> data(kHeader + all.size() * kDescriptor);
  store_be32(data, 0, static_cast<std::uint32_t>(data.size() - 4));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::size_t at = kHeader + i * kDescriptor;
    store_be64(data, at, all[i].lba);
    store_be32(data, at + 8, all[i].count);
    data[at + 12] = std::byte{all[i].is_mapped ? kMapped : kDeallocated};
  }
  co_return data_in(context.pool(), data, allocation_length);
}

// A volume has no defects to tell, in whatever format.
Task<Response> read_defect_data_10(CommandContext& context) {
  std::array<std::byte, 4> data{};
  data[1] = std::byte{context.u8(2)};
  co_return data_in(context.pool(), data, context.u16(7));
}

Task<Response> read_defect_data_12(CommandContext& context) {
  std::array<std::byte, 8> data{};
  data[1] = std::byte{context.u8(1)};
  co_return data_in(context.pool(), data, context.u32(6));
}

constexpr std::array kRows{
    Opcode{.name = "READ CAPACITY(10)",
           .code = 0x25,
           .length = 10,
           .usage = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
           .handler = &read_capacity_10,
           .traits = kNeedsMedium},
    Opcode{.name = "READ CAPACITY(16)",
           .code = 0x9e,
           .service_action = 0x10,
           .length = 16,
           .usage = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
           .handler = &read_capacity_16,
           .traits = kNeedsMedium},
    Opcode{.name = "GET LBA STATUS(16)",
           .code = 0x9e,
           .service_action = 0x12,
           .length = 16,
           .usage = {0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0, 0},
           .handler = &get_lba_status,
           .access = Access::kRead,
           .traits = kNeedsMedium},
    Opcode{.name = "READ DEFECT DATA(10)",
           .code = 0x37,
           .length = 10,
           .usage = {0, 0, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0},
           .handler = &read_defect_data_10,
           .access = Access::kRead,
           .traits = kNeedsMedium},
    Opcode{.name = "READ DEFECT DATA(12)",
           .code = 0xb7,
           .length = 12,
           .usage = {0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0},
           .handler = &read_defect_data_12,
           .access = Access::kRead,
           .traits = kNeedsMedium},
};

}  // namespace

std::span<const Opcode> capacity_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
