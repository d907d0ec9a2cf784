// The reactor against what it must not lose to: a batching epoll loop for TCP, fio's io_uring
// engine for durable O_DIRECT writes. The server side is pinned to CPU 0 and the client to CPU 1;
// fio and our writer take turns on CPU 0. Everything is interleaved round by round.
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include <fmt/core.h>
#include <time.h>
#include <unistd.h>

#include "bench/echo_peer.h"
#include "bench/fio.h"
#include "bench/report.h"
#include "common/runtime/example/echo.h"
#include "common/runtime/uring/reactor.h"

namespace ashlar::bench {
namespace {

constexpr int kServerCpu = 0;
constexpr int kClientCpu = 1;
constexpr std::uint64_t kFileSize = 256ULL << 20;
constexpr std::size_t kBlock = 4096;

std::unique_ptr<uring::Reactor> make_reactor() {
  auto reactor = uring::Reactor::create({});
  if (!reactor.ok()) {
    fmt::print(stderr, "{}\n", reactor.error().message());
    std::exit(1);
  }
  return std::move(*reactor);
}

double thread_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

Task<Result<>> serve_one(Listener& listener) {
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Connection> connection, co_await listener.accept());
  co_return co_await example::serve_echo_connection(*connection);
}

Task<Result<>> serve_ours(Runtime runtime, std::promise<std::uint16_t>& port) {
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Listener> listener,
                       runtime.network.listen(Endpoint::ipv4(127, 0, 0, 1, 0)));
  port.set_value(listener->endpoint().port());
  co_return co_await serve_one(*listener);
}

struct EchoFigures {
  double per_second = 0;
  double cpu_seconds = 0;
};

// Runs `serve` on a thread pinned to the server's CPU and the load on this thread, pinned to the
// other.
template <class Serve>
EchoFigures measure_echo(int depth, std::chrono::milliseconds duration, Serve serve) {
  std::promise<std::uint16_t> port;
  std::future<std::uint16_t> port_known = port.get_future();
  double cpu_seconds = 0;
  std::thread server([&] {
    pin_to_cpu(kServerCpu);
    const double before = thread_cpu_seconds();
    serve(port);
    cpu_seconds = thread_cpu_seconds() - before;
  });
  pin_to_cpu(kClientCpu);
  const double per_second = drive_echo({port_known.get(), depth, duration});
  server.join();
  return {per_second, cpu_seconds};
}

EchoFigures measure_ours(int depth, std::chrono::milliseconds duration) {
  return measure_echo(depth, duration, [](std::promise<std::uint16_t>& port) {
    const std::unique_ptr<uring::Reactor> reactor = make_reactor();
    const Result<> outcome = reactor->run(serve_ours(reactor->runtime(), port));
    ASHLAR_CHECK(outcome.ok(), "{}", outcome.error());
  });
}

EchoFigures measure_epoll(int depth, std::chrono::milliseconds duration) {
  return measure_echo(depth, duration, [](std::promise<std::uint16_t>& port) {
    std::uint16_t number = 0;
    const int fd = listen_on_loopback(number);
    port.set_value(number);
    serve_echo_with_epoll(fd);
    ::close(fd);
  });
}

// A round is cut into slices that alternate (ours, epoll, epoll, ours, …), because the machine's
// speed drifts by more than the two differ.
void measure_echoes(BenchReport& report, int depth, std::chrono::milliseconds duration) {
  constexpr int kSlices = 8;
  EchoFigures ours;
  EchoFigures epoll;
  for (int slice = 0; slice < kSlices; ++slice) {
    const bool ours_first = slice % 2 == 0;
    for (const bool is_ours : {ours_first, !ours_first}) {
      const EchoFigures figures = is_ours ? measure_ours(depth, duration / kSlices)
                                          : measure_epoll(depth, duration / kSlices);
      EchoFigures& sum = is_ours ? ours : epoll;
      sum.per_second += figures.per_second / kSlices;
      sum.cpu_seconds += figures.cpu_seconds;
    }
  }
  const double seconds = std::chrono::duration<double>(duration).count();
  const auto add = [&](const char* name, const EchoFigures& figures) {
    const std::string prefix = fmt::format("echo_{}_qd{}", name, depth);
    report.add(prefix + "_per_s", figures.per_second);
    report.add(prefix + "_server_cpu_us",
               figures.cpu_seconds * 1e6 / (figures.per_second * seconds));
  };
  add("ashlar", ours);
  add("epoll", epoll);
}

struct WriteLoad {
  File& file;
  Clock& clock;
  Random& random;
  ByteSpan block;
  MonoTime end;
  std::uint64_t written = 0;
};

