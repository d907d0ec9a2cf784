// Commands that read and write blocks (SBC-3), one function for each file of handlers.
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

// read_write.cc: READ, WRITE, WRITE AND VERIFY, WRITE ATOMIC, PRE-FETCH, SYNCHRONIZE CACHE.
std::span<const Opcode> read_write_commands();
// modify_commands.cc: COMPARE AND WRITE, ORWRITE.
std::span<const Opcode> modify_commands();
// verify.cc: VERIFY.
std::span<const Opcode> verify_commands();
// unmap.cc: UNMAP, WRITE SAME, FORMAT UNIT.
std::span<const Opcode> unmap_commands();
// capacity.cc: READ CAPACITY, GET LBA STATUS, READ DEFECT DATA.
std::span<const Opcode> capacity_commands();
// medium_commands.cc: START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL.
std::span<const Opcode> medium_commands();

}  // namespace ashlar::scsi
