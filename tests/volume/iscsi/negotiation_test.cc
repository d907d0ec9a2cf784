#include "volume/iscsi/negotiation.h"

#include <gtest/gtest.h>

#include "tests/volume/iscsi/login_lab.h"

namespace ashlar::iscsi {
namespace {

// One request's keys against an offer, and what came of it.
class NegotiationTest : public ::testing::Test {
 protected:
  std::string answer(std::string_view readable, bool is_discovery = false) {
    negotiation_.emplace(offer_, is_discovery);
    return go_on(readable);
  }
  std::string go_on(std::string_view readable) {
    const std::string text = text_with(readable);
    const auto keys = parse_keys(bytes_of(text));
    TextWriter reply;
    for (const TextKey& key : *keys) {
      const KeyFacts* facts = find_key(key.name);
      EXPECT_NE(facts, nullptr) << key.name;
      negotiation_->answer(*facts, key.value, reply);
    }
    negotiation_->finish(reply);
    std::string result = reply.text();
    for (char& c : result) {
      if (c == '\0') c = ';';
    }
    // Our own declaration, once.
    const std::string declared = "MaxRecvDataSegmentLength=262144;";
    const std::size_t at = result.find(declared);
    if (at != std::string::npos) result.erase(at, declared.size());
    return result;
  }

