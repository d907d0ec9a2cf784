#include "common/metrics/metrics.h"

#include <atomic>
#include <optional>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

TEST(MetricsTest, ACounterIsExposedWithItsHelpAndLabels) {
  MetricRegistry registry;
  MetricGroup group = registry.group({{"volume", "pvc \"1\""}});
  Counter& appends =
      group.counter("ashlar_engine_appends_total", "Records appended", {{"kind", "data"}});
  appends.add();
  appends.add(2);
  EXPECT_EQ(appends.value(), 3U);
  EXPECT_EQ(registry.expose_text(),
            "# HELP ashlar_engine_appends_total Records appended\n"
            "# TYPE ashlar_engine_appends_total counter\n"
            "ashlar_engine_appends_total{kind=\"data\",volume=\"pvc \\\"1\\\"\"} 3\n");
}

TEST(MetricsTest, AGaugeTakesNumbersBytesAndDurationsInBaseUnits) {
  MetricRegistry registry;
  MetricGroup group = registry.group();
  Gauge& depth = group.gauge("ashlar_queue_depth", "Waiting");
  depth.set(5);
  depth.add(-2);
  group.gauge("ashlar_held_bytes", "Held").set(ByteCount(4096));
  group.gauge("ashlar_lag_seconds", "Lag").set(1500ms);
  const std::string text = registry.expose_text();
  EXPECT_THAT(text, HasSubstr("# TYPE ashlar_queue_depth gauge\nashlar_queue_depth 3\n"));
  EXPECT_THAT(text, HasSubstr("\nashlar_held_bytes 4096\n"));
  EXPECT_THAT(text, HasSubstr("\nashlar_lag_seconds 1.5\n"));
}

