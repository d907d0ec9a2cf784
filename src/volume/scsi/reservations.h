// Reservations of a unit: persistent ones (SPC-4, 5.13) and RESERVE/RELEASE(6).
#pragma once

#include <span>

#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {

class LogicalUnit;
class Nexus;

class Reservations {
 public:
  explicit Reservations(LogicalUnit& unit) : unit_(unit) {}

  // Whether a command of `nexus` meets a reservation of another that does not allow it. Asked for
  // every command.
  bool conflicts(const Nexus& /*nexus*/, const Opcode& /*row*/, ByteSpan /*cdb*/) const {
    return false;
  }
  // Logical unit reset: persistent reservations stay.
  void reset() {}
  void on_nexus_loss(const Nexus& /*nexus*/) {}

 private:
  [[maybe_unused]] LogicalUnit& unit_;
};

std::span<const Opcode> reservation_commands();

}  // namespace ashlar::scsi
