// bench_index: the interval index with 4 KiB records over a volume of 1 Mi blocks (4 GiB), on one
// thread, in CPU time.
//
//   insert_ns           a random block enters the tail: the part before the acknowledgement
//   grow_ns             that and becoming stable, while the index grows to 1 Mi entries
//   overwrite_ns        the same when each block has its entry already, as under steady load
//   lookup_4k_ns        one random block
//   lookup_128k_run_ns  32 blocks, for each run visited
//   erase_ns            one flushed block, in random order
//   entry_bytes         what the heap grew by for each entry; payloads are not in it
//
// Asked for: a lookup, and an insert, below 1 µs: half of what it costs to take the command off the
// wire in a batch. Random blocks of an index far larger than the caches: the worst there is.
#include <chrono>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include <malloc.h>
#include <time.h>

#include "bench/report.h"
#include "common/base/random.h"
#include "engine/interval_index.h"

namespace ashlar::bench {
namespace {

using engine::IndexRun;
using engine::IntervalIndex;

constexpr std::uint64_t kBlocks = 1 << 20;
// Records that are not stable yet: a full queue of a busy host, in batches.
constexpr std::uint64_t kTail = 256;

std::chrono::nanoseconds cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

template <class Work>
double nanoseconds(Work work) {
  const auto start = cpu_time();
  work();
  return static_cast<double>((cpu_time() - start).count());
}

std::vector<std::uint64_t> shuffled_blocks(Random& random) {
  std::vector<std::uint64_t> blocks(kBlocks);
  std::iota(blocks.begin(), blocks.end(), 0);
  for (std::uint64_t i = kBlocks; i > 1; --i) std::swap(blocks[i - 1], blocks[random.below(i)]);
  return blocks;
}

class Writer {
 public:
  explicit Writer(IntervalIndex& index) : index_(index) {}

  // One record of one block for each of `blocks`, and what that took: inserting, and the stable
  // LSN following in steps of kTail.
  std::pair<double, double> write(const std::vector<std::uint64_t>& blocks) {
    double insert = 0;
    double stable = 0;
    for (std::size_t at = 0; at < blocks.size(); at += kTail) {
      insert += nanoseconds([&] {
        for (std::size_t i = at; i < at + kTail; ++i) {
          ++lsn_;
          index_.insert({lsn_,
                         engine::RecordKind::kWrite,
                         {BlockIndex(blocks[i]), 1},
                         LogPosition(lsn_.value() * 8192),
                         {}});
        }
      });
      stable += nanoseconds([&] { index_.advance_stable(lsn_); });
    }
    const auto count = static_cast<double>(blocks.size());
    return {insert / count, stable / count};
  }

  Lsn lsn() const { return lsn_; }

 private:
  IntervalIndex& index_;
  Lsn lsn_;
};

void measure(BenchReport& report, Random& random) {
  std::vector<std::uint64_t> blocks = shuffled_blocks(random);
  const std::size_t heap_before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
  IntervalIndex index;
  Writer writer(index);

  const auto [first_insert, first_stable] = writer.write(blocks);
  report.add("grow_ns", first_insert + first_stable);
  const std::size_t heap = ::mallinfo2().uordblks + ::mallinfo2().hblkhd - heap_before;
  report.add("entry_bytes", static_cast<double>(heap) / static_cast<double>(index.entry_count()));

  for (std::uint64_t& block : blocks) block = random.below(kBlocks);
  const auto [insert, stable] = writer.write(blocks);
  report.add("insert_ns", insert);
  report.add("inserts_per_us", 1000 / insert);
  report.add("overwrite_ns", insert + stable);

  std::uint64_t runs = 0;
  const auto count_run = [&](const IndexRun& run) { runs += run.is_hole() ? 0 : 1; };
  const double lookups = nanoseconds([&] {
    for (const std::uint64_t block : blocks) index.lookup({BlockIndex(block), 1}, count_run);
  });
  report.add("lookup_4k_ns", lookups / static_cast<double>(runs));
  report.add("lookups_per_us", 1000 * static_cast<double>(runs) / lookups);
  runs = 0;
  const double long_lookups = nanoseconds([&] {
    for (std::size_t i = 0; i < kBlocks / 16; ++i) {
      index.lookup({BlockIndex(blocks[i]), 32}, count_run);
    }
  });
  report.add("lookup_128k_run_ns", long_lookups / static_cast<double>(runs));

  blocks = shuffled_blocks(random);
  const double erases = nanoseconds([&] {
    for (const std::uint64_t block : blocks) {
      index.erase_up_to(writer.lsn(), {BlockIndex(block), 1});
    }
  });
  report.add("erase_ns", erases / static_cast<double>(kBlocks));
}

int run(int argc, char** argv) {
  const BenchOptions options = BenchOptions::parse("index", argc, argv);
  BenchReport report(options);
  Random random(1);
  for (int round = 0; round < options.rounds; ++round) measure(report, random);
  report.ratio("inserts_vs_1_per_us", "inserts_per_us", 1, 1.0);
  report.ratio("lookups_vs_1_per_us", "lookups_per_us", 1, 1.0);
  return report.print();
}

}  // namespace
}  // namespace ashlar::bench

int main(int argc, char** argv) {
  return ashlar::bench::run(argc, argv);
}
