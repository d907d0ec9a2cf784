#include "volume/scsi/primary_commands.h"

#include <array>
#include <vector>

#include "volume/scsi/command_context.h"

namespace ashlar::scsi {

namespace {

// What would make it not ready was asked before (LogicalUnit::refuse).
Task<Response> test_unit_ready(CommandContext& /*context*/) {
  co_return good();
}

// SPC-4, 6.39. What is pending is told here and then forgotten, as a CHECK CONDITION would do.
Task<Response> request_sense(CommandContext& context) {
  const SenseFormat format = context.has_bit(1, 0) ? SenseFormat::kDescriptor : SenseFormat::kFixed;
  Sense sense;
  if (context.addressed == nullptr) {
    sense = {.key = SenseKey::kIllegalRequest, .asc = asc::kLunNotSupported};
  } else {
    LogicalUnit& unit = context.unit();
    UnitAttentions& attentions = context.nexus.attentions(unit.lun());
    if (const std::optional<UnitAttention> attention = attentions.take_first()) {
      sense = {.key = SenseKey::kUnitAttention, .asc = asc_of(*attention)};
    } else if (const std::optional<Sense> busy = unit.sanitize().refusal()) {
      sense = *busy;
    } else if (const std::optional<Sense> away = unit.medium().refusal()) {
      sense = *away;
    }
  }
  std::array<std::byte, kLongestSense> bytes;
  const std::size_t size = encode_sense(sense, format, bytes);
  co_return data_in(context.device.pool(), ByteSpan(bytes).first(size), context.u8(4));
}

// SPC-4, 6.33.
Task<Response> report_luns(CommandContext& context) {
  enum Select : std::uint8_t { kAllUsable = 0x00, kWellKnown = 0x01, kAll = 0x02 };
  const std::uint8_t select = context.u8(2);
  const std::uint32_t allocation_length = context.u32(6);
  if (select > kAll) co_return invalid_cdb(2, 7);
  if (allocation_length < 16) co_return invalid_cdb(6);
  std::vector<std::uint16_t> luns;
  if (select != kWellKnown) luns = context.device.luns();
  std::vector<std::byte> bytes(8 + luns.size() * 8);
  store_be32(bytes, 0, static_cast<std::uint32_t>(luns.size() * 8));
  for (std::size_t i = 0; i < luns.size(); ++i) {
    store_be64(bytes, 8 + i * 8, encode_lun(luns[i]));
  }
  if (context.addressed != nullptr) {
    context.nexus.attentions(context.unit().lun()).remove(UnitAttention::kReportedLunsChanged);
  }
  co_return data_in(context.device.pool(), bytes, allocation_length);
}

constexpr std::uint16_t kAlways =
    kPassesUnitAttention | kPassesReserve6 | kDuringSanitize | kInStandby | kWithoutUnit;

constexpr std::array<Opcode, 3> kRows{{
    {.name = "TEST UNIT READY",
     .code = 0x00,
     .length = 6,
     .handler = &test_unit_ready,
     .traits = kNeedsMedium},
    {.name = "REQUEST SENSE",
     .code = 0x03,
     .length = 6,
     .usage = {0, 0x01, 0, 0, 0xff, 0},
     .handler = &request_sense,
     .traits = kAlways},
    {.name = "REPORT LUNS",
     .code = 0xa0,
     .length = 12,
     .usage = {0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     .handler = &report_luns,
     .traits = kAlways},
}};

}  // namespace

std::span<const Opcode> primary_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
