#include "engine/flush_pass.h"

#include <algorithm>
#include <array>
#include <utility>

#include <absl/container/inlined_vector.h>

#include "common/runtime/task_scope.h"

namespace ashlar::engine {
namespace {

constexpr std::uint64_t kStepBlocks = (8 << 20) / kBlockSize;
constexpr std::size_t kStepRuns = 2048;
constexpr std::uint64_t kWriteBlocks = (512 << 10) / kBlockSize;
// Of the map cache, what one pass may have dirty before it writes it out.
constexpr std::uint64_t kDirtyShare = 8;

}  // namespace

// Takes the next runs from the index. False when there are none.
bool FlushPass::gather() {
  allocated_.clear();
  runs_.clear();
  checksums_.clear();
  std::uint64_t blocks = 0;
  const BlockIndex begin = at_;
  index_.visit_stable(begin, [&](const IndexRun& run) {
    Run taken{.blocks = run.blocks, .is_discard = run.is_discard(), .lsn = run.record->lsn};
    if (!taken.is_discard) {
      taken.first_checksum = checksums_.size();
      const std::span<const std::uint32_t> checksums = run.checksums();
      checksums_.insert(checksums_.end(), checksums.begin(), checksums.end());
      if (run.in_memory()) {
        taken.payload = run.payload();
      } else {
        taken.position = run.position();
      }
      blocks += run.blocks.count;
    }
    at_ = run.blocks.end();
    runs_.push_back(std::move(taken));
    return blocks < kStepBlocks && runs_.size() < kStepRuns;
  });
  if (runs_.empty()) return false;
  steps_.push_back({begin, at_ - begin});
  return true;
}

std::span<const std::uint32_t> FlushPass::checksums_of(const Run& run) const {
  return std::span(checksums_).subspan(run.first_checksum, run.blocks.count);
}

// Behind the last run that goes into one write with `begin`.
std::size_t FlushPass::group_end(std::size_t begin) const {
  std::uint64_t blocks = runs_[begin].blocks.count;
  std::size_t end = begin + 1;
  while (end < runs_.size() && !runs_[end].is_discard &&
         runs_[end].blocks.first == runs_[end - 1].blocks.end() &&
         blocks + runs_[end].blocks.count <= kWriteBlocks) {
    blocks += runs_[end].blocks.count;
    ++end;
  }
  return end;
}

// A run whose payload has left memory. The index holds the record, so the log does too.
Task<Result<>> FlushPass::load(Run& run) {
  const ByteCount length(run.blocks.count * kBlockSize);
  ASHLAR_CO_TRY_ASSIGN(run.payload, shared_.pool.allocate(length));
  const Result<> read =
      co_await shared_.log_file.read(shared_.ring.physical(run.position), run.payload.bytes());
  if (!read.ok()) co_return read.error().with_context("reading the log back");
  shared_.metrics.flush_log_bytes.add(length);
  const std::span<const std::uint32_t> checksums = checksums_of(run);
  for (std::size_t i = 0; i < checksums.size(); ++i) {
    const ByteSpan block = ByteSpan(run.payload.bytes()).subspan(i * kBlockSize, kBlockSize);
    if (checksum_.of(run.blocks.first + i, block) == checksums[i]) continue;
    mismatched_ = true;
    co_return Error::data_loss("block {} of record {} does not match its checksum in the log",
                               run.blocks.first + i, run.lsn);
  }
  co_return Result<>();
}

// Space for the whole of a chunk when its first blocks come: each write into a hole takes the
// file's lock for itself, and a random load would do nothing but wait for it. Only while there is
// plenty.
Task<Result<>> FlushPass::allocate_chunks(BlockRange blocks) {
  if (!shared_.space.has_plenty()) co_return Result<>();
  std::array<BlockInfo, kBlocksPerChunk> known;
  for (ChunkIndex chunk = chunk_of(blocks.first); first_block_of(chunk) < blocks.end(); ++chunk) {
    const BlockRange whole{first_block_of(chunk), kBlocksPerChunk};
    // One that is written whole takes its space at once anyway.
    if (whole.first >= blocks.first && whole.end() <= blocks.end()) continue;
    if (!target_.layer.try_look_up(whole, known)) {
      ASHLAR_CO_TRY(co_await target_.layer.look_up(whole, known));
    }
    const bool is_new = std::none_of(known.begin(), known.end(), [](const BlockInfo& block) {
      return block.state == BlockState::kPresent;
    });
    if (!is_new || !allocated_.insert(chunk).second) continue;
    const Result<> allocated = co_await target_.layer.data().allocate(
        whole.first.value() * kBlockSize, kBlocksPerChunk * kBlockSize);
    // The write itself will tell if there is no space.
    if (!allocated.ok()) break;
  }
  co_return Result<>();
}

Task<Result<>> FlushPass::write_group(std::size_t begin, std::size_t end, Semaphore::Units units) {
  absl::InlinedVector<ConstIoSlice, 32> slices;
  for (std::size_t i = begin; i < end; ++i) {
    if (runs_[i].payload.empty()) ASHLAR_CO_TRY(co_await load(runs_[i]));
    slices.emplace_back(std::as_const(runs_[i].payload).bytes());
  }
  const BlockIndex first = runs_[begin].blocks.first;
  const BlockRange blocks{first, runs_[end - 1].blocks.end() - first};
  ASHLAR_CO_TRY(co_await allocate_chunks(blocks));
  shared_.metrics.flush_writes.add();
  shared_.metrics.flushed_bytes.add(blocks.count * kBlockSize);
  const Result<> written = co_await target_.layer.write_blocks(blocks, slices);
  units.release();
  co_return written;
}

Task<Result<>> FlushPass::write_runs() {
  // While there is room in the log the foreground goes first.
  const std::size_t depth = shared_.options.flush_depth;
  const bool is_behind = shared_.fill() > 0.3 || shared_.payload_bytes.value() >
                                                     2 * shared_.options.flush_threshold.value();
  Semaphore in_flight(is_behind ? depth : std::max<std::size_t>(depth / 4, 1));
  const TaskContext here = co_await this_task();
  TaskScope writes(here);
  std::size_t begin = 0;
  Result<> acquired;
  while (begin < runs_.size()) {
    if (runs_[begin].is_discard) {
      ++begin;
      continue;
    }
    Result<Semaphore::Units> units = co_await in_flight.acquire();
    if (!units.ok()) {
      acquired = units.error();
      break;
    }
    const std::size_t end = group_end(begin);
    writes.spawn(write_group(begin, end, std::move(*units)));
    begin = end;
  }
  const Result<> written = co_await writes.join();
  if (!written.ok() || !acquired.ok()) co_return acquired.ok() ? written : acquired;
  // A scope that is cancelled calls its children's kCancelled no error; what they were to write is
  // not written all the same.
  if (writes.cancel_scope().is_cancelled()) co_return Error::cancelled("the pass was cancelled");
  co_return Result<>();
}

Task<Result<>> FlushPass::punch_runs() {
  for (const Run& run : runs_) {
    if (!run.is_discard) continue;
    ASHLAR_CO_TRY(co_await target_.layer.punch(run.blocks));
  }
  co_return Result<>();
}

Task<Result<>> FlushPass::mark_runs() {
  for (const Run& run : runs_) {
    if (run.is_discard && shared_.has(PlantedBug::kDiscardsNotMapped)) continue;
    if (run.is_discard) {
      ASHLAR_CO_TRY(co_await target_.layer.mark_discarded(run.blocks, run.lsn, target_.below));
    } else {
      ASHLAR_CO_TRY(co_await target_.layer.mark_written(run.blocks, checksums_of(run), run.lsn));
    }
    if (target_.emptied != nullptr) {
      ASHLAR_CO_TRY(co_await target_.emptied->mark_absent(run.blocks));
    }
  }
  const std::uint64_t most = shared_.options.map_memory.value() / kBlockSize / kDirtyShare;
  if (target_.layer.dirty_pages() > most) ASHLAR_CO_TRY(co_await target_.layer.write_map());
  if (target_.emptied != nullptr && target_.emptied->dirty_pages() > most) {
    ASHLAR_CO_TRY(co_await target_.emptied->write_map());
  }
  co_return Result<>();
}

Task<Result<>> FlushPass::finish() {
  ASHLAR_CO_TRY(co_await target_.layer.write_map());
  if (shared_.has(PlantedBug::kNoSyncOfLayers)) co_return Result<>();
  ASHLAR_CO_TRY(co_await target_.layer.sync());
  if (target_.emptied != nullptr) {
    ASHLAR_CO_TRY(co_await target_.emptied->write_map());
    ASHLAR_CO_TRY(co_await target_.emptied->sync());
  }
  co_return Result<>();
}

Task<Result<>> FlushPass::run() {
  bool any = false;
  while (gather()) {
    any = true;
    shared_.metrics.flushed_runs.add(runs_.size());
    ASHLAR_CO_TRY(co_await write_runs());
    // Bytes before the map: a reader who finds the new checksum finds the new bytes.
    ASHLAR_CO_TRY(co_await punch_runs());
    ASHLAR_CO_TRY(co_await mark_runs());
    co_await yield();
  }
  if (any) ASHLAR_CO_TRY(co_await finish());
  co_return Result<>();
}

}  // namespace ashlar::engine
