#include "volume/iscsi/session.h"

#include <algorithm>
#include <utility>

#include "common/log/log.h"
#include "common/runtime/timeout.h"

namespace ashlar::iscsi {
namespace {

// How long what is said last may take: a Logout response, answers that are on their way.
constexpr Duration kGoodbye = 5s;
// Data that is due and does not come ends the session: the initiator would wait for ever too (L70).
constexpr Duration kDataTimeout = 60s;

std::uint32_t task_limit(const TargetServerOptions& options) {
  return std::max<std::uint32_t>(options.command_window, 1);
}

}  // namespace

Session::Session(Setting setting, const LoginResult& login, Connection& socket,
                 PduReceiver& receiver)
    : runtime_(setting.runtime),
      pool_(setting.pool),
      options_(setting.options),
      metrics_(setting.metrics),
      host_(setting.host),
      device_(setting.device),
      nexus_(std::move(setting.nexus)),
      tsih_(setting.tsih),
      group_tag_(setting.group_tag),
      identity_(login.identity),
      parameters_(login.session),
      send_segment_max_(login.connection.send_segment_max),
      outstanding_requests_most_(std::min<std::uint32_t>(login.session.max_outstanding_r2t,
                                                         DataOutPlan::kOutstandingMost)),
      socket_(socket),
      peer_(socket.peer()),
      receiver_(receiver),
      window_(login.cmd_sn, task_limit(setting.options)),
      stat_sn_(login.next_stat_sn),
      budget_(setting.options.session_memory) {
  const bool header_digest = login.connection.header_digest == DigestKind::kCrc32c;
  const bool data_digest = login.connection.data_digest == DigestKind::kCrc32c;
  receiver_.use_digests(header_digest, data_digest);
  sender_.use_digests(header_digest, data_digest);
}

Session::~Session() = default;

SessionInfo Session::info() const {
  return {identity_.target, identity_.initiator,   peer_, identity_.isid, tsih_,
          commands_seen_,   identity_.is_discovery};
}

// What there is room for beyond the commands received: places for tasks, and memory for what may
// come with them.
std::uint32_t Session::room() const {
  const std::uint32_t most = task_limit(options_);
  if (tasks_in_use_ >= most) return 0;
  std::uint64_t room = most - tasks_in_use_;
  const bool unsolicited = parameters_.immediate_data || !parameters_.initial_r2t;
  if (unsolicited) {
    const std::uint64_t each = std::max<std::uint64_t>(parameters_.first_burst_length, 1);
    room = std::min(room, budget_.free() / each);
  }
  return static_cast<std::uint32_t>(tasks_in_use_ == 0 ? std::max<std::uint64_t>(room, 1) : room);
}

std::uint32_t Session::take_transfer_tag() {
  if (next_transfer_tag_ == kReservedTag) next_transfer_tag_ = 0;
  return next_transfer_tag_++;
}

// --- life ---

Task<void> Session::run() {
  const TaskContext here = co_await this_task();
  TaskScope commands(here);
  TaskScope sending(here);
  commands_ = &commands;
  sending.spawn(send_all());
  arm_timer(options_.idle_ping);

  CancelScope reading(here.cancel_scope);
  reading_ = &reading;
  if (is_ending_) reading.cancel();
  const Result<> outcome = co_await receive_all().in_scope(&reading);
  reading_ = nullptr;
  is_ending_ = true;
  disarm();
  if (!outcome.ok() && end_reason_.empty()) end_reason_ = outcome.error().message();

  // No command outlives the session; those that wait for data end at once.
  commands.cancel();
  (void)co_await commands.join();
  commands_ = nullptr;
  if (is_polite_) co_await say_goodbye();
  sending.cancel();
  (void)co_await sending.join();
  for (Ahead& ahead : ahead_) {
    if (ahead.task != nullptr) release(*ahead.task);
  }
  ahead_.clear();
  while (!tasks_.empty()) release(tasks_.front());
  if (nexus_ != nullptr) device_->close_nexus(std::move(nexus_));
}

// Lets what is in the sender's queue out, and answers a Logout.
Task<void> Session::say_goodbye() {
  if (logout_) {
    LogoutResponsePdu response;
    response.initiator_task_tag = logout_->initiator_task_tag;
    response.time2wait = parameters_.default_time2wait;
    push(new_answer(), response);
  }
  sender_.finish();
  constexpr auto kWait = [](Event& sent) -> Task<Result<>> { co_return co_await sent.wait(); };
  (void)co_await with_timeout(runtime_.clock, kGoodbye, kWait(sent_));
  socket_.shutdown_send();
}

void Session::end(std::string_view why) {
  if (is_ending_) return;
  is_ending_ = true;
  end_reason_ = why;
  if (reading_ != nullptr) reading_->cancel();
}

Task<void> Session::send_all() {
  const Result<> outcome = co_await sender_.run(socket_);
  metrics_.sends.add(sender_.sends());
  if (!outcome.ok() && outcome.error().code() != ErrorCode::kCancelled) {
    end(outcome.error().message());
  }
  sent_.set();
}

Task<Result<>> Session::receive_all() {
  std::uint64_t moved = receiver_.bytes_moved();
  while (true) {
    burst_began_ = runtime_.clock.now();
    while (true) {
      Result<ReceivedPdu*> next = receiver_.next(*this);
      if (!next.ok()) {
        if (next.error().code() == ErrorCode::kDataLoss) metrics_.digest_errors.add();
        co_return next.error();
      }
      ReceivedPdu* const pdu = *next;
      if (pdu == nullptr) break;
      metrics_.received_pdus.add();
      handle(*pdu);
      if (logout_) {
        is_polite_ = true;
        end_reason_ = "logged out";
        co_return {};
      }
      if (is_ending_) co_return {};
      while (answers_in_use_ >= kAnswersMost) {
        answer_is_free_.reset();
        reader_waits_ = true;
        ASHLAR_CO_TRY(co_await answer_is_free_.wait());
        reader_waits_ = false;
      }
    }
    metrics_.moved_bytes.add(receiver_.bytes_moved() - moved);
    moved = receiver_.bytes_moved();
    const Result<std::size_t> count = co_await socket_.receive(receiver_.plan());
    if (!count.ok()) co_return count.error();
    if (*count == 0) co_return Error::unavailable("the initiator has closed the connection");
    was_heard_ = true;
    metrics_.receives.add();
    receiver_.received(*count);
  }
}

void Session::handle(ReceivedPdu& pdu) {
  if (pdu.payload == ReceivedPdu::Payload::kBadDigest) return handle_bad_payload(pdu);
  const Opcode opcode = pdu.opcode();
  const bool is_allowed = device_ != nullptr || opcode == Opcode::kNopOut ||
                          opcode == Opcode::kTextRequest || opcode == Opcode::kLogoutRequest;
  if (!is_allowed) return reject(pdu, RejectReason::kProtocolError);
  switch (opcode) {
    case Opcode::kScsiCommand:
      return on_command(pdu);
    case Opcode::kDataOut:
      return on_data_out(pdu);
    case Opcode::kNopOut:
    case Opcode::kTextRequest:
    case Opcode::kTaskManagementRequest:
    case Opcode::kLogoutRequest:
      return in_order(pdu);
    case Opcode::kSnackRequest:
      return reject(pdu, RejectReason::kSnackReject);
    case Opcode::kLoginRequest:
      reject(pdu, RejectReason::kProtocolError);
      return end_politely("a login request in full feature phase");
    default:
      return reject(pdu, RejectReason::kCommandNotSupported);
  }
}

// RFC 7143, 7.7: the PDU is discarded. A command can be sent again with its number; a command whose
// Data-Out is lost fails, for at recovery level 0 nothing is asked for twice.
void Session::handle_bad_payload(ReceivedPdu& pdu) {
  metrics_.digest_errors.add();
  reject(pdu, RejectReason::kDataDigestError);
  if (pdu.opcode() != Opcode::kDataOut) return;
  const auto data = pdu.as<DataOutPdu>();
  ScsiTask* task = find(data.initiator_task_tag);
  if (task == nullptr) return;
  task->plan.fail(DataOutFault::kDigest);
  on_data_out(pdu);
}

// --- keep-alive ---

void Session::arm_timer(Duration after) {
  runtime_.clock.arm(*this, runtime_.clock.now() + after);
}

// Fires seldom, and looks at what happened since: nothing is armed per PDU.
void Session::on_timer() {
  if (is_ending_) return;
  if (!check_silent_tasks()) return end("data that is due does not come");
  const bool was_heard = std::exchange(was_heard_, false) || reader_waits_;
  if (was_heard) {
    ping_is_out_ = false;
    return arm_timer(options_.idle_ping);
  }
  if (ping_is_out_) {
    metrics_.dead_peers.add();
    return end("the initiator does not answer");
  }
  ping();
  arm_timer(options_.ping_timeout);
}

bool Session::check_silent_tasks() {
  const Duration period = ping_is_out_ ? options_.ping_timeout : options_.idle_ping;
  bool all_move = true;
  tasks_.for_each([&](ScsiTask& task) {
    if (task.plan.is_quiet()) return;
    task.silent += period;
    if (task.silent > std::max(kDataTimeout, 2 * period)) all_move = false;
  });
  return all_move;
}

void Session::ping() {
  ping_is_out_ = true;
  metrics_.pings.add();
  Answer& answer = new_answer();
  answer.takes_stat_sn = false;  // it has no initiator task tag (11.19.3)
  NopInPdu pdu;
  pdu.target_transfer_tag = take_transfer_tag();
  push(answer, pdu);
}

void Session::request_logout(Duration within) {
  if (is_ending_) return;
  AsyncMessagePdu pdu;
  pdu.event = static_cast<std::uint8_t>(AsyncEvent::kRequestLogout);
  pdu.parameter3 = static_cast<std::uint16_t>(std::clamp<std::int64_t>(within / 1s, 1, 0xffff));
  push(new_answer(), pdu);
}

}  // namespace ashlar::iscsi
