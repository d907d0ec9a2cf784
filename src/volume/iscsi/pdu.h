// The headers of iSCSI PDUs (RFC 7143, section 11), each a struct of 48 bytes as they stand on the
// wire: what one reads is what one writes. Numbers are big-endian inside and plain outside.
//
//   const auto command = read_header<ScsiCommandPdu>(bytes);      // 48 bytes, any alignment
//   if (command.expected_length > limit) …
//
//   LogoutResponsePdu answer;                                     // opcode and fixed bits are set
//   answer.initiator_task_tag = request.initiator_task_tag;
//   std::memcpy(out, header_bytes(answer).data(), kHeaderSize);
//
// Reading judges nothing: any 48 bytes give a header. The one who handles an opcode checks its
// fields. Reserved fields are written as zero and not looked at when read (11.1).
//
// On the wire a PDU is: header (48), additional header segments (4 * total_ahs_length, ahs.h),
// header digest (4, if negotiated), data segment (padded to 4), data digest (4, if negotiated and
// if there is a data segment). digest.h has the digests.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "common/base/bytes.h"

namespace ashlar::iscsi {

// A number of N bytes in network order, at any alignment.
template <class T, std::size_t N = sizeof(T)>
class BigEndian {
 public:
  constexpr BigEndian() = default;
  constexpr BigEndian(T value) { set(value); }  // NOLINT(google-explicit-constructor)
  constexpr BigEndian& operator=(T value) {
    set(value);
    return *this;
  }
  constexpr operator T() const {  // NOLINT(google-explicit-constructor)
    T value = 0;
    for (const std::uint8_t byte : bytes_) value = static_cast<T>(value << 8 | byte);
    return value;
  }

