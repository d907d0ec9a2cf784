#include "tests/volume/iscsi/sim/host_session.h"

#include <algorithm>

#include <fmt/format.h>

#include "common/runtime/timeout.h"
#include "volume/iscsi/text.h"
#include "volume/iscsi/text_value.h"

namespace ashlar::iscsi {
namespace {

constexpr Duration kAnswerLimit = 60s;  // of a command, with nothing in its way
constexpr std::uint8_t kTaskAborted = 0x40;
constexpr std::uint8_t kCheckCondition = 0x02;

Task<Result<>> wait_for(Event& event) {
  co_return co_await event.wait();
}

template <class T>
T pick(Random& random, std::initializer_list<T> values) {
  return values.begin()[random.below(values.size())];
}

}  // namespace

// A promise of the target that it has not kept.
Error HostSession::broken(std::string why) {
  world_.fail(fmt::format("host {}: {}", number_, why));
  return Error::internal("{}", why);
}

// --- login ---

std::string HostSession::draw_keys() {
  const auto yes_or_no = [&] { return random_.chance(1, 2) ? "Yes" : "No"; };
  const auto digest = [&] { return random_.chance(1, 2) ? "CRC32C,None" : "None"; };
  receive_segment_max_ = pick<std::uint32_t>(random_, {512, 1000, 4096, 8192, 65536, 262144});
  TextWriter text;
  text.add("InitiatorName", fmt::format("iqn.2004-01.com.example:host{}", number_));
  text.add("SessionType", "Normal");
  text.add("TargetName", kVolumeTarget);
  text.add("HeaderDigest", digest());
  text.add("DataDigest", digest());
  text.add("InitialR2T", yes_or_no());
  text.add("ImmediateData", yes_or_no());
  text.add_number("MaxRecvDataSegmentLength", receive_segment_max_);
  text.add_number("MaxBurstLength",
                  pick<std::uint32_t>(random_, {512, 1536, 8192, 65536, 262144, 16776192}));
  text.add_number("FirstBurstLength",
                  pick<std::uint32_t>(random_, {512, 1024, 5000, 65536, 262144}));
  text.add_number("MaxOutstandingR2T", pick<std::uint32_t>(random_, {1, 2, 3, 16}));
  return std::move(text).take();
}

void HostSession::take_keys(std::string_view text) {
  const auto keys = parse_keys(bytes_of(text));
  if (!keys.ok()) return world_.fail("the target's login reply cannot be read");
  const auto number = [](std::string_view value) {
    return static_cast<std::uint32_t>(parse_number(value).value_or(0));
  };
  for (const TextKey& key : *keys) {
    if (key.name == "HeaderDigest") link_->header_digest = key.value == "CRC32C";
    if (key.name == "DataDigest") link_->data_digest = key.value == "CRC32C";
    if (key.name == "InitialR2T") parameters_.initial_r2t = key.value == "Yes";
    if (key.name == "ImmediateData") parameters_.immediate_data = key.value == "Yes";
    if (key.name == "MaxBurstLength") parameters_.max_burst_length = number(key.value);
    if (key.name == "FirstBurstLength" && key.value != "Irrelevant") {
      parameters_.first_burst_length = number(key.value);
    }
    if (key.name == "MaxOutstandingR2T") {
      parameters_.max_outstanding_r2t = static_cast<std::uint16_t>(number(key.value));
    }
    if (key.name == "MaxRecvDataSegmentLength") {
      send_segment_max_ =
          std::min(number(key.value), pick<std::uint32_t>(random_, {700, 4096, 8192, 262144}));
    }
  }
}

Task<Result<>> HostSession::log_in() {
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<Connection> socket,
                       co_await runtime_.network.connect(world_.portal));
  link_.emplace(std::move(socket));
  link_->isid = 0x400001370000 + number_;
  link_->cmd_sn = static_cast<std::uint32_t>(random_.chance(1, 4) ? 0xfffffff0 : random_.next());
  LoginRequestPdu request;
  request.flags = kFlagTransit | 1 << 2 | 3;
  request.isid = link_->isid;
  request.initiator_task_tag = link_->next_tag++;
  request.cmd_sn = link_->cmd_sn;
  const std::string keys = draw_keys();
  ASHLAR_CO_TRY(co_await send_bytes(link_->encode(request, bytes_of(keys))));
  ASHLAR_CO_TRY_ASSIGN(const ReplyPdu reply, co_await link_->receive());
  const auto header = reply.as<LoginResponsePdu>();
  if (reply.opcode() != Opcode::kLoginResponse) co_return broken("no answer to a login");
  if (header.status != 0) {
    co_return Error::unavailable("login status {:#06x}", std::uint16_t{header.status});
  }
  if (header.flags != request.flags) co_return broken("the login does not go on");
  take_keys(text_of(reply.data));
  // The old session of this initiator port is over: what it left open has happened or never will.
  world_.oracle.close_all(number_);
  is_logged_in_ = true;
  ++world_.counts.sessions;
  co_return {};
}

