// ashlar_sim: runs a scenario in the simulator for one seed or many. See docs/simulation.md.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "tests/sim/scenario.h"

namespace ashlar::sim {
namespace {

constexpr std::string_view kHelp =
    "ashlar_sim runs a small system under simulated faults and checks what it promised.\n"
    "\n"
    "  --scenario NAME  log (default), echo, engine or iscsi\n"
    "  --seed S         the first seed (default 1)\n"
    "  --seeds N        how many seeds, S, S+1, … (default 1); stops at the first that fails\n"
    "  --bug NAME       plants a bug that must be found. log: no-sync, ack-early,\n"
    "                   no-directory-sync, trust-torn-tail; iscsi: no-sync, deaf-abort,\n"
    "                   split-compare; engine: those of src/engine/planted_bug.h\n"
    "  --bugs           lists the bugs of the scenario\n"
    "  --json           one JSON object a seed instead of text\n"
    "\n"
    "A run follows from its seed: the same build prints the same trace hash every time.\n"
    "Exit status: 0 all passed, 1 a seed failed, 2 wrong usage.\n";

struct Options {
  std::string scenario = "log";
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  std::string bug;
  bool json = false;
  bool lists_bugs = false;
};

int usage(std::string_view problem) {
  fmt::print(stderr, "ashlar_sim: {}\n\n{}", problem, kHelp);
  return 2;
}

bool parse_number(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::string replay_command(const Options& options, std::uint64_t seed) {
  std::string command = fmt::format("ashlar_sim --scenario {} --seed {}", options.scenario, seed);
  if (!options.bug.empty()) command += fmt::format(" --bug {}", options.bug);
  return command;
}

void print_text(const Options& options, const Verdict& verdict) {
  fmt::print(
      "seed {} {} events {} virtual {:.3f}s hash {:016x} crashes {} acknowledged {} torn {}\n",
      verdict.seed, verdict.passed ? "passed" : "FAILED", verdict.events, verdict.virtual_seconds,
      verdict.trace_hash, verdict.crashes, verdict.acknowledged, verdict.torn_tails);
  if (verdict.passed) return;
  fmt::print("{}\nreplay: {}\nthe last events:\n{}", verdict.failure,
             replay_command(options, verdict.seed), verdict.last_events);
}

void print_json(const Options& options, const Verdict& verdict) {
  nlohmann::ordered_json line{
      {"scenario", options.scenario},
      {"seed", verdict.seed},
      {"passed", verdict.passed},
      {"events", verdict.events},
      {"virtual_seconds", verdict.virtual_seconds},
      {"trace_hash", fmt::format("{:016x}", verdict.trace_hash)},
      {"crashes", verdict.crashes},
      {"acknowledged", verdict.acknowledged},
      {"torn_tails", verdict.torn_tails},
  };
  if (!verdict.passed) {
    line["failure"] = verdict.failure;
    line["replay"] = replay_command(options, verdict.seed);
  }
  fmt::print("{}\n", line.dump());
}

int run(const Options& options, const Scenario& scenario) {
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t events = 0;
  for (std::uint64_t i = 0; i < options.seeds; ++i) {
    const Verdict verdict = scenario.run(options.seed + i, options.bug);
    events += verdict.events;
    const bool quiet = options.seeds > 1 && verdict.passed && !options.json;
    if (options.json) {
      print_json(options, verdict);
    } else if (!quiet) {
      print_text(options, verdict);
    }
    if (!verdict.passed) return 1;
  }
  if (options.seeds > 1 && !options.json) {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{} seeds passed: {:.1f} seeds/s, {:.0f} events/s\n", options.seeds,
               static_cast<double>(options.seeds) / seconds, static_cast<double>(events) / seconds);
  }
  return 0;
}

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help" || name == "-h") {
      fmt::print("{}", kHelp);
      return 0;
    }
    if (name == "--bugs") {
      options.lists_bugs = true;
      continue;
    }
    if (name == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 == argc) return usage(fmt::format("{} is unknown or lacks its value", name));
    const std::string_view value = argv[++i];
    if (name == "--scenario") {
      options.scenario = value;
    } else if (name == "--bug") {
      options.bug = value;
    } else if (name == "--seed") {
      if (!parse_number(value, options.seed)) return usage(fmt::format("--seed {}?", value));
    } else if (name == "--seeds") {
      if (!parse_number(value, options.seeds)) return usage(fmt::format("--seeds {}?", value));
    } else {
      return usage(fmt::format("there is no option {}", name));
    }
  }
  const Scenario* scenario = find_scenario(options.scenario);
  if (scenario == nullptr) return usage(fmt::format("no scenario {}", options.scenario));
  if (options.lists_bugs) {
    for (const std::string_view bug : scenario->bugs) fmt::print("{}\n", bug);
    return 0;
  }
  bool known = options.bug.empty();
  for (const std::string_view bug : scenario->bugs) known = known || bug == options.bug;
  if (!known) return usage(fmt::format("scenario {} has no bug {}", options.scenario, options.bug));
  return run(options, *scenario);
}

}  // namespace
}  // namespace ashlar::sim

int main(int argc, char** argv) {
  return ashlar::sim::main(argc, argv);
}
