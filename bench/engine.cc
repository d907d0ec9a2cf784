// The engine against fio's io_uring engine on the same disk: a store with a log of 1 GiB, volumes
// and files of 512 MiB that were written before. One thread on CPU 0; what is compared alternates
// round by round. The store's memory is warm, as in a server that has been running: in a virtual
// machine the first touch of a page costs more than everything else that a write needs.
//
//   durable_*      each write is acknowledged when it is on stable media; fio: --sync=dsync
//   buffered_*     acknowledged when it is in the log's file; fio: plain O_DIRECT
//   *read*         of data that was flushed and just written
//   seqwrite_*     128 KiB, 8 under way, the flusher beside it; fio: plain O_DIRECT
//   sustained_*    durable random writes at depth 32 for a minute, several laps of the log
//   recovery_*     opening a store whose log is full, after its process was ended
//
// Checksums are computed in the loop, as a server does where data enters.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/echo_peer.h"
#include "bench/fio.h"
#include "bench/report.h"
#include "common/runtime/uring/reactor.h"
#include "engine/store.h"

namespace ashlar::bench {
namespace {

using engine::BlockRange;
using engine::CommitRule;
using engine::kBlockSize;
using engine::Replica;
using engine::Store;
using engine::StoreOptions;

constexpr int kCpu = 0;
constexpr std::uint64_t kVolumeSize = 512ULL << 20;
constexpr std::uint64_t kVolumeBlocks = kVolumeSize / kBlockSize;
constexpr std::uint64_t kLongBlocks = 32;  // 128 KiB
constexpr int kLongDepth = 8;

double thread_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

template <class T>
T must(Result<T> result) {
  ASHLAR_CHECK(result.ok(), "{}", result.error());
  return std::move(*result);
}
void must(Result<> result) {
  ASHLAR_CHECK(result.ok(), "{}", result.error());
}

template <class Id>
Id bench_uuid(unsigned last) {
  std::array<std::byte, Uuid::kSize> bytes{};
  bytes[0] = std::byte{0xbe};
  bytes[15] = static_cast<std::byte>(last);
  return Id(std::span<const std::byte, Uuid::kSize>(bytes));
}

// What a load did.
struct Figures {
  std::uint64_t operations = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  Duration longest{};

  double per_second() const { return static_cast<double>(operations) / seconds; }
  double cpu_us() const { return cpu_seconds * 1e6 / static_cast<double>(operations); }
};

struct Load {
  Runtime& runtime;
  BufferPool& pool;
  std::vector<Replica*> replicas;
  bool is_read = false;
  bool is_random = true;
  std::uint64_t blocks = 1;
  MonoTime end;
  std::uint64_t most = ~std::uint64_t{0};  // operations
  std::uint64_t slots = kVolumeBlocks;     // of the volume, in blocks
  std::uint64_t next = 0;
  Figures figures;

