#include "volume/scsi/unit_memory.h"

#include <utility>
#include <vector>

#include "common/log/log.h"

namespace ashlar::scsi {

UnitMemory::UnitMemory(volume::Volume& volume, UnitStart start) : volume_(volume) {
  Result<UnitState> state = UnitState::decode(volume.reservations());
  if (!state.ok()) {
    fault_ = state.error();
    ASHLAR_LOG_ERROR(LogFields{}.volume(volume.uuid().to_string()),
                     "the unit is not served, its state cannot be read: {}", *fault_);
    return;
  }
  state_ = std::move(*state);
  if (start == UnitStart::kPowerOn) state_.reservations.power_on();
}

Task<Result<>> UnitMemory::store(UnitState next) {
  const std::vector<std::byte> bytes = next.encode();
  ASHLAR_CO_TRY(co_await volume_.set_reservations(bytes));
  state_ = std::move(next);
  co_return {};
}

}  // namespace ashlar::scsi
