// What a login settles (RFC 7143, section 13): for a session, and for each of its connections. The
// values here are the standard's defaults, which hold for a key that nobody sends.
#pragma once

#include <cstdint>

namespace ashlar::iscsi {

enum class DigestKind : std::uint8_t { kNone, kCrc32c };

struct ConnectionParameters {
  DigestKind header_digest = DigestKind::kNone;  // 13.1
  DigestKind data_digest = DigestKind::kNone;    // 13.1
  // MaxRecvDataSegmentLength (13.12), declared by each side for what it receives.
  std::uint32_t send_segment_max = 8192;     // the initiator's: no longer data segment goes out
  std::uint32_t receive_segment_max = 8192;  // ours: a longer one that comes in is refused

  friend bool operator==(const ConnectionParameters&, const ConnectionParameters&) = default;
};

struct SessionParameters {
  std::uint16_t max_connections = 1;         // 13.2
  bool initial_r2t = true;                   // 13.10
  bool immediate_data = true;                // 13.11
  std::uint32_t max_burst_length = 262144;   // 13.13
  std::uint32_t first_burst_length = 65536;  // 13.14; never above max_burst_length
  std::uint16_t default_time2wait = 2;       // 13.15
  std::uint16_t default_time2retain = 20;    // 13.16
  std::uint16_t max_outstanding_r2t = 1;     // 13.17
  bool data_pdu_in_order = true;             // 13.18
  bool data_sequence_in_order = true;        // 13.19
  std::uint8_t error_recovery_level = 0;     // 13.20

  // What may come without being asked for: with the command, and in Data-Out PDUs after it.
  bool unsolicited_data_out() const { return !initial_r2t; }

  friend bool operator==(const SessionParameters&, const SessionParameters&) = default;
};

// What this target offers and insists on; each value is the most, or the only one, it agrees to.
struct LoginOffer {
  bool header_digest = true;  // CRC32C where the initiator prefers it
  bool data_digest = true;
  std::uint32_t receive_segment_max = 256 << 10;
  std::uint32_t max_burst_length = 1 << 20;
  std::uint32_t first_burst_length = 256 << 10;
  bool initial_r2t = false;  // the result is "Yes" when either side wants it
  bool immediate_data = true;
  std::uint16_t max_outstanding_r2t = 8;
  std::uint16_t default_time2wait = 2;
  std::uint16_t default_time2retain = 0;  // recovery level 0: nothing is kept
};

}  // namespace ashlar::iscsi
