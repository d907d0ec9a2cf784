// The knobs of a run: which faults happen on their own, and how often. Everything is off unless it
// is drawn or set. A swarm run draws first which classes are on (each with one chance in two) and
// then their rates: a run with three faults raging finds other bugs than one with all of them.
#pragma once

#include <cstdint>

#include "common/base/random.h"
#include "common/base/time.h"

namespace ashlar::sim {

// Rates are per million operations of the kind.
struct DiskFaults {
  std::uint32_t read_error = 0;         // a latent sector error: sticks until rewritten
  std::uint32_t write_error = 0;        // EIO; any part of the write may be there
  std::uint32_t no_space = 0;           // ENOSPC on a write that would take up space
  std::uint32_t sync_error = 0;         // what was not synced is lost, now or at a power failure
  std::uint32_t bit_rot = 0;            // per read: a bit of what it reads has flipped for good
  std::uint32_t misdirected_write = 0;  // lands elsewhere in the file, acknowledged
  std::uint32_t dropped_write = 0;      // acknowledged, never stored
  std::uint32_t slow_spell = 0;         // per operation: ×1000 for some milliseconds
  std::uint32_t hang = 0;               // per operation: nothing answers for some seconds
};

struct DiskTiming {
  Duration read_base = 80us, read_tail = 30us;
  Duration write_base = 20us, write_tail = 15us;
  Duration sync_base = 150us, sync_tail = 250us;
  Duration name_base = 10us, name_tail = 10us;
  Duration per_page = 2us;  // 4 KiB at 2 GB/s
};

struct NetworkFaults {
  std::uint32_t connection_loss = 0;  // per segment delivered
  std::uint32_t long_delay = 0;       // per segment: up to a second late
};

struct NetworkTiming {
  Duration delay_base = 50us, delay_tail = 30us;
  Duration retransmit = 200ms;        // after a partition heals
  std::uint32_t window = 256 * 1024;  // bytes under way and unread, per direction
  std::uint32_t split_percent = 20;   // receives that get less than there is
};

// What a scenario applies to its machines; a class that is off is 0.
struct NodeFaults {
  std::uint32_t kill_percent = 0;  // of crashes that are a kill rather than a power failure
  Duration mean_time_to_crash{};   // 0: never
  Duration mean_time_to_pause{};   // 0: never
  Duration longest_pause{};
  std::int64_t drift_ppm = 0;  // ± this
};

struct SimKnobs {
  DiskFaults disk;
  DiskTiming disk_timing;
  NetworkFaults network;
  NetworkTiming network_timing;
  NodeFaults node;

  static SimKnobs draw(Random& random);
  // Without what one copy of the data on one disk cannot survive: errors on reads, rot, writes that
  // went astray, and failed syncs unless the program stops for good.
  SimKnobs without_data_loss() const;
};

}  // namespace ashlar::sim
