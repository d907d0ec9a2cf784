#include "volume/scsi/reservation_state.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar::scsi {
namespace {

using Verdict = ReserveOutcome::Verdict;

constexpr std::array<unsigned, 6> kTypes{1, 3, 5, 6, 7, 8};

NexusPorts host(char name, std::uint16_t port = 1) {
  return {{std::string("iqn.") + name, 1}, port};
}

ReserveRequest request(ReserveAction action, std::uint64_t key, std::uint64_t service_key = 0,
                       unsigned type = 0) {
  return {.action = action, .type = type, .key = key, .service_key = service_key};
}

// "iqn.b:2a/05 …", the nexuses in the order of their registrations.
std::string told(const ReserveOutcome& outcome) {
  std::string all;
  for (const ReserveOutcome::Attention& attention : outcome.attentions) {
    const Asc asc = asc_of(attention.what);
    if (!all.empty()) all += ' ';
    all += fmt::format("{}:{:02x}/{:02x}", attention.who.initiator.name.substr(4), asc.code,
                       asc.qualifier);
  }
  return all;
}
std::string aborted(const ReserveOutcome& outcome) {
  std::string all;
  for (const Registration& who : outcome.aborted) all += who.initiator.name.substr(4);
  return all;
}
// Who is registered, with keys, the holder with a star, and the type.
std::string picture(const PersistentReservations& state) {
  std::string all;
  for (std::size_t i = 0; i < state.registrations().size(); ++i) {
    const Registration& registration = state.registrations()[i];
    all += fmt::format("{}{}{} ", registration.initiator.name.substr(4), registration.key,
                       state.is_holder(i) ? "*" : "");
  }
  if (state.reservation())
    all += fmt::format("type {}", static_cast<int>(state.reservation()->type));
  return all;
}

// a, b and c are registered with keys 1, 2 and 3.
PersistentReservations three() {
  PersistentReservations state;
  std::uint64_t key = 1;
  for (const char name : {'a', 'b', 'c'}) {
    EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 0, key++), host(name)).done());
  }
  return state;
}
PersistentReservations three_with(unsigned type) {
  PersistentReservations state = three();
  EXPECT_TRUE(state.apply(request(ReserveAction::kReserve, 1, 0, type), host('a')).done());
  return state;
}
bool is_all(unsigned type) {
  return is_all_registrants(*reservation_type(type));
}
bool is_ro(unsigned type) {
  return is_registrants_only(*reservation_type(type));
}

TEST(ReservationStateTest, ConflictsAreThoseOfTheStandardsTables) {
  for (const unsigned type : kTypes) {
    const PersistentReservations state = three_with(type);
    const bool is_exclusive = type == 3 || type == 6 || type == 8;
    const bool registrants_may = type >= 5;
    const auto conflicts = [&](const NexusPorts& who, Access access) {
      return state.conflicts(view_of(who), access);
    };
    for (const Access access : {Access::kNone, Access::kRead, Access::kWrite}) {
      EXPECT_FALSE(conflicts(host('a'), access)) << type;
    }
    for (const char other : {'b', 'x'}) {
      const bool may = other == 'b' && registrants_may;
      EXPECT_FALSE(conflicts(host(other), Access::kNone)) << type << other;
      EXPECT_EQ(conflicts(host(other), Access::kRead), !may && is_exclusive) << type << other;
      EXPECT_EQ(conflicts(host(other), Access::kWrite), !may) << type << other;
    }
    // The same initiator through another port is somebody else, and so is another session of it.
    EXPECT_TRUE(conflicts(host('a', 2), Access::kWrite)) << type;
    EXPECT_TRUE(conflicts({{"iqn.a", 2}, 1}, Access::kWrite)) << type;
  }
}

TEST(ReservationStateTest, NobodyConflictsWithoutAReservation) {
  const PersistentReservations state = three();
  EXPECT_FALSE(state.conflicts(view_of(host('x')), Access::kWrite));
}

