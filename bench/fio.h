// fio as the peer of a bench: the same disk, the same CPU, in the same round.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ashlar::bench {

struct FioJob {
  std::string path;  // a file that was just written, `size` bytes of it
  std::uint64_t size = 0;
  std::string pattern = "randwrite";  // --rw
  std::uint64_t block = 4096;
  bool dsync = false;
  int depth = 1;
  int cpu = 0;
  std::chrono::milliseconds duration{1000};
};

// Operations per second of fio's io_uring engine with O_DIRECT. Ends the program when fio fails.
double run_fio(const FioJob& job);

}  // namespace ashlar::bench
