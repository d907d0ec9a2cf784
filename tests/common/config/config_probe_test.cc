// The real thing: a process, its arguments and environment, its exit code and output.
#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/support/temp_dir.h"

namespace ashlar {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

struct Finished {
  int exit_code = -1;
  std::string out;
  std::string err;
};

class ConfigProbeTest : public testing::Test {
 protected:
  Finished run(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
    arguments.insert(arguments.begin(), ASHLAR_CONFIG_PROBE);
    const std::string out = dir_.file("out");
    const std::string err = dir_.file("err");
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                       0600);
    ::posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                       0600);
    const auto argv = pointers(arguments);
    const auto envp = pointers(environment);
    pid_t pid = 0;
    EXPECT_EQ(::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), envp.data()), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, test::read_file(out),
            test::read_file(err)};
  }

  test::TempDir dir_;

 private:
  static std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (auto& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
  }
};

TEST_F(ConfigProbeTest, RunsWithFileEnvironmentAndFlags) {
  const std::string file = dir_.write("probe.yaml", "data_dir: /from/file\nlog:\n  size: 2GiB\n");
  const Finished run1 = run({"--config", file});
  EXPECT_EQ(run1.exit_code, 0) << run1.err;
  EXPECT_EQ(run1.out, "running in /from/file\n");
  EXPECT_EQ(run1.err, "");
  const Finished run2 = run({"--config", file}, {"ASHLAR_PROBE_DATA_DIR=/from/env"});
  EXPECT_EQ(run2.out, "running in /from/env\n");
  const Finished run3 =
      run({"--config", file, "--data-dir=/from/flag"}, {"ASHLAR_PROBE_DATA_DIR=/from/env"});
  EXPECT_EQ(run3.out, "running in /from/flag\n");
}

TEST_F(ConfigProbeTest, HelpGoesToStdoutAndExitsWithZero) {
  const Finished help = run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(help.err, "");
  EXPECT_THAT(help.out, AllOf(StartsWith("ashlar-probe 9.8.7: Shows its configuration\n"),
                              HasSubstr("--log-size SIZE"), HasSubstr("ASHLAR_PROBE_LOG_SIZE")));
}

TEST_F(ConfigProbeTest, VersionGoesToStdoutAndExitsWithZero) {
  const Finished version = run({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out, "ashlar-probe 9.8.7\n");
}

TEST_F(ConfigProbeTest, PrintedConfigIsLoadedByTheNextProcess) {
  const Finished first =
      run({"--print-config", "--data-dir", "/a b", "--masters=10.0.0.1:1,[::1]:2"});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  const std::string file = dir_.write("again.yaml", first.out);
  const Finished second = run({"--config", file});
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_EQ(second.out, "running in /a b\n");
}

TEST_F(ConfigProbeTest, ErrorsGoToStderrAllAtOnceAndExitWithTwo) {
  const std::string file = dir_.write("probe.yaml", "data_dir: /d\nlog:\n  sizes: 2GiB\n");
  const Finished refused =
      run({"--config", file, "--reactor", "3"}, {"ASHLAR_PROBE_LEASE_DURATION=soon"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err,
              AllOf(StartsWith(file + ":3: log.sizes: unknown key; did you mean log.size?\n"),
                    HasSubstr("\nASHLAR_PROBE_LEASE_DURATION: \"soon\" is not a duration"),
                    HasSubstr("\n--reactor: unknown flag; did you mean --reactors?\n"),
                    HasSubstr("\nashlar-probe: 4 errors in the configuration; --help lists")));
}

}  // namespace
}  // namespace ashlar
