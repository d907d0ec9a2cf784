#include "volume/scsi/unit_attention.h"

#include <bit>

#include "common/base/check.h"
#include "volume/scsi/sense_codes.h"

namespace ashlar::scsi {

Asc asc_of(UnitAttention attention) {
  switch (attention) {
    case UnitAttention::kPowerOn:
      return asc::kPowerOnOrReset;
    case UnitAttention::kReset:
      return asc::kBusDeviceReset;
    case UnitAttention::kNexusLoss:
      return asc::kNexusLoss;
    case UnitAttention::kCommandsCleared:
      return asc::kCommandsCleared;
    case UnitAttention::kMediumMayHaveChanged:
      return asc::kMediumMayHaveChanged;
    case UnitAttention::kReportedLunsChanged:
      return asc::kReportedLunsChanged;
    case UnitAttention::kInquiryDataChanged:
      return asc::kInquiryDataChanged;
    case UnitAttention::kAsymmetricAccessChanged:
      return asc::kAsymmetricAccessChanged;
    case UnitAttention::kCapacityChanged:
      return asc::kCapacityChanged;
    case UnitAttention::kReservationsPreempted:
      return asc::kReservationsPreempted;
    case UnitAttention::kReservationsReleased:
      return asc::kReservationsReleased;
    case UnitAttention::kRegistrationsPreempted:
      return asc::kRegistrationsPreempted;
    case UnitAttention::kModeParametersChanged:
      return asc::kModeParametersChanged;
    case UnitAttention::kLogParametersChanged:
      return asc::kLogParametersChanged;
    case UnitAttention::kThinProvisioningThreshold:
      return asc::kThinProvisioningThreshold;
  }
  ASHLAR_UNREACHABLE("unit attention {}", static_cast<unsigned>(attention));
}

void UnitAttentions::add(UnitAttention attention) {
  if (attention == UnitAttention::kPowerOn || attention == UnitAttention::kReset) {
    // A power on that nobody has heard of yet says more than the reset after it.
    if (has(UnitAttention::kPowerOn)) attention = UnitAttention::kPowerOn;
    pending_ = 0;
  }
  pending_ |= bit(attention);
}

std::optional<UnitAttention> UnitAttentions::first() const {
  if (pending_ == 0) return std::nullopt;
  return static_cast<UnitAttention>(std::countr_zero(pending_));
}

std::optional<UnitAttention> UnitAttentions::take_first() {
  const std::optional<UnitAttention> taken = first();
  if (taken) remove(*taken);
  return taken;
}

}  // namespace ashlar::scsi
