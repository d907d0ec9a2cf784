#include "common/base/units.h"

#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kKi = 1024;
constexpr std::uint64_t kMi = 1024 * kKi;
constexpr std::uint64_t kGi = 1024 * kMi;
constexpr std::uint64_t kTi = 1024 * kGi;

// A number with as many significant bits as not, so that all magnitudes are drawn alike.
std::uint64_t any_magnitude(Random& random) {
  return random.next() >> random.below(64);
}

TEST(ParseSizeTest, TakesTheUnitsPeopleType) {
  const struct {
    const char* text;
    std::uint64_t bytes;
  } cases[] = {
      {"0", 0},
      {"4096", 4096},
      {"4096B", 4096},
      {"10Gi", 10 * kGi},
      {"512MiB", 512 * kMi},
      {"1.5Ti", kTi + kTi / 2},
      {"1.5 GiB", kGi + kGi / 2},
      {"10G", 10'000'000'000},
      {"10GB", 10'000'000'000},
      {"100k", 100'000},
      {"100K", 100'000},
      {"0.001k", 1},
      {"2.000", 2},
      {"0.0009765625Ki", 1},
      {"15Ei", 15 * kTi * kMi},
      {"18446744073709551615", UINT64_MAX},
      {"18.446744073709551615E", UINT64_MAX},
      {"007", 7},
  };
  for (const auto& c : cases) {
    const auto size = parse_size(c.text);
    ASSERT_TRUE(size.ok()) << size.error().message();
    EXPECT_EQ(size->value(), c.bytes) << c.text;
  }
}

TEST(ParseSizeTest, RefusesWithTheReason) {
  const struct {
    const char* text;
    const char* why;
  } cases[] = {
      {"", "it is empty"},
      {"-1", "it is negative"},
      {"-1Gi", "it is negative"},
      {"+1", "not a number"},
      {"Gi", "not a number"},
      {".5Gi", "not a number"},
      {"5.Gi", "not a number"},
      {" 5", "not a number"},
      {"5 ", "\" \" is not a unit"},
      {"5  Gi", "\" Gi\" is not a unit"},
      {"10 apples", "\"apples\" is not a unit"},
      {"1e3", "\"e3\" is not a unit"},
      {"0x10", "\"x10\" is not a unit"},
      {"1,5Gi", "\",5Gi\" is not a unit"},
      {"1.5.1Gi", "\".1Gi\" is not a unit"},
      {"10gi", "\"gi\" is not a unit"},
      {"1m", "\"m\" is not a unit"},
      {"1GiBB", "is not a unit"},
      {"16Ei", "16Ei or more"},
      {"18446744073709551616", "16Ei or more"},
      {"99999999999999999999999", "16Ei or more"},
      {"18.446744073709551616E", "16Ei or more"},
      {"1.5", "whole number of bytes"},
      {"0.1Ki", "whole number of bytes"},
      {"1.0000000000000000001Ei", "whole number of bytes"},
  };
  for (const auto& c : cases) {
    const auto size = parse_size(c.text);
    ASSERT_FALSE(size.ok()) << c.text;
    EXPECT_EQ(size.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(size.error().message(), HasSubstr(c.why)) << c.text;
  }
}

TEST(ParseSizeTest, ErrorNamesTheTextAndWhatIsAllowed) {
  EXPECT_EQ(parse_size("10 apples").error().message(),
            "\"10 apples\" is not a size: \"apples\" is not a unit of size; write bytes, or a "
            "number with Ki Mi Gi Ti Pi Ei (powers of 1024) or k M G T P E (powers of 1000), such "
            "as 4096, 10Gi or 1.5Ti");
}

TEST(FormatSizeTest, PrintsTheLargestUnitThatDivides) {
  EXPECT_EQ(format_size(ByteCount(0)), "0");
  EXPECT_EQ(format_size(ByteCount(1)), "1");
  EXPECT_EQ(format_size(ByteCount(1024)), "1Ki");
  EXPECT_EQ(format_size(ByteCount(10 * kGi)), "10Gi");
  EXPECT_EQ(format_size(ByteCount(1536 * kMi)), "1536Mi");
  EXPECT_EQ(format_size(ByteCount(4097)), "4097");
  EXPECT_EQ(format_size(ByteCount(UINT64_MAX)), "18446744073709551615");
  EXPECT_EQ(fmt::format("{}", ByteCount(8 * kTi)), "8Ti");
}

TEST(FormatSizeTest, RoundTrips) {
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    // Trailing zero bits make the units come up.
    const ByteCount size(any_magnitude(random) << random.below(64));
    ASSERT_EQ(parse_size(format_size(size)).value(), size);
  }
}

TEST(FormatSizeTest, ShortFormIsRoundedForPeople) {
  EXPECT_EQ(format_size_short(ByteCount(0)), "0 B");
  EXPECT_EQ(format_size_short(ByteCount(512)), "512 B");
  EXPECT_EQ(format_size_short(ByteCount(1023)), "1023 B");
  EXPECT_EQ(format_size_short(ByteCount(1024)), "1 KiB");
  EXPECT_EQ(format_size_short(ByteCount(1100)), "1.1 KiB");
  EXPECT_EQ(format_size_short(ByteCount(kGi + kGi / 2)), "1.5 GiB");
  EXPECT_EQ(format_size_short(ByteCount(kMi - 1)), "1 MiB");
  EXPECT_EQ(format_size_short(ByteCount(UINT64_MAX)), "16 EiB");
}

TEST(FormatSizeTest, ShortFormIsWithinATwentiethOfItsUnit) {
  Random random(2);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t bytes = any_magnitude(random) >> 1;
    const std::string text = format_size_short(ByteCount(bytes));
    // One decimal of a binary unit is rarely a whole number of bytes: parse_size refuses it.
    const double number = std::stod(text);
    const std::uint64_t unit = parse_size("1" + text.substr(text.find(' '))).value().value();
    ASSERT_NEAR(number * static_cast<double>(unit), static_cast<double>(bytes),
                static_cast<double>(unit) * 0.051)
        << text;
    ASSERT_LT(number, 1024.0) << text;
  }
}

TEST(ParseDurationTest, TakesTheUnitsPeopleType) {
  const struct {
    const char* text;
    Duration duration;
  } cases[] = {
      {"0", 0ns},
      {"0s", 0ns},
      {"500ms", 500ms},
      {"1.5s", 1500ms},
      {"2h30m", 2h + 30min},
      {"1us", 1us},
      {"1µs", 1us},
      {"1μs", 1us},
      {"7ns", 7ns},
      {"7d", 168h},
      {"1d2h3m4s5ms6us7ns", 26h + 3min + 4s + 5ms + 6us + 7ns},
      {"1h0.25s", 1h + 250ms},
      {"1.000000001s", 1s + 1ns},
      {"90m", 90min},
      {"9223372036854775807ns", Duration::max()},
      {"106751d23h47m16.854775807s", Duration::max()},
  };
  for (const auto& c : cases) {
    const auto duration = parse_duration(c.text);
    ASSERT_TRUE(duration.ok()) << duration.error().message();
    EXPECT_EQ(duration->count(), c.duration.count()) << c.text;
  }
}

TEST(ParseDurationTest, RefusesWithTheReason) {
  const struct {
    const char* text;
    const char* why;
  } cases[] = {
      {"", "it is empty"},
      {"30", "it has no unit"},
      {"2h30", "it has no unit"},
      {"-5s", "it is negative"},
      {"s", "not a number"},
      {".5s", "not a number"},
      {"1.s", "not a number"},
      {"5 s", "\" s\" is not a unit of time"},
      {"5S", "\"S\" is not a unit of time"},
      {"5sec", "\"sec\" is not a unit of time"},
      {"30m2h", "larger units come first"},
      {"1s1s", "larger units come first and each only once"},
      {"1us1µs", "larger units come first and each only once"},
      {"1.5h30m", "only its last part may have a fraction"},
      {"0.5ns", "whole number of nanoseconds"},
      {"9223372036854775808ns", "longer than 292 years"},
      {"300000d", "longer than 292 years"},
      {"99999999999999999999s", "longer than 292 years"},
      {"213503d23h", "longer than 292 years"},
  };
  for (const auto& c : cases) {
    const auto duration = parse_duration(c.text);
    ASSERT_FALSE(duration.ok()) << c.text;
    EXPECT_EQ(duration.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(duration.error().message(), HasSubstr(c.why)) << c.text;
  }
}

TEST(ParseDurationTest, ErrorNamesTheTextAndTheUnits) {
  EXPECT_EQ(parse_duration("30").error().message(),
            "\"30\" is not a duration: it has no unit; write numbers with d h m s ms us ns, such "
            "as 500ms, 1.5s or 2h30m");
}

TEST(FormatDurationTest, PrintsWhatAPersonWouldWrite) {
  EXPECT_EQ(format_duration(0s), "0s");
  EXPECT_EQ(format_duration(90min), "1h30m");
  EXPECT_EQ(format_duration(1500ms), "1.5s");
  EXPECT_EQ(format_duration(500ms), "500ms");
  EXPECT_EQ(format_duration(1500us), "1.5ms");
  EXPECT_EQ(format_duration(1001ns), "1.001us");
  EXPECT_EQ(format_duration(999ns), "999ns");
  EXPECT_EQ(format_duration(61s), "1m1s");
  EXPECT_EQ(format_duration(24h + 250ms), "1d0.25s");
  EXPECT_EQ(format_duration(-1500ms), "-1.5s");
  EXPECT_EQ(format_duration(Duration::max()), "106751d23h47m16.854775807s");
  EXPECT_EQ(format_duration(Duration::min()), "-106751d23h47m16.854775808s");
}

TEST(FormatDurationTest, RoundTrips) {
  Random random(3);
  constexpr std::int64_t kUnits[] = {1, 1'000, 1'000'000, 1'000'000'000, 60'000'000'000};
  for (int i = 0; i < 20'000; ++i) {
    const auto any = static_cast<std::int64_t>(any_magnitude(random) >> 1);
    const std::int64_t unit = kUnits[random.below(std::size(kUnits))];
    const Duration duration(any / unit * unit);
    ASSERT_EQ(parse_duration(format_duration(duration)).value().count(), duration.count());
  }
}

TEST(UnitsTest, AnyBytesAreReadOrRefusedWithoutACrash) {
  Random random(4);
  constexpr std::string_view kAlphabet = "0123456789.. -+KMGTPEikBmsuhdn\xc2\xb5";
  for (int i = 0; i < 50'000; ++i) {
    std::string text;
    for (std::uint64_t n = random.below(12); n > 0; --n) {
      text += kAlphabet[random.below(kAlphabet.size())];
    }
    (void)parse_size(text);
    (void)parse_duration(text);
  }
}

}  // namespace
}  // namespace ashlar
