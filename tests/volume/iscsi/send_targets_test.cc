#include "volume/iscsi/send_targets.h"

#include <gtest/gtest.h>

#include "tests/volume/iscsi/login_lab.h"

namespace ashlar::iscsi {
namespace {

class SendTargetsTest : public ::testing::Test {
 protected:
  SendTargetsTest() {
    portals_ = {{.advertised = Endpoint::ipv4(192, 0, 2, 1, 3260), .group_tag = 1},
                {.advertised = *Endpoint::parse("[2001:db8::1]:3261"), .group_tag = 2}};
    targets_ = {{.iqn = "iqn.2026-01.io.ashlar:open", .access = {}},
                {.iqn = "iqn.2026-01.io.ashlar:mine",
                 .access = {.initiators = {"iqn.2004-01.com.example:HOST1"}}},
                {.iqn = "iqn.2026-01.io.ashlar:theirs",
                 .access = {.initiators = {"iqn.2004-01.com.example:host2"}}}};
    discovery_.initiator = kInitiator;
    discovery_.is_discovery = true;
    normal_.initiator = kInitiator;
    normal_.target = "iqn.2026-01.io.ashlar:mine";
  }
  std::string ask(const LoginIdentity& identity, std::string_view value) {
    TextWriter reply;
    answer_send_targets(value, identity, targets_, portals_, reply);
    std::string text = reply.text();
    for (char& c : text) {
      if (c == '\0') c = ';';
    }
    return text;
  }
  static std::string told(std::string_view name) {
    return fmt::format(
        "TargetName=iqn.2026-01.io.ashlar:{};TargetAddress=192.0.2.1:3260,1;"
        "TargetAddress=[2001:db8::1]:3261,2;",
        name);
  }

  std::vector<Portal> portals_;
  std::vector<TargetDirectory::Entry> targets_;
  LoginIdentity discovery_;
  LoginIdentity normal_;
};

TEST_F(SendTargetsTest, DiscoveryShowsWhatTheInitiatorMayLogInToAndNothingElse) {
  EXPECT_EQ(ask(discovery_, "All"), told("open") + told("mine"));
  discovery_.initiator = "iqn.2004-01.com.example:stranger";
  EXPECT_EQ(ask(discovery_, "All"), told("open"));
}

TEST_F(SendTargetsTest, ANameShowsThatTargetIfItIsForTheInitiator) {
  EXPECT_EQ(ask(discovery_, "IQN.2026-01.io.ashlar:Mine"), told("mine"));
  EXPECT_EQ(ask(discovery_, "iqn.2026-01.io.ashlar:theirs"), "");
  EXPECT_EQ(ask(discovery_, "iqn.2026-01.io.ashlar:nobodys"), "");
}

TEST_F(SendTargetsTest, ANormalSessionHearsOfItsOwnTargetOnly) {
  EXPECT_EQ(ask(normal_, ""), told("mine"));
  EXPECT_EQ(ask(normal_, "iqn.2026-01.io.ashlar:mine"), told("mine"));
  EXPECT_EQ(ask(normal_, "iqn.2026-01.io.ashlar:open"), "SendTargets=Reject;");
  EXPECT_EQ(ask(normal_, "All"), "SendTargets=Reject;");
}

TEST_F(SendTargetsTest, WhatMayNotBeAskedIsRejected) {
  EXPECT_EQ(ask(discovery_, ""), "SendTargets=Reject;");
  EXPECT_EQ(ask(discovery_, "all"), "SendTargets=Reject;");
  EXPECT_EQ(ask(discovery_, "no name"), "SendTargets=Reject;");
}

TEST_F(SendTargetsTest, AWildcardIsNeverTold) {
  portals_[0].advertised = *Endpoint::parse("0.0.0.0:3260");
  portals_[1].advertised = *Endpoint::parse("[::]:3260");
  EXPECT_EQ(ask(normal_, ""), "TargetName=iqn.2026-01.io.ashlar:mine;");
}

}  // namespace
}  // namespace ashlar::iscsi
