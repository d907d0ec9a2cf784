#include "common/config/config_print.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/config_load.h"
#include "tests/common/config/probe_config.h"
#include "tests/support/temp_dir.h"

namespace ashlar {
namespace {

using test::Probe;
using testing::HasSubstr;

TEST(ConfigPrintTest, EveryValueSaysWhereItCameFrom) {
  const test::TempDir dir;
  const std::string file = dir.write("p.yaml", "data_dir: /data\nlog: {form: json}\n");
  Probe probe;
  const auto outcome = load_config(
      probe.schema, {"--print-config", "--config", file, "--masters=10.0.0.1:1,[::1]:2"},
      {{"ASHLAR_PROBE_LOG_SIZE", "2Gi"}, {"ASHLAR_PROBE_AUTH_TOKEN", "hunter2"}});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.to_stderr;
  EXPECT_EQ(outcome.to_stdout, outcome.effective_config);
  EXPECT_EQ(outcome.to_stdout,
            "# Effective configuration of ashlar-probe 9.8.7\n"
            "data_dir: /data                         # " +
                file + ":1\n" +
                R"(reactors: 1                             # default
offset: 0                               # default
log:
  size: 2Gi                             # env ASHLAR_PROBE_LOG_SIZE
  form: json                            # )" +
                file + R"(:2
lease:
  duration: 10s                         # default
  renewal: 3s                           # default
listen: 127.0.0.1:3260                  # default
masters:                                # flag --masters
  - 10.0.0.1:1
  - "[::1]:2"
tags:                                   # default
  - a
tls: false                              # default
auth:
  # token: <secret>                     # env ASHLAR_PROBE_AUTH_TOKEN
)");
}

TEST(ConfigPrintTest, WhatIsPrintedLoadsToTheSame) {
  const test::TempDir dir;
  Probe first;
  const std::string secret = dir.write("token", "hunter2");
  const auto printed =
      load_config(first.schema,
                  {"--print-config", "--data-dir", "/a \"b\" #c\n", "--tags=,null, x", "--tls",
                   "--log-size=1234567890", "--lease-renewal=1500us", "--auth-token-file", secret},
                  {});
  ASSERT_EQ(printed.exit_code, 0) << printed.to_stderr;
  EXPECT_THAT(printed.to_stdout, HasSubstr("token_file: " + secret));

  Probe second;
  const std::string file = dir.write("p.yaml", printed.to_stdout);
  const auto loaded = load_config(second.schema, {"--config", file}, {});
  EXPECT_FALSE(loaded.exit_code.has_value()) << loaded.to_stderr;
  EXPECT_EQ(second.config.data_dir, "/a \"b\" #c\n");
  EXPECT_EQ(second.config.tags, first.config.tags);
  EXPECT_EQ(second.config.log_size, ByteCount(1234567890));
  EXPECT_EQ(second.config.renewal, std::chrono::microseconds(1500));
  EXPECT_TRUE(second.config.tls);
  EXPECT_EQ(second.config.token.reveal(), "hunter2");
}

TEST(ConfigPrintTest, SettingsOfOneSectionStandTogetherHoweverTheyWereAdded) {
  int a = 1;
  int b = 2;
  int c = 3;
  int d = 4;
  ConfigSchema schema("ashlar-x", "X", "1");
  schema.add("one.a", &a, "");
  schema.add("two", &b, "");
  schema.add("one.deep.c", &c, "");
  schema.add("one.b", &d, "");
  const std::string printed = print_config(schema, {});
  const auto lines = test::lines_of(printed);
  ASSERT_EQ(lines.size(), 7U);
  EXPECT_THAT(lines,
              testing::ElementsAre(HasSubstr("# Effective"), "one:", testing::StartsWith("  a: 1"),
                                   "  deep:", testing::StartsWith("    c: 3"),
                                   testing::StartsWith("  b: 4"), testing::StartsWith("two: 2")));
}

TEST(ConfigPrintTest, ASecretNobodySetSaysSo) {
  Probe probe;
  EXPECT_THAT(print_config(probe.schema, {}), HasSubstr("# token: (not set)"));
}

}  // namespace
}  // namespace ashlar
