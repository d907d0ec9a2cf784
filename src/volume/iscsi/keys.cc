#include "volume/iscsi/keys.h"

#include <array>

namespace ashlar::iscsi {
namespace {

constexpr bool kNotInDiscovery = true;

constexpr std::array<KeyFacts, kKeyCount> kKeys = {{
    {KeyId::kInitiatorName, "InitiatorName", KeyPlace::kFirstRequest},
    {KeyId::kTargetName, "TargetName", KeyPlace::kFirstRequest},
    {KeyId::kSessionType, "SessionType", KeyPlace::kFirstRequest},
    {KeyId::kInitiatorAlias, "InitiatorAlias", KeyPlace::kAnywhere},
    {KeyId::kAuthMethod, "AuthMethod", KeyPlace::kSecurity},
    {KeyId::kChapA, "CHAP_A", KeyPlace::kSecurity},
    {KeyId::kChapI, "CHAP_I", KeyPlace::kSecurity},
    {KeyId::kChapC, "CHAP_C", KeyPlace::kSecurity},
    {KeyId::kChapN, "CHAP_N", KeyPlace::kSecurity},
    {KeyId::kChapR, "CHAP_R", KeyPlace::kSecurity},
    {KeyId::kHeaderDigest, "HeaderDigest", KeyPlace::kOperational},
    {KeyId::kDataDigest, "DataDigest", KeyPlace::kOperational},
    {KeyId::kMaxConnections, "MaxConnections", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kInitialR2T, "InitialR2T", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kImmediateData, "ImmediateData", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kMaxRecvDataSegmentLength, "MaxRecvDataSegmentLength", KeyPlace::kOperational},
    {KeyId::kMaxBurstLength, "MaxBurstLength", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kFirstBurstLength, "FirstBurstLength", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kDefaultTime2Wait, "DefaultTime2Wait", KeyPlace::kOperational},
    {KeyId::kDefaultTime2Retain, "DefaultTime2Retain", KeyPlace::kOperational},
    {KeyId::kMaxOutstandingR2T, "MaxOutstandingR2T", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kDataPduInOrder, "DataPDUInOrder", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kDataSequenceInOrder, "DataSequenceInOrder", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kErrorRecoveryLevel, "ErrorRecoveryLevel", KeyPlace::kOperational},
    {KeyId::kTaskReporting, "TaskReporting", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kProtocolLevel, "iSCSIProtocolLevel", KeyPlace::kOperational, kNotInDiscovery},
    {KeyId::kIfMarker, "IFMarker", KeyPlace::kOperational},
    {KeyId::kOfMarker, "OFMarker", KeyPlace::kOperational},
    {KeyId::kIfMarkInt, "IFMarkInt", KeyPlace::kOperational},
    {KeyId::kOfMarkInt, "OFMarkInt", KeyPlace::kOperational},
    {KeyId::kSendTargets, "SendTargets", KeyPlace::kFullFeature},
    {KeyId::kTargetAlias, "TargetAlias", KeyPlace::kTargetOnly},
    {KeyId::kTargetAddress, "TargetAddress", KeyPlace::kTargetOnly},
    {KeyId::kTargetPortalGroupTag, "TargetPortalGroupTag", KeyPlace::kTargetOnly},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kKeyCount; ++i) {
    if (static_cast<std::size_t>(kKeys[i].id) != i) return false;
  }
  return true;
}
static_assert(in_order(), "a key is missing or out of place");

}  // namespace

const KeyFacts* find_key(std::string_view name) {
  for (const KeyFacts& key : kKeys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

}  // namespace ashlar::iscsi
