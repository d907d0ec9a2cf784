#include "volume/scsi/reservations.h"

#include <gtest/gtest.h>

#include "common/runtime/task_scope.h"
#include "tests/volume/scsi/unit_lab.h"

namespace ashlar::scsi {
namespace {

constexpr std::uint8_t kRegister = 0;
constexpr std::uint8_t kReserve = 1;
constexpr std::uint8_t kRelease = 2;
constexpr std::uint8_t kClear = 3;
constexpr std::uint8_t kPreempt = 4;
constexpr std::uint8_t kPreemptAndAbort = 5;
constexpr std::uint8_t kRegisterAndIgnore = 6;
constexpr std::uint8_t kRegisterAndMove = 7;

constexpr std::uint8_t kAptpl = 0x01;
constexpr std::uint8_t kAllTargetPorts = 0x04;
constexpr std::uint8_t kSpecifyInitiators = 0x08;

const Bytes kReserve6{0x16, 0, 0, 0, 0, 0};
const Bytes kRelease6{0x17, 0, 0, 0, 0, 0};
const Bytes kWrite{0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0};
const Bytes kRead{0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0};
const Bytes kTestUnitReady{0, 0, 0, 0, 0, 0};
constexpr std::size_t kPayload = 8 * 512;

Bytes out(std::uint8_t action, std::uint8_t type, std::uint32_t length) {
  Bytes cdb{0x5f, action, type, 0, 0, 0, 0, 0, 0, 0};
  put_be(cdb, 5, length, 4);
  return cdb;
}
Bytes out_list(std::uint64_t key, std::uint64_t service_key, std::uint8_t flags = 0) {
  Bytes list(24);
  put_be(list, 0, key, 8);
  put_be(list, 8, service_key, 8);
  list[20] = flags;
  return list;
}
Task<std::string> reserve_out(Host& host, std::uint8_t action, std::uint64_t key,
                              std::uint64_t service_key = 0, std::uint8_t type = 0,
                              std::uint8_t flags = 0) {
  const Answer answer =
      co_await host.send(out(action, type, 24), out_list(key, service_key, flags));
  co_return answer.to_string();
}
Bytes in(std::uint8_t action, std::uint16_t length = 0xffff) {
  Bytes cdb{0x5e, action, 0, 0, 0, 0, 0, 0, 0, 0};
  put_be(cdb, 7, length, 2);
  return cdb;
}
Bytes transport_id(const std::string& name, std::uint64_t isid = 0x4000'0001) {
  ParameterData data;
  append_transport_id(data, {name, isid});
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(data.span().data());
  return {begin, begin + data.size()};
}

TEST(ReservationsTest, KeysAreReadWithTheirGeneration) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    Host& b = l.host("iqn.b");
    EXPECT_EQ((co_await a.send(in(0))).data, Bytes(8));
    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 0x1122), "GOOD");
    EXPECT_EQ(co_await reserve_out(b, kRegisterAndIgnore, 0x99, 0x3344), "GOOD");
    const Answer keys = co_await b.send(in(0));
    EXPECT_EQ(keys.be(0, 4), 2u);
    EXPECT_EQ(keys.be(4, 4), 16u);
    EXPECT_EQ(keys.be(8, 8), 0x1122u);
    EXPECT_EQ(keys.be(16, 8), 0x3344u);
    // Cut short, the length is still that of the whole.
    const Answer cut = co_await b.send(in(0, 8));
    EXPECT_EQ(cut.data.size(), 8u);
    EXPECT_EQ(cut.be(4, 4), 16u);
  });
}

TEST(ReservationsTest, TheReservationIsReadByEverybody) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    Host& x = l.host("iqn.x");
    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1), "GOOD");
    EXPECT_EQ((co_await x.send(in(1))).be(4, 4), 0u);
    EXPECT_EQ(co_await reserve_out(a, kReserve, 1, 0, 3), "GOOD");
    const Answer reservation = co_await x.send(in(1));
    EXPECT_EQ(reservation.data.size(), 24u);
    EXPECT_EQ(reservation.be(4, 4), 16u);
    EXPECT_EQ(reservation.be(8, 8), 1u);
    EXPECT_EQ(reservation.data.at(21), 0x03);
    EXPECT_EQ(co_await reserve_out(a, kRelease, 1, 0, 3), "GOOD");
    EXPECT_EQ(co_await reserve_out(a, kReserve, 1, 0, 8), "GOOD");
    EXPECT_EQ((co_await x.send(in(1))).be(8, 8), 0u);  // all registrants hold it
  });
}

