// Metrics: counters, gauges and histograms that cost the I/O path next to nothing, exposed to
// Prometheus.
//
//   MetricRegistry registry;                                   // one per process (or simulated
//   node) MetricGroup metrics = registry.group({{"volume", name}});  // as long as the volume is
//   here Counter& appends = metrics.counter("ashlar_engine_appends_total", "Records appended");
//   appends.add();
//
// Every counter, gauge and histogram has one writer: a reactor, or whoever holds a lock. Increments
// are a plain load and store; nothing is shared until somebody scrapes. Several writers of one name
// and the same labels, as when every reactor counts the same thing, are summed in the scrape.
//
// A group owns what it hands out; with the group its series vanish, so a deleted volume leaves
// nothing behind. If others still write the same series, what the group had counted stays in the
// sum: a counter goes down only when its series was gone. Registering takes a lock that a scrape
// holds while it adds up: do it when things start, not per request.
//
// Names, units, help and labels are checked when registered (common/metrics/metric_rules.h);
// breaking a rule, or one name with two kinds, helps or sets of label names, is a fatal check.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "common/base/strong.h"
#include "common/base/time.h"
#include "common/metrics/histogram.h"
#include "common/metrics/metric_rules.h"

namespace prometheus {
class Collectable;
}

namespace ashlar {

class Counter {
 public:
  void add(std::uint64_t count = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  void add(ByteCount bytes) { add(bytes.value()); }
  // Any thread.
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Summed over writers too: use it for amounts (queue depth, bytes held), not for states.
class Gauge {
 public:
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void set(Number value) {
    value_.store(static_cast<double>(value), std::memory_order_relaxed);
  }
  void set(ByteCount bytes) { set(bytes.value()); }
  // In seconds.
  void set(Duration duration) { set(std::chrono::duration<double>(duration).count()); }
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void add(Number change) {
    set(value() + static_cast<double>(change));
  }
  // Any thread.
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

struct BuildInfo {
  std::string version;
  std::string revision;
};

class MetricGroup {
 public:
  MetricGroup(MetricGroup&&) noexcept;
  MetricGroup& operator=(MetricGroup&&) noexcept;
  ~MetricGroup();

  // References live as long as the group. `labels` are added to those of the group.
  Counter& counter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  DurationHistogram& duration_histogram(std::string_view name, std::string_view help,
                                        const MetricLabels& labels = {});
  SizeHistogram& size_histogram(std::string_view name, std::string_view help,
                                const MetricLabels& labels = {});

  // For what something else counts already. Called on the thread that scrapes, with the registry
  // locked: it reads an atomic or a file, it does not wait and does not register. With the group
  // its part of a sum goes.
  void counter_from(std::string_view name, std::string_view help, const MetricLabels& labels,
                    std::function<std::uint64_t()> read);
  void gauge_from(std::string_view name, std::string_view help, const MetricLabels& labels,
                  std::function<double()> read);

 private:
  friend class MetricRegistry;
  struct Impl;
  explicit MetricGroup(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Any thread. Groups may outlive their registry.
class MetricRegistry {
 public:
  MetricRegistry();
  ~MetricRegistry();
  MetricRegistry(const MetricRegistry&) = delete;
  MetricRegistry& operator=(const MetricRegistry&) = delete;

  // Its series carry `labels`.
  MetricGroup group(MetricLabels labels = {});

  // Adds ashlar_build_info and the standard process_* metrics, read when scraped.
  void expose_process(const BuildInfo& build);

  // The text format of Prometheus, for an HTTP endpoint and for tests.
  std::string expose_text() const;
  // For prometheus-cpp's exposer.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  friend class MetricGroup;
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ashlar
