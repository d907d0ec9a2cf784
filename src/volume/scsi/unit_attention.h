// Unit attentions (SAM-5, 5.14): what an initiator has to hear before its next command runs. Each
// kind waits at most once for each I_T nexus and unit; they are told in the order below, which is
// SAM's precedence: resets first.
#pragma once

#include <cstdint>
#include <optional>

#include "volume/scsi/sense.h"

namespace ashlar::scsi {

enum class UnitAttention : std::uint8_t {
  kPowerOn,
  kReset,
  kNexusLoss,
  kCommandsCleared,
  kMediumMayHaveChanged,
  kReportedLunsChanged,
  kInquiryDataChanged,
  kAsymmetricAccessChanged,
  kCapacityChanged,
  kReservationsPreempted,
  kReservationsReleased,
  kRegistrationsPreempted,
  kModeParametersChanged,
  kLogParametersChanged,
  kThinProvisioningThreshold,
};

Asc asc_of(UnitAttention attention);

// Those that wait for one nexus at one unit.
class UnitAttentions {
 public:
  bool any() const { return pending_ != 0; }
  bool has(UnitAttention attention) const { return (pending_ & bit(attention)) != 0; }
  // A power on or a reset takes the place of all that was before it.
  void add(UnitAttention attention);
  void remove(UnitAttention attention) { pending_ &= ~bit(attention); }
  std::optional<UnitAttention> first() const;
  std::optional<UnitAttention> take_first();

 private:
  static std::uint32_t bit(UnitAttention attention) {
    return std::uint32_t{1} << static_cast<unsigned>(attention);
  }

  std::uint32_t pending_ = 0;
};

}  // namespace ashlar::scsi