TEST(ReservationsTest, FullStatusTellsWhoAndThroughWhat) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a", 3);
    Host& b = l.host("iqn.b");
    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1), "GOOD");
    EXPECT_EQ(co_await reserve_out(b, kRegister, 0, 2, 0, kAllTargetPorts), "GOOD");
    EXPECT_EQ(co_await reserve_out(a, kReserve, 1, 0, 5), "GOOD");
    const Answer status = co_await a.send(in(3));
    EXPECT_EQ(status.be(4, 4), status.data.size() - 8);
    EXPECT_EQ(status.be(8, 8), 1u);
    EXPECT_EQ(status.data.at(20), 0x01);
    EXPECT_EQ(status.data.at(21), 0x05);
    EXPECT_EQ(status.be(26, 2), 3u);
    const auto id_size = static_cast<std::size_t>(status.be(28, 4));
    const Bytes id = transport_id("iqn.a");
    EXPECT_EQ(id_size, id.size());
    EXPECT_TRUE(std::equal(id.begin(), id.end(), status.data.begin() + 32));
    EXPECT_EQ(status.be(32 + id_size, 8), 2u);
    EXPECT_EQ(status.data.at(32 + id_size + 12), 0x02);
  });
}

TEST(ReservationsTest, CapabilitiesNameEveryTypeAndWhetherTheStateIsKept) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    EXPECT_EQ((co_await a.send(in(2))).data, (Bytes{0, 8, 0x1d, 0x80, 0xea, 0x01, 0, 0}));
    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1, 0, kAptpl), "GOOD");
    EXPECT_EQ((co_await a.send(in(2))).data.at(3), 0x81);
    for (std::uint8_t action = 4; action < 0x20; ++action) {
      EXPECT_EQ((co_await a.send(in(action))).to_string(), "5/24/00");
    }
  });
}

TEST(ReservationsTest, ListsOfTheWrongLengthChangeNothing) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    for (std::uint32_t size = 0; size < 60; ++size) {
      if (size == 24) continue;
      Bytes list = out_list(0, 1);
      list.resize(size);
      EXPECT_EQ((co_await a.send(out(kRegister, 0, size), list)).to_string(), "5/1a/00") << size;
    }
    // The host gives less than it says, or the list is longer than any can be.
    EXPECT_EQ((co_await a.send(out(kRegister, 0, 24), Bytes(20))).to_string(), "5/1a/00");
    EXPECT_EQ((co_await a.send(out(kRegister, 0, 0xffff'ffff), Bytes(24))).to_string(), "5/1a/00");
    EXPECT_EQ((co_await a.send({0x5f, 0, 0, 1, 0, 0, 0, 0, 24, 0}, Bytes(24))).to_string(),
              "5/24/00");
    EXPECT_EQ((co_await a.send(in(0))).data, Bytes(8));
  });
}

TEST(ReservationsTest, InitiatorsAreNamedByTransportIds) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    Host& b = l.host("iqn.b");
    Bytes list = out_list(0, 7, kSpecifyInitiators);
    const Bytes id = transport_id("iqn.b");
    list.resize(28);
    put_be(list, 24, id.size(), 4);
    list.insert(list.end(), id.begin(), id.end());
    const auto send = [&](const Bytes& bytes) {
      return a.send(out(kRegister, 0, static_cast<std::uint32_t>(bytes.size())), bytes);
    };
    // A list that is cut, or whose length is another.
    for (std::size_t size = 24; size < list.size(); ++size) {
      Bytes cut(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_EQ((co_await send(cut)).to_string(), "5/1a/00") << size;
      if (size < 28) continue;
      put_be(cut, 24, size - 28, 4);
      const Answer answer = co_await send(cut);
      if (size == 28) {
        // Nobody else is named.
        EXPECT_EQ(answer.to_string(), "GOOD");
        EXPECT_EQ(co_await reserve_out(a, kRegister, 7, 0), "GOOD");
      } else {
        EXPECT_EQ(answer.to_string(), "5/26/00") << size;
      }
    }
    EXPECT_EQ((co_await send(list)).to_string(), "GOOD");
    EXPECT_EQ((co_await a.send(in(0))).be(4, 4), 16u);
    // The other one is registered and may reserve at once.
    EXPECT_EQ(co_await reserve_out(b, kReserve, 7, 0, 1), "GOOD");
    EXPECT_EQ((co_await a.send(kWrite, Bytes(kPayload))).to_string(), "RESERVATION CONFLICT");
  });
}

