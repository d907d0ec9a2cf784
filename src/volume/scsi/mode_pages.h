// Mode pages of a unit, MODE SENSE and MODE SELECT (SPC-4, 7.5): the values as they are now. Saved
// ones stand in the UnitMemory; a reset goes back to them.
#pragma once

#include <span>

#include "common/base/strong.h"
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

  bool has_threshold() const { return current_.has_threshold; }
  // Whether the space that is available has fallen to the threshold since it was last above.
  bool crosses_threshold(ByteCount available);

  const ModeParameters& current() const { return current_; }
  const ModeParameters& saved() const;
  void set_current(const ModeParameters& values) {
    current_ = values;
    is_below_threshold_ = false;
  }
  // Back to the saved (or default) values.
  void reset() { set_current(saved()); }

 private:
  LogicalUnit& unit_;
  ModeParameters current_;
  bool is_below_threshold_ = false;
};

std::span<const Opcode> mode_commands();

}  // namespace ashlar::scsi
