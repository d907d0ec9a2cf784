// FlushPass: moves what is stable of one replica's index into a layer, in block order: gathers some
// runs, merges neighbours into long writes, writes them with a bounded number in flight, then marks
// them in the map. sync() at the end makes all of it durable; only then may the index forget (L7).
//
// The caller holds the replica's flush lock, and keeps the index's stable LSN where it is.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/result.h"
#include "common/runtime/sync.h"
#include "common/runtime/task.h"
#include "engine/block_checksum.h"
#include "engine/interval_index.h"
#include "engine/layer.h"
#include "engine/store_shared.h"

namespace ashlar::engine {

class FlushPass {
 public:
  // Where it goes. While the head layer is being merged into its parent, the parent takes what is
  // flushed and the head forgets it.
  struct Target {
    Layer& layer;
    Layer* emptied = nullptr;
    std::vector<Layer*> below;  // of `layer`
  };

  FlushPass(StoreShared& shared, const IntervalIndex& index, BlockChecksum checksum, Target target)
      : shared_(shared), index_(index), checksum_(checksum), target_(std::move(target)) {}

  // kDataLoss with `mismatched()` when a record read back from the log is not what was appended.
  Task<Result<>> run();
  bool mismatched() const { return mismatched_; }
  // The ranges that were visited, for the index to forget step by step.
  std::span<const BlockRange> steps() const { return steps_; }

 private:
  struct Run {
    BlockRange blocks;
    bool is_discard = false;
    Lsn lsn;
    Buffer payload;
    LogPosition position;
    std::size_t first_checksum = 0;
  };

  bool gather();
  std::size_t group_end(std::size_t begin) const;
  Task<Result<>> write_runs();
  Task<Result<>> write_group(std::size_t begin, std::size_t end, Semaphore::Units units);
  Task<Result<>> load(Run& run);
  Task<Result<>> allocate_chunks(BlockRange blocks);
  Task<Result<>> punch_runs();
  Task<Result<>> mark_runs();
  Task<Result<>> finish();
  std::span<const std::uint32_t> checksums_of(const Run& run) const;

  StoreShared& shared_;
  const IntervalIndex& index_;
  const BlockChecksum checksum_;
  const Target target_;
  BlockIndex at_;
  std::vector<Run> runs_;
  std::vector<std::uint32_t> checksums_;
  std::vector<BlockRange> steps_;
  std::set<ChunkIndex> allocated_;  // in this step: the map does not know them yet
  bool mismatched_ = false;
};

}  // namespace ashlar::engine
