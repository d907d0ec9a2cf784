// The only file that sees prometheus-cpp, of which we use the text form and the Collectable.
#include "common/metrics/metrics.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "common/base/check.h"
#include "common/metrics/process_facts.h"

namespace ashlar {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// The `le` bounds we expose. Stored buckets are far finer; these are what a dashboard needs, from
// an NVMe write to an initiator's timeout and from a sector to a large transfer.
const std::vector<double> kSecondsBounds = {10e-6,  25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3,
                                            2.5e-3, 5e-3,  10e-3, 25e-3,  50e-3,  100e-3, 250e-3,
                                            500e-3, 1,     2.5,   5,      10,     30,     60};
const std::vector<double> kBytesBounds = {512,     4096,     8192,     16384,     32768,
                                          65536,   131072,   262144,   524288,    1048576,
                                          4194304, 16777216, 67108864, 268435456, 1073741824};

using Source = std::variant<const Counter*, std::function<std::uint64_t()>, const Gauge*,
                            std::function<double()>, const Histogram*>;

struct OwnedSource {
  std::uint64_t group = 0;
  Source source;
};

// All writers of one name and set of labels.
struct Series {
  std::vector<OwnedSource> sources;
  // Of writers that left while others stayed.
  std::uint64_t retired_count = 0;
  HistogramSnapshot retired_histogram;
};

struct Family {
  MetricKind kind = MetricKind::kCounter;
  std::string help;
  std::map<MetricLabels, Series> series;
};

std::uint64_t count_of(const Source& source) {
  if (const auto* counter = std::get_if<const Counter*>(&source)) return (*counter)->value();
  if (const auto* read = std::get_if<std::function<std::uint64_t()>>(&source)) return (*read)();
  return 0;
}

double level_of(const Source& source) {
  if (const auto* gauge = std::get_if<const Gauge*>(&source)) return (*gauge)->value();
  if (const auto* read = std::get_if<std::function<double()>>(&source)) return (*read)();
  return 0;
}

HistogramSnapshot histogram_of(const Source& source) {
  const auto* histogram = std::get_if<const Histogram*>(&source);
  return histogram != nullptr ? (*histogram)->snapshot() : HistogramSnapshot{};
}

bool owned_by_group(const Source& source) {
  return !std::holds_alternative<std::function<std::uint64_t()>>(source) &&
         !std::holds_alternative<std::function<double()>>(source);
}

ClientMetric::Histogram expose_histogram(const HistogramSnapshot& snapshot,
                                         const std::vector<double>& bounds, double unit) {
  std::vector<double> stored_bounds;
  stored_bounds.reserve(bounds.size());
  for (const double bound : bounds) stored_bounds.push_back(bound / unit);
  const std::vector<std::uint64_t> counts = snapshot.count_up_to(stored_bounds);
  ClientMetric::Histogram out;
  for (std::size_t i = 0; i < bounds.size(); ++i) out.bucket.push_back({counts[i], bounds[i]});
  out.sample_count = snapshot.count();
  out.sample_sum = static_cast<double>(snapshot.sum()) * unit;
  out.bucket.push_back({out.sample_count, std::numeric_limits<double>::infinity()});
  return out;
}

ClientMetric expose_series(MetricKind kind, const MetricLabels& labels, const Series& series) {
  ClientMetric out;
  for (const auto& [name, value] : labels) out.label.push_back({name, value});
  std::uint64_t count = series.retired_count;
  double level = 0;
  HistogramSnapshot histogram = series.retired_histogram;
  for (const OwnedSource& owned : series.sources) {
    count += count_of(owned.source);
    level += level_of(owned.source);
    histogram.add(histogram_of(owned.source));
  }
  switch (kind) {
    case MetricKind::kCounter:
      out.counter.value = static_cast<double>(count);
      break;
    case MetricKind::kGauge:
      out.gauge.value = level;
      break;
    case MetricKind::kDurationHistogram:
      out.histogram = expose_histogram(histogram, kSecondsBounds, 1e-9);
      break;
    case MetricKind::kSizeHistogram:
      out.histogram = expose_histogram(histogram, kBytesBounds, 1);
      break;
  }
  return out;
}

MetricType type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return MetricType::Counter;
    case MetricKind::kGauge:
      return MetricType::Gauge;
    case MetricKind::kDurationHistogram:
    case MetricKind::kSizeHistogram:
      return MetricType::Histogram;
  }
  ASHLAR_UNREACHABLE();
}

