#include "volume/scsi/logical_unit.h"

#include "volume/scsi/device.h"
#include "volume/scsi/nexus.h"
#include "volume/scsi/opcodes.h"
#include "volume/scsi/response.h"

namespace ashlar::scsi {

LogicalUnit::LogicalUnit(Device& device, std::uint16_t lun, volume::Volume& volume, UnitStart start)
    : device_(device),
      lun_(lun),
      volume_(volume),
      memory_(volume, start),
      mode_pages_(*this),
      reservations_(*this),
      sanitize_(*this) {
  volume_.add_observer(*this);
}

std::optional<Response> LogicalUnit::refuse(Nexus& nexus, const Command& command, const Opcode* row,
                                            bool knows_code) {
  if (mode_pages_.has_threshold() && mode_pages_.crosses_threshold(volume_.known_space())) {
    raise(UnitAttention::kThinProvisioningThreshold);
  }
  UnitAttentions& attentions = nexus.attentions(lun_);
  if (attentions.any() && (row == nullptr || !row->has(kPassesUnitAttention))) {
    return check_condition(SenseKey::kUnitAttention, asc_of(*attentions.take_first()));
  }
  if (row == nullptr) {
    return knows_code ? invalid_cdb(1, 4) : illegal_request(asc::kInvalidOpcode);
  }
  if (!row->has(kDuringSanitize)) {
    if (memory_.fault()) {
      return check_condition(SenseKey::kNotReady, asc::kManualInterventionRequired);
    }
    if (const std::optional<Sense> sense = sanitize_.refusal()) return check_condition(*sense);
  }
  if (reservations_.conflicts(nexus, *row, command.cdb)) {
    return status_only(Status::kReservationConflict);
  }
  if (access_state() > AccessState::kActiveNonOptimized && !row->has(kInStandby)) {
    return check_condition(SenseKey::kNotReady, asc::kTargetPortInStandby);
  }
  if (const std::optional<ForeignBit> foreign = find_foreign_bit(*row, command.cdb)) {
    return invalid_cdb(foreign->byte, foreign->bit);
  }
  if (row->has(kNeedsMedium)) {
    // The gate; what reads or writes the volume asks it again, at that moment.
    const Result<> served = volume_.may_serve();
    if (!served.ok()) {
      return response_to(served.error(), row->has(kWrites) ? Doing::kWriting : Doing::kReading);
    }
    if (const std::optional<Sense> sense = medium_.refusal()) return check_condition(*sense);
  }
  if (row->has(kWrites)) {
    if (settings().read_only) {
      return check_condition(SenseKey::kDataProtect, asc::kWriteProtected);
    }
    if (mode_pages_.is_software_write_protected()) {
      return check_condition(SenseKey::kDataProtect, asc::kSoftwareWriteProtected);
    }
  }
  return std::nullopt;
}

Task<Result<>> LogicalUnit::wait_until_unused() {
  while (uses_ != 0) ASHLAR_CO_TRY(co_await unused_.wait());
  co_return {};
}

void LogicalUnit::raise(UnitAttention attention, const Nexus* except) {
  device_.raise(lun_, attention, except);
}

void LogicalUnit::raise_to(const NexusName& name, UnitAttention attention) {
  device_.raise_to(name, lun_, attention);
}

void LogicalUnit::reset() {
  medium_.reset();
  mode_pages_.reset();
  reservations_.reset();
  raise(UnitAttention::kReset);
}

void LogicalUnit::on_nexus_loss(const Nexus& nexus) {
  medium_.on_nexus_loss(nexus.name());
  reservations_.on_nexus_loss(nexus);
  copy_results_.on_nexus_loss(nexus.name());
}

void LogicalUnit::on_resized() {
  raise(UnitAttention::kCapacityChanged);
}

void LogicalUnit::on_settings_changed() {
  // Write protection and the write cache stand in mode pages.
  raise(UnitAttention::kModeParametersChanged);
}

}  // namespace ashlar::scsi
