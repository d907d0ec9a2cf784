// Mode pages of a unit, MODE SENSE and MODE SELECT (SPC-4, 7.5): the values as they are now. Saved
// ones stand in the UnitMemory; a reset goes back to them.
#pragma once

#include <span>

#include "volume/scsi/mode_parameters.h"
#include "volume/scsi/opcodes.h"
#include "volume/scsi/sense.h"

namespace ashlar::scsi {

class LogicalUnit;

class ModePages {
 public:
  explicit ModePages(LogicalUnit& unit);

  // D_SENSE of the control mode page.
  SenseFormat sense_format() const {
    return current_.descriptor_sense ? SenseFormat::kDescriptor : SenseFormat::kFixed;
  }
  // SWP of the control mode page.
  bool is_software_write_protected() const { return current_.software_write_protect; }
  // TAS of the control mode page: commands aborted by another nexus end with TASK ABORTED.
  bool reports_task_aborted() const { return current_.reports_task_aborted; }

  const ModeParameters& current() const { return current_; }
  const ModeParameters& saved() const;
  void set_current(const ModeParameters& values) { current_ = values; }
  // Back to the saved (or default) values.
  void reset() { current_ = saved(); }

 private:
  LogicalUnit& unit_;
  ModeParameters current_;
};

std::span<const Opcode> mode_commands();

}  // namespace ashlar::scsi
