// What each sector of a volume may show, judged from outside. Every write has a stamp of its own
// that fills the sectors it writes; a read tells which write each sector comes from.
//
// A write takes effect at one instant between its beginning and its end, or, when it was not
// acknowledged, at one such instant or never. From that follows what a read may not show:
//
//   bytes that are nobody's, or of another sector, or of two writes at once
//   a write that had not begun when the read ended
//   a write that has had no effect, for the target said so
//   a write that had ended before another began which is acknowledged, or was seen, and which had
//     ended before the read began: an acknowledged write is lost, or an aborted one came late
//
// Time is a count of what happened, so that no two things happen at once.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"

namespace ashlar::iscsi {

inline constexpr std::size_t kSectorBytes = 512;

using Stamp = std::uint64_t;  // 0: never written
using Moment = std::uint64_t;
inline constexpr Moment kStillOpen = ~Moment{0};

void fill_sector(Stamp stamp, std::uint64_t lba, MutableByteSpan sector);

class SectorOracle {
 public:
  explicit SectorOracle(std::uint64_t sectors) : sectors_(sectors) {}

  Moment now() { return ++now_; }

  // --- writes ---
  Stamp begin_write(unsigned host, std::uint64_t lba, std::uint64_t count);
  void acknowledge(Stamp stamp);
  // The target has said that it did nothing.
  void had_no_effect(Stamp stamp);
  // It may have happened until `end`, and cannot any more.
  void close(Stamp stamp, Moment end);
  // All that the host has open: its sessions are over at the target, too.
  void close_all(unsigned host);

  // --- reads ---
  // Sectors that a read which began at `begin` has shown just now. Empty when they may be.
  std::string judge(std::uint64_t lba, ByteSpan bytes, Moment begin);
  // A compare and write that took place over [begin, now] has found `expected` there.
  std::string judge_replaced(std::uint64_t lba, ByteSpan expected, Moment begin);

  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t closed() const { return closed_; }

 private:
  struct Write {
    unsigned host = 0;
    std::uint64_t lba = 0;
    std::uint64_t count = 0;
    Moment begin = 0;
    Moment end = kStillOpen;
    bool is_never = false;
  };
  // That a sector certainly showed this stamp at one instant of the span.
  struct Fact {
    Stamp stamp = 0;
    Moment begin = 0;
    Moment end = 0;
  };
  struct Sector {
    std::vector<Fact> facts;
    std::vector<Stamp> replaced;  // by an acknowledged compare and write
  };

  std::string judge_sector(std::uint64_t lba, ByteSpan sector, Moment begin, Stamp& stamp) const;

  std::map<Stamp, Write> writes_;
  std::map<unsigned, std::vector<Stamp>> open_;
  std::vector<Sector> sectors_;
  Stamp next_stamp_ = 1;
  Moment now_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t closed_ = 0;
};

}  // namespace ashlar::iscsi