 private:
  constexpr void set(T value) {
    for (std::size_t i = 0; i < N; ++i) {
      bytes_[i] = static_cast<std::uint8_t>(value >> (8 * (N - 1 - i)));
    }
  }
  std::array<std::uint8_t, N> bytes_{};
};
using Be16 = BigEndian<std::uint16_t>;
using Be24 = BigEndian<std::uint32_t, 3>;
using Be32 = BigEndian<std::uint32_t>;
using Be48 = BigEndian<std::uint64_t, 6>;
using Be64 = BigEndian<std::uint64_t>;

inline constexpr std::size_t kHeaderSize = 48;
inline constexpr std::size_t kDigestSize = 4;
inline constexpr std::uint32_t kDataSegmentLimit = (1u << 24) - 1;
inline constexpr std::uint32_t kReservedTag = 0xffffffff;  // "no tag" in ITT and TTT fields

// 11.2.1.2. 0x1c to 0x1e and 0x3c to 0x3e are for vendors, the rest is reserved.
enum class Opcode : std::uint8_t {
  kNopOut = 0x00,
  kScsiCommand = 0x01,
  kTaskManagementRequest = 0x02,
  kLoginRequest = 0x03,
  kTextRequest = 0x04,
  kDataOut = 0x05,
  kLogoutRequest = 0x06,
  kSnackRequest = 0x10,
  kNopIn = 0x20,
  kScsiResponse = 0x21,
  kTaskManagementResponse = 0x22,
  kLoginResponse = 0x23,
  kTextResponse = 0x24,
  kDataIn = 0x25,
  kLogoutResponse = 0x26,
  kReadyToTransfer = 0x31,
  kAsyncMessage = 0x32,
  kReject = 0x3f,
};
std::string_view to_string(Opcode opcode);  // "SCSI Command"; "unknown opcode" for others

inline constexpr std::uint8_t kImmediate = 0x40;  // I: of the first byte
inline constexpr std::uint8_t kOpcodeMask = 0x3f;
inline constexpr std::uint8_t kFinal = 0x80;  // F: of the second byte

inline constexpr std::uint8_t kFlagRead = 0x40;           // SCSI Command
inline constexpr std::uint8_t kFlagWrite = 0x20;          // SCSI Command
inline constexpr std::uint8_t kAttributeMask = 0x07;      // SCSI Command: scsi::TaskAttribute
inline constexpr std::uint8_t kFlagBidiOverflow = 0x10;   // SCSI Response
inline constexpr std::uint8_t kFlagBidiUnderflow = 0x08;  // SCSI Response
inline constexpr std::uint8_t kFlagOverflow = 0x04;       // SCSI Response, Data-In
inline constexpr std::uint8_t kFlagUnderflow = 0x02;      // SCSI Response, Data-In
inline constexpr std::uint8_t kFlagStatus = 0x01;         // Data-In: carries the status
inline constexpr std::uint8_t kFlagAcknowledge = 0x40;    // Data-In: only with recovery level > 0
inline constexpr std::uint8_t kFlagContinue = 0x40;       // Login, Text: the text goes on
inline constexpr std::uint8_t kFlagTransit = 0x80;        // Login
inline constexpr std::uint8_t kFunctionMask = 0x7f;       // Task Management: TaskFunction
inline constexpr std::uint8_t kReasonMask = 0x7f;         // Logout: LogoutReason

// 11.4.3.
enum class CommandResponse : std::uint8_t {
  kCompleted = 0x00,
  kTargetFailure = 0x01,
};

// 11.5.1.
enum class TaskFunction : std::uint8_t {
  kAbortTask = 1,
  kAbortTaskSet = 2,
  kClearAca = 3,
  kClearTaskSet = 4,
  kLogicalUnitReset = 5,
  kTargetWarmReset = 6,
  kTargetColdReset = 7,
  kTaskReassign = 8,
};

// 11.6.1.
enum class TaskFunctionResponse : std::uint8_t {
  kComplete = 0,
  kTaskDoesNotExist = 1,
  kLunDoesNotExist = 2,
  kTaskStillAllegiant = 3,
  kReassignmentNotSupported = 4,
  kNotSupported = 5,
  kAuthorizationFailed = 6,
  kRejected = 255,
};

// 11.9.1.
enum class AsyncEvent : std::uint8_t {
  kScsiEvent = 0,           // sense data in the data segment
  kRequestLogout = 1,       // parameter3: seconds
  kDroppingConnection = 2,  // parameter1: CID; 2, 3: Time2Wait, Time2Retain
  kDroppingSession = 3,     // parameter2, 3: Time2Wait, Time2Retain
  kRequestNegotiation = 4,  // parameter3: seconds
  kTasksTerminated = 5,     // of the LUN; only with TaskReporting=FastAbort
};

// 11.12.3.
enum class LoginStage : std::uint8_t {
  kSecurity = 0,
  kOperational = 1,
  kFullFeature = 3,  // 2 is reserved
};

// 11.13.5: class in the high byte, detail in the low one.
enum class LoginStatus : std::uint16_t {
  kSuccess = 0x0000,
  kTargetMovedTemporarily = 0x0101,
  kTargetMovedPermanently = 0x0102,
  kInitiatorError = 0x0200,
  kAuthenticationFailure = 0x0201,
  kAuthorizationFailure = 0x0202,
  kNotFound = 0x0203,
  kTargetRemoved = 0x0204,
  kUnsupportedVersion = 0x0205,
  kTooManyConnections = 0x0206,
  kMissingParameter = 0x0207,
  kCannotIncludeInSession = 0x0208,
  kSessionTypeNotSupported = 0x0209,
  kSessionDoesNotExist = 0x020a,
  kInvalidDuringLogin = 0x020b,
  kTargetError = 0x0300,
  kServiceUnavailable = 0x0301,
  kOutOfResources = 0x0302,
};
std::string_view to_string(LoginStatus status);

// 11.14.1.
enum class LogoutReason : std::uint8_t {
  kCloseSession = 0,
  kCloseConnection = 1,
  kRemoveForRecovery = 2,
};

// 11.15.1.
enum class LogoutResult : std::uint8_t {
  kClosed = 0,
  kCidNotFound = 1,
  kRecoveryNotSupported = 2,
  kCleanupFailed = 3,
};

// 11.17.1.
enum class RejectReason : std::uint8_t {
  kDataDigestError = 0x02,
  kSnackReject = 0x03,
  kProtocolError = 0x04,
  kCommandNotSupported = 0x05,
  kTooManyImmediateCommands = 0x06,
  kTaskInProgress = 0x07,
  kInvalidDataAck = 0x08,
  kInvalidPduField = 0x09,
  kOutOfResources = 0x0a,  // no target transfer tag left
  kWaitingForLogout = 0x0c,
};
std::string_view to_string(RejectReason reason);

// What all headers have in common: what is needed to cut a stream into PDUs.
struct BasicHeader {
  std::uint8_t opcode = 0;
  std::uint8_t flags = 0;
  std::uint8_t specific[2] = {};
  std::uint8_t total_ahs_length = 0;  // in words of 4 bytes
  Be24 data_segment_length;           // without padding
  Be64 lun;
  Be32 initiator_task_tag;
  std::uint8_t rest[28] = {};
};

struct NopOutPdu {
  static constexpr Opcode kOpcode = Opcode::kNopOut;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag = kReservedTag;  // kReservedTag: no NOP-In is wanted
  Be32 target_transfer_tag = kReservedTag;
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::uint8_t reserved2[16] = {};
};

struct ScsiCommandPdu {
  static constexpr Opcode kOpcode = Opcode::kScsiCommand;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 expected_length;  // Expected Data Transfer Length; of the write, when bidirectional
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::byte cdb[16] = {};
};

struct TaskManagementRequestPdu {
  static constexpr Opcode kOpcode = Opcode::kTaskManagementRequest;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;  // and the function
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 referenced_task_tag = kReservedTag;
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  Be32 ref_cmd_sn;
  Be32 exp_data_sn;
  std::uint8_t reserved2[8] = {};
};

struct LoginRequestPdu {
  static constexpr Opcode kOpcode = Opcode::kLoginRequest;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode) | kImmediate;
  std::uint8_t flags = 0;
  std::uint8_t version_max = 0;
  std::uint8_t version_min = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be48 isid;
  Be16 tsih;
  Be32 initiator_task_tag;
  Be16 cid;
  std::uint8_t reserved1[2] = {};
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::uint8_t reserved2[16] = {};

