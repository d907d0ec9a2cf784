// The whole engine under crashes and a faulty disk: volumes of one store with a small log take
// random operations from several clients at once, the process is killed, the power fails, at any
// step of work and of recovery, and after each restart everything is compared with VolumeModel.
//
// One kind of trouble a seed. What is promised under each:
//
//   crashes, slow, hung, write errors, failed syncs, no space
//       All that was acknowledged is there, exactly; reads are linearizable per sector; no error
//       but those that the trouble explains. After a write or sync error the replica or store steps
//       out, and the next life starts after a power cycle: what the kernel believes of a failed
//       sync is worth nothing.
//   unreadable sectors, bit rot
//       Every sector that is read is what the model says or newer, or the read fails. A rotten end
//       of the log may look torn, and a rotten slot of a state unfinished: then what was
//       acknowledged last may be gone, and its records in the layers show as if still under way.
//   misdirected and dropped writes
//       Every sector that is read was written to that place of that volume once. Old contents
//       cannot be told from new ones when bytes and map entry (or state, or the end of the log) are
//       both old: a checksum cannot know of a write that left no trace.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/planted_bug.h"

namespace ashlar::engine {

enum class Trouble : std::uint8_t {
  kNone,
  kWriteError,
  kSyncError,
  kNoSpace,   // single writes fail
  kFullDisk,  // the file system fills up, and has space again later
  kSlow,
  kHang,
  kReadError,
  kBitRot,
  kMisdirected,
  kDropped,
};
inline constexpr std::uint64_t kTroubles = 11;
std::string_view to_string(Trouble trouble);

// How often rare paths were taken.
struct EngineCounts {
  std::uint64_t lives = 0;
  std::uint64_t kills = 0;
  std::uint64_t power_failures = 0;
  std::uint64_t crashes_in_recovery = 0;
  std::uint64_t closes = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t reads = 0;
  std::uint64_t snapshot_reads = 0;
  std::uint64_t snapshots = 0;
  std::uint64_t reverts = 0;
  std::uint64_t clones = 0;
  std::uint64_t deletions = 0;
  std::uint64_t cuts = 0;
  std::uint64_t recovered = 0;
  std::uint64_t torn_tails = 0;
  std::uint64_t laps = 0;
  std::uint64_t moved = 0;
  std::uint64_t delayed = 0;
  std::uint64_t retried_reads = 0;
  std::uint64_t log_reads = 0;
  std::uint64_t flush_log_bytes = 0;
  std::uint64_t map_misses = 0;
  std::uint64_t rotations = 0;
  std::uint64_t merges = 0;
  std::uint64_t refused = 0;
  std::uint64_t space_came_back = 0;
  std::uint64_t broken_lives = 0;   // ended by an error of the disk
  std::uint64_t damaged_reads = 0;  // kDataLoss instead of wrong bytes
  std::uint64_t faulted = 0;        // replicas that stepped out, or did not come up
  std::uint64_t modified = 0;
  std::uint64_t copies = 0;          // replicas that were installed
  std::uint64_t scrubbed = 0;        // blocks of damage that scrubs found
  std::uint64_t repaired = 0;        // of them made good
  std::uint64_t unflushed_lost = 0;  // buffered records that a power failure took

  void add(const EngineCounts& other);
  std::string to_string() const;
};

struct EngineVerdict {
  std::string failure;  // empty: every promise was kept
  Trouble trouble = Trouble::kNone;
  bool buffered = false;
  EngineCounts counts;
  std::uint64_t steps = 0;
  std::uint64_t events = 0;
  double virtual_seconds = 0;
  std::uint64_t trace_hash = 0;
  std::string last_events;
};

EngineVerdict run_engine(std::uint64_t seed, PlantedBug bug = PlantedBug::kNone);

}  // namespace ashlar::engine
