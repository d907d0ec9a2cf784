// The text keys of RFC 7143 (sections 12.1.3 and 13): which there are, who may send them, and when.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ashlar::iscsi {

enum class KeyId : std::uint8_t {
  // Who and what, in the first request.
  kInitiatorName,
  kTargetName,
  kSessionType,
  kInitiatorAlias,
  // Security stage.
  kAuthMethod,
  kChapA,
  kChapI,
  kChapC,
  kChapN,
  kChapR,
  // Operational stage.
  kHeaderDigest,
  kDataDigest,
  kMaxConnections,
  kInitialR2T,
  kImmediateData,
  kMaxRecvDataSegmentLength,
  kMaxBurstLength,
  kFirstBurstLength,
  kDefaultTime2Wait,
  kDefaultTime2Retain,
  kMaxOutstandingR2T,
  kDataPduInOrder,
  kDataSequenceInOrder,
  kErrorRecoveryLevel,
  kTaskReporting,
  kProtocolLevel,
  kIfMarker,
  kOfMarker,
  kIfMarkInt,
  kOfMarkInt,
  // Full feature phase.
  kSendTargets,
  // Sent by targets only.
  kTargetAlias,
  kTargetAddress,
  kTargetPortalGroupTag,
};
inline constexpr std::size_t kKeyCount = static_cast<std::size_t>(KeyId::kTargetPortalGroupTag) + 1;

enum class KeyPlace : std::uint8_t {
  kFirstRequest,  // only in the first request of a login
  kAnywhere,      // in any request
  kSecurity,
  kOperational,
  kFullFeature,
  kTargetOnly,
};

struct KeyFacts {
  KeyId id;
  std::string_view name;
  KeyPlace place;
  bool irrelevant_in_discovery = false;  // 13: "Irrelevant when: SessionType=Discovery"
};

// Nothing for a key that this target does not know.
const KeyFacts* find_key(std::string_view name);

}  // namespace ashlar::iscsi
