// The requests of a session that are no SCSI commands: NOP, Text, Logout, task management; what
// waits for its turn; Reject.
#include <algorithm>
#include <cstring>
#include <utility>

#include "volume/iscsi/session.h"

namespace ashlar::iscsi {

// --- answers ---

bool Session::Answer::produce(SendBatch& batch) {
  // StatSN, ExpCmdSN and MaxCmdSN stand at the same place in every PDU to the initiator.
  NopInPdu pdu;
  std::memcpy(&pdu, &header, sizeof(pdu));
  if (takes_stat_sn) {
    session_.stamp_answer(pdu);
  } else {
    session_.stamp(pdu);
  }
  batch.begin(pdu);
  if (has_rejected) {
    batch.add_copy(rejected);
  } else {
    batch.add(std::move(payload));
  }
  batch.end();
  has_rejected = false;
  takes_stat_sn = true;
  is_free = true;
  --session_.answers_in_use_;
  session_.answer_is_free_.set();
  return true;
}

Session::Answer& Session::new_answer() {
  ++answers_in_use_;
  const auto free =
      std::ranges::find_if(answers_, [](const auto& answer) { return answer->is_free; });
  if (free == answers_.end()) {
    answers_.push_back(std::make_unique<Answer>(*this));
    answers_.back()->is_free = false;
    return *answers_.back();
  }
  (*free)->is_free = false;
  return **free;
}

template <class Header>
void Session::push(Answer& answer, const Header& header) {
  std::memcpy(&answer.header, &header, sizeof(answer.header));
  sender_.push(answer);
}
template void Session::push(Answer& answer, const NopInPdu& header);
template void Session::push(Answer& answer, const AsyncMessagePdu& header);
template void Session::push(Answer& answer, const LogoutResponsePdu& header);

void Session::reject(const ReceivedPdu& pdu, RejectReason reason) {
  metrics_.rejects.add();
  Answer& answer = new_answer();
  answer.rejected = pdu.header_bytes;
  answer.has_rejected = true;
  RejectPdu header;
  header.reason = static_cast<std::uint8_t>(reason);
  push(answer, header);
}

// --- order of CmdSN ---

bool Session::is_ahead(std::uint32_t cmd_sn) const {
  return std::ranges::any_of(ahead_, [&](const Ahead& a) { return a.cmd_sn == cmd_sn; });
}

void Session::put_ahead(Ahead ahead) {
  const auto at = std::ranges::find_if(
      ahead_, [&](const Ahead& other) { return serial_before(ahead.cmd_sn, other.cmd_sn); });
  ahead_.insert(at, std::move(ahead));
}

void Session::in_order(ReceivedPdu& pdu) {
  const auto request = pdu.as<NopOutPdu>();  // CmdSN stands at the same place in all of them
  if (is_immediate(request)) return perform(pdu);
  switch (window_.place(request.cmd_sn)) {
    case CommandWindow::Place::kNext:
      window_.advance();
      perform(pdu);
      return perform_ahead();
    case CommandWindow::Place::kAhead:
      if (!is_ahead(request.cmd_sn)) {
        ReceivedPdu kept = std::move(pdu);
        kept.ahs = {};
        return put_ahead({request.cmd_sn, nullptr, std::move(kept)});
      }
      break;
    case CommandWindow::Place::kOutside:
      break;
  }
  metrics_.ignored_commands.add();
}

void Session::perform_ahead() {
  while (!ahead_.empty() && ahead_.front().cmd_sn == window_.exp_cmd_sn()) {
    Ahead next = std::move(ahead_.front());
    ahead_.erase(ahead_.begin());
    window_.advance();
    if (next.task != nullptr) {
      start(*next.task);
    } else {
      perform(next.pdu);
    }
  }
}

void Session::perform(ReceivedPdu& pdu) {
  switch (pdu.opcode()) {
    case Opcode::kNopOut:
      return on_nop_out(pdu);
    case Opcode::kTextRequest:
      return on_text(pdu);
    case Opcode::kTaskManagementRequest:
      return on_task_management(pdu);
    case Opcode::kLogoutRequest:
      return on_logout(pdu);
    default:
      ASHLAR_UNREACHABLE("opcode {:#x}", static_cast<unsigned>(pdu.opcode()));
  }
}

// --- requests ---

void Session::on_nop_out(ReceivedPdu& pdu) {
  const auto request = pdu.as<NopOutPdu>();
  if (request.initiator_task_tag == kReservedTag) return;  // wants no answer; it was heard
  Answer& answer = new_answer();
  if (pdu.payload == ReceivedPdu::Payload::kWhole && pdu.data_length > 0) {
    const std::size_t echoed = std::min(pdu.data_length, send_segment_max_);
    answer.payload = pdu.data.slice(pdu.offset, echoed);
  }
  NopInPdu reply;
  reply.lun = request.lun;
  reply.initiator_task_tag = request.initiator_task_tag;
  push(answer, reply);
}

void Session::on_text(ReceivedPdu& pdu) {
  if (pdu.payload != ReceivedPdu::Payload::kWhole) {
    return reject(pdu, RejectReason::kOutOfResources);
  }
  const TextStep step =
      text_.feed(pdu.as<TextRequestPdu>(), pdu.data_segment(), send_segment_max_, *this);
  if (step.reject_reason) return reject(pdu, *step.reject_reason);
  if (step.send_segment_max) send_segment_max_ = *step.send_segment_max;
  Buffer text;
  if (!step.text.empty()) {
    Result<Buffer> buffer = pool_.allocate(ByteCount(step.text.size()));
    if (!buffer.ok()) return reject(pdu, RejectReason::kOutOfResources);
    text = std::move(*buffer);
    std::memcpy(text.data(), step.text.data(), step.text.size());
  }
  Answer& answer = new_answer();
  answer.payload = std::move(text);
  push(answer, step.reply);
}

void Session::send_targets(std::string_view value, TextWriter& reply) {
  host_.send_targets(value, identity_, reply);
}

void Session::on_logout(const ReceivedPdu& pdu) {
  const auto request = pdu.as<LogoutRequestPdu>();
  const auto reason = static_cast<LogoutReason>(request.flags & kReasonMask);
  if (reason == LogoutReason::kRemoveForRecovery ||
      (reason == LogoutReason::kCloseConnection && request.cid != identity_.cid)) {
    LogoutResponsePdu refusal;
    refusal.initiator_task_tag = request.initiator_task_tag;
    const LogoutResult result = reason == LogoutReason::kRemoveForRecovery
                                    ? LogoutResult::kRecoveryNotSupported
                                    : LogoutResult::kCidNotFound;
    refusal.response = static_cast<std::uint8_t>(result);
    return push(new_answer(), refusal);
  }
  if (reason != LogoutReason::kCloseSession && reason != LogoutReason::kCloseConnection) {
    return reject(pdu, RejectReason::kInvalidPduField);
  }
  logout_ = request;
}

// --- task management ---

void Session::on_task_management(const ReceivedPdu& pdu) {
  metrics_.task_management.add();
  const auto request = pdu.as<TaskManagementRequestPdu>();
  const auto function = static_cast<TaskFunction>(request.flags & kFunctionMask);
  if (managing_ == kManagingMost) return reject(pdu, RejectReason::kTooManyImmediateCommands);
  const std::uint32_t referenced = request.referenced_task_tag;
  // A task that is not here yet can be aborted too: its number is then used up (11.5.5).
  if (function == TaskFunction::kAbortTask && find(referenced) == nullptr) {
    const bool is_to_come = window_.place(request.ref_cmd_sn) != CommandWindow::Place::kOutside &&
                            serial_before(request.ref_cmd_sn, request.cmd_sn) &&
                            !is_ahead(request.ref_cmd_sn);
    if (is_to_come) {
      answer_management(request.initiator_task_tag, TaskFunctionResponse::kComplete);
      return use_up(request.ref_cmd_sn);
    }
  }
  // Those that come while the function is performed are none of its concern.
  const std::uint32_t management = ++managements_;
  const bool is_target =
      function == TaskFunction::kTargetWarmReset || function == TaskFunction::kTargetColdReset;
  tasks_.for_each([&](ScsiTask& task) {
    const bool is_earlier =
        task.state != ScsiTask::State::kAhead || serial_before(task.cmd_sn, request.cmd_sn);
    const bool is_meant =
        function == TaskFunction::kAbortTask ? task.tag == referenced : is_earlier;
    if (is_meant && (is_target || task.request.lun == request.lun)) task.concern = management;
  });
  ++managing_;
  commands_->spawn(manage(request, management, starts_++));
}

// The number of a command that will not be performed.
void Session::use_up(std::uint32_t cmd_sn) {
  if (window_.place(cmd_sn) == CommandWindow::Place::kNext) {
    window_.advance();
    return perform_ahead();
  }
  NopOutPdu nothing;  // without a task tag it does nothing
  nothing.cmd_sn = cmd_sn;
  Ahead ahead{cmd_sn, nullptr, {}};
  std::memcpy(ahead.pdu.header_bytes.data(), header_bytes(nothing).data(), kHeaderSize);
  put_ahead(std::move(ahead));
}

void Session::answer_management(std::uint32_t tag, TaskFunctionResponse response) {
  TaskManagementResponsePdu pdu;
  pdu.initiator_task_tag = tag;
  pdu.response = static_cast<std::uint8_t>(response);
  push(new_answer(), pdu);
}

Task<void> Session::manage(TaskManagementRequestPdu request, std::uint32_t management,
                           std::uint64_t start) {
  const Result<> turn = co_await wait_for_start(start);
  next_start();
  const auto function = static_cast<TaskFunction>(request.flags & kFunctionMask);
  TaskFunctionResponse response = TaskFunctionResponse::kNotSupported;
  if (turn.ok()) response = co_await perform_management(request, management);
  --managing_;
  if (is_ending_ || !turn.ok()) co_return;
  answer_management(request.initiator_task_tag, response);
  if (function == TaskFunction::kTargetColdReset && response == TaskFunctionResponse::kComplete) {
    host_.reset_target(identity_.target);
  }
}

Task<TaskFunctionResponse> Session::perform_management(TaskManagementRequestPdu request,
                                                       std::uint32_t management) {
  const auto function = static_cast<scsi::TaskManagementFunction>(request.flags & kFunctionMask);
  using Function = scsi::TaskManagementFunction;
  if (function == Function::kTaskReassign) {
    co_return TaskFunctionResponse::kReassignmentNotSupported;
  }
  if (function < Function::kAbortTask || function > Function::kTaskReassign) {
    co_return TaskFunctionResponse::kNotSupported;
  }
  bool is_with_device = true;
  if (function == Function::kAbortTask) {
    const ScsiTask* task = find(request.referenced_task_tag);
    if (task == nullptr || task->concern != management ||
        task->state == ScsiTask::State::kAnswering) {
      co_return TaskFunctionResponse::kTaskDoesNotExist;
    }
    is_with_device = task->state == ScsiTask::State::kRunning;
  }
  if (is_with_device) {
    const scsi::TaskManagementAnswer answer =
        co_await device_->manage(*nexus_, function, request.lun, request.referenced_task_tag);
    if (answer != scsi::TaskManagementAnswer::kComplete) {
      co_return static_cast<TaskFunctionResponse>(answer);
    }
  }
  abandon(management);
  co_return TaskFunctionResponse::kComplete;
}

// The device is through with those tasks. They give no answer, unless it is on its way already.
void Session::abandon(std::uint32_t management) {
  tasks_.for_each([&](ScsiTask& task) {
    if (task.concern != management) return;
    switch (task.state) {
      case ScsiTask::State::kWaiting:
      case ScsiTask::State::kRunning:
        task.is_abandoned = true;
        break;
      case ScsiTask::State::kExecuted:
        release(task);
        break;
      case ScsiTask::State::kAhead: {
        std::erase_if(ahead_, [&](const Ahead& ahead) { return ahead.task == &task; });
        const std::uint32_t cmd_sn = task.cmd_sn;
        release(task);
        use_up(cmd_sn);
        break;
      }
      default:
        break;
    }
  });
}

}  // namespace ashlar::iscsi
