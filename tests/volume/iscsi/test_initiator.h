// An iSCSI initiator for tests, PDU by PDU: it sends what a test says, right or wrong, and gives
// back what the target answers. It keeps the numbers (CmdSN, ExpStatSN) unless a test sets them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/runtime/runtime.h"
#include "volume/iscsi/digest.h"
#include "volume/iscsi/login.h"
#include "volume/iscsi/pdu.h"

namespace ashlar::iscsi {

struct ReplyPdu {
  std::array<std::byte, kHeaderSize> header{};
  std::vector<std::byte> data;

  Opcode opcode() const {
    return static_cast<Opcode>(std::to_integer<std::uint8_t>(header[0]) & kOpcodeMask);
  }
  template <class Header>
  Header as() const {
    return read_header<Header>(header);
  }
};

class TestInitiator {
 public:
  explicit TestInitiator(std::unique_ptr<Connection> connection) : socket(std::move(connection)) {}

  std::unique_ptr<Connection> socket;
  bool header_digest = false;
  bool data_digest = false;
  std::uint32_t cmd_sn = 1;
  std::uint32_t exp_stat_sn = 0;
  std::uint32_t max_cmd_sn = 0;
  std::uint32_t exp_cmd_sn = 0;
  std::uint32_t next_tag = 1;
  std::uint64_t isid = 0x400001370000;
  std::uint16_t tsih = 0;
  std::string name = "iqn.2004-01.com.example:host1";

  // The bytes of a PDU as they go over the wire, digests as agreed. data_segment_length is set.
  template <class Header>
  std::vector<std::byte> encode(Header header, ByteSpan data = {}, ByteSpan ahs = {}) const {
    header.data_segment_length = static_cast<std::uint32_t>(data.size());
    header.total_ahs_length = static_cast<std::uint8_t>(ahs.size() / 4);
    std::vector<std::byte> bytes;
    const auto append = [&](ByteSpan more) { bytes.insert(bytes.end(), more.begin(), more.end()); };
    append(header_bytes(header));
    append(ahs);
    if (header_digest) append(digest_bytes(crc32c(bytes)));
    if (data.empty()) return bytes;
    const std::size_t at = bytes.size();
    append(data);
    bytes.resize(bytes.size() + padding_after(static_cast<std::uint32_t>(data.size())));
    if (data_digest) append(digest_bytes(crc32c(ByteSpan(bytes).subspan(at))));
    return bytes;
  }

  template <class Header>
  Task<Result<>> send(Header header, std::vector<std::byte> data = {}) {
    const std::vector<std::byte> bytes = encode(header, data);
    co_return co_await socket->send(ByteSpan(bytes));
  }

  Task<Result<ReplyPdu>> receive() {
    ReplyPdu pdu;
    ASHLAR_CO_TRY(co_await receive_exactly(pdu.header));
    if (header_digest) {
      std::array<std::byte, kDigestSize> digest;
      ASHLAR_CO_TRY(co_await receive_exactly(digest));
      if (!digest_matches(digest, crc32c(pdu.header))) co_return Error::data_loss("header digest");
    }
    const std::uint32_t length = pdu.as<BasicHeader>().data_segment_length;
    pdu.data.resize(with_padding(length));
    ASHLAR_CO_TRY(co_await receive_exactly(pdu.data));
    if (data_digest && length > 0) {
      std::array<std::byte, kDigestSize> digest;
      ASHLAR_CO_TRY(co_await receive_exactly(digest));
      if (!digest_matches(digest, crc32c(pdu.data))) co_return Error::data_loss("data digest");
    }
    pdu.data.resize(length);
    note(pdu);
    co_return pdu;
  }

  // Receives until a PDU of this kind comes.
  Task<Result<ReplyPdu>> receive(Opcode opcode) {
    while (true) {
      ASHLAR_CO_TRY_ASSIGN(ReplyPdu pdu, co_await receive());
      if (pdu.opcode() == opcode) co_return pdu;
    }
  }