  bool transit() const { return (flags & kFlagTransit) != 0; }
  bool goes_on() const { return (flags & kFlagContinue) != 0; }
  std::uint8_t current_stage() const { return flags >> 2 & 3; }  // LoginStage, or 2
  std::uint8_t next_stage() const { return flags & 3; }          // LoginStage, or 2
};

struct TextRequestPdu {
  static constexpr Opcode kOpcode = Opcode::kTextRequest;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = 0;
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag = kReservedTag;
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::uint8_t reserved2[16] = {};
};

struct DataOutPdu {
  static constexpr Opcode kOpcode = Opcode::kDataOut;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = 0;
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag = kReservedTag;  // kReservedTag: unsolicited
  std::uint8_t reserved2[4] = {};
  Be32 exp_stat_sn;
  std::uint8_t reserved3[4] = {};
  Be32 data_sn;
  Be32 buffer_offset;
  std::uint8_t reserved4[4] = {};
};

struct LogoutRequestPdu {
  static constexpr Opcode kOpcode = Opcode::kLogoutRequest;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;  // and the reason
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  std::uint8_t reserved2[8] = {};
  Be32 initiator_task_tag;
  Be16 cid;
  std::uint8_t reserved3[2] = {};
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::uint8_t reserved4[16] = {};
};

struct SnackRequestPdu {
  static constexpr Opcode kOpcode = Opcode::kSnackRequest;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag = kReservedTag;
  Be32 target_transfer_tag = kReservedTag;
  std::uint8_t reserved2[4] = {};
  Be32 exp_stat_sn;
  std::uint8_t reserved3[8] = {};
  Be32 begin_run;
  Be32 run_length;
};

struct NopInPdu {
  static constexpr Opcode kOpcode = Opcode::kNopIn;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag = kReservedTag;
  Be32 target_transfer_tag = kReservedTag;  // kReservedTag: no NOP-Out is wanted
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::uint8_t reserved2[12] = {};
};

