// StrandedRecords: the records of a replica that nobody flushes any more: it has stepped out, or
// could not be opened. The log must keep all of them, hidden ones too, until the store is opened
// again (P5), and they must not hold up the others: like those of a volume that stands still they
// are appended again when the tail reaches them. They are found by reading the log.
//
//   ASHLAR_CO_TRY(co_await stranded.find(shared, checkpoint, flushed));
//   while (stranded.first() < near_the_tail) ASHLAR_CO_TRY(co_await stranded.move_before(…));
//
// What is appended again is durable before the first copy is given up. A payload that does not
// match stays where it is, and holds the log: a batch with it would look damaged to a recovery.
//
// Belongs to its store's executor, and outlives the writer's records of it.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/runtime/task.h"
#include "engine/log_reader.h"
#include "engine/log_writer.h"
#include "engine/store_shared.h"

namespace ashlar::engine {

class StrandedRecords final : private RecordSequence {
 public:
  // `volume` is known of one that was opened.
  StrandedRecords(const ReplicaUuid& replica, std::optional<VolumeUuid> volume)
      : RecordSequence(replica), volume_(volume) {}

  // Reads the log from the tail on for records > flushed that no cut has dropped. Nothing of the
  // replica may be on its way to the log.
  Task<Result<>> find(StoreShared& shared, LogCheckpoint checkpoint, Lsn flushed);
  bool empty() const { return records_.empty(); }
  // Of all that was found.
  ByteCount payload_bytes() const { return payload_bytes_; }
  // Where the lowest stands that has not been moved; nothing when all have.
  std::optional<LogPosition> first() const;

  struct Moved {
    RecordHeader header;
    LogPosition place;
  };
  // Appends those again that stand before `position`; durable when it resolves.
  Task<Result<std::vector<Moved>>> move_before(StoreShared& shared, LogPosition position);

 private:
  struct Found {
    RecordHeader header;
    std::vector<std::uint32_t> checksums;
  };
  // Records without payload may stand at one position.
  using Place = std::pair<LogPosition, Lsn>;

  Result<> note(const Batch& batch, Lsn flushed);
  Task<Result<Buffer>> read_payload(StoreShared& shared, Place place);

  void on_written(const RecordHeader& /*record*/, const LogPlace& /*place*/) override {}
  void on_failed(const RecordHeader& /*record*/, const Error& /*error*/) override {}

  const std::optional<VolumeUuid> volume_;
  std::map<Lsn, LogPosition> places_;  // of the last copy of each
  std::map<Place, Found> records_;     // to be moved
  ByteCount payload_bytes_;
};

}  // namespace ashlar::engine
