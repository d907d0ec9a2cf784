// Our iSCSI target against Debian's tgt, on the same disk in one run, taking turns round by round;
// like for like on what a GOOD promises: our durable volume against tgt with FUA on each write (it
// then calls fdatasync), our buffered volume against tgt as it is.
//
// The client is the same libiscsi load for both, in this process: two sessions on two threads for a
// depth of 32 (one for depth 1). Client and server share the machine's CPUs, nothing is pinned. The
// data is written anew before each round's reads: what lies cold in a virtual disk reads slowly.
// tgt reads from the page cache; the ratios named _direct are against tgt with O_DIRECT.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>
#include <unistd.h>

#include "bench/iscsi/load.h"
#include "bench/iscsi/targets.h"
#include "bench/report.h"
#include "tests/support/iscsi_initiator.h"

namespace ashlar::bench {
namespace {

constexpr int kIdleSessions = 100;
constexpr std::uint64_t kFilled = 256ULL << 20;  // of each unit, and what the loads use

struct Case {
  const char* name;
  int depth;
  std::uint32_t bytes;
  int read_percent;
  bool sequential;
  Promise promise;
  double wanted;              // of the ratio
  const char* cpu = nullptr;  // the metric of our CPU for each command
};

constexpr Case kCases[] = {
    {"durable_write_qd1", 1, 4096, 0, false, Promise::kDurable, 1.5},
    {"durable_write_qd32", 32, 4096, 0, false, Promise::kDurable, 4,
     "cpu_us_per_durable_write_qd32"},
    {"buffered_write_qd32", 32, 4096, 0, false, Promise::kBuffered, 1.3,
     "cpu_us_per_buffered_write_qd32"},
    {"randread_qd1", 1, 4096, 100, false, Promise::kDurable, 1.1},
    {"randread_qd32", 32, 4096, 100, false, Promise::kDurable, 1.5, "cpu_us_per_4k_read"},
    {"seqread_128k", 8, 128 << 10, 100, true, Promise::kDurable, 1.1},
    {"seqwrite_128k", 8, 128 << 10, 0, true, Promise::kBuffered, 0.9},
};

struct Named {
  const char* name;
  std::unique_ptr<BenchTarget> target;
};

class Bench {
 public:
  explicit Bench(BenchOptions options)
      : options_(options),
        report_(std::move(options)),
        directory_(fmt::format("{}/bench-iscsi-{}", std::filesystem::current_path().string(),
                               ::getpid())) {}
  ~Bench() {
    ours_.target.reset();
    tgt_.target.reset();
    direct_.target.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  int run() {
    std::string congestion;
    std::ifstream("/proc/sys/net/ipv4/tcp_congestion_control") >> congestion;
    fmt::print(stderr, "iscsi: loopback with congestion control {}\n", congestion);
    ours_ = {"ashlar", start_ashlar(programs(), directory_ + "/ashlar")};
    tgt_ = {"tgt", start_tgt(directory_ + "/tgt", TgtCache::kPageCache)};
    if (!options_.quick)
      direct_ = {"tgt_direct", start_tgt(directory_ + "/tgt_direct", TgtCache::kDirect)};
    for (int round = 0; round < options_.rounds; ++round) {
      fill(ours_, Promise::kDurable);
      fill(ours_, Promise::kBuffered);
      fill(tgt_, Promise::kBuffered);
      if (direct_.target) fill(direct_, Promise::kBuffered);
      for (const Case& one : kCases) {
        const bool ours_first = round % 2 == 0;
        if (ours_first) measure(ours_, one);
        measure(tgt_, one);
        if (!ours_first) measure(ours_, one);
        if (direct_.target && one.read_percent == 100) measure(direct_, one);
      }
    }
    for (const Case& one : kCases) {
      report_.ratio(fmt::format("{}_vs_tgt", one.name), metric(ours_, one), metric(tgt_, one),
                    one.wanted);
      if (direct_.target && one.read_percent == 100) {
        report_.ratio(fmt::format("{}_vs_tgt_direct", one.name), metric(ours_, one),
                      metric(direct_, one), one.wanted);
      }
    }
    report_.add("idle_core_100_sessions", idle_core());
    return report_.print();
  }

 private:
  // The build directory that this program is in.
  static std::string programs() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().string();
  }
  static std::string metric(const Named& named, const Case& one) {
    return fmt::format("{}_{}_per_s", named.name, one.name);
  }
  Duration duration() const { return options_.quick ? 400ms : 3s; }

