// The three notions of time. They do not mix.
//
//   Duration  a length of time: std::chrono::nanoseconds, so that `5ms` and `2s` work as written.
//             Parsed and printed for people by common/base/units.h.
//   MonoTime  a point on a clock that only moves forward and has no meaning outside this process
//             (in the simulator: the simulated clock). Deadlines, leases and measurements use it.
//   WallTime  a point in civil time, for people and files. It jumps when an administrator or NTP
//             says so; nothing may be ordered or timed out by it.
//
// Where the points come from is the runtime's matter (common/runtime); nothing here reads a clock.
//
// MonoTime arithmetic saturates at kNever: `now + Duration::max()` is never, and never plus or
// minus any length stays never. So "no timeout" needs no special case: a deadline of kNever is
// never reached and the time left until it is Duration::max(). Below the smallest point is a fatal
// check.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>  // formatter<string_view>::format is defined there, not in core.h

#include "common/base/check.h"

namespace ashlar {

using Duration = std::chrono::nanoseconds;

// So that all of our code writes 10ms, 2s, 1h.
using namespace std::chrono_literals;  // NOLINT(google-global-names-in-headers)

class MonoTime {
 public:
  static const MonoTime kNever;

  constexpr MonoTime() = default;
  constexpr explicit MonoTime(Duration since_origin) : since_origin_(since_origin) {}

  constexpr Duration since_origin() const { return since_origin_; }
  constexpr std::int64_t nanoseconds() const { return since_origin_.count(); }
  constexpr bool is_never() const { return since_origin_ == Duration::max(); }

  constexpr MonoTime operator+(Duration length) const {
    if (is_never()) return *this;
    std::int64_t sum = 0;
    if (__builtin_add_overflow(nanoseconds(), length.count(), &sum)) {
      ASHLAR_CHECK(length.count() > 0, "a point before the beginning of time");
      return MonoTime(Duration::max());
    }
    return MonoTime(Duration(sum));
  }
  constexpr MonoTime operator-(Duration length) const {
    if (is_never()) return *this;
    std::int64_t difference = 0;
    if (__builtin_sub_overflow(nanoseconds(), length.count(), &difference)) {
      ASHLAR_CHECK(length.count() < 0, "a point before the beginning of time");
      return MonoTime(Duration::max());
    }
    return MonoTime(Duration(difference));
  }
  // The signed length from `other` to this point; Duration::max() when this is never.
  constexpr Duration operator-(MonoTime other) const {
    if (is_never()) return Duration::max();
    ASHLAR_CHECK(!other.is_never(), "how long since never?");
    std::int64_t difference = 0;
    ASHLAR_CHECK(!__builtin_sub_overflow(nanoseconds(), other.nanoseconds(), &difference));
    return Duration(difference);
  }
  constexpr MonoTime& operator+=(Duration length) { return *this = *this + length; }
  constexpr MonoTime& operator-=(Duration length) { return *this = *this - length; }

  friend constexpr auto operator<=>(MonoTime, MonoTime) = default;

  // Seconds since the origin with all nine decimals, "12.000000345s"; "never".
  std::string to_string() const;

 private:
  Duration since_origin_{0};
};

inline constexpr MonoTime MonoTime::kNever{Duration::max()};

class WallTime {
 public:
  constexpr WallTime() = default;
  constexpr explicit WallTime(Duration since_epoch) : since_epoch_(since_epoch) {}

  // Since 1970-01-01T00:00:00Z, leap seconds not counted, as everywhere in Unix. 64 bits of
  // nanoseconds reach from 1677 to 2262.
  constexpr Duration since_epoch() const { return since_epoch_; }
  constexpr std::int64_t nanoseconds() const { return since_epoch_.count(); }

  constexpr WallTime operator+(Duration length) const {
    std::int64_t sum = 0;
    ASHLAR_CHECK(!__builtin_add_overflow(nanoseconds(), length.count(), &sum));
    return WallTime(Duration(sum));
  }
  constexpr WallTime operator-(Duration length) const {
    std::int64_t difference = 0;
    ASHLAR_CHECK(!__builtin_sub_overflow(nanoseconds(), length.count(), &difference));
    return WallTime(Duration(difference));
  }
  constexpr Duration operator-(WallTime other) const {
    return (*this - other.since_epoch_).since_epoch_;
  }

  friend constexpr auto operator<=>(WallTime, WallTime) = default;

  // RFC 3339 in UTC with the fewest of 0, 3, 6 or 9 decimals that say it exactly:
  // "2026-01-31T23:59:59.250Z".
  std::string to_string() const;

 private:
  Duration since_epoch_{0};
};

}  // namespace ashlar

template <>
struct std::hash<ashlar::MonoTime> {
  std::size_t operator()(ashlar::MonoTime time) const noexcept {
    return std::hash<std::int64_t>()(time.nanoseconds());
  }
};

template <>
struct fmt::formatter<ashlar::MonoTime> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(ashlar::MonoTime time, Context& context) const {
    return fmt::formatter<std::string_view>::format(time.to_string(), context);
  }
};

template <>
struct fmt::formatter<ashlar::WallTime> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(ashlar::WallTime time, Context& context) const {
    return fmt::formatter<std::string_view>::format(time.to_string(), context);
  }
};
