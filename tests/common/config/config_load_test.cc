#include "common/config/config_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/config/probe_config.h"
#include "tests/support/temp_dir.h"

namespace ashlar {
namespace {

using test::Form;
using test::Probe;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kEverything = R"(
data_dir: /data
reactors: 4
offset: -3
log:
  size: 2GiB
  form: json
lease:
  duration: 20s
  renewal: 500ms
listen: 10.0.0.1:3260
masters: ["10.0.0.1:1", "10.0.0.2:2"]
tags: []
tls: true
auth:
  token: hunter2
)";

std::vector<std::string> texts(const std::vector<Endpoint>& endpoints) {
  std::vector<std::string> out;
  for (const auto& endpoint : endpoints) out.push_back(endpoint.to_string());
  return out;
}

class ConfigLoadTest : public testing::Test {
 protected:
  // Errors one a line, without the line that counts them.
  std::vector<std::string> errors(const std::vector<std::string>& arguments,
                                  const Environment& environment = {}) {
    Probe probe;
    const ConfigOutcome outcome = load_config(probe.schema, arguments, environment);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_EQ(outcome.to_stdout, "");
    auto lines = test::lines_of(outcome.to_stderr);
    if (!lines.empty()) lines.pop_back();
    return lines;
  }
  test::TempDir dir_;
};

void expect_everything(const test::ProbeConfig& config) {
  EXPECT_EQ(config.data_dir, "/data");
  EXPECT_EQ(config.reactors, 4U);
  EXPECT_EQ(config.offset, -3);
  EXPECT_EQ(config.log_size, ByteCount(2ULL << 30));
  EXPECT_EQ(config.form, Form::kJson);
  EXPECT_EQ(config.lease, 20s);
  EXPECT_EQ(config.renewal, 500ms);
  EXPECT_EQ(config.listen.to_string(), "10.0.0.1:3260");
  EXPECT_THAT(texts(config.masters), ElementsAre("10.0.0.1:1", "10.0.0.2:2"));
  EXPECT_THAT(config.tags, testing::IsEmpty());
  EXPECT_TRUE(config.tls);
  EXPECT_EQ(config.token.reveal(), "hunter2");
}

TEST_F(ConfigLoadTest, EveryTypeComesFromTheFile) {
  Probe probe;
  const std::string file = dir_.write("p.yaml", kEverything);
  const auto outcome = load_config(probe.schema, {"--config", file}, {});
  EXPECT_FALSE(outcome.exit_code.has_value()) << outcome.to_stderr;
  expect_everything(probe.config);
}

TEST_F(ConfigLoadTest, EveryTypeComesFromTheEnvironment) {
  Probe probe;
  const auto outcome = load_config(probe.schema, {},
                                   {{"ASHLAR_PROBE_DATA_DIR", "/data"},
                                    {"ASHLAR_PROBE_REACTORS", "4"},
                                    {"ASHLAR_PROBE_OFFSET", "-3"},
                                    {"ASHLAR_PROBE_LOG_SIZE", "2GiB"},
                                    {"ASHLAR_PROBE_LOG_FORM", "json"},
                                    {"ASHLAR_PROBE_LEASE_DURATION", "20s"},
                                    {"ASHLAR_PROBE_LEASE_RENEWAL", "500ms"},
                                    {"ASHLAR_PROBE_LISTEN", "10.0.0.1:3260"},
                                    {"ASHLAR_PROBE_MASTERS", "10.0.0.1:1,10.0.0.2:2"},
                                    {"ASHLAR_PROBE_TAGS", ""},
                                    {"ASHLAR_PROBE_TLS", "true"},
                                    {"ASHLAR_PROBE_AUTH_TOKEN", "hunter2"}});
  EXPECT_FALSE(outcome.exit_code.has_value()) << outcome.to_stderr;
  expect_everything(probe.config);
}

TEST_F(ConfigLoadTest, EveryTypeComesFromFlags) {
  Probe probe;
  const auto outcome = load_config(probe.schema,
                                   {"--data-dir",
                                    "/data",
                                    "--reactors=4",
                                    "--offset",
                                    "-3",
                                    "--log-size=2GiB",
                                    "--log-form",
                                    "json",
                                    "--lease-duration",
                                    "20s",
                                    "--lease-renewal=500ms",
                                    "--listen",
                                    "10.0.0.1:3260",
                                    "--masters",
                                    "10.0.0.1:1",
                                    "--masters",
                                    "10.0.0.2:2",
                                    "--tags=",
                                    "--tls",
                                    "--auth-token",
                                    "hunter2"},
                                   {});
  EXPECT_FALSE(outcome.exit_code.has_value()) << outcome.to_stderr;
  expect_everything(probe.config);
}

TEST_F(ConfigLoadTest, WithoutAnySourceDefaultsStay) {
  Probe probe;
  const auto outcome = load_config(probe.schema, {"--data-dir=/d"}, {});
  EXPECT_FALSE(outcome.exit_code.has_value()) << outcome.to_stderr;
  EXPECT_EQ(outcome.to_stdout + outcome.to_stderr, "");
  EXPECT_EQ(probe.config.log_size, ByteCount(1ULL << 30));
  EXPECT_THAT(probe.config.tags, ElementsAre("a"));
}

TEST_F(ConfigLoadTest, FlagsWinOverTheEnvironmentAndThatOverTheFile) {
  Probe probe;
  const std::string file = dir_.write("p.yaml", "data_dir: f\nreactors: 2\noffset: 2\ntags: [f]\n");
  const auto outcome = load_config(probe.schema, {"--reactors=4", "--tags=g"},
                                   {{"ASHLAR_PROBE_CONFIG", file},
                                    {"ASHLAR_PROBE_REACTORS", "3"},
                                    {"ASHLAR_PROBE_OFFSET", "3"}});
  EXPECT_FALSE(outcome.exit_code.has_value()) << outcome.to_stderr;
  EXPECT_EQ(probe.config.data_dir, "f");
  EXPECT_EQ(probe.config.offset, 3);
  EXPECT_EQ(probe.config.reactors, 4U);
  EXPECT_THAT(probe.config.tags, ElementsAre("g"));
}

TEST_F(ConfigLoadTest, TheFileNamedByAFlagWinsOverTheOneInTheEnvironment) {
  Probe probe;
  const std::string file = dir_.write("p.yaml", "data_dir: flag\n");
  const auto outcome =
      load_config(probe.schema, {"--config", file}, {{"ASHLAR_PROBE_CONFIG", "/none"}});
  EXPECT_FALSE(outcome.exit_code.has_value()) << outcome.to_stderr;
  EXPECT_EQ(probe.config.data_dir, "flag");
}

TEST_F(ConfigLoadTest, BadValuesNameTheirPlace) {
  const std::string file = dir_.write("p.yaml", "data_dir: d\n\nlog:\n  size: 1Go\n");
  EXPECT_THAT(errors({"--config", file, "--reactors=four"}, {{"ASHLAR_PROBE_TLS", "maybe"}}),
              ElementsAre(testing::StartsWith(file + ":4: log.size: \"1Go\" is not a size"),
                          "ASHLAR_PROBE_TLS: \"maybe\" is neither true nor false",
                          "--reactors: \"four\" is not a whole number from 0 to 4294967295"));
}

TEST_F(ConfigLoadTest, ABadValueIsRefusedEvenWhereALaterSourceWins) {
  const std::string file = dir_.write("p.yaml", "data_dir: d\nreactors: many\n");
  EXPECT_THAT(errors({"--config", file, "--reactors=4"}),
              ElementsAre(testing::StartsWith(file + ":2: reactors: \"many\"")));
}

TEST_F(ConfigLoadTest, RangesNamesAndChecksAreKept) {
  EXPECT_THAT(
      errors({"--data-dir=d", "--reactors=65", "--log-size=1MiB", "--lease-duration=61s",
              "--log-form=xml", "--tags=a,b,c,d", "--masters=10.0.0.1:1,nowhere"}),
      ElementsAre("--reactors: 65 is not within 1 to 64",
                  "--log-size: 1Mi is not within 64Mi to 1Ti",
                  "--lease-duration: 1m1s is not within 1s to 1m",
                  "--log-form: \"xml\" is not one of text, json", "--tags: more than 3 tags",
                  testing::StartsWith("--masters: \"nowhere\" is not")));
}

TEST_F(ConfigLoadTest, RulesAcrossSettingsRunWhenEachIsRight) {
  EXPECT_THAT(errors({"--data-dir=d", "--lease-renewal=10s"}),
              ElementsAre("lease.renewal (10s) must be below lease.duration (10s)"));
  EXPECT_THAT(errors({"--data-dir=d", "--lease-renewal=10s", "--tls=x"}),
              ElementsAre(HasSubstr("neither true nor false")));
}

TEST_F(ConfigLoadTest, WhatIsRequiredMustBeSetBySomebody) {
  EXPECT_THAT(errors({}), ElementsAre("data_dir: must be set (--data-dir, ASHLAR_PROBE_DATA_DIR or "
                                      "in the config file)"));
}

TEST_F(ConfigLoadTest, AFileThatCannotBeReadIsTheOnlyThingSaidAboutWhatItMayHold) {
  EXPECT_THAT(errors({"--config", "/none/p.yaml"}),
              ElementsAre("/none/p.yaml: No such file or directory"));
  EXPECT_THAT(errors({"--config", dir_.write("big.yaml", std::string((1 << 20) + 1, '#'))}),
              ElementsAre(HasSubstr("larger than 1 MiB")));
  EXPECT_THAT(errors({"--config", dir_.file("")}), ElementsAre(HasSubstr("directory")));
}

TEST_F(ConfigLoadTest, ASecretComesFromTheFileItsSettingNames) {
  const std::string secret = dir_.write("token", "hunter2\n");
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--data-dir=d", "--auth-token-file", secret},
           {"--config", dir_.write("p.yaml", "data_dir: d\nauth:\n  token_file: " + secret)}}) {
    Probe probe;
    const auto outcome = load_config(probe.schema, arguments, {});
    EXPECT_FALSE(outcome.exit_code.has_value()) << outcome.to_stderr;
    EXPECT_EQ(probe.config.token.reveal(), "hunter2");
  }
}

