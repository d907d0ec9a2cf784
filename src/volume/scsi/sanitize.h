// SANITIZE (SBC-3, 5.30): an operation that goes on in the background and keeps others out.
#pragma once

#include <optional>
#include <span>

#include "volume/scsi/opcodes.h"
#include "volume/scsi/sense.h"

namespace ashlar::scsi {

class LogicalUnit;

class SanitizeOperation {
 public:
  explicit SanitizeOperation(LogicalUnit& unit) : unit_(unit) {}

  // Why a command that is not allowed meanwhile cannot run. Asked for every command.
  std::optional<Sense> refusal() const { return std::nullopt; }
  void reset() {}

 private:
  [[maybe_unused]] LogicalUnit& unit_;
};

std::span<const Opcode> sanitize_commands();

}  // namespace ashlar::scsi