TEST(ReservationStateTest, RegisterWantsTheKeyThatIsThere) {
  PersistentReservations state;
  // Of somebody new: no key.
  EXPECT_EQ(state.apply(request(ReserveAction::kRegister, 9, 1), host('a')).verdict,
            Verdict::kConflict);
  EXPECT_EQ(state.generation(), 0u);
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 0, 0), host('a')).done());
  EXPECT_EQ(picture(state), "");
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 0, 1), host('a')).done());
  EXPECT_EQ(picture(state), "a1 ");
  // Of who is registered: the key it has.
  EXPECT_EQ(state.apply(request(ReserveAction::kRegister, 0, 2), host('a')).verdict,
            Verdict::kConflict);
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 1, 2), host('a')).done());
  EXPECT_EQ(picture(state), "a2 ");
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 2, 0), host('a')).done());
  EXPECT_EQ(picture(state), "");
  EXPECT_EQ(state.generation(), 4u);
}

TEST(ReservationStateTest, RegisterAndIgnoreWantsNoKey) {
  PersistentReservations state;
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegisterAndIgnore, 77, 1), host('a')).done());
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegisterAndIgnore, 99, 2), host('a')).done());
  EXPECT_EQ(picture(state), "a2 ");
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegisterAndIgnore, 5, 0), host('a')).done());
  EXPECT_EQ(picture(state), "");
}

TEST(ReservationStateTest, WhoIsNotRegisteredOrHasAnotherKeyConflictsWithEverythingElse) {
  for (const ReserveAction action :
       {ReserveAction::kReserve, ReserveAction::kRelease, ReserveAction::kClear,
        ReserveAction::kPreempt, ReserveAction::kPreemptAndAbort,
        ReserveAction::kRegisterAndMove}) {
    PersistentReservations state = three_with(1);
    const PersistentReservations before = state;
    EXPECT_EQ(state.apply(request(action, 0, 1, 1), host('x')).verdict, Verdict::kConflict);
    EXPECT_EQ(state.apply(request(action, 3, 1, 1), host('b')).verdict, Verdict::kConflict);
    EXPECT_EQ(state, before);
  }
}

TEST(ReservationStateTest, ReserveIsRepeatedByItsHolderOnly) {
  for (const unsigned type : kTypes) {
    PersistentReservations state = three_with(type);
    const std::uint32_t generation = state.generation();
    EXPECT_TRUE(state.apply(request(ReserveAction::kReserve, 1, 0, type), host('a')).done());
    for (const unsigned other : kTypes) {
      if (other == type) continue;
      EXPECT_EQ(state.apply(request(ReserveAction::kReserve, 1, 0, other), host('a')).verdict,
                Verdict::kConflict);
    }
    EXPECT_EQ(state.apply(request(ReserveAction::kReserve, 2, 0, type), host('b')).verdict,
              is_all(type) ? Verdict::kDone : Verdict::kConflict);
    EXPECT_EQ(state.generation(), generation);
    EXPECT_EQ(state.reservation_key(), is_all(type) ? 0u : 1u);
  }
}

TEST(ReservationStateTest, ScopeAndTypeOfAReservationAreChecked) {
  PersistentReservations state = three();
  for (unsigned type = 0; type < 16; ++type) {
    if (reservation_type(type)) continue;
    EXPECT_EQ(state.apply(request(ReserveAction::kReserve, 1, 0, type), host('a')).verdict,
              Verdict::kInvalidType);
  }
  ReserveRequest scoped = request(ReserveAction::kReserve, 1, 0, 1);
  scoped.scope = 1;
  EXPECT_EQ(state.apply(scoped, host('a')).verdict, Verdict::kInvalidScope);
}

TEST(ReservationStateTest, ReleaseTellsTheOthersWhereTheyShared) {
  for (const unsigned type : kTypes) {
    PersistentReservations state = three_with(type);
    const ReserveOutcome outcome =
        state.apply(request(ReserveAction::kRelease, 1, 0, type), host('a'));
    EXPECT_TRUE(outcome.done());
    EXPECT_FALSE(state.reservation());
    EXPECT_EQ(told(outcome), is_all(type) || is_ro(type) ? "b:2a/04 c:2a/04" : "") << type;
  }
}

TEST(ReservationStateTest, ReleaseByOthersDoesNothingAndByTheHolderOfAnotherTypeFails) {
  for (const unsigned type : kTypes) {
    PersistentReservations state = three_with(type);
    EXPECT_EQ(
        state.apply(request(ReserveAction::kRelease, 1, 0, type == 1 ? 3 : 1), host('a')).verdict,
        Verdict::kInvalidRelease);
    EXPECT_TRUE(state.apply(request(ReserveAction::kRelease, 2, 0, type), host('b')).done());
    EXPECT_EQ(state.reservation().has_value(), !is_all(type));
  }
}