  // From the operational stage straight into full feature phase; `keys` as "A=1;B=2;".
  Task<Result<ReplyPdu>> log_in(std::string keys = "", std::string target = kTargetName) {
    std::string text = "InitiatorName=" + name + ";SessionType=" +
                       (target.empty() ? "Discovery;" : "Normal;TargetName=" + target + ";") + keys;
    std::ranges::replace(text, ';', '\0');
    LoginRequestPdu request;
    request.flags = kFlagTransit | 1 << 2 | 3;
    request.isid = isid;
    request.tsih = tsih;
    request.initiator_task_tag = next_tag++;
    request.cmd_sn = cmd_sn;
    const ByteSpan bytes = bytes_of(text);
    ASHLAR_CO_TRY(co_await send(request, {bytes.begin(), bytes.end()}));
    ASHLAR_CO_TRY_ASSIGN(ReplyPdu reply, co_await receive());
    const auto header = reply.as<LoginResponsePdu>();
    if (reply.opcode() != Opcode::kLoginResponse || header.status != 0) {
      co_return Error::permission_denied("status {:#06x}", std::uint16_t{header.status});
    }
    tsih = header.tsih;
    header_digest = keys.find("HeaderDigest=CRC32C") != std::string::npos;
    data_digest = keys.find("DataDigest=CRC32C") != std::string::npos;
    co_return reply;
  }

  // --- requests, with the next tag and CmdSN ---

  ScsiCommandPdu command(std::uint8_t opcode, std::uint32_t lba, std::uint16_t blocks,
                         std::uint8_t direction) {
    ScsiCommandPdu pdu;
    pdu.flags = static_cast<std::uint8_t>(kFinal | direction | 1);
    pdu.initiator_task_tag = next_tag++;
    pdu.expected_length = std::uint32_t{blocks} * 512;
    pdu.cmd_sn = cmd_sn++;
    pdu.exp_stat_sn = exp_stat_sn;
    pdu.cdb[0] = std::byte{opcode};
    store_be32(pdu.cdb, 2, lba);
    store_be16(pdu.cdb, 7, blocks);
    return pdu;
  }
  ScsiCommandPdu read_command(std::uint32_t lba, std::uint16_t blocks) {
    return command(0x28, lba, blocks, kFlagRead);
  }
  ScsiCommandPdu write_command(std::uint32_t lba, std::uint16_t blocks) {
    return command(0x2a, lba, blocks, kFlagWrite);
  }
  ScsiCommandPdu test_unit_ready() { return command(0, 0, 0, 0); }
  NopOutPdu nop_out() {
    NopOutPdu pdu;
    pdu.initiator_task_tag = next_tag++;
    pdu.cmd_sn = cmd_sn++;
    pdu.exp_stat_sn = exp_stat_sn;
    return pdu;
  }
  TaskManagementRequestPdu task_management(TaskFunction function,
                                           std::uint32_t referenced = kReservedTag) {
    TaskManagementRequestPdu pdu;
    pdu.opcode |= kImmediate;
    pdu.flags = static_cast<std::uint8_t>(kFinal | static_cast<unsigned>(function));
    pdu.initiator_task_tag = next_tag++;
    pdu.referenced_task_tag = referenced;
    pdu.cmd_sn = cmd_sn;
    pdu.exp_stat_sn = exp_stat_sn;
    return pdu;
  }
  LogoutRequestPdu logout(LogoutReason reason = LogoutReason::kCloseSession) {
    LogoutRequestPdu pdu;
    pdu.flags = static_cast<std::uint8_t>(kFinal | static_cast<unsigned>(reason));
    pdu.initiator_task_tag = next_tag++;
    pdu.cmd_sn = cmd_sn++;
    pdu.exp_stat_sn = exp_stat_sn;
    return pdu;
  }

  static constexpr const char* kTargetName = "iqn.2026-01.io.ashlar:vol1";

 private:
  void note(const ReplyPdu& pdu) {
    const auto header = pdu.as<NopInPdu>();
    exp_cmd_sn = header.exp_cmd_sn;
    max_cmd_sn = header.max_cmd_sn;
    const bool has_status =
        pdu.opcode() != Opcode::kDataIn || has_flag(pdu.as<DataInPdu>(), kFlagStatus);
    const bool takes_number =
        pdu.opcode() != Opcode::kReadyToTransfer &&
        (pdu.opcode() != Opcode::kNopIn || header.initiator_task_tag != kReservedTag);
    if (has_status && takes_number) exp_stat_sn = header.stat_sn + 1;
  }

  Task<Result<>> receive_exactly(MutableByteSpan into) {
    while (!into.empty()) {
      ASHLAR_CO_TRY_ASSIGN(const std::size_t count, co_await socket->receive(into));
      if (count == 0) co_return Error::unavailable("the target has closed the connection");
      into = into.subspan(count);
    }
    co_return {};
  }
};

}  // namespace ashlar::iscsi