  static IscsiLoadResult must(const Result<IscsiLoadResult>& result, const char* what) {
    if (!result.ok() || result->failed > 0) {
      fmt::print(stderr, "bench_iscsi: {}: {}\n", what,
                 result.ok() ? result->failure : std::string(result.error().message()));
      std::exit(1);
    }
    return *result;
  }

  void fill(const Named& named, Promise promise) const {
    IscsiLoad load{.url = named.target->url(promise),
                   .depth = 8,
                   .bytes = 128 << 10,
                   .read_percent = 0,
                   .sequential = true,
                   .range = kFilled,
                   .limit = kFilled / (128 << 10)};
    load.warm_up = 0ns;
    load.duration = 60s;
    must(run_iscsi_load(load), named.name);
  }

  void measure(const Named& named, const Case& one) {
    const int sessions = one.depth == 1 ? 1 : 2;
    IscsiLoad load{.url = named.target->url(one.promise),
                   .sessions = sessions,
                   .threads = sessions,
                   .depth = one.depth,
                   .bytes = one.bytes,
                   .read_percent = one.read_percent,
                   .sequential = one.sequential,
                   .durability = named.target->durability(one.promise),
                   .range = kFilled};
    load.warm_up = options_.quick ? 80ms : 300ms;
    load.duration = duration();
    struct Cpu {
      const ServerProcess& process;
      double begun = 0;
      double ended = 0;
    } cpu{named.target->process()};
    const IscsiLoadHooks hooks{
        .begun =
            [](void* owner) {
              static_cast<Cpu*>(owner)->begun = static_cast<Cpu*>(owner)->process.cpu_seconds();
            },
        .ended =
            [](void* owner) {
              static_cast<Cpu*>(owner)->ended = static_cast<Cpu*>(owner)->process.cpu_seconds();
            },
        .owner = &cpu};
    const IscsiLoadResult result = must(run_iscsi_load(load, hooks), one.name);
    report_.add(metric(named, one), result.per_second);
    report_.add(fmt::format("{}_{}_p99_us", named.name, one.name), result.p99_us);
    const double each = (cpu.ended - cpu.begun) * 1e6 / static_cast<double>(result.commands);
    if (one.cpu != nullptr) {
      report_.add(
          &named == &ours_ ? std::string(one.cpu) : fmt::format("{}_{}", named.name, one.cpu),
          each);
    }
    fmt::print(stderr,
               "  {:<12} {:<22} {:>9.0f}/s  p50 {:>6.0f} us  p99 {:>6.0f} us  server CPU {:>6.1f} "
               "us  client {:>5.1f} us\n",
               named.name, one.name, result.per_second, result.p50_us, result.p99_us, each,
               result.client_cpu_us);
  }

  // Cores that the server uses while 100 sessions have nothing to say but the answers to its pings.
  double idle_core() const {
    std::vector<std::unique_ptr<test::IscsiInitiator>> sessions;
    for (int i = 0; i < kIdleSessions; ++i) {
      auto session = test::IscsiInitiator::connect(
          {.url = ours_.target->url(i % 2 == 0 ? Promise::kDurable : Promise::kBuffered),
           .name = fmt::format("iqn.2026-01.example:idle-{}", i)});
      if (!session.ok()) {
        fmt::print(stderr, "bench_iscsi: session {}: {}\n", i, session.error().message());
        std::exit(1);
      }
      sessions.push_back(std::move(*session));
    }
    // Until what the loads left behind (flushing, memory to give back) is over.
    std::this_thread::sleep_for(options_.quick ? 1s : 10s);
    const Duration window = options_.quick ? 3s : 32s;
    const double begun = ours_.target->process().cpu_seconds();
    const auto end = std::chrono::steady_clock::now() + window;
    while (std::chrono::steady_clock::now() < end) {
      for (const auto& session : sessions) (void)session->poll(0ns);
      std::this_thread::sleep_for(200ms);
    }
    return (ours_.target->process().cpu_seconds() - begun) /
           std::chrono::duration<double>(window).count();
  }

  BenchOptions options_;
  BenchReport report_;
  const std::string directory_;
  Named ours_, tgt_, direct_;
};

}  // namespace
}  // namespace ashlar::bench

int main(int argc, char** argv) {
  using namespace ashlar::bench;
  return Bench(BenchOptions::parse("iscsi", argc, argv)).run();
}
