// INQUIRY: standard data here, vital product data in vpd.h.
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

std::span<const Opcode> inquiry_commands();

}  // namespace ashlar::scsi
