// What a store is told when it is made or opened. The defaults suit a server; tests make it small.
#pragma once

#include <string>

#include "common/base/strong.h"
#include "common/base/time.h"
#include "common/base/uuid.h"
#include "engine/log_writer.h"
#include "engine/planted_bug.h"

namespace ashlar::engine {

struct StoreOptions {
  std::string directory;  // of the store; format() makes it if need be, its parent exists
  ServerUuid server;      // who owns the store
  // Take the store over from another owner: only by an operator's word (L14).
  bool take_over = false;

  // Of the log that format() makes: a multiple of 1 MiB, at least `smallest_log`.
  ByteCount log_capacity{1 << 30};
  ByteCount smallest_log = kSmallestLogCapacity;
  Duration seal_delay = 10ms;
  std::size_t batches_in_flight = 2;  // of the log

  // Payloads kept in memory until they are flushed; beyond it they are read back from the log.
  ByteCount payload_memory{512 << 20};
  // Pages of chunk maps in memory.
  ByteCount map_memory{64 << 20};

  // Flushing begins when so much payload waits, the log is so full, or after so long.
  ByteCount flush_threshold{192 << 20};
  double flush_fill = 0.4;
  Duration flush_delay = 2s;
  std::size_t flush_depth = 16;  // data writes in flight

  // Kept free on the file system: below it new writes are refused (L12).
  ByteCount space_reserve{64 << 20};

  // The delay of an append as the log fills: from nothing at `delay_from` to this at the end.
  double delay_from = 0.5;
  Duration longest_delay = 50ms;

  PlantedBug bug = PlantedBug::kNone;  // of tests
};

}  // namespace ashlar::engine
