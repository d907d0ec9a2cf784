#include "volume/scsi/medium.h"

#include "volume/scsi/sense_codes.h"

namespace ashlar::scsi {

std::optional<Sense> Medium::refusal() const {
  if (!is_loaded_) return Sense{.key = SenseKey::kNotReady, .asc = asc::kMediumNotPresent};
  if (is_stopped_) {
    return Sense{.key = SenseKey::kNotReady, .asc = asc::kInitializingCommandRequired};
  }
  return std::nullopt;
}

void Medium::reset() {
  is_stopped_ = false;
  preventing_.clear();
}

}  // namespace ashlar::scsi
