// One session in full feature phase, PDU by PDU, on both runtimes.
#include <gmock/gmock.h>

#include "tests/volume/iscsi/target_lab.h"

namespace ashlar::iscsi {
namespace {

using test::outcome_of;

class SessionTest : public TargetTest {};

TEST_P(SessionTest, ALoginAReadAWriteAndALogout) {
  serve([](TargetLab& lab) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    EXPECT_NE(host.tsih, 0);
    EXPECT_EQ(lab.server->sessions().size(), 1u);
    const std::vector<std::byte> data = pattern(4096, 1);

    const ScsiCommandPdu write = host.write_command(8, 8);
    CO_ASSERT_OK(co_await host.send(write, data));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu written, co_await host.receive());
    CO_ASSERT_TRUE(written.opcode() == Opcode::kScsiResponse);
    EXPECT_EQ(written.as<ScsiResponsePdu>().status, 0);
    EXPECT_EQ(written.as<ScsiResponsePdu>().initiator_task_tag, write.initiator_task_tag);
    EXPECT_EQ(written.as<ScsiResponsePdu>().flags, kFinal);

    const ScsiCommandPdu read = host.read_command(8, 8);
    CO_ASSERT_OK(co_await host.send(read));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu answer, co_await host.receive());
    CO_ASSERT_TRUE(answer.opcode() == Opcode::kDataIn);
    const auto header = answer.as<DataInPdu>();
    EXPECT_EQ(header.flags, kFinal | kFlagStatus);
    EXPECT_EQ(header.status, 0);
    EXPECT_EQ(header.data_sn, 0u);
    EXPECT_EQ(header.buffer_offset, 0u);
    EXPECT_EQ(header.residual, 0u);
    EXPECT_EQ(header.exp_cmd_sn, 3u);
    EXPECT_EQ(header.max_cmd_sn, 3u + 128 - 1);
    EXPECT_EQ(answer.data, data);

    CO_ASSERT_OK(co_await host.send(host.logout()));
    CO_ASSERT_OK_ASSIGN(const ReplyPdu bye, co_await host.receive());
    EXPECT_EQ(bye.opcode(), Opcode::kLogoutResponse);
    EXPECT_EQ(bye.as<LogoutResponsePdu>().response, 0);
    EXPECT_EQ(outcome_of(co_await host.receive()), "UNAVAILABLE");
    co_await test::poll_until(lab.runtime.clock, [&] { return lab.server->sessions().empty(); });
  });
}

INSTANTIATE_ON_BOTH_RUNTIMES(SessionTest);

}  // namespace
}  // namespace ashlar::iscsi
