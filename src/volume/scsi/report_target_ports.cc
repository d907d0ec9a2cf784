#include "volume/scsi/report_target_ports.h"

#include <array>
#include <map>
#include <vector>

#include "volume/scsi/command_context.h"
#include "volume/scsi/parameter_data.h"

namespace ashlar::scsi {

namespace {

// What a port group can be in (SPC-4, table 311). For now there is but one state: a unit is served
// from one place.
constexpr unsigned kSupportedStates = 0x01;  // AO_SUP

// SPC-4, 6.37.
Task<Response> report_target_port_groups(CommandContext& context) {
  enum Format : unsigned { kLengthOnly = 0, kExtendedHeader = 1 };
  const unsigned format = context.u8(1) >> 5;
  const std::uint32_t allocation_length = context.u32(6);
  if (format > kExtendedHeader) co_return invalid_cdb(1, 7);

  const LogicalUnit& unit = context.unit();
  std::map<std::uint16_t, std::vector<std::uint16_t>> groups;
  for (const TargetPort& port : context.device.ports(context.nexus.name())) {
    groups[port.port_group].push_back(port.relative_port);
  }
  ParameterData data;
  const ParameterData::Length32 length = data.begin_length32();
  if (format == kExtendedHeader) {
    data.u8(kExtendedHeader << 4);
    data.zeros(3);
  }
  for (const auto& [group, ports] : groups) {
    data.u8(static_cast<unsigned>(unit.access_state()));
    data.u8(kSupportedStates);
    data.be16(group);
    data.u8(0);
    data.u8(0);  // status code: nobody has changed the state
    data.u8(0);
    data.u8(static_cast<unsigned>(ports.size()));
    for (const std::uint16_t port : ports) {
      data.be16(0);
      data.be16(port);
    }
  }
  data.end_length(length);
  co_return data_in(context.device.pool(), data.span(), allocation_length);
}

// SPC-4, 6.38.
Task<Response> report_timestamp(CommandContext& context) {
  constexpr unsigned kFromElsewhere = 0x03;  // set by something other than SET TIMESTAMP
  const std::uint32_t allocation_length = context.u32(6);
  const Duration since_1970 = context.device.clock().wall_now().since_epoch();
  const auto milliseconds = static_cast<std::uint64_t>(since_1970.count()) / 1'000'000;
  ParameterData data;
  data.be16(10);
  data.u8(kFromElsewhere);
  data.u8(0);
  data.be16(milliseconds >> 32);
  data.be32(milliseconds & 0xffff'ffff);
  data.be16(0);
  co_return data_in(context.device.pool(), data.span(), allocation_length);
}

constexpr std::array<Opcode, 2> kRows{{
    {.name = "REPORT TARGET PORT GROUPS",
     .code = 0xa3,
     .service_action = 0x0a,
     .length = 12,
     .usage = {0, 0xe0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     .handler = &report_target_port_groups,
     .traits = kInStandby},
    {.name = "REPORT TIMESTAMP",
     .code = 0xa3,
     .service_action = 0x0f,
     .length = 12,
     .usage = {0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     .handler = &report_timestamp,
     .traits = kInStandby},
}};

}  // namespace

std::span<const Opcode> target_port_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
