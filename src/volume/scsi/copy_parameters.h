// EXTENDED COPY's parameter list and what the target says of its limits (SPC-4, 6.4 and 7.8.17).
// Pure: bytes in, a request or the error out. Of the many kinds of descriptors this target knows
// one each: the identification descriptor E4h, and the block device to block device segment 02h.
#pragma once

#include <cstdint>
#include <vector>

#include <tl/expected.hpp>

#include "common/base/bytes.h"
#include "volume/scsi/parameter_data.h"
#include "volume/scsi/sense.h"
#include "volume/scsi/unit_identity.h"

namespace ashlar::scsi {

struct CopyLimits {
  static constexpr std::size_t kMostTargets = 8;
  static constexpr std::size_t kMostSegments = 8;
  static constexpr std::size_t kTargetSize = 32;
  static constexpr std::size_t kSegmentSize = 28;
  static constexpr std::size_t kLongestDescriptorList =
      kMostTargets * kTargetSize + kMostSegments * kSegmentSize;
  static constexpr std::size_t kHeaderSize = 16;
  static constexpr std::size_t kLongestParameterList = kHeaderSize + kLongestDescriptorList;
  static constexpr std::uint32_t kMostBlocks = 0xffff;  // of a segment: sixteen bits
  static constexpr std::uint64_t kLargestSegment = std::uint64_t{kMostBlocks} * 4096;
  static constexpr unsigned kConcurrentCopies = 16;  // of a unit
};

struct CopyTarget {
  Designator unit;
  bool is_null = false;  // NUL: no unit at all
  std::uint32_t block_size = 0;
};

struct CopySegment {
  std::uint16_t source = 0;  // of the targets
  std::uint16_t destination = 0;
  bool counts_destination_blocks = false;  // DC
  std::uint32_t blocks = 0;
  std::uint64_t source_lba = 0;
  std::uint64_t destination_lba = 0;
};

struct CopyRequest {
  std::uint8_t list_id = 0;
  bool has_list_id = true;  // else nobody can ask for its results
  std::vector<CopyTarget> targets;
  std::vector<CopySegment> segments;
};

// `bytes` is the whole parameter list, not empty.
tl::expected<CopyRequest, Sense> parse_copy_request(ByteSpan bytes);

// The body of VPD page 8F.
void append_third_party_copy(ParameterData& data);
// What RECEIVE COPY RESULTS gives for OPERATING PARAMETERS.
ParameterData copy_operating_parameters();

}  // namespace ashlar::scsi
