#include "engine/replica.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/log/log.h"
#include "engine/back_pressure.h"

namespace ashlar::engine {
namespace {

// One volume may hold so much in the log that is not stable; beyond, its appends wait.
std::uint64_t unstable_bound(const LogRing& ring) {
  return ring.capacity() / 64;
}

bool is_data(RecordType type) {
  return type == RecordType::kWrite || type == RecordType::kDiscard ||
         type == RecordType::kWriteZeroes;
}

class PlacingCount {
 public:
  PlacingCount(std::uint64_t& count, Event& none) : count_(count), none_(none) { ++count_; }
  PlacingCount(const PlacingCount&) = delete;
  PlacingCount& operator=(const PlacingCount&) = delete;
  ~PlacingCount() {
    if (--count_ == 0) none_.set();
  }

 private:
  std::uint64_t& count_;
  Event& none_;
};

}  // namespace

Replica::Replica(StoreShared& shared, std::string path, std::unique_ptr<SlotFile> slots,
                 ReplicaState state)
    : RecordSequence(state.replica),
      shared_(shared),
      path_(std::move(path)),
      slots_(std::move(slots)),
      state_(std::move(state)),
      checksum_(state_.volume),
      index_(state_.flushed),
      epochs_(state_.epochs),
      written_(state_.flushed),
      durable_(state_.flushed),
      committed_(state_.flushed),
      stable_(state_.flushed) {
  last_lsn = state_.flushed;
  last_epoch = state_.flushed_epoch;
  least_epoch = state_.promised;
  refresh_size();
}

Replica::~Replica() {
  shared_.payload_bytes -= index_.payload_bytes();
  shared_.unstable_bytes -= unstable_bytes_;
  while (!promises_.empty()) shared_.space.settle(promises_.pop_front().need);
  for (const LayerState& layer : state_.layers) shared_.layers.drop_reference(layer.id);
}

ReplicaStatus Replica::status() const {
  return {.replica = uuid(),
          .volume = volume(),
          .size_blocks = size_blocks_,
          .promised = state_.promised,
          .last_epoch = last_epoch,
          .last = last_lsn,
          .written = written_.value(),
          .durable = durable_.value(),
          .committed = committed_.value(),
          .stable = stable_.value(),
          .flushed = state_.flushed,
          .candidate = state_.candidate && !fault_,
          .repair_needed = state_.repair_needed,
          .fault = fault_,
          .unflushed = index_.payload_bytes(),
          .unflushed_records = index_.record_count() + controls_.size(),
          .layers = state_.layers.size(),
          .snapshots = snapshots().size()};
}

void Replica::fail(FaultCause cause, const Error& error) {
  if (fault_) return;
  fault_ = Fault{cause, error};
  is_closed = true;
  ASHLAR_LOG_ERROR(LogFields{}.volume(volume().to_string()).with("replica", uuid()),
                   "the replica has stepped out ({}): {}", to_string(cause), error.message());
  for (LsnWatermark* watermark : {&written_, &durable_, &committed_, &stable_}) {
    watermark->fail(usable().error());
  }
  // Its records may be in the way of others, who wait for the flusher.
  shared_.dirty.set();
  shared_.urgent.set();
}

Result<> Replica::usable() const {
  if (!fault_) return {};
  return Error::data_loss("replica {} has stepped out ({}): {}", uuid(), to_string(fault_->cause),
                          fault_->error.message());
}

Result<> Replica::check_range(BlockRange blocks) const {
  if (blocks.count == 0 || blocks.count > size_blocks_ ||
      blocks.first.value() > size_blocks_ - blocks.count) {
    return Error::out_of_range("blocks {} and {} more are not within the volume's {} blocks",
                               blocks.first, blocks.count, size_blocks_);
  }
  return {};
}

Epoch Replica::current_epoch() const {
  return std::max({last_epoch, state_.promised, Epoch(1)});
}

std::optional<Epoch> Replica::epoch_of(Lsn lsn) const {
  if (lsn > last_lsn) return std::nullopt;
  const auto behind =
      std::upper_bound(epochs_.begin(), epochs_.end(), lsn,
                       [](Lsn value, const EpochStart& start) { return value < start.first_lsn; });
  if (behind == epochs_.begin()) return std::nullopt;
  return std::prev(behind)->epoch;
}

// --- admission -----------------------------------------------------------------------------------

Result<> Replica::check_append(const RecordHeader& header) const {
  ASHLAR_TRY(usable());
  if (header.epoch < state_.promised) {
    return Error::aborted("epoch {} is over: replica {} has promised epoch {}", header.epoch,
                          uuid(), state_.promised);
  }
  if (is_data(header.type)) return check_range({header.first_block, header.block_count});
  if (header.type != RecordType::kResize) return {};
  if (header.block_count < size_blocks_ || header.block_count > kLargestVolumeBlocks) {
    return Error::invalid_argument("a volume of {} blocks cannot become one of {}", size_blocks_,
                                   header.block_count);
  }
  return {};
}

bool Replica::holds_too_much() const {
  // What commits by itself does not stand still.
  if (rule_ != CommitRule::kGiven) return false;
  const std::uint64_t own = unstable_bytes_.value();
  if (own > unstable_bound(shared_.ring)) return true;
  // Many volumes that stand still share half of the log; one that moves holds little.
  return shared_.unstable_bytes.value() > shared_.ring.capacity() / 2 &&
         own > std::min<std::uint64_t>(1 << 20, unstable_bound(shared_.ring));
}

Duration Replica::delay_of(const RecordHeader& header) const {
  if (header.type != RecordType::kWrite) return Duration::zero();
  return append_delay(shared_.fill(), shared_.options.delay_from, shared_.options.longest_delay);
}

bool Replica::admits_at_once(const RecordHeader& header) const {
  if (holds_too_much() || delay_of(header) > Duration::zero()) return false;
  if (header.type != RecordType::kWrite) return true;
  return !shared_.space.is_stale() && shared_.space.admits(SpaceGuard::need_of(header.block_count));
}

Task<Result<>> Replica::admit(RecordHeader header) {
  if (header.type == RecordType::kWrite) {
    const ByteCount need = SpaceGuard::need_of(header.block_count);
    if (shared_.space.is_stale() || !shared_.space.admits(need)) {
      ASHLAR_CO_TRY(co_await shared_.space.refresh());
    }
    if (!shared_.space.admits(need)) {
      shared_.metrics.refused_appends.add();
      shared_.urgent.set();
      co_return Error::resource_exhausted(
          "{} is nearly full: {} bytes free, {} promised to writes that were accepted",
          shared_.options.directory, shared_.space.free().value(),
          shared_.space.promised().value());
    }
  }
  while (holds_too_much()) {
    const Result<> stable = co_await stable_.wait(stable_.value().next());
    if (!stable.ok() && stable.error().code() != ErrorCode::kAborted) co_return stable;
  }
  const Duration delay = delay_of(header);
  if (delay > Duration::zero()) {
    shared_.metrics.delayed_appends.add();
    shared_.urgent.set();
    ASHLAR_CO_TRY(co_await sleep_for(shared_.clock, delay));
  }
  co_return Result<>();
}

// --- appending -----------------------------------------------------------------------------------

Task<Result<Lsn>> Replica::append(RecordHeader header, std::span<const std::uint32_t> checksums,
                                  Buffer payload) {
  ASHLAR_CO_TRY(check_append(header));
  if (!admits_at_once(header)) ASHLAR_CO_TRY(co_await admit(header));
  while (!placing_is_open_) ASHLAR_CO_TRY(co_await placing_opened_.wait());
  co_return co_await place(header, checksums, std::move(payload));
}

Task<Result<Lsn>> Replica::place(RecordHeader header, std::span<const std::uint32_t> checksums,
                                 Buffer payload) {
  const PlacingCount count(placing_, none_placing_);
  // While it waited the replica may have changed.
  ASHLAR_CO_TRY(check_append(header));
  const std::span<const Buffer> pieces(&payload, payload.empty() ? 0 : 1);
  const Result<LogTicket> ticket = co_await shared_.log->append(*this, header, checksums, pieces);
  // It may have stepped out while it waited.
  if (!ticket.ok()) ASHLAR_CO_TRY(usable());
  if (!ticket.ok()) co_return ticket.error();
  co_return ticket->lsn();
}

// Between its place and this call the record may have been dropped by a cut, and its LSN given to
// another one of a later epoch.
Task<Result<>> Replica::commit_of(Lsn lsn, Epoch epoch) {
  if (lsn > last_lsn || epoch_of(lsn).value_or(epoch) != epoch) {
    co_return Error::aborted("record {} of epoch {} was dropped", lsn, epoch);
  }
  co_return co_await committed_.wait(lsn);
}

Task<Result<Lsn>> Replica::append_and_commit(RecordHeader header,
                                             std::span<const std::uint32_t> checksums,
                                             Buffer payload) {
  const MonoTime begin = shared_.clock.now();
  header.epoch = current_epoch();
  const std::size_t length = payload.size();
  const Result<Lsn> lsn = co_await append(header, checksums, std::move(payload));
  if (!lsn.ok()) co_return lsn.error();
  if (shared_.has(PlantedBug::kAckBeforeDurable)) co_return *lsn;
  // Placed before the rule changed it may not be, and nobody else would make it so soon.
  if (rule_ == CommitRule::kDurable) ASHLAR_CO_TRY(co_await durable(*lsn));
  ASHLAR_CO_TRY(co_await commit_of(*lsn, header.epoch));
  shared_.metrics.append_seconds.observe(shared_.clock.now() - begin);
  shared_.metrics.append_bytes.observe(ByteCount(length));
  co_return *lsn;
}

Task<Result<Lsn>> Replica::write(BlockRange blocks, Buffer payload,
                                 std::span<const std::uint32_t> checksums) {
  const RecordHeader header{.type = RecordType::kWrite,
                            .first_block = blocks.first,
                            .block_count = blocks.count,
                            .payload_length = static_cast<std::uint32_t>(payload.size())};
  return append_and_commit(header, checksums, std::move(payload));
}

Task<Result<Lsn>> Replica::discard(BlockRange blocks) {
  return append_and_commit(
      {.type = RecordType::kDiscard, .first_block = blocks.first, .block_count = blocks.count}, {},
      Buffer());
}

Task<Result<Lsn>> Replica::write_zeroes(BlockRange blocks) {
  return append_and_commit(
      {.type = RecordType::kWriteZeroes, .first_block = blocks.first, .block_count = blocks.count},
      {}, Buffer());
}

Task<Result<Lsn>> Replica::append_control(RecordType type, ByteSpan payload,
                                          std::uint64_t block_count) {
  const std::size_t length = align_up(payload.size(), kBlockSize);
  ASHLAR_CO_TRY_ASSIGN(Buffer buffer, shared_.pool.allocate(ByteCount(length)));
  std::vector<std::uint32_t> checksums;
  if (length > 0) {
    std::memset(buffer.data(), 0, length);
    std::memcpy(buffer.data(), payload.data(), payload.size());
  }
  for (std::size_t i = 0; i < length / kBlockSize; ++i) {
    const ByteSpan block = ByteSpan(buffer.bytes()).subspan(i * kBlockSize, kBlockSize);
    checksums.push_back(checksum_.of(BlockIndex(i), block));
  }
  const RecordHeader header{.type = type,
                            .block_count = block_count,
                            .payload_length = static_cast<std::uint32_t>(length)};
  co_return co_await append_and_commit(header, checksums, std::move(buffer));
}

Task<Result<Lsn>> Replica::resize(std::uint64_t size_blocks) {
  return append_control(RecordType::kResize, {}, size_blocks);
}

Task<Result<Lsn>> Replica::set_reservations(ByteSpan state) {
  // The length comes first: what is stored is padded to whole blocks.
  if (state.size() > kLargestReservationState - 8) {
    co_return Error::invalid_argument("{} bytes of reservations are too many", state.size());
  }
  std::vector<std::byte> bytes(8 + state.size());
  store_le64(bytes, 0, state.size());
  std::copy(state.begin(), state.end(), bytes.begin() + 8);
  co_return co_await append_control(RecordType::kReservationState, bytes, 0);
}

Task<Result<ByteCount>> Replica::available_space() {
  ASHLAR_CO_TRY(co_await shared_.space.refresh());
  co_return known_space();
}

ByteCount Replica::known_space() const {
  return shared_.space.available();
}

ByteSpan Replica::reservations() const {
  ByteSpan bytes = state_.reservations;
  for (const Control& control : controls_) {
    if (control.header.type == RecordType::kReservationState) bytes = control.payload;
  }
  if (bytes.size() < 8) return {};
  const std::uint64_t length = load_le64(bytes);
  return length <= bytes.size() - 8 ? bytes.subspan(8, length) : ByteSpan();
}

Task<Result<Lsn>> Replica::append_snapshot_record(RecordType type, SnapshotPayload payload) {
  std::array<std::byte, kBlockSize> block{};
  encode_snapshot_payload(payload, block);
  co_return co_await append_control(type, block, 0);
}

Task<Result<Lsn>> Replica::snapshot(SnapshotUuid uuid, WallTime created) {
  if (uuid.is_nil()) co_return Error::invalid_argument("a snapshot needs a uuid");
  const Result<Mutex::Guard> turn = co_await snapshot_lock_.lock();
  if (!turn.ok()) co_return turn.error();
  // One that was deleted keeps its name until its layer is gone.
  const bool is_deleted = std::any_of(
      state_.layers.begin(), state_.layers.end(),
      [uuid](const LayerState& layer) { return layer.snapshot && layer.snapshot->uuid == uuid; });
  if (knows_snapshot(uuid) || is_deleted) {
    co_return Error::already_exists("snapshot {} of volume {} exists", uuid, volume());
  }
  if (snapshots().size() >= kMostSnapshots) {
    co_return Error::resource_exhausted("volume {} has {} snapshots, the most there can be",
                                        volume(), kMostSnapshots);
  }
  co_return co_await append_snapshot_record(RecordType::kSnapshot, {uuid, created});
}

Task<Result<Lsn>> Replica::delete_snapshot(SnapshotUuid uuid) {
  const Result<Mutex::Guard> turn = co_await snapshot_lock_.lock();
  if (!turn.ok()) co_return turn.error();
  if (!knows_snapshot(uuid)) {
    co_return Error::not_found("volume {} has no snapshot {}", volume(), uuid);
  }
  co_return co_await append_snapshot_record(RecordType::kSnapshotDelete, {uuid, WallTime()});
}

Task<Result<Lsn>> Replica::revert(SnapshotUuid uuid) {
  if (!knows_snapshot(uuid)) {
    co_return Error::not_found("volume {} has no snapshot {}", volume(), uuid);
  }
  co_return co_await append_snapshot_record(RecordType::kRevert, {uuid, WallTime()});
}

Task<Result<Lsn>> Replica::start_epoch(Epoch epoch) {
  const RecordHeader header{.type = RecordType::kEpochStart, .epoch = epoch};
  const Result<Lsn> lsn = co_await append(header, {}, Buffer());
  if (!lsn.ok()) co_return lsn.error();
  ASHLAR_CO_TRY(co_await commit_of(*lsn, epoch));
  co_return *lsn;
}

Task<Result<>> Replica::durable(Lsn lsn) {
  ASHLAR_CO_TRY(co_await written_.wait(lsn));
  if (lsn <= durable_.value()) co_return Result<>();
  const Lsn target = written_.value();
  const std::optional<Epoch> epoch = epoch_of(target);
  const Result<> synced = co_await shared_.log->sync();
  if (!synced.ok()) {
    // Who does not wait any more has learnt nothing of the log.
    if (synced.error().code() == ErrorCode::kCancelled) co_return synced;
    fail(FaultCause::kLogWrite, synced.error());
    co_return usable();
  }
  note_durable(target, epoch);
  if (lsn > durable_.value()) co_return Error::aborted("record {} was dropped", lsn);
  co_return Result<>();
}

Task<Result<>> Replica::flush() {
  if (shared_.has(PlantedBug::kFlushDoesNothing)) co_return Result<>();
  co_return co_await durable(last_lsn);
}

// --- what the log tells --------------------------------------------------------------------------

void Replica::on_placed(const RecordHeader& record, std::span<const std::uint32_t> checksums,
                        std::span<const Buffer> payload) {
  if (record.type == RecordType::kTruncate) {
    drop_tail(record.lsn);
    return;
  }
  ASHLAR_CHECK_LE(payload.size(), 1u);
  note_epoch(record.epoch, record.lsn);
  insert_record(record, checksums, payload.empty() ? Buffer() : payload.front().share());
}

void Replica::insert_record(const RecordHeader& record, std::span<const std::uint32_t> checksums,
                            Buffer payload) {
  shared_.metrics.appended_records.add();
  shared_.metrics.appended_bytes.add(record.payload_length);
  shared_.dirty.set();
  if (!is_data(record.type)) {
    const ByteSpan bytes = payload.bytes();
    controls_.push_back({.header = record, .payload = {bytes.begin(), bytes.end()}});
    if (record.type == RecordType::kResize) refresh_size();
    promise_space(record.lsn, ByteCount(), ByteCount(record.payload_length));
    return;
  }
  const bool is_write = record.type == RecordType::kWrite;
  const ByteCount held(payload.size());
  index_.insert({.lsn = record.lsn,
                 .kind = is_write ? RecordKind::kWrite : RecordKind::kDiscard,
                 .blocks = {record.first_block, record.block_count},
                 .payload = std::move(payload),
                 .checksums = ChecksumList(shared_.checksums, checksums)});
  shared_.payload_bytes += held;
  promise_space(record.lsn, is_write ? SpaceGuard::need_of(record.block_count) : ByteCount(),
                ByteCount(record.payload_length));
  const bool is_much = shared_.payload_bytes > shared_.options.flush_threshold;
  if (is_much || shared_.fill() > shared_.options.flush_fill) shared_.urgent.set();
  // Whoever writes while memory is short lets go of what it wrote first.
  if (shared_.payload_bytes > shared_.options.payload_memory) {
    drop_payloads(ByteCount(index_.payload_bytes().value() / 2));
  }
}

void Replica::note_epoch(Epoch epoch, Lsn lsn) {
  if (!epochs_.empty() && epochs_.back().epoch == epoch) return;
  ASHLAR_CHECK(epochs_.empty() || epochs_.back().epoch < epoch);
  if (epochs_.size() == kMostEpochs) epochs_.erase(epochs_.begin());
  epochs_.push_back({epoch, lsn});
}

// The record stands there from now on, unless its tail was dropped while it was on its way.
void Replica::note_place(const RecordHeader& record, LogPosition position) {
  if (record.lsn > last_lsn || epoch_of(record.lsn) != record.epoch) return;
  if (is_data(record.type)) {
    index_.set_position(record.lsn, position);
    return;
  }
  for (Control& control : controls_) {
    if (control.header.lsn == record.lsn) control.position = position;
  }
}

void Replica::on_written(const RecordHeader& record, const LogPlace& place) {
  if (record.type == RecordType::kTruncate) return;
  if (record.lsn > last_lsn || epoch_of(record.lsn) != record.epoch) return;
  // A copy counts when it is durable: until then the log must keep what it is a copy of.
  if (record.lsn <= written_.value()) return;
  note_place(record, place.payload);
  note_mark(record.lsn, place.before);
  written_.advance(record.lsn);
  if (place.after.end <= shared_.log->durable_end()) {
    durable_.advance(record.lsn);
  } else {
    // The last flush may have looked before it was written: it must not wait for the next append.
    shared_.dirty.set();
  }
  apply_rule();
}

void Replica::note_mark(Lsn lsn, const ChainPoint& before) {
  const LogPosition tail = shared_.log->tail();
  while (!marks_.empty() && marks_.front().before.end < tail) marks_.pop_front();
  const std::uint64_t spacing = shared_.ring.capacity() / 1024;
  if (!marks_.empty() && before.end - marks_.back().before.end < spacing) return;
  marks_.push_back({lsn, before});
}

Result<std::unique_ptr<LogScan>> Replica::scan(Lsn after, Lsn up_to) {
  ASHLAR_TRY(usable());
  if (after > up_to || up_to > written_.value()) {
    return Error::out_of_range("records {} to {} of {}", after, up_to, written_.value());
  }
  // The whole log, where no mark helps.
  ChainPoint start = shared_.tail;
  for (std::size_t i = 0; i < marks_.size(); ++i) {
    if (marks_[i].lsn > after.next()) break;
    if (marks_[i].before.end >= shared_.log->tail()) start = marks_[i].before;
  }
  LogScan::EpochOf epoch_of_lsn = [this](Lsn lsn) { return epoch_of(lsn).value_or(Epoch()); };
  return std::make_unique<LogScan>(
      *shared_.log, shared_.log_file, shared_.pool, shared_.log->pin(start.end), start,
      LogScanRange{uuid(), volume(), after, up_to}, std::move(epoch_of_lsn));
}

void Replica::on_failed(const RecordHeader& /*record*/, const Error& error) {
  fail(FaultCause::kLogWrite, error);
}

void Replica::note_durable(Lsn lsn, std::optional<Epoch> epoch) {
  // A cut meanwhile may have given the LSN to a record that the sync has not seen.
  if (lsn > last_lsn || epoch_of(lsn) != epoch) return;
  durable_.advance(std::min(lsn, written_.value()));
  apply_rule();
}

void Replica::set_commit_rule(CommitRule rule) {
  rule_ = rule;
  durability = rule == CommitRule::kWritten ? LogDurability::kBuffered : LogDurability::kDurable;
  apply_rule();
}

void Replica::apply_rule() {
  if (rule_ == CommitRule::kGiven) return;
  set_commit(rule_ == CommitRule::kWritten ? written_.value() : durable_.value());
  set_stable(durable_.value());
}

void Replica::set_commit(Lsn lsn) {
  ASHLAR_CHECK(lsn <= last_lsn, "commit {} of {} records", lsn, last_lsn);
  committed_.advance(lsn);
}

void Replica::set_stable(Lsn lsn) {
  ASHLAR_CHECK(lsn <= committed_.value() && lsn <= durable_.value(),
               "stable {}, committed {}, durable {}", lsn, committed_.value(), durable_.value());
  if (lsn <= stable_.value()) return;
  while (stable_promises_ < promises_.size() && promises_[stable_promises_].lsn <= lsn) {
    note_stable_bytes(promises_[stable_promises_].payload);
    ++stable_promises_;
  }
  stable_.advance(lsn);
  shared_.dirty.set();
}

// --- tails ---------------------------------------------------------------------------------------

Task<Result<>> Replica::truncate_after(Epoch epoch, Lsn kept) {
  ASHLAR_CO_TRY(usable());
  if (kept < stable_.value() || kept > last_lsn) {
    co_return Error::failed_precondition(
        "the tail of replica {} cannot be dropped after {}: stable {}, last {}", uuid(), kept,
        stable_.value(), last_lsn);
  }
  if (placing_ > 0) {
    co_return Error::failed_precondition("replica {} has appends that wait for their place",
                                         uuid());
  }
  if (kept == last_lsn) {
    // An earlier call that was cancelled may have cut, and not waited.
    ASHLAR_CO_TRY(co_await shared_.log->settle());
    co_return co_await shared_.log->sync();
  }
  const Epoch kept_epoch = epoch_of(kept).value_or(state_.flushed_epoch);
  if (shared_.has(PlantedBug::kCutInMemoryOnly)) {
    last_lsn = kept;
    last_epoch = kept_epoch;
    drop_tail(kept);
    co_return Result<>();
  }
  if (shared_.has(PlantedBug::kCutOneTooFew)) kept = kept.next();
  const PlacingCount count(placing_, none_placing_);
  const Result<LogTicket> ticket =
      co_await shared_.log->append_truncate(*this, kept, kept_epoch, epoch);
  if (!ticket.ok()) co_return ticket.error();
  const Result<LogPlace> place = co_await shared_.log->durable(*ticket);
  if (!place.ok()) co_return place.error();
  co_return Result<>();
}

void Replica::drop_tail(Lsn kept) {
  ASHLAR_CHECK_LE(stable_.value(), kept);
  const ByteCount before = index_.payload_bytes();
  index_.truncate_after(kept);
  shared_.payload_bytes -= before - index_.payload_bytes();
  std::erase_if(controls_, [kept](const Control& control) { return control.header.lsn > kept; });
  while (!epochs_.empty() && epochs_.back().first_lsn > kept) epochs_.pop_back();
  while (!promises_.empty() && promises_.back().lsn > kept) {
    const Promise dropped = promises_.pop_back();
    note_stable_bytes(dropped.payload);
    shared_.space.settle(dropped.need);
  }
  ASHLAR_CHECK_LE(stable_promises_, promises_.size());
  while (!marks_.empty() && marks_.back().lsn > kept) marks_.pop_back();
  refresh_size();
  const Error reason =
      Error::aborted("the record was dropped: the history of replica {} ends at {}", uuid(), kept);
  for (LsnWatermark* watermark : {&written_, &durable_, &committed_, &stable_}) {
    watermark->retreat(kept, reason);
  }
}

void Replica::refresh_size() {
  size_blocks_ = state_.size_blocks;
  for (const Control& control : controls_) {
    if (control.header.type == RecordType::kResize) size_blocks_ = control.header.block_count;
  }
}

void Replica::note_stable_bytes(ByteCount payload) {
  unstable_bytes_ -= payload;
  shared_.unstable_bytes -= payload;
}

void Replica::promise_space(Lsn lsn, ByteCount need, ByteCount payload) {
  promises_.push_back({lsn, need, payload});
  unstable_bytes_ += payload;
  shared_.unstable_bytes += payload;
  shared_.space.promise(need);
}

void Replica::settle_space(Lsn up_to) {
  while (!promises_.empty() && promises_.front().lsn <= up_to) {
    ASHLAR_CHECK_GT(stable_promises_, 0u);
    --stable_promises_;
    shared_.space.settle(promises_.pop_front().need);
  }
}

}  // namespace ashlar::engine
