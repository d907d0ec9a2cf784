// EXTENDED COPY and RECEIVE COPY RESULTS (SPC-4, 6.4 and 6.24).
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

// What RECEIVE COPY RESULTS tells of copies that are over.
class CopyResults {};

std::span<const Opcode> extended_copy_commands();

}  // namespace ashlar::scsi
