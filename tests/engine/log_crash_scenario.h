// A store's log under power failures: three replicas append records, append some again and cut
// their tails, a releaser moves the checkpoint, the power goes at random points of the work and of
// recovery. After each restart all that was acknowledged must be there, what is there must be the
// history of its replica without a gap, and what an earlier recovery cut must never come back.
//
// The bugs are planted around the log, in what its owner does with it.
#pragma once

#include <cstdint>
#include <string>

namespace ashlar::engine {

enum class LogBug {
  kNone,
  kAckBeforeDurable,  // tells the client when the record is placed
  kNoGenerationBump,  // every life writes as the first one and remembers no cut
  kTrustTornTail,     // believes a header without looking at the payload
  kCutWithoutRecord,  // moves a sequence back and writes no truncation
};

struct LogCrashResult {
  std::string failure;  // empty: all promises were kept
  std::uint64_t crashes = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t recovered = 0;
  std::uint64_t torn_tails = 0;
  std::uint64_t laps = 0;
  std::uint64_t waits = 0;  // appends that found the log full
  std::uint64_t copies = 0;
  std::uint64_t cuts = 0;
  std::uint64_t trace_hash = 0;
};

LogCrashResult run_log_crashes(std::uint64_t seed, LogBug bug);

}  // namespace ashlar::engine
