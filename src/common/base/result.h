// Errors are values: Error is a canonical code and a message for a person, Result<T> is a T or an
// Error. The codes are gRPC's sixteen, so one table maps them to gRPC, HTTP and SCSI at the edges.
//
//   Result<Store> open(Path path) {
//     ASHLAR_TRY_ASSIGN(auto file, open_file(path));       // returns the Error if there is one
//     ASHLAR_TRY(file.lock());
//     if (!formatted) return Error::failed_precondition("{} is not a store; run `…`", path);
//     return Store(std::move(file));
//   }
//
// In coroutines use ASHLAR_CO_TRY and ASHLAR_CO_TRY_ASSIGN; all four are statements.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <tl/expected.hpp>

#include "common/base/check.h"

namespace ashlar {

// Numbers are those of google.rpc.Code.
enum class ErrorCode : std::uint8_t {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,   // out of space, quota, memory
  kFailedPrecondition = 9,  // the state forbids it; retrying does not help
  kAborted = 10,            // lost a race (an epoch moved on); retry from the start
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,  // try again later
  kDataLoss = 15,     // checksum mismatch, unreadable sector
  kUnauthenticated = 16,
};

// "NOT_FOUND" and so on.
std::string_view to_string(ErrorCode code);

class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  // From a system call: `error_number` is an errno value, `what` says what was tried on which
  // thing. The message ends in the system's text for the number.
  static Error from_errno(int error_number, std::string_view what);

  template <class... A>
  static Error cancelled(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kCancelled, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error invalid_argument(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kInvalidArgument, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error deadline_exceeded(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kDeadlineExceeded, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error not_found(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kNotFound, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error already_exists(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kAlreadyExists, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error permission_denied(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kPermissionDenied, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error resource_exhausted(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kResourceExhausted, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error failed_precondition(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kFailedPrecondition, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error aborted(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kAborted, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error out_of_range(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kOutOfRange, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error unimplemented(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kUnimplemented, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error internal(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kInternal, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error unavailable(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kUnavailable, fmt::format(f, std::forward<A>(a)...)};
  }
  template <class... A>
  static Error data_loss(fmt::format_string<A...> f, A&&... a) {
    return {ErrorCode::kDataLoss, fmt::format(f, std::forward<A>(a)...)};
  }

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // "NOT_FOUND: volume pvc-1 does not exist"
  std::string to_string() const;

  // The same error, told one level up: "<context>: <message>".
  Error with_context(std::string_view context) const;

  friend bool operator==(const Error&, const Error&) = default;

 private:
  ErrorCode code_;
  std::string message_;
};

// A T or an Error. Reading the value of an error is a broken invariant and fatal, in every build.
template <class T = void>
class [[nodiscard]] Result : public tl::expected<T, Error> {
  using Base = tl::expected<T, Error>;

 public:
  using Base::Base;
  Result(Error error)
      : Base(tl::unexpect, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return Base::has_value(); }

  T& value() & { return *checked(*this); }
  const T& value() const& { return *checked(*this); }
  T&& value() && { return std::move(*checked(*this)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return checked(*this); }
  const T* operator->() const { return checked(*this); }

 private:
  template <class Self>
  static auto* checked(Self& self) {
    ASHLAR_CHECK(self.has_value(), "{}", self.error().to_string());
    return self.Base::operator->();
  }
};

template <>
class [[nodiscard]] Result<void> : public tl::expected<void, Error> {
  using Base = tl::expected<void, Error>;

 public:
  using Base::Base;
  Result(Error error)
      : Base(tl::unexpect, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return Base::has_value(); }
  void value() const { ASHLAR_CHECK(Base::has_value(), "{}", Base::error().to_string()); }
};

}  // namespace ashlar

template <>
struct fmt::formatter<ashlar::Error> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const ashlar::Error& error, Context& context) const {
    return fmt::formatter<std::string_view>::format(error.to_string(), context);
  }
};

template <>
struct fmt::formatter<ashlar::ErrorCode> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(ashlar::ErrorCode code, Context& context) const {
    return fmt::formatter<std::string_view>::format(ashlar::to_string(code), context);
  }
};

#define ASHLAR_CONCAT_INNER_(a, b) a##b
#define ASHLAR_CONCAT_(a, b) ASHLAR_CONCAT_INNER_(a, b)

#define ASHLAR_TRY_IMPL_(result, leave, expression)                           \
  do {                                                                        \
    if (auto result = (expression); !result) leave std::move(result).error(); \
  } while (false)

#define ASHLAR_TRY_ASSIGN_IMPL_(result, leave, target, expression) \
  auto result = (expression);                                      \
  if (!result) leave std::move(result).error();                    \
  target = std::move(result).value()

#define ASHLAR_TRY(expression) \
  ASHLAR_TRY_IMPL_(ASHLAR_CONCAT_(ashlar_result_, __COUNTER__), return, expression)
#define ASHLAR_CO_TRY(expression) \
  ASHLAR_TRY_IMPL_(ASHLAR_CONCAT_(ashlar_result_, __COUNTER__), co_return, expression)
#define ASHLAR_TRY_ASSIGN(target, expression) \
  ASHLAR_TRY_ASSIGN_IMPL_(ASHLAR_CONCAT_(ashlar_result_, __COUNTER__), return, target, expression)
#define ASHLAR_CO_TRY_ASSIGN(target, expression)                                          \
  ASHLAR_TRY_ASSIGN_IMPL_(ASHLAR_CONCAT_(ashlar_result_, __COUNTER__), co_return, target, \
                          expression)
