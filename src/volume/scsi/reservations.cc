#include "volume/scsi/reservations.h"

namespace ashlar::scsi {

std::span<const Opcode> reservation_commands() {
  return {};
}

}  // namespace ashlar::scsi
