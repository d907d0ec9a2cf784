#include "common/metrics/metric_rules.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar {
namespace {

using enum MetricKind;
using testing::HasSubstr;

struct Case {
  MetricKind kind;
  std::string name;
  std::string refusal;  // empty if allowed
};

TEST(MetricRulesTest, NamesByTheTable) {
  const Case cases[] = {
      {kCounter, "ashlar_engine_appends_total", ""},
      {kCounter, "ashlar_log_written_bytes_total", ""},
      {kCounter, "ashlar_volume_sync_seconds_total", ""},
      {kGauge, "ashlar_volume_lag_bytes", ""},
      {kGauge, "ashlar_volume_peers2", ""},
      {kDurationHistogram, "ashlar_engine_append_seconds", ""},
      {kSizeHistogram, "ashlar_iscsi_write_bytes", ""},
      {kCounter, "engine_appends_total", "does not start with ashlar_"},
      {kCounter, "ashlar_engine_appends", "counters and only counters end in _total"},
      {kGauge, "ashlar_engine_appends_total", "counters and only counters end in _total"},
      {kGauge, "ashlar_Engine", "only a-z"},
      {kGauge, "ashlar_engine:x", "only a-z"},
      {kGauge, "ashlar_engine_", "only a-z"},
      {kGauge, "ashlar__engine", "two underscores"},
      {kGauge, "ashlar_lag_ms", "\"ms\" is not a base unit, use seconds"},
      {kCounter, "ashlar_wait_milliseconds_total", "use seconds"},
      {kGauge, "ashlar_log_kb", "use bytes"},
      {kGauge, "ashlar_log_mib", "use bytes"},
      {kGauge, "ashlar_full_percent", "use ratio"},
      {kGauge, "ashlar_records_count", "the ending _count is reserved"},
      {kGauge, "ashlar_records_sum", "the ending _sum is reserved"},
      {kGauge, "ashlar_log_info", "the ending _info is reserved"},
      {kDurationHistogram, "ashlar_engine_append", "ends in _seconds"},
      {kDurationHistogram, "ashlar_engine_append_bytes", "ends in _seconds"},
      {kSizeHistogram, "ashlar_engine_append_seconds", "ends in _bytes"},
  };
  for (const Case& c : cases) {
    const auto result = check_metric_rules(c.kind, c.name, "Help", {});
    EXPECT_EQ(result.ok(), c.refusal.empty()) << c.name;
    if (!result.ok()) {
      EXPECT_THAT(result.error().message(), HasSubstr(c.name));
      EXPECT_THAT(result.error().message(), HasSubstr(c.refusal));
    }
  }
}

TEST(MetricRulesTest, HelpIsOneLineOfText) {
  for (const char* bad : {"", "two\nlines", "back\\slash"}) {
    EXPECT_FALSE(check_metric_rules(kGauge, "ashlar_x", bad, {}).ok()) << bad;
  }
}

TEST(MetricRulesTest, LabelNamesAreWordsNotReservedAndGivenOnce) {
  EXPECT_TRUE(check_metric_rules(kGauge, "ashlar_x", "h", {{"volume", "a"}, {"peer2", ""}}).ok());
  for (const char* bad : {"", "le", "quantile", "job", "__name", "_x", "2nd", "Volume", "a-b"}) {
    EXPECT_FALSE(check_metric_rules(kGauge, "ashlar_x", "h", {{bad, "v"}}).ok()) << bad;
  }
  EXPECT_FALSE(check_metric_rules(kGauge, "ashlar_x", "h", {{"a", "1"}, {"a", "2"}}).ok());
}

}  // namespace
}  // namespace ashlar
