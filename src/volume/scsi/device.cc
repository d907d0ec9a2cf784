#include "volume/scsi/device.h"

#include <algorithm>
#include <utility>

#include "volume/scsi/command_context.h"
#include "volume/scsi/logical_unit.h"
#include "volume/scsi/nexus.h"
#include "volume/scsi/opcodes.h"
#include "volume/scsi/response.h"
#include "volume/scsi/task_set.h"

namespace ashlar::scsi {

std::optional<std::uint16_t> decode_lun(std::uint64_t lun) {
  constexpr std::uint64_t kFirstLevel = 0xffff;
  if ((lun & ~(kFirstLevel << 48)) != 0) return std::nullopt;
  const auto first = static_cast<std::uint16_t>(lun >> 48);
  switch (first >> 14) {
    case 0:  // peripheral device addressing: bus 0 only
      if ((first & 0x3f00) != 0) return std::nullopt;
      return first;
    case 1:  // flat space
      return static_cast<std::uint16_t>(first & 0x3fff);
    default:
      return std::nullopt;
  }
}

std::uint64_t encode_lun(std::uint16_t lun) {
  ASHLAR_CHECK(lun <= Device::kLargestLun);
  const std::uint64_t first = lun < 256 ? lun : 0x4000u | lun;
  return first << 48;
}

Device::Device(Clock& clock, Random& random, BufferPool& pool, DeviceOptions options)
    : clock_(clock),
      random_(random),
      pool_(pool),
      table_(opcode_table()),
      options_(std::move(options)) {}

Device::~Device() {
  for (const auto& [name, memory] : nexuses_) {
    ASHLAR_CHECK(memory->live == nullptr, "a device goes before the session of {}", name.initiator);
  }
}

Result<> Device::add_unit(std::uint16_t lun, volume::Volume& volume) {
  if (lun > kLargestLun) return Error::invalid_argument("LUN {} is above {}", lun, kLargestLun);
  if (units_.contains(lun)) {
    return Error::already_exists("{} has a LUN {} already", options_.name, lun);
  }
  for (const auto& [other, unit] : units_) {
    raise(other, UnitAttention::kReportedLunsChanged, nullptr);
  }
  units_.emplace(lun, std::make_unique<LogicalUnit>(*this, lun, volume));
  raise(lun, UnitAttention::kPowerOn, nullptr);
  return {};
}

Task<Result<>> Device::remove_unit(std::uint16_t lun) {
  const auto found = units_.find(lun);
  if (found == units_.end()) {
    co_return Error::not_found("{} has no LUN {}", options_.name, lun);
  }
  // Nobody finds it any more, and what is under way ends.
  const std::unique_ptr<LogicalUnit> unit = std::move(found->second);
  units_.erase(found);
  for (const auto& [other, rest] : units_) {
    raise(other, UnitAttention::kReportedLunsChanged, nullptr);
  }
  unit->leave();
  co_await unit->sanitize().stop().in_scope(nullptr);
  const Result<> empty = co_await unit->tasks().wait_until_empty().in_scope(nullptr);
  (void)co_await unit->wait_until_unused().in_scope(nullptr);
  for (const auto& [name, memory] : nexuses_) memory->attentions.erase(lun);
  co_return empty;
}

LogicalUnit* Device::find(std::uint16_t lun) {
  const auto found = units_.find(lun);
  return found == units_.end() ? nullptr : found->second.get();
}

std::vector<std::uint16_t> Device::luns() const {
  std::vector<std::uint16_t> all;
  all.reserve(units_.size());
  for (const auto& [lun, unit] : units_) all.push_back(lun);
  return all;
}

std::vector<TargetPort> Device::ports(const NexusName& name) const {
  std::vector<TargetPort> all = options_.ports;
  all.push_back({name.relative_port, name.port_group});
  if (options_.ports.empty()) {
    for (const auto& [other, memory] : nexuses_) {
      all.push_back({other.relative_port, other.port_group});
    }
  }
  std::ranges::sort(all);
  const auto doubles = std::ranges::unique(all);
  all.erase(doubles.begin(), doubles.end());
  return all;
}

std::vector<NexusName> Device::nexuses() const {
  std::vector<NexusName> all;
  all.reserve(nexuses_.size());
  for (const auto& [name, memory] : nexuses_) all.push_back(name);
  return all;
}

std::unique_ptr<Nexus> Device::open_nexus(NexusName name) {
  auto [place, is_new] = nexuses_.try_emplace(name);
  if (is_new) {
    place->second = std::make_unique<NexusMemory>();
    for (const auto& [lun, unit] : units_) {
      place->second->attentions[lun].add(UnitAttention::kPowerOn);
    }
  }
  ASHLAR_CHECK(place->second->live == nullptr, "{} opens a second nexus", name.initiator);
  auto nexus = std::make_unique<Nexus>(std::move(name), *place->second);
  if (is_new) forget_oldest();
  return nexus;
}

void Device::close_nexus(std::unique_ptr<Nexus> nexus) {
  NexusMemory& memory = *nexuses_.at(nexus->name());
  for (const auto& [lun, unit] : units_) {
    ASHLAR_CHECK(!unit->tasks().has_tasks_of(*nexus), "{} goes with a command under way",
                 nexus->name().initiator);
    unit->on_nexus_loss(*nexus);
    memory.attentions[lun].add(UnitAttention::kNexusLoss);
  }
  memory.live = nullptr;
  memory.left = ++nexuses_left_;
}

void Device::forget_oldest() {
  if (nexuses_.size() <= kMostRemembered) return;
  auto oldest = nexuses_.end();
  for (auto it = nexuses_.begin(); it != nexuses_.end(); ++it) {
    if (it->second->live != nullptr) continue;
    if (oldest == nexuses_.end() || it->second->left < oldest->second->left) oldest = it;
  }
  if (oldest != nexuses_.end()) nexuses_.erase(oldest);
}

void Device::raise(std::uint16_t lun, UnitAttention attention, const Nexus* except) {
  for (const auto& [name, memory] : nexuses_) {
    if (except != nullptr && memory->live == except) continue;
    memory->attentions[lun].add(attention);
  }
}

void Device::raise_to(const NexusName& name, std::uint16_t lun, UnitAttention attention) {
  const auto found = nexuses_.find(name);
  if (found != nexuses_.end()) found->second->attentions[lun].add(attention);
}

Task<Response> Device::execute(Nexus& nexus, const Command& command) {
  const OpcodeTable::Found found = table_.find(command.cdb);
  const std::optional<std::uint16_t> lun = decode_lun(command.lun);
  LogicalUnit* const unit = lun ? find(*lun) : nullptr;
  if (unit == nullptr) {
    if (found.row == nullptr || !found.row->has(kWithoutUnit)) {
      co_return illegal_request(asc::kLunNotSupported);
    }
    if (const std::optional<ForeignBit> foreign = find_foreign_bit(*found.row, command.cdb)) {
      co_return invalid_cdb(foreign->byte, foreign->bit);
    }
    CommandContext context{*this, nullptr, nexus, command, *found.row, nullptr};
    co_return co_await found.row->handler(context);
  }
  if (command.attribute == TaskAttribute::kAca) co_return illegal_request(asc::kInvalidMessage);

  const TaskContext here = co_await this_task();
  if (unit->sanitize().must_resume()) unit->sanitize().resume(*here.executor);
  ScsiTask task(nexus, command, here.cancel_scope);
  if (!unit->tasks().add(task)) co_return status_only(Status::kTaskSetFull);
  bool has_turn = unit->tasks().may_run(task);
  if (!has_turn) {
    const Result<> waited = co_await unit->tasks().wait_until_enabled(task);
    has_turn = waited.ok();
  }
  Response response;
  if (!has_turn) {
    response.is_aborted = true;
  } else if (!task.is_aborted()) {
    std::optional<Response> refused = unit->refuse(nexus, command, found.row, found.knows_code);
    if (refused) {
      response = std::move(*refused);
    } else {
      CommandContext context{*this, unit, nexus, command, *found.row, &task};
      response = co_await found.row->handler(context).in_scope(nullptr);
    }
  }
  if (task.is_aborted()) {
    // Nothing of what it did may be told; what it was to do it has done or not, but is not doing.
    response = Response{};
    if (task.is_aborted_by_other() && unit->mode_pages().reports_task_aborted()) {
      response.status = Status::kTaskAborted;
    } else {
      response.is_aborted = true;
    }
  }
  if (response.status == Status::kCheckCondition) {
    response.sense_format = unit->mode_pages().sense_format();
  }
  co_return response;
}

Task<TaskManagementAnswer> Device::manage(Nexus& nexus, TaskManagementFunction function,
                                          std::uint64_t lun, std::uint32_t tag) {
  using Function = TaskManagementFunction;
  using Answer = TaskManagementAnswer;
  if (function == Function::kTargetWarmReset || function == Function::kTargetColdReset) {
    co_return co_await reset(nexus, luns());
  }
  if (function == Function::kTaskReassign) co_return Answer::kReassignNotSupported;
  if (function == Function::kClearAca) co_return Answer::kNotSupported;
  const std::optional<std::uint16_t> number = decode_lun(lun);
  LogicalUnit* const unit = number ? find(*number) : nullptr;
  if (unit == nullptr) co_return Answer::kLunDoesNotExist;

  switch (function) {
    case Function::kAbortTask: {
      const std::uint32_t aborted = unit->tasks().abort_if(nexus, [&](const ScsiTask& task) {
        return &task.nexus() == &nexus && task.tag() == tag;
      });
      if (aborted == 0) co_return Answer::kTaskDoesNotExist;
      break;
    }
    case Function::kAbortTaskSet:
      unit->tasks().abort_if(nexus, [&](const ScsiTask& task) { return &task.nexus() == &nexus; });
      break;
    case Function::kClearTaskSet:
      unit->tasks().abort_if(nexus, [&](const ScsiTask& task) {
        if (&task.nexus() != &nexus && !unit->mode_pages().reports_task_aborted()) {
          unit->raise_to(task.nexus().name(), UnitAttention::kCommandsCleared);
        }
        return true;
      });
      break;
    case Function::kLogicalUnitReset:
      co_return co_await reset(nexus, {*number});
    default:
      co_return Answer::kNotSupported;
  }
  const Result<> over = co_await unit->tasks().wait_for_aborted();
  co_return over.ok() ? Answer::kComplete : Answer::kRejected;
}

Task<TaskManagementAnswer> Device::reset(Nexus& by, std::vector<std::uint16_t> luns) {
  for (const std::uint16_t lun : luns) {
    LogicalUnit* const unit = find(lun);
    if (unit != nullptr) unit->tasks().abort_if(by, [](const ScsiTask&) { return true; });
  }
  for (const std::uint16_t lun : luns) {
    LogicalUnit* const unit = find(lun);
    if (unit == nullptr) continue;
    const Result<> over = co_await unit->tasks().wait_for_aborted();
    if (!over.ok()) co_return TaskManagementAnswer::kRejected;
    unit->reset();
  }
  co_return TaskManagementAnswer::kComplete;
}

}  // namespace ashlar::scsi
