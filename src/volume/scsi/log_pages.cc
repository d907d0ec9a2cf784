#include "volume/scsi/log_pages.h"

#include <algorithm>
#include <array>

#include "volume/scsi/command_context.h"
#include "volume/scsi/mode_parameters.h"
#include "volume/scsi/parameter_data.h"

namespace ashlar::scsi {

namespace {

constexpr std::uint8_t kSupportedPages = 0x00;
constexpr std::uint8_t kLogicalBlockProvisioning = 0x0c;
constexpr std::uint8_t kInformationalExceptions = 0x2f;
constexpr std::uint8_t kAllSubpages = 0xff;
constexpr std::uint16_t kAvailableParameter = 0x0001;
constexpr unsigned kNotSaved = 0x80;       // DS
constexpr unsigned kSubpageFormat = 0x40;  // SPF
constexpr unsigned kBinaryList = 0x03;     // FORMAT AND LINKING

constexpr std::array<std::uint8_t, 3> kPages{kSupportedPages, kLogicalBlockProvisioning,
                                             kInformationalExceptions};

// SBC-3, 6.4.3: what is available, which the volumes of the store share. What this volume has taken
// of it nobody counts.
void append_provisioning(ParameterData& data, ByteCount available) {
  constexpr unsigned kShared = 0x02;
  data.be16(kAvailableParameter);
  data.u8(kBinaryList);
  data.u8(8);
  data.be32(std::min<std::uint64_t>(available.value() / kThresholdUnit, 0xffff'ffff));
  data.u8(kShared);
  data.zeros(3);
}

// SPC-4, 7.3.13: one parameter, and nothing to report: what goes wrong with a unit is told with the
// command that meets it.
void append_informational_exceptions(ParameterData& data) {
  data.be16(0x0000);
  data.u8(kBinaryList);
  data.u8(4);
  data.zeros(4);
}

// SPC-4, 6.8 and 7.3.
Task<Response> log_sense(CommandContext& context) {
  constexpr std::uint8_t kLargestParameter = 0;
  const auto page = static_cast<std::uint8_t>(context.u8(2) & 0x3f);
  const std::uint8_t subpage = context.u8(3);
  const std::uint16_t pointer = context.u16(5);
  const std::uint16_t allocation_length = context.u16(7);
  ParameterData data;
  if (page == kSupportedPages && (subpage == 0 || subpage == kAllSubpages)) {
    if (pointer != 0) co_return invalid_cdb(5);
    data.u8(subpage == 0 ? page : kNotSaved | kSubpageFormat | page);
    data.u8(subpage);
    const ParameterData::Length16 length = data.begin_length16();
    for (const std::uint8_t known : kPages) {
      data.u8(known);
      if (subpage == 0) continue;
      data.u8(0);
      if (known != kSupportedPages) continue;
      data.u8(known);
      data.u8(kAllSubpages);
    }
    data.end_length(length);
  } else if (page == kLogicalBlockProvisioning && subpage == 0) {
    if (pointer > kAvailableParameter) co_return invalid_cdb(5);
    const Result<ByteCount> available = co_await context.volume().available_space();
    if (!available.ok()) co_return response_to(available.error(), Doing::kReading);
    data.u8(kNotSaved | page);
    data.u8(0);
    const ParameterData::Length16 length = data.begin_length16();
    append_provisioning(data, *available);
    data.end_length(length);
  } else if (page == kInformationalExceptions && subpage == 0) {
    if (pointer > kLargestParameter) co_return invalid_cdb(5);
    data.u8(kNotSaved | page);
    data.u8(0);
    const ParameterData::Length16 length = data.begin_length16();
    append_informational_exceptions(data);
    data.end_length(length);
  } else {
    co_return invalid_cdb(2, 5);
  }
  co_return data_in(context.device.pool(), data.span(), allocation_length);
}

constexpr std::array<Opcode, 1> kRows{{
    {.name = "LOG SENSE",
     .code = 0x4d,
     .length = 10,
     .usage = {0, 0, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0},
     .handler = &log_sense,
     .traits = kPassesReserve6 | kInStandby},
}};

}  // namespace

std::span<const Opcode> log_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
