// UnitIdentity: by what names a host knows a unit. Everything derives from the volume's uuid, so
// that every server and every copy says the same and no two volumes do (L67).
//
//   serial number   the uuid as text (VPD 80)
//   T10 vendor id   "ASHLAR  " and the uuid as text
//   NAA             locally made, of the IEEE registered extended form (NAA 6), 16 bytes:
//                   the digit 6, the company id 02-A5-1A, and 100 bits of the uuid. The company
//                   id has the IEEE's bit for "locally administered" set, so that it can belong to
//                   nobody else. Of the uuid's 128 bits the lower 100 are taken; the upper 28 are
//                   multiplied by 9e3779b97f4a7c15h and folded onto the last 64 by exclusive or.
//                   Uuids that differ in a few bits, as made-up ones do, stay different, and random
//                   ones collide with a chance of 2^-100.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/uuid.h"
#include "volume/scsi/parameter_data.h"

namespace ashlar::scsi {

inline constexpr std::string_view kVendor = "ASHLAR";
inline constexpr std::string_view kProduct = "VOLUME";
inline constexpr std::string_view kRevision = "0001";

using NaaIdentifier = std::array<std::byte, 16>;
NaaIdentifier naa_identifier(const VolumeUuid& volume);

// SPC-4, 7.8.6: what a designator names, how it is written, and of which kind it is.
enum class Association : std::uint8_t { kUnit = 0, kTargetPort = 1, kTargetDevice = 2 };
enum class CodeSet : std::uint8_t { kBinary = 1, kAscii = 2, kUtf8 = 3 };
enum class DesignatorType : std::uint8_t {
  kVendorSpecific = 0,
  kT10Vendor = 1,
  kEui64 = 2,
  kNaa = 3,
  kRelativeTargetPort = 4,
  kTargetPortGroup = 5,
  kLogicalUnitGroup = 6,
  kScsiName = 8,
};

struct Designator {
  Association association = Association::kUnit;
  CodeSet code_set = CodeSet::kBinary;
  DesignatorType type = DesignatorType::kNaa;
  std::vector<std::byte> value;

  friend bool operator==(const Designator&, const Designator&) = default;
};

// Of the unit itself; the NAA identifier first.
std::vector<Designator> unit_designators(const VolumeUuid& volume);
// Of the target port: relative port, port group, and its iSCSI name "NAME,t,0xTAG".
std::vector<Designator> port_designators(std::string_view target, std::uint16_t relative_port,
                                         std::uint16_t port_group);
Designator port_name_designator(std::string_view target, std::uint16_t port_group);
Designator device_name_designator(std::string_view target);

void append_designator(ParameterData& data, const Designator& designator);

}  // namespace ashlar::scsi
