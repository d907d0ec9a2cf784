// The series of one store, each with one writer: the store's reactor.
#pragma once

#include "common/metrics/metrics.h"

namespace ashlar::engine {

class EngineMetrics {
 public:
  // `registry` may be null: then nothing is exposed, and nothing costs more.
  EngineMetrics(MetricRegistry* registry, const MetricLabels& labels);

 private:
  MetricRegistry own_;  // before the group, which must have one
  MetricGroup group_;

 public:
  Counter& appended_records;
  Counter& appended_bytes;
  DurationHistogram& append_seconds;  // from the call until the record is committed
  SizeHistogram& append_bytes;
  Counter& delayed_appends;
  Counter& refused_appends;

  Counter& reads;
  Counter& read_bytes;
  DurationHistogram& read_seconds;
  Counter& reads_from_memory;
  Counter& reads_from_log;
  Counter& read_retries;

  Counter& batches;
  SizeHistogram& batch_bytes;
  Counter& batch_records;

  Counter& flush_passes;
  DurationHistogram& flush_seconds;
  Counter& flushed_runs;  // pieces of records
  Counter& flush_writes;  // device writes: runs / writes is the coalescing
  Counter& flushed_bytes;
  Counter& flush_log_bytes;  // read back, because the payload had left memory
  Counter& moved_records;    // appended again for a volume that stands still

  Counter& map_hits;
  Counter& map_misses;

  DurationHistogram& recovery_seconds;
  Counter& recovered_records;

  Counter& scrubbed_bytes;
  Counter& damaged_blocks;
  Counter& repaired_blocks;

  Gauge& log_fill;
  Gauge& payload_bytes;
};

}  // namespace ashlar::engine
