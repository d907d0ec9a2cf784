// One log record and its two forms. Both keep a record on one line whatever is in it: control
// characters, line ends and bytes that are not UTF-8 are escaped, so a name from the network can
// neither forge a second record nor drive a terminal.
//
//   2026-11-25T08:27:01.123456Z INFO  became primary volume=pvc-1 epoch=3
//   {"time":"2026-11-25T08:27:01.123456Z","level":"info","message":"became primary",
//    "volume":"pvc-1","epoch":3}                                          (on one line)
//
// In text, values that are empty or hold blanks, quotes or '=' are quoted. Messages longer than
// kMessageMax and values longer than kValueMax bytes are cut and end in "…".
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/time.h"
#include "common/log/log_fields.h"

namespace ashlar {

enum class LogLevel : std::uint8_t {
  kError,  // an operator must act
  kWarn,   // something is worse than it should be, and we cope
  kInfo,   // a state changed
  kDebug,  // for us; off in production
};

enum class LogFormat : std::uint8_t { kText, kJson };

// Names as they are written in configuration and in JSON records.
inline constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kLogLevelNames = {{
    {"error", LogLevel::kError},
    {"warn", LogLevel::kWarn},
    {"info", LogLevel::kInfo},
    {"debug", LogLevel::kDebug},
}};
inline constexpr std::array<std::pair<std::string_view, LogFormat>, 2> kLogFormatNames = {{
    {"text", LogFormat::kText},
    {"json", LogFormat::kJson},
}};

std::string_view to_string(LogLevel level);

struct LogRecord {
  static constexpr std::size_t kMessageMax = 8192;
  static constexpr std::size_t kValueMax = 1024;

  WallTime time;
  LogLevel level = LogLevel::kInfo;
  std::string message;
  LogFields fields;
};

// Without the line end.
std::string format_record(const LogRecord& record, LogFormat format);

// "2026-11-25T08:27:01.123456Z"
std::string format_log_time(WallTime time);

}  // namespace ashlar
