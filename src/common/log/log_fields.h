// The structured part of a log record: what it is about, as key and value, so that a search finds
// every record of one volume or one request.
//
//   ASHLAR_LOG_INFO(LogFields{}.volume(name).epoch(epoch).lsn(lsn), "became primary");
//
// A component that logs much about one thing keeps its LogFields as a member and copies it to add
// to it: `LogFields(fields_).lsn(lsn)`. Setting a key again replaces its value. Inside the logging
// macros fields are built only when the level is on; elsewhere building them allocates.
//
// Integers, our ordinals (Lsn, Epoch, …), ByteCount and booleans stay numbers and booleans in JSON;
// everything else becomes the text its fmt formatter gives. A type without one does not compile:
// that is what keeps a Secret out of the log.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/core.h>

#include "common/base/strong.h"

namespace ashlar {

// What may stand in a log record.
template <class T>
concept Loggable = fmt::is_formattable<std::remove_cvref_t<T>>::value;

// The name of a field: a literal of [a-z0-9_], checked when compiled. `time`, `level` and
// `message` belong to the record itself.
class LogKey {
 public:
  template <std::size_t N>
  consteval LogKey(const char (&name)[N]) : name_(name, N - 1) {  // NOLINT(google-explicit-*)
    if (!valid(name_)) invalid_log_key();
  }
  constexpr std::string_view name() const { return name_; }

 private:
  static void invalid_log_key();  // not constexpr, not defined: calling it stops the compiler
  static constexpr bool valid(std::string_view name) {
    if (name.empty() || name == "time" || name == "level" || name == "message") return false;
    for (const char c : name) {
      if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_') return false;
    }
    return true;
  }
  std::string_view name_;
};

struct LogField {
  using Value = std::variant<std::string, std::uint64_t, std::int64_t, double, bool>;
  std::string_view key;  // of a LogKey: lives as long as the program
  Value value;
};

class LogFields {
 public:
  template <Loggable T>
  LogFields& volume(const T& name_or_id) {
    return with("volume", name_or_id);
  }
  template <Loggable T>
  LogFields& request_id(const T& id) {
    return with("request_id", id);
  }
  LogFields& epoch(Epoch epoch) { return with("epoch", epoch); }
  LogFields& lsn(Lsn lsn) { return with("lsn", lsn); }

  template <Loggable T>
  LogFields& with(LogKey key, const T& value) {
    set(key.name(), to_value(value));
    return *this;
  }

  const std::vector<LogField>& list() const { return fields_; }

 private:
  template <class T>
  static LogField::Value to_value(const T& value) {
    if constexpr (std::same_as<T, bool>) {
      return value;
    } else if constexpr (std::same_as<T, char>) {
      return std::string(1, value);
    } else if constexpr (std::unsigned_integral<T>) {
      return static_cast<std::uint64_t>(value);
    } else if constexpr (std::signed_integral<T>) {
      return static_cast<std::int64_t>(value);
    } else if constexpr (std::floating_point<T>) {
      return static_cast<double>(value);
    } else if constexpr (requires {
                           { value.value() } -> std::same_as<std::uint64_t>;
                         }) {
      return value.value();
    } else {
      return fmt::format("{}", value);
    }
  }

  void set(std::string_view key, LogField::Value value) {
    for (LogField& field : fields_) {
      if (field.key == key) {
        field.value = std::move(value);
        return;
      }
    }
    fields_.push_back({key, std::move(value)});
  }

  std::vector<LogField> fields_;
};

}  // namespace ashlar
