#include "volume/iscsi/scsi_task.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "volume/iscsi/session.h"

namespace ashlar::iscsi {
namespace {

// More pieces than a batch may be asked for at once are sent as PDUs of their own.
constexpr std::size_t kPiecesPerPdu = 2;

}  // namespace

void ScsiTask::reset() {
  state = State::kFree;
  is_abandoned = false;
  concern = 0;
  is_immediate = false;
  buffer.reset();
  charged = 0;
  admissions = 0;
  silent = {};
  data_in_limit = 0;
  cdb_length = 0;
  response.data_in.clear();
  response = scsi::Response();
  plan.begin(0, 0, false);
  is_fetching_ = false;
  wanted_ = 0;
  data_event_.reset();
}

// --- data from the initiator ---

std::uint32_t ScsiTask::size_of_buffer() const {
  // What follows unasked may be more than the command wants.
  if (is_fetching_ && wanted_ > plan.received()) return std::max(wanted_, plan.sequence_end());
  // Unsolicited data: as much as may come, or all at once if there is room.
  const std::uint32_t all = plan.expected();
  if (charged >= all || session_.budget().has_room(all - charged)) return all;
  return plan.sequence_end();
}

bool ScsiTask::reserve(std::size_t bytes) {
  if (buffer.size() >= bytes) return true;
  Result<Buffer> larger = session_.pool().allocate(ByteCount(bytes));
  if (!larger.ok()) return false;
  if (plan.received() > 0) {
    std::memcpy(larger->data(), buffer.data(), plan.received());
    session_.note_moved(plan.received());
  }
  buffer = std::move(*larger);
  return true;
}

void ScsiTask::on_data() {
  silent = {};
  if (is_fetching_) {
    ask_for_more();
    if (has_all() || (plan.fault() != DataOutFault::kNone && plan.is_quiet())) data_event_.set();
  }
}

// Stands in the sender's queue until there is nothing to ask for at the moment.
void ScsiTask::ask_for_more() {
  // What task management has taken asks for nothing once that is answered.
  if (is_abandoned) return;
  if (static_cast<ListHook<OutgoingTag>&>(*this).is_linked()) return;
  if (plan.may_request(wanted_, session_.outstanding_requests_most()))
    session_.sender().push(*this);
}

Task<Result<Buffer>> ScsiTask::fetch(std::uint64_t length) {
  ASHLAR_CHECK(!is_fetching_ && length <= plan.expected(), "{} of {} bytes fetched", length,
               plan.expected());
  is_fetching_ = true;
  wanted_ = static_cast<std::uint32_t>(length);
  if (plan.received() < wanted_ && charged < wanted_) {
    const std::uint64_t more = wanted_ - charged;
    ASHLAR_CO_TRY(co_await session_.budget().admit(more));
    charged += more;
    ++admissions;
  }
  ask_for_more();
  while (!has_all() && !(plan.fault() != DataOutFault::kNone && plan.is_quiet())) {
    ASHLAR_CO_TRY(co_await data_event_.wait());
  }
  if (plan.fault() == DataOutFault::kNoMemory) {
    co_return Error::resource_exhausted("no memory for the data of a command");
  }
  if (plan.fault() != DataOutFault::kNone) {
    co_return Error::data_loss("the initiator's data is not what was asked for");
  }
  session_.note_data_out(length);
  if (buffer.size() == length) co_return std::move(buffer);
  co_return buffer.slice(0, length);
}

// --- the answer ---

void ScsiTask::prepare_answer() {
  data_in_total_ = 0;
  for (const Buffer& piece : response.data_in) data_in_total_ += piece.size();
  data_in_length_ = std::min(data_in_total_, data_in_limit);
  data_in_sent_ = 0;
  piece_ = 0;
  piece_at_ = 0;
  // A bidirectional command counts R2Ts and Data-In PDUs in one (11.7.5).
  data_sn_ = is_read() && is_write() ? plan.requests() : 0;
  burst_left_ = session_.parameters().max_burst_length;
}

bool ScsiTask::produce(SendBatch& batch) {
  if (state != State::kAnswering) return produce_request(batch);
  if (data_in_sent_ < data_in_length_) {
    if (!produce_data_in(batch)) return false;
  } else {
    produce_response(batch);
  }
  session_.release(*this);
  return true;
}

bool ScsiTask::produce_request(SendBatch& batch) {
  const std::uint32_t most = session_.outstanding_requests_most();
  if (is_abandoned || !plan.may_request(wanted_, most)) return true;
  const DataOutPlan::Request request_part =
      plan.request(session_.take_transfer_tag(), wanted_, session_.parameters().max_burst_length);
  ReadyToTransferPdu pdu;
  pdu.lun = request.lun;
  pdu.initiator_task_tag = tag;
  pdu.target_transfer_tag = request_part.tag;
  pdu.r2t_sn = request_part.number;
  pdu.buffer_offset = request_part.offset;
  pdu.desired_length = request_part.length;
  session_.stamp(pdu);
  batch.begin(pdu);
  batch.end();
  return !plan.may_request(wanted_, most);
}

// The residual count and its flag: what the command had to give or wanted, against what the
// initiator has told (11.4.5).
std::uint32_t ScsiTask::residual_flags(std::uint32_t& residual) const {
  const std::uint64_t has = is_write() ? response.data_out_wanted : data_in_total_;
  const std::uint64_t told = is_write() ? plan.expected() : data_in_limit;
  residual = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(has > told ? has - told : told - has, 0xffffffff));
  if (has > told) return kFlagOverflow;
  return has < told ? kFlagUnderflow : 0;
}

