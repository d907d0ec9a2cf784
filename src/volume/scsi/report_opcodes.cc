#include "volume/scsi/report_opcodes.h"

namespace ashlar::scsi {

std::span<const Opcode> report_opcodes_commands() {
  return {};
}

}  // namespace ashlar::scsi