TEST(ReservationStateTest, TheReservationGoesWithItsLastHolder) {
  for (const unsigned type : kTypes) {
    PersistentReservations state = three_with(type);
    const ReserveOutcome first = state.apply(request(ReserveAction::kRegister, 1, 0), host('a'));
    EXPECT_EQ(state.reservation().has_value(), is_all(type)) << type;
    EXPECT_EQ(told(first), is_ro(type) ? "b:2a/04 c:2a/04" : "") << type;
    EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 2, 0), host('b')).done());
    const ReserveOutcome last = state.apply(request(ReserveAction::kRegister, 3, 0), host('c'));
    EXPECT_FALSE(state.reservation());
    EXPECT_EQ(told(last), "");
  }
}

TEST(ReservationStateTest, WhoUnregistersWithoutHoldingLeavesTheReservation) {
  for (const unsigned type : kTypes) {
    PersistentReservations state = three_with(type);
    EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 2, 0), host('b')).done());
    EXPECT_TRUE(state.is_holder(view_of(host('a'))));
    EXPECT_EQ(state.registrations().size(), 2u);
  }
  // The holder's place moves up when one before it goes.
  PersistentReservations state = three();
  EXPECT_TRUE(state.apply(request(ReserveAction::kReserve, 3, 0, 1), host('c')).done());
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 1, 0), host('a')).done());
  EXPECT_EQ(picture(state), "b2 c3* type 1");
}

TEST(ReservationStateTest, ClearTakesEverythingAndTellsTheOthers) {
  PersistentReservations state = three_with(5);
  const ReserveOutcome outcome = state.apply(request(ReserveAction::kClear, 2), host('b'));
  EXPECT_EQ(told(outcome), "a:2a/03 c:2a/03");
  EXPECT_EQ(picture(state), "");
}

TEST(ReservationStateTest, PreemptWithoutAReservationRemovesAKey) {
  PersistentReservations state = three();
  const std::uint32_t generation = state.generation();
  EXPECT_EQ(state.apply(request(ReserveAction::kPreempt, 1, 0), host('a')).verdict,
            Verdict::kInvalidServiceKey);
  EXPECT_EQ(state.apply(request(ReserveAction::kPreempt, 1, 44), host('a')).verdict,
            Verdict::kConflict);
  EXPECT_EQ(state.generation(), generation);
  // The type counts for nothing when none is made.
  const ReserveOutcome outcome = state.apply(request(ReserveAction::kPreempt, 1, 2, 15), host('a'));
  EXPECT_EQ(told(outcome), "b:2a/05");
  EXPECT_EQ(picture(state), "a1 c3 ");
  EXPECT_EQ(state.generation(), generation + 1);
}

TEST(ReservationStateTest, PreemptOfTheHoldersKeyTakesTheReservation) {
  for (const unsigned type : {1u, 3u, 5u, 6u}) {
    for (const unsigned wanted : kTypes) {
      PersistentReservations state = three_with(type);
      const ReserveOutcome outcome =
          state.apply(request(ReserveAction::kPreempt, 2, 1, wanted), host('b'));
      EXPECT_TRUE(outcome.done());
      EXPECT_EQ(told(outcome), type == wanted ? "a:2a/05" : "a:2a/05 c:2a/04") << type << wanted;
      EXPECT_EQ(picture(state), fmt::format("b2* c3{} type {}", is_all(wanted) ? "*" : "", wanted));
    }
    PersistentReservations state = three_with(type);
    EXPECT_EQ(state.apply(request(ReserveAction::kPreempt, 2, 1, 2), host('b')).verdict,
              Verdict::kInvalidType);
  }
}

TEST(ReservationStateTest, PreemptOfAnotherKeyLeavesTheReservation) {
  for (const unsigned type : kTypes) {
    PersistentReservations state = three_with(type);
    const ReserveOutcome outcome =
        state.apply(request(ReserveAction::kPreempt, 2, 3, type), host('b'));
    EXPECT_EQ(told(outcome), "c:2a/05");
    EXPECT_TRUE(state.is_holder(view_of(host('a'))));
    EXPECT_EQ(state.reservation()->type, *reservation_type(type));
  }
}

TEST(ReservationStateTest, TheHolderMayPreemptItself) {
  PersistentReservations state = three_with(1);
  const ReserveOutcome outcome = state.apply(request(ReserveAction::kPreempt, 1, 1, 6), host('a'));
  EXPECT_TRUE(outcome.done());
  EXPECT_EQ(picture(state), "a1* b2 c3 type 6");
  EXPECT_EQ(told(outcome), "b:2a/04 c:2a/04");
}

