#include "common/base/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar {
namespace {

TEST(EndpointTest, ParsesAndPrintsBothFamilies) {
  for (const char* text : {"10.0.0.1:3260", "[2001:db8::1]:3260", "0.0.0.0:0", "[::]:65535"}) {
    const Result<Endpoint> endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint.ok()) << endpoint.error().message();
    EXPECT_EQ(endpoint->to_string(), text);
  }
  EXPECT_EQ(*Endpoint::parse("10.0.0.1:3260"), Endpoint::ipv4(10, 0, 0, 1, 3260));
}

TEST(EndpointTest, WildcardsAreRecognised) {
  EXPECT_TRUE(Endpoint::parse("*:3260")->is_wildcard());
  EXPECT_TRUE(Endpoint::parse("0.0.0.0:1")->is_wildcard());
  EXPECT_TRUE(Endpoint::parse("[::]:1")->is_wildcard());
  EXPECT_FALSE(Endpoint::parse("127.0.0.1:1")->is_wildcard());
}

TEST(EndpointTest, WhatIsNoNumericAddressWithPortIsRefusedWithTheAllowedForms) {
  for (const char* text : {"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1",
                           "10.0.0.1: 1", "10.0.0.256:1", "localhost:1", "::1:3260", "[::1:3260",
                           "[10.0.0.1]:1", "10.0.0.1:3260x", "[]:1", ":3260"}) {
    const Result<Endpoint> endpoint = Endpoint::parse(text);
    ASSERT_FALSE(endpoint.ok()) << text;
    EXPECT_EQ(endpoint.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(endpoint.error().message(), testing::HasSubstr("use ADDRESS:PORT"));
  }
}

TEST(EndpointTest, OrderAndHashFollowAddressAndPort) {
  const Endpoint a = Endpoint::ipv4(10, 0, 0, 1, 1);
  EXPECT_LT(a, a.with_port(2));
  EXPECT_NE(a, Endpoint::ipv4(10, 0, 0, 2, 1));
  EXPECT_EQ(std::hash<Endpoint>()(a), std::hash<Endpoint>()(Endpoint::ipv4(10, 0, 0, 1, 1)));
}

}  // namespace
}  // namespace ashlar
