#include "engine/log_writer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/runtime/task_scope.h"
#include "engine/engine_metrics.h"

namespace ashlar::engine {
namespace {

constexpr std::size_t kPrepareChunk = kLogCapacityUnit.value();

std::byte* allocate_blocks(std::size_t size) {
  auto* bytes = static_cast<std::byte*>(std::aligned_alloc(kBlockSize, size));
  ASHLAR_CHECK(bytes != nullptr, "no memory for {} bytes", size);
  return bytes;
}

Error closed_error() {
  return Error::failed_precondition("the log is closed");
}

Result<> follows(const RecordSequence& sequence, const RecordHeader& record) {
  if (record.type == RecordType::kTruncate) {
    return Error::invalid_argument("a truncation is no record of its own");
  }
  if (record.lsn != Lsn(0) && record.lsn != sequence.last_lsn.next()) {
    return Error::failed_precondition("record {} does not follow record {}", record.lsn,
                                      sequence.last_lsn);
  }
  if (record.epoch < sequence.last_epoch) {
    return Error::failed_precondition("epoch {} does not follow epoch {}", record.epoch,
                                      sequence.last_epoch);
  }
  return {};
}

Result<> is_of(const RecordSequence& sequence, const RecordHeader& record) {
  if (record.type == RecordType::kTruncate || record.replica != sequence.replica) {
    return Error::invalid_argument("a copy of what is no record of replica {}", sequence.replica);
  }
  if (record.lsn == Lsn(0) || record.lsn > sequence.last_lsn ||
      record.epoch > sequence.last_epoch || record.previous_epoch > record.epoch) {
    return Error::failed_precondition(
        "record {} of epoch {} is not there, the last one is {} of {}", record.lsn, record.epoch,
        sequence.last_lsn, sequence.last_epoch);
  }
  return {};
}

Result<> cuts(const RecordSequence& sequence, const RecordHeader& truncation) {
  if (truncation.lsn > sequence.last_lsn || truncation.previous_epoch > sequence.last_epoch ||
      truncation.epoch < sequence.last_epoch) {
    return Error::failed_precondition(
        "epoch {} cuts behind record {} of epoch {}, the last one is {} of {}", truncation.epoch,
        truncation.lsn, truncation.previous_epoch, sequence.last_lsn, sequence.last_epoch);
  }
  return {};
}

Result<> check_order(LogWriter::AppendKind kind, const RecordSequence& sequence,
                     const RecordHeader& record) {
  if (kind != LogWriter::AppendKind::kAgain && record.epoch < sequence.least_epoch) {
    return Error::aborted("epoch {} is over: replica {} has promised epoch {}", record.epoch,
                          sequence.replica, sequence.least_epoch);
  }
  if (kind != LogWriter::AppendKind::kAgain && sequence.is_closed) {
    return Error::failed_precondition("replica {} takes no more records", sequence.replica);
  }
  switch (kind) {
    case LogWriter::AppendKind::kNew:
      return follows(sequence, record);
    case LogWriter::AppendKind::kAgain:
      return is_of(sequence, record);
    case LogWriter::AppendKind::kTruncate:
      return cuts(sequence, record);
  }
  ASHLAR_UNREACHABLE("append of kind {}", static_cast<unsigned>(kind));
}

}  // namespace

void LogWriter::Free::operator()(std::byte* bytes) const {
  std::free(bytes);
}

LogPlace BatchOutcome::place(const RecordHeader& record, std::uint64_t payload_offset) const {
  return {place_of_record(record, payload + payload_offset), before, after};
}

void LogWriter::Gathering::tell_written(Event* at_half) const {
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (at_half != nullptr && i == (records.size() + 1) / 2) at_half->set();
    const RecordHeader& record = records[i];
    if (sequences[i] != nullptr) sequences[i]->on_written(record, outcome->place(record, offset));
    offset += record.payload_length;
  }
  outcome->over.set();
}

void LogWriter::Gathering::tell_failed(const Error& error) const {
  if (outcome == nullptr) return;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (sequences[i] != nullptr) sequences[i]->on_failed(records[i], error);
  }
  outcome->result = error;
  outcome->over.set();
}

void LogWriter::Gathering::clear() {
  records.clear();
  sequences.clear();
  checksums.clear();
  payload.clear();
  payload_length = 0;
  is_durable = false;
  outcome.reset();
}

