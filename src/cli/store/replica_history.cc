#include "cli/store/replica_history.h"

#include <algorithm>

#include <fmt/format.h>

namespace ashlar::store_tool {

using engine::RecordType;

ReplicaHistory::ReplicaHistory(const engine::ReplicaState& state)
    : flushed_(state.flushed),
      last_(state.flushed),
      last_epoch_(state.flushed_epoch),
      size_blocks_(state.size_blocks),
      epochs_(state.epochs) {}

void ReplicaHistory::add(const engine::RecordHeader& record) {
  if (record.type == RecordType::kTruncate) {
    // Where more was flushed since, that is of the history that followed.
    const Lsn kept = std::max(record.lsn, flushed_);
    std::erase_if(pending_, [kept](const Pending& one) { return one.lsn > kept; });
    return;
  }
  if (record.lsn <= flushed_) return;
  pending_.push_back({.lsn = record.lsn,
                      .epoch = record.epoch,
                      .previous = record.previous_epoch,
                      .type = record.type,
                      .block_count = record.block_count});
}

void ReplicaHistory::finish() {
  std::ranges::sort(pending_, {}, &Pending::lsn);
  for (const Pending& one : pending_) {
    if (one.lsn == last_) continue;  // a copy
    const bool follows = one.lsn == last_.next() &&
                         (one.previous == last_epoch_ || last_ == Lsn()) &&
                         one.epoch >= last_epoch_;
    if (!follows) {
      hole_ = fmt::format("record {} of epoch {} does not follow record {} of epoch {}", one.lsn,
                          one.epoch, last_, last_epoch_);
      return;
    }
    if (epochs_.empty() || epochs_.back().epoch < one.epoch) {
      epochs_.push_back({one.epoch, one.lsn});
    }
    last_ = one.lsn;
    last_epoch_ = one.epoch;
    if (one.type == RecordType::kResize) size_blocks_ = one.block_count;
    ++unflushed_[one.type];
  }
}

std::string_view name_of(RecordType type) {
  switch (type) {
    case RecordType::kWrite:
      return "write";
    case RecordType::kDiscard:
      return "discard";
    case RecordType::kWriteZeroes:
      return "write zeroes";
    case RecordType::kEpochStart:
      return "epoch start";
    case RecordType::kSnapshot:
      return "snapshot";
    case RecordType::kResize:
      return "resize";
    case RecordType::kReservationState:
      return "reservation state";
    case RecordType::kSeal:
      return "seal";
    case RecordType::kSnapshotDelete:
      return "snapshot delete";
    case RecordType::kRevert:
      return "revert";
    case RecordType::kTruncate:
      return "truncate";
  }
  return "unknown";
}

}  // namespace ashlar::store_tool
