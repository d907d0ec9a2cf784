// ashlar_crash_writer: writes until SIGTERM, across any number of deaths of the server, and tells
// as JSON on its last line what it found. Exit status 0 only when nothing acknowledged was lost and
// nothing foreign appeared. writer.h.
#include <csignal>
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/crash/writer.h"

namespace {

volatile std::sig_atomic_t stop_asked = 0;

}  // namespace

int main(int argc, char** argv) {
  using namespace ashlar;
  crash::WriterOptions options;
  CLI::App app(
      "Writes, remembers what was acknowledged, and compares after each loss of the server.");
  app.add_option("url", options.urls, "portals of one unit: iscsi://HOST:PORT/IQN/LUN")->required();
  app.add_option("--sessions", options.sessions)->capture_default_str();
  app.add_option("--depth", options.depth, "commands under way in each session")
      ->capture_default_str();
  app.add_option("--range", options.range, "bytes of the unit, zeros at first")
      ->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  app.add_option("--synchronize-every", options.synchronize_every, "commands; 0: never")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  std::signal(SIGTERM, [](int) { stop_asked = 1; });
  std::signal(SIGPIPE, SIG_IGN);
  crash::Writer writer(options);
  const Result<> ended = writer.run([] { return stop_asked != 0; });

  const crash::WriterReport& report = writer.report();
  nlohmann::json json{{"in_doubt", report.in_doubt},
                      {"retried", report.retried},
                      {"reconnects", report.reconnects},
                      {"verified_blocks", report.verified_cells},
                      {"away_seconds", report.away_seconds},
                      {"knows_compare_and_write", report.knows_compare_and_write},
                      {"error", ended.ok() ? "" : std::string(ended.error().message())},
                      {"lost", 0},
                      {"foreign", 0},
                      {"problems", nlohmann::json::array()}};
  for (std::size_t i = 0; i < crash::kOperations; ++i) {
    json["acknowledged"][to_string(static_cast<crash::Operation>(i))] = report.acknowledged[i];
  }
  bool sound = ended.ok();
  if (report.verified_cells > 0) {
    json["lost"] = writer.ledger().lost_cells();
    json["foreign"] = writer.ledger().foreign_cells();
    json["problems"] = writer.ledger().problems();
    sound = sound && writer.ledger().lost_cells() == 0 && writer.ledger().foreign_cells() == 0;
  }
  fmt::print("{}\n", json.dump());
  return sound ? 0 : 1;
}