  BlockIndex place() {
    const std::uint64_t places = slots / blocks;
    const std::uint64_t slot = is_random ? runtime.random.below(places) : next++ % places;
    return BlockIndex(slot * blocks);
  }
};

Task<Result<>> write_once(Load& load, Replica& replica) {
  const BlockRange range{load.place(), load.blocks};
  ASHLAR_CO_TRY_ASSIGN(Buffer bytes, load.pool.allocate(ByteCount(load.blocks * kBlockSize)));
  const engine::BlockChecksum checksum(replica.volume());
  std::array<std::uint32_t, kLongBlocks> sums;
  for (std::uint64_t i = 0; i < load.blocks; ++i) {
    const MutableByteSpan block = bytes.bytes().subspan(i * kBlockSize, kBlockSize);
    store_le64(block, 0, (range.first + i).value());
    sums[i] = checksum.of(range.first + i, block);
  }
  ASHLAR_CO_TRY(co_await replica.write(range, std::move(bytes), {sums.data(), load.blocks}));
  co_return Result<>();
}

Task<Result<>> work(Load& load, Replica& replica) {
  while (load.runtime.clock.now() < load.end && load.figures.operations < load.most) {
    const MonoTime begin = load.runtime.clock.now();
    if (load.is_read) {
      const Result<Buffer> read = co_await replica.read({load.place(), load.blocks});
      if (!read.ok()) co_return read.error();
    } else {
      ASHLAR_CO_TRY(co_await write_once(load, replica));
    }
    ++load.figures.operations;
    load.figures.longest = std::max(load.figures.longest, load.runtime.clock.now() - begin);
  }
  co_return Result<>();
}

// `depth` operations under way on each replica of the load.
Task<Result<Figures>> drive(Load& load, int depth, Duration duration) {
  const MonoTime start = load.runtime.clock.now();
  const double cpu = thread_cpu_seconds();
  load.end = start + duration;
  TaskScope scope(co_await this_task());
  for (Replica* replica : load.replicas) {
    for (int i = 0; i < depth; ++i) scope.spawn(work(load, *replica));
  }
  ASHLAR_CO_TRY(co_await scope.join());
  load.figures.cpu_seconds = thread_cpu_seconds() - cpu;
  load.figures.seconds = std::chrono::duration<double>(load.runtime.clock.now() - start).count();
  co_return load.figures;
}

class Bench {
 public:
  Bench(BenchOptions options, std::string directory)
      : options_(std::move(options)), report_(options_), directory_(std::move(directory)) {}

  int run();

 private:
  using Body = std::function<Task<Result<>>(Bench&, Runtime, BufferPool&, Store&)>;

  StoreOptions store_options() const {
    return {.directory = directory_ + "/store", .server = bench_uuid<ServerUuid>(1)};
  }
  std::chrono::milliseconds duration() const {
    return std::chrono::milliseconds(options_.quick ? 1000 : 4000);
  }

  void with_store(StoreOptions options, const Body& body);
  Task<Result<>> run_body(Runtime runtime, StoreOptions options, const Body& body);
  void format_store(const StoreOptions& options);
  void prewrite_peer();
  double fio(std::string pattern, std::uint64_t block, int depth, bool dsync);

  Task<Result<>> prepare(Runtime runtime, BufferPool& pool, Store& store);
  Task<Result<>> durable(Runtime runtime, BufferPool& pool, Store& store);
  Task<Result<>> volumes(Runtime runtime, BufferPool& pool, Store& store);
  Task<Result<>> buffered(Runtime runtime, BufferPool& pool, Store& store);
  Task<Result<>> long_blocks(Runtime runtime, BufferPool& pool, Store& store);
  Task<Result<>> sustained(Runtime runtime, BufferPool& pool, Store& store);
  void recovery();
  Task<Result<>> note_recovery(Runtime runtime, BufferPool& pool, Store& store);
  void add(const std::string& name, const Figures& figures) {
    report_.add(name + "_per_s", figures.per_second());
  }

  const BenchOptions options_;
  BenchReport report_;
  const std::string directory_;
  std::chrono::steady_clock::time_point open_began_;
};

std::unique_ptr<uring::Reactor> make_reactor() {
  return must(uring::Reactor::create({}));
}

void Bench::format_store(const StoreOptions& options) {
  std::filesystem::remove_all(options.directory);
  const std::unique_ptr<uring::Reactor> reactor = make_reactor();
  must(reactor->run(Store::format(reactor->runtime(), options, bench_uuid<StoreUuid>(1))));
}

Task<Result<>> Bench::run_body(Runtime runtime, StoreOptions options, const Body& body) {
  BufferPool pool("bench", ByteCount(2ULL << 30));
  open_began_ = std::chrono::steady_clock::now();
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Store> store,
                       co_await Store::open(runtime, pool, std::move(options)));
  ASHLAR_CO_TRY(co_await body(*this, runtime, pool, *store));
  co_return co_await store->close();
}

void Bench::with_store(StoreOptions options, const Body& body) {
  const std::unique_ptr<uring::Reactor> reactor = make_reactor();
  must(reactor->run(run_body(reactor->runtime(), std::move(options), body)));
}

Task<Result<>> write_file(Runtime runtime, std::string path) {
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<File> file,
                       co_await runtime.files.open(path, OpenMode::kCreate));
  BufferPool pool("peer", ByteCount(64 << 20));
  ASHLAR_CO_TRY_ASSIGN(Buffer chunk, pool.allocate(ByteCount(1 << 20)));
  runtime.random.fill(chunk.bytes());
  for (std::uint64_t at = 0; at < kVolumeSize; at += chunk.size()) {
    ASHLAR_CO_TRY(co_await file->write(at, chunk.bytes(), Durability::kNone));
  }
  co_return co_await file->sync();
}

