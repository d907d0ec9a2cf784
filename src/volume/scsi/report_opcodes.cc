#include "volume/scsi/report_opcodes.h"

#include <algorithm>
#include <array>

#include "volume/scsi/command_context.h"
#include "volume/scsi/parameter_data.h"

namespace ashlar::scsi {

namespace {

constexpr std::uint8_t kServiceActionBits = 0x1f;

// SPC-4, 6.35.4.
void append_timeouts(ParameterData& data, const Opcode& row) {
  data.be16(10);
  data.u8(0);
  data.u8(0);
  data.be32(row.nominal_timeout);
  data.be32(row.recommended_timeout);
}

// SPC-4, 6.35.2.
ParameterData all_commands(const OpcodeTable& table, bool with_timeouts) {
  constexpr unsigned kHasTimeouts = 0x02;       // CTDP
  constexpr unsigned kHasServiceAction = 0x01;  // SERVACTV
  ParameterData data;
  const ParameterData::Length32 length = data.begin_length32();
  for (const Opcode* row : table.rows()) {
    data.u8(row->code);
    data.u8(0);
    data.be16(row->service_action.value_or(0));
    data.u8(0);
    data.u8((with_timeouts ? kHasTimeouts : 0) | (row->service_action ? kHasServiceAction : 0));
    data.be16(row->length);
    if (with_timeouts) append_timeouts(data, *row);
  }
  data.end_length(length);
  return data;
}

// SPC-4, 6.35.3. Null: not supported.
ParameterData one_command(const Opcode* row, bool with_timeouts) {
  enum Support : unsigned { kNotSupported = 1, kSupported = 3 };
  constexpr unsigned kHasTimeouts = 0x80;
  ParameterData data;
  data.u8(0);
  if (row == nullptr) {
    data.u8(kNotSupported);
    data.be16(0);
    return data;
  }
  data.u8((with_timeouts ? kHasTimeouts : 0) | kSupported);
  data.be16(row->length);
  for (std::size_t i = 0; i < row->length; ++i) {
    unsigned usage = row->usage[i];
    if (i == 0) usage = row->code;
    if (i == 1) usage |= row->service_action.value_or(0);
    data.u8(usage);
  }
  if (with_timeouts) append_timeouts(data, *row);
  return data;
}

OpcodeTable::Found find(const OpcodeTable& table, std::uint8_t code, std::uint8_t action) {
  std::array<std::byte, 16> cdb{};
  cdb[0] = std::byte{code};
  cdb[1] = std::byte{action};
  return table.find(cdb);
}

bool has_service_actions(const OpcodeTable& table, std::uint8_t code) {
  return std::ranges::any_of(table.rows(), [&](const Opcode* row) {
    return row->code == code && row->service_action.has_value();
  });
}

Task<Response> report_supported_opcodes(CommandContext& context) {
  enum Options : unsigned { kAll = 0, kByCode = 1, kByServiceAction = 2, kByEither = 3 };
  const bool with_timeouts = context.has_bit(2, 7);
  const unsigned options = context.u8(2) & 0x07u;
  const std::uint8_t code = context.u8(3);
  const std::uint16_t action = context.u16(4);
  const std::uint32_t allocation_length = context.u32(6);
  const OpcodeTable& table = opcode_table();
  BufferPool& pool = context.device.pool();
  if (options == kAll) {
    co_return data_in(pool, all_commands(table, with_timeouts).span(), allocation_length);
  }
  if (options > kByEither) co_return invalid_cdb(2, 2);
  const bool has_actions = has_service_actions(table, code);
  const bool is_action = action <= kServiceActionBits;
  const OpcodeTable::Found found =
      find(table, code, is_action ? static_cast<std::uint8_t>(action) : std::uint8_t{0});
  const Opcode* row = is_action || !has_actions ? found.row : nullptr;
  if (options == kByCode && has_actions) co_return invalid_cdb(2, 2);
  if (options == kByServiceAction && found.knows_code && !has_actions) {
    co_return invalid_cdb(2, 2);
  }
  // A command without service actions is asked for with none.
  if (options == kByEither && !has_actions && action != 0) row = nullptr;
  co_return data_in(pool, one_command(row, with_timeouts).span(), allocation_length);
}

// SPC-4, 6.36.
Task<Response> report_task_management(CommandContext& context) {
  constexpr unsigned kFunctions = 0xda;  // ATS, ATSS, CTSS, LURS, TRS
  constexpr std::uint32_t kSmallestAllocation = 4;
  const bool is_extended = context.has_bit(2, 7);
  const std::uint32_t allocation_length = context.u32(6);
  if (allocation_length < kSmallestAllocation) co_return invalid_cdb(6);
  ParameterData data;
  data.u8(kFunctions);
  data.zeros(2);
  data.u8(is_extended ? 12 : 0);
  if (is_extended) data.zeros(12);  // no timeouts are given
  co_return data_in(context.device.pool(), data.span(), allocation_length);
}

constexpr std::array<Opcode, 2> kRows{{
    {.name = "REPORT SUPPORTED OPERATION CODES",
     .code = 0xa3,
     .service_action = 0x0c,
     .length = 12,
     .usage = {0, 0, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0},
     .handler = &report_supported_opcodes,
     .access = Access::kRead,
     .traits = kDuringSanitize | kInStandby},
    {.name = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
     .code = 0xa3,
     .service_action = 0x0d,
     .length = 12,
     .usage = {0, 0, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     .handler = &report_task_management,
     .access = Access::kRead,
     .traits = kDuringSanitize | kInStandby},
}};

}  // namespace

std::span<const Opcode> report_opcodes_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