TEST(ReservationsTest, OthersHearWhatWasTakenFromThem) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    Host& b = l.host("iqn.b");
    Host& c = l.host("iqn.c");
    Host& x = l.host("iqn.x");
    for (Host* const host : {&a, &b, &c}) {
      EXPECT_EQ(co_await reserve_out(*host, kRegister, 0, host == &a ? 1 : 2), "GOOD");
    }
    EXPECT_EQ(co_await reserve_out(a, kReserve, 1, 0, 5), "GOOD");
    EXPECT_EQ(co_await reserve_out(a, kRelease, 1, 0, 5), "GOOD");
    EXPECT_EQ(b.attentions() + c.attentions(), "2a/042a/04");
    // A host whose session is gone for a while hears of it when it is back.
    l.drop("iqn.c");
    EXPECT_EQ(co_await reserve_out(a, kPreempt, 1, 2), "GOOD");
    EXPECT_EQ(b.attentions(), "2a/05");
    std::unique_ptr<Nexus> again = l.device->open_nexus({"iqn.c", 0x4000'0001, 1, 1});
    EXPECT_TRUE(again->attentions(0).has(UnitAttention::kRegistrationsPreempted));
    l.device->close_nexus(std::move(again));
    EXPECT_EQ(co_await reserve_out(b, kRegister, 0, 3), "GOOD");
    EXPECT_EQ(co_await reserve_out(b, kClear, 3), "GOOD");
    EXPECT_EQ(a.attentions(), "2a/03");
    EXPECT_EQ(x.attentions(), "");
  });
}

TEST(ReservationsTest, AReservationIsMovedToAnotherHost) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    Host& b = l.host("iqn.b");
    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1), "GOOD");
    EXPECT_EQ(co_await reserve_out(a, kReserve, 1, 0, 3), "GOOD");
    const Bytes id = transport_id("iqn.b");
    Bytes list(24);
    put_be(list, 0, 1, 8);
    put_be(list, 8, 9, 8);
    list[17] = 0x02;  // UNREG
    put_be(list, 18, 1, 2);
    put_be(list, 20, id.size(), 4);
    list.insert(list.end(), id.begin(), id.end());
    const auto length = static_cast<std::uint32_t>(list.size());
    Bytes wrong = list;
    put_be(wrong, 20, id.size() - 4, 4);
    EXPECT_EQ((co_await a.send(out(kRegisterAndMove, 3, length), wrong)).to_string(), "5/1a/00");
    EXPECT_EQ((co_await a.send(out(kRegisterAndMove, 3, length), list)).to_string(), "GOOD");
    EXPECT_EQ((co_await b.send(kWrite, Bytes(kPayload))).to_string(), "GOOD");
    EXPECT_EQ((co_await a.send(kRead)).to_string(), "RESERVATION CONFLICT");
    EXPECT_EQ(co_await reserve_out(b, kRelease, 9, 0, 3), "GOOD");
  });
}

TEST(ReservationsTest, WithAptplTheStateOutlastsTheServerAndElseItDoesNot) {
  for (const bool keeps : {false, true}) {
    UnitLab lab;
    lab.crash(sim::CrashKind::kPowerFail, [keeps](UnitLab& l) -> Task<void> {
      Host& a = l.host("iqn.a");
      const std::uint8_t flags = keeps ? kAptpl : 0;
      EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1, 0, flags), "GOOD");
      EXPECT_EQ(co_await reserve_out(a, kReserve, 1, 0, 3), "GOOD");
    });
    lab.run([keeps](UnitLab& l) -> Task<void> {
      Host& a = l.host("iqn.a");
      Host& x = l.host("iqn.x");
      EXPECT_EQ((co_await x.send(kRead)).to_string(), keeps ? "RESERVATION CONFLICT" : "GOOD");
      EXPECT_EQ((co_await a.send(kWrite, Bytes(kPayload))).to_string(), "GOOD");
      EXPECT_EQ((co_await a.send(in(0))).be(4, 4), keeps ? 8u : 0u);
    });
  }
}