void Bench::prewrite_peer() {
  const std::unique_ptr<uring::Reactor> reactor = make_reactor();
  must(reactor->run(write_file(reactor->runtime(), directory_ + "/peer")));
}

double Bench::fio(std::string pattern, std::uint64_t block, int depth, bool dsync) {
  return run_fio({.path = directory_ + "/peer",
                  .size = kVolumeSize,
                  .pattern = std::move(pattern),
                  .block = block,
                  .dsync = dsync,
                  .depth = depth,
                  .cpu = kCpu,
                  .duration = duration()});
}

// Touches the memory that a load will use.
Result<> warm(BufferPool& pool) {
  pool.keep_idle(ByteCount(512ULL << 20));
  std::vector<Buffer> all;
  for (int i = 0; i < 256; ++i) {
    ASHLAR_TRY_ASSIGN(Buffer some, pool.allocate(BufferPool::kRegionSize));
    for (std::size_t at = 0; at < some.size(); at += kBlockSize) some.data()[at] = std::byte{1};
    all.push_back(std::move(some));
  }
  return {};
}

Replica* find(Store& store, unsigned n, CommitRule rule) {
  Replica* replica = store.find(bench_uuid<ReplicaUuid>(n));
  ASHLAR_CHECK(replica != nullptr);
  replica->set_commit_rule(rule);
  return replica;
}

// Volume 1, and eight more, all of them written once.
Task<Result<>> Bench::prepare(Runtime runtime, BufferPool& pool, Store& store) {
  const CommitRule rule = CommitRule::kDurable;
  for (unsigned n = 1; n < 10; ++n) {
    const Result<Replica*> made = co_await store.create_replica(
        {bench_uuid<ReplicaUuid>(n), bench_uuid<VolumeUuid>(n), kVolumeBlocks});
    if (!made.ok()) co_return made.error();
    Load load{.runtime = runtime,
              .pool = pool,
              .replicas = {find(store, n, rule)},
              .is_random = false,
              .blocks = kLongBlocks,
              .most = (n == 1 ? kVolumeBlocks : kVolumeBlocks / 8) / kLongBlocks - kLongDepth};
    const Result<Figures> written = co_await drive(load, kLongDepth, 600s);
    if (!written.ok()) co_return written.error();
    ASHLAR_CO_TRY(co_await store.checkpoint());
  }
  co_return Result<>();
}

Task<Result<>> Bench::durable(Runtime runtime, BufferPool& pool, Store& store) {
  ASHLAR_CO_TRY(warm(pool));
  Replica* replica = find(store, 1, CommitRule::kDurable);
  for (const int depth : {1, 32}) {
    Load load{.runtime = runtime, .pool = pool, .replicas = {replica}};
    ASHLAR_CO_TRY_ASSIGN(const Figures figures, co_await drive(load, depth, duration()));
    add(fmt::format("durable_write_ashlar_qd{}", depth), figures);
    if (depth == 32) report_.add("cpu_us_per_4k_write", figures.cpu_us());
  }
  co_return Result<>();
}

