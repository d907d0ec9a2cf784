// The recovery scan: what the log holds, decided by the batches themselves and by no stored head
// (L1).
//
//   LogReader reader(file, {.store = …, .capacity = …});
//   const Result<LogRecovery> log = co_await reader.recover(checkpoint, volume_of, deliver);
//
// It starts at the checkpoint and follows the chain to its first break: the first place where
// neither the end of the batch before nor the next start of a lap holds a whole batch that names
// its predecessor. A batch counts only when its header and every payload block match; records are
// delivered batch by batch, in order, and never from behind the break.
//
// Then it judges the break. Every batch says up to where the log was durable when it was written.
// The scan goes on over the rest of the ring for valid headers of the current or a later
// generation, so that it hears also what batches behind the break have said. A break below what
// anybody said is damage: acknowledged records are unreadable, the replicas of this store must be
// repaired (L4). A break at or above it is a torn tail and is cut.
//
// At the end it syncs the file: what it read may sit in a volatile cache after a kill.
//
// Before the writer starts, the owner makes checkpoint_of() durable: it carries the next
// generation, which is one above every generation seen anywhere in the ring, and the cut from which
// it counts (L3).
//
// Errors are those of the device. What cannot be read (kDataLoss) is no error here: it ends the
// chain, and the verdict says whether that is damage.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/uuid.h"
#include "common/runtime/file.h"
#include "common/runtime/task.h"
#include "engine/chain_history.h"
#include "engine/log_format.h"
#include "engine/log_ring.h"
#include "engine/log_writer.h"

namespace ashlar::engine {

// What the superblock remembers of the log; default for a new one.
struct LogCheckpoint {
  ChainPoint chain;
  // What stands at or behind `generation_start` counts only from this generation on: the cut of
  // the last recovery. Payload of a new batch may land where a torn one lacked just that payload
  // (a client repeats its write), and would make the dead batch whole.
  LogGeneration generation;
  LogPosition generation_start;
  LogPosition durable_bound;  // the log is known to be durable up to here

  friend bool operator==(const LogCheckpoint&, const LogCheckpoint&) = default;
};

enum class LogVerdict : std::uint8_t {
  kClean,     // nothing is left of an unfinished batch
  kTornTail,  // there is, and nobody was told that it is there
  kDamage,    // something acknowledged cannot be read
};
std::string_view to_string(LogVerdict verdict);

struct LogRecovery {
  LogVerdict verdict = LogVerdict::kClean;
  ChainPoint chain;  // where the chain ends
  LogGeneration next_generation;
  LogPosition durable_bound;  // the greatest that was said; with kDamage above chain.end
  LogPosition records_end;    // of the last batch that is not a seal
  // The chain ends at a batch whose header is whole: the first block of its payload that is not.
  std::optional<LogPosition> bad_block;
  std::uint64_t batches = 0;
  std::uint64_t records = 0;
  // Ends of batches, from the checkpoint on; thinned as the writer thins them.
  std::vector<ChainPoint> points;

  // What the owner stores before the writer starts; `tail` is the checkpoint it recovered from.
  LogCheckpoint checkpoint_of(const ChainPoint& tail) const {
    return {.chain = tail,
            .generation = next_generation,
            .generation_start = chain.end,
            .durable_bound = chain.end};
  }
  // For the writer that goes on behind the break; `tail` is the checkpoint's position.
  LogStart start_of(LogPosition tail) const {
    return {.chain = chain,
            .generation = next_generation,
            .tail = tail,
            .records_end = records_end,
            .durable_said = std::min(durable_bound, chain.end),
            .points = points};
  }
};

struct RecoveredRecord {
  const RecordHeader& header;
  LogPosition payload;  // place_of_record()
  std::span<const std::uint32_t> checksums;
  const ChainPoint& after;  // its batch
};

class LogReader {
 public:
  // Which volume a replica belongs to. Nothing for one that is no longer in this store: then its
  // payload is not looked at, and nobody will ask for it.
  using VolumeOf = std::function<std::optional<VolumeUuid>(const ReplicaUuid&)>;
  // May refuse, which ends the recovery with its error.
  using Deliver = std::function<Result<>(const RecoveredRecord&)>;

  struct Options {
    StoreUuid store;
    ByteCount capacity;
  };

  LogReader(File& file, Options options);

  // Each whole batch of the chain, seals too.
  using SeeBatch = std::function<Result<>(const Batch&)>;
  // What recover() finds, for who only looks (a tool): nothing is synced. Both functions must live
  // until it resolves.
  Task<Result<LogRecovery>> scan(LogCheckpoint checkpoint, const VolumeOf& volume_of,
                                 const SeeBatch& see);
  // Both functions must live until it resolves.
  Task<Result<LogRecovery>> recover(LogCheckpoint checkpoint, const VolumeOf& volume_of,
                                    const Deliver& deliver);

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };

  Task<Result<ByteSpan>> view(std::uint64_t offset, std::size_t length);
  Task<Result<ByteSpan>> fill(std::uint64_t offset, std::size_t length);
  Task<Result<std::optional<Batch>>> read_header(LogPosition position);
  Task<Result<std::optional<Batch>>> read_successor(ChainPoint chain, LogCheckpoint checkpoint);
  // The first block of its payload that does not match.
  Task<Result<std::optional<LogPosition>>> bad_block_of(const Batch& batch,
                                                        const VolumeOf& volume_of);
  Task<Result<>> look_behind(LogGeneration current, LogRecovery& recovery);
  Task<Result<bool>> has_attempt(LogPosition position);
  static void count_batch(const Batch& batch, LogRecovery& recovery);

  File& file_;
  const Options options_;
  const LogRing ring_;
  std::unique_ptr<std::byte[], Free> window_;
  std::uint64_t window_offset_ = 0;
  std::size_t window_size_ = 0;
};

}  // namespace ashlar::engine
