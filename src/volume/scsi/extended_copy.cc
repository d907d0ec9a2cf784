#include "volume/scsi/extended_copy.h"

namespace ashlar::scsi {

std::span<const Opcode> extended_copy_commands() {
  return {};
}

}  // namespace ashlar::scsi
