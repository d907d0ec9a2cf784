// Commands of every kind of unit that have no file of their own (SPC-4): TEST UNIT READY, REQUEST
// SENSE, REPORT LUNS.
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

std::span<const Opcode> primary_commands();

}  // namespace ashlar::scsi
