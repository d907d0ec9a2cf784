#include "volume/scsi/response.h"

#include <algorithm>

namespace ashlar::scsi {

Response status_only(Status status) {
  Response response;
  response.status = status;
  return response;
}

Response check_condition(Sense sense) {
  Response response;
  response.status = Status::kCheckCondition;
  response.sense = sense;
  return response;
}

Response check_condition(SenseKey key, Asc code) {
  return check_condition(Sense{.key = key, .asc = code});
}

Response invalid_cdb(std::size_t byte, std::optional<unsigned> bit) {
  return check_condition({.key = SenseKey::kIllegalRequest,
                          .asc = asc::kInvalidFieldInCdb,
                          .specific = field_pointer(FieldPlace::kCdb, byte, bit)});
}

Response invalid_parameter(Asc code, std::size_t byte, std::optional<unsigned> bit) {
  return check_condition({.key = SenseKey::kIllegalRequest,
                          .asc = code,
                          .specific = field_pointer(FieldPlace::kParameters, byte, bit)});
}

Response invalid_parameter(std::size_t byte, std::optional<unsigned> bit) {
  return invalid_parameter(asc::kInvalidFieldInParameters, byte, bit);
}

Response data_in(BufferPool& pool, ByteSpan bytes, std::uint64_t allocation_length) {
  const std::uint64_t size = std::min<std::uint64_t>(bytes.size(), allocation_length);
  Response response;
  if (size == 0) return response;
  Result<Buffer> buffer = pool.allocate(ByteCount(size));
  if (!buffer.ok()) return status_only(Status::kBusy);
  std::memcpy(buffer->data(), bytes.data(), size);
  response.data_in.push_back(std::move(*buffer));
  return response;
}

Response response_to(const Error& error, Doing doing) {
  switch (error.code()) {
    case ErrorCode::kUnavailable:
      return check_condition(SenseKey::kNotReady, asc::kAsymmetricAccessTransition);
    case ErrorCode::kDeadlineExceeded:
      return status_only(Status::kBusy);
    case ErrorCode::kResourceExhausted:
      // A read needs memory only, and so does what waits for data.
      if (doing != Doing::kWriting) return status_only(Status::kBusy);
      return check_condition(SenseKey::kDataProtect, asc::kSpaceAllocationFailed);
    case ErrorCode::kDataLoss:
      if (doing == Doing::kFetching) {
        return check_condition(SenseKey::kAbortedCommand, asc::kDataPhaseError);
      }
      return check_condition(SenseKey::kMediumError,
                             doing == Doing::kWriting ? asc::kWriteError : asc::kUnreadable);
    case ErrorCode::kAborted:
    case ErrorCode::kCancelled:
      return check_condition(SenseKey::kAbortedCommand, asc::kNone);
    case ErrorCode::kOutOfRange:
      return illegal_request(asc::kLbaOutOfRange);
    case ErrorCode::kPermissionDenied:
      return check_condition(SenseKey::kDataProtect, asc::kWriteProtected);
    case ErrorCode::kUnauthenticated:
      return illegal_request(asc::kNoAccessRights);
    case ErrorCode::kNotFound:
      return illegal_request(asc::kLunNotSupported);
    case ErrorCode::kUnimplemented:
      return illegal_request(asc::kInvalidOpcode);
    case ErrorCode::kFailedPrecondition:
      return check_condition(SenseKey::kNotReady, asc::kManualInterventionRequired);
    // The checks of the CDB leave nothing that the volume could find fault with.
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kInternal:
    case ErrorCode::kUnknown:
      return check_condition(SenseKey::kHardwareError, asc::kInternalTargetFailure);
  }
  return check_condition(SenseKey::kHardwareError, asc::kInternalTargetFailure);
}

}  // namespace ashlar::scsi
