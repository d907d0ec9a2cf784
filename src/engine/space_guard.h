// SpaceGuard: refuses new writes before the file system is full, so that what was acknowledged can
// still be flushed (L12). It asks the file system from time to time and counts in between: a write
// needs at most its payload and one map page per chunk it touches.
//
//   promised   bytes that unflushed records may still take up; grows with appends, shrinks when
//              they are flushed
//   free       what the file system had when it was last asked
//   taken      what was promised and may have been taken from it since
//
// A write is admitted while promised + taken + its need + reserve <= free. While there is plenty
// the flusher may take more, and a merge asks nobody. When space comes back, refresh() finds out
// and writes are admitted again. Reads and discards never ask.
//
// Belongs to its executor's thread.
#pragma once

#include <string>

#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/runtime/clock.h"
#include "common/runtime/file.h"
#include "common/runtime/task.h"

namespace ashlar::engine {

class SpaceGuard {
 public:
  SpaceGuard(FileSystem& files, Clock& clock, std::string directory, ByteCount reserve)
      : files_(files), clock_(clock), directory_(std::move(directory)), reserve_(reserve) {}

  // What a write of so many blocks may take up.
  static ByteCount need_of(std::uint64_t blocks) {
    return ByteCount(blocks * 4096 + (blocks / 16 + 2) * 4096);
  }

  bool admits(ByteCount need) const { return known_ && expected() + need + reserve_ <= free_; }
  // Whether space may be taken ahead of need.
  bool has_plenty() const { return known_ && expected() + reserve_ + kPlenty <= free_; }
  void promise(ByteCount need) { promised_ += need; }
  // The records were flushed, or dropped.
  void settle(ByteCount need) {
    promised_ -= need;
    taken_ += need;
  }

  // Asks the file system, unless it was asked a moment ago; one question at a time.
  Task<Result<>> refresh();
  // True when the last answer may be out of date because much was written since.
  bool is_stale() const { return !known_ || expected() > promised_then_ + kStaleAfter; }

  // What may still be written, as far as is known.
  ByteCount available() const {
    const ByteCount spoken_for = expected() + reserve_;
    return spoken_for < free_ ? free_ - spoken_for : ByteCount(0);
  }
  ByteCount free() const { return free_; }
  ByteCount promised() const { return promised_; }

 private:
  static constexpr ByteCount kStaleAfter{32 << 20};
  static constexpr ByteCount kPlenty{4ULL << 30};
  static constexpr Duration kShortest = 100ms;

  ByteCount expected() const { return promised_ + taken_; }

  FileSystem& files_;
  Clock& clock_;
  const std::string directory_;
  const ByteCount reserve_;
  ByteCount free_;
  ByteCount promised_;
  ByteCount promised_then_;
  ByteCount taken_;
  bool known_ = false;
  bool asking_ = false;
  MonoTime asked_;
};

}  // namespace ashlar::engine
