// Additional header segments (RFC 7143, 11.2.2): what a SCSI Command carries behind its header when
// its CDB is longer than 16 bytes or when it moves data both ways.
#pragma once

#include <cstdint>
#include <optional>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace ashlar::iscsi {

// Both parts point into what was parsed.
struct AdditionalHeaders {
  ByteSpan extended_cdb;  // behind the 16 bytes of the header; empty when there is none
  std::optional<std::uint32_t> bidi_read_length;
};

// `bytes` are the segments of one PDU, 4 * total_ahs_length of them. Refuses with kInvalidArgument
// what is cut short, of an unknown type, twice there, or of a wrong length; padding is not looked
// at.
Result<AdditionalHeaders> parse_ahs(ByteSpan bytes);

}  // namespace ashlar::iscsi
