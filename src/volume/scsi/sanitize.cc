#include "volume/scsi/sanitize.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/log/log.h"
#include "common/runtime/timeout.h"
#include "volume/scsi/command_context.h"
#include "volume/scsi/logical_unit.h"
#include "volume/scsi/parameter_list.h"

namespace ashlar::scsi {

namespace {

constexpr std::uint64_t kOverwriteStep = 1 << 20;
constexpr std::uint64_t kEraseStep = 1 << 30;
// How much is done again after a crash, at most.
constexpr std::uint64_t kRecordEvery = 256 << 20;
constexpr int kMostTries = 30;
constexpr Duration kBetweenTries = 1s;

constexpr std::uint8_t kServiceActionBits = 0x1f;
constexpr std::size_t kOverwriteHeader = 4;

Task<Result<>> wait_for(Event& event) {
  const Result<> waited = co_await event.wait();
  co_return waited;
}

}  // namespace

SanitizeOperation::SanitizeOperation(LogicalUnit& unit)
    : unit_(unit), state_(unit.memory().state().sanitize) {
  if (!is_running()) over_.set();
}

Sense SanitizeOperation::reason() const {
  if (state_.phase == SanitizeState::Phase::kFailed) {
    return {.key = SenseKey::kMediumError, .asc = asc::kSanitizeFailed};
  }
  const std::uint16_t progress = state_.progress(unit_.volume().size().value());
  return {.key = SenseKey::kNotReady,
          .asc = asc::kSanitizeInProgress,
          .specific = progress_indication(progress)};
}

Task<Result<>> SanitizeOperation::begin(SanitizeState state, ScsiTask& task) {
  ASHLAR_CHECK(!is_running());
  const TaskContext here = co_await this_task();
  const SanitizeState before = std::exchange(state_, std::move(state));
  is_claimed_ = true;
  over_.reset();
  Result<> begun = co_await unit_.tasks().wait_for_earlier(task).in_scope(&task.fetching);
  if (begun.ok()) begun = co_await unit_.wait_until_unused().in_scope(&task.fetching);
  if (begun.ok()) begun = co_await record(state_);
  is_claimed_ = false;
  if (!begun.ok()) {
    state_ = before;
    over_.set();
    co_return begun;
  }
  start(*here.executor);
  co_return {};
}

Task<Result<>> SanitizeOperation::record(SanitizeState state) {
  const Result<Mutex::Guard> guard = co_await unit_.memory().lock();
  if (!guard.ok()) co_return guard.error();
  UnitState next = unit_.memory().state();
  next.sanitize = std::move(state);
  co_return co_await unit_.memory().store(std::move(next));
}

Task<Result<>> SanitizeOperation::wait() {
  co_return co_await wait_for(over_);
}

Task<Result<bool>> SanitizeOperation::exit_failure_mode() {
  if (state_.phase != SanitizeState::Phase::kFailed) co_return true;
  if (!state_.allows_exit) co_return false;
  ASHLAR_CO_TRY(co_await record({}));
  state_ = {};
  co_return true;
}

void SanitizeOperation::start(Executor& executor) {
  if (scope_ == nullptr) scope_ = std::make_unique<TaskScope>(executor);
  scope_->spawn(run());
}

Task<void> SanitizeOperation::stop() {
  if (scope_ == nullptr) co_return;
  scope_->cancel();
  (void)co_await scope_->join();
  scope_.reset();
  // Who waits for the end hears that it is not yet.
  over_.set();
}

Task<void> SanitizeOperation::run() {
  Result<> outcome = co_await run_passes();
  SanitizeState end;
  if (!outcome.ok()) {
    if (outcome.error().code() == ErrorCode::kCancelled) co_return;
    ASHLAR_LOG_ERROR(LogFields{}.volume(unit_.volume().uuid().to_string()), "sanitize failed: {}",
                     outcome.error());
    end = state_;
    end.phase = SanitizeState::Phase::kFailed;
  }
  const Result<> recorded = co_await record(end);
  if (!recorded.ok()) {
    // The log says that it runs: whoever starts again finishes it.
    ASHLAR_LOG_ERROR(LogFields{}.volume(unit_.volume().uuid().to_string()),
                     "the end of a sanitize operation is not in the log: {}", recorded.error());
    if (recorded.error().code() == ErrorCode::kCancelled) co_return;
    end = state_;
    end.phase = SanitizeState::Phase::kFailed;
  }
  state_ = std::move(end);
  over_.set();
}

Task<Result<>> SanitizeOperation::run_passes() {
  while (state_.passes_done < state_.passes) {
    ASHLAR_CO_TRY(co_await run_pass());
    ++state_.passes_done;
    state_.bytes_done = 0;
    ASHLAR_CO_TRY(co_await record(state_));
  }
  ASHLAR_CO_TRY(co_await unit_.volume().flush());
  // What was wiped is wiped in the layers too.
  ASHLAR_CO_TRY(co_await unit_.volume().replica().flush_all());
  co_return {};
}

Task<Result<Buffer>> SanitizeOperation::make_pattern() {
  if (state_.action != SanitizeAction::kOverwrite) co_return Buffer();
  for (int tries = 1;; ++tries) {
    Result<Buffer> buffer = unit_.volume().pool().allocate(ByteCount(kOverwriteStep));
    if (buffer.ok()) {
      fill_with_pattern(buffer->bytes(), unit_.block_size(), state_.pattern, state_.is_inverted());
    }
    if (buffer.ok() || tries == kMostTries) co_return buffer;
    ASHLAR_CO_TRY(co_await sleep_for(unit_.volume().clock(), kBetweenTries));
  }
}

Task<Result<>> SanitizeOperation::run_pass() {
  const bool overwrites = state_.action == SanitizeAction::kOverwrite;
  const std::uint64_t step = overwrites ? kOverwriteStep : kEraseStep;
  ASHLAR_CO_TRY_ASSIGN(const Buffer pattern, co_await make_pattern());
  std::uint64_t unrecorded = 0;
  Clock& clock = unit_.volume().clock();
  // The volume may grow meanwhile.
  while (state_.bytes_done < unit_.volume().size().value()) {
    const MonoTime begin = clock.now();
    const std::uint64_t left = unit_.volume().size().value() - state_.bytes_done;
    const std::uint64_t length = std::min(step, left);
    ASHLAR_CO_TRY(co_await wipe_with_patience(state_.bytes_done, length, pattern));
    state_.bytes_done += length;
    unrecorded += length;
    if (unrecorded >= kRecordEvery && overwrites) {
      unrecorded = 0;
      ASHLAR_CO_TRY(co_await record(state_));
    }
    if (overwrites) {
      const auto share = Duration(static_cast<std::int64_t>(length) * 1'000'000'000 /
                                  static_cast<std::int64_t>(kBytesPerSecond));
      ASHLAR_CO_TRY(co_await sleep_until(clock, begin + share));
    }
  }
  co_return {};
}

Task<Result<>> SanitizeOperation::wipe(std::uint64_t offset, std::uint64_t length,
                                       const Buffer& pattern) {
  if (state_.action == SanitizeAction::kBlockErase) {
    co_return co_await unit_.volume().discard({offset, length});
  }
  co_return co_await unit_.volume().write(offset, pattern.slice(0, length));
}

Task<Result<>> SanitizeOperation::wipe_with_patience(std::uint64_t offset, std::uint64_t length,
                                                     const Buffer& pattern) {
  for (int tries = 1;; ++tries) {
    Result<> wiped = co_await wipe(offset, length, pattern);
    if (wiped.ok() || wiped.error().code() == ErrorCode::kCancelled) co_return wiped;
    // A closed gate opens again; all else is given some time.
    const bool is_closed = wiped.error().code() == ErrorCode::kUnavailable;
    if (!is_closed && tries >= kMostTries) co_return wiped;
    ASHLAR_CO_TRY(co_await sleep_for(unit_.volume().clock(), kBetweenTries));
  }
}

namespace {

// SBC-3, 5.30.2.2: what overwriting is to be done. Returns what is wrong.
std::optional<Response> parse_overwrite(ByteSpan list, std::uint32_t block_size,
                                        SanitizeState& state) {
  const auto flags = std::to_integer<unsigned>(list[0]);
  constexpr unsigned kTest = 0x60;
  state.inverts = (flags & 0x80) != 0;
  state.passes = static_cast<std::uint8_t>(flags & 0x1f);
  if ((flags & kTest) != 0) return invalid_parameter(0, 6);
  if (state.passes == 0) return invalid_parameter(0, 4);
  if (list[1] != std::byte{0}) return invalid_parameter(1);
  const std::size_t size = load_be16(list, 2);
  if (size == 0 || size > block_size) return invalid_parameter(2);
  if (size != list.size() - kOverwriteHeader) return invalid_parameter(2);
  const ByteSpan pattern = list.subspan(kOverwriteHeader);
  state.pattern.assign(pattern.begin(), pattern.end());
  return std::nullopt;
}

Task<Response> perform(CommandContext& context, SanitizeState state) {
  LogicalUnit& unit = context.unit();
  SanitizeOperation& operation = unit.sanitize();
  // Not before the parameter list is there: another may have begun while it came.
  if (operation.is_running()) co_return check_condition(*operation.refusal());
  // A snapshot would keep what is to be wiped.
  if (!unit.volume().replica().snapshots().empty()) {
    co_return illegal_request(asc::kCommandSequenceError);
  }
  const Result<> begun = co_await operation.begin(std::move(state), *context.task);
  if (!begun.ok()) co_return response_to(begun.error(), Doing::kWriting);
  const bool is_immediate = context.has_bit(1, 7);
  if (is_immediate) co_return good();
  // An abort ends the command; the operation goes on.
  const Result<> over = co_await operation.wait().in_scope(&context.task->fetching);
  if (!over.ok()) co_return response_to(over.error(), Doing::kWriting);
  const std::optional<Sense> failure = operation.refusal();
  co_return failure ? check_condition(*failure) : good();
}

Task<Response> sanitize(CommandContext& context) {
  SanitizeState state;
  state.phase = SanitizeState::Phase::kRunning;
  state.action = static_cast<SanitizeAction>(context.u8(1) & kServiceActionBits);
  state.allows_exit = context.has_bit(1, 5);
  if (context.unit().sanitize().is_running()) {
    co_return check_condition(*context.unit().sanitize().refusal());
  }
  std::uint16_t length = 0;
  if (state.action == SanitizeAction::kOverwrite) {
    length = context.u16(7);
    const std::uint32_t block_size = context.unit().block_size();
    if (length <= kOverwriteHeader || length > block_size + kOverwriteHeader) {
      co_return wanting(invalid_cdb(7), length);
    }
    ParameterList list = co_await fetch_parameter_list(context, length);
    if (list.refused) co_return std::move(*list.refused);
    std::optional<Response> wrong = parse_overwrite(list.bytes(), block_size, state);
    if (wrong) co_return wanting(std::move(*wrong), length);
  }
  Response response = co_await perform(context, std::move(state));
  co_return wanting(std::move(response), length);
}

Task<Response> exit_failure_mode(CommandContext& context) {
  SanitizeOperation& operation = context.unit().sanitize();
  if (operation.is_running()) co_return check_condition(*operation.refusal());
  const Result<bool> is_well = co_await operation.exit_failure_mode();
  if (!is_well.ok()) co_return response_to(is_well.error(), Doing::kWriting);
  co_return *is_well ? good() : invalid_cdb(1, 4);
}

constexpr std::uint16_t kTraits = kNeedsMedium | kWrites | kDuringSanitize;
// Overwriting a large volume takes hours.
constexpr std::uint32_t kDay = 24 * 3600;

constexpr std::array<Opcode, 3> kRows{{
    {.name = "SANITIZE, OVERWRITE",
     .code = 0x48,
     .service_action = static_cast<std::uint8_t>(SanitizeAction::kOverwrite),
     .length = 10,
     .usage = {0, 0xa0, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     .handler = &sanitize,
     .access = Access::kWrite,
     .traits = kTraits,
     .recommended_timeout = kDay},
    {.name = "SANITIZE, BLOCK ERASE",
     .code = 0x48,
     .service_action = static_cast<std::uint8_t>(SanitizeAction::kBlockErase),
     .length = 10,
     .usage = {0, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0},
     .handler = &sanitize,
     .access = Access::kWrite,
     .traits = kTraits,
     .recommended_timeout = 3600},
    {.name = "SANITIZE, EXIT FAILURE MODE",
     .code = 0x48,
     .service_action = static_cast<std::uint8_t>(SanitizeAction::kExitFailureMode),
     .length = 10,
     .usage = {0, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0},
     .handler = &exit_failure_mode,
     .access = Access::kWrite,
     .traits = kTraits},
}};

}  // namespace

std::span<const Opcode> sanitize_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
