// The log as a daemon has it: configured, through the queue, into a file or a pipe.
#include "common/log/log_output.h"

#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log/log.h"
#include "tests/support/temp_dir.h"

namespace ashlar {
namespace {

using nlohmann::json;
using test::lines_of;
using test::read_file;
using test::TempDir;
using testing::ContainsRegex;
using testing::HasSubstr;

constexpr const char* kTimeRegex =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z ";

TEST(LogOutputTest, TextFileHoldsOneLinePerRecord) {
  const TempDir dir;
  ASSERT_TRUE(configure_logging({.file = dir.file("log")}).ok());
  ASHLAR_LOG_INFO(LogFields{}.volume("pvc-1").epoch(Epoch(3)), "became {}", "primary");
  ASHLAR_LOG_ERROR("two\nlines");
  ASHLAR_LOG_DEBUG("not at this level");
  ASSERT_TRUE(flush_logs());
  const auto lines = lines_of(read_file(dir.file("log")));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0], ContainsRegex(std::string(kTimeRegex) +
                                      "INFO  became primary volume=pvc-1 epoch=3$"));
  EXPECT_THAT(lines[1], ContainsRegex(std::string(kTimeRegex) + "ERROR two\\\\nlines$"));
}

TEST(LogOutputTest, JsonFileHoldsOneObjectPerLine) {
  const TempDir dir;
  ASSERT_TRUE(configure_logging(
                  {.level = LogLevel::kDebug, .format = LogFormat::kJson, .file = dir.file("log")})
                  .ok());
  ASHLAR_LOG_DEBUG(LogFields{}.volume("pvc-1").lsn(Lsn(17)), "a \"quoted\"\nmessage");
  ASHLAR_LOG_INFO("second");
  ASSERT_TRUE(flush_logs());
  const auto lines = lines_of(read_file(dir.file("log")));
  ASSERT_EQ(lines.size(), 2U);
  const json first = json::parse(lines[0]);
  EXPECT_EQ(first["level"], "debug");
  EXPECT_EQ(first["message"], "a \"quoted\"\nmessage");
  EXPECT_EQ(first["volume"], "pvc-1");
  EXPECT_EQ(first["lsn"], 17);
  EXPECT_EQ(json::parse(lines[1])["message"], "second");
}

TEST(LogOutputTest, AFileIsAppendedToAndConfiguringAgainDrainsTheOneBefore) {
  const TempDir dir;
  ASSERT_TRUE(configure_logging({.file = dir.file("a")}).ok());
  for (int i = 0; i < 100; ++i) ASHLAR_LOG_INFO("{}", i);
  ASSERT_TRUE(configure_logging({.file = dir.file("b")}).ok());
  EXPECT_EQ(lines_of(read_file(dir.file("a"))).size(), 100U);
  ASHLAR_LOG_INFO("to b");
  ASSERT_TRUE(configure_logging({.file = dir.file("a")}).ok());
  ASHLAR_LOG_INFO("to a");
  ASSERT_TRUE(flush_logs());
  EXPECT_EQ(lines_of(read_file(dir.file("a"))).size(), 101U);
  EXPECT_EQ(lines_of(read_file(dir.file("b"))).size(), 1U);
}

TEST(LogOutputTest, AFileThatCannotBeOpenedIsAnErrorAndTheLogStays) {
  const TempDir dir;
  ASSERT_TRUE(configure_logging({.file = dir.file("log")}).ok());
  const auto refused = configure_logging({.level = LogLevel::kDebug, .file = dir.file("none/log")});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("none/log: No such file"));
  EXPECT_EQ(log_level(), LogLevel::kInfo);
  ASHLAR_LOG_INFO("still here");
  ASSERT_TRUE(flush_logs());
  EXPECT_THAT(read_file(dir.file("log")), HasSubstr("still here"));
}

TEST(LogOutputTest, RecordsOfManyThreadsArriveWhole) {
  const TempDir dir;
  ASSERT_TRUE(configure_logging({.file = dir.file("log"), .queue_records = 10000}).ok());
  const std::string long_text(5000, 'x');
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) ASHLAR_LOG_INFO("{} end", long_text);
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(flush_logs(10s));
  const auto lines = lines_of(read_file(dir.file("log")));
  ASSERT_EQ(lines.size(), 400U);
  for (const auto& line : lines) EXPECT_THAT(line, testing::EndsWith("x end"));
}

