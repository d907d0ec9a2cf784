#include "common/config/config_value.h"

#include <cstdint>
#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar {
namespace {

template <class T>
std::string refusal(std::string_view text) {
  const auto parsed = ConfigType<T>::parse(text);
  return parsed.ok() ? "accepted" : parsed.error().message();
}

TEST(ConfigValueTest, WhatIsFormattedParsesToTheSame) {
  const auto round_trip = []<class T>(const T& value) {
    const auto parsed = ConfigType<T>::parse(ConfigType<T>::format(value));
    return parsed.ok() && *parsed == value;
  };
  for (const bool value : {true, false}) EXPECT_TRUE(round_trip(value));
  for (const auto value : {std::numeric_limits<std::int64_t>::min(), std::int64_t{0}}) {
    EXPECT_TRUE(round_trip(value));
  }
  EXPECT_TRUE(round_trip(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_TRUE(round_trip(std::string("a \"b\"")));
  for (const std::uint64_t bytes :
       {0ULL, 1ULL, 1536ULL, 1ULL << 30, (1ULL << 30) + 1, 10ULL << 40}) {
    EXPECT_TRUE(round_trip(ByteCount(bytes))) << bytes;
  }
  for (const std::int64_t ns : {0LL, 1LL, 1500LL, 1'500'000'000LL, 90'000'000'000LL}) {
    EXPECT_TRUE(round_trip(Duration(ns))) << ns;
  }
  for (const char* text : {"127.0.0.1:3260", "[::1]:65535", "*:3260"}) {
    EXPECT_TRUE(round_trip(*Endpoint::parse(text))) << text;
  }
}

TEST(ConfigValueTest, IntegersAreWholeDecimalAndFitTheirType) {
  EXPECT_EQ(*ConfigType<std::int8_t>::parse("-128"), -128);
  EXPECT_EQ(*ConfigType<std::uint16_t>::parse("65535"), 65535);
  EXPECT_EQ(refusal<std::uint16_t>("65536"), "\"65536\" is not a whole number from 0 to 65535");
  EXPECT_EQ(refusal<std::int8_t>("-129"), "\"-129\" is not a whole number from -128 to 127");
  for (const char* bad :
       {"", " 1", "1 ", "+1", "-1", "0x10", "1.0", "1e3", "one", "99999999999999999999"}) {
    EXPECT_THAT(refusal<std::uint32_t>(bad), testing::HasSubstr("is not a whole number")) << bad;
  }
}

TEST(ConfigValueTest, BooleansAreTrueOrFalse) {
  EXPECT_TRUE(*ConfigType<bool>::parse("true"));
  EXPECT_FALSE(*ConfigType<bool>::parse("false"));
  for (const char* bad : {"", "True", "yes", "1", "on"}) {
    EXPECT_THAT(refusal<bool>(bad), testing::HasSubstr("is neither true nor false"));
  }
}

TEST(ConfigValueTest, BadSizesDurationsAndEndpointsQuoteTheTextAndSayWhatIsRight) {
  EXPECT_THAT(refusal<ByteCount>("1Go"), testing::StartsWith("\"1Go\" is not a size"));
  EXPECT_THAT(refusal<Duration>("soon"), testing::StartsWith("\"soon\" is not a duration"));
  EXPECT_THAT(refusal<Endpoint>("nowhere"), testing::HasSubstr("\"nowhere\""));
}

TEST(ConfigValueTest, ASecretIsNeverFormatted) {
  EXPECT_EQ(ConfigType<Secret>::format(Secret("hunter2")), "<secret>");
  EXPECT_EQ(ConfigType<Secret>::format(Secret()), "");
  EXPECT_EQ(ConfigType<Secret>::parse("hunter2")->reveal(), "hunter2");
}

}  // namespace
}  // namespace ashlar
