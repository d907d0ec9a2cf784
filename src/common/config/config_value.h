// How each type of setting is written: its name in the help, text to value, value to text. What
// format() gives, parse() takes: --print-config is a loadable file.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/result.h"
#include "common/base/secret.h"
#include "common/base/strong.h"
#include "common/base/time.h"
#include "common/base/units.h"

namespace ashlar {

template <class T>
struct ConfigType;

template <>
struct ConfigType<bool> {
  static std::string name() { return "BOOL"; }
  static Result<bool> parse(std::string_view text);
  static std::string format(bool value) { return value ? "true" : "false"; }
};

namespace detail {
Result<std::int64_t> parse_signed(std::string_view text, std::int64_t least, std::int64_t most);
Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t most);
}  // namespace detail

template <class T>
  requires std::integral<T>
struct ConfigType<T> {
  static std::string name() { return "NUMBER"; }
  static Result<T> parse(std::string_view text) {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::signed_integral<T>) {
      ASHLAR_TRY_ASSIGN(const auto value, detail::parse_signed(text, Limits::min(), Limits::max()));
      return static_cast<T>(value);
    } else {
      ASHLAR_TRY_ASSIGN(const auto value, detail::parse_unsigned(text, Limits::max()));
      return static_cast<T>(value);
    }
  }
  static std::string format(T value) { return std::to_string(value); }
};

template <>
struct ConfigType<std::string> {
  static std::string name() { return "TEXT"; }
  static Result<std::string> parse(std::string_view text) { return std::string(text); }
  static std::string format(const std::string& value) { return value; }
};

template <>
struct ConfigType<ByteCount> {
  static std::string name() { return "SIZE"; }
  static Result<ByteCount> parse(std::string_view text) { return parse_size(text); }
  static std::string format(ByteCount value) { return format_size(value); }
};

template <>
struct ConfigType<Duration> {
  static std::string name() { return "DURATION"; }
  static Result<Duration> parse(std::string_view text) { return parse_duration(text); }
  static std::string format(Duration value) { return format_duration(value); }
};

template <>
struct ConfigType<Endpoint> {
  static std::string name() { return "ADDRESS:PORT"; }
  static Result<Endpoint> parse(std::string_view text) { return Endpoint::parse(text); }
  static std::string format(const Endpoint& value) { return value.to_string(); }
};

template <>
struct ConfigType<Secret> {
  static std::string name() { return "SECRET"; }
  static Result<Secret> parse(std::string_view text) { return Secret(text); }
  static std::string format(const Secret& value) { return value.empty() ? "" : "<secret>"; }
};

}  // namespace ashlar
