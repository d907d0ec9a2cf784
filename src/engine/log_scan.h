// LogScan: reads the records of one replica out of the log again, while the writer goes on: what a
// peer is sent that was away for a while.
//
//   LogPin pin = writer.pin(start.end);
//   LogScan scan(writer, file, pool, std::move(pin), start, {.replica = …, .volume = …,
//                                                            .after = from, .up_to = to},
//                                                            epoch_of);
//   while (true) {
//     ASHLAR_CO_TRY_ASSIGN(LogScanStep step, co_await scan.next());
//     if (step.kind != LogScanStep::Kind::kRecord) break;
//     …
//   }
//
// It gives the records with LSN in (after, up_to], each once, in order. It follows the chain from
// `start`, a ChainPoint of this writer, and looks no further than what is written: batches in
// flight are not read. `epoch_of` says which epoch's record is the one of an LSN; others of a
// dropped tail, and copies of what was given already, are passed over.
//
// Answers of next():
//   kRecord    the next record; its payload and checksums match
//   kComplete  all were given
//   kRecycled  the next record is not to be found: the log behind `start` was released before the
//              pin, or it does not reach to it, or records behind it stand before it (it was
//              appended again, and its first copy is gone). What was given before is good.
// Errors: kDataLoss when the chain breaks below the written end or a block does not match its
// checksum, kResourceExhausted when the pool is empty (next() may be called again), or the
// device's.
//
// The pin moves on with the scan, so that the space behind it can be released. Memory: the header
// of one batch, and a window of 1 MiB from the pool (or of one record, if that is larger). Payloads
// are slices of the window; one that is kept keeps its window.
//
// One next() at a time. Belongs to its executor's thread; the writer outlives it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/result.h"
#include "common/base/uuid.h"
#include "common/runtime/file.h"
#include "common/runtime/task.h"
#include "engine/log_format.h"
#include "engine/log_ring.h"
#include "engine/log_writer.h"

namespace ashlar::engine {

struct LogScanRange {
  ReplicaUuid replica;
  VolumeUuid volume;  // its checksums' seed
  Lsn after;
  Lsn up_to;
};

struct LogScanStep {
  enum class Kind : std::uint8_t { kRecord, kComplete, kRecycled };

  Kind kind = Kind::kComplete;
  RecordHeader header;
  std::vector<std::uint32_t> checksums;
  Buffer payload;
};

class LogScan {
 public:
  using EpochOf = std::function<Epoch(Lsn)>;

  LogScan(const LogWriter& writer, File& file, BufferPool& pool, LogPin pin,
          const ChainPoint& start, const LogScanRange& range, EpochOf epoch_of);

  Task<Result<LogScanStep>> next();

 private:
  enum class Match : std::uint8_t { kOther, kNext, kLater };

  Match match(const RecordHeader& record) const;
  Task<Result<>> read_batch();
  Task<Result<std::optional<Batch>>> read_follower(LogPosition position);
  Task<Result<Buffer>> read_payload(const BatchRecord& record);
  Task<Result<Buffer>> view(LogPosition position, std::size_t length);

  const LogWriter& writer_;
  File& file_;
  BufferPool& pool_;
  const LogRing ring_;
  LogPin pin_;
  const LogScanRange range_;
  const EpochOf epoch_of_;

  ChainPoint chain_;  // behind the last batch that was taken
  Lsn next_;          // to be given
  Batch batch_;
  std::size_t record_ = 0;  // of the batch, to be looked at
  // Bytes of the log that were written when they were read, and stay as they are while pinned.
  Buffer window_;
  LogPosition window_begin_;
};

}  // namespace ashlar::engine
