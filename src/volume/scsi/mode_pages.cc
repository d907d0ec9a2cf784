#include "volume/scsi/mode_pages.h"

namespace ashlar::scsi {

std::span<const Opcode> mode_commands() {
  return {};
}

}  // namespace ashlar::scsi