MetricFamily family_of_one(std::string name, std::string help, MetricType type, double value,
                           std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  metric.gauge.value = value;
  return {std::move(name), std::move(help), type, {std::move(metric)}};
}

void expose_process_facts(std::vector<MetricFamily>& out) {
  const auto facts = read_process_facts();
  if (!facts.ok()) return;  // a process without /proc still serves its own metrics
  const auto add = [&](const char* name, const char* help, MetricType type, double value) {
    out.push_back(family_of_one(name, help, type, value));
  };
  add("process_cpu_seconds_total", "CPU time spent in user and system mode", MetricType::Counter,
      facts->cpu_seconds);
  add("process_resident_memory_bytes", "Resident memory", MetricType::Gauge,
      static_cast<double>(facts->resident_bytes));
  add("process_virtual_memory_bytes", "Virtual memory", MetricType::Gauge,
      static_cast<double>(facts->virtual_bytes));
  add("process_open_fds", "Open file descriptors", MetricType::Gauge,
      static_cast<double>(facts->open_fds));
  add("process_max_fds", "Limit of open file descriptors", MetricType::Gauge,
      static_cast<double>(facts->max_fds));
  add("process_start_time_seconds", "Start of the process since the Unix epoch", MetricType::Gauge,
      facts->start_time_seconds);
}

bool same_label_names(const MetricLabels& a, const MetricLabels& b) {
  return std::ranges::equal(a, b, {}, &MetricLabels::value_type::first,
                            &MetricLabels::value_type::first);
}

}  // namespace

class MetricRegistry::Impl final : public prometheus::Collectable {
 public:
  std::uint64_t next_group() { return ++last_group_; }

  void add(std::uint64_t group, MetricKind kind, std::string_view name, std::string_view help,
           const MetricLabels& labels, Source source) {
    const std::lock_guard lock(mutex_);
    const auto [at, is_new] = families_.try_emplace(std::string(name));
    Family& family = at->second;
    if (is_new) {
      family.kind = kind;
      family.help = help;
    }
    ASHLAR_CHECK(family.kind == kind, "{} is registered as another kind", name);
    ASHLAR_CHECK(family.help == help, "{} is registered with another help", name);
    ASHLAR_CHECK(family.series.empty() || same_label_names(family.series.begin()->first, labels),
                 "{} is registered with other label names", name);
    family.series[labels].sources.push_back({group, std::move(source)});
  }

  void remove(std::uint64_t group, const std::string& name, const MetricLabels& labels) {
    const std::lock_guard lock(mutex_);
    const auto family = families_.find(name);
    ASHLAR_CHECK(family != families_.end());
    const auto at = family->second.series.find(labels);
    if (at == family->second.series.end()) return;  // the group had registered it twice
    Series& series = at->second;
    for (const OwnedSource& owned : series.sources) {
      // What a function would read may be gone before the group is.
      if (owned.group != group || !owned_by_group(owned.source)) continue;
      series.retired_count += count_of(owned.source);
      series.retired_histogram.add(histogram_of(owned.source));
    }
    std::erase_if(series.sources, [&](const OwnedSource& owned) { return owned.group == group; });
    if (series.sources.empty()) family->second.series.erase(at);
  }

  void expose_process(const BuildInfo& build) {
    const std::lock_guard lock(mutex_);
    build_ = build;
  }

  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> out;
    const std::lock_guard lock(mutex_);
    for (const auto& [name, family] : families_) {
      if (family.series.empty()) continue;
      MetricFamily exposed{name, family.help, type_of(family.kind), {}};
      for (const auto& [labels, series] : family.series) {
        exposed.metric.push_back(expose_series(family.kind, labels, series));
      }
      out.push_back(std::move(exposed));
    }
    if (build_) {
      out.push_back(family_of_one("ashlar_build_info", "The version that runs; always 1",
                                  MetricType::Gauge, 1,
                                  {{"revision", build_->revision}, {"version", build_->version}}));
      expose_process_facts(out);
    }
    return out;
  }

 private:
  std::atomic<std::uint64_t> last_group_{0};
  mutable std::mutex mutex_;
  std::map<std::string, Family, std::less<>> families_;
  std::optional<BuildInfo> build_;
};

