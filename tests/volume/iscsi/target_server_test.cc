// Sessions from login to end: reinstatement, keep-alive, access, limits, hand-over, stop.
#include <gmock/gmock.h>

#include "common/runtime/timeout.h"
#include "tests/volume/iscsi/target_lab.h"

namespace ashlar::iscsi {
namespace {

using test::outcome_of;

class TargetServerTest : public TargetTest {};

// --- ISID and TSIH (L72) ---

TEST_P(TargetServerTest, ANewLoginOfTheSamePortEndsTheOldSessionAndItsTasksFirst) {
  serve([](TargetLab& lab) -> Task<void> {
    const std::vector<std::byte> before = lab.device->memory;
    CO_ASSERT_OK_ASSIGN(TestInitiator old, co_await lab.log_in());
    lab.device->go.reset();
    CO_ASSERT_OK(co_await old.send(old.write_command(0, 8), pattern(4096, 1)));
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->running() == 1; });

    CO_ASSERT_OK_ASSIGN(TestInitiator fresh, co_await lab.log_in());
    EXPECT_EQ(lab.device->running(), 0u) << "before the new session goes on";
    EXPECT_NE(fresh.tsih, old.tsih);
    EXPECT_EQ(lab.server->sessions().size(), 1u);
    EXPECT_EQ(outcome_of(co_await old.receive()), "UNAVAILABLE");
    lab.device->go.set();
    CO_ASSERT_OK(co_await fresh.send(fresh.test_unit_ready()));
    CO_ASSERT_OK(co_await fresh.receive());
    EXPECT_TRUE(lab.device->memory == before);
  });
}

TEST_P(TargetServerTest, SessionsOfOtherPortsLiveSideBySide) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator one, co_await lab.log_in());
    CO_ASSERT_OK_ASSIGN(TestInitiator two, co_await lab.connect());
    two.isid = 0x400001370001;
    CO_ASSERT_OK(co_await two.log_in());
    CO_ASSERT_OK_ASSIGN(TestInitiator three, co_await lab.connect());
    three.name = "iqn.2004-01.com.example:host2";
    CO_ASSERT_OK(co_await three.log_in());
    EXPECT_EQ(lab.server->sessions().size(), 3u);
    EXPECT_THAT((std::set<std::uint16_t>{one.tsih, two.tsih, three.tsih}), testing::SizeIs(3));
    // One that goes leaves the others alone.
    two.socket.reset();
    co_await test::poll_until(lab.runtime.clock,
                              [&] { return lab.server->sessions().size() == 2; });
    CO_ASSERT_OK(co_await one.send(one.test_unit_ready()));
    CO_ASSERT_OK(co_await one.receive());
    CO_ASSERT_OK(co_await three.send(three.test_unit_ready()));
    CO_ASSERT_OK(co_await three.receive());
    EXPECT_EQ(lab.metric("ashlar_iscsi_sessions"), 2);
  });
}

TEST_P(TargetServerTest, ALoginThatNamesASessionIsJudgedByIt) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator unknown, co_await lab.connect());
    unknown.tsih = 77;
    const Result<ReplyPdu> refused = co_await unknown.log_in();
    CO_ASSERT_TRUE(!refused.ok());
    EXPECT_NE(refused.error().message().find("0x020a"), std::string::npos)
        << refused.error().message();
    // The same connection made anew: the session's number stays.
    CO_ASSERT_OK_ASSIGN(TestInitiator first, co_await lab.log_in());
    CO_ASSERT_OK_ASSIGN(TestInitiator again, co_await lab.connect());
    again.tsih = first.tsih;
    CO_ASSERT_OK(co_await again.log_in());
    EXPECT_EQ(again.tsih, first.tsih);
    EXPECT_EQ(lab.server->sessions().size(), 1u);
    EXPECT_EQ(outcome_of(co_await first.receive()), "UNAVAILABLE");
  });
}

// --- limits ---

TEST_P(TargetServerTest, ALoginThatTakesTooLongIsEnded) {
  TargetServerOptions options;
  options.login_timeout = 50ms;
  serve_with(options, [](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator silent, co_await lab.connect());
    EXPECT_EQ(outcome_of(co_await silent.receive()), "UNAVAILABLE");
    EXPECT_EQ(lab.metric("ashlar_iscsi_failed_logins_total"), 1);
    EXPECT_EQ(lab.metric("ashlar_iscsi_connections"), 0);
  });
}

TEST_P(TargetServerTest, WhatIsNoLoginIsRefused) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.connect());
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    CO_ASSERT_TRUE(reply.opcode() == Opcode::kLoginResponse);
    EXPECT_EQ(reply.as<LoginResponsePdu>().status,
              static_cast<std::uint16_t>(LoginStatus::kInvalidDuringLogin));
    EXPECT_EQ(outcome_of(co_await host.receive()), "UNAVAILABLE");
    EXPECT_TRUE(lab.device->seen.empty());
  });
}

