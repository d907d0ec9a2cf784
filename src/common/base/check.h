// Fatal checks for broken invariants. They stay on in release builds.
//
//   ASHLAR_CHECK(lsn == last.next(), "volume {} appended {} after {}", volume, lsn, last);
//   ASHLAR_CHECK_EQ(header.size(), kHeaderSize);
//
// A failed check prints the expression, its place, the message, and what every registered dump hook
// of this thread says about its state; then it aborts. Checks are for programmer errors only: bytes
// from a disk, a network or a person are never asserted, they are refused with an Error.
#pragma once

#include <string>
#include <utility>

#include <fmt/core.h>

namespace ashlar {

// While alive, adds a line of state to the report of a failed check on the same thread. `print`
// runs on the failing thread and may only read memory; it must not check, lock or allocate much.
class CheckDumpHook {
 public:
  using Print = std::string (*)(const void* subject);

  CheckDumpHook(const char* name, const void* subject, Print print);
  ~CheckDumpHook();
  CheckDumpHook(const CheckDumpHook&) = delete;
  CheckDumpHook& operator=(const CheckDumpHook&) = delete;

 private:
  friend struct CheckDumpHooks;
  const char* name_;
  const void* subject_;
  Print print_;
  CheckDumpHook* next_;
};

// Called once on the failing thread, after the report is printed and before the abort: what has to
// leave the process still can (the log flushes here). Null for nothing; returns the one before.
using CheckLastWords = void (*)();
CheckLastWords set_check_last_words(CheckLastWords last_words);

namespace detail {

[[noreturn]] void check_failed(const char* expression, const char* file, int line,
                               const std::string& message);

inline std::string check_message() {
  return {};
}

template <class... Args>
std::string check_message(fmt::format_string<Args...> format, Args&&... args) {
  return fmt::format(format, std::forward<Args>(args)...);
}

}  // namespace detail
}  // namespace ashlar

#define ASHLAR_CHECK(condition, ...)                                                \
  do {                                                                              \
    if (!(condition)) [[unlikely]] {                                                \
      ::ashlar::detail::check_failed(#condition, __FILE__, __LINE__,                \
                                     ::ashlar::detail::check_message(__VA_ARGS__)); \
    }                                                                               \
  } while (false)

#define ASHLAR_CHECK_OP_(op, a, b)                                                            \
  do {                                                                                        \
    const auto& ashlar_a_ = (a);                                                              \
    const auto& ashlar_b_ = (b);                                                              \
    if (!(ashlar_a_ op ashlar_b_)) [[unlikely]] {                                             \
      ::ashlar::detail::check_failed(#a " " #op " " #b, __FILE__, __LINE__,                   \
                                     fmt::format("left {}, right {}", ashlar_a_, ashlar_b_)); \
    }                                                                                         \
  } while (false)

#define ASHLAR_CHECK_EQ(a, b) ASHLAR_CHECK_OP_(==, a, b)
#define ASHLAR_CHECK_NE(a, b) ASHLAR_CHECK_OP_(!=, a, b)
#define ASHLAR_CHECK_LT(a, b) ASHLAR_CHECK_OP_(<, a, b)
#define ASHLAR_CHECK_LE(a, b) ASHLAR_CHECK_OP_(<=, a, b)
#define ASHLAR_CHECK_GT(a, b) ASHLAR_CHECK_OP_(>, a, b)
#define ASHLAR_CHECK_GE(a, b) ASHLAR_CHECK_OP_(>=, a, b)

#define ASHLAR_UNREACHABLE(...)                                     \
  ::ashlar::detail::check_failed("unreachable", __FILE__, __LINE__, \
                                 ::ashlar::detail::check_message(__VA_ARGS__))
