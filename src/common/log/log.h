// The log: one record per line on stderr or in a file, as text or JSON (common/log/log_record.h).
//
//   ASHLAR_LOG_INFO("listening on {}", endpoint);
//   ASHLAR_LOG_WARN(LogFields{}.volume(id).epoch(epoch), "peer {} is {} behind", peer, lag);
//   ASHLAR_LOG_WARN_EVERY(10s, LogFields{}.volume(id), "disk is slow: {}", took);
//
// Arguments and fields are evaluated only if the level is on. The _EVERY forms write at most one
// record per period for each place in the code, and the next one says with `suppressed=` how many
// were left out. The level may change at any time (set_log_level), by any thread.
//
// Until configure_logging the log goes straight to stderr as text. After it, records are put in a
// bounded queue and one thread of the log's own writes them: a stuck pipe or a slow disk never
// stalls the caller. When the queue is full the oldest record is dropped; how many were lost is
// written when output moves again, and log_records_dropped() counts them. Records reach the kernel
// as soon as that thread gets to them, there is no further buffer. The queue is drained, waiting
// for at most kLogFlushPatience, by flush_logs(), at exit(), and when an ASHLAR_CHECK fails.
//
// A LogSink replaces the output while it is set: tests capture, the simulator stamps its own time.
// Its records come one at a time, on the thread that logged; what it logs itself is dropped.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/log/log_fields.h"
#include "common/log/log_rate_limit.h"
#include "common/log/log_record.h"

namespace ashlar {

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  // Appended to, created with mode 0640; empty for stderr.
  std::string file;
  // Memory is about 0.5 KiB per record, taken at once.
  std::size_t queue_records = 4096;
};

// May be called again; the output before is drained first. Fails if the file cannot be opened, and
// then leaves everything as it was.
Result<> configure_logging(const LogOptions& options);

void set_log_level(LogLevel level);
LogLevel log_level();

inline constexpr Duration kLogFlushPatience = 1s;

// Waits until every record logged before is with the kernel; false if that did not happen in time.
bool flush_logs(Duration patience = kLogFlushPatience);

// Records lost since the start of the process because the output could not keep up.
std::uint64_t log_records_dropped();

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(const LogRecord& record) = 0;
  // The clock of records and rate limits.
  virtual WallTime now();
};

// Null gives the output back. Returns the sink that was set. Starts all rate limits anew, so that
// two simulations of one seed in one process log the same. A sink is in use until it is replaced.
LogSink* set_log_sink(LogSink* sink);

namespace detail {

inline std::atomic<LogLevel> current_log_level{LogLevel::kInfo};

inline bool log_enabled(LogLevel level) {
  return level <= current_log_level.load(std::memory_order_relaxed);
}

void write_log(LogLevel level, LogFields fields, fmt::string_view format, fmt::format_args args);

template <Loggable... Args>
void log(LogLevel level, const LogFields& fields, fmt::format_string<Args...> format,
         Args&&... args) {
  write_log(level, fields, format, fmt::make_format_args(args...));
}

template <Loggable... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  write_log(level, LogFields{}, format, fmt::make_format_args(args...));
}

template <Loggable... Args>
void log(std::uint64_t suppressed, LogLevel level, const LogFields& fields,
         fmt::format_string<Args...> format, Args&&... args) {
  LogFields all(fields);
  if (suppressed > 0) all.with("suppressed", suppressed);
  write_log(level, std::move(all), format, fmt::make_format_args(args...));
}

template <Loggable... Args>
void log(std::uint64_t suppressed, LogLevel level, fmt::format_string<Args...> format,
         Args&&... args) {
  log(suppressed, level, LogFields{}, format, std::forward<Args>(args)...);
}

}  // namespace detail
}  // namespace ashlar

#define ASHLAR_LOG_(level, ...)                  \
  do {                                           \
    if (::ashlar::detail::log_enabled(level)) {  \
      ::ashlar::detail::log(level, __VA_ARGS__); \
    }                                            \
  } while (false)

#define ASHLAR_LOG_EVERY_(level, period, ...)                                \
  do {                                                                       \
    if (::ashlar::detail::log_enabled(level)) {                              \
      static constinit ::ashlar::LogRateLimit ashlar_log_limit_;             \
      if (const auto ashlar_suppressed_ = ashlar_log_limit_.admit(period)) { \
        ::ashlar::detail::log(*ashlar_suppressed_, level, __VA_ARGS__);      \
      }                                                                      \
    }                                                                        \
  } while (false)

#define ASHLAR_LOG_ERROR(...) ASHLAR_LOG_(::ashlar::LogLevel::kError, __VA_ARGS__)
#define ASHLAR_LOG_WARN(...) ASHLAR_LOG_(::ashlar::LogLevel::kWarn, __VA_ARGS__)
#define ASHLAR_LOG_INFO(...) ASHLAR_LOG_(::ashlar::LogLevel::kInfo, __VA_ARGS__)
#define ASHLAR_LOG_DEBUG(...) ASHLAR_LOG_(::ashlar::LogLevel::kDebug, __VA_ARGS__)

#define ASHLAR_LOG_ERROR_EVERY(period, ...) \
  ASHLAR_LOG_EVERY_(::ashlar::LogLevel::kError, period, __VA_ARGS__)
#define ASHLAR_LOG_WARN_EVERY(period, ...) \
  ASHLAR_LOG_EVERY_(::ashlar::LogLevel::kWarn, period, __VA_ARGS__)
#define ASHLAR_LOG_INFO_EVERY(period, ...) \
  ASHLAR_LOG_EVERY_(::ashlar::LogLevel::kInfo, period, __VA_ARGS__)
#define ASHLAR_LOG_DEBUG_EVERY(period, ...) \
  ASHLAR_LOG_EVERY_(::ashlar::LogLevel::kDebug, period, __VA_ARGS__)
