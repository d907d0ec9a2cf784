// What our metrics may be called: the rules of Prometheus and OpenMetrics and our own prefix, so
// that a dashboard can be written from the name alone.
//
//   ashlar_<module>_<what>[_<base unit>][_total]      ashlar_log_written_bytes_total
//
// Counters and only they end in _total; units are seconds and bytes, never milliseconds or KiB.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace ashlar {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

enum class MetricKind : unsigned char { kCounter, kGauge, kDurationHistogram, kSizeHistogram };

// What is wrong with the name, the help or the label names, for a programmer.
Result<> check_metric_rules(MetricKind kind, std::string_view name, std::string_view help,
                            const MetricLabels& labels);

}  // namespace ashlar
