#include "common/config/environment_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/config/probe_config.h"

namespace ashlar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(EnvironmentSourceTest, VariablesOfTheProgramBecomeSettings) {
  const test::Probe probe;
  const auto found = read_environment(probe.schema, {{"PATH", "/bin"},
                                                     {"ASHLAR_PROBE_LOG_SIZE", "1Gi"},
                                                     {"ASHLAR_PROBE_MASTERS", "a:1,b:2"},
                                                     {"ASHLAR_PROBE_TAGS", ""},
                                                     {"ASHLAR_PROBE_CONFIG", "/etc/x"},
                                                     {"ASHLAR_PROBER_X", "1"}});
  EXPECT_THAT(found.errors, IsEmpty());
  ASSERT_EQ(found.settings.size(), 3U);
  EXPECT_EQ(found.settings[0].name.field->key, "log.size");
  EXPECT_THAT(found.settings[0].texts, ElementsAre("1Gi"));
  EXPECT_EQ(found.settings[0].where, "ASHLAR_PROBE_LOG_SIZE");
  EXPECT_EQ(found.settings[0].origin, "env ASHLAR_PROBE_LOG_SIZE");
  EXPECT_THAT(found.settings[1].texts, ElementsAre("a:1", "b:2"));
  EXPECT_THAT(found.settings[2].texts, IsEmpty());
}

TEST(EnvironmentSourceTest, UnknownVariablesWithThePrefixAreRefused) {
  const test::Probe probe;
  const auto found = read_environment(
      probe.schema, {{"ASHLAR_PROBE_LOG_SIZES", "1"}, {"ASHLAR_PROBE_QWERTYUIOP", "1"}});
  EXPECT_THAT(found.errors,
              ElementsAre("ASHLAR_PROBE_LOG_SIZES: unknown variable; did you mean "
                          "ASHLAR_PROBE_LOG_SIZE?",
                          testing::StartsWith("ASHLAR_PROBE_QWERTYUIOP: unknown variable")));
}

TEST(EnvironmentSourceTest, AVariableGivenTwiceIsRefused) {
  const test::Probe probe;
  const auto found =
      read_environment(probe.schema, {{"ASHLAR_PROBE_TLS", "true"}, {"ASHLAR_PROBE_TLS", "false"}});
  EXPECT_THAT(found.errors, ElementsAre("ASHLAR_PROBE_TLS: is in the environment twice"));
}

TEST(EnvironmentSourceTest, ServiceLinksOfKubernetesArePassedOver) {
  const test::Probe probe;
  const auto found =
      read_environment(probe.schema, {{"ASHLAR_PROBE_SERVICE_HOST", "10.0.0.1"},
                                      {"ASHLAR_PROBE_SERVICE_PORT", "80"},
                                      {"ASHLAR_PROBE_SERVICE_PORT_HTTP", "80"},
                                      {"ASHLAR_PROBE_PORT", "tcp://10.0.0.1:80"},
                                      {"ASHLAR_PROBE_PORT_80_TCP", "tcp://10.0.0.1:80"},
                                      {"ASHLAR_PROBE_PORT_80_TCP_PROTO", "tcp"},
                                      {"ASHLAR_PROBE_PORT_80_TCP_PORT", "80"},
                                      {"ASHLAR_PROBE_PORT_80_TCP_ADDR", "10.0.0.1"},
                                      {"ASHLAR_PROBE_ISCSI_SERVICE_HOST", "10.0.0.2"},
                                      {"ASHLAR_PROBE_ISCSI_PORT_53_UDP_ADDR", "10.0.0.2"}});
  EXPECT_THAT(found.errors, IsEmpty());
  EXPECT_THAT(found.settings, IsEmpty());
}

TEST(EnvironmentSourceTest, WhatOnlyLooksLikeAServiceLinkIsNotPassedOver) {
  EXPECT_FALSE(is_service_link("ASHLAR_PROBE_PORT", "3260"));
  EXPECT_FALSE(is_service_link("ASHLAR_PROBE_PORT_TCP", "tcp://x"));
  EXPECT_FALSE(is_service_link("ASHLAR_PROBE_PORT_80_TCP_SIZE", "1"));
  EXPECT_FALSE(is_service_link("ASHLAR_PROBE_80_TCP", "1"));
}

}  // namespace
}  // namespace ashlar
