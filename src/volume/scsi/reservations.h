// Reservations of a unit: persistent ones (SPC-4, 5.13), whose state is in reservation_state.h and
// in the UnitMemory, and RESERVE/RELEASE of SPC-2, which hold until a reset or the nexus's end.
//
// The two exclude each other: while somebody is registered, RESERVE and RELEASE conflict, but from
// a holder they do nothing and succeed (CRH); while somebody has done a RESERVE, persistent
// reservations conflict.
#pragma once

#include <optional>
#include <span>

#include "volume/scsi/device.h"
#include "volume/scsi/opcodes.h"
#include "volume/scsi/reservation_state.h"

namespace ashlar::scsi {

class LogicalUnit;
class Nexus;

NexusView view_of(const NexusName& name);

class Reservations {
 public:
  explicit Reservations(LogicalUnit& unit) : unit_(unit) {}

  // Whether a command of `nexus` meets a reservation of another that does not allow it. Asked for
  // every command.
  bool conflicts(const Nexus& nexus, const Opcode& row, ByteSpan cdb) const;
  // The same for one unit's command that works on another (EXTENDED COPY).
  bool conflicts(const Nexus& nexus, Access access) const;

  const PersistentReservations& persistent() const;
  // Who has done RESERVE.
  const std::optional<NexusName>& reserved_by() const { return reserved_by_; }
  void reserve(const NexusName& name) { reserved_by_ = name; }
  void release(const NexusName& name) {
    if (reserved_by_ == name) reserved_by_.reset();
  }

  // Logical unit reset: persistent reservations stay.
  void reset() { reserved_by_.reset(); }
  void on_nexus_loss(const Nexus& nexus);

 private:
  LogicalUnit& unit_;
  std::optional<NexusName> reserved_by_;
};

std::span<const Opcode> reservation_commands();

}  // namespace ashlar::scsi
