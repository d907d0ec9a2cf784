#include "volume/scsi/unit_identity.h"

#include <fmt/format.h>

namespace ashlar::scsi {

namespace {

constexpr unsigned kNaaRegisteredExtended = 0x6;
constexpr std::uint64_t kCompany = 0x02a51a;
constexpr unsigned kProtocolIscsi = 0x5;

std::vector<std::byte> bytes_vector(ByteSpan bytes) {
  return {bytes.begin(), bytes.end()};
}

// Names are ended by a zero and filled up to a multiple of four bytes (SPC-4, 7.8.6.11).
std::vector<std::byte> scsi_name(std::string_view name) {
  std::vector<std::byte> value = bytes_vector(bytes_of(name));
  value.resize(value.size() / 4 * 4 + 4);
  return value;
}

std::vector<std::byte> two_bytes_behind_two(std::uint16_t number) {
  std::vector<std::byte> value(4);
  store_be16(value, 2, number);
  return value;
}

}  // namespace

NaaIdentifier naa_identifier(const VolumeUuid& volume) {
  const ByteSpan uuid = volume.bytes();
  const std::uint64_t upper = load_be64(uuid, 0);
  const std::uint64_t lower = load_be64(uuid, 8);
  // The uppermost 28 bits, spread over a word so that no bit of theirs stands for one of the
  // others.
  const std::uint64_t folded = (upper >> 36) * 0x9e37'79b9'7f4a'7c15;
  const std::uint64_t middle = upper & ((std::uint64_t{1} << 36) - 1);
  NaaIdentifier naa;
  store_be64(naa, 0, std::uint64_t{kNaaRegisteredExtended} << 60 | kCompany << 36 | middle);
  store_be64(naa, 8, lower ^ folded);
  return naa;
}

std::vector<Designator> unit_designators(const VolumeUuid& volume) {
  ParameterData vendor;
  vendor.padded(kVendor, 8);
  vendor.text(volume.to_string());
  return {{.association = Association::kUnit,
           .code_set = CodeSet::kBinary,
           .type = DesignatorType::kNaa,
           .value = bytes_vector(naa_identifier(volume))},
          {.association = Association::kUnit,
           .code_set = CodeSet::kAscii,
           .type = DesignatorType::kT10Vendor,
           .value = bytes_vector(vendor.span())}};
}

Designator port_name_designator(std::string_view target, std::uint16_t port_group) {
  return {.association = Association::kTargetPort,
          .code_set = CodeSet::kUtf8,
          .type = DesignatorType::kScsiName,
          .value = scsi_name(fmt::format("{},t,0x{:04x}", target, port_group))};
}

Designator device_name_designator(std::string_view target) {
  return {.association = Association::kTargetDevice,
          .code_set = CodeSet::kUtf8,
          .type = DesignatorType::kScsiName,
          .value = scsi_name(target)};
}

std::vector<Designator> port_designators(std::string_view target, std::uint16_t relative_port,
                                         std::uint16_t port_group) {
  return {{.association = Association::kTargetPort,
           .code_set = CodeSet::kBinary,
           .type = DesignatorType::kRelativeTargetPort,
           .value = two_bytes_behind_two(relative_port)},
          {.association = Association::kTargetPort,
           .code_set = CodeSet::kBinary,
           .type = DesignatorType::kTargetPortGroup,
           .value = two_bytes_behind_two(port_group)},
          port_name_designator(target, port_group)};
}

void append_designator(ParameterData& data, const Designator& designator) {
  const bool has_protocol = designator.association != Association::kUnit;
  data.u8((has_protocol ? kProtocolIscsi << 4 : 0) | static_cast<unsigned>(designator.code_set));
  data.u8((has_protocol ? 0x80u : 0u) | static_cast<unsigned>(designator.association) << 4 |
          static_cast<unsigned>(designator.type));
  data.u8(0);
  const ParameterData::Length8 length = data.begin_length8();
  data.bytes(designator.value);
  data.end_length(length);
}

}  // namespace ashlar::scsi