TEST(ReservationStateTest, PreemptOfAllRegistrantsWithNoKeyRemovesAllOthers) {
  for (const unsigned type : {7u, 8u}) {
    PersistentReservations state = three_with(type);
    const ReserveOutcome outcome =
        state.apply(request(ReserveAction::kPreempt, 2, 0, 3), host('b'));
    EXPECT_EQ(told(outcome), "a:2a/05 c:2a/05");
    EXPECT_EQ(picture(state), "b2* type 3");
  }
}

TEST(ReservationStateTest, WhoPreemptsItsOwnKeyIsGone) {
  PersistentReservations state = three();
  const ReserveOutcome outcome = state.apply(request(ReserveAction::kPreempt, 1, 1), host('a'));
  EXPECT_EQ(picture(state), "b2 c3 ");
  EXPECT_EQ(told(outcome), "");
}

TEST(ReservationStateTest, PreemptAndAbortNamesWhoseCommandsGo) {
  PersistentReservations state = three_with(5);
  EXPECT_EQ(aborted(state.apply(request(ReserveAction::kPreemptAndAbort, 2, 1, 5), host('b'))),
            "a");
  state = three_with(7);
  EXPECT_EQ(aborted(state.apply(request(ReserveAction::kPreemptAndAbort, 2, 0, 5), host('b'))),
            "ac");
  state = three();
  EXPECT_EQ(aborted(state.apply(request(ReserveAction::kPreemptAndAbort, 2, 3, 5), host('b'))),
            "c");
  state = three_with(5);
  EXPECT_EQ(aborted(state.apply(request(ReserveAction::kPreempt, 2, 1, 5), host('b'))), "");
}

TEST(ReservationStateTest, RegisterAndMoveGivesTheReservationAway) {
  PersistentReservations state = three_with(5);
  ReserveRequest move = request(ReserveAction::kRegisterAndMove, 1, 9);
  move.destination = host('x', 3);
  EXPECT_TRUE(state.apply(move, host('a')).done());
  EXPECT_EQ(picture(state), "a1 b2 c3 x9* type 5");

  // To who is there already, and away with the mover.
  state = three_with(1);
  move.destination = host('c');
  move.unregisters = true;
  EXPECT_TRUE(state.apply(move, host('a')).done());
  EXPECT_EQ(picture(state), "b2 c9* type 1");
}

TEST(ReservationStateTest, RegisterAndMoveIsForTheHolderOfOneReservation) {
  ReserveRequest move = request(ReserveAction::kRegisterAndMove, 1, 9);
  move.destination = host('x');
  PersistentReservations state = three();
  EXPECT_EQ(state.apply(move, host('a')).verdict, Verdict::kConflict);
  state = three_with(7);
  EXPECT_EQ(state.apply(move, host('a')).verdict, Verdict::kConflict);
  state = three_with(1);
  move.key = 2;
  EXPECT_EQ(state.apply(move, host('b')).verdict, Verdict::kConflict);
  move.key = 1;
  move.service_key = 0;
  EXPECT_EQ(state.apply(move, host('a')).verdict, Verdict::kInvalidServiceKey);
  move.service_key = 9;
  move.destination = host('a');
  EXPECT_EQ(state.apply(move, host('a')).verdict, Verdict::kInvalidInitiators);
  EXPECT_EQ(state, three_with(1));
}

TEST(ReservationStateTest, AllPortsIsOneRegistrationForEveryPort) {
  PersistentReservations state;
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 0, 1), host('a', 2)).done());
  EXPECT_TRUE(state.apply(request(ReserveAction::kReserve, 1, 0, 1), host('a', 2)).done());
  ReserveRequest all = request(ReserveAction::kRegister, 0, 5);
  all.all_ports = true;
  EXPECT_TRUE(state.apply(all, host('a', 1)).done());
  // What it had through the other port has become this one, and its reservation too.
  EXPECT_EQ(picture(state), "a5* type 1");
  EXPECT_TRUE(state.is_holder(view_of(host('a', 77))));
  EXPECT_TRUE(state.apply(request(ReserveAction::kRegister, 5, 0), host('a', 9)).done());
  EXPECT_EQ(picture(state), "");
}

