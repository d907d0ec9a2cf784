// Task management (L71): an answer means that nothing of the tasks comes any more.
#include <gmock/gmock.h>

#include "tests/volume/iscsi/target_lab.h"

namespace ashlar::iscsi {
namespace {

using test::outcome_of;

class TaskManagementTest : public TargetTest {};

std::uint8_t response_of(const ReplyPdu& reply) {
  return reply.opcode() == Opcode::kTaskManagementResponse
             ? reply.as<TaskManagementResponsePdu>().response
             : 0xfe;
}
constexpr auto kComplete = static_cast<std::uint8_t>(TaskFunctionResponse::kComplete);
constexpr auto kNoTask = static_cast<std::uint8_t>(TaskFunctionResponse::kTaskDoesNotExist);
constexpr auto kNoLun = static_cast<std::uint8_t>(TaskFunctionResponse::kLunDoesNotExist);
constexpr auto kNotSupported = static_cast<std::uint8_t>(TaskFunctionResponse::kNotSupported);

TEST_P(TaskManagementTest, AnAbortedWriteHasNoEffectAndNoAnswer) {
  serve([](TargetLab& lab) -> Task<void> {
    const std::vector<std::byte> before = lab.device->memory;
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    lab.device->go.reset();
    const ScsiCommandPdu write = host.write_command(0, 8);
    CO_ASSERT_OK(co_await host.send(write, pattern(4096, 1)));
    CO_ASSERT_OK(co_await host.send(
        host.task_management(TaskFunction::kAbortTask, write.initiator_task_tag)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(response_of(reply), kComplete);
    EXPECT_EQ(lab.device->running(), 0u);
    lab.device->go.set();
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu next, co_await host.receive());
    EXPECT_NE(next.as<BasicHeader>().initiator_task_tag, write.initiator_task_tag);
    EXPECT_TRUE(lab.device->memory == before);
    // It is gone.
    CO_ASSERT_OK(co_await host.send(
        host.task_management(TaskFunction::kAbortTask, write.initiator_task_tag)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu again, co_await host.receive());
    EXPECT_EQ(response_of(again), kNoTask);
    EXPECT_EQ(host.max_cmd_sn, host.exp_cmd_sn + 127) << "its place in the window is free";
  });
}

TEST_P(TaskManagementTest, AWriteThatWaitsForDataIsAbortedAndLateDataIsDropped) {
  serve([](TargetLab& lab) -> Task<void> {
    const std::vector<std::byte> before = lab.device->memory;
    CO_ASSERT_OK_ASSIGN(TestInitiator host,
                        co_await lab.log_in("InitialR2T=Yes;ImmediateData=No;"));
    const ScsiCommandPdu write = host.write_command(0, 8);
    CO_ASSERT_OK(co_await host.send(write));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu asked, co_await host.receive());
    CO_ASSERT_TRUE(asked.opcode() == Opcode::kReadyToTransfer);
    CO_ASSERT_OK(co_await host.send(host.task_management(TaskFunction::kLogicalUnitReset)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(response_of(reply), kComplete);
    DataOutPdu data;
    data.flags = kFinal;
    data.initiator_task_tag = write.initiator_task_tag;
    data.target_transfer_tag = asked.as<ReadyToTransferPdu>().target_transfer_tag;
    CO_ASSERT_OK(co_await host.send(data, pattern(4096, 1)));
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu next, co_await host.receive());
    EXPECT_EQ(next.opcode(), Opcode::kScsiResponse);
    EXPECT_TRUE(lab.device->memory == before);
  });
}

TEST_P(TaskManagementTest, ATaskWhoseAnswerWaitsForAnnouncedDataIsAborted) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in("InitialR2T=No;"));
    ScsiCommandPdu bad = host.command(0xc0, 0, 8, kFlagWrite);
    bad.flags = static_cast<std::uint8_t>(bad.flags & ~kFinal);
    CO_ASSERT_OK(co_await host.send(bad));
    CO_ASSERT_OK(
        co_await host.send(host.task_management(TaskFunction::kAbortTask, bad.initiator_task_tag)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(response_of(reply), kComplete);
    DataOutPdu data;
    data.flags = kFinal;
    data.initiator_task_tag = bad.initiator_task_tag;
    CO_ASSERT_OK(co_await host.send(data, pattern(4096, 1)));
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu next, co_await host.receive());
    EXPECT_NE(next.as<BasicHeader>().initiator_task_tag, bad.initiator_task_tag);
  });
}

TEST_P(TaskManagementTest, FunctionsOnAllTasksEndTheEarlierOnesOnly) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    for (const TaskFunction function :
         {TaskFunction::kAbortTaskSet, TaskFunction::kClearTaskSet, TaskFunction::kLogicalUnitReset,
          TaskFunction::kTargetWarmReset}) {
      lab.device->go.reset();
      const std::uint64_t executed = lab.device->executed;
      std::vector<std::byte> burst;
      const auto add = [&](ByteSpan pdu) { burst.insert(burst.end(), pdu.begin(), pdu.end()); };
      for (int i = 0; i < 5; ++i) add(host.encode(host.write_command(0, 1), pattern(512, 1)));
      add(host.encode(host.task_management(function)));
      const ScsiCommandPdu later = host.test_unit_ready();
      add(host.encode(later));
      CO_ASSERT_OK(co_await host.socket->send(ByteSpan(burst)));
      CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
      EXPECT_EQ(response_of(reply), kComplete);
      lab.device->go.set();
      CO_ASSERT_OK_ASSIGN(const ReplyPdu next, co_await host.receive());
      EXPECT_EQ(next.as<BasicHeader>().initiator_task_tag, later.initiator_task_tag);
      EXPECT_EQ(lab.device->executed, executed + 1);
    }
  });
}