Task<Result<>> Bench::volumes(Runtime runtime, BufferPool& pool, Store& store) {
  ASHLAR_CO_TRY(warm(pool));
  Load one{.runtime = runtime,
           .pool = pool,
           .replicas = {find(store, 1, CommitRule::kDurable)},
           .slots = kVolumeBlocks / 8};
  Load many{.runtime = runtime, .pool = pool, .slots = kVolumeBlocks / 8};
  for (unsigned n = 2; n < 10; ++n) {
    many.replicas.push_back(find(store, n, CommitRule::kDurable));
  }
  ASHLAR_CO_TRY_ASSIGN(const Figures eight, co_await drive(many, 4, duration()));
  add("eight_volumes_qd4", eight);
  ASHLAR_CO_TRY(co_await store.checkpoint());
  ASHLAR_CO_TRY_ASSIGN(const Figures single, co_await drive(one, 32, duration()));
  add("one_volume_qd32", single);
  co_return Result<>();
}

Task<Result<>> Bench::buffered(Runtime runtime, BufferPool& pool, Store& store) {
  ASHLAR_CO_TRY(warm(pool));
  Load load{.runtime = runtime, .pool = pool, .replicas = {find(store, 1, CommitRule::kWritten)}};
  ASHLAR_CO_TRY_ASSIGN(const Figures figures, co_await drive(load, 32, duration()));
  add("buffered_write_ashlar_qd32", figures);
  co_return Result<>();
}

Task<Result<>> Bench::long_blocks(Runtime runtime, BufferPool& pool, Store& store) {
  ASHLAR_CO_TRY(warm(pool));
  Replica* replica = find(store, 1, CommitRule::kDurable);
  Load write{.runtime = runtime,
             .pool = pool,
             .replicas = {replica},
             .is_random = false,
             .blocks = kLongBlocks,
             .most = 2 * kVolumeBlocks / kLongBlocks};
  ASHLAR_CO_TRY_ASSIGN(const Figures written, co_await drive(write, kLongDepth, 600s));
  add("seqwrite_128k_ashlar", written);
  ASHLAR_CO_TRY(co_await store.checkpoint());
  Load read{.runtime = runtime,
            .pool = pool,
            .replicas = {replica},
            .is_read = true,
            .is_random = false,
            .blocks = kLongBlocks};
  ASHLAR_CO_TRY_ASSIGN(const Figures sequential, co_await drive(read, kLongDepth, duration()));
  add("seqread_128k_ashlar", sequential);
  Load random{.runtime = runtime, .pool = pool, .replicas = {replica}, .is_read = true};
  ASHLAR_CO_TRY_ASSIGN(const Figures scattered, co_await drive(random, 32, duration()));
  add("randread_ashlar_qd32", scattered);
  report_.add("cpu_us_per_4k_read", scattered.cpu_us());
  co_return Result<>();
}

Task<Result<>> Bench::sustained(Runtime runtime, BufferPool& pool, Store& store) {
  ASHLAR_CO_TRY(warm(pool));
  Load load{.runtime = runtime, .pool = pool, .replicas = {find(store, 1, CommitRule::kDurable)}};
  const Duration length = options_.quick ? Duration(8s) : Duration(60s);
  ASHLAR_CO_TRY_ASSIGN(const Figures figures, co_await drive(load, 32, length));
  add("sustained_write_qd32", figures);
  report_.add("sustained_longest_ms",
              std::chrono::duration<double, std::milli>(figures.longest).count());
  report_.add("sustained_log_laps", static_cast<double>(figures.operations * kBlockSize) /
                                        static_cast<double>(store_options().log_capacity.value()));
  co_return Result<>();
}

Task<Result<>> fill_log(Bench&, Runtime runtime, BufferPool& pool, Store& store) {
  const Result<Replica*> replica = co_await store.create_replica(
      {bench_uuid<ReplicaUuid>(1), bench_uuid<VolumeUuid>(1), kVolumeBlocks});
  (*replica)->set_commit_rule(CommitRule::kDurable);
  Load load{.runtime = runtime, .pool = pool, .replicas = {*replica}, .is_random = false};
  load.end = runtime.clock.now() + 600s;
  TaskScope scope(co_await this_task());
  // 1 GiB with its headers, but for the reserve.
  load.most = (store.shared().ring.capacity() - (160ULL << 20)) / kBlockSize;
  for (int i = 0; i < 256; ++i) scope.spawn(work(load, **replica));
  ASHLAR_CO_TRY(co_await scope.join());
  ::_exit(0);
}

