// How a replica comes back: records of the log, in whatever order copies have left them.
#include <algorithm>
#include <utility>

#include "engine/replica.h"

namespace ashlar::engine {
namespace {

bool is_data(RecordType type) {
  return type == RecordType::kWrite || type == RecordType::kDiscard ||
         type == RecordType::kWriteZeroes;
}

}  // namespace

Result<> Replica::recover(const RecoveredRecord& record) {
  const RecordHeader& header = record.header;
  shared_.metrics.recovered_records.add();
  if (header.type == RecordType::kTruncate && shared_.has(PlantedBug::kCutIgnoredByRecovery)) {
    return {};
  }
  if (header.type == RecordType::kTruncate) {
    // Where more was flushed since, that is of the history that followed.
    const Lsn kept = std::max(header.lsn, state_.flushed);
    index_.truncate_after(kept);
    std::erase_if(controls_, [kept](const Control& one) { return one.header.lsn > kept; });
    std::erase_if(recovered_, [kept](const RecoveredLsn& one) { return one.lsn > kept; });
    return {};
  }
  if (header.lsn <= state_.flushed) return {};
  const bool is_write = header.type == RecordType::kWrite;
  if (is_data(header.type)) {
    index_.insert({.lsn = header.lsn,
                   .kind = is_write ? RecordKind::kWrite : RecordKind::kDiscard,
                   .blocks = {header.first_block, header.block_count},
                   .payload_position = record.payload,
                   .checksums = ChecksumList(shared_.checksums, record.checksums)});
  } else {
    // A copy takes the place of what it copies.
    std::erase_if(controls_, [&](const Control& one) { return one.header.lsn == header.lsn; });
    controls_.push_back({.header = header,
                         .position = record.payload,
                         .checksums = {record.checksums.begin(), record.checksums.end()}});
  }
  const ByteCount need = is_write ? SpaceGuard::need_of(header.block_count) : ByteCount();
  recovered_.push_back(
      {header.lsn, header.epoch, header.previous_epoch, need, ByteCount(header.payload_length)});
  return {};
}

// The payloads of controls are needed at once; those of writes stay in the log.
Task<Result<>> Replica::load_controls() {
  for (Control& control : controls_) {
    const std::size_t length = control.header.payload_length;
    if (length == 0) continue;
    ASHLAR_CO_TRY_ASSIGN(Buffer bytes, shared_.pool.allocate(ByteCount(length)));
    const std::uint64_t offset = shared_.ring.physical(*control.position);
    ASHLAR_CO_TRY(co_await shared_.log_file.read(offset, bytes.bytes()));
    ASHLAR_CO_TRY(verify(BlockIndex(), bytes.bytes(), control.checksums));
    const ByteSpan all = std::as_const(bytes).bytes();
    control.payload.assign(all.begin(), all.end());
    control.checksums = {};
  }
  co_return Result<>();
}

Task<Result<>> Replica::finish_recovery() {
  const auto by_lsn = [](const auto& a, const auto& b) { return a.lsn < b.lsn; };
  std::sort(recovered_.begin(), recovered_.end(), by_lsn);
  std::sort(controls_.begin(), controls_.end(),
            [](const Control& a, const Control& b) { return a.header.lsn < b.header.lsn; });
  Result<> whole;
  for (const RecoveredLsn& one : recovered_) {
    if (one.lsn == last_lsn) continue;  // a copy
    const bool follows = one.lsn == last_lsn.next() &&
                         (one.previous == last_epoch || last_lsn == Lsn()) &&
                         one.epoch >= last_epoch;
    if (!follows) {
      whole = Error::data_loss("record {} of epoch {} does not follow record {} of epoch {}",
                               one.lsn, one.epoch, last_lsn, last_epoch);
      break;
    }
    note_epoch(one.epoch, one.lsn);
    last_lsn = one.lsn;
    last_epoch = one.epoch;
    promise_space(one.lsn, one.need, one.payload);
  }
  recovered_ = {};
  if (whole.ok()) whole = co_await load_controls();
  if (!whole.ok()) {
    fail(FaultCause::kLogDamage, whole.error());
    co_return Result<>();
  }
  refresh_size();
  written_.advance(last_lsn);
  durable_.advance(last_lsn);
  if (has_unflushed()) shared_.dirty.set();
  co_return Result<>();
}

Task<Result<>> Replica::condemn(const Error& error) {
  ASHLAR_CO_TRY(co_await change_state([](ReplicaState& state) {
    state.candidate = false;
    state.repair_needed = true;
  }));
  fail(FaultCause::kLogDamage, error);
  co_return Result<>();
}

Task<Result<>> Replica::quiesce() {
  while (uses_ > 0) {
    unused_.reset();
    ASHLAR_CO_TRY(co_await unused_.wait());
  }
  while (placing_ > 0) {
    none_placing_.reset();
    ASHLAR_CO_TRY(co_await none_placing_.wait());
  }
  co_return co_await shared_.log->settle();
}

// --- records that are appended again -------------------------------------------------------------

RecordHeader Replica::header_of(RecordType type, Lsn lsn, BlockRange blocks) const {
  return {.type = type,
          .replica = uuid(),
          .epoch = epoch_of(lsn).value_or(last_epoch),
          .lsn = lsn,
          .previous_epoch = lsn == Lsn(1) ? Epoch() : epoch_of(lsn - 1).value_or(Epoch()),
          .first_block = blocks.first,
          .block_count = blocks.count};
}

// The pending records that stand before `position`.
std::vector<Replica::Copy> Replica::copies_before(LogPosition position) const {
  std::vector<Copy> copies;
  index_.visit_records(state_.flushed.next(), [&](const IndexRecord& record) {
    if (!record.payload_position || *record.payload_position >= position) return true;
    const bool is_write = record.kind == RecordKind::kWrite;
    Copy copy{.header = header_of(is_write ? RecordType::kWrite : RecordType::kDiscard, record.lsn,
                                  record.blocks),
              .payload = record.payload.share(),
              .position = *record.payload_position};
    if (is_write) {
      copy.header.payload_length = static_cast<std::uint32_t>(record.blocks.count * kBlockSize);
      const std::span<const std::uint32_t> sums = record.checksums.values();
      copy.checksums.assign(sums.begin(), sums.end());
    }
    copies.push_back(std::move(copy));
    return true;
  });
  return copies;
}

Task<Result<>> Replica::append_copy(Copy& copy, std::vector<Moved>& moved) {
  const RecordHeader& header = copy.header;
  if (header.payload_length > 0 && copy.payload.empty()) {
    const LogPin pin = shared_.log->pin(copy.position);
    ASHLAR_CO_TRY_ASSIGN(copy.payload, shared_.pool.allocate(ByteCount(header.payload_length)));
    const std::uint64_t offset = shared_.ring.physical(copy.position);
    Result<> good = co_await shared_.log_file.read(offset, copy.payload.bytes());
    if (good.ok()) good = verify(header.first_block, copy.payload.bytes(), copy.checksums);
    if (!good.ok()) {
      fail(FaultCause::kMismatch, good.error().with_context("a record of the log"));
      co_return good;
    }
  }
  // Dropped by a cut, or flushed, while others were written.
  const bool is_pending = header.lsn > state_.flushed && epoch_of(header.lsn) == header.epoch;
  if (!is_pending) co_return Result<>();
  const std::span<const Buffer> pieces(&copy.payload, copy.payload.empty() ? 0 : 1);
  const Result<LogTicket> ticket =
      co_await shared_.log->append_again(*this, header, copy.checksums, pieces);
  if (!ticket.ok()) co_return ticket.error();
  if (shared_.has(PlantedBug::kCopyCountsAtOnce)) {
    note_place(header, shared_.log->head());
    co_return Result<>();
  }
  moved.push_back({*ticket, header});
  shared_.metrics.moved_records.add();
  co_return Result<>();
}

Task<Result<>> Replica::move_pending(LogPosition position) {
  std::vector<Copy> copies = copies_before(position);
  for (const Control& control : controls_) {
    if (!control.position || *control.position >= position) continue;
    Copy copy{.header = control.header, .position = *control.position};
    ASHLAR_CO_TRY_ASSIGN(copy.payload, shared_.pool.allocate(ByteCount(control.payload.size())));
    for (std::size_t i = 0; i * kBlockSize < control.payload.size(); ++i) {
      const ByteSpan block = ByteSpan(control.payload).subspan(i * kBlockSize, kBlockSize);
      std::copy(block.begin(), block.end(), copy.payload.data() + i * kBlockSize);
      copy.checksums.push_back(checksum_.of(BlockIndex(i), block));
    }
    copies.push_back(std::move(copy));
  }
  std::vector<Moved> moved;
  Result<> outcome;
  for (Copy& copy : copies) {
    outcome = co_await append_copy(copy, moved);
    if (!outcome.ok()) break;
  }
  for (Moved& one : moved) {
    const Result<LogPlace> place = co_await shared_.log->durable(std::move(one.ticket));
    if (place.ok()) {
      note_place(one.header, place->payload);
    } else if (outcome.ok()) {
      outcome = place.error();
    }
  }
  co_return outcome;
}

Task<Result<std::unique_ptr<Replica>>> Replica::clone(SnapshotUuid snapshot, std::string path,
                                                      ReplicaUuid clone_replica,
                                                      VolumeUuid clone_volume) {
  ASHLAR_CO_TRY(co_await materialize(snapshot));
  // No merge may move layers while the clone's state names them.
  const Result<Mutex::Guard> held = co_await flush_lock_.lock();
  if (!held.ok()) co_return held.error();
  std::optional<std::uint32_t> at = layer_of(snapshot);
  if (shared_.has(PlantedBug::kCloneOfTheHead)) at = state_.head;
  if (!at) co_return Error::not_found("volume {} has no snapshot {}", volume(), snapshot);
  ReplicaState state{.replica = clone_replica,
                     .volume = clone_volume,
                     .size_blocks = size_blocks_,
                     .next_layer = 1};
  state.layers.push_back({.id = {clone_replica, 0}, .volume = clone_volume});
  while (at) {
    state.layers.back().parent = static_cast<std::uint32_t>(state.layers.size());
    LayerState layer = state_.layers[*at];
    at = layer.parent;
    layer.parent.reset();
    layer.snapshot.reset();
    layer.merging = false;
    state.layers.push_back(layer);
  }
  co_return co_await create(shared_, std::move(path), std::move(state));
}

}  // namespace ashlar::engine
