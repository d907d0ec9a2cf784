// Mode pages of a unit, MODE SENSE and MODE SELECT (SPC-4, 7.5).
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"
#include "volume/scsi/sense.h"

namespace ashlar::scsi {

class LogicalUnit;

class ModePages {
 public:
  explicit ModePages(LogicalUnit& unit) : unit_(unit) {}

  // D_SENSE of the control mode page.
  SenseFormat sense_format() const { return SenseFormat::kFixed; }
  // SWP of the control mode page.
  bool is_software_write_protected() const { return false; }
  // TAS of the control mode page: commands aborted by another nexus end with TASK ABORTED.
  bool reports_task_aborted() const { return false; }
  // Back to the saved (or default) values.
  void reset() {}

 private:
  [[maybe_unused]] LogicalUnit& unit_;
};

std::span<const Opcode> mode_commands();

}  // namespace ashlar::scsi
