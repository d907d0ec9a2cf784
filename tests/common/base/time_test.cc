#include "common/base/time.h"

#include <type_traits>

#include <gtest/gtest.h>

namespace ashlar {
namespace {

TEST(MonoTimeTest, PointsMoveByLengthsAndSubtractToLengths) {
  const MonoTime start(5s);
  EXPECT_EQ(start + 250ms, MonoTime(5250ms));
  EXPECT_EQ(start - 1s, MonoTime(4s));
  EXPECT_EQ((start + 2h) - start, 2h);
  EXPECT_EQ(start - (start + 1ns), -1ns);
  EXPECT_LT(start, start + 1ns);
}

TEST(MonoTimeTest, NeverIsAfterEverythingAndAbsorbsEveryLength) {
  EXPECT_GT(MonoTime::kNever, MonoTime(Duration::max() - 1ns));
  EXPECT_EQ(MonoTime::kNever + 1s, MonoTime::kNever);
  EXPECT_EQ(MonoTime::kNever - 1s, MonoTime::kNever);
  EXPECT_EQ(MonoTime(1s) + Duration::max(), MonoTime::kNever);
  EXPECT_EQ(MonoTime::kNever - MonoTime(7s), Duration::max());
}

TEST(MonoTimeDeathTest, PointsBeforeTheBeginningAndSinceNeverAreFatal) {
  const MonoTime first(Duration::min());
  EXPECT_DEATH(first - 1ns, "before the beginning of time");
  EXPECT_DEATH(first + -1ns, "before the beginning of time");
  EXPECT_DEATH(MonoTime() - MonoTime::kNever, "since never");
}

TEST(MonoTimeTest, PrintsSecondsWithNineDecimals) {
  EXPECT_EQ(fmt::format("{}", MonoTime(12s + 345ns)), "12.000000345s");
  EXPECT_EQ(fmt::format("{}", MonoTime(-1500ms)), "-1.500000000s");
  EXPECT_EQ(fmt::format("{}", MonoTime(Duration::min())), "-9223372036.854775808s");
  EXPECT_EQ(fmt::format("{}", MonoTime::kNever), "never");
}

TEST(TimeTest, TheTwoClocksDoNotMix) {
  static_assert(!std::is_convertible_v<MonoTime, WallTime>);
  static_assert(!std::is_convertible_v<Duration, MonoTime>);
  static_assert(!std::is_constructible_v<MonoTime, WallTime>);
}

TEST(WallTimeTest, PrintsRfc3339WithAsManyDecimalsAsNeeded) {
  EXPECT_EQ(WallTime().to_string(), "1970-01-01T00:00:00Z");
  EXPECT_EQ(WallTime(1'767'225'599s).to_string(), "2025-12-31T23:59:59Z");
  EXPECT_EQ(WallTime(1'709'164'800s + 250ms).to_string(), "2024-02-29T00:00:00.250Z");
  EXPECT_EQ(WallTime(1s + 7us).to_string(), "1970-01-01T00:00:01.000007Z");
  EXPECT_EQ(fmt::format("{}", WallTime(1s + 7ns)), "1970-01-01T00:00:01.000000007Z");
}

TEST(WallTimeTest, PrintsTimesBeforeTheEpochAndAtBothEnds) {
  EXPECT_EQ(WallTime(-1ms).to_string(), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(WallTime(Duration::min()).to_string(), "1677-09-21T00:12:43.145224192Z");
  EXPECT_EQ(WallTime(Duration::max()).to_string(), "2262-04-11T23:47:16.854775807Z");
}

TEST(WallTimeTest, MovesByLengths) {
  const WallTime noon(12h);
  EXPECT_EQ(noon + 1h - noon, 1h);
  EXPECT_EQ(noon - 12h, WallTime());
}

}  // namespace
}  // namespace ashlar