LogWriter::LogWriter(Clock& clock, File& file, LogWriterOptions options, const LogStart& start)
    : clock_(clock),
      file_(file),
      options_(options),
      ring_(options.capacity),
      generation_(start.generation),
      chain_(start.chain),
      tail_(start.tail),
      released_(start.tail),
      durable_(start.chain.end),
      records_end_(start.records_end),
      durable_said_(start.durable_said),
      history_(options.capacity),
      begun_(start.chain),
      flights_(options.batches_in_flight),
      seal_timer_(*this) {
  ASHLAR_CHECK_GT(generation_, chain_.generation);
  ASHLAR_CHECK(tail_ <= chain_.end && chain_.end - tail_ <= ring_.capacity(),
               "tail {}, end {}, capacity {}", tail_, chain_.end, ring_.capacity());
  ASHLAR_CHECK(records_end_ <= chain_.end && durable_said_ <= chain_.end);
  ASHLAR_CHECK_LE(options_.reserve.value(), ring_.capacity() / 2);
  for (const ChainPoint& point : start.points) {
    if (point.end >= tail_) history_.add(point);
  }
  history_.add(chain_);
}

LogWriter::~LogWriter() {
  for (Flight& flight : flights_) flight.batch.clear();
  next_.clear();
  ASHLAR_CHECK(outcomes_alive_ == 0, "a ticket outlives the log");
  ASHLAR_CHECK(pins_.empty(), "a pin outlives the log");
}

LogWriter::AppendAwaiter LogWriter::append(RecordSequence& sequence, const RecordHeader& record,
                                           std::span<const std::uint32_t> checksums,
                                           std::span<const Buffer> payload) {
  RecordHeader own = record;
  own.replica = sequence.replica;
  return {*this, AppendKind::kNew, sequence, own, checksums, payload};
}

LogWriter::AppendAwaiter LogWriter::append_again(RecordSequence& sequence,
                                                 const RecordHeader& record,
                                                 std::span<const std::uint32_t> checksums,
                                                 std::span<const Buffer> payload) {
  return {*this, AppendKind::kAgain, sequence, record, checksums, payload};
}

LogWriter::AppendAwaiter LogWriter::append_truncate(RecordSequence& sequence, Lsn kept,
                                                    Epoch kept_epoch, Epoch ordered) {
  const RecordHeader truncation{.type = RecordType::kTruncate,
                                .replica = sequence.replica,
                                .epoch = ordered,
                                .lsn = kept,
                                .previous_epoch = kept_epoch};
  return {*this, AppendKind::kTruncate, sequence, truncation, {}, {}};
}

// Whether the append may ever be placed; asked before it waits and again when its turn comes.
Result<> LogWriter::admissible(const AppendAwaiter& append) const {
  if (failure_) return *failure_;
  if (closing_) return closed_error();
  ASHLAR_TRY(check_record(append.record_));
  ASHLAR_TRY(check_order(append.kind_, append.sequence_, append.record_));
  return carries_its_payload(append);
}

Result<> LogWriter::carries_its_payload(const AppendAwaiter& append) const {
  const RecordHeader& record = append.record_;
  std::uint64_t length = 0;
  for (const Buffer& piece : append.payload_) {
    if (!is_aligned(piece.size(), kBlockSize) ||
        !is_aligned(reinterpret_cast<std::uintptr_t>(piece.data()), kBlockSize)) {
      return Error::invalid_argument("the payload of a record comes in pieces of whole blocks");
    }
    length += piece.size();
  }
  if (length != record.payload_length || append.checksums_.size() != record.payload_blocks()) {
    return Error::invalid_argument("{} bytes and {} checksums for a payload of {} bytes", length,
                                   append.checksums_.size(), record.payload_length);
  }
  if (append.payload_.size() > kMostSlicesInBatch ||
      batch_header_length(1, record.payload_blocks()) + length > ring_.largest_batch()) {
    return Error::invalid_argument("a record of {} bytes in {} pieces is too large for this log",
                                   length, append.payload_.size());
  }
  return {};
}

// Where the log would end if the gathered batch had this much in it.
LogPosition LogWriter::end_with(std::size_t records, std::size_t blocks) const {
  const std::uint64_t length = batch_header_length(records, blocks) + blocks * kBlockSize;
  return ring_.place(begun_.end, length) + length;
}