// --- the wire ---

Task<Result<>> HostSession::send_bytes(std::vector<std::byte> bytes) {
  if (bytes_until_loss_ < bytes.size()) {
    const ByteSpan rest = ByteSpan(bytes).first(bytes_until_loss_);
    if (!rest.empty()) ASHLAR_CO_TRY(co_await link_->socket->send(rest));
    link_->socket->abort();
    co_return Error::unavailable("lost in the middle of a PDU");
  }
  bytes_until_loss_ -= bytes.size();
  co_return co_await link_->socket->send(ByteSpan(bytes));
}

Task<Result<>> HostSession::lose_at_random() {
  ASHLAR_CO_TRY(co_await sleep_for(runtime_.clock, random_.exponential(30ms)));
  link_->socket->abort();
  co_return {};
}

Task<Result<>> HostSession::receive_all() {
  while (true) {
    const std::uint32_t expected = link_->exp_stat_sn;
    ASHLAR_CO_TRY_ASSIGN(const ReplyPdu pdu, co_await link_->receive());
    ASHLAR_CO_TRY(check_numbers(pdu, expected));
    ASHLAR_CO_TRY(handle(pdu));
    window_moved_.set();
  }
}

Result<> HostSession::check_numbers(const ReplyPdu& pdu, std::uint32_t expected_stat_sn) {
  const auto header = pdu.as<NopInPdu>();
  const bool has_stat_sn =
      pdu.opcode() != Opcode::kDataIn || has_flag(pdu.as<DataInPdu>(), kFlagStatus);
  if (has_stat_sn && header.stat_sn != expected_stat_sn) {
    return broken(fmt::format("{} with StatSN {}, {} is next", to_string(pdu.opcode()),
                              std::uint32_t{header.stat_sn}, expected_stat_sn));
  }
  if (serial_before(link_->cmd_sn, header.exp_cmd_sn)) {
    return broken("ExpCmdSN is beyond what was sent");
  }
  if (pdu.data.size() > receive_segment_max_) return broken("a data segment is too long");
  return {};
}

Result<> HostSession::handle(const ReplyPdu& pdu) {
  switch (pdu.opcode()) {
    case Opcode::kScsiResponse:
      return on_response(pdu);
    case Opcode::kDataIn:
      return on_data_in(pdu);
    case Opcode::kReadyToTransfer:
      return on_ready_to_transfer(pdu);
    case Opcode::kTaskManagementResponse:
      return on_management_response(pdu);
    case Opcode::kNopIn: {
      const auto header = pdu.as<NopInPdu>();
      if (header.initiator_task_tag != kReservedTag) {
        const auto found = pings_.find(header.initiator_task_tag);
        if (found == pings_.end()) return broken("an answer to no ping");
        const std::size_t most = std::min<std::size_t>(found->second.size(), receive_segment_max_);
        found->second.resize(most);
        if (found->second != pdu.data) return broken("a ping came back with other bytes");
        pings_.erase(found);
        return {};
      }
      if (header.target_transfer_tag == kReservedTag) return {};
      NopOutPdu answer;
      answer.opcode |= kImmediate;
      answer.lun = std::uint64_t{header.lun};
      answer.target_transfer_tag = std::uint32_t{header.target_transfer_tag};
      answer.cmd_sn = link_->cmd_sn;
      scope_->spawn(send_pdu(answer));
      return {};
    }
    case Opcode::kLogoutResponse:
      logged_out_.set();
      return {};
    case Opcode::kAsyncMessage:
      return Error::unavailable("the target asks for the end of the session");
    case Opcode::kReject:
      return broken(fmt::format("a request was rejected: {}",
                                to_string(static_cast<RejectReason>(pdu.as<RejectPdu>().reason))));
    default:
      return broken(fmt::format("{} in full feature phase", to_string(pdu.opcode())));
  }
}

