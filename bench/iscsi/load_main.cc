// ashlar_iscsi_load: one load on one unit, told as a line or as JSON. bench/iscsi/load.h.
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "bench/iscsi/load.h"

int main(int argc, char** argv) {
  using namespace ashlar;
  bench::IscsiLoad load;
  double seconds = 2;
  std::string mode = "cached";
  bool as_json = false;
  CLI::App app("Loads one iSCSI unit over libiscsi and tells rate and latencies.");
  app.add_option("url", load.url, "iscsi://HOST:PORT/IQN/LUN")->required();
  app.add_option("--sessions", load.sessions)->capture_default_str();
  app.add_option("--threads", load.threads)->capture_default_str();
  app.add_option("--depth", load.depth, "commands under way in all")->capture_default_str();
  app.add_option("--bytes", load.bytes, "of a command")->capture_default_str();
  app.add_option("--read-percent", load.read_percent)->capture_default_str();
  app.add_flag("--sequential", load.sequential, "each session its own part, else at random");
  app.add_option("--writes", mode, "cached, fua, or sync: SYNCHRONIZE CACHE after them")
      ->check(CLI::IsMember({"cached", "fua", "sync"}))
      ->capture_default_str();
  app.add_option("--sync-every", load.sync_every, "writes of one slot (with --writes sync)")
      ->capture_default_str();
  app.add_option("--range", load.range, "bytes of the unit that are used; 0: all");
  app.add_option("--seconds", seconds)->capture_default_str();
  app.add_option("--seed", load.seed)->capture_default_str();
  app.add_flag("--json", as_json);
  CLI11_PARSE(app, argc, argv);
  load.durability = mode == "fua"    ? bench::Durability::kFua
                    : mode == "sync" ? bench::Durability::kSyncEvery
                                     : bench::Durability::kCached;
  load.duration = Duration(static_cast<std::int64_t>(seconds * 1e9));
  const auto done = bench::run_iscsi_load(load);
  if (!done.ok()) {
    fmt::print(stderr, "ashlar_iscsi_load: {}\n", done.error().message());
    return 1;
  }
  const bench::IscsiLoadResult& result = *done;
  if (as_json) {
    const nlohmann::json json{{"commands", result.commands},
                              {"failed", result.failed},
                              {"failure", result.failure},
                              {"seconds", result.seconds},
                              {"per_second", result.per_second},
                              {"mean_us", result.mean_us},
                              {"p50_us", result.p50_us},
                              {"p99_us", result.p99_us},
                              {"p999_us", result.p999_us},
                              {"max_us", result.max_us},
                              {"client_cpu_us", result.client_cpu_us}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print(
        "{:.0f}/s, {:.1f} MB/s; us: p50 {:.0f}, p99 {:.0f}, p99.9 {:.0f}, longest {:.0f}; "
        "client CPU {:.1f} us a command; {} failed {}\n",
        result.per_second, result.per_second * load.bytes / 1e6, result.p50_us, result.p99_us,
        result.p999_us, result.max_us, result.client_cpu_us, result.failed, result.failure);
  }
  return result.failed == 0 ? 0 : 1;
}