struct MetricGroup::Impl {
  std::shared_ptr<MetricRegistry::Impl> registry;
  std::uint64_t id = 0;
  MetricLabels labels;
  // Of one group and so of one writer: side by side without false sharing.
  std::deque<Counter> counters;
  std::deque<Gauge> gauges;
  std::deque<DurationHistogram> durations;
  std::deque<SizeHistogram> sizes;
  std::vector<std::pair<std::string, MetricLabels>> registered;

  ~Impl() {
    // Families stay known without series: their kind and help are facts of the program. A series
    // registered twice by this group is folded and removed once.
    std::set<std::pair<std::string, MetricLabels>> once(registered.begin(), registered.end());
    for (const auto& [name, of] : once) registry->remove(id, name, of);
  }

  void add(MetricKind kind, std::string_view name, std::string_view help,
           const MetricLabels& own_labels, Source source) {
    MetricLabels all = labels;
    all.insert(all.end(), own_labels.begin(), own_labels.end());
    const auto rules = check_metric_rules(kind, name, help, all);
    ASHLAR_CHECK(rules.ok(), "{}", rules.error().message());
    std::ranges::sort(all);
    registry->add(id, kind, name, help, all, std::move(source));
    registered.emplace_back(name, std::move(all));
  }
};

MetricGroup::MetricGroup(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricGroup::MetricGroup(MetricGroup&&) noexcept = default;
MetricGroup& MetricGroup::operator=(MetricGroup&&) noexcept = default;
MetricGroup::~MetricGroup() = default;

Counter& MetricGroup::counter(std::string_view name, std::string_view help,
                              const MetricLabels& labels) {
  Counter& counter = impl_->counters.emplace_back();
  impl_->add(MetricKind::kCounter, name, help, labels, &counter);
  return counter;
}

Gauge& MetricGroup::gauge(std::string_view name, std::string_view help,
                          const MetricLabels& labels) {
  Gauge& gauge = impl_->gauges.emplace_back();
  impl_->add(MetricKind::kGauge, name, help, labels, &gauge);
  return gauge;
}

DurationHistogram& MetricGroup::duration_histogram(std::string_view name, std::string_view help,
                                                   const MetricLabels& labels) {
  DurationHistogram& histogram = impl_->durations.emplace_back();
  impl_->add(MetricKind::kDurationHistogram, name, help, labels, &histogram);
  return histogram;
}

SizeHistogram& MetricGroup::size_histogram(std::string_view name, std::string_view help,
                                           const MetricLabels& labels) {
  SizeHistogram& histogram = impl_->sizes.emplace_back();
  impl_->add(MetricKind::kSizeHistogram, name, help, labels, &histogram);
  return histogram;
}

void MetricGroup::counter_from(std::string_view name, std::string_view help,
                               const MetricLabels& labels, std::function<std::uint64_t()> read) {
  impl_->add(MetricKind::kCounter, name, help, labels, std::move(read));
}

void MetricGroup::gauge_from(std::string_view name, std::string_view help,
                             const MetricLabels& labels, std::function<double()> read) {
  impl_->add(MetricKind::kGauge, name, help, labels, std::move(read));
}

MetricRegistry::MetricRegistry() : impl_(std::make_shared<Impl>()) {}
MetricRegistry::~MetricRegistry() = default;

MetricGroup MetricRegistry::group(MetricLabels labels) {
  auto group = std::make_unique<MetricGroup::Impl>();
  group->registry = impl_;
  group->id = impl_->next_group();
  group->labels = std::move(labels);
  return MetricGroup(std::move(group));
}

void MetricRegistry::expose_process(const BuildInfo& build) {
  impl_->expose_process(build);
}

std::string MetricRegistry::expose_text() const {
  return prometheus::TextSerializer().Serialize(impl_->Collect());
}

std::shared_ptr<prometheus::Collectable> MetricRegistry::collectable() const {
  return impl_;
}

}  // namespace ashlar
