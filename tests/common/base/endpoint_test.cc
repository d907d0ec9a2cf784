#include "common/base/endpoint.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar {
namespace {

using testing::HasSubstr;

Endpoint endpoint(std::string_view text) {
  return Endpoint::parse(text).value();
}

TEST(EndpointTest, TextBecomesAddressAndPort) {
  EXPECT_EQ(endpoint("10.0.0.1:3260"), Endpoint::ipv4(10, 0, 0, 1, 3260));
  const Endpoint v6 = endpoint("[2001:db8::1]:80");
  EXPECT_EQ(v6.family(), Endpoint::Family::kIpv6);
  EXPECT_EQ(v6.address()[1], 0x01);
  EXPECT_EQ(v6.address()[15], 0x01);
  EXPECT_EQ(v6.port(), 80);
}

TEST(EndpointTest, PrintsTheCanonicalForm) {
  for (const char* text : {"10.0.0.1:3260", "[::1]:3260", "0.0.0.0:0", "[::]:65535",
                           "[::ffff:10.0.0.1]:1", "[2001:db8::1]:80"}) {
    EXPECT_EQ(fmt::format("{}", endpoint(text)), text);
  }
  EXPECT_EQ(endpoint("[2001:DB8:0:0::1]:80").to_string(), "[2001:db8::1]:80");
  EXPECT_EQ(endpoint("*:3260").to_string(), "0.0.0.0:3260");
}

TEST(EndpointTest, WildcardsAreRecognised) {
  EXPECT_TRUE(endpoint("*:3260").is_wildcard());
  EXPECT_TRUE(endpoint("0.0.0.0:3260").is_wildcard());
  EXPECT_TRUE(endpoint("[::]:3260").is_wildcard());
  EXPECT_FALSE(endpoint("[::1]:3260").is_wildcard());
  EXPECT_FALSE(endpoint("0.0.0.1:3260").is_wildcard());
}

TEST(EndpointTest, RefusesWithTheReason) {
  const struct {
    std::string_view text;
    const char* why;
  } cases[] = {
      {"", "it is empty"},
      {"10.0.0.1", "it has no port"},
      {"[::1]", "it has no port"},
      {"[::1]3260", "it has no port"},
      {"[::1", "its bracket is not closed"},
      {"[", "its bracket is not closed"},
      {"[::1:3260", "its bracket is not closed"},
      {"::1:3260", "stands in brackets"},
      {"2001:db8::1", "stands in brackets"},
      {"10.0.0.1:", "its port is not a number"},
      {"10.0.0.1:65536", "its port is not a number from 0 to 65535"},
      {"10.0.0.1:-1", "its port is not a number"},
      {"10.0.0.1:+1", "its port is not a number"},
      {"10.0.0.1:80 ", "its port is not a number"},
      {"10.0.0.1:003260", "its port is not a number"},
      {"10.0.0.1:iscsi", "its port is not a number"},
      {":3260", "it has no address"},
      {"[]:3260", "\"\" is not an IPv6 address"},
      {"[10.0.0.1]:3260", "\"10.0.0.1\" is not an IPv6 address"},
      {"[fe80::1%eth0]:3260", "is not an IPv6 address"},
      {"storage-1:3260", "\"storage-1\" is not an IPv4 address and names are not resolved"},
      {"10.0.1:3260", "is not an IPv4 address"},
      {"010.0.0.1:3260", "is not an IPv4 address"},
      {"10.0.0.256:3260", "is not an IPv4 address"},
      {std::string_view("10.0.0.1\0:3260", 14), "is not an IPv4 address"},
  };
  for (const auto& c : cases) {
    const auto result = Endpoint::parse(c.text);
    ASSERT_FALSE(result.ok()) << c.text;
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(result.error().message(), HasSubstr(c.why)) << c.text;
  }
  EXPECT_EQ(Endpoint::parse("10.0.0.1").error().message(),
            "\"10.0.0.1\" is not an endpoint: it has no port; write ADDRESS:PORT with a numeric "
            "address, such as 10.0.0.1:3260, [2001:db8::1]:3260 or *:3260");
}

TEST(EndpointTest, AnyEndpointRoundTrips) {
  Random random(1);
  std::unordered_set<Endpoint> seen;
  for (int i = 0; i < 2'000; ++i) {
    const auto family = random.chance(1, 2) ? Endpoint::Family::kIpv4 : Endpoint::Family::kIpv6;
    const std::size_t length = family == Endpoint::Family::kIpv4 ? 4 : 16;
    Endpoint::Address address{};
    // Often with a tail of zeros, which RFC 5952 shortens.
    random.fill(std::as_writable_bytes(std::span(address).first(random.below(length + 1))));
    const Endpoint made(family, address, static_cast<std::uint16_t>(random.below(65'536)));
    ASSERT_EQ(endpoint(made.to_string()), made) << made.to_string();
    seen.insert(made);
    ASSERT_TRUE(seen.contains(endpoint(made.to_string())));
  }
}

TEST(EndpointTest, OrderIsByFamilyAddressPort) {
  EXPECT_LT(endpoint("9.0.0.0:1"), endpoint("[::1]:1"));
  EXPECT_LT(endpoint("9.0.0.0:2"), endpoint("10.0.0.0:1"));
  EXPECT_LT(endpoint("9.0.0.0:1"), endpoint("9.0.0.0:2"));
}

TEST(EndpointTest, ThePortCanBeReplaced) {
  EXPECT_EQ(endpoint("10.0.0.1:0").with_port(3260), endpoint("10.0.0.1:3260"));
}

}  // namespace
}  // namespace ashlar
