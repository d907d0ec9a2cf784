// ashlar_pdu_storm: conversations of right and wrong PDUs until so many were sent; tells as JSON
// what was said and what came back. Whether the target took it well is for pdu_storm.py to find
// out. conversation.h.
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "tests/e2e/storm/conversation.h"

int main(int argc, char** argv) {
  using namespace ashlar;
  storm::StormTarget target;
  std::uint64_t pdus = 100'000;
  std::uint64_t seed = 1;
  std::uint64_t only = 0;
  int threads = 8;
  CLI::App app("Sends right, wrong and broken iSCSI PDUs to 127.0.0.1.");
  app.add_option("--port", target.port)->required();
  app.add_option("--iqn", target.iqn)->required();
  app.add_option("--lun", target.lun)->capture_default_str();
  app.add_option("--pdus", pdus)->capture_default_str();
  app.add_option("--seed", seed)->capture_default_str();
  app.add_option("--threads", threads, "conversations at once")->capture_default_str();
  app.add_option("--only", only, "one conversation, by its number from 1");
  CLI11_PARSE(app, argc, argv);

  storm::StormCounts counts;
  std::atomic<std::uint64_t> next{0};
  const auto converse = [&] {
    int refused_in_a_row = 0;
    while (counts.sent < pdus && refused_in_a_row < 50) {
      const std::uint64_t number = ++next;
      const std::uint64_t refused = counts.no_connection;
      storm::Conversation(target, seed * 1'000'003 + number, counts).run();
      refused_in_a_row = counts.no_connection == refused ? 0 : refused_in_a_row + 1;
      if (refused_in_a_row > 0) ::usleep(20'000);
    }
  };
  if (only != 0) {
    storm::Conversation(target, seed * 1'000'003 + only, counts).run();
  } else {
    std::vector<std::jthread> running;
    for (int i = 0; i < threads; ++i) running.emplace_back(converse);
  }
  nlohmann::json json{
      {"sent", counts.sent.load()},        {"conversations", counts.conversations.load()},
      {"logins", counts.logins.load()},    {"in_full_feature", counts.in_full_feature.load()},
      {"wrong", counts.wrong.load()},      {"no_connection", counts.no_connection.load()},
      {"silences", counts.silences.load()}};
  for (std::size_t opcode = 0; opcode < 64; ++opcode) {
    if (counts.answers[opcode] > 0) {
      json["answers"][fmt::format("{:02x}", opcode)] = counts.answers[opcode].load();
    }
  }
  fmt::print("{}\n", json.dump());
  return 0;
}