TEST_F(ConfigLoadTest, ASecretOfAFileThatIsMissingOrEmptyIsRefused) {
  EXPECT_THAT(errors({"--data-dir=d", "--auth-token-file=/none"}),
              ElementsAre("--auth-token-file: /none: No such file or directory"));
  EXPECT_THAT(errors({"--data-dir=d", "--auth-token-file=" + dir_.write("empty", "\n")}),
              ElementsAre(testing::EndsWith("empty: is empty")));
}

TEST_F(ConfigLoadTest, ASecretInPlaceAndByFileAreTooManyInOneSourceButNotInTwo) {
  const std::string secret = dir_.write("token", "from-file");
  EXPECT_THAT(errors({"--data-dir=d", "--auth-token=a", "--auth-token-file=" + secret}),
              ElementsAre("--auth-token-file: auth.token is set both in place and by a file"));
  Probe probe;
  const auto outcome = load_config(probe.schema, {"--data-dir=d", "--auth-token-file=" + secret},
                                   {{"ASHLAR_PROBE_AUTH_TOKEN", "from-env"}});
  EXPECT_FALSE(outcome.exit_code.has_value()) << outcome.to_stderr;
  EXPECT_EQ(probe.config.token.reveal(), "from-file");
}

TEST_F(ConfigLoadTest, NoOutputEverHoldsASecret) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"--print-config", "--data-dir=d"}, {"--bad"}, {"--help"}}) {
    Probe probe;
    const auto outcome =
        load_config(probe.schema, arguments, {{"ASHLAR_PROBE_AUTH_TOKEN", "hunter2"}});
    EXPECT_THAT(outcome.to_stdout + outcome.to_stderr + outcome.effective_config,
                Not(HasSubstr("hunter2")));
  }
}

