// What the kernel knows about this process, as Prometheus' process_* metrics want it. From /proc.
#pragma once

#include <cstdint>

#include "common/base/result.h"

namespace ashlar {

struct ProcessFacts {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t open_fds = 0;
  std::uint64_t max_fds = 0;
  double start_time_seconds = 0;  // since the Unix epoch
};

Result<ProcessFacts> read_process_facts();

}  // namespace ashlar
