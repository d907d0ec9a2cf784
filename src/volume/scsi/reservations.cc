#include "volume/scsi/reservations.h"

#include <algorithm>
#include <array>
#include <utility>

#include "volume/scsi/command_context.h"
#include "volume/scsi/logical_unit.h"
#include "volume/scsi/parameter_list.h"

namespace ashlar::scsi {

namespace {

constexpr std::uint8_t kServiceActionBits = 0x1f;

// --- PERSISTENT RESERVE IN -----------------------------------------------------------------------

// SPC-4, 6.15.2.
ParameterData read_keys(const PersistentReservations& state) {
  ParameterData data;
  data.be32(state.generation());
  const ParameterData::Length32 length = data.begin_length32();
  for (const Registration& registration : state.registrations()) data.be64(registration.key);
  data.end_length(length);
  return data;
}

// SPC-4, 6.15.3.
ParameterData read_reservation(const PersistentReservations& state) {
  ParameterData data;
  data.be32(state.generation());
  const ParameterData::Length32 length = data.begin_length32();
  if (state.reservation()) {
    data.be64(state.reservation_key());
    data.zeros(5);
    data.u8(static_cast<unsigned>(state.reservation()->type));
    data.zeros(2);
  }
  data.end_length(length);
  return data;
}

// SPC-4, 6.15.4.
ParameterData report_capabilities(const PersistentReservations& state) {
  constexpr unsigned kCapabilities = 0x1d;   // CRH, SIP_C, ATP_C, PTPL_C
  constexpr unsigned kTypesAreGiven = 0x80;  // TMV
  constexpr std::uint16_t kAllTypes = 0xea01;
  ParameterData data;
  data.be16(8);
  data.u8(kCapabilities);
  data.u8(kTypesAreGiven | (state.survives_power_loss() ? 0x01 : 0x00));
  data.be16(kAllTypes);
  data.zeros(2);
  return data;
}

// SPC-4, 6.15.5.
ParameterData read_full_status(const PersistentReservations& state) {
  ParameterData data;
  data.be32(state.generation());
  const ParameterData::Length32 length = data.begin_length32();
  for (std::size_t i = 0; i < state.registrations().size(); ++i) {
    const Registration& registration = state.registrations()[i];
    const bool is_holder = state.is_holder(i);
    data.be64(registration.key);
    data.zeros(4);
    data.u8((registration.all_ports ? 0x02 : 0x00) | (is_holder ? 0x01 : 0x00));
    data.u8(is_holder ? static_cast<unsigned>(state.reservation()->type) : 0);
    data.zeros(4);
    data.be16(registration.relative_port);
    const ParameterData::Length32 id_length = data.begin_length32();
    append_transport_id(data, registration.initiator);
    data.end_length(id_length);
  }
  data.end_length(length);
  return data;
}

Task<Response> reserve_in(CommandContext& context,
                          ParameterData (*report)(const PersistentReservations& state)) {
  const ParameterData data = report(context.unit().reservations().persistent());
  co_return data_in(context.device.pool(), data.span(), context.u16(7));
}

Task<Response> reserve_in_keys(CommandContext& context) {
  return reserve_in(context, &read_keys);
}
Task<Response> reserve_in_reservation(CommandContext& context) {
  return reserve_in(context, &read_reservation);
}
Task<Response> reserve_in_capabilities(CommandContext& context) {
  return reserve_in(context, &report_capabilities);
}
Task<Response> reserve_in_full_status(CommandContext& context) {
  return reserve_in(context, &read_full_status);
}

// --- PERSISTENT RESERVE OUT ----------------------------------------------------------------------

constexpr std::uint64_t kBasicList = 24;
constexpr std::uint64_t kLongestList =
    kBasicList + 4 +
    PersistentReservations::kMostRegistrations * InitiatorPort::kLongestTransportId;

bool has_bit(ByteSpan bytes, std::size_t byte, unsigned bit) {
  return (std::to_integer<unsigned>(bytes[byte]) >> bit & 1) != 0;
}

// SPC-4, 6.16.3 and its table of TransportIDs. Returns what is wrong.
std::optional<Response> parse_basic(ByteSpan list, ReserveRequest& request) {
  constexpr std::size_t kFlags = 20;
  const bool registers = request.action == ReserveAction::kRegister ||
                         request.action == ReserveAction::kRegisterAndIgnore;
  if (registers) {
    request.names_initiators = has_bit(list, kFlags, 3);
    request.all_ports = has_bit(list, kFlags, 2);
    request.survives_power_loss = has_bit(list, kFlags, 0);
  }
  if (!request.names_initiators || request.action == ReserveAction::kRegisterAndIgnore) {
    // Where initiators may not be named the state says so.
    if (!request.names_initiators && list.size() != kBasicList) {
      return illegal_request(asc::kParameterListLengthError);
    }
    return std::nullopt;
  }
  if (list.size() < kBasicList + 4 || load_be32(list, kBasicList) != list.size() - kBasicList - 4) {
    return illegal_request(asc::kParameterListLengthError);
  }
  for (std::size_t at = kBasicList + 4; at < list.size();) {
    std::optional<ParsedTransportId> id = parse_transport_id(list.subspan(at));
    if (!id) return invalid_parameter(at);
    request.initiators.push_back(std::move(id->port));
    at += id->size;
  }
  return std::nullopt;
}

// SPC-4, 6.16.4.
std::optional<Response> parse_move(ByteSpan list, ReserveRequest& request) {
  request.unregisters = has_bit(list, 17, 1);
  request.survives_power_loss = has_bit(list, 17, 0);
  if (load_be32(list, 20) != list.size() - kBasicList) {
    return illegal_request(asc::kParameterListLengthError);
  }
  std::optional<ParsedTransportId> id = parse_transport_id(list.subspan(kBasicList));
  if (!id || id->size != list.size() - kBasicList) return invalid_parameter(kBasicList);
  request.destination = {std::move(id->port), load_be16(list, 18)};
  return std::nullopt;
}

std::optional<Response> parse_list(ByteSpan list, ReserveRequest& request) {
  request.key = load_be64(list, 0);
  request.service_key = load_be64(list, 8);
  return request.action == ReserveAction::kRegisterAndMove ? parse_move(list, request)
                                                           : parse_basic(list, request);
}

std::optional<Response> refusal_of(const ReserveRequest& request, const ReserveOutcome& outcome) {
  using Verdict = ReserveOutcome::Verdict;
  const bool moves = request.action == ReserveAction::kRegisterAndMove;
  switch (outcome.verdict) {
    case Verdict::kDone:
      return std::nullopt;
    case Verdict::kConflict:
      return status_only(Status::kReservationConflict);
    case Verdict::kInvalidScope:
      return invalid_cdb(2, 7);
    case Verdict::kInvalidType:
      return invalid_cdb(2, 3);
    case Verdict::kInvalidServiceKey:
      return invalid_parameter(8);
    case Verdict::kInvalidFlags:
      return invalid_parameter(20, 3);
    case Verdict::kInvalidInitiators:
      return invalid_parameter(moves ? kBasicList : kBasicList + 4);
    case Verdict::kInvalidRelease:
      return illegal_request(asc::kInvalidRelease);
    case Verdict::kNoRegistrationRoom:
      return illegal_request(asc::kInsufficientRegistrationResources);
  }
  ASHLAR_UNREACHABLE("verdict {}", static_cast<unsigned>(outcome.verdict));
}

void tell(CommandContext& context, const ReserveOutcome& outcome) {
  if (outcome.attentions.empty()) return;
  for (const NexusName& name : context.device.nexuses()) {
    if (name == context.nexus.name()) continue;
    for (const ReserveOutcome::Attention& attention : outcome.attentions) {
      if (attention.who.covers(view_of(name))) context.unit().raise_to(name, attention.what);
    }
  }
}

Task<Response> apply(CommandContext& context, const ReserveRequest& request) {
  LogicalUnit& unit = context.unit();
  const NexusName& name = context.nexus.name();
  ReserveOutcome outcome;
  {
    const Result<Mutex::Guard> guard = co_await unit.memory().lock();
    if (!guard.ok()) co_return response_to(guard.error(), Doing::kWriting);
    // While it waited, somebody may have preempted it, or done a RESERVE.
    if (context.is_aborted()) co_return good();
    if (unit.reservations().reserved_by()) co_return status_only(Status::kReservationConflict);
    UnitState next = unit.memory().state();
    outcome = next.reservations.apply(request, {{name.initiator, name.isid}, name.relative_port});
    std::optional<Response> refused = refusal_of(request, outcome);
    if (refused) co_return std::move(*refused);
    const Result<> stored = co_await unit.memory().store(std::move(next));
    if (!stored.ok()) co_return response_to(stored.error(), Doing::kWriting);
    tell(context, outcome);
  }
  if (!outcome.aborted.empty()) {
    unit.tasks().abort_if(context.nexus, [&](const ScsiTask& task) {
      const NexusView nexus = view_of(task.nexus().name());
      return &task != context.task &&
             std::ranges::any_of(outcome.aborted,
                                 [&](const Registration& who) { return who.covers(nexus); });
    });
    // Whoever aborts this command waits for those that it waits for, so it need not.
    const Result<> over =
        co_await unit.tasks().wait_for_aborted().in_scope(&context.task->fetching);
    if (!over.ok()) co_return response_to(over.error(), Doing::kWriting);
  }
  co_return good();
}

// SPC-4, 6.16.
Task<Response> reserve_out(CommandContext& context) {
  const std::uint32_t length = context.u32(5);
  ReserveRequest request;
  request.action = static_cast<ReserveAction>(context.u8(1) & kServiceActionBits);
  request.scope = context.u8(2) >> 4;
  request.type = context.u8(2) & 0x0f;
  if (length < kBasicList || length > kLongestList) {
    co_return wanting(illegal_request(asc::kParameterListLengthError), length);
  }
  ParameterList list = co_await fetch_parameter_list(context, length);
  if (list.refused) co_return std::move(*list.refused);
  std::optional<Response> wrong = parse_list(list.bytes(), request);
  if (wrong) co_return wanting(std::move(*wrong), length);
  Response response = co_await apply(context, request);
  co_return wanting(std::move(response), length);
}

// --- RESERVE and RELEASE -------------------------------------------------------------------------

// What SPC-2's commands meet of persistent reservations (SPC-4, 5.13.3): nothing, success without
// effect, or a conflict.
std::optional<Response> met_by_spc2(const CommandContext& context) {
  const PersistentReservations& persistent = context.unit().reservations().persistent();
  if (!persistent.has_registrations()) return std::nullopt;
  const NexusView nexus = view_of(context.nexus.name());
  const bool is_party =
      persistent.is_holder(nexus) ||
      (persistent.reservation() && is_registrants_only(persistent.reservation()->type) &&
       persistent.is_registered(nexus));
  return is_party ? good() : status_only(Status::kReservationConflict);
}

Task<Response> reserve(CommandContext& context) {
  // Not while a persistent registration is on its way to the log.
  const Result<Mutex::Guard> guard = co_await context.unit().memory().lock();
  if (!guard.ok()) co_return response_to(guard.error(), Doing::kWriting);
  if (context.is_aborted()) co_return good();
  std::optional<Response> met = met_by_spc2(context);
  if (met) co_return std::move(*met);
  Reservations& reservations = context.unit().reservations();
  const NexusName& name = context.nexus.name();
  if (reservations.reserved_by() && *reservations.reserved_by() != name) {
    co_return status_only(Status::kReservationConflict);
  }
  reservations.reserve(name);
  co_return good();
}

Task<Response> release(CommandContext& context) {
  std::optional<Response> met = met_by_spc2(context);
  if (met) co_return std::move(*met);
  // From who does not hold it, it is no error.
  context.unit().reservations().release(context.nexus.name());
  co_return good();
}

// -------------------------------------------------------------------------------------------------

constexpr Opcode reserve_in_row(std::string_view name, std::uint8_t action, Handler handler) {
  return {.name = name,
          .code = 0x5e,
          .service_action = action,
          .length = 10,
          .usage = {0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
          .handler = handler,
          .traits = kInStandby};
}

// Scope and type are given with every service action, and ignored by some.
constexpr Opcode reserve_out_row(std::string_view name, ReserveAction action) {
  return {.name = name,
          .code = 0x5f,
          .service_action = static_cast<std::uint8_t>(action),
          .length = 10,
          .usage = {0, 0, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0},
          .handler = &reserve_out,
          .traits = 0};
}

constexpr std::array<Opcode, 16> kRows{{
    {.name = "RESERVE(6)", .code = 0x16, .length = 6, .handler = &reserve},
    {.name = "RELEASE(6)",
     .code = 0x17,
     .length = 6,
     .handler = &release,
     .traits = kPassesReserve6},
    {.name = "RESERVE(10)", .code = 0x56, .length = 10, .handler = &reserve},
    {.name = "RELEASE(10)",
     .code = 0x57,
     .length = 10,
     .handler = &release,
     .traits = kPassesReserve6},
    reserve_in_row("PERSISTENT RESERVE IN, READ KEYS", 0, &reserve_in_keys),
    reserve_in_row("PERSISTENT RESERVE IN, READ RESERVATION", 1, &reserve_in_reservation),
    reserve_in_row("PERSISTENT RESERVE IN, REPORT CAPABILITIES", 2, &reserve_in_capabilities),
    reserve_in_row("PERSISTENT RESERVE IN, READ FULL STATUS", 3, &reserve_in_full_status),
    reserve_out_row("PERSISTENT RESERVE OUT, REGISTER", ReserveAction::kRegister),
    reserve_out_row("PERSISTENT RESERVE OUT, RESERVE", ReserveAction::kReserve),
    reserve_out_row("PERSISTENT RESERVE OUT, RELEASE", ReserveAction::kRelease),
    reserve_out_row("PERSISTENT RESERVE OUT, CLEAR", ReserveAction::kClear),
    reserve_out_row("PERSISTENT RESERVE OUT, PREEMPT", ReserveAction::kPreempt),
    reserve_out_row("PERSISTENT RESERVE OUT, PREEMPT AND ABORT", ReserveAction::kPreemptAndAbort),
    reserve_out_row("PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY",
                    ReserveAction::kRegisterAndIgnore),
    reserve_out_row("PERSISTENT RESERVE OUT, REGISTER AND MOVE", ReserveAction::kRegisterAndMove),
}};

}  // namespace

NexusView view_of(const NexusName& name) {
  return {name.initiator, name.isid, name.relative_port};
}

const PersistentReservations& Reservations::persistent() const {
  return unit_.memory().state().reservations;
}

bool Reservations::conflicts(const Nexus& nexus, const Opcode& row, ByteSpan cdb) const {
  if (reserved_by_ && *reserved_by_ != nexus.name()) return !row.has(kPassesReserve6);
  if (!persistent().reservation()) return false;
  return persistent().conflicts(view_of(nexus.name()), row.access_of(cdb));
}

bool Reservations::conflicts(const Nexus& nexus, Access access) const {
  if (reserved_by_ && *reserved_by_ != nexus.name()) return true;
  return persistent().conflicts(view_of(nexus.name()), access);
}

void Reservations::on_nexus_loss(const Nexus& nexus) {
  release(nexus.name());
}

std::span<const Opcode> reservation_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
