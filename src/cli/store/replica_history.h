// ReplicaHistory: where a replica stands once the log is counted in: its state on disk, and the
// records of the log that are not in its layers yet. The same that recovery makes of them
// (engine/replica_recovery.cc), without their contents.
//
//   ReplicaHistory history(state);
//   history.add(header);   // each record of the replica, in the order of the log
//   history.finish();
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/log_format.h"
#include "engine/store_format.h"

namespace ashlar::store_tool {

class ReplicaHistory {
 public:
  explicit ReplicaHistory(const engine::ReplicaState& state);

  void add(const engine::RecordHeader& record);
  void finish();

  Lsn last() const { return last_; }
  Epoch last_epoch() const { return last_epoch_; }
  std::uint64_t size_blocks() const { return size_blocks_; }
  const std::vector<engine::EpochStart>& epochs() const { return epochs_; }
  // Records behind `flushed`, by type.
  const std::map<engine::RecordType, std::uint64_t>& unflushed() const { return unflushed_; }
  // Why the history does not hold together; empty if it does.
  const std::string& hole() const { return hole_; }

 private:
  struct Pending {
    Lsn lsn;
    Epoch epoch;
    Epoch previous;
    engine::RecordType type;
    std::uint64_t block_count;
  };

  const Lsn flushed_;
  Lsn last_;
  Epoch last_epoch_;
  std::uint64_t size_blocks_;
  std::vector<engine::EpochStart> epochs_;
  std::vector<Pending> pending_;
  std::map<engine::RecordType, std::uint64_t> unflushed_;
  std::string hole_;
};

std::string_view name_of(engine::RecordType type);

}  // namespace ashlar::store_tool
