// Takes the log while alive, for tests that look at what was logged. Any thread may log meanwhile.
#pragma once

#include <mutex>
#include <vector>

#include "common/log/log.h"

namespace ashlar::test {

class CapturedLogs final : public LogSink {
 public:
  explicit CapturedLogs(LogLevel level = LogLevel::kDebug) : level_before_(log_level()) {
    set_log_level(level);
    before_ = set_log_sink(this);
  }
  ~CapturedLogs() override {
    set_log_sink(before_);
    set_log_level(level_before_);
  }
  CapturedLogs(const CapturedLogs&) = delete;
  CapturedLogs& operator=(const CapturedLogs&) = delete;

  void write(const LogRecord& record) override {
    const std::lock_guard lock(mutex_);
    records_.push_back(record);
  }
  WallTime now() override {
    const std::lock_guard lock(mutex_);
    return time_;
  }

  std::vector<LogRecord> records() const {
    const std::lock_guard lock(mutex_);
    return records_;
  }
  // Time stands still but for this.
  void advance(Duration by) {
    const std::lock_guard lock(mutex_);
    time_ = time_ + by;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<LogRecord> records_;
  WallTime time_{std::chrono::hours(24 * 365)};
  LogLevel level_before_;
  LogSink* before_ = nullptr;
};

}  // namespace ashlar::test
