#include "volume/server/server_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/config_load.h"

namespace ashlar::server {
namespace {

using testing::HasSubstr;

class ServerConfigTest : public testing::Test {
 protected:
  ServerConfigTest() {
    config_.data_dir = "/var/lib/ashlar";
    config_.stores = {"/disks/a", "/disks/b"};
    config_.standalone = true;
  }
  std::string refusal() const {
    const Result<> checked = check_config(config_);
    return checked.ok() ? "" : checked.error().message();
  }

  ServerConfig config_;
};

TEST_F(ServerConfigTest, DefaultsWithStoresAreAccepted) {
  EXPECT_EQ(refusal(), "");
}

TEST_F(ServerConfigTest, DefaultsListenOnLoopbackOnly) {
  for (const Endpoint& endpoint :
       {config_.iscsi_listen[0], config_.admin_listen, config_.http_listen}) {
    EXPECT_THAT(endpoint.to_string(), testing::StartsWith("127.0.0.1:"));
  }
}

TEST_F(ServerConfigTest, WithoutAMasterItMustBeStandalone) {
  config_.standalone = false;
  EXPECT_THAT(refusal(), HasSubstr("--standalone"));
}

TEST_F(ServerConfigTest, AWildcardIsNeverAdvertised) {
  config_.iscsi_listen = {Endpoint::parse("0.0.0.0:3260").value()};
  EXPECT_THAT(refusal(), HasSubstr("initiators cannot connect to 0.0.0.0:3260"));
  config_.iscsi_listen = {Endpoint::parse("[::]:3260").value()};
  EXPECT_THAT(refusal(), HasSubstr("iscsi.advertise"));
  config_.iscsi_advertise = {Endpoint::parse("0.0.0.0:3260").value()};
  EXPECT_THAT(refusal(), HasSubstr("iscsi.advertise: initiators cannot connect"));
  config_.iscsi_advertise = {Endpoint::parse("192.0.2.7:3260").value()};
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(advertised(config_, 0, config_.iscsi_listen[0]), config_.iscsi_advertise[0]);
}

TEST_F(ServerConfigTest, EachPortalHasItsAdvertisedAddress) {
  config_.iscsi_listen = {Endpoint::parse("127.0.0.1:0").value(),
                          Endpoint::parse("127.0.0.2:0").value()};
  EXPECT_EQ(refusal(), "");
  config_.iscsi_advertise = {Endpoint::parse("192.0.2.7:3260").value()};
  EXPECT_THAT(refusal(), HasSubstr("1 addresses for the 2"));
}

TEST_F(ServerConfigTest, StoresAndDataDirectoryAreApart) {
  config_.stores = {"/disks/a", "/disks/./a/"};
  EXPECT_THAT(refusal(), HasSubstr("is within"));
  config_.stores = {"/disks/a", "/disks/a/b"};
  EXPECT_THAT(refusal(), HasSubstr("/disks/a/b is within /disks/a"));
  config_.stores = {"/disks/a", "/disks/ab"};
  EXPECT_EQ(refusal(), "");
  config_.stores = {"/var/lib"};
  EXPECT_THAT(refusal(), HasSubstr("data_dir"));
  config_.stores = {};
  EXPECT_THAT(refusal(), HasSubstr("at least one"));
}

TEST_F(ServerConfigTest, AReactorHasAtLeastOneStore) {
  config_.reactors = 3;
  EXPECT_THAT(refusal(), HasSubstr("3 for 2 stores"));
}

TEST_F(ServerConfigTest, BuffersSufficeForWhatStoresHold) {
  config_.reactors = 1;
  config_.buffer_memory = ByteCount(640 << 20);
  EXPECT_THAT(refusal(), HasSubstr("memory.buffers"));
  config_.reactors = 2;
  EXPECT_EQ(refusal(), "");
}

TEST(IqnPrefix, OnlyTheBeginningOfAnIscsiNameIsOne) {
  for (const char* good : {"iqn.2026-01.io.ashlar:", "iqn.2026-01.org.example:storage:x1."}) {
    const bool ends_well = std::string_view(good).ends_with(':');
    EXPECT_EQ(check_iqn_prefix(good).ok(), ends_well) << good;
  }
  for (const char* bad : {"", "iqn.", "eui.0123:", "iqn.2026-1.io.x:", "iqn.2026-01.IO.x:",
                          "iqn.2026-01.io.x", "iqn.2026-01.:", "iqn.2026-01.a b:"}) {
    EXPECT_FALSE(check_iqn_prefix(bad).ok()) << bad;
  }
  EXPECT_FALSE(check_iqn_prefix("iqn.2026-01." + std::string(160, 'x') + ":").ok());
}

TEST(ServerConfigSchema, ErrorsOfAFileNameTheirPlace) {
  ServerConfig config;
  ConfigSchema schema("ashlar-volume", "Serves volumes over iSCSI", "1");
  describe(schema, config);
  const ConfigOutcome outcome = load_config(
      schema, {"--data-dir", "d", "--stores", "s", "--standalone", "--iscsi-listen", "0.0.0.0:1"},
      {});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.to_stderr, HasSubstr("iscsi.listen"));
  const ConfigOutcome fine = load_config(schema,
                                         {"--data-dir", "d", "--stores", "s,t", "--standalone",
                                          "--iscsi-listen", "127.0.0.1:1,127.0.0.2:1"},
                                         {});
  EXPECT_FALSE(fine.exit_code.has_value()) << fine.to_stderr;
  EXPECT_EQ(config.stores.size(), 2U);
}

}  // namespace
}  // namespace ashlar::server