bool LogWriter::fits(LogPosition end, ByteCount left_free) const {
  return end - tail_ <= ring_.capacity() - left_free.value();
}

LogPosition LogWriter::head() const {
  if (next_.records.empty()) return begun_.end;
  return end_with(next_.records.size(), next_.checksums.size());
}

double LogWriter::fill_ratio() const {
  const std::uint64_t usable = ring_.capacity() - options_.reserve.value();
  return std::min(1.0, static_cast<double>(head() - tail_) / static_cast<double>(usable));
}

bool LogWriter::has_room(const AppendAwaiter& append) const {
  const std::size_t records = next_.records.size() + 1;
  const std::size_t blocks = next_.checksums.size() + append.checksums_.size();
  return records <= kMostRecordsInBatch &&
         next_.payload.size() + append.payload_.size() <= kMostSlicesInBatch &&
         batch_header_length(records, blocks) + blocks * kBlockSize <= ring_.largest_batch() &&
         fits(end_with(records, blocks),
              append.kind_ == AppendKind::kNew ? options_.reserve : ByteCount());
}

std::shared_ptr<BatchOutcome> LogWriter::new_outcome() {
  return std::allocate_shared<BatchOutcome>(
      std::pmr::polymorphic_allocator<BatchOutcome>(&outcomes_), outcomes_alive_);
}

// The one step in which a record gets its LSN and its place. It cannot fail.
LogTicket LogWriter::put(AppendAwaiter& append) {
  RecordSequence& sequence = append.sequence_;
  RecordHeader record = append.record_;
  if (append.kind_ == AppendKind::kNew) {
    record.lsn = sequence.last_lsn.next();
    record.previous_epoch = sequence.last_epoch;
    sequence.last_lsn = record.lsn;
    sequence.last_epoch = record.epoch;
  } else if (append.kind_ == AppendKind::kTruncate) {
    sequence.last_lsn = record.lsn;
    sequence.last_epoch = record.previous_epoch;
  }
  if (next_.outcome == nullptr) next_.outcome = new_outcome();
  LogTicket ticket;
  ticket.batch_ = next_.outcome;
  ticket.payload_offset_ = next_.payload_length;
  ticket.record_ = record;
  next_.records.push_back(record);
  next_.sequences.push_back(&sequence);
  next_.checksums.insert(next_.checksums.end(), append.checksums_.begin(), append.checksums_.end());
  for (const Buffer& piece : append.payload_) {
    if (!piece.empty()) next_.payload.push_back(piece.share());
  }
  next_.payload_length += record.payload_length;
  next_.is_durable = next_.is_durable || sequence.durability == LogDurability::kDurable;
  work_.set();
  if (append.kind_ != AppendKind::kAgain) {
    sequence.on_placed(record, append.checksums_, append.payload_);
  }
  return ticket;
}

bool LogWriter::place_at_once(AppendAwaiter& append) {
  if (Result<> allowed = admissible(append); !allowed.ok()) {
    append.ticket_.emplace(std::move(allowed).error());
    return true;
  }
  const bool is_next =
      urgent_.list.empty() && (append.kind_ != AppendKind::kNew || new_records_.list.empty());
  if (is_next && has_room(append)) {
    append.ticket_.emplace(put(append));
    return true;
  }
  const std::size_t waiting = queue_of(append).count;
  if (waiting >= options_.most_waiting) {
    append.ticket_.emplace(
        Error::resource_exhausted("the log is full and {} appends wait already", waiting));
    return true;
  }
  return false;
}

void LogWriter::enqueue(AppendAwaiter& append) {
  Queue& queue = queue_of(append);
  queue.list.push_back(append);
  ++queue.count;
}

// A waiter has left; the one behind it may need less room.
void LogWriter::forget(const AppendAwaiter& append) {
  // A cancelled waiter that never stood in the queue does not get here: prepare() refused it.
  --queue_of(append).count;
  place_waiting();
}

void LogWriter::place_waiting() {
  if (place_from(urgent_)) place_from(new_records_);
}

// Whether none is left that waits.
bool LogWriter::place_from(Queue& queue) {
  while (!queue.list.empty()) {
    auto& append = static_cast<AppendAwaiter&>(queue.list.front());
    Result<> allowed = admissible(append);
    if (allowed.ok()) {
      if (!has_room(append)) return false;
      append.ticket_.emplace(put(append));
    } else {
      append.ticket_.emplace(std::move(allowed).error());
    }
    --queue.count;
    append.grant();
  }
  return true;
}