  LoginOffer offer_;
  std::optional<OperationalNegotiation> negotiation_;
};

struct Row {
  std::string_view offered;
  std::string_view answered;
};

TEST_F(NegotiationTest, EachKeyIsSettledByItsRule) {
  // Ours: bursts of 1 MiB and 256 KiB, 8 R2Ts, Time2Wait 2, Time2Retain 0.
  for (const Row& row : std::vector<Row>{
           {"HeaderDigest=None,CRC32C;", "HeaderDigest=None;"},
           {"HeaderDigest=MD5,CRC32C,None;", "HeaderDigest=CRC32C;"},
           {"HeaderDigest=MD5;", "HeaderDigest=Reject;"},
           {"DataDigest=CRC32C;", "DataDigest=CRC32C;"},
           {"DataDigest=;", "DataDigest=Reject;"},
           {"MaxConnections=1;", "MaxConnections=1;"},
           {"MaxConnections=65535;", "MaxConnections=1;"},
           {"MaxConnections=0;", "MaxConnections=Reject;"},
           {"InitialR2T=Yes;", "InitialR2T=Yes;"},
           {"InitialR2T=No;", "InitialR2T=No;"},
           {"InitialR2T=Maybe;", "InitialR2T=Reject;"},
           {"ImmediateData=Yes;", "ImmediateData=Yes;"},
           {"ImmediateData=No;", "ImmediateData=No;"},
           {"MaxBurstLength=512;", "MaxBurstLength=512;"},
           {"MaxBurstLength=0x1000;", "MaxBurstLength=4096;"},
           {"MaxBurstLength=16777215;", "MaxBurstLength=1048576;"},
           {"MaxBurstLength=511;", "MaxBurstLength=Reject;"},
           {"MaxBurstLength=16777216;", "MaxBurstLength=Reject;"},
           {"FirstBurstLength=16777215;", "FirstBurstLength=262144;"},
           {"FirstBurstLength=512;", "FirstBurstLength=512;"},
           {"FirstBurstLength=1;", "FirstBurstLength=Reject;"},
           {"FirstBurstLength=;", "FirstBurstLength=Reject;"},
           {"DefaultTime2Wait=0;", "DefaultTime2Wait=2;"},
           {"DefaultTime2Wait=3600;", "DefaultTime2Wait=3600;"},
           {"DefaultTime2Wait=3601;", "DefaultTime2Wait=Reject;"},
           {"DefaultTime2Retain=20;", "DefaultTime2Retain=0;"},
           {"MaxOutstandingR2T=1;", "MaxOutstandingR2T=1;"},
           {"MaxOutstandingR2T=64;", "MaxOutstandingR2T=8;"},
           {"MaxOutstandingR2T=0;", "MaxOutstandingR2T=Reject;"},
           {"DataPDUInOrder=No;", "DataPDUInOrder=Yes;"},
           {"DataPDUInOrder=Yes;", "DataPDUInOrder=Yes;"},
           {"DataSequenceInOrder=No;", "DataSequenceInOrder=Yes;"},
           {"ErrorRecoveryLevel=2;", "ErrorRecoveryLevel=0;"},
           {"ErrorRecoveryLevel=0;", "ErrorRecoveryLevel=0;"},
           {"ErrorRecoveryLevel=3;", "ErrorRecoveryLevel=Reject;"},
           {"TaskReporting=FastAbort,RFC3720;", "TaskReporting=RFC3720;"},
           {"TaskReporting=FastAbort;", "TaskReporting=Reject;"},
           {"iSCSIProtocolLevel=2;", "iSCSIProtocolLevel=1;"},
           {"iSCSIProtocolLevel=32;", "iSCSIProtocolLevel=Reject;"},
           {"IFMarker=Yes;OFMarker=No;", "IFMarker=No;OFMarker=No;"},
           {"IFMarkInt=2048~8192;OFMarkInt=1;", "IFMarkInt=Reject;OFMarkInt=Reject;"},
           {"MaxRecvDataSegmentLength=511;", "MaxRecvDataSegmentLength=Reject;"},
           {"MaxRecvDataSegmentLength=16777215;", ""},
       }) {
    EXPECT_EQ(answer(row.offered), row.answered);
  }
}

TEST_F(NegotiationTest, WhatIsNotNegotiatedHasTheStandardsValue) {
  answer("");
  EXPECT_EQ(negotiation_->session(), SessionParameters());
  EXPECT_EQ(negotiation_->connection().send_segment_max, 8192u);
  EXPECT_EQ(negotiation_->connection().receive_segment_max, 262144u);
  OperationalNegotiation untouched(offer_, false);  // no operational stage at all
  EXPECT_EQ(untouched.connection(), ConnectionParameters());
}

TEST_F(NegotiationTest, WhatIsRejectedKeepsTheStandardsValue) {
  answer("MaxBurstLength=1;InitialR2T=x;HeaderDigest=x;ErrorRecoveryLevel=9;MaxOutstandingR2T=x;");
  EXPECT_EQ(negotiation_->session(), SessionParameters());
}

TEST_F(NegotiationTest, AFirstBurstIsNeverLongerThanABurstWhicheverComesFirst) {
  EXPECT_EQ(answer("FirstBurstLength=65536;MaxBurstLength=4096;"),
            "MaxBurstLength=4096;FirstBurstLength=4096;");
  EXPECT_EQ(negotiation_->session().first_burst_length, 4096u);
  answer("FirstBurstLength=65536;");
  go_on("MaxBurstLength=4096;");
  EXPECT_EQ(negotiation_->session().first_burst_length, 4096u);
  answer("MaxBurstLength=512;");
  EXPECT_EQ(negotiation_->session().first_burst_length, 512u);
}

TEST_F(NegotiationTest, AFirstBurstMeansNothingWhereNothingComesUnasked) {
  EXPECT_EQ(answer("FirstBurstLength=65536;InitialR2T=Yes;ImmediateData=No;"),
            "InitialR2T=Yes;ImmediateData=No;FirstBurstLength=Irrelevant;");
}

TEST_F(NegotiationTest, WhatTheOfferForbidsIsNotAgreedOn) {
  offer_.header_digest = false;
  offer_.data_digest = false;
  offer_.initial_r2t = true;
  offer_.immediate_data = false;
  EXPECT_EQ(answer("HeaderDigest=CRC32C,None;DataDigest=CRC32C;InitialR2T=No;ImmediateData=Yes;"),
            "HeaderDigest=None;DataDigest=Reject;InitialR2T=Yes;ImmediateData=No;");
}

TEST_F(NegotiationTest, AllThatBelongsToDataIsIrrelevantInDiscovery) {
  EXPECT_EQ(answer("MaxConnections=1;InitialR2T=No;ImmediateData=Yes;MaxBurstLength=512;"
                   "FirstBurstLength=512;MaxOutstandingR2T=1;DataPDUInOrder=Yes;"
                   "DataSequenceInOrder=Yes;",
                   true),
            "MaxConnections=Irrelevant;InitialR2T=Irrelevant;ImmediateData=Irrelevant;"
            "MaxBurstLength=Irrelevant;FirstBurstLength=Irrelevant;MaxOutstandingR2T=Irrelevant;"
            "DataPDUInOrder=Irrelevant;DataSequenceInOrder=Irrelevant;");
  EXPECT_EQ(answer("HeaderDigest=CRC32C;ErrorRecoveryLevel=0;", true),
            "HeaderDigest=CRC32C;ErrorRecoveryLevel=0;");
}

TEST_F(NegotiationTest, OurSegmentLengthIsDeclaredOnce) {
  OperationalNegotiation negotiation(offer_, false);
  TextWriter first;
  negotiation.finish(first);
  EXPECT_EQ(first.text(), text_with("MaxRecvDataSegmentLength=262144;"));
  TextWriter second;
  negotiation.finish(second);
  EXPECT_TRUE(second.empty());
}

}  // namespace
}  // namespace ashlar::iscsi
