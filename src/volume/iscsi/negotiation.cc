#include "volume/iscsi/negotiation.h"

#include <algorithm>

#include "volume/iscsi/text_value.h"

namespace ashlar::iscsi {
namespace {

constexpr std::uint32_t kShortestBurst = 512;
constexpr std::uint32_t kLongestBurst = (1u << 24) - 1;
constexpr std::uint64_t kLongestTime = 3600;
constexpr std::uint64_t kProtocolLevelOfRfc7143 = 1;

// Writes `result` of what was offered, and keeps it; Reject when the offer is out of range.
template <class Number>
void settle_number(std::string_view name, std::string_view value, std::uint64_t low,
                   std::uint64_t high, Number& kept, auto result, TextWriter& reply) {
  const auto offered = parse_number(value, low, high);
  if (!offered) return reply.add(name, kRejected);
  kept = static_cast<Number>(result(*offered));
  reply.add_number(name, kept);
}

auto at_most(std::uint64_t limit) {
  return [limit](std::uint64_t offered) { return std::min(offered, limit); };
}
auto at_least(std::uint64_t limit) {
  return [limit](std::uint64_t offered) { return std::max(offered, limit); };
}

void settle_bool(std::string_view name, std::string_view value, bool& kept, auto result,
                 TextWriter& reply) {
  const auto offered = parse_bool(value);
  if (!offered) return reply.add(name, kRejected);
  kept = result(*offered);
  reply.add_bool(name, kept);
}

void settle_digest(std::string_view name, std::string_view value, bool is_offered, DigestKind& kept,
                   TextWriter& reply) {
  const bool is_settled = any_of_list(value, [&](std::string_view item) {
    if (item == "CRC32C" && is_offered) {
      kept = DigestKind::kCrc32c;
      return true;
    }
    if (item == "None") {
      kept = DigestKind::kNone;
      return true;
    }
    return false;
  });
  if (!is_settled) return reply.add(name, kRejected);
  reply.add(name, kept == DigestKind::kCrc32c ? "CRC32C" : "None");
}

}  // namespace

void OperationalNegotiation::answer(const KeyFacts& key, std::string_view value,
                                    TextWriter& reply) {
  const std::string_view name = key.name;
  if (is_discovery_ && key.irrelevant_in_discovery) return reply.add(name, kIrrelevant);
  switch (key.id) {
    case KeyId::kHeaderDigest:
      return settle_digest(name, value, offer_.header_digest, connection_.header_digest, reply);
    case KeyId::kDataDigest:
      return settle_digest(name, value, offer_.data_digest, connection_.data_digest, reply);
    case KeyId::kMaxConnections:
      return settle_number(name, value, 1, 65535, session_.max_connections, at_most(1), reply);
    case KeyId::kInitialR2T:
      return settle_bool(
          name, value, session_.initial_r2t,
          [&](bool offered) { return offered || offer_.initial_r2t; }, reply);
    case KeyId::kImmediateData:
      return settle_bool(
          name, value, session_.immediate_data,
          [&](bool offered) { return offered && offer_.immediate_data; }, reply);
    case KeyId::kMaxRecvDataSegmentLength: {
      // A declaration: it is kept, and ours is no answer to it.
      const auto declared = parse_number(value, kShortestSegmentLimit, kLongestSegmentLimit);
      if (!declared) return reply.add(name, kRejected);
      connection_.send_segment_max = static_cast<std::uint32_t>(*declared);
      return;
    }
    case KeyId::kMaxBurstLength:
      return settle_number(name, value, kShortestBurst, kLongestBurst, session_.max_burst_length,
                           at_most(offer_.max_burst_length), reply);
    case KeyId::kFirstBurstLength:
      waiting_first_burst_ = value;
      return;
    case KeyId::kDefaultTime2Wait:
      return settle_number(name, value, 0, kLongestTime, session_.default_time2wait,
                           at_least(offer_.default_time2wait), reply);
    case KeyId::kDefaultTime2Retain:
      return settle_number(name, value, 0, kLongestTime, session_.default_time2retain,
                           at_most(offer_.default_time2retain), reply);
    case KeyId::kMaxOutstandingR2T:
      return settle_number(name, value, 1, 65535, session_.max_outstanding_r2t,
                           at_most(offer_.max_outstanding_r2t), reply);
    case KeyId::kDataPduInOrder:
      return settle_bool(name, value, session_.data_pdu_in_order, [](bool) { return true; }, reply);
    case KeyId::kDataSequenceInOrder:
      return settle_bool(
          name, value, session_.data_sequence_in_order, [](bool) { return true; }, reply);
    case KeyId::kErrorRecoveryLevel:
      return settle_number(name, value, 0, 2, session_.error_recovery_level, at_most(0), reply);
    case KeyId::kTaskReporting:
      // 13.23: the semantics of RFC 3720 are the ones that this target has.
      return reply.add(name, list_contains(value, "RFC3720") ? "RFC3720" : kRejected);
    case KeyId::kProtocolLevel: {
      std::uint64_t level = 0;
      return settle_number(name, value, 0, 31, level, at_most(kProtocolLevelOfRfc7143), reply);
    }
    case KeyId::kIfMarker:
    case KeyId::kOfMarker:
      // 13.25: markers are no more; who still asks gets the answer that means so.
      return reply.add(name, parse_bool(value) ? "No" : kRejected);
    case KeyId::kIfMarkInt:
    case KeyId::kOfMarkInt:
      return reply.add(name, kRejected);
    default:
      return reply.add(name, kRejected);
  }
}

void OperationalNegotiation::finish(TextWriter& reply) {
  if (waiting_first_burst_) {
    constexpr std::string_view kName = "FirstBurstLength";
    if (session_.initial_r2t && !session_.immediate_data) {
      reply.add(kName, kIrrelevant);
    } else {
      settle_number(kName, *waiting_first_burst_, kShortestBurst, kLongestBurst,
                    session_.first_burst_length,
                    at_most(std::min(offer_.first_burst_length, session_.max_burst_length)), reply);
    }
    waiting_first_burst_.reset();
  }
  if (!has_declared_) {
    has_declared_ = true;
    connection_.receive_segment_max = offer_.receive_segment_max;
    reply.add_number("MaxRecvDataSegmentLength", offer_.receive_segment_max);
  }
}

SessionParameters OperationalNegotiation::session() const {
  SessionParameters session = session_;
  session.first_burst_length = std::min(session.first_burst_length, session.max_burst_length);
  return session;
}

}  // namespace ashlar::iscsi
