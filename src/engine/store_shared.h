// StoreShared: what the replicas of a store have in common. Owned by the Store, outlives them.
#pragma once

#include <algorithm>
#include <memory>

#include "common/base/buffer.h"
#include "common/runtime/clock.h"
#include "common/runtime/sync.h"
#include "engine/checksum_list.h"
#include "engine/engine_metrics.h"
#include "engine/layer_table.h"
#include "engine/log_writer.h"
#include "engine/space_guard.h"
#include "engine/store_options.h"

namespace ashlar::engine {

struct StoreShared {
  Clock& clock;
  BufferPool& pool;
  LayerTable& layers;
  EngineMetrics& metrics;
  const StoreOptions& options;
  SpaceGuard& space;
  const LogRing ring;
  File& log_file;
  std::unique_ptr<LogWriter> log{};  // once recovery is over

  ChainPoint tail{};  // where the log begins: the checkpoint

  // Kept for records that are appended again and for what the log says of itself. The tail moves
  // from batch to batch: all records of a large one may have to be copied first, and a lap's end
  // skipped.
  ByteCount log_reserve() const {
    const std::uint64_t wanted = 3 * kLargestBatch;
    return ByteCount(std::min(wanted, ring.capacity() / 16 * 5) / 4096 * 4096);
  }
  bool has(PlantedBug bug) const { return options.bug == bug; }
  // How full the log is for appends: 1 when they have to wait.
  double fill() const { return log->fill_ratio(); }

  ChecksumPool checksums{};
  // Bytes of payload that the replicas' indexes hold.
  ByteCount payload_bytes{};
  ByteCount unstable_bytes{};  // what records > stable may need, all replicas together
  // Something waits to be flushed; it should not wait any longer.
  Event dirty{};
  Event urgent{};
  // Set when a layer can be merged or removed.
  Event merge_wanted{};
};

}  // namespace ashlar::engine