TEST_P(TargetServerTest, MoreConnectionsThanAllowedAreClosed) {
  TargetServerOptions options;
  options.connections_max = 2;
  serve_with(options, [](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator one, co_await lab.log_in());
    CO_ASSERT_OK_ASSIGN(TestInitiator two, co_await lab.connect());
    CO_ASSERT_OK_ASSIGN(TestInitiator three, co_await lab.connect());
    EXPECT_EQ(outcome_of(co_await three.receive()), "UNAVAILABLE");
    EXPECT_EQ(lab.metric("ashlar_iscsi_refused_connections_total"), 1);
    two.socket.reset();
    co_await test::poll_until(lab.runtime.clock,
                              [&] { return lab.metric("ashlar_iscsi_connections") == 1; });
    CO_ASSERT_OK_ASSIGN(TestInitiator four, co_await lab.connect());
    four.isid = 9;
    CO_ASSERT_OK(co_await four.log_in());
  });
}

TEST_P(TargetServerTest, AnUnknownTargetIsNotFound) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.connect());
    const Result<ReplyPdu> refused = co_await host.log_in("", "iqn.2026-01.io.ashlar:other");
    CO_ASSERT_TRUE(!refused.ok());
    EXPECT_NE(refused.error().message().find("0x0203"), std::string::npos);
  });
}

// --- keep-alive ---

TEST_P(TargetServerTest, ASilentInitiatorIsAskedAndStaysWhenItAnswers) {
  TargetServerOptions options;
  options.idle_ping = 30ms;
  options.ping_timeout = 2s;
  serve_with(options, [](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    for (int i = 0; i < 3; ++i) {
      const std::uint32_t number = host.exp_stat_sn;
      CO_ASSERT_OK_ASSIGN(const ReplyPdu ping, co_await host.receive());
      CO_ASSERT_TRUE(ping.opcode() == Opcode::kNopIn);
      const auto header = ping.as<NopInPdu>();
      EXPECT_EQ(header.initiator_task_tag, kReservedTag);
      EXPECT_NE(header.target_transfer_tag, kReservedTag);
      EXPECT_EQ(header.stat_sn, number) << "it takes no number";
      NopOutPdu pong;
      pong.opcode |= kImmediate;
      pong.target_transfer_tag = header.target_transfer_tag;
      pong.cmd_sn = host.cmd_sn;
      CO_ASSERT_OK(co_await host.send(pong));
    }
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive(Opcode::kScsiResponse));
    EXPECT_EQ(reply.as<ScsiResponsePdu>().status, 0);
  });
}

TEST_P(TargetServerTest, ADeadPeersSessionIsFreed) {
  TargetServerOptions options;
  options.idle_ping = 30ms;
  options.ping_timeout = 30ms;
  serve_with(options, [](TargetLab& lab) -> Task<void> {
    lab.device->go.reset();
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 8), pattern(4096, 1)));
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.server->sessions().empty(); });
    EXPECT_EQ(lab.device->running(), 0u);
    EXPECT_EQ(lab.metric("ashlar_iscsi_dead_peers_total"), 1);
    EXPECT_EQ(lab.pool.statistics().buffers, 0u);
  });
}

// --- access (L98) ---

Task<Result<>> write_until_closed(TestInitiator& host) {
  while (true) {
    ASHLAR_CO_TRY(co_await host.send(host.write_command(0, 8), pattern(4096, 1)));
    ASHLAR_CO_TRY(co_await host.receive());
  }
}
Task<void> write_and_note(TestInitiator& host, std::string& outcome) {
  outcome = outcome_of(co_await write_until_closed(host));
}

TEST_P(TargetServerTest, WhoMayNotUseATargetAnyMoreIsOutAtOnce) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator out, co_await lab.log_in());
    CO_ASSERT_OK_ASSIGN(TestInitiator stays, co_await lab.connect());
    stays.name = "iqn.2004-01.com.example:host2";
    CO_ASSERT_OK(co_await stays.log_in());
    std::string outcome;
    TaskScope scope(co_await this_task());
    scope.spawn(write_and_note(out, outcome));
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->executed > 20; });

    volume::AccessRules rules;
    rules.initiators = {"iqn.2004-01.com.example:host2"};
    CO_ASSERT_OK(co_await lab.server->set_access(TestInitiator::kTargetName, rules));
    const std::uint64_t executed = lab.device->executed;
    EXPECT_EQ(lab.device->running(), 0u);
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(outcome, "UNAVAILABLE");
    EXPECT_EQ(lab.device->executed, executed) << "no late write";
    CO_ASSERT_OK(co_await stays.send(stays.test_unit_ready()));
    CO_ASSERT_OK(co_await stays.receive());
    const Result<TestInitiator> again = co_await lab.log_in();
    CO_ASSERT_TRUE(!again.ok());
    EXPECT_NE(again.error().message().find("0x0202"), std::string::npos);
  });
}

