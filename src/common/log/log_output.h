// Where records go in a running daemon: a bounded queue and a thread that writes to one file
// descriptor. Producers never wait for the descriptor (they share a short mutex with the writer).
// The writer waits for the descriptor with poll and never longer than a moment, so even with a pipe
// nobody reads the output can be given up and destroyed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/log/log_record.h"

namespace ashlar {

class LogOutput {
 public:
  // `file` empty for stderr.
  static Result<std::shared_ptr<LogOutput>> open(const std::string& file, LogFormat format,
                                                 std::size_t queue_records);
  // Gives up what is still in the queue; flush first.
  ~LogOutput();
  LogOutput(const LogOutput&) = delete;
  LogOutput& operator=(const LogOutput&) = delete;

  // Callers serialize themselves.
  void write(const LogRecord& record);

  // Any thread, alongside write. True once everything written before the call is with the kernel.
  bool flush(Duration patience);

  // Records that were pushed out of the full queue or that the kernel refused.
  std::uint64_t dropped() const;

 private:
  struct Impl;
  explicit LogOutput(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// One line to a descriptor, waiting as long as it takes; what the kernel refuses is lost.
void write_log_line(int fd, std::string line);

}  // namespace ashlar