Result<> HostSession::on_response(const ReplyPdu& pdu) {
  const auto header = pdu.as<ScsiResponsePdu>();
  const auto found = outstanding_.find(header.initiator_task_tag);
  if (found == outstanding_.end()) {
    return broken(fmt::format("an answer with status {:#x} to a command that is over, tag {} {}",
                              header.status, std::uint32_t{header.initiator_task_tag},
                              over_[header.initiator_task_tag]));
  }
  const Command command = found->second;
  outstanding_.erase(found);
  over_[command->tag] = fmt::format("(answered with status {:#x})", header.status);
  if (header.response != 0) return broken("a SCSI Response that says target failure");
  command->status = header.status;
  if (header.status == kCheckCondition) {
    if (pdu.data.size() < 2 + 14) return broken("a check condition without sense");
    command->sense_key = std::to_integer<std::uint8_t>(pdu.data[2 + 2]) & 0xf;
    command->asc = std::to_integer<std::uint8_t>(pdu.data[2 + 12]);
  }
  const bool is_good = header.status == 0;
  if (is_good && command->received != command->in.size()) {
    return broken(fmt::format("a read of {} bytes gave {}", command->in.size(), command->received));
  }
  if (is_good && (header.flags & (kFlagOverflow | kFlagUnderflow)) != 0) {
    return broken("a residual where all was moved");
  }
  // 11.4.8: counts Data-In and R2T, but is 0 where there was no Data-In.
  if (is_good && header.exp_data_sn != command->data_sn) return broken("a wrong ExpDataSN");
  command->end = HostCommand::End::kAnswered;
  command->ended = world_.oracle.now();
  command->over.set();
  return {};
}

Result<> HostSession::on_data_in(const ReplyPdu& pdu) {
  const auto header = pdu.as<DataInPdu>();
  const auto found = outstanding_.find(header.initiator_task_tag);
  if (found == outstanding_.end()) return broken("data for a command that is over");
  HostCommand& command = *found->second;
  if (header.data_sn != command.data_sn) return broken("DataSN does not follow");
  ++command.data_sn;
  if (header.buffer_offset != command.received) return broken("a gap in Data-In");
  if (pdu.data.size() > command.in.size() - command.received) return broken("too much Data-In");
  std::ranges::copy(pdu.data, command.in.begin() + static_cast<std::ptrdiff_t>(command.received));
  command.received += pdu.data.size();
  command.burst += pdu.data.size();
  if (command.burst > parameters_.max_burst_length) return broken("a Data-In burst is too long");
  if (is_final(header)) command.burst = 0;
  if (!has_flag(header, kFlagStatus)) return {};
  if (!is_final(header)) return broken("a status in the midst of a burst");
  if (command.received != command.in.size()) return broken("a read that is short");
  if ((header.flags & (kFlagOverflow | kFlagUnderflow)) != 0) return broken("a residual of a read");
  command.status = header.status;
  command.end = HostCommand::End::kAnswered;
  command.ended = world_.oracle.now();
  command.over.set();
  outstanding_.erase(found);
  return {};
}

