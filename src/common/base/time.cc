#include "common/base/time.h"

namespace ashlar {

std::string MonoTime::to_string() const {
  if (is_never()) return "never";
  const std::int64_t ns = nanoseconds();
  // In unsigned arithmetic, where the magnitude of the smallest value exists.
  const auto magnitude =
      ns < 0 ? 0 - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
  return fmt::format("{}{}.{:09}s", ns < 0 ? "-" : "", magnitude / 1'000'000'000,
                     magnitude % 1'000'000'000);
}

std::string WallTime::to_string() const {
  // Floor, not truncate: before 1970 the fraction still counts forward from the second below.
  const auto second = std::chrono::floor<std::chrono::seconds>(since_epoch_);
  const auto day = std::chrono::floor<std::chrono::days>(second);
  const std::chrono::year_month_day date{std::chrono::sys_days(day)};
  const std::chrono::hh_mm_ss clock{second - day};
  // Subtracting `second` as nanoseconds could overflow near the lower end; the remainder cannot.
  const std::int64_t remainder = nanoseconds() % 1'000'000'000;
  const std::int64_t fraction = remainder < 0 ? remainder + 1'000'000'000 : remainder;

  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", int{date.year()}, unsigned{date.month()},
                  unsigned{date.day()}, clock.hours().count(), clock.minutes().count(),
                  clock.seconds().count());
  if (fraction % 1'000'000 == 0) {
    if (fraction != 0) text += fmt::format(".{:03}", fraction / 1'000'000);
  } else if (fraction % 1'000 == 0) {
    text += fmt::format(".{:06}", fraction / 1'000);
  } else {
    text += fmt::format(".{:09}", fraction);
  }
  return text + "Z";
}

}  // namespace ashlar
