#include "common/log/log_rate_limit.h"

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/log/log.h"
#include "tests/support/captured_logs.h"

namespace ashlar {
namespace {

using test::CapturedLogs;

void complain(int n) {
  ASHLAR_LOG_WARN_EVERY(10s, LogFields{}.volume("a"), "slow {}", n);
}

TEST(LogRateLimitTest, OneRecordPerPeriodAndTheNextSaysHowManyWereLeftOut) {
  CapturedLogs logs;
  complain(1);
  complain(2);
  logs.advance(9s);
  complain(3);
  logs.advance(1s);
  complain(4);
  logs.advance(10s);
  complain(5);
  const auto records = logs.records();
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].message, "slow 1");
  EXPECT_EQ(records[0].fields.list().size(), 1U);
  EXPECT_EQ(records[1].message, "slow 4");
  ASSERT_EQ(records[1].fields.list().size(), 2U);
  EXPECT_EQ(records[1].fields.list()[1].key, "suppressed");
  EXPECT_EQ(records[1].fields.list()[1].value, LogField::Value(std::uint64_t{2}));
  EXPECT_EQ(records[2].message, "slow 5");
  EXPECT_EQ(records[2].fields.list().size(), 1U);
}

TEST(LogRateLimitTest, EveryPlaceInTheCodeHasItsOwnLimit) {
  CapturedLogs logs;
  ASHLAR_LOG_INFO_EVERY(10s, "here");
  ASHLAR_LOG_INFO_EVERY(10s, "there");
  ASHLAR_LOG_ERROR_EVERY(10s, "number {}", 3);
  ASHLAR_LOG_DEBUG_EVERY(10s, "detail");
  EXPECT_EQ(logs.records().size(), 4U);
}

TEST(LogRateLimitTest, AClockSetBackDoesNotSilenceTheLog) {
  CapturedLogs logs;
  complain(1);
  logs.advance(-1h);
  complain(2);
  EXPECT_EQ(logs.records().size(), 2U);
}

TEST(LogRateLimitTest, ANewSinkStartsAnew) {
  for (int run = 0; run < 2; ++run) {
    CapturedLogs logs;
    complain(1);
    complain(2);
    ASSERT_EQ(logs.records().size(), 1U) << run;
    EXPECT_EQ(logs.records()[0].fields.list().size(), 1U) << run;
  }
}

TEST(LogRateLimitTest, HeldBackRecordsDoNotEvaluateTheirArguments) {
  CapturedLogs logs;
  int evaluated = 0;
  for (int i = 0; i < 5; ++i) ASHLAR_LOG_INFO_EVERY(10s, "{}", ++evaluated);
  EXPECT_EQ(evaluated, 1);
}

TEST(LogRateLimitTest, ThreadsShareOneLimit) {
  CapturedLogs logs;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 100; ++i) complain(i);
    });
  }
  for (auto& thread : threads) thread.join();
  // The first moment may be won by several: each saw a fresh sink.
  EXPECT_GE(logs.records().size(), 1U);
  EXPECT_LE(logs.records().size(), 4U);
}

}  // namespace
}  // namespace ashlar
