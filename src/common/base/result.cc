#include "common/base/result.h"

#include <cerrno>
#include <cstring>

namespace ashlar {
namespace {

ErrorCode code_of_errno(int error_number) {
  switch (error_number) {
    case ECANCELED:
      return ErrorCode::kCancelled;
    case EINVAL:
    case ENAMETOOLONG:
    case EAFNOSUPPORT:
      return ErrorCode::kInvalidArgument;
    case ETIMEDOUT:
    case ETIME:
      return ErrorCode::kDeadlineExceeded;
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return ErrorCode::kNotFound;
    case EEXIST:
    case EADDRINUSE:
      return ErrorCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
      return ErrorCode::kResourceExhausted;
    case EBUSY:
    case ENOTEMPTY:
    case EISDIR:
    case ENOTDIR:
      return ErrorCode::kFailedPrecondition;
    case EFBIG:
    case EOVERFLOW:
    case ERANGE:
      return ErrorCode::kOutOfRange;
    case ENOSYS:
    case EOPNOTSUPP:
      return ErrorCode::kUnimplemented;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ENOTCONN:
      return ErrorCode::kUnavailable;
    case EIO:
    case EILSEQ:
    case EBADMSG:
      return ErrorCode::kDataLoss;
    default:
      return ErrorCode::kUnknown;
  }
}

}  // namespace

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kCancelled:
      return "CANCELLED";
    case ErrorCode::kUnknown:
      return "UNKNOWN";
    case ErrorCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case ErrorCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case ErrorCode::kNotFound:
      return "NOT_FOUND";
    case ErrorCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case ErrorCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case ErrorCode::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case ErrorCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case ErrorCode::kAborted:
      return "ABORTED";
    case ErrorCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case ErrorCode::kUnimplemented:
      return "UNIMPLEMENTED";
    case ErrorCode::kInternal:
      return "INTERNAL";
    case ErrorCode::kUnavailable:
      return "UNAVAILABLE";
    case ErrorCode::kDataLoss:
      return "DATA_LOSS";
    case ErrorCode::kUnauthenticated:
      return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}

Error Error::from_errno(int error_number, std::string_view what) {
  char buffer[128];
  const char* text = ::strerror_r(error_number, buffer, sizeof(buffer));
  return {code_of_errno(error_number), fmt::format("{}: {}", what, text)};
}

std::string Error::to_string() const {
  return fmt::format("{}: {}", ashlar::to_string(code_), message_);
}

Error Error::with_context(std::string_view context) const {
  return {code_, fmt::format("{}: {}", context, message_)};
}

}  // namespace ashlar
