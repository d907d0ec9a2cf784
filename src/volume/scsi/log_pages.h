// LOG SENSE (SPC-4, 7.3).
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

std::span<const Opcode> log_commands();

}  // namespace ashlar::scsi
