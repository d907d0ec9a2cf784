// REPORT TARGET PORT GROUPS and REPORT TIMESTAMP.
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

std::span<const Opcode> target_port_commands();

}  // namespace ashlar::scsi
