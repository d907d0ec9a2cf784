#include "volume/scsi/log_pages.h"

namespace ashlar::scsi {

std::span<const Opcode> log_commands() {
  return {};
}

}  // namespace ashlar::scsi
