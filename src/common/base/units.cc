#include "common/base/units.h"

#include <array>
#include <cstdint>
#include <optional>

#include "common/base/quote.h"

namespace ashlar {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t scale;
};

constexpr std::uint64_t kKilo = 1'000;
constexpr std::uint64_t kKibi = 1'024;

constexpr auto kBinaryUnits = std::to_array<Unit>({
    {"Ei", kKibi* kKibi* kKibi* kKibi* kKibi* kKibi},
    {"Pi", kKibi* kKibi* kKibi* kKibi* kKibi},
    {"Ti", kKibi* kKibi* kKibi* kKibi},
    {"Gi", kKibi* kKibi* kKibi},
    {"Mi", kKibi* kKibi},
    {"Ki", kKibi},
});
constexpr auto kDecimalUnits = std::to_array<Unit>({
    {"E", kKilo* kKilo* kKilo* kKilo* kKilo* kKilo},
    {"P", kKilo* kKilo* kKilo* kKilo* kKilo},
    {"T", kKilo* kKilo* kKilo* kKilo},
    {"G", kKilo* kKilo* kKilo},
    {"M", kKilo* kKilo},
    {"k", kKilo},
    {"K", kKilo},
    {"", 1},
});

constexpr std::uint64_t kSecond = 1'000'000'000;