TEST(ReservationsTest, ALogicalUnitResetLeavesPersistentReservations) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    Host& x = l.host("iqn.x");
    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1), "GOOD");
    EXPECT_EQ(co_await reserve_out(a, kReserve, 1, 0, 3), "GOOD");
    (void)co_await l.device->manage(x.nexus(), TaskManagementFunction::kLogicalUnitReset, 0, 0);
    x.clear_attentions();
    EXPECT_EQ((co_await x.send(kRead)).to_string(), "RESERVATION CONFLICT");
    l.drop("iqn.a");  // nor does it go with the session
    EXPECT_EQ((co_await x.send(kRead)).to_string(), "RESERVATION CONFLICT");
  });
}

TEST(ReservationsTest, PreemptAndAbortEndsTheOthersCommandsBeforeItAnswers) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    Host& b = l.host("iqn.b");
    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1), "GOOD");
    EXPECT_EQ(co_await reserve_out(b, kRegister, 0, 2), "GOOD");
    // A write of b waits for its data when a takes b's registration away.
    HeldDataOut held(l.pool(), Bytes(kPayload, 0xbb));
    held.is_held = true;
    std::optional<Answer> written;
    TaskScope scope(co_await this_task());
    scope.spawn(engine::keep(b.send_held(kWrite, held), &written));
    co_await test::yield_until([&] { return held.is_asked; });
    EXPECT_EQ(co_await reserve_out(a, kPreemptAndAbort, 1, 2, 1), "GOOD");
    EXPECT_EQ(l.unit().tasks().size(), 0u);
    (void)co_await scope.join();
    CO_ASSERT_TRUE(written.has_value());
    EXPECT_EQ(written->to_string(), "aborted");
    EXPECT_EQ((co_await a.send(kRead)).data, Bytes(kPayload));
    EXPECT_EQ(b.attentions(), "2a/05");
    // A mere PREEMPT would have let it finish.
    EXPECT_EQ(co_await reserve_out(b, kRegister, 0, 2), "GOOD");
    HeldDataOut later(l.pool(), Bytes(kPayload, 0xbb));
    later.is_held = true;
    std::optional<Answer> finished;
    TaskScope other(co_await this_task());
    other.spawn(engine::keep(b.send_held(kWrite, later), &finished));
    co_await test::yield_until([&] { return later.is_asked; });
    EXPECT_EQ(co_await reserve_out(a, kPreempt, 1, 2, 1), "GOOD");
    later.released.set();
    (void)co_await other.join();
    EXPECT_EQ(finished->to_string(), "GOOD");
  });
}

TEST(ReservationsTest, TwoThatPreemptAndAbortEachOtherBothEnd) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    Host& b = l.host("iqn.b");
    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1), "GOOD");
    EXPECT_EQ(co_await reserve_out(b, kRegister, 0, 2), "GOOD");
    std::optional<std::string> from_a;
    std::optional<std::string> from_b;
    TaskScope scope(co_await this_task());
    scope.spawn(engine::keep(reserve_out(a, kPreemptAndAbort, 1, 2, 1), &from_a));
    scope.spawn(engine::keep(reserve_out(b, kPreemptAndAbort, 2, 1, 1), &from_b));
    (void)co_await scope.join();
    // Who comes first wins, and the other one gets no answer.
    const bool a_wins = *from_a == "GOOD";
    EXPECT_EQ(*from_a, a_wins ? "GOOD" : "aborted");
    EXPECT_EQ(*from_b, a_wins ? "aborted" : "GOOD");
    a.clear_attentions();
    const Answer keys = co_await a.send(in(0));
    EXPECT_EQ(keys.data.size(), 16u);
    EXPECT_EQ(keys.be(8, 8), a_wins ? 1u : 2u);
  });
}

TEST(ReservationsTest, Reserve6HoldsUntilReleaseResetOrTheSessionsEnd) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& b = l.host("iqn.b");
    for (int how = 0; how < 3; ++how) {
      Host& a = l.host("iqn.a");
      EXPECT_EQ((co_await a.send(kReserve6)).to_string(), "GOOD");
      EXPECT_EQ((co_await a.send(kReserve6)).to_string(), "GOOD");
      EXPECT_EQ((co_await b.send(kReserve6)).to_string(), "RESERVATION CONFLICT");
      EXPECT_EQ((co_await b.send(kTestUnitReady)).to_string(), "RESERVATION CONFLICT");
      EXPECT_EQ((co_await b.send(kRead)).to_string(), "RESERVATION CONFLICT");
      EXPECT_EQ((co_await b.send({0x12, 0, 0, 0, 36, 0})).to_string(), "GOOD");
      EXPECT_EQ((co_await b.send(kRelease6)).to_string(), "GOOD");  // without effect
      EXPECT_EQ((co_await b.send(kTestUnitReady)).to_string(), "RESERVATION CONFLICT");
      if (how == 0) EXPECT_EQ((co_await a.send(kRelease6)).to_string(), "GOOD");
      if (how == 1) {
        (void)co_await l.device->manage(b.nexus(), TaskManagementFunction::kLogicalUnitReset, 0, 0);
        b.clear_attentions();
        a.clear_attentions();
      }
      if (how == 2) l.drop("iqn.a");
      EXPECT_EQ((co_await b.send(kTestUnitReady)).to_string(), "GOOD") << how;
    }
  });
}

