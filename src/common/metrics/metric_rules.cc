#include "common/metrics/metric_rules.h"

#include <algorithm>
#include <array>

namespace ashlar {
namespace {

bool is_lower_word(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

// Units that are not base units, and what to use instead.
constexpr std::array<std::pair<std::string_view, std::string_view>, 29> kWrongUnits = {{
    {"ns", "seconds"},
    {"us", "seconds"},
    {"ms", "seconds"},
    {"sec", "seconds"},
    {"secs", "seconds"},
    {"second", "seconds"},
    {"nanoseconds", "seconds"},
    {"microseconds", "seconds"},
    {"milliseconds", "seconds"},
    {"nanos", "seconds"},
    {"micros", "seconds"},
    {"millis", "seconds"},
    {"minutes", "seconds"},
    {"hours", "seconds"},
    {"days", "seconds"},
    {"byte", "bytes"},
    {"kb", "bytes"},
    {"mb", "bytes"},
    {"gb", "bytes"},
    {"tb", "bytes"},
    {"kib", "bytes"},
    {"mib", "bytes"},
    {"gib", "bytes"},
    {"tib", "bytes"},
    {"kilobytes", "bytes"},
    {"megabytes", "bytes"},
    {"gigabytes", "bytes"},
    {"percent", "ratio"},
    {"pct", "ratio"},
}};

Result<> check_units(std::string_view name) {
  for (std::string_view rest = name; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find('_'));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    if (word.empty()) return Error::invalid_argument("{}: two underscores in a row", name);
    for (const auto& [wrong, right] : kWrongUnits) {
      if (word == wrong) {
        return Error::invalid_argument("{}: \"{}\" is not a base unit, use {}", name, wrong, right);
      }
    }
  }
  return {};
}

Result<> check_ending(MetricKind kind, std::string_view name) {
  const bool is_counter = kind == MetricKind::kCounter;
  if (name.ends_with("_total") != is_counter) {
    return Error::invalid_argument("{}: counters and only counters end in _total", name);
  }
  if (kind == MetricKind::kDurationHistogram && !name.ends_with("_seconds")) {
    return Error::invalid_argument("{}: a histogram of durations ends in _seconds", name);
  }
  if (kind == MetricKind::kSizeHistogram && !name.ends_with("_bytes")) {
    return Error::invalid_argument("{}: a histogram of sizes ends in _bytes", name);
  }
  for (const std::string_view reserved : {"_count", "_sum", "_bucket", "_created", "_info"}) {
    if (name.ends_with(reserved)) {
      return Error::invalid_argument("{}: the ending {} is reserved", name, reserved);
    }
  }
  return {};
}

Result<> check_labels(std::string_view name, const MetricLabels& labels) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::string& label = labels[i].first;
    if (label.empty() || !is_lower_word(label) || label[0] == '_' ||
        (label[0] >= '0' && label[0] <= '9')) {
      return Error::invalid_argument("{}: \"{}\" cannot be the name of a label", name, label);
    }
    if (label == "le" || label == "quantile" || label == "job" || label == "instance") {
      return Error::invalid_argument("{}: the label name {} is reserved", name, label);
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (labels[j].first == label) {
        return Error::invalid_argument("{}: the label {} is given twice", name, label);
      }
    }
  }
  return {};
}

}  // namespace

Result<> check_metric_rules(MetricKind kind, std::string_view name, std::string_view help,
                            const MetricLabels& labels) {
  if (!name.starts_with("ashlar_")) {
    return Error::invalid_argument("{}: does not start with ashlar_", name);
  }
  if (!is_lower_word(name) || name.ends_with('_')) {
    return Error::invalid_argument("{}: only a-z, 0-9 and _ between words", name);
  }
  ASHLAR_TRY(check_units(name));
  ASHLAR_TRY(check_ending(kind, name));
  // The serializer writes help as it is.
  if (help.empty() || help.find_first_of("\n\\") != std::string_view::npos) {
    return Error::invalid_argument("{}: help is one line of plain text", name);
  }
  return check_labels(name, labels);
}

}  // namespace ashlar
