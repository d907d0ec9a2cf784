// REPORT SUPPORTED OPERATION CODES and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, out of the
// opcode table.
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

std::span<const Opcode> report_opcodes_commands();

}  // namespace ashlar::scsi
