// bench_crc32c: the checksum beside its reference points, all from cache and on one thread.
//
//   crc32c_4k_gb_per_s     one 4 KiB block: the unit of a write command
//   crc32c_48b_ns          one iSCSI header, each waiting for the one before, as a caller would
//   portable_4k_gb_per_s   the table fallback
//   memcpy_4k_gb_per_s     what a copy costs: a scatter list saves that, a checksum is paid anyway
//
// Asked for: 20 GB/s for a block, so that a digest on both sides of a 100 Gbit/s link leaves most
// of a core.
#include "common/base/crc32c.h"

#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include <time.h>

#include "bench/report.h"
#include "common/base/bytes.h"
#include "common/base/random.h"

namespace ashlar::bench {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kHeader = 48;
constexpr double kAskedGbPerS = 20;

// Keeps the compiler from dropping or merging the work that produced `value`.
template <class T>
void use(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

// What this thread has run, so that whoever shares the machine does not count.
std::chrono::nanoseconds cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// Nanoseconds of CPU per call of `work`, which is repeated until `length` has passed.
template <class Work>
double nanoseconds_per_call(std::chrono::nanoseconds length, Work work) {
  constexpr std::uint64_t kBatch = 1'000;
  std::uint64_t calls = 0;
  const std::chrono::nanoseconds start = cpu_time();
  std::chrono::nanoseconds passed{0};
  do {
    for (std::uint64_t i = 0; i < kBatch; ++i) work();
    calls += kBatch;
    passed = cpu_time() - start;
  } while (passed < length);
  return static_cast<double>(passed.count()) / static_cast<double>(calls);
}

double gb_per_s(std::size_t bytes, double nanoseconds) {
  return static_cast<double>(bytes) / nanoseconds;
}

int run(int argc, char** argv) {
  const BenchOptions options = BenchOptions::parse("crc32c", argc, argv);
  BenchReport report(options);
  const auto length = options.quick ? std::chrono::milliseconds(300) : std::chrono::seconds(2);

  Random random(1);
  std::vector<std::byte> block(kBlock);
  std::vector<std::byte> copy(kBlock);
  random.fill(block);
  const ByteSpan header = ByteSpan(block).first(kHeader);

  for (int round = 0; round < options.rounds; ++round) {
    report.add("crc32c_4k_gb_per_s",
               gb_per_s(kBlock, nanoseconds_per_call(length, [&] { use(crc32c(block)); })));
    std::uint32_t crc = 0;
    report.add("crc32c_48b_ns", nanoseconds_per_call(length, [&] {
                 crc = crc32c(header, crc);
                 use(crc);
               }));
    report.add(
        "portable_4k_gb_per_s",
        gb_per_s(kBlock, nanoseconds_per_call(length, [&] { use(crc32c_portable(block)); })));
    report.add("memcpy_4k_gb_per_s", gb_per_s(kBlock, nanoseconds_per_call(length, [&] {
                                                std::memcpy(copy.data(), block.data(), kBlock);
                                                use(copy.data());
                                              })));
  }
  report.ratio("crc32c_4k_vs_20gbps", "crc32c_4k_gb_per_s", kAskedGbPerS, 1.0);
  report.ratio("crc32c_vs_portable", "crc32c_4k_gb_per_s", "portable_4k_gb_per_s", 5.0);
  return report.print();
}

}  // namespace
}  // namespace ashlar::bench

int main(int argc, char** argv) {
  return ashlar::bench::run(argc, argv);
}