TEST(ReservationsTest, Reserve6AndPersistentReservationsExcludeEachOther) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& a = l.host("iqn.a");
    Host& b = l.host("iqn.b");
    EXPECT_EQ((co_await a.send(kReserve6)).to_string(), "GOOD");
    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1), "RESERVATION CONFLICT");
    EXPECT_EQ(co_await reserve_out(b, kRegister, 0, 1), "RESERVATION CONFLICT");
    EXPECT_EQ((co_await b.send(in(0))).to_string(), "RESERVATION CONFLICT");
    EXPECT_EQ((co_await a.send(kRelease6)).to_string(), "GOOD");

    EXPECT_EQ(co_await reserve_out(a, kRegister, 0, 1), "GOOD");
    EXPECT_EQ((co_await a.send(kReserve6)).to_string(), "RESERVATION CONFLICT");
    EXPECT_EQ((co_await b.send(kReserve6)).to_string(), "RESERVATION CONFLICT");
    EXPECT_EQ((co_await b.send(kRelease6)).to_string(), "RESERVATION CONFLICT");
    EXPECT_EQ(co_await reserve_out(a, kReserve, 1, 0, 1), "GOOD");
    // From the holder they succeed and do nothing (CRH).
    EXPECT_EQ((co_await a.send(kReserve6)).to_string(), "GOOD");
    EXPECT_EQ((co_await a.send(kRelease6)).to_string(), "GOOD");
    EXPECT_EQ((co_await b.send(kWrite, Bytes(kPayload))).to_string(), "RESERVATION CONFLICT");
    EXPECT_EQ((co_await b.send(kReserve6)).to_string(), "RESERVATION CONFLICT");
  });
}

// SPC-4, table 67, and SBC-3, table 14: what is allowed to whom, for every command there is.
struct Allowed {
  std::string_view name;
  Access access;
};
constexpr std::array kStandard{
    // SPC-4
    Allowed{"TEST UNIT READY", Access::kNone},
    Allowed{"REQUEST SENSE", Access::kNone},
    Allowed{"INQUIRY", Access::kNone},
    Allowed{"MODE SELECT(6)", Access::kWrite},
    Allowed{"MODE SENSE(6)", Access::kRead},
    Allowed{"MODE SELECT(10)", Access::kWrite},
    Allowed{"MODE SENSE(10)", Access::kRead},
    Allowed{"LOG SENSE", Access::kNone},
    Allowed{"SEND DIAGNOSTIC", Access::kWrite},
    Allowed{"RECEIVE DIAGNOSTIC RESULTS", Access::kRead},
    Allowed{"EXTENDED COPY(LID1)", Access::kWrite},
    Allowed{"RECEIVE COPY STATUS(LID1)", Access::kWrite},
    Allowed{"RECEIVE COPY OPERATING PARAMETERS", Access::kWrite},
    Allowed{"RECEIVE COPY FAILURE DETAILS(LID1)", Access::kWrite},
    Allowed{"REPORT LUNS", Access::kNone},
    Allowed{"REPORT TARGET PORT GROUPS", Access::kNone},
    Allowed{"REPORT TIMESTAMP", Access::kNone},
    Allowed{"REPORT SUPPORTED OPERATION CODES", Access::kRead},
    Allowed{"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", Access::kRead},
    // SBC-3
    Allowed{"COMPARE AND WRITE", Access::kWrite},
    Allowed{"FORMAT UNIT", Access::kWrite},
    Allowed{"GET LBA STATUS(16)", Access::kRead},
    Allowed{"ORWRITE(16)", Access::kWrite},
    Allowed{"PRE-FETCH(10)", Access::kRead},
    Allowed{"PRE-FETCH(16)", Access::kRead},
    Allowed{"READ CAPACITY(10)", Access::kNone},
    Allowed{"READ CAPACITY(16)", Access::kNone},
    Allowed{"READ DEFECT DATA(10)", Access::kRead},
    Allowed{"READ DEFECT DATA(12)", Access::kRead},
    Allowed{"SYNCHRONIZE CACHE(10)", Access::kWrite},
    Allowed{"SYNCHRONIZE CACHE(16)", Access::kWrite},
    Allowed{"UNMAP", Access::kWrite},
};