struct ScsiResponsePdu {
  static constexpr Opcode kOpcode = Opcode::kScsiResponse;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t response = static_cast<std::uint8_t>(CommandResponse::kCompleted);
  std::uint8_t status = 0;  // scsi::Status
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;  // sense: two bytes of length, then the sense data (11.4.7)
  std::uint8_t reserved1[8] = {};
  Be32 initiator_task_tag;
  Be32 snack_tag;
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  Be32 exp_data_sn;
  Be32 bidi_read_residual;
  Be32 residual;
};

struct TaskManagementResponsePdu {
  static constexpr Opcode kOpcode = Opcode::kTaskManagementResponse;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t response = 0;  // TaskFunctionResponse
  std::uint8_t reserved1 = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  std::uint8_t reserved2[8] = {};
  Be32 initiator_task_tag;
  std::uint8_t reserved3[4] = {};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::uint8_t reserved4[12] = {};
};

struct LoginResponsePdu {
  static constexpr Opcode kOpcode = Opcode::kLoginResponse;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = 0;
  std::uint8_t version_max = 0;
  std::uint8_t version_active = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be48 isid;
  Be16 tsih;
  Be32 initiator_task_tag;
  std::uint8_t reserved1[4] = {};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  Be16 status;  // LoginStatus
  std::uint8_t reserved2[10] = {};
};

struct TextResponsePdu {
  static constexpr Opcode kOpcode = Opcode::kTextResponse;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = 0;
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag = kReservedTag;
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::uint8_t reserved2[12] = {};
};

struct DataInPdu {
  static constexpr Opcode kOpcode = Opcode::kDataIn;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = 0;
  std::uint8_t reserved1 = 0;
  std::uint8_t status = 0;  // scsi::Status, with kFlagStatus
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag = kReservedTag;
  Be32 stat_sn;  // with kFlagStatus
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  Be32 data_sn;
  Be32 buffer_offset;
  Be32 residual;  // with kFlagStatus
};

struct LogoutResponsePdu {
  static constexpr Opcode kOpcode = Opcode::kLogoutResponse;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t response = 0;  // LogoutResult
  std::uint8_t reserved1 = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  std::uint8_t reserved2[8] = {};
  Be32 initiator_task_tag;
  std::uint8_t reserved3[4] = {};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::uint8_t reserved4[4] = {};
  Be16 time2wait;
  Be16 time2retain;
  std::uint8_t reserved5[4] = {};
};

struct ReadyToTransferPdu {
  static constexpr Opcode kOpcode = Opcode::kReadyToTransfer;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag;
  Be32 stat_sn;  // the next one; an R2T takes none
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  Be32 r2t_sn;
  Be32 buffer_offset;
  Be32 desired_length;
};

struct AsyncMessagePdu {
  static constexpr Opcode kOpcode = Opcode::kAsyncMessage;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t reserved1[2] = {};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag = kReservedTag;
  std::uint8_t reserved2[4] = {};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::uint8_t event = 0;  // AsyncEvent
  std::uint8_t vendor_code = 0;
  Be16 parameter1;
  Be16 parameter2;
  Be16 parameter3;
  std::uint8_t reserved3[4] = {};
};

// Its data segment is the header of the PDU that was refused.
struct RejectPdu {
  static constexpr Opcode kOpcode = Opcode::kReject;
  std::uint8_t opcode = static_cast<std::uint8_t>(kOpcode);
  std::uint8_t flags = kFinal;
  std::uint8_t reason = 0;  // RejectReason
  std::uint8_t reserved1 = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  std::uint8_t reserved2[8] = {};
  Be32 initiator_task_tag = kReservedTag;
  std::uint8_t reserved3[4] = {};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  Be32 data_sn;  // or R2TSN
  std::uint8_t reserved4[8] = {};
};

using HeaderSpan = std::span<const std::byte, kHeaderSize>;

template <class Header>
Header read_header(HeaderSpan bytes) {
  static_assert(sizeof(Header) == kHeaderSize && std::is_trivially_copyable_v<Header>);
  Header header;
  std::memcpy(&header, bytes.data(), kHeaderSize);
  return header;
}
// Lives as long as the header.
template <class Header>
HeaderSpan header_bytes(const Header& header) {
  static_assert(sizeof(Header) == kHeaderSize && std::is_trivially_copyable_v<Header>);
  return std::as_bytes(std::span<const Header, 1>(&header, 1));
}

