// TextExchange: the Text requests of one connection in full feature phase (RFC 7143, 11.10 and
// 11.11), as a pure state machine. One exchange is under way at a time; a request without a target
// transfer tag begins a new one and forgets what was left of the one before.
//
//   TextStep step = exchange.feed(request, data_segment, connection.send_segment_max, answerer);
//   step.reject_reason    → answer with a Reject PDU, or
//   step.reply, step.text → fill in StatSN, ExpCmdSN and MaxCmdSN, and send
//
// Requests that go on (C bit) are answered empty until they are whole; replies that are longer than
// the initiator takes in one PDU go on in the same way, by a target transfer tag.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "volume/iscsi/pdu.h"
#include "volume/iscsi/text.h"

namespace ashlar::iscsi {

struct TextStep {
  std::optional<RejectReason> reject_reason;
  TextResponsePdu reply;  // data_segment_length is that of text
  std::string_view text;  // until the exchange is used again
  // A MaxRecvDataSegmentLength that the initiator has declared anew: it holds from now on.
  std::optional<std::uint32_t> send_segment_max;
};

class TextAnswerer {
 public:
  // The value of a SendTargets key; see send_targets.h.
  virtual void send_targets(std::string_view value, TextWriter& reply) = 0;

 protected:
  ~TextAnswerer() = default;
};

class TextExchange {
 public:
  // `segment_limit` is what the initiator takes in one data segment.
  TextStep feed(const TextRequestPdu& request, ByteSpan data_segment, std::uint32_t segment_limit,
                TextAnswerer& answerer);

 private:
  TextStep reject(RejectReason reason);
  TextStep reply_step(const TextRequestPdu& request, std::uint32_t segment_limit);
  bool answer(const KeyList& keys, TextAnswerer& answerer, TextStep& step);
  void reset();

  bool is_under_way_ = false;
  std::uint32_t task_tag_ = 0;
  std::uint32_t transfer_tag_ = 0;
  TextAssembly request_text_;
  TextPieces reply_text_;
};

}  // namespace ashlar::iscsi