Task<Result<LogPlace>> LogWriter::written(LogTicket ticket) {
  BatchOutcome& batch = *ticket.batch_;
  ASHLAR_CO_TRY(co_await batch.over.wait());
  if (!batch.result.ok()) co_return batch.result.error();
  co_return batch.place(ticket.record_, ticket.payload_offset_);
}

Task<Result<LogPlace>> LogWriter::durable(LogTicket ticket) {
  Result<LogPlace> place = co_await written(std::move(ticket));
  if (!place.ok() || place->after.end <= durable_) co_return place;
  ASHLAR_CO_TRY(co_await sync());
  co_return place;
}

Task<Result<>> LogWriter::sync() {
  const LogPosition wanted = chain_.end;
  // One sync at a time: those that wait behind it share the next one.
  Result<Mutex::Guard> guard = co_await sync_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  if (failure_) co_return *failure_;
  if (wanted <= durable_) co_return Result<>();
  const LogPosition covered = chain_.end;
  const Result<> synced = co_await file_.sync();
  if (!synced.ok() && options_.bug != PlantedBug::kLogSyncErrorIgnored) {
    fail(synced.error().with_context("sync of the log"));
    co_return *failure_;
  }
  if (failure_) co_return *failure_;
  durable_ = std::max(durable_, covered);
  if (wants_seal() && !closing_) clock_.arm(seal_timer_, clock_.now() + options_.seal_delay);
  co_return Result<>();
}

// Of a batch that gathers or is on its way. They end in any order when the log fails.
std::shared_ptr<BatchOutcome> LogWriter::pending_outcome() const {
  for (const Flight& flight : flights_) {
    if (flight.state != Flight::State::kFree) return flight.batch.outcome;
  }
  return next_.outcome;
}

Task<Result<>> LogWriter::settle() {
  // Those that begin meanwhile come behind `end`.
  const LogPosition end = head();
  while (!failure_ ? chain_.end < end : in_flight_ > 0) {
    const std::shared_ptr<BatchOutcome> pending = pending_outcome();
    ASHLAR_CHECK(pending != nullptr, "the log is written to {}, not to {}", chain_.end, end);
    ASHLAR_CO_TRY(co_await pending->over.wait());
  }
  co_return Result<>();
}

std::optional<ChainPoint> LogWriter::checkpoint_at(LogPosition needed) const {
  return history_.last_up_to(std::min(needed, durable_));
}

void LogWriter::release_up_to(LogPosition position) {
  ASHLAR_CHECK_LE(position, durable_);
  released_ = std::max(released_, position);
  move_tail();
}

void LogWriter::move_tail() {
  LogPosition tail = released_;
  for (const LogPosition pinned : pins_) tail = std::min(tail, pinned);
  ASHLAR_CHECK_LE(tail_, tail);
  tail_ = tail;
  history_.forget_before(tail_);
  place_waiting();
  if (seal_due_) work_.set();
}

LogPin LogWriter::pin(LogPosition position) {
  const LogPosition held = std::max(position, tail_);
  pins_.push_back(held);
  return {*this, held};
}

void LogWriter::move_pin(LogPosition from, LogPosition to) {
  const auto place = std::ranges::find(pins_, from);
  ASHLAR_CHECK(place != pins_.end(), "no pin at {}", from);
  *place = to;
  move_tail();
}

void LogWriter::unpin(LogPosition position) {
  const auto place = std::ranges::find(pins_, position);
  ASHLAR_CHECK(place != pins_.end(), "no pin at {}", position);
  pins_.erase(place);
  move_tail();
}

void LogPin::move_to(LogPosition position) {
  if (writer_ == nullptr || position <= position_) return;
  writer_->move_pin(std::exchange(position_, position), position);
}

void LogPin::release() {
  if (writer_ != nullptr) std::exchange(writer_, nullptr)->unpin(position_);
}

void LogWriter::close() {
  closing_ = true;
  place_waiting();
  work_.set();
}

bool LogWriter::wants_seal() const {
  return durable_said_ < std::min(durable_, records_end_);
}

void LogWriter::on_seal_timer() {
  seal_due_ = true;
  work_.set();
}

void LogWriter::gather_seal() {
  next_.records.push_back(RecordHeader{.type = RecordType::kSeal});
  next_.sequences.push_back(nullptr);
  next_.is_durable = true;  // it is what a later recovery judges by
  next_.outcome = new_outcome();
}

