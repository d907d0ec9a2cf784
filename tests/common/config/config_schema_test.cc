#include "common/config/config_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/config/probe_config.h"

namespace ashlar {
namespace {

TEST(ConfigSchemaTest, AKeyIsAlsoAFlagAndAVariable) {
  const test::Probe probe;
  const ConfigField* field = probe.schema.by_key().find("log.size")->second.field;
  EXPECT_EQ(field->flag, "--log-size");
  EXPECT_EQ(field->environment, "ASHLAR_PROBE_LOG_SIZE");
  EXPECT_EQ(probe.schema.by_flag().find("--log-size")->second.field, field);
  EXPECT_EQ(probe.schema.by_environment().find("ASHLAR_PROBE_LOG_SIZE")->second.field, field);
  EXPECT_TRUE(probe.schema.is_section("log"));
  EXPECT_FALSE(probe.schema.is_section("log.size"));
  EXPECT_FALSE(probe.schema.is_section("lo"));
}

TEST(ConfigSchemaTest, ASecretMayComeFromAFile) {
  const test::Probe probe;
  const ConfigName name = probe.schema.by_key().find("auth.token_file")->second;
  EXPECT_TRUE(name.is_file_of_secret);
  EXPECT_EQ(name.field->key, "auth.token");
  EXPECT_TRUE(probe.schema.by_flag().contains("--auth-token-file"));
  EXPECT_TRUE(probe.schema.by_environment().contains("ASHLAR_PROBE_AUTH_TOKEN_FILE"));
}

TEST(ConfigSchemaTest, WithoutAVersionItIsThatOfThisBuild) {
  EXPECT_THAT(ConfigSchema("ashlar-x", "X").version(), testing::ContainsRegex("^[0-9]+\\.[0-9]+"));
}

TEST(ConfigSchemaDeathTest, ASchemaThatContradictsItselfIsFatal) {
  std::string text;
  int number = 5;
  Secret secret;
  ConfigSchema schema("ashlar-x", "X");
  schema.add("log.size", &text, "");
  EXPECT_DEATH(schema.add("log.size", &text, ""), "is added twice");
  EXPECT_DEATH(schema.add("log_size", &text, ""), "--log-size is taken");
  EXPECT_DEATH(schema.add("log", &text, ""), "is a section already");
  EXPECT_DEATH(schema.add("log.size.max", &text, ""), "lies below another setting");
  EXPECT_DEATH(schema.add("help", &text, ""), "would be the flag --help");
  EXPECT_DEATH(schema.add("print_config", &text, ""), "would be the flag --print-config");
  EXPECT_DEATH(schema.add("iscsi.service_host", &text, ""), "Kubernetes");
  for (const char* bad : {"", "Log", "log..size", ".log", "log.", "log-size", "lög"}) {
    EXPECT_DEATH(schema.add(bad, &text, ""), "is not a key") << bad;
  }
  EXPECT_DEATH(schema.add("number", &number, "").range(6, 9), "default of number");
  schema.add("token_file", &text, "");
  EXPECT_DEATH(schema.add("token", &secret, ""), "token_file is added twice");
}

}  // namespace
}  // namespace ashlar
