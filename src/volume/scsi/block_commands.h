// Commands that read and write blocks (SBC-3).
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

std::span<const Opcode> block_commands();

}  // namespace ashlar::scsi
