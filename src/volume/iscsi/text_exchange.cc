#include "volume/iscsi/text_exchange.h"

#include "volume/iscsi/keys.h"
#include "volume/iscsi/negotiation.h"
#include "volume/iscsi/text_value.h"

namespace ashlar::iscsi {

void TextExchange::reset() {
  is_under_way_ = false;
  request_text_.clear();
  reply_text_ = {};
}

TextStep TextExchange::reject(RejectReason reason) {
  reset();
  TextStep step;
  step.reject_reason = reason;
  return step;
}

TextStep TextExchange::feed(const TextRequestPdu& request, ByteSpan data_segment,
                            std::uint32_t segment_limit, TextAnswerer& answerer) {
  const bool goes_on = has_flag(request, kFlagContinue);
  if (goes_on && is_final(request)) return reject(RejectReason::kProtocolError);
  if (request.target_transfer_tag == kReservedTag) {
    reset();
    task_tag_ = request.initiator_task_tag;
  } else if (!is_under_way_ || request.target_transfer_tag != transfer_tag_ ||
             request.initiator_task_tag != task_tag_) {
    return reject(RejectReason::kProtocolError);
  }
  if (!request_text_.add(data_segment).ok()) return reject(RejectReason::kOutOfResources);
  if (reply_text_.more()) {
    if (goes_on || !request_text_.empty()) return reject(RejectReason::kProtocolError);
    return reply_step(request, segment_limit);
  }
  if (goes_on) return reply_step(request, segment_limit);

  const auto keys = parse_keys(request_text_.bytes());
  if (!keys.ok()) return reject(RejectReason::kProtocolError);
  TextStep declared;
  if (!answer(*keys, answerer, declared)) return reject(RejectReason::kProtocolError);
  request_text_.clear();
  TextStep step = reply_step(request, segment_limit);
  step.send_segment_max = declared.send_segment_max;
  return step;
}

bool TextExchange::answer(const KeyList& keys, TextAnswerer& answerer, TextStep& step) {
  TextWriter reply;
  bool has_asked = false;
  for (const TextKey& key : keys) {
    const KeyFacts* facts = find_key(key.name);
    if (facts == nullptr) {
      if (key.value != kNotUnderstood) reply.add(key.name, kNotUnderstood);
      continue;
    }
    switch (facts->id) {
      case KeyId::kSendTargets:
        // Once in an exchange: each answer may be long.
        if (std::exchange(has_asked, true)) return false;
        answerer.send_targets(key.value, reply);
        break;
      case KeyId::kMaxRecvDataSegmentLength: {
        const auto declared = parse_number(key.value, kShortestSegmentLimit, kLongestSegmentLimit);
        if (!declared) {
          reply.add(key.name, kRejected);
        } else {
          step.send_segment_max = static_cast<std::uint32_t>(*declared);
        }
        break;
      }
      case KeyId::kInitiatorAlias:
        break;
      default:
        // Settled by the login, or not the initiator's to send.
        reply.add(key.name, kRejected);
    }
  }
  reply_text_ = TextPieces(std::move(reply).take());
  return true;
}

TextStep TextExchange::reply_step(const TextRequestPdu& request, std::uint32_t segment_limit) {
  TextStep step;
  step.text = reply_text_.next(segment_limit);
  step.reply.lun = std::uint64_t{request.lun};
  step.reply.initiator_task_tag = task_tag_;
  step.reply.data_segment_length = static_cast<std::uint32_t>(step.text.size());
  if (reply_text_.more()) step.reply.flags |= kFlagContinue;
  is_under_way_ = reply_text_.more() || !is_final(request);
  if (!is_under_way_) {
    step.reply.flags |= kFinal;
    return step;
  }
  // The same number would name the exchange before it, too.
  if (request.target_transfer_tag == kReservedTag && ++transfer_tag_ == kReservedTag) {
    transfer_tag_ = 1;
  }
  step.reply.target_transfer_tag = transfer_tag_;
  return step;
}

}  // namespace ashlar::iscsi
