#include "bench/iscsi/targets.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>

namespace ashlar::bench {
namespace {

constexpr auto kStartLimit = std::chrono::seconds(30);

template <class Condition>
void wait_until(const char* what, const ServerProcess& process, Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kStartLimit;
  while (!condition()) {
    if (!process.is_running() || std::chrono::steady_clock::now() > deadline) {
      fmt::print(stderr, "bench_iscsi: {} did not start\n", what);
      std::exit(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

class Tgt : public BenchTarget {
 public:
  Tgt(const std::string& directory, TgtCache cache) : directory_(directory), port_(free_port()) {
    std::filesystem::create_directories(directory);
    {
      const std::ofstream made(directory + "/disk.img");
    }
    std::filesystem::resize_file(directory + "/disk.img", kUnitBytes);
    process_.emplace(std::vector<std::string>{"tgtd", "-f", "--iscsi",
                                              fmt::format("portal=127.0.0.1:{}", port_)},
                     directory, "tgtd.log", environment_);
    wait_until("tgt", *process_,
               [&] { return admin({"--mode", "sys", "--op", "show"}, false) == 0; });
    admin({"--mode", "target", "--op", "new", "--tid", "1", "--targetname", kIqn}, true);
    std::vector<std::string> unit{
        "--mode", "logicalunit", "--op",     "new",  "--tid",           "1",
        "--lun",  "1",           "--bstype", "rdwr", "--backing-store", directory + "/disk.img"};
    if (cache == TgtCache::kDirect) unit.insert(unit.end(), {"--bsoflags", "direct"});
    admin(unit, true);
    admin({"--mode", "target", "--op", "bind", "--tid", "1", "--initiator-address", "ALL"}, true);
    wait_until("tgt", *process_, [&] { return answers(port_); });
  }

  std::string url(Promise) const override {
    return fmt::format("iscsi://127.0.0.1:{}/{}/1", port_, kIqn);
  }
  Durability durability(Promise promise) const override {
    return promise == Promise::kDurable ? Durability::kFua : Durability::kCached;
  }

 private:
  static constexpr const char* kIqn = "iqn.2026-01.example:tgt";

  int admin(std::vector<std::string> arguments, bool must_succeed) const {
    arguments.insert(arguments.begin(), {"tgtadm", "--lld", "iscsi"});
    return run_command(arguments, directory_, environment_, must_succeed);
  }

  const std::string directory_;
  const int port_;
  const std::vector<std::string> environment_{"TGT_IPC_SOCKET=tgt.sock"};
};

class Ashlar : public BenchTarget {
 public:
  Ashlar(const std::string& programs, const std::string& directory)
      : directory_(directory), port_(free_port()) {
    std::filesystem::create_directories(directory);
    const int admin_port = free_port();
    const int http_port = free_port();
    std::ofstream(directory + "/volume.yaml") << fmt::format(
        "data_dir: {0}/data\nstores: [{0}/store]\nstandalone: true\n"
        "iscsi:\n  listen: [127.0.0.1:{1}]\n  iqn_prefix: \"{4}\"\n"
        "admin:\n  listen: 127.0.0.1:{2}\nhttp:\n  listen: 127.0.0.1:{3}\n",
        directory, port_, admin_port, http_port, kPrefix);
    process_.emplace(std::vector<std::string>{programs + "/src/volume/server/ashlar-volume",
                                              "--config", directory + "/volume.yaml"},
                     directory, "volume.log");
    wait_until("ashlar-volume", *process_, [&] { return answers(port_) && answers(admin_port); });
    for (const char* policy : {"durable", "buffered"}) {
      run_command({programs + "/src/cli/ashlar", "--server",
                   fmt::format("127.0.0.1:{}", admin_port), "volume", "create", policy, "--size",
                   fmt::format("{}Mi", kUnitBytes >> 20), "--ack", policy},
                  directory, {}, true);
    }
  }

  std::string url(Promise promise) const override {
    return fmt::format("iscsi://127.0.0.1:{}/{}{}/0", port_, kPrefix,
                       promise == Promise::kDurable ? "durable" : "buffered");
  }
  Durability durability(Promise) const override { return Durability::kCached; }

 private:
  static constexpr const char* kPrefix = "iqn.2026-01.example:";

  const std::string directory_;
  const int port_;
};

}  // namespace

std::unique_ptr<BenchTarget> start_ashlar(const std::string& programs,
                                          const std::string& directory) {
  return std::make_unique<Ashlar>(programs, directory);
}

std::unique_ptr<BenchTarget> start_tgt(const std::string& directory, TgtCache cache) {
  return std::make_unique<Tgt>(directory, cache);
}

}  // namespace ashlar::bench