Result<> HostSession::on_ready_to_transfer(const ReplyPdu& pdu) {
  const auto header = pdu.as<ReadyToTransferPdu>();
  const auto found = outstanding_.find(header.initiator_task_tag);
  if (found == outstanding_.end()) {
    return broken(fmt::format("an R2T for a command that is over, tag {} {}",
                              std::uint32_t{header.initiator_task_tag},
                              over_[header.initiator_task_tag]));
  }
  HostCommand& command = *found->second;
  if (header.r2t_sn != command.r2t_sn) return broken("R2TSN does not follow");
  ++command.r2t_sn;
  if (++command.outstanding_r2t > parameters_.max_outstanding_r2t) return broken("too many R2Ts");
  if (header.target_transfer_tag == kReservedTag) return broken("an R2T without a tag");
  if (header.desired_length == 0 || header.desired_length > parameters_.max_burst_length) {
    return broken("an R2T of a length that was not agreed on");
  }
  if (header.buffer_offset != command.asked) return broken("a gap between R2Ts");
  command.asked += header.desired_length;
  if (command.asked > command.out.size()) return broken("an R2T beyond the end");
  ++world_.counts.ready_to_transfers;
  command.bursts.push_back(
      {header.target_transfer_tag, header.buffer_offset, header.desired_length});
  if (!std::exchange(command.is_sending, true)) scope_->spawn(send_bursts(found->second));
  return {};
}

Result<> HostSession::on_management_response(const ReplyPdu& pdu) {
  const auto header = pdu.as<TaskManagementResponsePdu>();
  const auto found = managements_.find(header.initiator_task_tag);
  if (found == managements_.end()) return broken("an answer to no task management");
  const std::shared_ptr<Management> management = found->second;
  managements_.erase(found);
  management->is_answered = true;
  management->response = header.response;
  const Moment now = world_.oracle.now();
  const bool is_complete = header.response == 0;
  // What was sent before and has no answer yet will have none, and has no effect from now on.
  std::erase_if(outstanding_, [&](const auto& entry) {
    HostCommand& command = *entry.second;
    const bool is_one = management->function == TaskFunction::kAbortTask;
    const bool is_meant =
        is_one ? entry.first == management->referenced : command.sent_as < management->sent_as;
    if (!is_meant || !is_complete) return false;
    command.end = HostCommand::End::kAborted;
    command.ended = now;
    command.over.set();
    over_[command.tag] =
        fmt::format("(taken by function {} of {} requests, it was number {})",
                    static_cast<int>(management->function), management->sent_as, command.sent_as);
    ++world_.counts.aborted;
    return true;
  });
  // One that the target says it does not know is answered all the same, or went in a reset of the
  // other host: perform() sees.
  management->over.set();
  return {};
}

Task<Result<>> HostSession::send_bursts(Command command) {
  while (!command->bursts.empty()) {
    const HostCommand::Burst burst = command->bursts.front();
    command->bursts.erase(command->bursts.begin());
    ASHLAR_CO_TRY(co_await send_burst(command, burst.transfer_tag, burst.offset, burst.length));
  }
  command->is_sending = false;
  co_return {};
}

Task<Result<>> HostSession::send_burst(Command command, std::uint32_t transfer_tag,
                                       std::uint64_t offset, std::uint64_t length) {
  std::uint32_t data_sn = 0;
  while (length > 0) {
    // Of a command that is over nothing more is sent.
    if (command->end != HostCommand::End::kOpen) co_return {};
    const std::uint64_t count = std::min<std::uint64_t>(length, send_segment_max_);
    DataOutPdu pdu;
    pdu.initiator_task_tag = command->tag;
    pdu.target_transfer_tag = transfer_tag;
    pdu.data_sn = data_sn++;
    pdu.buffer_offset = static_cast<std::uint32_t>(offset);
    if (count == length) {
      pdu.flags = kFinal;
      // The target may ask for more as soon as it has the last of it.
      if (transfer_tag != kReservedTag) --command->outstanding_r2t;
    }
    const auto from = command->out.begin() + static_cast<std::ptrdiff_t>(offset);
    ASHLAR_CO_TRY_ASSIGN(const Mutex::Guard guard, co_await sending_.lock());
    ASHLAR_CO_TRY(co_await send_pdu(pdu, {from, from + static_cast<std::ptrdiff_t>(count)}));
    offset += count;
    length -= count;
  }
  co_return {};
}

// --- commands ---

HostSession::Command HostSession::new_command() {
  auto command = std::make_shared<HostCommand>();
  command->tag = link_->next_tag++;
  command->is_immediate = random_.chance(1, 20);
  ++world_.counts.commands;
  return command;
}

