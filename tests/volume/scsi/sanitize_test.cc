#include "volume/scsi/sanitize.h"

#include <gtest/gtest.h>

#include "common/runtime/task_scope.h"
#include "tests/volume/scsi/unit_lab.h"
#include "volume/scsi/unit_identity.h"

namespace ashlar::scsi {
namespace {

constexpr std::uint8_t kOverwrite = 0x01;
constexpr std::uint8_t kBlockErase = 0x02;
constexpr std::uint8_t kExitFailureMode = 0x1f;
constexpr std::uint8_t kImmediate = 0x80;
constexpr std::uint8_t kAllowExit = 0x20;

const Bytes kTestUnitReady{0, 0, 0, 0, 0, 0};

Bytes sanitize(std::uint8_t byte1, std::uint16_t length = 0) {
  Bytes cdb{0x48, byte1, 0, 0, 0, 0, 0, 0, 0, 0};
  put_be(cdb, 7, length, 2);
  return cdb;
}
Bytes overwrite_list(std::uint8_t passes, const Bytes& pattern, std::uint8_t flags = 0) {
  Bytes list(4);
  list[0] = static_cast<std::uint8_t>(flags | passes);
  put_be(list, 2, pattern.size(), 2);
  list.insert(list.end(), pattern.begin(), pattern.end());
  return list;
}
Task<Answer> overwrite(Host& host, Bytes list, std::uint8_t flags = 0) {
  co_return co_await host.send(sanitize(static_cast<std::uint8_t>(flags | kOverwrite),
                                        static_cast<std::uint16_t>(list.size())),
                               list);
}

// Writes something at both ends of the volume.
Task<void> mark(UnitLab& lab) {
  for (const std::uint64_t offset : {std::uint64_t{0}, lab.unit().volume().size().value() - 8192}) {
    Buffer buffer = lab.pool().allocate(ByteCount(8192)).value();
    std::memset(buffer.data(), 'a', buffer.size());
    CO_ASSERT_OK(co_await lab.unit().volume().write(offset, std::move(buffer)));
  }
}
// Whether every byte at both ends is `value`.
Task<bool> reads_as(UnitLab& lab, std::uint8_t value) {
  bool all = true;
  for (const std::uint64_t offset : {std::uint64_t{0}, lab.unit().volume().size().value() - 8192}) {
    const Result<Buffer> read = co_await lab.unit().volume().read({offset, 8192});
    EXPECT_TRUE(read.ok());
    for (const std::byte byte : read->bytes()) all = all && byte == std::byte{value};
  }
  co_return all;
}

TEST(SanitizeTest, BlockEraseUnmapsEverything) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    co_await mark(l);
    EXPECT_EQ((co_await host.send(sanitize(kBlockErase))).to_string(), "GOOD");
    const bool is_zero = co_await reads_as(l, 0);
    EXPECT_TRUE(is_zero);
    CO_ASSERT_OK_ASSIGN(const volume::ProvisionedRun run, co_await l.unit().volume().provisioning(
                                                              0, l.unit().volume().size().value()));
    EXPECT_FALSE(run.is_mapped);
    EXPECT_EQ(run.length, l.unit().volume().size().value());
    EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), "GOOD");
    EXPECT_EQ(l.unit().memory().state().sanitize, SanitizeState{});
  });
}

TEST(SanitizeTest, OverwriteWritesThePatternAndItsComplementInBetween) {
  UnitLab lab;
  lab.blocks = 2048;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    co_await mark(l);
    EXPECT_EQ((co_await overwrite(host, overwrite_list(1, Bytes(512, 0xaa)))).to_string(), "GOOD");
    bool is_pattern = co_await reads_as(l, 0xaa);
    EXPECT_TRUE(is_pattern);
    EXPECT_EQ((co_await overwrite(host, overwrite_list(2, Bytes(4, 0x0f), 0x80))).to_string(),
              "GOOD");
    is_pattern = co_await reads_as(l, 0x0f);
    EXPECT_TRUE(is_pattern);
  });
}

