#include "common/config/flag_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/config/probe_config.h"

namespace ashlar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FlagSourceTest : public testing::Test {
 protected:
  FlagFindings read(const std::vector<std::string>& arguments) {
    return read_flags(probe_.schema, arguments);
  }
  test::Probe probe_;
};

TEST_F(FlagSourceTest, ValuesFollowAfterABlankOrAnEqualsSign) {
  const auto flags = read({"--log-size", "1Gi", "--data-dir=/a=b", "--offset", "-5"});
  EXPECT_THAT(flags.found.errors, IsEmpty());
  ASSERT_EQ(flags.found.settings.size(), 3U);
  EXPECT_EQ(flags.found.settings[0].name.field->key, "log.size");
  EXPECT_THAT(flags.found.settings[0].texts, ElementsAre("1Gi"));
  EXPECT_EQ(flags.found.settings[0].where, "--log-size");
  EXPECT_EQ(flags.found.settings[0].origin, "flag --log-size");
  EXPECT_THAT(flags.found.settings[1].texts, ElementsAre("/a=b"));
  EXPECT_THAT(flags.found.settings[2].texts, ElementsAre("-5"));
}

TEST_F(FlagSourceTest, ASwitchNeedsNoValueAndTakesNoneFromTheNextArgument) {
  const auto on = read({"--tls", "--offset", "1"});
  ASSERT_EQ(on.found.settings.size(), 2U);
  EXPECT_THAT(on.found.settings[0].texts, ElementsAre("true"));
  EXPECT_THAT(read({"--tls=false"}).found.settings[0].texts, ElementsAre("false"));
}

TEST_F(FlagSourceTest, ListsAreSeparatedByCommasOrRepeated) {
  const auto flags = read({"--masters", "a:1,b:2", "--tags=", "--masters=c:3"});
  EXPECT_THAT(flags.found.errors, IsEmpty());
  ASSERT_EQ(flags.found.settings.size(), 2U);
  EXPECT_THAT(flags.found.settings[0].texts, ElementsAre("a:1", "b:2", "c:3"));
  EXPECT_THAT(flags.found.settings[1].texts, IsEmpty());
}

TEST_F(FlagSourceTest, TheFlagsEveryDaemonHas) {
  EXPECT_TRUE(read({"--help"}).help);
  EXPECT_TRUE(read({"-h"}).help);
  EXPECT_TRUE(read({"--version"}).version);
  EXPECT_TRUE(read({"--print-config"}).print_config);
  EXPECT_EQ(read({"--config", "/a"}).config_file, "/a");
  EXPECT_EQ(read({"--config=/a"}).config_file, "/a");
  const auto none = read({});
  EXPECT_FALSE(none.help || none.version || none.print_config || none.config_file);
}

TEST_F(FlagSourceTest, EveryErrorIsToldAndNamesItsFlag) {
  const auto flags =
      read({"--log-sise", "1Gi", "--data-dir", "/a", "--data-dir", "/b", "-x", "--help=yes",
            "--config", "/a", "--config=/b", "--log-form", "--lease-duration"});
  EXPECT_THAT(flags.found.errors,
              ElementsAre("--log-sise: unknown flag; did you mean --log-size?",
                          "\"1Gi\": unexpected argument; settings are given as --key value",
                          "--data-dir: given twice", testing::StartsWith("-x: unknown flag"),
                          "--help: takes no value", "--config: given twice",
                          "--log-form: needs a value", "--lease-duration: needs a value"));
}

}  // namespace
}  // namespace ashlar
