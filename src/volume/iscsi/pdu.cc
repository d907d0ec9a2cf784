#include "volume/iscsi/pdu.h"

namespace ashlar::iscsi {

std::string_view to_string(Opcode opcode) {
  switch (opcode) {
    case Opcode::kNopOut:
      return "NOP-Out";
    case Opcode::kScsiCommand:
      return "SCSI Command";
    case Opcode::kTaskManagementRequest:
      return "Task Management Function Request";
    case Opcode::kLoginRequest:
      return "Login Request";
    case Opcode::kTextRequest:
      return "Text Request";
    case Opcode::kDataOut:
      return "SCSI Data-Out";
    case Opcode::kLogoutRequest:
      return "Logout Request";
    case Opcode::kSnackRequest:
      return "SNACK Request";
    case Opcode::kNopIn:
      return "NOP-In";
    case Opcode::kScsiResponse:
      return "SCSI Response";
    case Opcode::kTaskManagementResponse:
      return "Task Management Function Response";
    case Opcode::kLoginResponse:
      return "Login Response";
    case Opcode::kTextResponse:
      return "Text Response";
    case Opcode::kDataIn:
      return "SCSI Data-In";
    case Opcode::kLogoutResponse:
      return "Logout Response";
    case Opcode::kReadyToTransfer:
      return "Ready To Transfer";
    case Opcode::kAsyncMessage:
      return "Asynchronous Message";
    case Opcode::kReject:
      return "Reject";
  }
  return "unknown opcode";
}

bool is_initiator_opcode(Opcode opcode) {
  switch (opcode) {
    case Opcode::kNopOut:
    case Opcode::kScsiCommand:
    case Opcode::kTaskManagementRequest:
    case Opcode::kLoginRequest:
    case Opcode::kTextRequest:
    case Opcode::kDataOut:
    case Opcode::kLogoutRequest:
    case Opcode::kSnackRequest:
      return true;
    default:
      return false;
  }
}

std::string_view to_string(LoginStatus status) {
  switch (status) {
    case LoginStatus::kSuccess:
      return "success";
    case LoginStatus::kTargetMovedTemporarily:
      return "target moved temporarily";
    case LoginStatus::kTargetMovedPermanently:
      return "target moved permanently";
    case LoginStatus::kInitiatorError:
      return "initiator error";
    case LoginStatus::kAuthenticationFailure:
      return "authentication failure";
    case LoginStatus::kAuthorizationFailure:
      return "authorization failure";
    case LoginStatus::kNotFound:
      return "not found";
    case LoginStatus::kTargetRemoved:
      return "target removed";
    case LoginStatus::kUnsupportedVersion:
      return "unsupported version";
    case LoginStatus::kTooManyConnections:
      return "too many connections";
    case LoginStatus::kMissingParameter:
      return "missing parameter";
    case LoginStatus::kCannotIncludeInSession:
      return "cannot include in session";
    case LoginStatus::kSessionTypeNotSupported:
      return "session type not supported";
    case LoginStatus::kSessionDoesNotExist:
      return "session does not exist";
    case LoginStatus::kInvalidDuringLogin:
      return "invalid during login";
    case LoginStatus::kTargetError:
      return "target error";
    case LoginStatus::kServiceUnavailable:
      return "service unavailable";
    case LoginStatus::kOutOfResources:
      return "out of resources";
  }
  return "unknown status";
}

std::string_view to_string(RejectReason reason) {
  switch (reason) {
    case RejectReason::kDataDigestError:
      return "data digest error";
    case RejectReason::kSnackReject:
      return "SNACK reject";
    case RejectReason::kProtocolError:
      return "protocol error";
    case RejectReason::kCommandNotSupported:
      return "command not supported";
    case RejectReason::kTooManyImmediateCommands:
      return "too many immediate commands";
    case RejectReason::kTaskInProgress:
      return "task in progress";
    case RejectReason::kInvalidDataAck:
      return "invalid data ack";
    case RejectReason::kInvalidPduField:
      return "invalid PDU field";
    case RejectReason::kOutOfResources:
      return "out of resources";
    case RejectReason::kWaitingForLogout:
      return "waiting for logout";
  }
  return "unknown reason";
}

}  // namespace ashlar::iscsi