TEST(SanitizeTest, FieldsAreChecked) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    co_await mark(l);
    for (std::uint8_t action = 0; action < 0x20; ++action) {
      if (action == kOverwrite || action == kBlockErase || action == kExitFailureMode) continue;
      EXPECT_EQ((co_await host.send(sanitize(action))).to_string(), "5/24/00");
    }
    for (const std::uint16_t length : std::vector<std::uint16_t>{0, 1, 4, 517, 0xffff}) {
      EXPECT_EQ((co_await host.send(sanitize(kOverwrite, length), Bytes(length))).to_string(),
                "5/24/00")
          << length;
    }
    for (const std::uint8_t action : {kBlockErase, kExitFailureMode}) {
      EXPECT_EQ((co_await host.send(sanitize(action, 8), Bytes(8))).to_string(), "5/24/00");
    }
    const Bytes block(512, 0xaa);
    EXPECT_EQ((co_await overwrite(host, overwrite_list(0, block))).to_string(), "5/26/00");
    EXPECT_EQ((co_await overwrite(host, overwrite_list(1, block, 0x20))).to_string(), "5/26/00");
    Bytes list = overwrite_list(1, block);
    for (const std::uint16_t pattern_size : std::vector<std::uint16_t>{0, 511, 516}) {
      put_be(list, 2, pattern_size, 2);
      EXPECT_EQ((co_await overwrite(host, list)).to_string(), "5/26/00") << pattern_size;
    }
    const bool is_untouched = co_await reads_as(l, 'a');
    EXPECT_TRUE(is_untouched);
  });
}

TEST(SanitizeTest, WhileItRunsOthersAreNotReadyAndHearOfTheProgress) {
  UnitLab lab;
  lab.blocks = 16384;  // half a second
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    co_await mark(l);
    EXPECT_EQ(
        (co_await overwrite(host, overwrite_list(1, Bytes(512, 0xaa)), kImmediate)).to_string(),
        "GOOD");
    co_await l.store.sleep(100ms);
    const Bytes read{0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    for (const Bytes& cdb :
         {kTestUnitReady, read, Bytes{0x1b, 0, 0, 0, 1, 0}, sanitize(kBlockErase),
          sanitize(kExitFailureMode), Bytes{0x5e, 0, 0, 0, 0, 0, 0, 0, 255, 0}}) {
      EXPECT_EQ((co_await host.send(cdb)).to_string(), "2/04/1b") << int{cdb[0]};
    }
    EXPECT_EQ((co_await host.send({0x12, 0, 0, 0, 96, 0})).to_string(), "GOOD");
    EXPECT_EQ((co_await host.send({0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0})).to_string(), "GOOD");
    const Answer first = co_await host.send({0x03, 0, 0, 0, 64, 0});
    EXPECT_EQ(first.data.at(2) & 0x0f, 2);
    EXPECT_EQ(first.be(12, 2), 0x041bu);
    EXPECT_EQ(first.data.at(15) & 0x80, 0x80);
    const std::uint64_t progress = first.be(16, 2);
    EXPECT_GT(progress, 0u);
    co_await l.store.sleep(100ms);
    EXPECT_GT((co_await host.send({0x03, 0, 0, 0, 64, 0})).be(16, 2), progress);
    co_await l.store.sleep(2s);
    EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), "GOOD");
    const bool is_pattern = co_await reads_as(l, 0xaa);
    EXPECT_TRUE(is_pattern);
  });
}

TEST(SanitizeTest, NoTaskManagementFunctionStopsIt) {
  UnitLab lab;
  lab.blocks = 16384;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Host& other = l.host("iqn.b");
    co_await mark(l);
    std::optional<Answer> answer;
    TaskScope scope(co_await this_task());
    scope.spawn(engine::keep(overwrite(host, overwrite_list(1, Bytes(512, 0xaa))), &answer));
    co_await l.store.sleep(50ms);
    EXPECT_EQ(co_await l.device->manage(host.nexus(), TaskManagementFunction::kAbortTaskSet, 0, 0),
              TaskManagementAnswer::kComplete);
    (void)co_await scope.join();
    EXPECT_EQ(answer->to_string(), "aborted");
    EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), "2/04/1b");
    EXPECT_EQ(
        co_await l.device->manage(other.nexus(), TaskManagementFunction::kLogicalUnitReset, 0, 0),
        TaskManagementAnswer::kComplete);
    other.clear_attentions();
    EXPECT_EQ((co_await other.send(kTestUnitReady)).to_string(), "2/04/1b");
    co_await l.store.sleep(2s);
    EXPECT_EQ((co_await other.send(kTestUnitReady)).to_string(), "GOOD");
    const bool is_pattern = co_await reads_as(l, 0xaa);
    EXPECT_TRUE(is_pattern);
  });
}

