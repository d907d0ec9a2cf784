// A closed-loop load on one iSCSI unit over libiscsi: so many sessions, spread over so many
// threads, so many commands under way in all. A thread polls its sessions and submits the next
// command when one is done; nothing is allocated for a command by us.
//
// A client thread of libiscsi costs 14 to 35 µs for each command (two or more system calls each
// way), so where client and server share few CPUs the client is what is measured last; look at the
// server's CPU per command beside the rate.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "common/base/time.h"

namespace ashlar::bench {

enum class Durability : std::uint8_t {
  kCached,     // plain writes
  kFua,        // force unit access on each write
  kSyncEvery,  // SYNCHRONIZE CACHE after every `sync_every` writes of one slot
};

struct IscsiLoad {
  std::string url;
  int sessions = 2;
  int threads = 2;  // at most `sessions`
  int depth = 32;   // in all; at least one a session
  std::uint32_t bytes = 4096;
  int read_percent = 100;
  bool sequential = false;
  Durability durability = Durability::kCached;
  int sync_every = 1;
  std::uint64_t range = 0;  // bytes of the unit that are used; 0: all
  std::uint64_t limit = 0;  // commands at most in all; 0: as many as the time allows
  Duration warm_up = 200ms;
  Duration duration = 2s;
  std::uint64_t seed = 1;
};

struct IscsiLoadResult {
  std::uint64_t commands = 0;  // reads and writes; a sync is part of its write
  std::uint64_t failed = 0;    // not GOOD; of these the first is told in `failure`
  std::string failure;
  double seconds = 0;
  double per_second = 0;
  double client_cpu_us = 0;  // for each command
  double mean_us = 0, p50_us = 0, p99_us = 0, p999_us = 0, max_us = 0;
};

// `begun` and `ended`, when given, are called as the measured time begins and ends, on one of the
// threads: to read the server's CPU time.
struct IscsiLoadHooks {
  void (*begun)(void* owner) = nullptr;
  void (*ended)(void* owner) = nullptr;
  void* owner = nullptr;
};

Result<IscsiLoadResult> run_iscsi_load(const IscsiLoad& load, IscsiLoadHooks hooks = {});

}  // namespace ashlar::bench