Access standard_access(const Opcode& row) {
  for (const Allowed& allowed : kStandard) {
    if (row.name == allowed.name) return allowed.access;
  }
  if (row.name.starts_with("READ(") || row.name.starts_with("VERIFY(")) return Access::kRead;
  if (row.name.starts_with("WRITE") || row.name.starts_with("SANITIZE")) return Access::kWrite;
  // These decide for themselves, by who is registered.
  if (row.name.starts_with("PERSISTENT RESERVE") || row.name.starts_with("RESERVE(") ||
      row.name.starts_with("RELEASE(")) {
    return Access::kNone;
  }
  ADD_FAILURE() << row.name << " is in no table of this test";
  return Access::kNone;
}

TEST(ReservationsTest, EveryCommandConflictsAsTheStandardsSay) {
  for (const Opcode* row : opcode_table().rows()) {
    if (row->access_by_fields != nullptr) continue;
    EXPECT_EQ(row->access, standard_access(*row)) << row->name;
  }
  // By their fields: PREVENT ALLOW MEDIUM REMOVAL and START STOP UNIT.
  const auto access_of = [](Bytes cdb) {
    cdb.resize(16);
    const OpcodeTable::Found found = opcode_table().find(span_of(cdb));
    return found.row == nullptr ? Access::kRead : found.row->access_of(span_of(cdb));
  };
  EXPECT_EQ(access_of({0x1e, 0, 0, 0, 0, 0}), Access::kNone);
  EXPECT_EQ(access_of({0x1e, 0, 0, 0, 1, 0}), Access::kWrite);
  EXPECT_EQ(access_of({0x1b, 0, 0, 0, 0x01, 0}), Access::kNone);
  EXPECT_EQ(access_of({0x1b, 0, 0, 0, 0x00, 0}), Access::kWrite);
  EXPECT_EQ(access_of({0x1b, 0, 0, 0, 0x11, 0}), Access::kWrite);
}

// Through the device: the rows' access is really asked, for every type and kind of host.
TEST(ReservationsTest, ConflictsAreThoseOfTheTypeForEveryHost) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& holder = l.host("iqn.a");
    Host& registered = l.host("iqn.b");
    Host& stranger = l.host("iqn.x");
    for (const std::uint8_t type : Bytes{1, 3, 5, 6, 7, 8}) {
      EXPECT_EQ(co_await reserve_out(holder, kRegister, 0, 1), "GOOD");
      EXPECT_EQ(co_await reserve_out(registered, kRegister, 0, 2), "GOOD");
      EXPECT_EQ(co_await reserve_out(holder, kReserve, 1, 0, type), "GOOD");
      const bool is_exclusive = type == 3 || type == 6 || type == 8;
      const auto word = [](bool may) { return may ? "GOOD" : "RESERVATION CONFLICT"; };
      for (Host* const host : {&holder, &registered, &stranger}) {
        const bool may = host == &holder || (host == &registered && type >= 5);
        EXPECT_EQ((co_await host->send(kRead)).to_string(), word(may || !is_exclusive)) << type;
        EXPECT_EQ((co_await host->send(kWrite, Bytes(kPayload))).to_string(), word(may)) << type;
        EXPECT_EQ((co_await host->send(kTestUnitReady)).to_string(), "GOOD");
        EXPECT_EQ((co_await host->send(in(1))).to_string(), "GOOD");
      }
      EXPECT_EQ(co_await reserve_out(stranger, kReserve, 0, 0, type), "RESERVATION CONFLICT");
      EXPECT_EQ(co_await reserve_out(stranger, kClear, 0), "RESERVATION CONFLICT");
      EXPECT_EQ(co_await reserve_out(holder, kClear, 1), "GOOD");
      registered.clear_attentions();
    }
  });
}

}  // namespace
}  // namespace ashlar::scsi
