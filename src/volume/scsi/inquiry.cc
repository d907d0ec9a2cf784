#include "volume/scsi/inquiry.h"

namespace ashlar::scsi {

std::span<const Opcode> inquiry_commands() {
  return {};
}

}  // namespace ashlar::scsi
