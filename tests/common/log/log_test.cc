#include "common/log/log.h"

#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/secret.h"
#include "tests/support/captured_logs.h"

namespace ashlar {
namespace {

using test::CapturedLogs;

struct Opaque {};
struct Chatty {};

template <class T>
concept CanBeLogged = requires(T value) { detail::log<T&>(LogLevel::kInfo, "{}", value); };

TEST(LogTest, RecordsCarryLevelMessageFieldsAndTime) {
  CapturedLogs logs;
  ASHLAR_LOG_ERROR("plain");
  ASHLAR_LOG_WARN("{} of {}", 1, "two");
  ASHLAR_LOG_INFO(LogFields{}.volume("a").lsn(Lsn(5)), "with fields");
  ASHLAR_LOG_DEBUG(LogFields{}.epoch(Epoch(2)), "{}", Lsn(9));
  const auto records = logs.records();
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(records[0].level, LogLevel::kError);
  EXPECT_EQ(records[0].message, "plain");
  EXPECT_EQ(records[0].time, logs.now());
  EXPECT_EQ(records[1].level, LogLevel::kWarn);
  EXPECT_EQ(records[1].message, "1 of two");
  EXPECT_EQ(records[2].level, LogLevel::kInfo);
  EXPECT_EQ(records[2].fields.list().size(), 2U);
  EXPECT_EQ(records[3].level, LogLevel::kDebug);
  EXPECT_EQ(records[3].message, "9");
}

TEST(LogTest, ALevelThatIsOffEvaluatesNeitherArgumentsNorFields) {
  CapturedLogs logs(LogLevel::kWarn);
  int evaluated = 0;
  const auto next = [&] { return ++evaluated; };
  ASHLAR_LOG_INFO(LogFields{}.with("n", next()), "{}", next());
  ASHLAR_LOG_DEBUG("{}", next());
  ASHLAR_LOG_INFO_EVERY(std::chrono::seconds(next()), "{}", next());
  EXPECT_EQ(evaluated, 0);
  ASHLAR_LOG_WARN("{}", next());
  EXPECT_EQ(evaluated, 1);
  EXPECT_EQ(logs.records().size(), 1U);
}

TEST(LogTest, TheLevelChangesWhileRunning) {
  CapturedLogs logs(LogLevel::kError);
  ASHLAR_LOG_DEBUG("off");
  set_log_level(LogLevel::kDebug);
  EXPECT_EQ(log_level(), LogLevel::kDebug);
  ASHLAR_LOG_DEBUG("on");
  ASSERT_EQ(logs.records().size(), 1U);
  EXPECT_EQ(logs.records()[0].message, "on");
}

TEST(LogTest, MacrosAreStatementsInAnIfWithoutBraces) {
  CapturedLogs logs;
  for (const bool yes : {true, false}) {
    if (yes)
      ASHLAR_LOG_INFO("yes");
    else
      ASHLAR_LOG_INFO("no");
  }
  EXPECT_EQ(logs.records().size(), 2U);
}

TEST(LogTest, TypesWithoutAFormatterDoNotCompile) {
  static_assert(CanBeLogged<int>);
  static_assert(!Loggable<Opaque>);
  static_assert(!CanBeLogged<Secret>);
}

TEST(LogTest, ASinkThatLogsIsNotCalledAgain) {
  class Loud final : public LogSink {
   public:
    void write(const LogRecord&) override {
      ++written;
      ASHLAR_LOG_ERROR("from the sink");
    }
    int written = 0;
  } loud;
  set_log_sink(&loud);
  ASHLAR_LOG_ERROR("one");
  ASHLAR_LOG_ERROR("two");
  set_log_sink(nullptr);
  EXPECT_EQ(loud.written, 2);
}

TEST(LogTest, ManyThreadsMayLogAndChangeTheLevel) {
  CapturedLogs logs;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 250; ++i) {
        ASHLAR_LOG_INFO(LogFields{}.with("thread", t), "{}", i);
        set_log_level(LogLevel::kInfo);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(logs.records().size(), 1000U);
}

}  // namespace
}  // namespace ashlar