// One Data-In PDU. True when nothing else is to be sent; the last one carries the status if it is
// plain GOOD.
bool ScsiTask::produce_data_in(SendBatch& batch) {
  const std::uint64_t left = data_in_length_ - data_in_sent_;
  std::uint64_t length = std::min<std::uint64_t>({left, session_.send_segment_max(), burst_left_});
  std::uint64_t in_pieces = 0;
  for (std::size_t i = piece_; i < response.data_in.size() && i < piece_ + kPiecesPerPdu; ++i) {
    in_pieces += response.data_in[i].size() - (i == piece_ ? piece_at_ : 0);
  }
  length = std::min(length, in_pieces);

  DataInPdu pdu;
  pdu.initiator_task_tag = tag;
  pdu.data_sn = data_sn_++;
  pdu.buffer_offset = static_cast<std::uint32_t>(data_in_sent_);
  data_in_sent_ += length;
  burst_left_ -= static_cast<std::uint32_t>(length);
  const bool is_last = data_in_sent_ == data_in_length_;
  if (is_last || burst_left_ == 0) {
    pdu.flags |= kFinal;
    burst_left_ = session_.parameters().max_burst_length;
  }
  const bool with_status = is_last && response.status == scsi::Status::kGood && !is_write();
  if (with_status) {
    std::uint32_t residual = 0;
    pdu.flags |= static_cast<std::uint8_t>(kFlagStatus | residual_flags(residual));
    pdu.residual = residual;
    pdu.status = static_cast<std::uint8_t>(response.status);
    session_.vacate(*this);
    session_.stamp_answer(pdu);
  } else {
    session_.stamp(pdu);
  }
  batch.begin(pdu);
  add_data(batch, length);
  batch.end();
  return with_status;
}

void ScsiTask::add_data(SendBatch& batch, std::uint64_t length) {
  while (length > 0) {
    Buffer& piece = response.data_in[piece_];
    const std::uint64_t size = piece.size();
    const std::uint64_t count = std::min<std::uint64_t>(length, size - piece_at_);
    if (count == size) {
      batch.add(std::move(piece));
    } else {
      batch.add(piece.slice(piece_at_, count));
    }
    length -= count;
    piece_at_ += count;
    if (piece_at_ == size) {
      ++piece_;
      piece_at_ = 0;
    }
  }
}

void ScsiTask::produce_response(SendBatch& batch) {
  ScsiResponsePdu pdu;
  pdu.status = static_cast<std::uint8_t>(response.status);
  pdu.initiator_task_tag = tag;
  pdu.exp_data_sn = data_sn_;
  std::uint32_t residual = 0;
  pdu.flags |= static_cast<std::uint8_t>(residual_flags(residual));
  pdu.residual = residual;
  if (is_read() && is_write()) {
    const std::uint64_t more =
        std::max(data_in_total_, data_in_limit) - std::min(data_in_total_, data_in_limit);
    if (data_in_total_ > data_in_limit) pdu.flags |= kFlagBidiOverflow;
    if (data_in_total_ < data_in_limit) pdu.flags |= kFlagBidiUnderflow;
    pdu.bidi_read_residual = static_cast<std::uint32_t>(std::min<std::uint64_t>(more, 0xffffffff));
  }
  session_.vacate(*this);
  session_.stamp_answer(pdu);
  batch.begin(pdu);
  if (response.status == scsi::Status::kCheckCondition) {
    std::array<std::byte, 2 + scsi::kLongestSense> sense;
    const std::size_t length =
        scsi::encode_sense(response.sense, response.sense_format, std::span(sense).subspan(2));
    store_be16(sense, 0, static_cast<std::uint16_t>(length));
    batch.add_copy(std::span(sense).first(2 + length));
  }
  batch.end();
}

}  // namespace ashlar::iscsi
