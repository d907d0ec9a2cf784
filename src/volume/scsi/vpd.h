// What INQUIRY tells: standard data (SPC-4, 6.6.2) and the vital product data pages (SPC-4, 7.8;
// SBC-3, 6.6). Pure: out of facts, bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/uuid.h"
#include "volume/scsi/device.h"
#include "volume/scsi/parameter_data.h"

namespace ashlar::scsi {

struct UnitFacts {
  VolumeUuid volume;
  std::string target;  // its iSCSI name
  TargetPort port;     // through which the question came
  std::vector<TargetPort> ports;
  std::uint32_t block_size = 512;
  std::uint64_t largest_atomic_write = 0;  // bytes
  bool is_removable = false;
  bool has_volatile_cache = false;
};

ParameterData standard_inquiry_data(const UnitFacts& facts);
// For a LUN with no unit behind it (SPC-4, 6.6.1).
ParameterData absent_unit_inquiry_data();

enum class VpdPage : std::uint8_t {
  kSupportedPages = 0x00,
  kUnitSerialNumber = 0x80,
  kDeviceIdentification = 0x83,
  kExtendedInquiry = 0x86,
  kModePagePolicy = 0x87,
  kScsiPorts = 0x88,
  kThirdPartyCopy = 0x8f,
  kBlockLimits = 0xb0,
  kBlockCharacteristics = 0xb1,
  kLogicalBlockProvisioning = 0xb2,
};

// Nothing for a page that we do not have.
std::optional<ParameterData> vpd_page(std::uint8_t code, const UnitFacts& facts);

}  // namespace ashlar::scsi
