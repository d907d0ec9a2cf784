#include "volume/scsi/reservation_state.h"

#include <algorithm>
#include <utility>

namespace ashlar::scsi {

namespace {

constexpr unsigned kScopeUnit = 0;

ReserveOutcome refused(ReserveOutcome::Verdict verdict) {
  return {.verdict = verdict, .attentions = {}, .aborted = {}};
}

}  // namespace

std::optional<ReservationType> reservation_type(unsigned code) {
  switch (code) {
    case 1:
    case 3:
    case 5:
    case 6:
    case 7:
    case 8:
      return static_cast<ReservationType>(code);
    default:
      return std::nullopt;
  }
}

bool is_all_registrants(ReservationType type) {
  return type == ReservationType::kWriteExclusiveAllRegistrants ||
         type == ReservationType::kExclusiveAccessAllRegistrants;
}

bool is_registrants_only(ReservationType type) {
  return type == ReservationType::kWriteExclusiveRegistrantsOnly ||
         type == ReservationType::kExclusiveAccessRegistrantsOnly;
}

bool is_exclusive_access(ReservationType type) {
  return type == ReservationType::kExclusiveAccess ||
         type == ReservationType::kExclusiveAccessRegistrantsOnly ||
         type == ReservationType::kExclusiveAccessAllRegistrants;
}

std::optional<std::size_t> PersistentReservations::find(const NexusView& nexus) const {
  for (std::size_t i = 0; i < registrations_.size(); ++i) {
    if (registrations_[i].covers(nexus)) return i;
  }
  return std::nullopt;
}

bool PersistentReservations::is_holder(std::size_t registration) const {
  return reservation_ &&
         (is_all_registrants(reservation_->type) || reservation_->holder == registration);
}

bool PersistentReservations::is_holder(const NexusView& nexus) const {
  const std::optional<std::size_t> registration = find(nexus);
  return registration && is_holder(*registration);
}

std::uint64_t PersistentReservations::reservation_key() const {
  if (!reservation_ || is_all_registrants(reservation_->type)) return 0;
  return registrations_[reservation_->holder].key;
}

bool PersistentReservations::conflicts(const NexusView& nexus, Access access) const {
  if (!reservation_ || access == Access::kNone) return false;
  const std::optional<std::size_t> registration = find(nexus);
  if (registration) {
    if (is_holder(*registration) || is_registrants_only(reservation_->type)) return false;
  }
  return access == Access::kWrite || is_exclusive_access(reservation_->type);
}

ReserveOutcome PersistentReservations::apply(const ReserveRequest& request,
                                             const NexusPorts& issuer) {
  const std::optional<std::size_t> registration = find(view_of(issuer));
  const bool registers = request.action == ReserveAction::kRegister ||
                         request.action == ReserveAction::kRegisterAndIgnore;
  if (!registers && (!registration || registrations_[*registration].key != request.key)) {
    return refused(Verdict::kConflict);
  }
  ReserveOutcome outcome;
  switch (request.action) {
    case ReserveAction::kRegister:
    case ReserveAction::kRegisterAndIgnore:
      outcome = apply_register(request, issuer);
      break;
    case ReserveAction::kReserve:
      return apply_reserve(request, *registration);
    case ReserveAction::kRelease:
      return apply_release(request, *registration);
    case ReserveAction::kClear:
      outcome = apply_clear(*registration);
      break;
    case ReserveAction::kPreempt:
    case ReserveAction::kPreemptAndAbort:
      outcome = apply_preempt(request, *registration);
      break;
    case ReserveAction::kRegisterAndMove:
      outcome = apply_move(request, issuer, *registration);
      break;
  }
  if (!outcome.done()) return outcome;
  ++generation_;
  if (registers || request.action == ReserveAction::kRegisterAndMove) {
    survives_power_loss_ = request.survives_power_loss;
  }
  return outcome;
}

ReserveOutcome PersistentReservations::apply_register(const ReserveRequest& request,
                                                      const NexusPorts& issuer) {
  const std::optional<std::size_t> registration = find(view_of(issuer));
  if (request.action == ReserveAction::kRegister) {
    const std::uint64_t expected = registration ? registrations_[*registration].key : 0;
    if (request.key != expected) return refused(Verdict::kConflict);
  }
  // Only a first registration may speak for others, and only by REGISTER.
  if (request.names_initiators &&
      (registration || request.action == ReserveAction::kRegisterAndIgnore)) {
    return refused(Verdict::kInvalidFlags);
  }
  if (request.service_key == 0) {
    return registration ? unregister(*registration) : ReserveOutcome{};
  }
  if (!registration) return refused(add(request, issuer));
  registrations_[*registration].key = request.service_key;
  if (request.all_ports) absorb(*registration);
  return {};
}

ReserveOutcome::Verdict PersistentReservations::add(const ReserveRequest& request,
                                                    const NexusPorts& issuer) {
  std::vector<InitiatorPort> initiators{issuer.initiator};
  for (const InitiatorPort& initiator : request.initiators) {
    if (std::ranges::find(initiators, initiator) != initiators.end() ||
        find({initiator.name, initiator.isid, issuer.relative_port})) {
      return Verdict::kInvalidInitiators;
    }
    initiators.push_back(initiator);
  }
  if (registrations_.size() + initiators.size() > kMostRegistrations) {
    return Verdict::kNoRegistrationRoom;
  }
  for (InitiatorPort& initiator : initiators) {
    registrations_.push_back({.initiator = std::move(initiator),
                              .relative_port = issuer.relative_port,
                              .all_ports = false,
                              .key = request.service_key});
    if (request.all_ports) absorb(registrations_.size() - 1);
  }
  return Verdict::kDone;
}

// From now on through all ports: what the initiator had through others of them becomes this one.
void PersistentReservations::absorb(std::size_t registration) {
  registrations_[registration].all_ports = true;
  for (std::size_t i = registrations_.size(); i-- > 0;) {
    if (i == registration || registrations_[i].initiator != registrations_[registration].initiator)
      continue;
    const bool was_holder =
        reservation_ && !is_all_registrants(reservation_->type) && reservation_->holder == i;
    remove(i);
    if (i < registration) --registration;
    if (was_holder) reservation_->holder = registration;
  }
}

// Takes the registration away and nothing else: a reservation of its holder is the caller's matter.
void PersistentReservations::remove(std::size_t registration) {
  registrations_.erase(registrations_.begin() + static_cast<std::ptrdiff_t>(registration));
  if (reservation_ && !is_all_registrants(reservation_->type) &&
      reservation_->holder > registration) {
    --reservation_->holder;
  }
}

void PersistentReservations::tell_others(ReserveOutcome& outcome, std::size_t except,
                                         UnitAttention what) const {
  for (std::size_t i = 0; i < registrations_.size(); ++i) {
    if (i != except) outcome.attentions.push_back({registrations_[i], what});
  }
}

ReserveOutcome PersistentReservations::unregister(std::size_t registration) {
  ReserveOutcome outcome;
  if (reservation_) {
    const bool is_last = registrations_.size() == 1;
    const bool releases =
        is_all_registrants(reservation_->type) ? is_last : reservation_->holder == registration;
    if (releases) {
      if (is_registrants_only(reservation_->type)) {
        tell_others(outcome, registration, UnitAttention::kReservationsReleased);
      }
      reservation_.reset();
    }
  }
  remove(registration);
  return outcome;
}

ReserveOutcome PersistentReservations::apply_reserve(const ReserveRequest& request,
                                                     std::size_t issuer) {
  if (request.scope != kScopeUnit) return refused(Verdict::kInvalidScope);
  const std::optional<ReservationType> type = reservation_type(request.type);
  if (!type) return refused(Verdict::kInvalidType);
  if (reservation_) {
    const bool is_same = is_holder(issuer) && reservation_->type == *type;
    return refused(is_same ? Verdict::kDone : Verdict::kConflict);
  }
  reservation_ = Reservation{*type, is_all_registrants(*type) ? 0 : issuer};
  return {};
}

ReserveOutcome PersistentReservations::apply_release(const ReserveRequest& request,
                                                     std::size_t issuer) {
  ReserveOutcome outcome;
  if (!reservation_ || !is_holder(issuer)) return outcome;
  if (request.scope != kScopeUnit || reservation_type(request.type) != reservation_->type) {
    return refused(Verdict::kInvalidRelease);
  }
  if (is_registrants_only(reservation_->type) || is_all_registrants(reservation_->type)) {
    tell_others(outcome, issuer, UnitAttention::kReservationsReleased);
  }
  reservation_.reset();
  return outcome;
}

ReserveOutcome PersistentReservations::apply_clear(std::size_t issuer) {
  ReserveOutcome outcome;
  tell_others(outcome, issuer, UnitAttention::kReservationsPreempted);
  registrations_.clear();
  reservation_.reset();
  return outcome;
}

// SPC-4, 5.13.11.4: takes the reservation when the key is its holder's (or zero for all
// registrants), else only removes registrations.
ReserveOutcome PersistentReservations::apply_preempt(const ReserveRequest& request,
                                                     std::size_t issuer) {
  const bool all = reservation_ && is_all_registrants(reservation_->type);
  const bool takes_over =
      reservation_ && (all ? request.service_key == 0 : request.service_key == reservation_key());
  if (!takes_over && request.service_key == 0) return refused(Verdict::kInvalidServiceKey);
  std::optional<ReservationType> type;
  if (takes_over) {
    if (request.scope != kScopeUnit) return refused(Verdict::kInvalidScope);
    type = reservation_type(request.type);
    if (!type) return refused(Verdict::kInvalidType);
  }
  std::vector<bool> goes(registrations_.size());
  for (std::size_t i = 0; i < registrations_.size(); ++i) {
    const bool matches = (takes_over && all) || registrations_[i].key == request.service_key;
    // Who takes the reservation over stays registered.
    goes[i] = matches && !(takes_over && i == issuer);
  }
  const bool any_goes = std::ranges::find(goes, true) != goes.end();
  if (!any_goes && !takes_over) return refused(Verdict::kConflict);

  ReserveOutcome outcome;
  const bool changes_type = takes_over && reservation_->type != *type;
  for (std::size_t i = 0; i < registrations_.size(); ++i) {
    if (i == issuer) continue;
    if (goes[i]) {
      outcome.attentions.push_back({registrations_[i], UnitAttention::kRegistrationsPreempted});
    } else if (changes_type) {
      outcome.attentions.push_back({registrations_[i], UnitAttention::kReservationsReleased});
    }
  }
  if (request.action == ReserveAction::kPreemptAndAbort) {
    for (std::size_t i = 0; i < registrations_.size(); ++i) {
      if (goes[i] || (takes_over && !all && reservation_->holder == i)) {
        outcome.aborted.push_back(registrations_[i]);
      }
    }
  }
  if (takes_over) reservation_ = Reservation{*type, is_all_registrants(*type) ? 0 : issuer};
  for (std::size_t i = registrations_.size(); i-- > 0;) {
    if (goes[i]) remove(i);
  }
  if (registrations_.empty()) reservation_.reset();
  return outcome;
}

ReserveOutcome PersistentReservations::apply_move(const ReserveRequest& request,
                                                  const NexusPorts& issuer,
                                                  std::size_t registration) {
  if (!reservation_ || is_all_registrants(reservation_->type) ||
      reservation_->holder != registration) {
    return refused(Verdict::kConflict);
  }
  if (request.service_key == 0) return refused(Verdict::kInvalidServiceKey);
  if (request.destination == issuer ||
      registrations_[registration].covers(view_of(request.destination))) {
    return refused(Verdict::kInvalidInitiators);
  }
  std::optional<std::size_t> to = find(view_of(request.destination));
  if (!to) {
    if (registrations_.size() - (request.unregisters ? 1 : 0) >= kMostRegistrations) {
      return refused(Verdict::kNoRegistrationRoom);
    }
    to = registrations_.size();
    registrations_.push_back({.initiator = request.destination.initiator,
                              .relative_port = request.destination.relative_port,
                              .all_ports = false,
                              .key = 0});
  }
  registrations_[*to].key = request.service_key;
  reservation_->holder = *to;
  if (request.unregisters) remove(registration);
  return {};
}

void PersistentReservations::power_on() {
  generation_ = 0;
  if (survives_power_loss_) return;
  registrations_.clear();
  reservation_.reset();
}

void PersistentReservations::encode(ParameterData& into) const {
  into.be32(generation_);
  into.u8(survives_power_loss_ ? 1 : 0);
  into.u8(reservation_ ? static_cast<unsigned>(reservation_->type) : 0);
  into.be16(reservation_ ? reservation_->holder : 0);
  into.be16(registrations_.size());
  for (const Registration& registration : registrations_) {
    into.be64(registration.key);
    into.be16(registration.relative_port);
    into.u8(registration.all_ports ? 1 : 0);
    into.be64(registration.initiator.isid);
    into.u8(static_cast<unsigned>(registration.initiator.name.size()));
    into.text(registration.initiator.name);
  }
}

Result<PersistentReservations> PersistentReservations::decode(ByteReader& reader) {
  PersistentReservations state;
  state.generation_ = reader.u32_be();
  const unsigned flags = reader.u8();
  const unsigned type = reader.u8();
  const std::uint16_t holder = reader.u16_be();
  const std::uint16_t count = reader.u16_be();
  state.survives_power_loss_ = flags == 1;
  if (reader.failed() || flags > 1 || count > kMostRegistrations) {
    return Error::data_loss("the reservations of a volume are damaged: header");
  }
  for (std::size_t i = 0; i < count; ++i) {
    Registration registration;
    registration.key = reader.u64_be();
    registration.relative_port = reader.u16_be();
    const unsigned all_ports = reader.u8();
    registration.all_ports = all_ports == 1;
    registration.initiator.isid = reader.u64_be();
    const unsigned name_size = reader.u8();
    registration.initiator.name = text_of(reader.bytes(name_size));
    if (reader.failed() || registration.key == 0 || all_ports > 1 || name_size == 0 ||
        name_size > InitiatorPort::kLongestName || registration.initiator.isid >> 48 != 0) {
      return Error::data_loss("the reservations of a volume are damaged: registration {}", i);
    }
    state.registrations_.push_back(std::move(registration));
  }
  if (type != 0) {
    const std::optional<ReservationType> known = reservation_type(type);
    if (!known || holder >= count) {
      return Error::data_loss("the reservations of a volume are damaged: type {}, holder {} of {}",
                              type, holder, count);
    }
    state.reservation_ = Reservation{*known, holder};
  }
  return state;
}

}  // namespace ashlar::scsi