template <class Header>
Opcode opcode_of(const Header& header) {
  return static_cast<Opcode>(header.opcode & kOpcodeMask);
}
template <class Header>
bool is_immediate(const Header& header) {
  return (header.opcode & kImmediate) != 0;
}
template <class Header>
bool is_final(const Header& header) {
  return (header.flags & kFinal) != 0;
}
template <class Header>
bool has_flag(const Header& header, std::uint8_t flag) {
  return (header.flags & flag) != 0;
}

// Bytes that follow `length` bytes of data segment up to the next boundary of 4.
constexpr std::uint32_t padding_after(std::uint32_t length) {
  return (4 - (length & 3)) & 3;
}
constexpr std::uint32_t with_padding(std::uint32_t length) {
  return length + padding_after(length);
}

// What every initiator may send to a target (LoginRequestPdu, TextRequestPdu and so on).
bool is_initiator_opcode(Opcode opcode);

// Serial numbers of 32 bits that wrap (RFC 1982): CmdSN, StatSN, DataSN.
constexpr bool serial_before(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) < 0;
}

// Offsets of section 11, checked once.
#define ASHLAR_PDU_AT(type, field, offset) static_assert(offsetof(type, field) == (offset))
#define ASHLAR_PDU(type)                             \
  static_assert(sizeof(type) == kHeaderSize);        \
  static_assert(alignof(type) == 1);                 \
  static_assert(std::is_trivially_copyable_v<type>); \
  ASHLAR_PDU_AT(type, opcode, 0);                    \
  ASHLAR_PDU_AT(type, flags, 1);                     \
  ASHLAR_PDU_AT(type, total_ahs_length, 4);          \
  ASHLAR_PDU_AT(type, data_segment_length, 5);       \
  ASHLAR_PDU_AT(type, initiator_task_tag, 16)
#define ASHLAR_REQUEST_PDU(type)   \
  ASHLAR_PDU(type);                \
  ASHLAR_PDU_AT(type, cmd_sn, 24); \
  ASHLAR_PDU_AT(type, exp_stat_sn, 28)
#define ASHLAR_RESPONSE_PDU(type)      \
  ASHLAR_PDU(type);                    \
  ASHLAR_PDU_AT(type, stat_sn, 24);    \
  ASHLAR_PDU_AT(type, exp_cmd_sn, 28); \
  ASHLAR_PDU_AT(type, max_cmd_sn, 32)

