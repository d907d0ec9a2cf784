// UnitState: what a unit remembers in its volume's log (Volume::set_reservations): persistent
// reservations, saved mode parameters, a sanitize operation. One value, written as a whole, so that
// whoever takes the volume over (another start of this server; in time another server) knows it all
// (L75).
//
// Layout, big-endian: version (1), flags of the saved mode parameters (1), threshold (4), then the
// reservations and the sanitize state in their own layouts (their encode()); nothing behind.
// docs/scsi.md.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/result.h"
#include "volume/scsi/mode_parameters.h"
#include "volume/scsi/reservation_state.h"
#include "volume/scsi/sanitize_state.h"

namespace ashlar::scsi {

struct UnitState {
  PersistentReservations reservations;
  ModeParameters saved_modes;
  SanitizeState sanitize;

  std::vector<std::byte> encode() const;
  // Nothing at all is a volume that never had a state.
  static Result<UnitState> decode(ByteSpan bytes);

  friend bool operator==(const UnitState&, const UnitState&) = default;
};

}  // namespace ashlar::scsi
