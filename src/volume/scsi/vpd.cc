#include "volume/scsi/vpd.h"

#include <array>
#include <bit>

#include "volume/scsi/block_limits.h"
#include "volume/scsi/copy_parameters.h"
#include "volume/scsi/mode_parameters.h"
#include "volume/scsi/sense.h"
#include "volume/scsi/unit_identity.h"

namespace ashlar::scsi {

namespace {

constexpr unsigned kNoUnit = 0x7f;  // peripheral qualifier 011b, type 1Fh
constexpr unsigned kVersionSpc4 = 0x06;
constexpr unsigned kResponseFormat = 0x02;
constexpr unsigned kHierarchical = 0x10;  // HISUP: LUNs as SAM-5 writes them
constexpr unsigned kImplicitAlua = 0x10;  // TPGS 01b
constexpr unsigned kThirdPartyCopy = 0x08;
constexpr unsigned kMultiplePorts = 0x10;
constexpr unsigned kCommandQueuing = 0x02;
constexpr std::size_t kStandardSize = 96;

// Version descriptors (SPC-4, table 142): each without a claim to a revision.
constexpr std::array<std::uint16_t, 4> kStandards{
    0x00a0,  // SAM-5
    0x0960,  // iSCSI
    0x0460,  // SPC-4
    0x04c0,  // SBC-3
};

constexpr std::array<VpdPage, 10> kPages{
    VpdPage::kSupportedPages,           VpdPage::kUnitSerialNumber, VpdPage::kDeviceIdentification,
    VpdPage::kExtendedInquiry,          VpdPage::kModePagePolicy,   VpdPage::kScsiPorts,
    VpdPage::kThirdPartyCopy,           VpdPage::kBlockLimits,      VpdPage::kBlockCharacteristics,
    VpdPage::kLogicalBlockProvisioning,
};

void supported_pages(ParameterData& data) {
  for (const VpdPage page : kPages) data.u8(static_cast<unsigned>(page));
}

void device_identification(ParameterData& data, const UnitFacts& facts) {
  for (const Designator& designator : unit_designators(facts.volume)) {
    append_designator(data, designator);
  }
  for (const Designator& designator :
       port_designators(facts.target, facts.port.relative_port, facts.port.port_group)) {
    append_designator(data, designator);
  }
  append_designator(data, device_name_designator(facts.target));
}

// SPC-4, 7.8.7.
void extended_inquiry(ParameterData& data, const UnitFacts& facts) {
  constexpr unsigned kAllAttributes = 0x07;  // HEADSUP, ORDSUP, SIMPSUP
  data.u8(0);
  data.u8(kAllAttributes);
  data.u8(facts.has_volatile_cache ? 0x01 : 0x00);  // V_SUP
  data.zeros(6);
  data.u8(kLongestSense);
  data.zeros(0x3c - 10);
}

// SPC-4, 7.8.8: all pages are shared by all nexuses.
void mode_page_policy(ParameterData& data) {
  data.u8(0x3f);
  data.u8(0xff);
  data.zeros(2);
}

// SPC-4, 7.8.14.
void scsi_ports(ParameterData& data, const UnitFacts& facts) {
  for (const TargetPort& port : facts.ports) {
    data.zeros(2);
    data.be16(port.relative_port);
    data.zeros(2);
    data.be16(0);  // no initiator port
    data.zeros(2);
    const ParameterData::Length16 length = data.begin_length16();
    append_designator(data, port_name_designator(facts.target, port.port_group));
    data.end_length(length);
  }
}

// SBC-3, 6.6.3; the atomic limits are SBC-4's.
void block_limits(ParameterData& data, const UnitFacts& facts) {
  const auto blocks = [&](std::uint64_t bytes) {
    return BlockLimits::blocks(bytes, facts.block_size);
  };
  const std::uint32_t granularity = blocks(BlockLimits::kGranularity);
  data.u8(0);  // WSNZ: WRITE SAME of no blocks goes to the end of the medium
  data.u8(BlockLimits::kMostCompareBlocks);
  data.be16(granularity);
  data.be32(blocks(BlockLimits::kLargestTransfer));
  data.be32(blocks(BlockLimits::kOptimalTransfer));
  data.be32(blocks(BlockLimits::kLargestTransfer));  // PRE-FETCH
  data.be32(BlockLimits::kMostUnmapBlocks);
  data.be32(BlockLimits::kMostUnmapDescriptors);
  data.be32(granularity);
  data.be32(0x8000'0000);  // UGAVALID, aligned at LBA 0
  data.be64(blocks(BlockLimits::kLargestWriteSame));
  data.be32(blocks(facts.largest_atomic_write));
  data.be32(0);  // atomic alignment: none
  data.be32(0);  // atomic granularity: a block
  data.be32(0);  // no atomic boundaries
  data.be32(0);
}

// SBC-3, 6.6.2.
void block_characteristics(ParameterData& data) {
  constexpr unsigned kNonRotating = 0x0001;
  constexpr unsigned kReadsAfterBlockErase = 0x40;  // WABEREQ 01b: reads work, and give zeros
  data.be16(kNonRotating);
  data.u8(0);
  data.u8(kReadsAfterBlockErase);
  data.u8(0);
  data.zeros(0x3c - 5);
}

// SBC-3, 6.6.4.
void logical_block_provisioning(ParameterData& data, const UnitFacts& facts) {
  constexpr unsigned kUnmapCommands = 0xe0;  // LBPU, LBPWS, LBPWS10
  constexpr unsigned kReadsZeros = 0x04;     // LBPRZ
  constexpr unsigned kThin = 0x02;
  data.u8(static_cast<unsigned>(std::countr_zero(kThresholdUnit / facts.block_size)));
  data.u8(kUnmapCommands | kReadsZeros);
  data.u8(kThin);
  data.u8(0);
}

}  // namespace

ParameterData standard_inquiry_data(const UnitFacts& facts) {
  ParameterData data;
  data.u8(0);  // a direct access block device, connected
  data.u8(facts.is_removable ? 0x80 : 0x00);
  data.u8(kVersionSpc4);
  data.u8(kHierarchical | kResponseFormat);
  data.u8(kStandardSize - 5);
  data.u8(kImplicitAlua | kThirdPartyCopy);
  data.u8(kMultiplePorts);
  data.u8(kCommandQueuing);
  data.padded(kVendor, 8);
  data.padded(kProduct, 16);
  data.padded(kRevision, 4);
  data.zeros(22);
  for (const std::uint16_t standard : kStandards) data.be16(standard);
  data.zeros(kStandardSize - data.size());
  return data;
}

ParameterData absent_unit_inquiry_data() {
  ParameterData data = standard_inquiry_data({});
  data.span()[0] = std::byte{kNoUnit};
  return data;
}

std::optional<ParameterData> vpd_page(std::uint8_t code, const UnitFacts& facts) {
  ParameterData data;
  data.u8(0);
  data.u8(code);
  const ParameterData::Length16 length = data.begin_length16();
  switch (static_cast<VpdPage>(code)) {
    case VpdPage::kSupportedPages:
      supported_pages(data);
      break;
    case VpdPage::kUnitSerialNumber:
      data.text(facts.volume.to_string());
      break;
    case VpdPage::kDeviceIdentification:
      device_identification(data, facts);
      break;
    case VpdPage::kExtendedInquiry:
      extended_inquiry(data, facts);
      break;
    case VpdPage::kModePagePolicy:
      mode_page_policy(data);
      break;
    case VpdPage::kScsiPorts:
      scsi_ports(data, facts);
      break;
    case VpdPage::kThirdPartyCopy:
      append_third_party_copy(data);
      break;
    case VpdPage::kBlockLimits:
      block_limits(data, facts);
      break;
    case VpdPage::kBlockCharacteristics:
      block_characteristics(data);
      break;
    case VpdPage::kLogicalBlockProvisioning:
      logical_block_provisioning(data, facts);
      break;
    default:
      return std::nullopt;
  }
  data.end_length(length);
  return data;
}

}  // namespace ashlar::scsi