Task<Result<>> LogWriter::run() {
  if (wants_seal()) clock_.arm(seal_timer_, clock_.now() + options_.seal_delay);
  const TaskContext here = co_await this_task();
  TaskScope lanes(here);
  for (std::size_t i = 0; i < flights_.size(); ++i) lanes.spawn(run_lane());
  co_return co_await lanes.join();
}

// Writes one batch after the other. The lanes take turns: whoever is free takes what has gathered.
Task<Result<>> LogWriter::run_lane() {
  while (!failure_) {
    work_.reset();
    const bool sealing =
        in_flight_ == 0 && wants_seal() && (seal_due_ || closing_) && fits(end_with(1, 0));
    if (next_.records.empty() && sealing) gather_seal();
    // None is free while batches wait for one before them to be counted.
    Flight* const flight = free_flight();
    if (!next_.records.empty() && flight != nullptr) {
      seal_timer_.disarm();
      seal_due_ = false;
      ASHLAR_CO_TRY(co_await write_batch(*flight));
      if (wants_seal()) clock_.arm(seal_timer_, clock_.now() + options_.seal_delay);
      // Behind those who have just heard, and before those of a batch that is over too: what each
      // batch brings back goes out as one again, and the two stay apart.
      co_await yield();
      continue;
    }
    // One that is still writing looks after the seal.
    if (closing_ && next_.records.empty()) co_return Result<>();
    const Result<> woken = co_await work_.wait();
    if (!woken.ok()) fail(woken.error().with_context("the log was stopped"));
  }
  co_return *failure_;
}

BatchHeader LogWriter::header_of(const Gathering& batch) const {
  const std::size_t header_length =
      batch_header_length(batch.records.size(), batch.checksums.size());
  const std::uint64_t total = header_length + batch.payload_length;
  return {.header_length = static_cast<std::uint32_t>(header_length),
          .record_count = static_cast<std::uint32_t>(batch.records.size()),
          .total_length = total,
          .store = options_.store,
          .generation = generation_,
          .position = ring_.place(begun_.end, total),
          .previous_position = begun_.batch,
          .previous_crc = begun_.crc,
          .durable_up_to = durable_};
}

Task<Result<>> LogWriter::write_batch(Flight& flight) {
  begin_flight(flight);
  place_waiting();  // the next batch has room for those who found this one full
  const bool dsync =
      flight.durability == Durability::kDsync && options_.bug != PlantedBug::kPlainLogWrite;
  FileAwaiter write = file_.write(ring_.physical(flight.header.position), flight.slices,
                                  dsync ? Durability::kDsync : Durability::kNone);
  // Those who heard of the batch before have their turn now: the disk should work meanwhile.
  const TaskContext here = co_await this_task();
  if (here.executor->has_ready()) write.at_once();
  const Result<> done = co_await write;
  if (!done.ok()) fail(done.error().with_context("write of the log"));
  flight.state = Flight::State::kWritten;
  if (failure_) {
    // Also when a sync failed meanwhile: what was acknowledged must not go beyond it.
    give_up_written();
    co_return *failure_;
  }
  co_return co_await count_written();
}

// A batch counts when all before it do. One that is durable by a sync waits for that, too; whoever
// began it goes on with what came meanwhile.
Task<Result<>> LogWriter::count_written() {
  if (is_counting_) co_return Result<>();
  while (Flight* next = next_written()) {
    if (next->durability == Durability::kWriteThenSync) {
      is_counting_ = true;
      const Result<> synced = co_await file_.sync();
      is_counting_ = false;
      const bool failed = !synced.ok() && options_.bug != PlantedBug::kLogSyncErrorIgnored;
      if (failed) fail(synced.error().with_context("sync of the log"));
      if (failure_) co_return *failure_;
    }
    written_batch(*next);
  }
  co_return Result<>();
}