// Larger first, which is also the order in which they may follow each other.
constexpr auto kTimeUnits = std::to_array<Unit>({
    {"d", 86'400 * kSecond},
    {"h", 3'600 * kSecond},
    {"m", 60 * kSecond},
    {"s", kSecond},
    {"ms", 1'000'000},
    {"us", 1'000},
    {"\u00b5s", 1'000},  // micro sign
    {"\u03bcs", 1'000},  // Greek mu, which some keyboards give
    {"ns", 1},
});

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// 12.25 is whole 12, fraction 25 of 100.
struct Decimal {
  std::uint64_t whole = 0;
  std::uint64_t fraction = 0;
  std::uint64_t fraction_of = 1;
};

enum class Flaw { kGarbage, kOverflow, kTooFine };

using Digits = tl::expected<Decimal, Flaw>;
using Scaled = tl::expected<std::uint64_t, Flaw>;

// Takes a decimal number off the front of `text`; digits are needed on both sides of the point.
Digits take_decimal(std::string_view& text) {
  Decimal decimal;
  std::size_t at = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) {
    const auto digit = static_cast<std::uint64_t>(text[at] - '0');
    if (__builtin_mul_overflow(decimal.whole, std::uint64_t{10}, &decimal.whole) ||
        __builtin_add_overflow(decimal.whole, digit, &decimal.whole)) {
      return tl::unexpected(Flaw::kOverflow);
    }
  }
  if (at == 0) return tl::unexpected(Flaw::kGarbage);
  if (at < text.size() && text[at] == '.') {
    const std::size_t first = ++at;
    while (at < text.size() && is_digit(text[at])) ++at;
    std::string_view digits = text.substr(first, at - first);
    if (digits.empty()) return tl::unexpected(Flaw::kGarbage);
    while (!digits.empty() && digits.back() == '0') digits.remove_suffix(1);
    // 18 decimals are finer than a byte in an exbibyte, and keep the products below 128 bits.
    if (digits.size() > 18) return tl::unexpected(Flaw::kTooFine);
    for (const char c : digits) {
      decimal.fraction = decimal.fraction * 10 + static_cast<std::uint64_t>(c - '0');
      decimal.fraction_of *= 10;
    }
  }
  text.remove_prefix(at);
  return decimal;
}

Scaled scale(const Decimal& decimal, std::uint64_t unit) {
  const unsigned __int128 fine = static_cast<unsigned __int128>(decimal.fraction) * unit;
  if (fine % decimal.fraction_of != 0) return tl::unexpected(Flaw::kTooFine);
  const auto part = static_cast<std::uint64_t>(fine / decimal.fraction_of);
  std::uint64_t amount = 0;
  if (__builtin_mul_overflow(decimal.whole, unit, &amount) ||
      __builtin_add_overflow(amount, part, &amount)) {
    return tl::unexpected(Flaw::kOverflow);
  }
  return amount;
}

std::optional<std::uint64_t> size_unit(std::string_view name) {
  if (!name.empty() && name.back() == 'B') name.remove_suffix(1);
  for (const Unit& unit : kBinaryUnits) {
    if (unit.name == name) return unit.scale;
  }
  for (const Unit& unit : kDecimalUnits) {
    if (unit.name == name) return unit.scale;
  }
  return std::nullopt;
}

Error not_a_size(std::string_view text, std::string_view why) {
  return Error::invalid_argument(
      "{} is not a size: {}; write bytes, or a number with Ki Mi Gi Ti Pi Ei (powers of 1024) or "
      "k M G T P E (powers of 1000), such as 4096, 10Gi or 1.5Ti",
      quote(text), why);
}

Error not_a_size(std::string_view text, Flaw flaw) {
  switch (flaw) {
    case Flaw::kGarbage:
      return not_a_size(text, text.empty() ? "it is empty" : "it is not a number with a unit");
    case Flaw::kOverflow:
      return not_a_size(text, "it is 16Ei or more");
    case Flaw::kTooFine:
      return not_a_size(text, "it is not a whole number of bytes");
  }
  ASHLAR_UNREACHABLE();
}

Error not_a_duration(std::string_view text, std::string_view why) {
  return Error::invalid_argument(
      "{} is not a duration: {}; write numbers with d h m s ms us ns, such as 500ms, 1.5s or 2h30m",
      quote(text), why);
}

Error not_a_duration(std::string_view text, Flaw flaw) {
  switch (flaw) {
    case Flaw::kGarbage:
      return not_a_duration(text, text.empty() ? "it is empty" : "it is not a number with a unit");
    case Flaw::kOverflow:
      return not_a_duration(text, "it is longer than 292 years");
    case Flaw::kTooFine:
      return not_a_duration(text, "it is not a whole number of nanoseconds");
  }
  ASHLAR_UNREACHABLE();
}

// `amount` in `unit` with as many decimals as it takes: 1500, 1000, "us" gives "1.5us".
std::string with_fraction(std::uint64_t amount, std::uint64_t unit, std::string_view name) {
  std::string text = fmt::format("{}", amount / unit);
  if (std::uint64_t rest = amount % unit; rest != 0) {
    text += '.';
    for (std::uint64_t place = unit / 10; rest != 0; place /= 10) {
      text += static_cast<char>('0' + rest / place);
      rest %= place;
    }
  }
  return text.append(name);
}

}  // namespace

Result<ByteCount> parse_size(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with('-')) return not_a_size(text, "it is negative");
  const Digits decimal = take_decimal(rest);
  if (!decimal) return not_a_size(text, decimal.error());
  if (rest.starts_with(' ') && rest.size() > 1) rest.remove_prefix(1);
  const std::optional<std::uint64_t> unit = size_unit(rest);
  if (!unit) return not_a_size(text, fmt::format("{} is not a unit of size", quote(rest)));
  const Scaled size = scale(*decimal, *unit);
  if (!size) return not_a_size(text, size.error());
  return ByteCount(*size);
}

std::string format_size(ByteCount size) {
  const std::uint64_t bytes = size.value();
  for (const Unit& unit : kBinaryUnits) {
    if (bytes != 0 && bytes % unit.scale == 0) {
      return fmt::format("{}{}", bytes / unit.scale, unit.name);
    }
  }
  return fmt::format("{}", bytes);
}

std::string format_size_short(ByteCount size) {
  const auto tenths_of = [&](std::uint64_t scale) {
    const unsigned __int128 tenfold = static_cast<unsigned __int128>(size.value()) * 10;
    return static_cast<std::uint64_t>((tenfold + scale / 2) / scale);
  };
  // Upwards while the rounded number has four digits before the point: 1,048,575 is "1 MiB", for
  // nobody should have to read "1024 KiB".
  std::string_view name;
  std::uint64_t tenths = tenths_of(1);
  for (auto unit = kBinaryUnits.rbegin(); unit != kBinaryUnits.rend() && tenths >= 10'240; ++unit) {
    name = unit->name;
    tenths = tenths_of(unit->scale);
  }
  if (tenths % 10 == 0) return fmt::format("{} {}B", tenths / 10, name);
  return fmt::format("{}.{} {}B", tenths / 10, tenths % 10, name);
}

Result<Duration> parse_duration(std::string_view text) {
  if (text == "0") return Duration(0);
  if (text.starts_with('-')) return not_a_duration(text, "it is negative");
  std::string_view rest = text;
  std::uint64_t total = 0;
  std::uint64_t last_unit = UINT64_MAX;
  bool had_fraction = false;
  do {
    const Digits decimal = take_decimal(rest);
    if (!decimal) return not_a_duration(text, decimal.error());
    if (had_fraction) return not_a_duration(text, "only its last part may have a fraction");
    had_fraction = decimal->fraction != 0;

    std::size_t length = 0;
    while (length < rest.size() && !is_digit(rest[length])) ++length;
    const std::string_view name = rest.substr(0, length);
    rest.remove_prefix(length);
    if (name.empty()) return not_a_duration(text, "it has no unit");

    const Unit* unit = nullptr;
    for (const Unit& candidate : kTimeUnits) {
      if (candidate.name == name) unit = &candidate;
    }
    if (unit == nullptr) {
      return not_a_duration(text, fmt::format("{} is not a unit of time", quote(name)));
    }
    if (unit->scale >= last_unit) {
      return not_a_duration(text, "larger units come first and each only once");
    }
    last_unit = unit->scale;

    const Scaled part = scale(*decimal, unit->scale);
    if (!part) return not_a_duration(text, part.error());
    if (__builtin_add_overflow(total, *part, &total)) return not_a_duration(text, Flaw::kOverflow);
  } while (!rest.empty());
  if (total > static_cast<std::uint64_t>(Duration::max().count())) {
    return not_a_duration(text, Flaw::kOverflow);
  }
  return Duration(static_cast<std::int64_t>(total));
}

std::string format_duration(Duration duration) {
  const std::int64_t ns = duration.count();
  if (ns == 0) return "0s";
  std::string text = ns < 0 ? "-" : "";
  // In unsigned arithmetic, where the magnitude of the smallest value exists.
  std::uint64_t rest = ns < 0 ? 0 - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
  const bool below_a_second = rest < kSecond;
  for (const Unit& unit : kTimeUnits) {
    if (unit.scale <= kSecond) break;
    if (rest >= unit.scale) text += fmt::format("{}{}", rest / unit.scale, unit.name);
    rest %= unit.scale;
  }
  if (rest == 0) return text;
  if (!below_a_second) return text + with_fraction(rest, kSecond, "s");
  if (rest >= 1'000'000) return text + with_fraction(rest, 1'000'000, "ms");
  if (rest >= 1'000) return text + with_fraction(rest, 1'000, "us");
  return text + with_fraction(rest, 1, "ns");
}

}  // namespace ashlar
