// SCSI commands and their data: from the PDU to the device and back.
#include <algorithm>
#include <cstring>
#include <utility>

#include "volume/iscsi/ahs.h"
#include "volume/iscsi/session.h"

namespace ashlar::iscsi {
namespace {

// A command that reads more than any device gives does not hold memory for it.
constexpr std::uint64_t kLargestRead = volume::Volume::kLargestTransfer;
// A command's whole buffer is made when its first data comes, if it is no larger.
constexpr std::uint32_t kLargestBufferAtOnce = volume::Volume::kLargestTransfer;

std::size_t hash_of(std::uint32_t tag) {
  return (tag ^ tag >> 8) & 0xff;
}

scsi::Sense sense_of(DataOutFault fault) {
  // RFC 7143, 11.4.7.2.
  scsi::Sense sense;
  sense.key = scsi::SenseKey::kAbortedCommand;
  switch (fault) {
    case DataOutFault::kUnexpected:
      sense.asc = {0x0c, 0x0c};
      break;
    case DataOutFault::kDigest:
      sense.asc = {0x47, 0x05};
      break;
    default:
      sense.asc = {0x0c, 0x0d};
      break;
  }
  return sense;
}

}  // namespace

// --- where data goes ---

PayloadPlacer::Place Session::place(const ReceivedPdu& pdu) {
  switch (pdu.opcode()) {
    case Opcode::kScsiCommand:
      return place_immediate(pdu.as<ScsiCommandPdu>());
    case Opcode::kDataOut:
      return place_data_out(pdu.as<DataOutPdu>());
    default:
      return {};
  }
}

// The beginning of a larger command's data goes to the beginning of the buffer for all of it.
PayloadPlacer::Place Session::place_immediate(const ScsiCommandPdu& pdu) {
  const std::uint32_t length = pdu.data_segment_length;
  const std::uint32_t expected = pdu.expected_length;
  const bool is_part = has_flag(pdu, kFlagWrite) && length < expected &&
                       expected <= kLargestBufferAtOnce && budget_.has_room(expected);
  if (!is_part) return {};
  Result<Buffer> buffer = pool_.allocate(ByteCount(expected));
  if (!buffer.ok()) return {};
  return {Place::Kind::kInto, std::move(*buffer), 0};
}

PayloadPlacer::Place Session::place_data_out(const DataOutPdu& pdu) {
  ScsiTask* task = find(pdu.initiator_task_tag);
  if (task == nullptr || task->plan.is_quiet() || !task->plan.is_next(pdu)) {
    return {Place::Kind::kNowhere, Buffer(), 0};
  }
  const std::uint32_t length = pdu.data_segment_length;
  const std::uint32_t offset = task->plan.received();
  const std::uint32_t whole = task->size_of_buffer();
  // A buffer of its own serves when it is all there is.
  if (offset == 0 && length == whole) return {};
  if (!task->reserve(whole)) {
    task->plan.fail(DataOutFault::kNoMemory);
    return {Place::Kind::kNowhere, Buffer(), 0};
  }
  return {Place::Kind::kInto, task->buffer.share(), offset};
}

// --- tasks ---

ScsiTask* Session::find(std::uint32_t tag) {
  ScsiTask* task = hash_[hash_of(tag)];
  while (task != nullptr && task->tag != tag) task = task->next_of_hash;
  return task;
}

void Session::insert(ScsiTask& task) {
  ScsiTask*& head = hash_[hash_of(task.tag)];
  task.next_of_hash = head;
  head = &task;
  tasks_.push_back(task);
}

void Session::remove(ScsiTask& task) {
  ScsiTask** link = &hash_[hash_of(task.tag)];
  while (*link != &task) link = &(*link)->next_of_hash;
  *link = task.next_of_hash;
  static_cast<ListHook<TaskListTag>&>(task).unlink();
}

void Session::vacate(ScsiTask& task) {
  if (std::exchange(task.holds_room, false)) --tasks_in_use_;
  for (; task.admissions > 0; --task.admissions) budget_.leave();
  budget_.give_back(std::exchange(task.charged, 0));
}

void Session::release(ScsiTask& task) {
  vacate(task);
  if (task.is_immediate) --immediate_in_use_;
  remove(task);
  static_cast<ListHook<OutgoingTag>&>(task).unlink();
  task.reset();
  free_tasks_.push_back(task);
}

// Null when the command cannot be taken; it is then rejected or ignored already.
ScsiTask* Session::make_task(ReceivedPdu& pdu) {
  const auto request = pdu.as<ScsiCommandPdu>();
  const ScsiTask* same = find(request.initiator_task_tag);
  if (same != nullptr || request.initiator_task_tag == kReservedTag) {
    reject(pdu, RejectReason::kInvalidPduField);
    return nullptr;
  }
  if (is_immediate(request) && immediate_in_use_ == kImmediateMost) {
    reject(pdu, RejectReason::kTooManyImmediateCommands);
    return nullptr;
  }
  if (free_tasks_.empty()) {
    task_pool_.push_back(std::make_unique<ScsiTask>(*this));
    free_tasks_.push_back(*task_pool_.back());
  }
  ScsiTask& task = free_tasks_.pop_front();
  task.request = request;
  task.tag = request.initiator_task_tag;
  task.cmd_sn = request.cmd_sn;
  task.is_immediate = is_immediate(request);
  task.arrived = burst_began_;
  if (task.is_immediate) ++immediate_in_use_;
  task.holds_room = true;
  ++tasks_in_use_;
  insert(task);
  ++commands_seen_;
  return &task;
}

// False when the additional headers are no good.
bool Session::take_cdb(ScsiTask& task, const ReceivedPdu& pdu) {
  task.cdb.fill(std::byte{0});
  std::memcpy(task.cdb.data(), task.request.cdb, sizeof(task.request.cdb));
  task.cdb_length = sizeof(task.request.cdb);
  std::optional<std::uint32_t> read_length;
  if (!pdu.ahs.empty()) {
    const Result<AdditionalHeaders> more = parse_ahs(pdu.ahs);
    if (!more.ok()) return false;
    const ByteSpan rest = more->extended_cdb;
    if (rest.size() > task.cdb.size() - task.cdb_length) return false;
    if (!rest.empty()) std::memcpy(task.cdb.data() + task.cdb_length, rest.data(), rest.size());
    task.cdb_length += rest.size();
    read_length = more->bidi_read_length;
  }
  if (task.is_read()) {
    task.data_in_limit =
        task.is_write() ? read_length.value_or(0) : std::uint32_t{task.request.expected_length};
  }
  return true;
}

// What has come with the command, and what else may come unasked.
void Session::take_immediate_data(ScsiTask& task, ReceivedPdu& pdu) {
  const std::uint32_t length = pdu.data_length;
  const std::uint32_t expected = task.is_write() ? std::uint32_t{task.request.expected_length} : 0;
  const bool follows = task.is_write() && !is_final(task.request);
  const bool may_follow = !parameters_.initial_r2t;
  task.plan.begin(expected, parameters_.first_burst_length, follows);
  if (follows && !may_follow) task.plan.fail(DataOutFault::kUnexpected);
  if (length == 0) return;
  if (pdu.payload == ReceivedPdu::Payload::kNoMemory) {
    task.plan.fail(DataOutFault::kNoMemory);
  } else if (!parameters_.immediate_data) {
    task.plan.fail(DataOutFault::kUnexpected);
  } else {
    task.plan.take_immediate(length);
  }
  if (task.plan.received() != length) return;
  task.buffer = std::move(pdu.data);
  task.charged = task.buffer.size();
  budget_.charge(task.charged);
}

void Session::on_command(ReceivedPdu& pdu) {
  const auto request = pdu.as<ScsiCommandPdu>();
  const CommandWindow::Place turn =
      is_immediate(request) ? CommandWindow::Place::kNext : window_.place(request.cmd_sn);
  if (turn == CommandWindow::Place::kOutside || is_ahead(request.cmd_sn)) {
    metrics_.ignored_commands.add();
    return;
  }
  if (turn == CommandWindow::Place::kNext && !is_immediate(request)) window_.advance();
  ScsiTask* task = make_task(pdu);
  if (task == nullptr) {
    if (turn == CommandWindow::Place::kNext) perform_ahead();
    return;
  }
  if (!take_cdb(*task, pdu)) {
    release(*task);
    reject(pdu, RejectReason::kInvalidPduField);
    if (turn == CommandWindow::Place::kNext) perform_ahead();
    return;
  }
  take_immediate_data(*task, pdu);
  if (turn == CommandWindow::Place::kAhead) {
    task->state = ScsiTask::State::kAhead;
    // Its place lies within the window, beyond ExpCmdSN.
    if (std::exchange(task->holds_room, false)) --tasks_in_use_;
    return put_ahead({request.cmd_sn, task, {}});
  }
  start(*task);
  if (!is_immediate(request)) perform_ahead();
}

void Session::start(ScsiTask& task) {
  if (!std::exchange(task.holds_room, true)) ++tasks_in_use_;
  task.state = ScsiTask::State::kWaiting;
  commands_->spawn(run_task(task, starts_++));
}

Task<Result<>> Session::wait_for_start(std::uint64_t start) {
  while (start != started_) {
    start_moved_.reset();
    ASHLAR_CO_TRY(co_await start_moved_.wait());
  }
  co_return {};
}

// Waits for the task's turn and for the memory of what it reads. False when it must not run.
Task<bool> Session::begin(ScsiTask& task, std::uint64_t start) {
  if (start != started_) {
    const Result<> turn = co_await wait_for_start(start);
    if (!turn.ok()) co_return false;
  }
  const std::uint64_t reads = std::min(task.data_in_limit, kLargestRead);
  if (reads > 0) {
    const Result<> admitted = co_await budget_.admit(reads);
    if (!admitted.ok()) co_return false;
    task.charged += reads;
    ++task.admissions;
  }
  co_return !task.is_abandoned;
}

Task<void> Session::run_task(ScsiTask& task, std::uint64_t start) {
  const bool may_run = co_await begin(task, start);
  next_start();
  if (!may_run) {
    release(task);
    co_return;
  }
  // A command whose data went wrong before it began does not reach the device.
  if (task.plan.fault() != DataOutFault::kNone) {
    finish(task);
    co_return;
  }
  task.state = ScsiTask::State::kRunning;
  scsi::Command command;
  command.lun = task.request.lun;
  command.tag = task.tag;
  command.attribute = static_cast<scsi::TaskAttribute>(task.request.flags & kAttributeMask);
  command.cdb = ByteSpan(task.cdb).first(task.cdb_length);
  command.data_out = &task;
  command.data_in_limit = task.data_in_limit;
  task.response = co_await device_->execute(*nexus_, command);
  finish(task);
}

void Session::finish(ScsiTask& task) {
  if (task.response.is_aborted || task.is_abandoned || is_ending_) return release(task);
  TargetMetrics::Kind& kind =
      task.is_write() ? metrics_.write : (task.is_read() ? metrics_.read : metrics_.other);
  kind.commands.add();
  kind.seconds.observe(runtime_.clock.now() - task.arrived);
  if (task.plan.fault() == DataOutFault::kNoMemory) {
    task.response = scsi::Response();
    task.response.status = scsi::Status::kBusy;
  } else if (task.plan.fault() != DataOutFault::kNone) {
    metrics_.failed_data_out.add();
    task.response = scsi::Response();
    task.response.status = scsi::Status::kCheckCondition;
    task.response.sense = sense_of(task.plan.fault());
  }
  if (task.response.status != scsi::Status::kGood) metrics_.failed_commands.add();
  task.state = ScsiTask::State::kExecuted;
  // Data that is on its way is waited for: none of it comes after the answer.
  if (task.plan.is_quiet()) answer(task);
}

void Session::answer(ScsiTask& task) {
  task.state = ScsiTask::State::kAnswering;
  static_cast<ListHook<OutgoingTag>&>(task).unlink();
  task.prepare_answer();
  sender_.push(task);
}

void Session::on_data_out(ReceivedPdu& pdu) {
  const auto data = pdu.as<DataOutPdu>();
  ScsiTask* task = find(data.initiator_task_tag);
  if (task == nullptr || task->plan.is_quiet()) {
    // Of a task that was aborted, or of none.
    metrics_.dropped_data.add();
    return;
  }
  if (pdu.payload == ReceivedPdu::Payload::kNoMemory) task->plan.fail(DataOutFault::kNoMemory);
  const std::uint32_t before = task->plan.received();
  task->plan.take(data);
  if (task->plan.received() > before) {
    if (task->buffer.empty()) task->buffer = std::move(pdu.data);
    if (task->charged < task->buffer.size()) {
      budget_.charge(task->buffer.size() - task->charged);
      task->charged = task->buffer.size();
    }
  }
  task->on_data();
  if (task->state == ScsiTask::State::kExecuted && task->plan.is_quiet()) answer(*task);
}

}  // namespace ashlar::iscsi