// Takes what has gathered, and its place in the chain.
void LogWriter::begin_flight(Flight& flight) {
  ASHLAR_CHECK(flight.state == Flight::State::kFree);
  std::swap(flight.batch, next_);
  flight.header = header_of(flight.batch);
  const BatchHeader& header = flight.header;
  const LogPosition end = header.position + header.total_length;
  ASHLAR_CHECK(fits(end), "batch up to {}, tail {}", end, tail_);
  ASHLAR_CHECK_LE(ring_.physical(header.position) + header.total_length, ring_.capacity());
  if (flight.memory == nullptr) flight.memory.reset(allocate_blocks(kLargestBatchHeader));
  const MutableByteSpan encoded(flight.memory.get(), header.header_length);
  const std::uint32_t crc =
      encode_batch_header(header, flight.batch.records, flight.batch.checksums, encoded);
  flight.slices.clear();
  flight.slices.emplace_back(ByteSpan(encoded));
  for (const Buffer& piece : flight.batch.payload) flight.slices.emplace_back(piece.bytes());
  // With plain batches before it a DSYNC of its own would not do.
  const bool follows_durable = (in_flight_ == 0 ? durable_ == chain_.end : begins_durable_) ||
                               options_.bug == PlantedBug::kDurableBehindPlain;
  flight.durability = Durability::kNone;
  if (flight.batch.is_durable) {
    flight.durability = follows_durable ? Durability::kDsync : Durability::kWriteThenSync;
  }
  begins_durable_ = flight.batch.is_durable;
  flight.before = begun_;
  begun_ = {end, generation_, header.position, crc};
  flight.after = begun_;
  flight.state = Flight::State::kWriting;
  ++in_flight_;
}

LogWriter::Flight* LogWriter::free_flight() {
  for (Flight& flight : flights_) {
    if (flight.state == Flight::State::kFree) return &flight;
  }
  return nullptr;
}

// Batches that came to the disk behind one that did not.
void LogWriter::give_up_written() {
  for (Flight& flight : flights_) {
    if (flight.state != Flight::State::kWritten) continue;
    flight.state = Flight::State::kFree;
    --in_flight_;
    flight.batch.tell_failed(*failure_);
    flight.batch.clear();
  }
}

// The batch behind the last one that counts, when it is written.
LogWriter::Flight* LogWriter::next_written() {
  for (Flight& flight : flights_) {
    if (flight.state == Flight::State::kWritten && flight.before == chain_) return &flight;
  }
  return nullptr;
}

void LogWriter::written_batch(Flight& flight) {
  chain_ = flight.after;
  history_.add(chain_);
  ++batches_written_;
  durable_said_ = std::max(durable_said_, flight.header.durable_up_to);
  if (flight.batch.records.front().type != RecordType::kSeal) {
    records_end_ = chain_.end;
    if (options_.metrics != nullptr) {
      options_.metrics->batches.add();
      options_.metrics->batch_records.add(flight.batch.records.size());
      options_.metrics->batch_bytes.observe(ByteCount(chain_.end - flight.header.position));
    }
  }
  if (flight.durability != Durability::kNone) durable_ = chain_.end;
  ASHLAR_CHECK(tail_ <= durable_ && durable_ <= chain_.end && chain_.end <= head());
  BatchOutcome& outcome = *flight.batch.outcome;
  outcome.payload = flight.header.position + flight.header.header_length;
  outcome.before = flight.before;
  outcome.after = flight.after;
  flight.state = Flight::State::kFree;
  --in_flight_;
  // With nothing else on its way the disk would wait until all of them have had their turn: another
  // lane has its turn behind the first half.
  flight.batch.tell_written(in_flight_ == 0 ? &work_ : nullptr);
  flight.batch.clear();
  if (!next_.records.empty() || in_flight_ == 0) work_.set();
}

void LogWriter::fail(const Error& error) {
  if (failure_) return;
  failure_ = error;
  seal_timer_.disarm();
  give_up_written();
  next_.tell_failed(error);
  next_.clear();
  place_waiting();
  work_.set();
}

Task<Result<>> prepare_log(File& file, ByteCount capacity) {
  ASHLAR_CO_TRY(LogRing::check(capacity, kLogCapacityUnit));
  struct Release {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  const std::unique_ptr<std::byte[], Release> zeros(allocate_blocks(kPrepareChunk));
  std::memset(zeros.get(), 0, kPrepareChunk);
  ASHLAR_CO_TRY(co_await file.resize(capacity));
  for (std::uint64_t at = 0; at < capacity.value(); at += kPrepareChunk) {
    ASHLAR_CO_TRY(co_await file.write(at, ByteSpan(zeros.get(), kPrepareChunk), Durability::kNone));
  }
  co_return co_await file.sync();
}

}  // namespace ashlar::engine
