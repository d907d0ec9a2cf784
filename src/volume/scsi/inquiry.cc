#include "volume/scsi/inquiry.h"

#include <array>

#include "volume/scsi/block_limits.h"
#include "volume/scsi/command_context.h"
#include "volume/scsi/vpd.h"

namespace ashlar::scsi {

namespace {

UnitFacts facts_of(const CommandContext& context) {
  const LogicalUnit& unit = context.unit();
  const NexusName& name = context.nexus.name();
  return {.volume = context.volume().uuid(),
          .target = context.device.options().name,
          .port = {name.relative_port, name.port_group},
          .ports = context.device.ports(name),
          .block_size = unit.block_size(),
          .largest_atomic_write = BlockLimits::largest_atomic_write(context.volume()),
          .is_removable = unit.settings().removable,
          .has_volatile_cache = unit.settings().ack_policy == volume::AckPolicy::kBuffered};
}

// SPC-4, 6.6. Answered whatever the unit's state is, also for a LUN without a unit.
Task<Response> inquiry(CommandContext& context) {
  const bool wants_page = context.has_bit(1, 0);
  const std::uint8_t page = context.u8(2);
  const std::uint16_t allocation_length = context.u16(3);
  if (!wants_page && page != 0) co_return invalid_cdb(2);
  if (context.addressed == nullptr) {
    if (wants_page) co_return invalid_cdb(2);
    co_return data_in(context.device.pool(), absent_unit_inquiry_data().span(), allocation_length);
  }
  const UnitFacts facts = facts_of(context);
  if (!wants_page) {
    context.nexus.attentions(context.unit().lun()).remove(UnitAttention::kInquiryDataChanged);
    co_return data_in(context.device.pool(), standard_inquiry_data(facts).span(),
                      allocation_length);
  }
  const std::optional<ParameterData> data = vpd_page(page, facts);
  if (!data) co_return invalid_cdb(2);
  co_return data_in(context.device.pool(), data->span(), allocation_length);
}

constexpr std::array<Opcode, 1> kRows{{
    {.name = "INQUIRY",
     .code = 0x12,
     .length = 6,
     .usage = {0, 0x01, 0xff, 0xff, 0xff, 0},
     .handler = &inquiry,
     .traits =
         kPassesUnitAttention | kPassesReserve6 | kDuringSanitize | kInStandby | kWithoutUnit},
}};

}  // namespace

std::span<const Opcode> inquiry_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
