// START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL (SBC-3, 5.25 and 5.14).

#include <array>

#include "volume/scsi/block_commands.h"
#include "volume/scsi/command_context.h"

namespace ashlar::scsi {

namespace {

constexpr std::uint8_t kPowerCondition = 0xf0;
constexpr std::uint8_t kLoadOrEject = 0x02;
constexpr std::uint8_t kStart = 0x01;

Task<Response> start_stop_unit(CommandContext& context) {
  const std::uint8_t flags = context.u8(4);
  // A power condition is taken note of, and START and LOEJ mean nothing beside it: there is no
  // motor, every condition of it is the active one.
  if ((flags & kPowerCondition) != 0) co_return good();
  LogicalUnit& unit = context.unit();
  const bool starts = (flags & kStart) != 0;
  const bool loads_or_ejects = (flags & kLoadOrEject) != 0;
  if (loads_or_ejects) {
    if (!unit.settings().removable) co_return invalid_cdb(4, 1);
    if (unit.medium().is_prevented()) co_return illegal_request(asc::kMediumRemovalPrevented);
  }
  if (!starts && unit.medium().is_loaded()) {
    const Result<> flushed = co_await context.volume().flush();
    if (!flushed.ok()) co_return response_to(flushed.error(), Doing::kWriting);
  }
  if (loads_or_ejects && starts && !unit.medium().is_loaded()) {
    unit.medium().load();
    unit.raise(UnitAttention::kMediumMayHaveChanged, &context.nexus);
  }
  // Somebody may have locked it during the flush.
  if (loads_or_ejects && !starts) {
    if (unit.medium().is_prevented()) co_return illegal_request(asc::kMediumRemovalPrevented);
    unit.medium().eject();
  }
  co_return good();
}

Access access_of_start_stop(ByteSpan cdb) {
  const auto flags = std::to_integer<std::uint8_t>(cdb[4]);
  const bool only_starts = (flags & kStart) != 0 && (flags & kPowerCondition) == 0;
  return only_starts ? Access::kNone : Access::kWrite;
}

Task<Response> prevent_allow_medium_removal(CommandContext& context) {
  Medium& medium = context.unit().medium();
  if (context.has_bit(4, 0)) {
    medium.prevent(context.nexus.name());
  } else {
    medium.allow(context.nexus.name());
  }
  co_return good();
}

Access access_of_prevent_allow(ByteSpan cdb) {
  return std::to_integer<unsigned>(cdb[4]) == 0 ? Access::kNone : Access::kWrite;
}

constexpr std::array kRows{
    Opcode{.name = "START STOP UNIT",
           .code = 0x1b,
           .length = 6,
           .usage = {0, 0x01, 0, 0x0f, 0xf7, 0},
           .handler = &start_stop_unit,
           .access_by_fields = &access_of_start_stop,
           .recommended_timeout = 60},
    Opcode{.name = "PREVENT ALLOW MEDIUM REMOVAL",
           .code = 0x1e,
           .length = 6,
           .usage = {0, 0, 0, 0, 0x01, 0},
           .handler = &prevent_allow_medium_removal,
           .access_by_fields = &access_of_prevent_allow},
};

}  // namespace

std::span<const Opcode> medium_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
