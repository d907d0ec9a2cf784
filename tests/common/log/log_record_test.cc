#include "common/log/log_record.h"

#include <chrono>
#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ashlar {
namespace {

using namespace std::string_literals;
using nlohmann::json;
using std::chrono::microseconds;

// 2026-11-25T08:27:01.123456Z
const WallTime kTime = WallTime(microseconds(1795595221123456));

LogRecord record_of(std::string message, LogFields fields = {}) {
  return {kTime, LogLevel::kInfo, std::move(message), std::move(fields)};
}

TEST(LogRecordTest, TextIsTimeLevelMessageAndFields) {
  const LogFields fields =
      LogFields{}.volume("pvc-1").epoch(Epoch(3)).with("ok", true).with("ratio", 0.5);
  EXPECT_EQ(
      format_record(record_of("became primary", fields), LogFormat::kText),
      "2026-11-25T08:27:01.123456Z INFO  became primary volume=pvc-1 epoch=3 ok=true ratio=0.5");
}

TEST(LogRecordTest, TextNamesEveryLevelInOneWidth) {
  const auto of = [](LogLevel level) {
    return format_record({kTime, level, "m", {}}, LogFormat::kText).substr(28);
  };
  EXPECT_EQ(of(LogLevel::kError), "ERROR m");
  EXPECT_EQ(of(LogLevel::kWarn), "WARN  m");
  EXPECT_EQ(of(LogLevel::kInfo), "INFO  m");
  EXPECT_EQ(of(LogLevel::kDebug), "DEBUG m");
}

TEST(LogRecordTest, TimesBeforeTheEpochAndAtWholeSecondsAreRight) {
  EXPECT_EQ(format_log_time(WallTime(microseconds(0))), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(format_log_time(WallTime(microseconds(-1))), "1969-12-31T23:59:59.999999Z");
}

TEST(LogRecordTest, TextQuotesValuesThatWouldReadAsSomethingElse) {
  const LogFields fields = LogFields{}
                               .with("empty", "")
                               .with("spaced", "a b")
                               .with("quoted", "say \"a\\b\"")
                               .with("pair", "x=1");
  EXPECT_THAT(format_record(record_of("m", fields), LogFormat::kText),
              testing::EndsWith(R"(m empty="" spaced="a b" quoted="say \"a\\b\"" pair="x=1")"));
}

TEST(LogRecordTest, TextEscapesWhatWouldBreakTheLineOrTheTerminal) {
  const LogRecord record = record_of("a\nb\r\tc\x1b[31m \x7f \xc2\x9b \xe2\x80\xa8 \xff é",
                                     LogFields{}.with("name", "x\ny"));
  EXPECT_THAT(format_record(record, LogFormat::kText),
              testing::EndsWith(R"(a\nb\r\tc\x1b[31m \x7f \u009b \u2028 \xff é name="x\ny")"));
}

TEST(LogRecordTest, JsonReadsBackAsWhatWasLogged) {
  const std::string nasty = "line\none \"two\" \\three\t\x01 \xc2\x9b é\0 end"s;
  const LogFields fields = LogFields{}
                               .volume("pvc \"1\"\n")
                               .epoch(Epoch(3))
                               .lsn(Lsn(std::numeric_limits<std::uint64_t>::max()))
                               .with("below", -5)
                               .with("ok", false)
                               .with("ratio", 0.25);
  const std::string line = format_record(record_of(nasty, fields), LogFormat::kJson);
  EXPECT_THAT(line, testing::Not(testing::HasSubstr("\n")));
  const json parsed = json::parse(line);
  EXPECT_EQ(parsed["time"], "2026-11-25T08:27:01.123456Z");
  EXPECT_EQ(parsed["level"], "info");
  EXPECT_EQ(parsed["message"], nasty);
  EXPECT_EQ(parsed["volume"], "pvc \"1\"\n");
  EXPECT_EQ(parsed["epoch"], 3);
  EXPECT_EQ(parsed["lsn"], std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(parsed["below"], -5);
  EXPECT_EQ(parsed["ok"], false);
  EXPECT_EQ(parsed["ratio"], 0.25);
}

TEST(LogRecordTest, JsonHasOnlyTheMembersAskedFor) {
  const std::string line = format_record(record_of("m"), LogFormat::kJson);
  EXPECT_EQ(line, R"({"time":"2026-11-25T08:27:01.123456Z","level":"info","message":"m"})");
}

TEST(LogRecordTest, JsonStaysValidWithBytesThatAreNotUtf8AndNumbersJsonLacks) {
  // Overlong, surrogate, above U+10FFFF, cut short.
  const LogFields fields = LogFields{}.with("ratio", std::numeric_limits<double>::quiet_NaN());
  for (const char* bad : {"\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xff"}) {
    const json parsed =
        json::parse(format_record(record_of(std::string("a") + bad, fields), LogFormat::kJson));
    EXPECT_THAT(parsed["message"].get<std::string>(), testing::StartsWith("a\uFFFD"));
    EXPECT_EQ(parsed["ratio"], "nan");
  }
}

TEST(LogRecordTest, LongMessagesAndValuesAreCutBetweenCharacters) {
  std::string message(LogRecord::kMessageMax - 1, 'a');
  message += "éé";
  const LogFields fields = LogFields{}.with("value", std::string(LogRecord::kValueMax + 1, 'b'));
  const json parsed = json::parse(format_record(record_of(message, fields), LogFormat::kJson));
  EXPECT_EQ(parsed["message"], std::string(LogRecord::kMessageMax - 1, 'a') + "…");
  EXPECT_EQ(parsed["value"], std::string(LogRecord::kValueMax, 'b') + "…");
}

}  // namespace
}  // namespace ashlar