ASHLAR_PDU(BasicHeader);
ASHLAR_REQUEST_PDU(NopOutPdu);
ASHLAR_PDU_AT(NopOutPdu, lun, 8);
ASHLAR_PDU_AT(NopOutPdu, target_transfer_tag, 20);
ASHLAR_REQUEST_PDU(ScsiCommandPdu);
ASHLAR_PDU_AT(ScsiCommandPdu, lun, 8);
ASHLAR_PDU_AT(ScsiCommandPdu, expected_length, 20);
ASHLAR_PDU_AT(ScsiCommandPdu, cdb, 32);
ASHLAR_REQUEST_PDU(TaskManagementRequestPdu);
ASHLAR_PDU_AT(TaskManagementRequestPdu, referenced_task_tag, 20);
ASHLAR_PDU_AT(TaskManagementRequestPdu, ref_cmd_sn, 32);
ASHLAR_PDU_AT(TaskManagementRequestPdu, exp_data_sn, 36);
ASHLAR_REQUEST_PDU(LoginRequestPdu);
ASHLAR_PDU_AT(LoginRequestPdu, version_max, 2);
ASHLAR_PDU_AT(LoginRequestPdu, isid, 8);
ASHLAR_PDU_AT(LoginRequestPdu, tsih, 14);
ASHLAR_PDU_AT(LoginRequestPdu, cid, 20);
ASHLAR_REQUEST_PDU(TextRequestPdu);
ASHLAR_PDU_AT(TextRequestPdu, target_transfer_tag, 20);
ASHLAR_PDU(DataOutPdu);
ASHLAR_PDU_AT(DataOutPdu, target_transfer_tag, 20);
ASHLAR_PDU_AT(DataOutPdu, exp_stat_sn, 28);
ASHLAR_PDU_AT(DataOutPdu, data_sn, 36);
ASHLAR_PDU_AT(DataOutPdu, buffer_offset, 40);
ASHLAR_REQUEST_PDU(LogoutRequestPdu);
ASHLAR_PDU_AT(LogoutRequestPdu, cid, 20);
ASHLAR_PDU(SnackRequestPdu);
ASHLAR_PDU_AT(SnackRequestPdu, target_transfer_tag, 20);
ASHLAR_PDU_AT(SnackRequestPdu, exp_stat_sn, 28);
ASHLAR_PDU_AT(SnackRequestPdu, begin_run, 40);
ASHLAR_PDU_AT(SnackRequestPdu, run_length, 44);
ASHLAR_RESPONSE_PDU(NopInPdu);
ASHLAR_PDU_AT(NopInPdu, target_transfer_tag, 20);
ASHLAR_RESPONSE_PDU(ScsiResponsePdu);
ASHLAR_PDU_AT(ScsiResponsePdu, response, 2);
ASHLAR_PDU_AT(ScsiResponsePdu, status, 3);
ASHLAR_PDU_AT(ScsiResponsePdu, snack_tag, 20);
ASHLAR_PDU_AT(ScsiResponsePdu, exp_data_sn, 36);
ASHLAR_PDU_AT(ScsiResponsePdu, bidi_read_residual, 40);
ASHLAR_PDU_AT(ScsiResponsePdu, residual, 44);
ASHLAR_RESPONSE_PDU(TaskManagementResponsePdu);
ASHLAR_PDU_AT(TaskManagementResponsePdu, response, 2);
ASHLAR_RESPONSE_PDU(LoginResponsePdu);
ASHLAR_PDU_AT(LoginResponsePdu, version_active, 3);
ASHLAR_PDU_AT(LoginResponsePdu, isid, 8);
ASHLAR_PDU_AT(LoginResponsePdu, tsih, 14);
ASHLAR_PDU_AT(LoginResponsePdu, status, 36);
ASHLAR_RESPONSE_PDU(TextResponsePdu);
ASHLAR_PDU_AT(TextResponsePdu, target_transfer_tag, 20);
ASHLAR_RESPONSE_PDU(DataInPdu);
ASHLAR_PDU_AT(DataInPdu, status, 3);
ASHLAR_PDU_AT(DataInPdu, target_transfer_tag, 20);
ASHLAR_PDU_AT(DataInPdu, data_sn, 36);
ASHLAR_PDU_AT(DataInPdu, buffer_offset, 40);
ASHLAR_PDU_AT(DataInPdu, residual, 44);
ASHLAR_RESPONSE_PDU(LogoutResponsePdu);
ASHLAR_PDU_AT(LogoutResponsePdu, response, 2);
ASHLAR_PDU_AT(LogoutResponsePdu, time2wait, 40);
ASHLAR_PDU_AT(LogoutResponsePdu, time2retain, 42);
ASHLAR_RESPONSE_PDU(ReadyToTransferPdu);
ASHLAR_PDU_AT(ReadyToTransferPdu, target_transfer_tag, 20);
ASHLAR_PDU_AT(ReadyToTransferPdu, r2t_sn, 36);
ASHLAR_PDU_AT(ReadyToTransferPdu, buffer_offset, 40);
ASHLAR_PDU_AT(ReadyToTransferPdu, desired_length, 44);
ASHLAR_RESPONSE_PDU(AsyncMessagePdu);
ASHLAR_PDU_AT(AsyncMessagePdu, event, 36);
ASHLAR_PDU_AT(AsyncMessagePdu, parameter1, 38);
ASHLAR_PDU_AT(AsyncMessagePdu, parameter3, 42);
ASHLAR_RESPONSE_PDU(RejectPdu);
ASHLAR_PDU_AT(RejectPdu, reason, 2);
ASHLAR_PDU_AT(RejectPdu, data_sn, 36);
#undef ASHLAR_RESPONSE_PDU
#undef ASHLAR_REQUEST_PDU
#undef ASHLAR_PDU
#undef ASHLAR_PDU_AT

}  // namespace ashlar::iscsi