TEST_P(TargetServerTest, ARemovedTargetIsGoneWithItsSessions) {
  serve([](TargetLab& lab) -> Task<void> {
    lab.device->go.reset();
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 8), pattern(4096, 1)));
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->running() == 1; });
    CO_ASSERT_OK(co_await lab.server->remove_target(TestInitiator::kTargetName));
    EXPECT_EQ(lab.device->running(), 0u);
    EXPECT_EQ(outcome_of(co_await host.receive()), "UNAVAILABLE");
    EXPECT_FALSE((co_await lab.log_in()).ok());
    EXPECT_EQ(outcome_of(co_await lab.server->remove_target(TestInitiator::kTargetName)),
              "NOT_FOUND");
    CO_ASSERT_OK(lab.server->add_target({TestInitiator::kTargetName, lab.device.get(), {}}));
    lab.device->go.set();
    CO_ASSERT_OK(co_await lab.log_in());
  });
}

// --- hand-over ---

TEST_P(TargetServerTest, AConnectionIsHandedToTheServerThatHasItsTarget) {
  serve([](TargetLab& lab) -> Task<void> {
    const std::string elsewhere = "iqn.2026-01.io.ashlar:elsewhere";
    TestDirectory nothing;
    TestDevice device(lab.runtime, lab.pool);
    device.go.set();
    TargetServer other(lab.runtime, lab.pool, {}, nothing, nullptr);
    CO_ASSERT_OK(other.add_target({elsewhere, &device, {}}));
    lab.directory.routed = elsewhere;
    lab.directory.to = &other;

    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.connect());
    CO_ASSERT_OK(co_await host.log_in("", elsewhere));
    EXPECT_EQ(lab.server->sessions().size(), 0u);
    CO_ASSERT_TRUE(other.sessions().size() == 1);
    EXPECT_EQ(other.sessions()[0].target, elsewhere);
    EXPECT_EQ(other.sessions()[0].peer, host.socket->local());
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 8), pattern(4096, 1)));
    CO_ASSERT_OK(co_await host.receive());
    EXPECT_EQ(device.executed, 1u);
    EXPECT_EQ(lab.metric("ashlar_iscsi_moved_connections_total"), 1);
    // Its own targets and discovery stay here.
    CO_ASSERT_OK_ASSIGN(TestInitiator local, co_await lab.log_in());
    CO_ASSERT_OK_ASSIGN(TestInitiator discovery, co_await lab.connect());
    CO_ASSERT_OK(co_await discovery.log_in("", ""));
    EXPECT_EQ(lab.server->sessions().size(), 2u);
    CO_ASSERT_OK(co_await other.stop(50ms));
  });
}

// --- stop ---

TEST_P(TargetServerTest, StopAsksHostsToLogOutAndLetsCommandsFinish) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    lab.device->go.reset();
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 8), pattern(4096, 1)));
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->running() == 1; });
    constexpr auto kHost = [](TestInitiator& initiator, TestDevice& device) -> Task<Result<>> {
      ASHLAR_CO_TRY_ASSIGN(const ReplyPdu asked, co_await initiator.receive());
      EXPECT_EQ(asked.opcode(), Opcode::kAsyncMessage);
      EXPECT_EQ(asked.as<AsyncMessagePdu>().event,
                static_cast<std::uint8_t>(AsyncEvent::kRequestLogout));
      EXPECT_EQ(asked.as<AsyncMessagePdu>().parameter3, 3);
      device.go.set();
      ASHLAR_CO_TRY_ASSIGN(const ReplyPdu written, co_await initiator.receive());
      EXPECT_EQ(written.opcode(), Opcode::kScsiResponse);
      ASHLAR_CO_TRY(co_await initiator.send(initiator.logout()));
      ASHLAR_CO_TRY_ASSIGN(const ReplyPdu bye, co_await initiator.receive());
      EXPECT_EQ(bye.opcode(), Opcode::kLogoutResponse);
      co_return {};
    };
    TaskScope scope(co_await this_task());
    scope.spawn(kHost(host, *lab.device));
    const MonoTime began = lab.runtime.clock.now();
    CO_ASSERT_OK(co_await lab.server->stop(3s));
    EXPECT_LT(lab.runtime.clock.now() - began, Duration(2s)) << "no longer than it takes";
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_FALSE((co_await lab.log_in()).ok());
  });
}

TEST_P(TargetServerTest, StopDoesNotWaitLongerThanItsGrace) {
  serve([](TargetLab& lab) -> Task<void> {
    lab.device->go.reset();
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    CO_ASSERT_OK(co_await host.send(host.write_command(0, 8), pattern(4096, 1)));
    CO_ASSERT_OK_ASSIGN(TestInitiator half, co_await lab.connect());
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.device->running() == 1; });
    const MonoTime began = lab.runtime.clock.now();
    CO_ASSERT_OK(co_await lab.server->stop(100ms));
    EXPECT_LT(lab.runtime.clock.now() - began, Duration(1s));
    EXPECT_EQ(lab.device->running(), 0u);
    EXPECT_EQ(lab.device->executed, 0u);
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(TargetServerTest);

}  // namespace
}  // namespace ashlar::iscsi