TEST(MetricsTest, AHistogramOfDurationsIsExposedInSeconds) {
  MetricRegistry registry;
  MetricGroup group = registry.group({{"volume", "a"}});
  DurationHistogram& took = group.duration_histogram("ashlar_append_seconds", "Time of an append");
  took.observe(20us);
  took.observe(3ms);
  took.observe(10min);
  const std::string text = registry.expose_text();
  EXPECT_THAT(text, HasSubstr("# TYPE ashlar_append_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("ashlar_append_seconds_count{volume=\"a\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("ashlar_append_seconds_sum{volume=\"a\"} 600.00302\n"));
  EXPECT_THAT(text, HasSubstr("ashlar_append_seconds_bucket{volume=\"a\",le=\"1e-05\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("ashlar_append_seconds_bucket{volume=\"a\",le=\"2.5e-05\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("ashlar_append_seconds_bucket{volume=\"a\",le=\"0.005\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("ashlar_append_seconds_bucket{volume=\"a\",le=\"60\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("ashlar_append_seconds_bucket{volume=\"a\",le=\"+Inf\"} 3\n"));
}

TEST(MetricsTest, AHistogramOfSizesIsExposedInBytes) {
  MetricRegistry registry;
  MetricGroup group = registry.group();
  SizeHistogram& sizes = group.size_histogram("ashlar_write_bytes", "Sizes of writes");
  sizes.observe(ByteCount(4096));
  sizes.observe(ByteCount(8192));
  const std::string text = registry.expose_text();
  EXPECT_THAT(text, HasSubstr("ashlar_write_bytes_bucket{le=\"4096\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("ashlar_write_bytes_bucket{le=\"8192\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("ashlar_write_bytes_sum 12288\n"));
}

TEST(MetricsTest, WritersOfOneSeriesAreSummed) {
  MetricRegistry registry;
  MetricGroup a = registry.group();
  MetricGroup b = registry.group();
  a.counter("ashlar_x_total", "X").add(3);
  b.counter("ashlar_x_total", "X").add(4);
  b.counter("ashlar_x_total", "X").add(1);
  a.gauge("ashlar_depth", "D").set(1.5);
  b.gauge("ashlar_depth", "D").set(2);
  a.duration_histogram("ashlar_t_seconds", "T").observe(1ms);
  b.duration_histogram("ashlar_t_seconds", "T").observe(1s);
  const std::string text = registry.expose_text();
  EXPECT_THAT(text, HasSubstr("\nashlar_x_total 8\n"));
  EXPECT_THAT(text, HasSubstr("\nashlar_depth 3.5\n"));
  EXPECT_THAT(text, HasSubstr("\nashlar_t_seconds_count 2\n"));
  EXPECT_THAT(text, HasSubstr("\nashlar_t_seconds_sum 1.001\n"));
}

TEST(MetricsTest, TheSeriesOfAGroupVanishWithIt) {
  MetricRegistry registry;
  MetricGroup stays = registry.group({{"volume", "a"}});
  stays.counter("ashlar_x_total", "X").add(1);
  {
    MetricGroup goes = registry.group({{"volume", "b"}});
    goes.counter("ashlar_x_total", "X").add(2);
    goes.counter("ashlar_y_total", "Y").add(2);
    EXPECT_THAT(registry.expose_text(), HasSubstr("ashlar_x_total{volume=\"b\"} 2"));
  }
  EXPECT_EQ(registry.expose_text(),
            "# HELP ashlar_x_total X\n# TYPE ashlar_x_total counter\n"
            "ashlar_x_total{volume=\"a\"} 1\n");
}

TEST(MetricsTest, WhatAWriterCountedStaysWhileOthersWriteTheSeries) {
  MetricRegistry registry;
  std::optional<MetricGroup> stays(registry.group());
  stays->counter("ashlar_x_total", "X").add(1);
  stays->duration_histogram("ashlar_t_seconds", "T").observe(1s);
  stays->gauge("ashlar_depth", "D").set(1);
  {
    MetricGroup goes = registry.group();
    goes.counter("ashlar_x_total", "X").add(2);
    goes.duration_histogram("ashlar_t_seconds", "T").observe(1s);
    goes.gauge("ashlar_depth", "D").set(2);
  }
  EXPECT_THAT(registry.expose_text(), HasSubstr("\nashlar_x_total 3\n"));
  EXPECT_THAT(registry.expose_text(), HasSubstr("\nashlar_t_seconds_count 2\n"));
  EXPECT_THAT(registry.expose_text(), HasSubstr("\nashlar_depth 1\n"));
  stays.reset();
  EXPECT_EQ(registry.expose_text(), "");
}

TEST(MetricsTest, AGroupMayMoveAndOutliveItsRegistry) {
  std::optional<MetricRegistry> registry(std::in_place);
  MetricGroup first = registry->group();
  Counter& counter = first.counter("ashlar_x_total", "X");
  MetricGroup second = std::move(first);
  counter.add(1);
  EXPECT_THAT(registry->expose_text(), HasSubstr("ashlar_x_total 1"));
  registry.reset();
  counter.add(1);
  EXPECT_EQ(counter.value(), 2U);
}

TEST(MetricsTest, ValuesCountedElsewhereAreReadAtTheScrape) {
  MetricRegistry registry;
  MetricGroup group = registry.group();
  std::atomic<std::uint64_t> dropped{7};
  group.counter_from("ashlar_log_records_dropped_total", "Dropped", {},
                     [&] { return dropped.load(); });
  group.gauge_from("ashlar_free_ratio", "Free", {{"disk", "a"}}, [] { return 0.5; });
  EXPECT_THAT(registry.expose_text(), HasSubstr("\nashlar_log_records_dropped_total 7\n"));
  dropped = 8;
  EXPECT_THAT(registry.expose_text(), HasSubstr("\nashlar_log_records_dropped_total 8\n"));
  EXPECT_THAT(registry.expose_text(), HasSubstr("\nashlar_free_ratio{disk=\"a\"} 0.5\n"));
}

TEST(MetricsTest, BuildAndProcessAreExposedWhenAskedFor) {
  MetricRegistry registry;
  EXPECT_EQ(registry.expose_text(), "");
  registry.expose_process({.version = "1.2.3", .revision = "abc"});
  const std::string text = registry.expose_text();
  EXPECT_THAT(text, HasSubstr("ashlar_build_info{revision=\"abc\",version=\"1.2.3\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE process_cpu_seconds_total counter\n"));
  EXPECT_THAT(text, ContainsRegex("\nprocess_resident_memory_bytes [1-9]"));
  EXPECT_THAT(text, ContainsRegex("\nprocess_open_fds [1-9]"));
  EXPECT_THAT(text, ContainsRegex("\nprocess_start_time_seconds [1-9]"));
}

TEST(MetricsDeathTest, BrokenRulesAreFatalWhenRegistered) {
  MetricRegistry registry;
  MetricGroup group = registry.group({{"volume", "a"}});
  group.counter("ashlar_x_total", "X");
  EXPECT_DEATH(group.counter("ashlar_x", "X"), "only counters end in _total");
  EXPECT_DEATH(group.gauge("ashlar_lag_ms", "X"), "not a base unit");
  EXPECT_DEATH(group.counter("ashlar_y_total", ""), "help is one line");
  EXPECT_DEATH(group.counter("ashlar_x_total", "Other"), "with another help");
  EXPECT_DEATH(group.counter("ashlar_x_total", "X", {{"more", "b"}}), "with other label names");
  EXPECT_DEATH(group.counter("ashlar_y_total", "Y", {{"volume", "b"}}), "given twice");
  group.size_histogram("ashlar_held_bytes", "Held");
  EXPECT_DEATH(group.gauge("ashlar_held_bytes", "Held"), "as another kind");
}

// Under TSan this shows that one writer and a scraper need no lock between them.
TEST(MetricsTest, OneThreadWritesWhileAnotherScrapesAndGroupsComeAndGo) {
  MetricRegistry registry;
  MetricGroup group = registry.group();
  Counter& counter = group.counter("ashlar_x_total", "X");
  Gauge& gauge = group.gauge("ashlar_depth", "D");
  DurationHistogram& took = group.duration_histogram("ashlar_t_seconds", "T");
  constexpr int kRounds = 20'000;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < kRounds; ++i) {
      counter.add();
      gauge.set(i);
      took.observe(std::chrono::microseconds(i));
    }
    done = true;
  });
  std::thread starter([&] {
    while (!done) registry.group().counter("ashlar_x_total", "X").add();
  });
  std::uint64_t before = 0;
  while (!done) {
    ASSERT_THAT(registry.expose_text(), HasSubstr("ashlar_t_seconds_count"));
    ASSERT_GE(counter.value(), before);
    before = counter.value();
  }
  writer.join();
  starter.join();
  EXPECT_EQ(counter.value(), static_cast<std::uint64_t>(kRounds));
  EXPECT_THAT(registry.expose_text(), HasSubstr("ashlar_t_seconds_count 20000\n"));
}

}  // namespace
}  // namespace ashlar