TEST(SanitizeTest, WhatWasUnderWayEndsBeforeItBegins) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Host& other = l.host("iqn.b");
    HeldDataOut held(l.pool(), Bytes(512, 0xbb));
    held.is_held = true;
    std::optional<Answer> written;
    std::optional<Answer> sanitized;
    TaskScope scope(co_await this_task());
    scope.spawn(engine::keep(other.send_held({0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0}, held), &written));
    co_await test::yield_until([&] { return held.is_asked; });
    scope.spawn(engine::keep(host.send(sanitize(kBlockErase)), &sanitized));
    co_await l.store.sleep(1s);
    EXPECT_FALSE(sanitized.has_value());
    EXPECT_EQ((co_await other.send(kTestUnitReady)).to_string(), "2/04/1b");
    held.released.set();
    (void)co_await scope.join();
    EXPECT_EQ(written->to_string(), "GOOD");
    EXPECT_EQ(sanitized->to_string(), "GOOD");
    const bool is_zero = co_await reads_as(l, 0);
    EXPECT_TRUE(is_zero);
  });
}

TEST(SanitizeTest, ACopyFromAnotherUnitEndsBeforeItBegins) {
  UnitLab lab;
  lab.blocks = 8192;
  lab.settings.push_back({.name = "destination"});
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Host& other = l.host("iqn.b");
    for (std::uint64_t at = 0; at < 32 << 20; at += 4 << 20) {
      Buffer buffer = l.pool().allocate(ByteCount(4 << 20)).value();
      std::memset(buffer.data(), 'a', buffer.size());
      CO_ASSERT_OK(co_await l.unit(0).volume().write(at, std::move(buffer)));
    }
    // One segment of all blocks, from LUN 0 to LUN 1.
    Bytes list(16 + 64 + 28);
    put_be(list, 2, 64, 2);
    put_be(list, 8, 28, 4);
    for (const std::uint16_t lun : {std::uint16_t{0}, std::uint16_t{1}}) {
      const std::size_t at = 16 + lun * 32u;
      const NaaIdentifier naa = naa_identifier(l.unit(lun).volume().uuid());
      list[at] = 0xe4;
      list[at + 4] = 0x01;
      list[at + 5] = 0x03;
      list[at + 7] = 16;
      std::memcpy(list.data() + at + 8, naa.data(), naa.size());
      put_be(list, at + 29, 512, 3);
    }
    list[80] = 0x02;
    list[83] = 0x18;
    list[87] = 1;
    put_be(list, 90, 0xffff, 2);
    Bytes cdb(16);
    cdb[0] = 0x83;
    put_be(cdb, 10, list.size(), 4);
    std::optional<Answer> copied;
    TaskScope scope(co_await this_task());
    scope.spawn(engine::keep(host.send(cdb, list), &copied));
    co_await test::poll_until(l.clock(), [&] {
      const auto* const copy = l.unit(0).copy_results().find(host.nexus().name(), 0);
      return copy != nullptr && copy->bytes > 0;
    });
    EXPECT_EQ((co_await other.send(sanitize(kBlockErase), {}, 1)).to_string(), "GOOD");
    (void)co_await scope.join();
    EXPECT_EQ(copied->to_string(), "a/0d/02");
    CO_ASSERT_OK_ASSIGN(const volume::ProvisionedRun run,
                        co_await l.unit(1).volume().provisioning(0, 32 << 20));
    EXPECT_FALSE(run.is_mapped);
    EXPECT_EQ(run.length, 32u << 20);
  });
}

