#include "common/log/log.h"

#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>

#include "common/log/log_output.h"

namespace ashlar {
namespace {

// Where records go now. Never destroyed: other threads may log while the process exits.
struct Destination {
  std::mutex mutex;
  LogSink* sink = nullptr;
  std::shared_ptr<LogOutput> output;  // none before configure_logging
  std::uint64_t dropped_by_earlier_outputs = 0;
};

Destination& destination() {
  static Destination* const instance = new Destination;
  return *instance;
}

// Set while this thread hands over a record: a sink that logs, or that fails a check, must not wait
// for the mutex its own thread holds.
thread_local bool handing_over = false;

class HandOver {
 public:
  HandOver() : lock_(destination().mutex) { handing_over = true; }
  ~HandOver() { handing_over = false; }
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;
  void unlock() { lock_.unlock(); }

 private:
  std::unique_lock<std::mutex> lock_;
};

std::atomic<bool> sink_is_set{false};
std::atomic<std::uint64_t> sink_generation{1};

WallTime system_time() {
  return WallTime(std::chrono::system_clock::now().time_since_epoch());
}

WallTime now_of_the_sink() {
  if (sink_is_set.load(std::memory_order_acquire) && !handing_over) {
    const HandOver hand_over;
    if (LogSink* sink = destination().sink) return sink->now();
  }
  return system_time();
}

std::shared_ptr<LogOutput> current_output() {
  const std::lock_guard lock(destination().mutex);
  return destination().output;
}

void flush_before_abort() {
  if (!handing_over) flush_logs();
}

}  // namespace

Result<> configure_logging(const LogOptions& options) {
  ASHLAR_TRY_ASSIGN(auto output,
                    LogOutput::open(options.file, options.format, options.queue_records));
  static std::once_flag once;
  std::call_once(once, [] {
    std::atexit([] { flush_logs(); });
    set_check_last_words(flush_before_abort);
  });
  set_log_level(options.level);
  {
    const std::lock_guard lock(destination().mutex);
    std::swap(destination().output, output);
  }
  if (output) {
    output->flush(kLogFlushPatience);
    const std::lock_guard lock(destination().mutex);
    destination().dropped_by_earlier_outputs += output->dropped();
  }
  return {};
}

void set_log_level(LogLevel level) {
  detail::current_log_level.store(level, std::memory_order_relaxed);
}

LogLevel log_level() {
  return detail::current_log_level.load(std::memory_order_relaxed);
}

bool flush_logs(Duration patience) {
  const std::shared_ptr<LogOutput> output = current_output();
  return !output || output->flush(patience);
}

std::uint64_t log_records_dropped() {
  const std::lock_guard lock(destination().mutex);
  const auto& output = destination().output;
  return destination().dropped_by_earlier_outputs + (output ? output->dropped() : 0);
}

WallTime LogSink::now() {
  return system_time();
}

LogSink* set_log_sink(LogSink* sink) {
  const std::lock_guard lock(destination().mutex);
  sink_is_set.store(sink != nullptr, std::memory_order_release);
  ++sink_generation;
  return std::exchange(destination().sink, sink);
}

namespace detail {

void write_log(LogLevel level, LogFields fields, fmt::string_view format, fmt::format_args args) {
  if (handing_over) return;
  // Formatters of arguments may log or check: they run before the mutex is taken.
  LogRecord record{
      .level = level, .message = fmt::vformat(format, args), .fields = std::move(fields)};
  HandOver hand_over;
  Destination& to = destination();
  record.time = to.sink != nullptr ? to.sink->now() : system_time();
  if (to.sink != nullptr) {
    to.sink->write(record);
  } else if (to.output) {
    to.output->write(record);
  } else {
    // This may block; the log of other threads should not.
    hand_over.unlock();
    write_log_line(STDERR_FILENO, format_record(record, LogFormat::kText));
  }
}

}  // namespace detail

std::optional<std::uint64_t> LogRateLimit::admit(Duration period) {
  const std::int64_t now = now_of_the_sink().nanoseconds();
  const std::uint64_t generation = sink_generation.load(std::memory_order_relaxed);
  std::int64_t last = last_ns_.load(std::memory_order_relaxed);
  const bool fresh = generation_.exchange(generation, std::memory_order_relaxed) != generation;
  // A wall clock that was set back must not silence us until it has caught up: now < last passes.
  if (!fresh && now >= last && now - last < period.count()) {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  // Of several threads that find the period over, one writes.
  if (!last_ns_.compare_exchange_strong(last, now, std::memory_order_relaxed)) {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  const std::uint64_t suppressed = suppressed_.exchange(0, std::memory_order_relaxed);
  return fresh ? 0 : suppressed;
}

}  // namespace ashlar
