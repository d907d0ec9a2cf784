// Negotiation of the operational keys (RFC 7143, 6.2 and 13): a table from key to rule, and what
// came out of it. The acceptor's answer is the result, so each key is settled by one answer.
//
// Values that the standard does not allow are answered with Reject and change nothing; unknown keys
// with NotUnderstood; keys that mean nothing in the session with Irrelevant.
#pragma once

#include <optional>
#include <string_view>

#include "volume/iscsi/keys.h"
#include "volume/iscsi/parameters.h"
#include "volume/iscsi/text.h"

namespace ashlar::iscsi {

inline constexpr std::string_view kNotUnderstood = "NotUnderstood";
inline constexpr std::string_view kRejected = "Reject";
inline constexpr std::string_view kIrrelevant = "Irrelevant";

class OperationalNegotiation {
 public:
  OperationalNegotiation(const LoginOffer& offer, bool is_discovery)
      : offer_(offer), is_discovery_(is_discovery) {}

  // Answers one key of KeyPlace::kOperational. FirstBurstLength is answered by finish(), since it
  // may not be above a MaxBurstLength that stands behind it.
  void answer(const KeyFacts& key, std::string_view value, TextWriter& reply);
  // After the keys of one request: what had to wait, and once our own declaration.
  void finish(TextWriter& reply);

  SessionParameters session() const;
  const ConnectionParameters& connection() const { return connection_; }

 private:
  LoginOffer offer_;
  bool is_discovery_;
  bool has_declared_ = false;
  std::optional<std::string_view> waiting_first_burst_;  // of the request that is being answered
  SessionParameters session_;
  ConnectionParameters connection_;
};

// 13.12; what a MaxRecvDataSegmentLength may be.
inline constexpr std::uint32_t kShortestSegmentLimit = 512;
inline constexpr std::uint32_t kLongestSegmentLimit = (1u << 24) - 1;

}  // namespace ashlar::iscsi
