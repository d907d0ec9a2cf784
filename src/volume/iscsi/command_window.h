// CommandWindow: which commands of a session may come, by their CmdSN (RFC 7143, 4.2.2.1). Pure.
//
// ExpCmdSN is the next that was not received yet, MaxCmdSN the last that may be sent. The window
// is how the target holds an initiator back (L66, L70): MaxCmdSN - ExpCmdSN + 1 is what there is
// room for, commands and memory, at the moment it is told. It never goes down, and it is never
// empty when nothing is under way, for then no answer would come to open it again.
#pragma once

#include <algorithm>
#include <cstdint>

#include "volume/iscsi/pdu.h"

namespace ashlar::iscsi {

class CommandWindow {
 public:
  enum class Place : std::uint8_t {
    kNext,     // it is this one's turn
    kAhead,    // others have to come first
    kOutside,  // received before, or beyond MaxCmdSN: to be ignored
  };

  CommandWindow(std::uint32_t first, std::uint32_t room) : exp_(first), max_(first + room - 1) {}

  std::uint32_t exp_cmd_sn() const { return exp_; }
  std::uint32_t max_cmd_sn() const { return max_; }

  Place place(std::uint32_t cmd_sn) const {
    if (cmd_sn == exp_) return serial_before(max_, exp_) ? Place::kOutside : Place::kNext;
    if (serial_before(cmd_sn, exp_) || serial_before(max_, cmd_sn)) return Place::kOutside;
    return Place::kAhead;
  }
  void advance() { ++exp_; }

  // There is room for `room` commands beyond those received.
  void open(std::uint32_t room) {
    const std::uint32_t most = exp_ + room - 1;
    if (serial_before(max_, most)) max_ = most;
  }

 private:
  std::uint32_t exp_;
  std::uint32_t max_;
};

}  // namespace ashlar::iscsi