TEST(SanitizeTest, AnAbortBeforeItBeginsLeavesTheUnitAsItWas) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Host& other = l.host("iqn.b");
    co_await mark(l);
    HeldDataOut held(l.pool(), Bytes(512, 'a'));
    held.is_held = true;
    std::optional<Answer> written;
    std::optional<Answer> sanitized;
    TaskScope scope(co_await this_task());
    scope.spawn(engine::keep(other.send_held({0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0}, held), &written));
    co_await test::yield_until([&] { return held.is_asked; });
    scope.spawn(engine::keep(host.send(sanitize(kBlockErase)), &sanitized));
    co_await l.store.sleep(10ms);
    (void)co_await l.device->manage(host.nexus(), TaskManagementFunction::kAbortTaskSet, 0, 0);
    EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), "GOOD");
    held.released.set();
    (void)co_await scope.join();
    EXPECT_EQ(sanitized->to_string(), "aborted");
    const bool is_untouched = co_await reads_as(l, 'a');
    EXPECT_TRUE(is_untouched);
  });
}

TEST(SanitizeTest, AServerThatStartsAgainFinishesIt) {
  UnitLab lab;
  lab.blocks = 16384;
  lab.crash(sim::CrashKind::kPowerFail, [](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    co_await mark(l);
    EXPECT_EQ(
        (co_await overwrite(host, overwrite_list(1, Bytes(512, 0xaa)), kImmediate)).to_string(),
        "GOOD");
    co_await l.store.sleep(100ms);
  });
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), "2/04/1b");
    co_await l.store.sleep(3s);
    EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), "GOOD");
    const bool is_pattern = co_await reads_as(l, 0xaa);
    EXPECT_TRUE(is_pattern);
  });
}

TEST(SanitizeTest, WithASnapshotItIsRefused) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    co_await mark(l);
    CO_ASSERT_OK(co_await l.unit().volume().replica().snapshot(engine::lab_uuid<SnapshotUuid>(9),
                                                               l.clock().wall_now()));
    EXPECT_EQ((co_await host.send(sanitize(kBlockErase))).to_string(), "5/2c/00");
    const bool is_untouched = co_await reads_as(l, 'a');
    EXPECT_TRUE(is_untouched);
    EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), "GOOD");
  });
}

TEST(SanitizeTest, ProtectionAndReservationsHold) {
  UnitLab lab;
  lab.settings.push_back({.name = "read-only", .read_only = true});
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Host& other = l.host("iqn.b");
    EXPECT_EQ((co_await host.send(sanitize(kBlockErase), {}, 1)).to_string(), "7/27/00");
    EXPECT_EQ((co_await other.send({0x16, 0, 0, 0, 0, 0})).to_string(), "GOOD");
    EXPECT_EQ((co_await host.send(sanitize(kBlockErase))).to_string(), "RESERVATION CONFLICT");
    EXPECT_EQ((co_await host.send(sanitize(kExitFailureMode))).to_string(), "RESERVATION CONFLICT");
  });
}

TEST(SanitizeTest, AFailureIsLeftByExitFailureModeWhereThatWasAllowed) {
  for (const bool allows : {false, true}) {
    UnitLab lab;
    lab.run([allows](UnitLab& l) -> Task<void> {
      Host& host = l.host("iqn.a");
      UnitState state = l.unit().memory().state();
      state.sanitize.phase = SanitizeState::Phase::kFailed;
      state.sanitize.allows_exit = allows;
      CO_ASSERT_OK(co_await l.unit().memory().store(std::move(state)));
      EXPECT_EQ((co_await host.send(sanitize(kExitFailureMode))).to_string(), "GOOD");
    });
    lab.run([allows](UnitLab& l) -> Task<void> {
      Host& host = l.host("iqn.a");
      EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), "3/31/03");
      EXPECT_EQ((co_await host.send({0x12, 0, 0, 0, 96, 0})).to_string(), "GOOD");
      EXPECT_EQ((co_await host.send(sanitize(kExitFailureMode))).to_string(),
                allows ? "GOOD" : "5/24/00");
      EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), allows ? "GOOD" : "3/31/03");
      EXPECT_EQ((co_await host.send(sanitize(kAllowExit | kBlockErase))).to_string(), "GOOD");
      EXPECT_EQ((co_await host.send(kTestUnitReady)).to_string(), "GOOD");
    });
  }
}

}  // namespace
}  // namespace ashlar::scsi
