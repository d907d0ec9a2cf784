// PersistentReservations: who has registered with a logical unit and who has reserved it (SPC-4,
// 5.13). A value: a command is applied to a copy, the copy is made durable, then it takes the
// original's place. Nothing here waits, answers or aborts; apply() says what is to be done.
//
//   registration   key of an initiator port, through one target port or through all of them. It is
//                  the initiator's name that counts, not its session: sessions come and go.
//   reservation    one for the whole unit (scope LU_SCOPE is the only one), of one type. It has one
//                  holder; of an all-registrants type every registrant is one. It goes when its
//                  last holder's registration goes.
//   generation     counts what changed registrations, for those who read keys twice
//
// Survival: the state rides in the log whatever APTPL says, so that another server can take over
// with it (issue 5: a failover is no power loss). At power on, which for us is the start of the
// server's process, everything goes unless APTPL was set by the last registering command.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "volume/scsi/opcodes.h"
#include "volume/scsi/parameter_data.h"
#include "volume/scsi/transport_id.h"
#include "volume/scsi/unit_attention.h"

namespace ashlar::scsi {

// An initiator port at a target port.
struct NexusPorts {
  InitiatorPort initiator;
  std::uint16_t relative_port = 1;

  friend auto operator<=>(const NexusPorts&, const NexusPorts&) = default;
};

// The same for who only looks: every command asks, and copies no names.
struct NexusView {
  std::string_view initiator;
  std::uint64_t isid = 0;
  std::uint16_t relative_port = 1;
};
inline NexusView view_of(const NexusPorts& nexus) {
  return {nexus.initiator.name, nexus.initiator.isid, nexus.relative_port};
}

// SPC-4, table 191.
enum class ReservationType : std::uint8_t {
  kWriteExclusive = 1,
  kExclusiveAccess = 3,
  kWriteExclusiveRegistrantsOnly = 5,
  kExclusiveAccessRegistrantsOnly = 6,
  kWriteExclusiveAllRegistrants = 7,
  kExclusiveAccessAllRegistrants = 8,
};
std::optional<ReservationType> reservation_type(unsigned code);
bool is_all_registrants(ReservationType type);
bool is_registrants_only(ReservationType type);
bool is_exclusive_access(ReservationType type);

struct Registration {
  InitiatorPort initiator;
  std::uint16_t relative_port = 1;
  bool all_ports = false;  // ALL_TG_PT: through every target port, of every server
  std::uint64_t key = 0;

  bool covers(const NexusView& nexus) const {
    return initiator.isid == nexus.isid && (all_ports || relative_port == nexus.relative_port) &&
           initiator.name == nexus.initiator;
  }
  friend bool operator==(const Registration&, const Registration&) = default;
};

// SPC-4, table 208.
enum class ReserveAction : std::uint8_t {
  kRegister = 0,
  kReserve = 1,
  kRelease = 2,
  kClear = 3,
  kPreempt = 4,
  kPreemptAndAbort = 5,
  kRegisterAndIgnore = 6,
  kRegisterAndMove = 7,
};

// PERSISTENT RESERVE OUT, parsed.
struct ReserveRequest {
  ReserveAction action = ReserveAction::kRegister;
  unsigned scope = 0;
  unsigned type = 0;
  std::uint64_t key = 0;          // RESERVATION KEY
  std::uint64_t service_key = 0;  // SERVICE ACTION RESERVATION KEY
  bool survives_power_loss = false;
  bool all_ports = false;
  bool names_initiators = false;  // SPEC_I_PT
  std::vector<InitiatorPort> initiators;
  // REGISTER AND MOVE only.
  bool unregisters = false;
  NexusPorts destination;
};

struct ReserveOutcome {
  enum class Verdict : std::uint8_t {
    kDone,
    kConflict,            // RESERVATION CONFLICT
    kInvalidScope,        // of the CDB
    kInvalidType,         // of the CDB
    kInvalidServiceKey,   // of the parameter list
    kInvalidFlags,        // SPEC_I_PT, where it may not be
    kInvalidInitiators,   // a TransportID that may not be there
    kInvalidRelease,      // INVALID RELEASE OF PERSISTENT RESERVATION
    kNoRegistrationRoom,  // INSUFFICIENT REGISTRATION RESOURCES
  };
  struct Attention {
    Registration who;
    UnitAttention what;
  };

  Verdict verdict = Verdict::kDone;
  std::vector<Attention> attentions;
  // PREEMPT AND ABORT: whose commands are to be aborted, the issuer's own excepted.
  std::vector<Registration> aborted;

  bool done() const { return verdict == Verdict::kDone; }
};

class PersistentReservations {
 public:
  // The state has to fit into one record of the log.
  static constexpr std::size_t kMostRegistrations = 110;

  struct Reservation {
    ReservationType type = ReservationType::kWriteExclusive;
    std::size_t holder = 0;  // among the registrations; 0 for all registrants

    friend bool operator==(const Reservation&, const Reservation&) = default;
  };

  // What is not done leaves the state as it was.
  ReserveOutcome apply(const ReserveRequest& request, const NexusPorts& issuer);

  // Whether a command of this kind conflicts (SPC-4, tables 67 and 68; SBC-3, table 14).
  bool conflicts(const NexusView& nexus, Access access) const;

  bool is_registered(const NexusView& nexus) const { return find(nexus).has_value(); }
  bool is_holder(const NexusView& nexus) const;
  bool is_holder(std::size_t registration) const;
  const std::vector<Registration>& registrations() const { return registrations_; }
  const std::optional<Reservation>& reservation() const { return reservation_; }
  // Of the holder; zero for all registrants (SPC-4, 6.15.3.2).
  std::uint64_t reservation_key() const;
  std::uint32_t generation() const { return generation_; }
  bool survives_power_loss() const { return survives_power_loss_; }
  bool has_registrations() const { return !registrations_.empty(); }

  void power_on();

  void encode(ParameterData& into) const;
  static Result<PersistentReservations> decode(ByteReader& reader);

  friend bool operator==(const PersistentReservations&, const PersistentReservations&) = default;

 private:
  using Verdict = ReserveOutcome::Verdict;

  std::optional<std::size_t> find(const NexusView& nexus) const;
  ReserveOutcome apply_register(const ReserveRequest& request, const NexusPorts& issuer);
  ReserveOutcome apply_reserve(const ReserveRequest& request, std::size_t issuer);
  ReserveOutcome apply_release(const ReserveRequest& request, std::size_t issuer);
  ReserveOutcome apply_clear(std::size_t issuer);
  ReserveOutcome apply_preempt(const ReserveRequest& request, std::size_t issuer);
  ReserveOutcome apply_move(const ReserveRequest& request, const NexusPorts& issuer,
                            std::size_t registration);
  ReserveOutcome unregister(std::size_t registration);
  Verdict add(const ReserveRequest& request, const NexusPorts& issuer);
  void absorb(std::size_t registration);
  void remove(std::size_t registration);
  void tell_others(ReserveOutcome& outcome, std::size_t except, UnitAttention what) const;

  std::vector<Registration> registrations_;
  std::optional<Reservation> reservation_;
  std::uint32_t generation_ = 0;
  bool survives_power_loss_ = false;
};

}  // namespace ashlar::scsi
