#include "volume/scsi/report_target_ports.h"

namespace ashlar::scsi {

std::span<const Opcode> target_port_commands() {
  return {};
}

}  // namespace ashlar::scsi