// The log is filled by a process that ends without closing the store.
void Bench::recovery() {
  StoreOptions options = store_options();
  options.flush_threshold = ByteCount(4ULL << 30);
  options.payload_memory = ByteCount(4ULL << 30);
  options.flush_delay = 1h;
  options.flush_fill = 2.0;
  options.delay_from = 1.0;
  format_store(options);
  const pid_t child = ::fork();
  if (child == 0) {
    with_store(options, fill_log);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASHLAR_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "filling the log failed: {}", status);
  with_store(store_options(), &Bench::note_recovery);
}

Task<Result<>> Bench::note_recovery(Runtime, BufferPool&, Store& store) {
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - open_began_;
  report_.add("recovery_s", took.count());
  report_.add("recovered_records", static_cast<double>(store.recovery().records));
  co_return Result<>();
}

int Bench::run() {
  pin_to_cpu(kCpu);
  std::filesystem::create_directories(directory_);
  const StoreOptions durable_store = store_options();
  StoreOptions buffered_store = durable_store;
  buffered_store.directory += "-buffered";
  fmt::print(stderr, "writing volumes and files\n");
  for (const StoreOptions& options : {durable_store, buffered_store}) {
    format_store(options);
    with_store(options, &Bench::prepare);
  }
  prewrite_peer();
  for (int round = 0; round < options_.rounds; ++round) {
    fmt::print(stderr, "round {} of {}\n", round + 1, options_.rounds);
    report_.add("durable_write_fio_qd1_per_s", fio("randwrite", 4096, 1, true));
    report_.add("durable_write_fio_qd32_per_s", fio("randwrite", 4096, 32, true));
    with_store(durable_store, &Bench::durable);
    with_store(durable_store, &Bench::volumes);
    report_.add("buffered_write_fio_qd32_per_s", fio("randwrite", 4096, 32, false));
    with_store(buffered_store, &Bench::buffered);
    report_.add("seqwrite_128k_fio_per_s", fio("write", 128 << 10, kLongDepth, false));
    with_store(durable_store, &Bench::long_blocks);
    prewrite_peer();
    report_.add("seqread_128k_fio_per_s", fio("read", 128 << 10, kLongDepth, false));
    report_.add("randread_fio_qd32_per_s", fio("randread", 4096, 32, false));
  }
  fmt::print(stderr, "sustained writes\n");
  with_store(durable_store, &Bench::sustained);
  fmt::print(stderr, "recovery\n");
  recovery();
  std::filesystem::remove_all(directory_);
  for (const int depth : {1, 32}) {
    report_.ratio(fmt::format("durable_write_qd{}_vs_fio", depth),
                  fmt::format("durable_write_ashlar_qd{}_per_s", depth),
                  fmt::format("durable_write_fio_qd{}_per_s", depth), depth == 1 ? 0.8 : 2.0);
  }
  report_.ratio("buffered_write_qd32_vs_fio", "buffered_write_ashlar_qd32_per_s",
                "buffered_write_fio_qd32_per_s", 1.2);
  report_.ratio("randread_qd32_vs_fio", "randread_ashlar_qd32_per_s", "randread_fio_qd32_per_s",
                0.85);
  report_.ratio("seqwrite_128k_vs_fio", "seqwrite_128k_ashlar_per_s", "seqwrite_128k_fio_per_s",
                0.45);
  report_.ratio("seqread_128k_vs_fio", "seqread_128k_ashlar_per_s", "seqread_128k_fio_per_s", 0.9);
  report_.ratio("eight_volumes_vs_one", "eight_volumes_qd4_per_s", "one_volume_qd32_per_s", 0.95);
  return report_.print();
}

int run(int argc, char** argv) {
  Bench bench(BenchOptions::parse("engine", argc, argv),
              fmt::format("bench-engine-{}", ::getpid()));
  return bench.run();
}

}  // namespace
}  // namespace ashlar::bench

int main(int argc, char** argv) {
  return ashlar::bench::run(argc, argv);
}
