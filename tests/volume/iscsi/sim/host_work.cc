// What a host does with its session, and how it comes back when it is lost.
#include <algorithm>

#include <fmt/format.h>

#include "common/runtime/timeout.h"
#include "tests/volume/iscsi/sim/host_session.h"

namespace ashlar::iscsi {
namespace {

void set_block_cdb(HostCommand& command, std::uint8_t opcode, std::uint64_t lba,
                   std::uint64_t count) {
  command.cdb[0] = std::byte{opcode};
  store_be64(command.cdb, 2, lba);
  store_be32(command.cdb, 10, static_cast<std::uint32_t>(count));
}

}  // namespace

std::uint64_t HostSession::draw_lba(std::uint64_t count) {
  const std::uint64_t among =
      random_.chance(2, 3) ? std::max<std::uint64_t>(count, 48) : kVolumeSectors;
  return random_.below(among - count + 1);
}

Task<Result<>> HostSession::read(std::uint64_t lba, std::uint64_t count) {
  const Command command = new_command();
  set_block_cdb(*command, 0x88, lba, count);
  command->in.resize(count * kSectorBytes);
  command->begin = world_.oracle.now();
  ASHLAR_CO_TRY(co_await perform(command));
  if (!has_succeeded(*command, 0)) co_return {};
  ++world_.counts.reads;
  world_.judge(world_.oracle.judge(lba, command->in, command->begin));
  co_return {};
}

Task<Result<>> HostSession::write(std::uint64_t lba, std::uint64_t count) {
  const Command command = new_command();
  set_block_cdb(*command, 0x8a, lba, count);
  if (random_.chance(1, 8)) command->cdb[1] = std::byte{0x08};  // FUA
  command->out.resize(count * kSectorBytes);
  const Stamp stamp = world_.oracle.begin_write(number_, lba, count);
  command->begin = world_.oracle.now();
  for (std::uint64_t i = 0; i < count; ++i) {
    fill_sector(stamp, lba + i,
                MutableByteSpan(command->out).subspan(i * kSectorBytes, kSectorBytes));
  }
  ASHLAR_CO_TRY(co_await perform(command));
  if (has_succeeded(*command, stamp)) ++world_.counts.acknowledged;
  co_return {};
}

// Reads, and replaces what it read if it is still there.
Task<Result<>> HostSession::swap(std::uint64_t lba, std::uint64_t count) {
  const Command look = new_command();
  set_block_cdb(*look, 0x88, lba, count);
  look->in.resize(count * kSectorBytes);
  look->begin = world_.oracle.now();
  ASHLAR_CO_TRY(co_await perform(look));
  if (!has_succeeded(*look, 0)) co_return {};
  world_.judge(world_.oracle.judge(lba, look->in, look->begin));

  const Command command = new_command();
  command->cdb[0] = std::byte{0x89};
  store_be64(command->cdb, 2, lba);
  command->cdb[13] = static_cast<std::byte>(count);
  command->out = look->in;
  command->out.resize(2 * count * kSectorBytes);
  const Stamp stamp = world_.oracle.begin_write(number_, lba, count);
  command->begin = world_.oracle.now();
  for (std::uint64_t i = 0; i < count; ++i) {
    fill_sector(stamp, lba + i,
                MutableByteSpan(command->out).subspan((count + i) * kSectorBytes, kSectorBytes));
  }
  ASHLAR_CO_TRY(co_await perform(command));
  if (!has_succeeded(*command, stamp)) co_return {};
  ++world_.counts.swaps;
  world_.judge(world_.oracle.judge_replaced(lba, look->in, command->begin));
  co_return {};
}

Task<Result<>> HostSession::ping() {
  NopOutPdu pdu;
  pdu.initiator_task_tag = link_->next_tag++;
  std::vector<std::byte> data(random_.below(600));
  random_.fill(data);
  ASHLAR_CO_TRY_ASSIGN(const Mutex::Guard guard, co_await lock_for_request(false));
  pdu.cmd_sn = link_->cmd_sn++;
  ++requests_sent_;
  pings_[pdu.initiator_task_tag] = data;
  co_return co_await send_pdu(pdu, data);
}

// A target whose machine lost its power is silent until somebody sends to it.
Task<Result<>> HostSession::keep_alive() {
  while (true) {
    ASHLAR_CO_TRY(co_await sleep_for(runtime_.clock, 3s));
    ASHLAR_CO_TRY_ASSIGN(const Mutex::Guard guard, co_await sending_.lock());
    NopOutPdu pdu;
    pdu.opcode |= kImmediate;
    pdu.initiator_task_tag = link_->next_tag++;
    pdu.cmd_sn = link_->cmd_sn;
    pings_[pdu.initiator_task_tag] = {};
    ASHLAR_CO_TRY(co_await send_pdu(pdu));
  }
}

Task<Result<>> HostSession::perform_one() {
  const std::uint64_t longest = random_.chance(1, 6) ? 200 : 12;
  const std::uint64_t count = random_.between(1, longest);
  const std::uint64_t kind = random_.below(100);
  if (kind < 40) co_return co_await write(draw_lba(count), count);
  if (kind < 75) co_return co_await read(draw_lba(count), count);
  if (kind < 92) {
    const std::uint64_t few = random_.between(1, 3);
    co_return co_await swap(random_.below(8), few);
  }
  if (kind < 96) co_return co_await ping();
  if (kind < 98) {
    const Command command = new_command();
    command->cdb[0] = std::byte{0x35};  // SYNCHRONIZE CACHE(10)
    command->begin = world_.oracle.now();
    ASHLAR_CO_TRY(co_await perform(command));
    (void)has_succeeded(*command, 0);
    co_return {};
  }
  if (kind == 98) {
    ++world_.counts.aborts;
    co_return co_await manage(TaskFunction::kAbortTaskSet, kReservedTag, 0);
  }
  if (world_.is_quiet) co_return {};
  ++world_.counts.resets;
  const std::size_t at = world_.resets.size();
  world_.resets.push_back({.by = number_, .begin = world_.oracle.now()});
  const Result<> answered = co_await manage(TaskFunction::kLogicalUnitReset, kReservedTag, 0);
  if (answered.ok()) world_.resets[at].end = world_.oracle.now();
  co_return answered;
}

Task<Result<>> HostSession::work_one() {
  while (commands_left_ > 0 && world_.failure.empty()) {
    --commands_left_;
    ASHLAR_CO_TRY(co_await perform_one());
    if (random_.chance(1, 4)) {
      ASHLAR_CO_TRY(co_await sleep_for(runtime_.clock, random_.exponential(500us)));
    }
  }
  co_return {};
}

Task<Result<>> HostSession::log_out() {
  {
    ASHLAR_CO_TRY_ASSIGN(const Mutex::Guard guard, co_await lock_for_request(false));
    LogoutRequestPdu pdu = link_->logout();
    ASHLAR_CO_TRY(co_await send_pdu(pdu));
  }
  while (!logged_out_.is_set()) ASHLAR_CO_TRY(co_await logged_out_.wait());
  co_return {};
}

Task<Result<>> HostSession::work() {
  const TaskContext here = co_await this_task();
  TaskScope workers(here);
  const std::uint64_t depth = random_.between(1, 8);
  for (std::uint64_t i = 0; i < depth; ++i) workers.spawn(work_one());
  ASHLAR_CO_TRY(co_await workers.join());
  if (random_.chance(1, 2)) ASHLAR_CO_TRY(co_await log_out());
  // Ends the receiver.
  co_return Error::out_of_range("the work is done");
}

Task<Result<>> HostSession::run() {
  commands_left_ = random_.between(5, 60);
  const bool is_lost = !world_.is_quiet && random_.chance(1, 2);
  if (is_lost)
    bytes_until_loss_ = random_.chance(1, 3) ? random_.below(800) : random_.below(300'000);
  ASHLAR_CO_TRY(co_await with_timeout(runtime_.clock, 20s, log_in()));
  const TaskContext here = co_await this_task();
  TaskScope scope(here);
  scope_ = &scope;
  scope.spawn(receive_all());
  scope.spawn(work());
  scope.spawn(keep_alive());
  if (is_lost && random_.chance(1, 4)) scope.spawn(lose_at_random());
  const Result<> ended = co_await scope.join();
  if (!ended.ok() && ended.error().code() == ErrorCode::kOutOfRange) co_return {};
  co_return ended;
}

Task<void> run_host(IscsiWorld* world, unsigned number, Runtime runtime) {
  for (std::uint64_t session = 0; !world->is_over && world->failure.empty(); ++session) {
    const bool is_quiet = world->is_quiet;
    {
      HostSession one(*world, number, runtime, runtime.random.split(fmt::format("{}", session)));
      const Result<> ended = co_await one.run();
      if (!ended.ok() && one.was_logged_in()) ++world->counts.lost_sessions;
      if (ended.ok() && is_quiet) ++world->quiet_sessions;
      if (!ended.ok() && is_quiet && one.was_logged_in() && session > 1000) {
        world->fail("sessions are lost without a fault");
      }
    }
    if (!(co_await sleep_for(runtime.clock, runtime.random.exponential(3ms))).ok()) co_return;
  }
}

}  // namespace ashlar::iscsi
