// MiniLog: the smallest append log that keeps its promises, to try the simulator on. It can be told
// to break each of them.
//
// Records are numbered from 1 and fill files of kRecordsPerFile records, /data/log.<n>. A record
// is 1 to 3 pages: a header (magic, number, length, checksum of the record before, checksum of this
// one) and bytes. Chaining the checksums keeps a record of an earlier life, which lies behind a
// torn tail that was written over, from being taken for the next one.
//
// append() resolves when the record is on stable media. open() reads all records up to the first
// break, makes what it read durable (after a kill it may sit in the volatile cache) and goes on
// behind it. An error of append() or open() means: stop, and do not touch the disk again before a
// power cycle.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/base/result.h"
#include "common/runtime/runtime.h"

namespace ashlar::sim {

inline constexpr std::uint64_t kRecordsPerFile = 6;
inline constexpr std::size_t kLongestRecordPages = 3;

struct MiniLogBugs {
  bool no_sync = false;
  bool ack_early = false;
  bool no_directory_sync = false;
  bool trust_torn_tail = false;
};

// What the log says of a record: its number and a digest of its bytes.
struct MiniLogRecord {
  std::uint64_t number;
  std::uint32_t digest;
};

class MiniLog {
 public:
  using Acknowledge = std::function<void(const MiniLogRecord&)>;

  MiniLog(Runtime runtime, MiniLogBugs bugs) : runtime_(runtime), bugs_(bugs) {}

  Task<Result<std::vector<MiniLogRecord>>> open();
  std::uint64_t next_number() const { return next_number_; }
  bool found_torn_tail() const { return found_torn_tail_; }

  // Appends record next_number() with bytes that follow from `content_seed`.
  Task<Result<>> append(std::uint64_t content_seed, std::size_t pages, const Acknowledge& done);
  // The digest append() will store for it.
  static std::uint32_t digest_of(std::uint64_t content_seed, std::size_t pages);

 private:
  Task<Result<>> open_file(std::uint64_t file, OpenMode mode);

  Runtime runtime_;
  const MiniLogBugs bugs_;
  std::unique_ptr<File> file_;
  std::uint64_t next_number_ = 1;
  std::uint64_t offset_ = 0;  // in the current file
  std::uint32_t last_checksum_ = 0;
  bool found_torn_tail_ = false;
};

}  // namespace ashlar::sim