TEST(ReservationStateTest, OthersMayBeRegisteredWithTheFirstRegistration) {
  PersistentReservations state;
  ReserveRequest named = request(ReserveAction::kRegister, 0, 5);
  named.names_initiators = true;
  named.initiators = {host('b').initiator, host('c').initiator};
  EXPECT_TRUE(state.apply(named, host('a')).done());
  EXPECT_EQ(picture(state), "a5 b5 c5 ");
  // Only then.
  named.key = 5;
  EXPECT_EQ(state.apply(named, host('a')).verdict, Verdict::kInvalidFlags);
  named.key = 0;
  named.initiators = {host('y').initiator};
  named.action = ReserveAction::kRegisterAndIgnore;
  EXPECT_EQ(state.apply(named, host('x')).verdict, Verdict::kInvalidFlags);
  named.action = ReserveAction::kRegister;
  for (const char twice : {'a', 'x'}) {  // registered already; the issuer itself
    named.initiators = {host('y').initiator, host(twice).initiator};
    EXPECT_EQ(state.apply(named, host('x')).verdict, Verdict::kInvalidInitiators);
  }
  EXPECT_EQ(picture(state), "a5 b5 c5 ");
}

TEST(ReservationStateTest, ThereIsRoomForSoManyAndNoMore) {
  PersistentReservations state;
  for (std::size_t i = 0; i < PersistentReservations::kMostRegistrations; ++i) {
    const NexusPorts nexus{{fmt::format("iqn.{}", i), 1}, 1};
    ASSERT_TRUE(state.apply(request(ReserveAction::kRegister, 0, i + 1), nexus).done());
  }
  const PersistentReservations full = state;
  EXPECT_EQ(state.apply(request(ReserveAction::kRegister, 0, 1), host('x')).verdict,
            Verdict::kNoRegistrationRoom);
  EXPECT_EQ(state, full);
}

TEST(ReservationStateTest, PowerOnKeepsWhatWasToBeKept) {
  for (const bool survives : {false, true}) {
    PersistentReservations state = three_with(5);
    ReserveRequest last = request(ReserveAction::kRegister, 3, 4);
    last.survives_power_loss = survives;
    EXPECT_TRUE(state.apply(last, host('c')).done());
    state.power_on();
    EXPECT_EQ(picture(state), survives ? "a1* b2 c4 type 5" : "");
    EXPECT_EQ(state.generation(), 0u);
  }
}

// A state after many random commands: its invariants hold, and its bytes give it back.
TEST(ReservationStateTest, AnySequenceOfCommandsLeavesASoundState) {
  Random random(11);
  PersistentReservations state;
  for (int i = 0; i < 20'000; ++i) {
    const auto any_host = [&] {
      return host(static_cast<char>('a' + random.below(5)),
                  static_cast<std::uint16_t>(random.between(1, 2)));
    };
    ReserveRequest any = request(static_cast<ReserveAction>(random.below(8)), random.below(4),
                                 random.below(4), static_cast<unsigned>(random.below(10)));
    any.all_ports = random.chance(1, 5);
    any.unregisters = random.chance(1, 2);
    any.survives_power_loss = random.chance(1, 2);
    any.destination = any_host();
    if (random.chance(1, 8)) {
      any.names_initiators = true;
      any.initiators = {any_host().initiator};
    }
    const PersistentReservations before = state;
    const ReserveOutcome outcome = state.apply(any, any_host());
    if (!outcome.done()) ASSERT_EQ(state, before) << i;
    if (state.reservation()) {
      ASSERT_LT(state.reservation()->holder, state.registrations().size()) << i;
    }
    for (std::size_t a = 0; a < state.registrations().size(); ++a) {
      ASSERT_NE(state.registrations()[a].key, 0u);
      for (std::size_t b = 0; b < a; ++b) {
        const Registration& x = state.registrations()[a];
        const Registration& y = state.registrations()[b];
        ASSERT_FALSE(x.initiator == y.initiator &&
                     (x.all_ports || y.all_ports || x.relative_port == y.relative_port))
            << i;
      }
    }
    ParameterData data;
    state.encode(data);
    ByteReader reader(data.span());
    const Result<PersistentReservations> decoded = PersistentReservations::decode(reader);
    ASSERT_TRUE(decoded.ok()) << decoded.error().to_string();
    ASSERT_EQ(*decoded, state) << i;
  }
}

}  // namespace
}  // namespace ashlar::scsi
