#include "volume/iscsi/data_out_plan.h"

namespace ashlar::iscsi {

void DataOutPlan::begin(std::uint32_t expected, std::uint32_t unsolicited_most, bool follows) {
  *this = DataOutPlan();
  expected_ = expected;
  unsolicited_most_ = std::min(unsolicited_most, expected);
  unsolicited_is_open_ = follows;
}

void DataOutPlan::take_immediate(std::uint32_t length) {
  if (length > unsolicited_most_) return fail(DataOutFault::kAmount);
  received_ = length;
  requested_ = std::max(requested_, received_);
}

std::uint32_t DataOutPlan::sequence_end() const {
  if (unsolicited_is_open_) return unsolicited_most_;
  const Request& first = requests_[first_request_];
  return first.offset + first.length;
}

bool DataOutPlan::belongs(const DataOutPdu& pdu) const {
  if (unsolicited_is_open_) return pdu.target_transfer_tag == kReservedTag;
  return outstanding_ > 0 && pdu.target_transfer_tag == requests_[first_request_].tag;
}

bool DataOutPlan::is_next(const DataOutPdu& pdu) const {
  return fault_ == DataOutFault::kNone && belongs(pdu) && pdu.data_sn == next_data_sn_ &&
         pdu.buffer_offset == received_ && pdu.data_segment_length <= sequence_end() - received_;
}

void DataOutPlan::take(const DataOutPdu& pdu) {
  if (!is_next(pdu)) {
    fail(DataOutFault::kAmount);
    if (belongs(pdu) && is_final(pdu)) close_sequence();
    return;
  }
  received_ += pdu.data_segment_length;
  requested_ = std::max(requested_, received_);
  ++next_data_sn_;
  const bool is_all = received_ == sequence_end();
  if (!is_final(pdu)) {
    if (!is_all) return;
    fail(DataOutFault::kAmount);
  } else if (!is_all && !unsolicited_is_open_) {
    fail(DataOutFault::kAmount);
  }
  close_sequence();
}

void DataOutPlan::close_sequence() {
  next_data_sn_ = 0;
  if (unsolicited_is_open_) {
    unsolicited_is_open_ = false;
    return;
  }
  first_request_ = (first_request_ + 1) % kOutstandingMost;
  --outstanding_;
}

DataOutPlan::Request DataOutPlan::request(std::uint32_t tag, std::uint32_t wanted,
                                          std::uint32_t burst) {
  const Request request{tag, next_number_++, requested_, std::min(burst, wanted - requested_)};
  requests_[(first_request_ + outstanding_) % kOutstandingMost] = request;
  ++outstanding_;
  requested_ += request.length;
  return request;
}

}  // namespace ashlar::iscsi
