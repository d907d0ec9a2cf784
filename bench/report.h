// The one form of every bench. Rounds are interleaved by the caller: in each round everything that
// is compared is measured once; the report gives medians over the rounds.
//
//   const BenchOptions options = BenchOptions::parse("runtime", argc, argv);
//   BenchReport report(options);
//   for (int round = 0; round < options.rounds; ++round) { report.add("x_per_s", …); … }
//   report.ratio("x_vs_y", "x_per_s", "y_per_s");
//   return report.print();
//
// With --json the last line on standard output is one object
// {"name":…,"commit":…,"host":…,"metrics":{…},"ratios":{…}}. The commit comes from ASHLAR_COMMIT,
// which scripts/bench sets, or else from git in the current directory.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::bench {

struct BenchOptions {
  std::string name;
  bool quick = false;  // ends within 45 s
  bool json = false;
  int rounds = 3;

  // Exits with 0 after --help and with 2 on an argument that it does not know.
  static BenchOptions parse(std::string name, int argc, char** argv);
};

class BenchReport {
 public:
  explicit BenchReport(BenchOptions options) : options_(std::move(options)) {}

  // One measurement of one round. Names end in their unit.
  void add(const std::string& metric, double value);
  // The median over the rounds of numerator ÷ denominator, round by round. `target` is what the
  // project asks for; it is printed beside, and does not change the exit code.
  void ratio(const std::string& name, const std::string& numerator, const std::string& denominator,
             double target);
  // The same against a number that is not measured, such as what a link can carry.
  void ratio(const std::string& name, const std::string& numerator, double denominator,
             double target);

  double median(const std::string& metric) const;

  // Prints the table, and the JSON line when asked for. Returns the exit code, 0.
  int print() const;

 private:
  struct Ratio {
    double value;
    double target;
  };

  BenchOptions options_;
  std::map<std::string, std::vector<double>> metrics_;
  std::map<std::string, Ratio> ratios_;
};

}  // namespace ashlar::bench
