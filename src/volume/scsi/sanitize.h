// SANITIZE (SBC-3, 4.11 and 5.30): an operation that goes on in the background and keeps others out
// until it is over.
//
//   begun     recorded in the log before anything is wiped; commands that were under way before it
//             have ended
//   running   pass by pass over the whole volume, at a bounded rate; every other command but those
//             with kDuringSanitize is NOT READY. No task management function and no reset stops it.
//   over      what is to be wiped is wiped and flushed to the layers, then the log says so
//   failed    after many tries; MEDIUM ERROR until another SANITIZE succeeds, or EXIT FAILURE MODE
//             where AUSE allowed that
//
// A server that starts again goes on from where the log says: with the first command of anybody
// (Device::execute), for there is nobody else to begin it.
//
// What it means here: no read of this volume gives the old bytes again, from any copy. Blocks in
// the store's log and punched holes are given back to the file system and written over in time, not
// scrubbed. A snapshot keeps old bytes, so SANITIZE is refused while there is one. There is no
// cryptographic erase, because nothing is encrypted.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "common/base/buffer.h"
#include "common/base/result.h"
#include "common/runtime/sync.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "volume/scsi/opcodes.h"
#include "volume/scsi/sanitize_state.h"
#include "volume/scsi/sense.h"

namespace ashlar::scsi {

class LogicalUnit;
class ScsiTask;

class SanitizeOperation {
 public:
  // Of overwriting, so that other volumes of the store keep their share.
  static constexpr std::uint64_t kBytesPerSecond = 128 << 20;

  explicit SanitizeOperation(LogicalUnit& unit);
  SanitizeOperation(const SanitizeOperation&) = delete;
  SanitizeOperation& operator=(const SanitizeOperation&) = delete;

  // Why a command that is not allowed meanwhile cannot run. Asked for every command.
  std::optional<Sense> refusal() const {
    if (state_.phase == SanitizeState::Phase::kNone) return std::nullopt;
    return reason();
  }
  const SanitizeState& state() const { return state_; }
  bool is_running() const { return state_.phase == SanitizeState::Phase::kRunning; }

  // Keeps everybody out at once; resolves when what was under way besides `task` has ended and the
  // log has the operation, which then runs. Fails without effect, also when the task is aborted
  // before that. None may be running.
  Task<Result<>> begin(SanitizeState state, ScsiTask& task);
  // Resolves when it is over, or never was.
  Task<Result<>> wait();
  // EXIT FAILURE MODE. True when there is no failure any more.
  Task<Result<bool>> exit_failure_mode();

  // It was begun by a server that is no more.
  bool must_resume() const { return is_running() && !is_claimed_ && scope_ == nullptr; }
  void resume(Executor& executor) { start(executor); }
  // Ends the background work; the log knows how far it has come. Before the unit is destroyed.
  Task<void> stop();

 private:
  Sense reason() const;
  void start(Executor& executor);
  Task<void> run();
  Task<Result<>> run_passes();
  Task<Result<>> run_pass();
  Task<Result<>> wipe(std::uint64_t offset, std::uint64_t length, const Buffer& pattern);
  Task<Result<>> wipe_with_patience(std::uint64_t offset, std::uint64_t length,
                                    const Buffer& pattern);
  Task<Result<>> record(SanitizeState state);
  Task<Result<Buffer>> make_pattern();

  LogicalUnit& unit_;
  SanitizeState state_;
  bool is_claimed_ = false;  // not in the log yet
  std::unique_ptr<TaskScope> scope_;
  Event over_;
};

std::span<const Opcode> sanitize_commands();

}  // namespace ashlar::scsi
