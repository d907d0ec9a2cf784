#include "volume/scsi/block_commands.h"

namespace ashlar::scsi {

std::span<const Opcode> block_commands() {
  return {};
}

}  // namespace ashlar::scsi
