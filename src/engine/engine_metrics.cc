#include "engine/engine_metrics.h"

namespace ashlar::engine {

EngineMetrics::EngineMetrics(MetricRegistry* registry, const MetricLabels& labels)
    : group_((registry == nullptr ? own_ : *registry).group(labels)),
      appended_records(
          group_.counter("ashlar_engine_appended_records_total", "Records appended to the log")),
      appended_bytes(group_.counter("ashlar_engine_appended_bytes_total",
                                    "Payload bytes appended to the log")),
      append_seconds(group_.duration_histogram(
          "ashlar_engine_append_seconds", "Time from an append until its record is committed")),
      append_bytes(group_.size_histogram("ashlar_engine_append_bytes", "Payload of one record")),
      delayed_appends(group_.counter("ashlar_engine_delayed_appends_total",
                                     "Appends held back because the log was filling")),
      refused_appends(group_.counter("ashlar_engine_refused_appends_total",
                                     "Appends refused for lack of space")),
      reads(group_.counter("ashlar_engine_reads_total", "Reads")),
      read_bytes(group_.counter("ashlar_engine_read_bytes_total", "Bytes read")),
      read_seconds(group_.duration_histogram("ashlar_engine_read_seconds", "Time of one read")),
      reads_from_memory(group_.counter("ashlar_engine_reads_from_memory_total",
                                       "Reads served from memory alone")),
      reads_from_log(group_.counter("ashlar_engine_reads_from_log_total",
                                    "Pieces of reads that had to be read back from the log")),
      read_retries(group_.counter("ashlar_engine_read_retries_total",
                                  "Reads begun again because a flush overtook them")),
      batches(group_.counter("ashlar_engine_log_batches_total", "Batches written to the log")),
      batch_bytes(group_.size_histogram("ashlar_engine_log_batch_bytes", "Length of one batch")),
      batch_records(
          group_.counter("ashlar_engine_log_batch_records_total",
                         "Records in the batches written; by batches it is the group size")),
      flush_passes(group_.counter("ashlar_engine_flush_passes_total",
                                  "Passes of the flusher over one replica")),
      flush_seconds(group_.duration_histogram("ashlar_engine_flush_seconds",
                                              "Time of one pass of the flusher")),
      flushed_runs(
          group_.counter("ashlar_engine_flushed_runs_total", "Pieces of records moved to layers")),
      flush_writes(
          group_.counter("ashlar_engine_flush_writes_total",
                         "Writes to data files; runs by writes is how well the flusher coalesces")),
      flushed_bytes(group_.counter("ashlar_engine_flushed_bytes_total", "Bytes moved to layers")),
      flush_log_bytes(group_.counter("ashlar_engine_flush_log_read_bytes_total",
                                     "Bytes the flusher had to read back from the log")),
      moved_records(group_.counter("ashlar_engine_moved_records_total",
                                   "Records appended again for a volume that stands still")),
      map_hits(group_.counter("ashlar_engine_map_cache_hits_total",
                              "Pages of chunk maps found in memory")),
      map_misses(group_.counter("ashlar_engine_map_cache_misses_total",
                                "Pages of chunk maps read from disk")),
      recovery_seconds(
          group_.duration_histogram("ashlar_engine_recovery_seconds", "Time to open the store")),
      recovered_records(group_.counter("ashlar_engine_recovered_records_total",
                                       "Records found in the log when the store was opened")),
      scrubbed_bytes(group_.counter("ashlar_engine_scrubbed_bytes_total",
                                    "Bytes read and compared with their checksums by scrubbing")),
      damaged_blocks(group_.counter("ashlar_engine_damaged_blocks_total",
                                    "Blocks that did not match their checksums")),
      repaired_blocks(group_.counter("ashlar_engine_repaired_blocks_total",
                                     "Damaged blocks written again with good data")),
      log_fill(group_.gauge("ashlar_engine_log_fill_ratio", "How full the log is, 0 to 1")),
      payload_bytes(group_.gauge("ashlar_engine_unflushed_memory_bytes",
                                 "Payload in memory that is not flushed")) {}

}  // namespace ashlar::engine