// A pipe as a log file: its reader decides how fast the log moves.
class LogPipeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::mkfifo(dir_.file("pipe").c_str(), 0600), 0);
    reader_ = ::open(dir_.file("pipe").c_str(), O_RDONLY | O_NONBLOCK);
    ASSERT_GE(reader_, 0);
  }
  void TearDown() override {
    if (reader_ >= 0) ::close(reader_);
  }

  // What is in the pipe now.
  std::string drain() {
    std::string all;
    char buffer[65536];
    for (;;) {
      const ssize_t n = ::read(reader_, buffer, sizeof buffer);
      if (n <= 0) return all;
      all.append(buffer, static_cast<std::size_t>(n));
    }
  }

  TempDir dir_;
  int reader_ = -1;
};

TEST_F(LogPipeTest, AStuckPipeStallsNobodyAndTheNewestRecordsAreKept) {
  ASSERT_TRUE(configure_logging({.file = dir_.file("pipe"), .queue_records = 100}).ok());
  const std::uint64_t dropped_before = log_records_dropped();
  const std::string padding(1000, 'x');
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 5000; ++i) ASHLAR_LOG_INFO("{} {}", padding, i);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  EXPECT_FALSE(flush_logs(10ms));
  const std::uint64_t dropped = log_records_dropped() - dropped_before;
  EXPECT_GT(dropped, 1000U);

  // The reader wakes up: the last records come, and how many did not.
  std::string all;
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  bool flushed = false;
  while (!flushed && std::chrono::steady_clock::now() < deadline) {
    all += drain();
    flushed = flush_logs(10ms);
  }
  ASSERT_TRUE(flushed);
  all += drain();
  std::uint64_t confessed = 0;
  bool newest_seen = false;
  for (const std::string& line : lines_of(all)) {
    const std::size_t lost = line.find("could not keep up lost=");
    if (lost != std::string::npos) confessed += std::stoull(line.substr(lost + 23));
    newest_seen |= line.ends_with("x 4999");
  }
  EXPECT_TRUE(newest_seen);
  EXPECT_EQ(confessed, dropped);
  ASSERT_TRUE(configure_logging({}).ok());
}

TEST_F(LogPipeTest, AStuckPipeCanBeLeft) {
  ASSERT_TRUE(configure_logging({.file = dir_.file("pipe"), .queue_records = 10}).ok());
  for (int i = 0; i < 200; ++i) ASHLAR_LOG_INFO("{}", std::string(1000, 'x'));
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(configure_logging({}).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, kLogFlushPatience + 5s);
}

TEST_F(LogPipeTest, APipeWhoseReaderLeftKillsNobody) {
  ASSERT_TRUE(configure_logging({.file = dir_.file("pipe")}).ok());
  const std::uint64_t dropped_before = log_records_dropped();
  ::close(std::exchange(reader_, -1));
  ASHLAR_LOG_INFO("to nobody");
  EXPECT_TRUE(flush_logs());
  EXPECT_EQ(log_records_dropped() - dropped_before, 1U);
  ASSERT_TRUE(configure_logging({}).ok());
}

TEST(LogOutputDeathTest, RecordsBeforeAFailedCheckReachStderr) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ASHLAR_CHECK(configure_logging({}).ok());
        for (int i = 0; i < 100; ++i) ASHLAR_LOG_INFO("record {}", i);
        ASHLAR_CHECK(false, "the end");
      },
      "record 99");
}

TEST(LogOutputDeathTest, RecordsBeforeExitReachStderr) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ASHLAR_CHECK(configure_logging({}).ok());
        for (int i = 0; i < 100; ++i) ASHLAR_LOG_INFO("record {}", i);
        std::exit(3);
      },
      testing::ExitedWithCode(3), "record 99");
}

TEST(LogOutputDeathTest, BeforeConfigureLoggingRecordsGoToStderrAsText) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ASHLAR_LOG_WARN("early {}", 1);
        ::_exit(0);
      },
      testing::ExitedWithCode(0), "Z WARN  early 1\n");
}

}  // namespace
}  // namespace ashlar
