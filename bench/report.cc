#include "bench/report.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <sys/utsname.h>
#include <unistd.h>

namespace ashlar::bench {
namespace {

double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

std::string host() {
  utsname name{};
  ::uname(&name);
  return fmt::format("{}, {} x {}, Linux {}", name.nodename, ::sysconf(_SC_NPROCESSORS_ONLN),
                     cpu_model(), name.release);
}

std::string commit() {
  if (const char* given = std::getenv("ASHLAR_COMMIT"); given != nullptr) return given;
  std::string text;
  if (FILE* git = ::popen("git rev-parse --short HEAD 2>/dev/null", "r"); git != nullptr) {
    for (int c = std::fgetc(git); c != EOF && c != '\n'; c = std::fgetc(git)) {
      text += static_cast<char>(c);
    }
    ::pclose(git);
  }
  return text.empty() ? "unknown" : text;
}

}  // namespace

BenchOptions BenchOptions::parse(std::string name, int argc, char** argv) {
  BenchOptions options;
  options.name = std::move(name);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--json") {
      options.json = true;
    } else {
      const bool help = argument == "--help" || argument == "-h";
      fmt::print(help ? stdout : stderr,
                 "{}usage: bench_{} [--quick] [--json]\n"
                 "  --quick  end within 45 s\n"
                 "  --json   print one JSON object as the last line\n",
                 help ? "" : fmt::format("unknown argument {}\n", argument), options.name);
      std::exit(help ? 0 : 2);
    }
  }
  return options;
}

void BenchReport::add(const std::string& metric, double value) {
  metrics_[metric].push_back(value);
}

void BenchReport::ratio(const std::string& name, const std::string& numerator,
                        const std::string& denominator, double target) {
  const std::vector<double>& above = metrics_.at(numerator);
  const std::vector<double>& below = metrics_.at(denominator);
  std::vector<double> quotients;
  for (std::size_t round = 0; round < std::min(above.size(), below.size()); ++round) {
    quotients.push_back(above[round] / below[round]);
  }
  ratios_[name] = {median_of(std::move(quotients)), target};
}

void BenchReport::ratio(const std::string& name, const std::string& numerator, double denominator,
                        double target) {
  ratios_[name] = {median(numerator) / denominator, target};
}

double BenchReport::median(const std::string& metric) const {
  return median_of(metrics_.at(metric));
}

int BenchReport::print() const {
  fmt::print("{}: medians of {} rounds on {}\n", options_.name, options_.rounds, host());
  for (const auto& [metric, values] : metrics_) {
    const auto [least, most] = std::ranges::minmax(values);
    fmt::print("  {:<34} {:>14.2f}   ({:.2f} to {:.2f})\n", metric, median_of(values), least, most);
  }
  for (const auto& [name, ratio] : ratios_) {
    fmt::print("  {:<34} {:>14.3f}   (target: at least {:.2f}{})\n", name, ratio.value,
               ratio.target, ratio.value >= ratio.target ? "" : ", MISSED");
  }
  if (options_.json) {
    nlohmann::json object{{"name", options_.name},
                          {"commit", commit()},
                          {"host", host()},
                          {"metrics", nlohmann::json::object()},
                          {"ratios", nlohmann::json::object()}};
    for (const auto& [metric, values] : metrics_) object["metrics"][metric] = median_of(values);
    for (const auto& [name, ratio] : ratios_) object["ratios"][name] = ratio.value;
    fmt::print("{}\n", object.dump());
  }
  return 0;
}

}  // namespace ashlar::bench