// The right to send one request. While the window is closed others may send: their data opens it.
Task<Result<Mutex::Guard>> HostSession::lock_for_request(bool is_immediate) {
  while (true) {
    ASHLAR_CO_TRY_ASSIGN(Mutex::Guard guard, co_await sending_.lock());
    if (is_immediate || !serial_before(link_->max_cmd_sn, link_->cmd_sn)) co_return guard;
    guard.release();
    window_moved_.reset();
    const Result<> moved =
        co_await with_timeout(runtime_.clock, kAnswerLimit, wait_for(window_moved_));
    if (moved.ok()) continue;
    if (world_.is_quiet && moved.error().code() == ErrorCode::kDeadlineExceeded) {
      std::string open;
      for (const auto& [tag, command] : outstanding_) {
        open += fmt::format(" {:#x}/{}{}", std::to_integer<int>(command->cdb[0]), tag,
                            command->is_immediate ? "i" : "");
      }
      co_return broken(fmt::format(
          "the window of {} stays closed: ExpCmdSN {}, MaxCmdSN {}, next {}; outstanding:{}",
          world_.target.command_window, link_->exp_cmd_sn, link_->max_cmd_sn, link_->cmd_sn, open));
    }
    co_return moved.error();
  }
}

// The command, what goes with it and what follows it unasked.
Task<Result<>> HostSession::send_command(Command command) {
  std::uint64_t unasked = 0;
  {
    ASHLAR_CO_TRY_ASSIGN(const Mutex::Guard guard,
                         co_await lock_for_request(command->is_immediate));
    ScsiCommandPdu pdu;
    pdu.flags = 1;  // SIMPLE
    if (!command->in.empty()) pdu.flags |= kFlagRead;
    if (!command->out.empty()) pdu.flags |= kFlagWrite;
    if (command->is_immediate) pdu.opcode |= kImmediate;
    pdu.initiator_task_tag = command->tag;
    pdu.expected_length =
        static_cast<std::uint32_t>(std::max(command->in.size(), command->out.size()));
    pdu.cmd_sn = link_->cmd_sn;
    if (!command->is_immediate) ++link_->cmd_sn;
    std::ranges::copy(command->cdb, pdu.cdb);
    const std::uint64_t first =
        std::min<std::uint64_t>(parameters_.first_burst_length, command->out.size());
    std::uint64_t immediate = 0;
    if (parameters_.immediate_data && !random_.chance(1, 5)) {
      immediate = std::min<std::uint64_t>(first, send_segment_max_);
    }
    command->asked = immediate;
    if (!parameters_.initial_r2t && first > immediate) {
      unasked = first - immediate;
      command->asked = first;
    }
    if (unasked == 0) pdu.flags |= kFinal;
    cmd_sns_[command->tag] = pdu.cmd_sn;
    command->sent_as = requests_sent_++;
    outstanding_.emplace(command->tag, command);
    const auto from = command->out.begin();
    ASHLAR_CO_TRY(co_await send_pdu(pdu, {from, from + static_cast<std::ptrdiff_t>(immediate)}));
  }
  if (unasked > 0) {
    const std::uint64_t offset = command->asked - unasked;
    ASHLAR_CO_TRY(co_await send_burst(command, kReservedTag, offset, unasked));
  }
  co_return {};
}

Task<Result<>> HostSession::manage(TaskFunction function, std::uint32_t referenced,
                                   std::uint32_t ref_cmd_sn) {
  auto management = std::make_shared<Management>();
  management->function = function;
  management->referenced = referenced;
  const std::uint32_t tag = link_->next_tag++;
  {
    ASHLAR_CO_TRY_ASSIGN(const Mutex::Guard guard, co_await sending_.lock());
    TaskManagementRequestPdu pdu;
    pdu.opcode |= kImmediate;
    pdu.flags = static_cast<std::uint8_t>(kFinal | static_cast<unsigned>(function));
    pdu.initiator_task_tag = tag;
    pdu.referenced_task_tag = referenced;
    pdu.cmd_sn = link_->cmd_sn;
    pdu.ref_cmd_sn = ref_cmd_sn;
    management->sent_as = requests_sent_++;
    managements_.emplace(tag, management);
    ASHLAR_CO_TRY(co_await send_pdu(pdu));
  }
  const Result<> answered =
      co_await with_timeout(runtime_.clock, kAnswerLimit, wait_for(management->over));
  if (!answered.ok() && answered.error().code() == ErrorCode::kDeadlineExceeded &&
      world_.is_quiet) {
    co_return broken("task management is not answered");
  }
  co_return answered;
}