TEST_F(ConfigLoadTest, HelpListsEverySettingWithTypeDefaultRangeAndSpellings) {
  Probe probe;
  const auto outcome = load_config(probe.schema, {"--bad", "--help"}, {});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.to_stderr, "");
  for (const ConfigField& field : probe.schema.fields()) {
    EXPECT_THAT(outcome.to_stdout, AllOf(HasSubstr("  " + field.flag), HasSubstr(field.description),
                                         HasSubstr("in the file " + field.key +
                                                   ", in the environment " + field.environment)));
  }
  EXPECT_THAT(outcome.to_stdout, HasSubstr(R"(
Log:
  --log-size SIZE
      Size of the log ring
      default: 1Gi; from 64Mi to 1Ti
      in the file log.size, in the environment ASHLAR_PROBE_LOG_SIZE
  --log-form NAME
      Form of log records
      default: text; one of text, json
)"));
  EXPECT_THAT(outcome.to_stdout, HasSubstr("      required\n"));
  EXPECT_THAT(outcome.to_stdout, HasSubstr("--tls[=true|false]\n"));
  EXPECT_THAT(outcome.to_stdout, HasSubstr("--masters ADDRESS:PORT,…\n"));
  EXPECT_THAT(outcome.to_stdout, HasSubstr("--auth-token-file, auth.token_file, "
                                           "ASHLAR_PROBE_AUTH_TOKEN_FILE\n"));
}

TEST_F(ConfigLoadTest, VersionNamesProgramAndVersion) {
  Probe probe;
  const auto outcome = load_config(probe.schema, {"--version"}, {});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.to_stdout, "ashlar-probe 9.8.7\n");
}

}  // namespace
}  // namespace ashlar
