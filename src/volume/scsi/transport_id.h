// InitiatorPort: an initiator port's name in iSCSI, and its TransportID (SPC-4, 7.6.4.6), by which
// persistent reservations know it.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "volume/scsi/parameter_data.h"

namespace ashlar::scsi {

struct InitiatorPort {
  static constexpr std::size_t kLongestName = 223;  // RFC 7143, 4.2.7.2
  // Four bytes before it, the name, ",i,0x" with twelve digits, a zero, and up to three more.
  static constexpr std::size_t kLongestTransportId = 4 + kLongestName + 17 + 4;

  std::string name;        // iSCSI name
  std::uint64_t isid = 0;  // 48 bits

  friend auto operator<=>(const InitiatorPort&, const InitiatorPort&) = default;
};

// Format 01b: name and ISID.
void append_transport_id(ParameterData& data, const InitiatorPort& port);

struct ParsedTransportId {
  InitiatorPort port;
  std::size_t size = 0;  // of the bytes it took
};
// Nothing when it is no whole iSCSI TransportID of format 01b: format 00b names no single port.
std::optional<ParsedTransportId> parse_transport_id(ByteSpan bytes);

}  // namespace ashlar::scsi
