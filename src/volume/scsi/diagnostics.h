// SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS: the default self-test, and the one page that
// every device has.
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

std::span<const Opcode> diagnostic_commands();

}  // namespace ashlar::scsi