// A reset by the other host may have taken it without a word.
bool HostSession::was_reset(HostCommand& command) {
  for (const UnitReset& reset : world_.resets) {
    if (reset.by == number_ || reset.end < command.begin) continue;
    command.end = HostCommand::End::kAborted;
    command.ended = std::min(reset.end, world_.oracle.now());
    command.over.set();
    over_[command.tag] = "(taken by a reset of the other host)";
    ++world_.counts.aborted;
    return true;
  }
  return false;
}

// Sends the command, perhaps aborts it, and waits until it is over.
Task<Result<>> HostSession::perform(Command command) {
  ASHLAR_CO_TRY(co_await send_command(command));
  if (random_.chance(1, 25)) {
    (void)co_await with_timeout(runtime_.clock, random_.between(Duration(0), Duration(2ms)),
                                wait_for(command->over));
    if (command->end == HostCommand::End::kOpen) {
      ++world_.counts.aborts;
      const std::uint32_t cmd_sn = cmd_sns_[command->tag];
      ASHLAR_CO_TRY(co_await manage(TaskFunction::kAbortTask, command->tag, cmd_sn));
    }
  }
  const Result<> over =
      co_await with_timeout(runtime_.clock, kAnswerLimit, wait_for(command->over));
  if (over.ok()) co_return {};
  if (over.error().code() != ErrorCode::kDeadlineExceeded) co_return over.error();
  if (was_reset(*command)) {
    outstanding_.erase(command->tag);
    co_return {};
  }
  if (world_.is_quiet) {
    co_return broken(fmt::format(
        "command {:#x}, tag {}, CmdSN {}{}, is not answered: {} of {} bytes asked for by {} R2Ts, "
        "{} open; {} of {} bytes came; ExpCmdSN {}, MaxCmdSN {}, next CmdSN {}; {} outstanding",
        std::to_integer<int>(command->cdb[0]), command->tag, cmd_sns_[command->tag],
        command->is_immediate ? " (immediate)" : "", command->asked, command->out.size(),
        command->r2t_sn, command->outstanding_r2t, command->received, command->in.size(),
        link_->exp_cmd_sn, link_->max_cmd_sn, link_->cmd_sn, outstanding_.size()));
  }
  co_return over.error();
}

bool HostSession::has_succeeded(const HostCommand& command, Stamp stamp) {
  const auto nothing_done = [&] {
    if (stamp != 0) world_.oracle.had_no_effect(stamp);
    return false;
  };
  const auto perhaps_done = [&] {
    if (stamp != 0) world_.oracle.close(stamp, command.ended);
    return false;
  };
  if (command.end == HostCommand::End::kAborted) return perhaps_done();
  if (command.status == 0) {
    if (stamp != 0) world_.oracle.acknowledge(stamp);
    return true;
  }
  if (command.status == kTaskAborted) return perhaps_done();
  ++world_.counts.refused;
  constexpr std::uint8_t kBusy = 0x08;
  constexpr std::uint8_t kTaskSetFull = 0x28;
  if (command.status == kBusy || command.status == kTaskSetFull) return nothing_done();
  if (command.status == kCheckCondition) {
    if (command.sense_key == 0x6 || command.sense_key == 0x2) return nothing_done();
    if (command.sense_key == 0xb) return perhaps_done();
    if (command.sense_key == 0xe && command.cdb[0] == std::byte{0x89}) {
      ++world_.counts.miscompares;
      return nothing_done();
    }
  }
  world_.fail(fmt::format("host {}: command {:#x} failed: status {:#x}, sense {:x}, asc {:#x}",
                          number_, std::to_integer<int>(command.cdb[0]), command.status,
                          command.sense_key, command.asc));
  return false;
}

}  // namespace ashlar::iscsi