Task<Result<>> write_until_end(WriteLoad& load) {
  while (load.clock.now() < load.end) {
    const std::uint64_t offset = load.random.below(kFileSize / kBlock) * kBlock;
    ASHLAR_CO_TRY(co_await load.file.write(offset, load.block, Durability::kDsync));
    ++load.written;
  }
  co_return {};
}

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
using AlignedBytes = std::unique_ptr<std::byte, FreeDeleter>;

AlignedBytes aligned_bytes(std::size_t size) {
  return AlignedBytes(static_cast<std::byte*>(std::aligned_alloc(kDiskAlignment, size)));
}

Task<Result<double>> write_durably(Runtime runtime, std::string path, int depth,
                                   std::chrono::milliseconds duration) {
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<File> file,
                       co_await runtime.files.open(path, OpenMode::kExisting));
  const AlignedBytes memory = aligned_bytes(kBlock);
  const MutableByteSpan block(memory.get(), kBlock);
  runtime.random.fill(block);
  const MonoTime start = runtime.clock.now();
  WriteLoad load{*file, runtime.clock, runtime.random, block, start + duration};
  TaskScope scope(co_await this_task());
  for (int i = 0; i < depth; ++i) scope.spawn(write_until_end(load));
  ASHLAR_CO_TRY(co_await scope.join());
  const std::chrono::duration<double> elapsed = runtime.clock.now() - start;
  co_return static_cast<double>(load.written) / elapsed.count();
}

// Blocks that were never written cost a metadata update each; both sides start from written ones.
Task<Result<>> prewrite(Runtime runtime, std::string path) {
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<File> file,
                       co_await runtime.files.open(path, OpenMode::kCreate));
  constexpr std::size_t kChunk = 1 << 20;
  const AlignedBytes memory = aligned_bytes(kChunk);
  const MutableByteSpan chunk(memory.get(), kChunk);
  runtime.random.fill(chunk);
  for (std::uint64_t offset = 0; offset < kFileSize; offset += kChunk) {
    ASHLAR_CO_TRY(co_await file->write(offset, chunk, Durability::kNone));
  }
  co_return co_await file->sync();
}

void measure_writes(BenchReport& report, const std::string& path, int depth,
                    std::chrono::milliseconds duration) {
  pin_to_cpu(kServerCpu);
  const std::unique_ptr<uring::Reactor> reactor = make_reactor();
  const Result<double> ours =
      reactor->run(write_durably(reactor->runtime(), path, depth, duration));
  ASHLAR_CHECK(ours.ok(), "{}", ours.error());
  report.add(fmt::format("file_write_ashlar_qd{}_per_s", depth), *ours);
  report.add(fmt::format("file_write_fio_qd{}_per_s", depth), run_fio({.path = path,
                                                                       .size = kFileSize,
                                                                       .dsync = true,
                                                                       .depth = depth,
                                                                       .cpu = kServerCpu,
                                                                       .duration = duration}));
}

int run(int argc, char** argv) {
  const BenchOptions options = BenchOptions::parse("runtime", argc, argv);
  const std::chrono::milliseconds duration(options.quick ? 1000 : 4000);
  BenchReport report(options);
  const std::string path = fmt::format("bench-runtime-{}.dat", ::getpid());
  {
    const std::unique_ptr<uring::Reactor> reactor = make_reactor();
    const Result<> written = reactor->run(prewrite(reactor->runtime(), path));
    if (!written.ok()) {
      fmt::print(stderr, "{}\n", written.error().message());
      return 1;
    }
  }
  for (int round = 0; round < options.rounds; ++round) {
    fmt::print(stderr, "round {} of {}\n", round + 1, options.rounds);
    for (const int depth : {1, 32}) {
      measure_echoes(report, depth, duration);
      measure_writes(report, path, depth, duration);
    }
  }
  ::unlink(path.c_str());
  report.ratio("echo_qd1_vs_epoll", "echo_ashlar_qd1_per_s", "echo_epoll_qd1_per_s", 0.95);
  report.ratio("echo_qd32_vs_epoll", "echo_ashlar_qd32_per_s", "echo_epoll_qd32_per_s", 1.0);
  report.ratio("file_write_qd1_vs_fio", "file_write_ashlar_qd1_per_s", "file_write_fio_qd1_per_s",
               0.9);
  report.ratio("file_write_qd32_vs_fio", "file_write_ashlar_qd32_per_s",
               "file_write_fio_qd32_per_s", 0.9);
  return report.print();
}

}  // namespace
}  // namespace ashlar::bench

int main(int argc, char** argv) {
  return ashlar::bench::run(argc, argv);
}
