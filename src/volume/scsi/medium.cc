#include "volume/scsi/medium.h"

#include "volume/scsi/sense_codes.h"

namespace ashlar::scsi {

std::optional<Sense> Medium::refusal() const {
  if (!is_loaded_) return Sense{.key = SenseKey::kNotReady, .asc = asc::kMediumNotPresent};
  return std::nullopt;
}

}  // namespace ashlar::scsi