TEST_P(TaskManagementTest, WhatIsNotThereOrNotSupportedIsSaid) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    TaskManagementRequestPdu other = host.task_management(TaskFunction::kLogicalUnitReset);
    other.lun = 0x0005000000000000;
    CO_ASSERT_OK(co_await host.send(other));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu no_lun, co_await host.receive());
    EXPECT_EQ(response_of(no_lun), kNoLun);
    CO_ASSERT_OK(co_await host.send(host.task_management(TaskFunction::kClearAca)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu aca, co_await host.receive());
    EXPECT_EQ(response_of(aca), kNotSupported);
    CO_ASSERT_OK(co_await host.send(host.task_management(TaskFunction::kTaskReassign, 5)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reassign, co_await host.receive());
    EXPECT_EQ(response_of(reassign),
              static_cast<std::uint8_t>(TaskFunctionResponse::kReassignmentNotSupported));
    CO_ASSERT_OK(co_await host.send(host.task_management(static_cast<TaskFunction>(0x55))));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu unknown, co_await host.receive());
    EXPECT_EQ(response_of(unknown), kNotSupported);
    // A task of another unit is not this one.
    lab.device->go.reset();
    const ScsiCommandPdu running = host.test_unit_ready();
    CO_ASSERT_OK(co_await host.send(running));
    TaskManagementRequestPdu wrong =
        host.task_management(TaskFunction::kAbortTask, running.initiator_task_tag);
    wrong.lun = 0x0005000000000000;
    CO_ASSERT_OK(co_await host.send(wrong));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu not_it, co_await host.receive());
    EXPECT_EQ(response_of(not_it), kNoTask);
    lab.device->go.set();
    CO_ASSERT_OK_ASSIGN(const ReplyPdu done, co_await host.receive());
    EXPECT_EQ(done.opcode(), Opcode::kScsiResponse);
  });
}

// RFC 7143, 11.5.5: a task that has not come yet is aborted by its number.
TEST_P(TaskManagementTest, ATaskThatIsStillToComeIsAbortedByItsNumber) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    const ScsiCommandPdu lost = host.test_unit_ready();
    TaskManagementRequestPdu abort =
        host.task_management(TaskFunction::kAbortTask, lost.initiator_task_tag);
    abort.ref_cmd_sn = lost.cmd_sn;
    CO_ASSERT_OK(co_await host.send(abort));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(response_of(reply), kComplete);
    CO_ASSERT_OK(co_await host.send(lost));
    CO_ASSERT_OK(co_await host.send(host.test_unit_ready()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu next, co_await host.receive());
    EXPECT_NE(next.as<BasicHeader>().initiator_task_tag, lost.initiator_task_tag);
    EXPECT_EQ(lab.device->seen.size(), 1u);
    EXPECT_EQ(host.exp_cmd_sn, 3u);
  });
}

TEST_P(TaskManagementTest, AnAbortedCommandAheadOfItsTurnUsesUpItsNumber) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    const ScsiCommandPdu first = host.test_unit_ready();
    const ScsiCommandPdu second = host.test_unit_ready();
    const ScsiCommandPdu third = host.test_unit_ready();
    CO_ASSERT_OK(co_await host.send(second));
    CO_ASSERT_OK(co_await host.send(third));
    CO_ASSERT_OK(co_await host.send(
        host.task_management(TaskFunction::kAbortTask, second.initiator_task_tag)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await host.receive());
    EXPECT_EQ(response_of(reply), kComplete);
    CO_ASSERT_OK(co_await host.send(first));
    for (int i = 0; i < 2; ++i) CO_ASSERT_OK(co_await host.receive());
    EXPECT_THAT(lab.device->seen,
                testing::ElementsAre(first.initiator_task_tag, third.initiator_task_tag));
  });
}

TEST_P(TaskManagementTest, AColdResetEndsAllSessionsOfTheTarget) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator one, co_await lab.log_in());
    CO_ASSERT_OK_ASSIGN(TestInitiator two, co_await lab.connect());
    two.isid = 7;
    CO_ASSERT_OK(co_await two.log_in());
    CO_ASSERT_OK(co_await one.send(one.task_management(TaskFunction::kTargetColdReset)));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu reply, co_await one.receive());
    EXPECT_EQ(response_of(reply), kComplete);
    EXPECT_EQ(outcome_of(co_await one.receive()), "UNAVAILABLE");
    EXPECT_EQ(outcome_of(co_await two.receive()), "UNAVAILABLE");
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.server->sessions().empty(); });
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(TaskManagementTest);

}  // namespace
}  // namespace ashlar::iscsi
