// The whole of a single-copy server under faults: two hosts that speak real PDUs over a network
// that loses connections at any byte, and a machine with engine, volume, SCSI device and iSCSI
// target that is killed, loses power, and is paused. SectorOracle judges what they read; the hosts
// judge what the target says:
//
//   every command is answered once, or not at all after task management has taken it
//   StatSN, DataSN, R2TSN and offsets follow each other; segments, bursts and R2Ts keep to what was
//   agreed on; a window is never exceeded
//   after faults have ended, everybody is answered in time
//
// Both hosts use one volume; they write, read, compare and write the same sectors, abort their own
// commands, and reset the unit under each other. A host whose session is lost logs in again under
// the same ISID, which ends the old session. What is negotiated is drawn for every session.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::iscsi {

// What can be planted: flaws of the target's device that the scenario must find.
//   no-sync         acknowledges what a power failure takes
//   deaf-abort      says that a command was aborted, which then goes on
//   split-compare   compares, waits, and then writes
inline const std::vector<std::string_view> kIscsiBugs = {"no-sync", "deaf-abort", "split-compare"};

struct IscsiCounts {
  std::uint64_t sessions = 0;
  std::uint64_t lost_sessions = 0;
  std::uint64_t commands = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t unknown = 0;  // writes of which nobody can say whether they happened
  std::uint64_t reads = 0;
  std::uint64_t swaps = 0;        // compare and writes that won
  std::uint64_t miscompares = 0;  // and that lost
  std::uint64_t ready_to_transfers = 0;
  std::uint64_t aborts = 0;
  std::uint64_t aborted = 0;  // commands that task management has taken
  std::uint64_t resets = 0;
  std::uint64_t kills = 0;
  std::uint64_t power_failures = 0;
  std::uint64_t refused = 0;  // unit attentions, busy

  void add(const IscsiCounts& other);
  std::string to_string() const;
};

struct IscsiVerdict {
  std::string failure;  // empty: every promise was kept
  IscsiCounts counts;
  std::uint64_t events = 0;
  double virtual_seconds = 0;
  std::uint64_t trace_hash = 0;
  std::string last_events;
};

IscsiVerdict run_iscsi(std::uint64_t seed, std::string_view bug = "");

}  // namespace ashlar::iscsi
