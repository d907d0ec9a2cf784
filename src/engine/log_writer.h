// LogWriter: appends records to the store's log, in batches, a few writes in flight.
//
//   LogWriter writer(runtime.clock, file, options, start);
//   scope.spawn(writer.run());
//   const Result<LogTicket> ticket = co_await writer.append(sequence, record, checksums, buffers);
//   const Result<LogPlace> place = co_await writer.durable(*ticket);
//
// append() takes the LSN and the place in one step, in the order of the calls: when it returns a
// ticket the record stands in the batch that is being gathered, and the sequence has moved on; when
// it returns an error nothing was taken and no LSN is burned (L8). It waits, first come first
// served, while the batch or the log is full.
//
// When a batch is written, each record's sequence hears of it (on_written), in the order of the
// records and before anybody who waits runs; a replica moves its own marks there, needs no
// coroutine for it, and a waiter that was cancelled changes nothing.
//
// Two more things are appended. A copy of a record that cannot be flushed yet, so that the tail can
// pass the first one; and the cut of a replica's tail, which moves its sequence back. They, and
// seals, may fill the log to its last block, while new records see only capacity − reserve; and
// they are placed before all that waits: what is stuck must not wait behind what it blocks (L103).
//
// Group commit: while batches are on their way to the disk (at most batches_in_flight of them), the
// next one gathers all that is appended. One that finds room goes at once; there is no timer at
// depth 1. Who waits for a batch is told in two halves, so that what the first brings back is
// on its way while the second is at work. Batches may end in any order; one counts when all before
// it do, because recovery follows the chain and stops at the first that is missing.
//
// Durability is the sequence's: a batch is written with DSYNC when a record of it wants that, and
// plainly when none does. A durable batch behind plain ones counts when the file was synced, too:
// what recovery cannot reach is not durable.
//
// Payload goes from the caller's Buffers to the disk without a copy; the writer shares them until
// the write is over.
//
// States: running → closing (close(): what was appended is written and sealed, then run() ends) →
// closed; or → failed. The first error of a write or sync is sticky: whoever waits and whoever
// comes later gets it, and the file is not touched again, because nothing is known about it.
//
// Invariants, checked: tail ≤ durable ≤ written ≤ head ≤ tail + capacity, each only grows.
//
// A batch says how far the log was durable when it was written. What nobody has said yet is said by
// a seal, a batch without records of replicas, written when the log has been idle for a while:
// damage of anything acknowledged can then be told from a torn tail (L4). After that an idle log
// does no I/O. A seal that finds no room waits for release_up_to().
//
// Steady state allocates nothing.
//
// Belongs to its executor's thread. The writer outlives every coroutine that waits in it and every
// ticket (checked).
#pragma once

#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/runtime/clock.h"
#include "common/runtime/file.h"
#include "common/runtime/sync.h"
#include "common/runtime/task.h"
#include "engine/chain_history.h"
#include "engine/log_format.h"
#include "engine/log_ring.h"
#include "engine/planted_bug.h"

namespace ashlar::engine {

class EngineMetrics;

// What a record waits for until its sequence hears that it is written.
enum class LogDurability : std::uint8_t {
  kDurable,   // it is on stable media
  kBuffered,  // it is in the log's file; durable with the next durable one, or the next sync()
};

struct LogWriterOptions {
  StoreUuid store;
  ByteCount capacity;
  // What new records leave free; at most half of the capacity. A batch that goes to the next lap
  // skips up to its own length of it.
  ByteCount reserve;
  Duration seal_delay = 10ms;
  // Batches on their way to the disk at the same time.
  std::size_t batches_in_flight = 2;
  std::size_t most_waiting = 1024;   // appends beyond these are refused; copies and cuts likewise
  EngineMetrics* metrics = nullptr;  // told of each batch but seals
  PlantedBug bug = PlantedBug::kNone;
};

// Where the log goes on. It comes from the recovery scan (LogRecovery::start_of) and nothing else
// (L2); a log that was just prepared starts at {.generation = LogGeneration(1)}.
struct LogStart {
  ChainPoint chain;
  LogGeneration generation;        // greater than every one on the disk
  LogPosition tail;                // the checkpoint: nothing behind it is overwritten
  LogPosition records_end;         // of the last batch that is not a seal
  LogPosition durable_said;        // the greatest durable-up-to on the disk
  std::vector<ChainPoint> points;  // ends of batches from the tail on, in order
};

struct LogPlace {
  // Where the record's payload begins; of one without payload, place_of_record(). While the log is
  // kept from here on, the record is in it.
  LogPosition payload;
  // Recovery from here finds the record …
  ChainPoint before;
  // … and from here what comes behind its batch. Both are possible checkpoints.
  ChainPoint after;
};

// One replica's history as its log sees it: where it ends, which append() reads and moves, and who
// is told what became of its records. Implemented by the replica.
//
// Each record that got a ticket ends in exactly one call: on_written, in the order of the tickets,
// or, when the log has failed, on_failed, in any order. Until then the sequence must live; or until
// the writer is gone, which calls no more. The calls come from within the writer: they may ask it
// anything and release space, but must not destroy it or a sequence.
class RecordSequence {
 public:
  explicit RecordSequence(const ReplicaUuid& of) : replica(of) {}
  RecordSequence(const RecordSequence&) = delete;
  RecordSequence& operator=(const RecordSequence&) = delete;

  // The record has its LSN and its place: a new one, or a truncation (the sequence has moved
  // already). The index entry belongs to this same step (L6). Not called for copies.
  virtual void on_placed(const RecordHeader& /*record*/,
                         std::span<const std::uint32_t> /*checksums*/,
                         std::span<const Buffer> /*payload*/) {}
  // The record's batch is written. It is durable if place.after.end <= durable_end(): always for
  // one that was placed while `durability` was kDurable.
  virtual void on_written(const RecordHeader& record, const LogPlace& place) = 0;
  // It may be on the disk or not. The log takes no more.
  virtual void on_failed(const RecordHeader& record, const Error& error) = 0;

  const ReplicaUuid replica;
  Lsn last_lsn;
  Epoch last_epoch;
  // Of new records and cuts: a promise binds those that wait for their turn, too.
  Epoch least_epoch;
  // Takes no more new records and cuts, those that wait for their turn included.
  bool is_closed = false;
  // Of its records that get their place from now on.
  LogDurability durability = LogDurability::kDurable;

 protected:
  ~RecordSequence() = default;
};

// What happened to one batch; shared by the tickets of its records.
struct BatchOutcome {
  explicit BatchOutcome(std::size_t& count) : alive(count) { ++alive; }
  BatchOutcome(const BatchOutcome&) = delete;
  BatchOutcome& operator=(const BatchOutcome&) = delete;
  ~BatchOutcome() { --alive; }

  std::size_t& alive;
  Event over;
  Result<> result;
  LogPosition payload;
  ChainPoint before;
  ChainPoint after;

  // Of a record that begins there in the payload of the batch.
  LogPlace place(const RecordHeader& record, std::uint64_t payload_offset) const;
};

class LogTicket {
 public:
  Lsn lsn() const { return record_.lsn; }

 private:
  friend class LogWriter;
  std::shared_ptr<BatchOutcome> batch_;
  RecordHeader record_;
  std::uint64_t payload_offset_ = 0;
};

class LogWriter;

// Keeps the log from a position on, whatever is released, until it dies; a reader holds one. It
// takes space from the writer, so its owner bounds how long. The writer outlives it (checked).
class LogPin {
 public:
  LogPin() = default;
  LogPin(LogPin&& other) noexcept
      : writer_(std::exchange(other.writer_, nullptr)), position_(other.position_) {}
  LogPin& operator=(LogPin&& other) noexcept {
    std::swap(writer_, other.writer_);
    std::swap(position_, other.position_);
    return *this;
  }
  ~LogPin() { release(); }

  LogPosition position() const { return position_; }
  // Only forward; less is ignored.
  void move_to(LogPosition position);
  void release();

 private:
  friend class LogWriter;
  LogPin(LogWriter& writer, LogPosition position) : writer_(&writer), position_(position) {}

  LogWriter* writer_ = nullptr;
  LogPosition position_;
};

class LogWriter {
 public:
  LogWriter(Clock& clock, File& file, LogWriterOptions options, const LogStart& start);
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // Writes batches and seals until close() or an error; spawned once by the owner.
  Task<Result<>> run();
  void close();

  class AppendAwaiter;
  // Of `record` the writer fills in replica, lsn and previous epoch; an LSN that is given (by a
  // primary) must be the next one. `checksums` has one for each 4 KiB of payload; `payload`'s
  // buffers are whole blocks, aligned to blocks, and must not change until the record is durable.
  // Both spans outlive the await, `sequence` the record's flight.
  AppendAwaiter append(RecordSequence& sequence, const RecordHeader& record,
                       std::span<const std::uint32_t> checksums, std::span<const Buffer> payload);

  // Writes a record of the sequence once more, as it was: `record` with its own replica, lsn and
  // epochs. The sequence does not move; on_written tells the copy's place. The caller sees to it
  // that the record was not dropped by a cut.
  AppendAwaiter append_again(RecordSequence& sequence, const RecordHeader& record,
                             std::span<const std::uint32_t> checksums,
                             std::span<const Buffer> payload);
  // Drops the records behind `kept` (0: all), whose epoch is `kept_epoch`, by order of the epoch
  // `ordered`: writes a truncation, and moves the sequence back in the same step. on_written hears
  // of what was placed before, dropped or not, and then of the truncation. An append of the
  // sequence that waits meanwhile is judged when its turn comes.
  AppendAwaiter append_truncate(RecordSequence& sequence, Lsn kept, Epoch kept_epoch,
                                Epoch ordered);

  // Resolves when the record's batch is written (of a buffered sequence maybe not durable) …
  Task<Result<LogPlace>> written(LogTicket ticket);
  // … and when it is on stable media, with a sync if it takes one.
  Task<Result<LogPlace>> durable(LogTicket ticket);
  // Everything written before the call is durable when it resolves.
  Task<Result<>> sync();
  // Whoever was appended before the call has been told what became of it when it resolves: nothing
  // of it is on its way any more, also when the log has failed.
  Task<Result<>> settle();

  // The last known end of a batch that is durable, not before the tail and not behind `needed`:
  // the best checkpoint for an owner that needs the log from there on. Nothing: the one it has.
  std::optional<ChainPoint> checkpoint_at(LogPosition needed) const;
  // Space before `position`, the end of a durable batch, may be reused, as soon as no pin holds it.
  // Only forward; less is ignored.
  void release_up_to(LogPosition position);
  // Holds what is at or behind `position`, or the tail if that is further: what is before it is
  // gone.
  [[nodiscard]] LogPin pin(LogPosition position);

  const LogWriterOptions& options() const { return options_; }
  LogGeneration generation() const { return generation_; }
  LogPosition tail() const { return tail_; }
  LogPosition durable_end() const { return durable_; }
  LogPosition written_end() const { return chain_.end; }
  // With what is gathered or on its way.
  LogPosition head() const;
  // How full the ring is for new records, 0 to 1: for back-pressure.
  double fill_ratio() const;
  std::size_t waiting() const { return new_records_.count + urgent_.count; }
  std::uint64_t batches_written() const { return batches_written_; }
  const std::optional<Error>& failure() const { return failure_; }

  enum class AppendKind : std::uint8_t { kNew, kAgain, kTruncate };

  class [[nodiscard]] AppendAwaiter final : public Waiter {
   public:
    bool await_ready() { return writer_.place_at_once(*this); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      if (!prepare(caller.promise())) return false;
      writer_.enqueue(*this);
      return true;
    }
    Result<LogTicket> await_resume() {
      if (ticket_) return std::move(*ticket_);
      return outcome().error();
    }

   private:
    friend class LogWriter;
    AppendAwaiter(LogWriter& writer, AppendKind kind, RecordSequence& sequence,
                  const RecordHeader& record, std::span<const std::uint32_t> checksums,
                  std::span<const Buffer> payload)
        : writer_(writer),
          kind_(kind),
          sequence_(sequence),
          record_(record),
          checksums_(checksums),
          payload_(payload) {}
    void after_cancel() override { writer_.forget(*this); }

    LogWriter& writer_;
    const AppendKind kind_;
    RecordSequence& sequence_;
    const RecordHeader record_;
    const std::span<const std::uint32_t> checksums_;
    const std::span<const Buffer> payload_;
    std::optional<Result<LogTicket>> ticket_;
  };

 private:
  // A batch that gathers or is on its way. Its vectors keep their memory from batch to batch.
  struct Gathering {
    std::vector<RecordHeader> records;
    std::vector<RecordSequence*> sequences;  // of each record; null for a seal
    std::vector<std::uint32_t> checksums;
    std::vector<Buffer> payload;
    std::uint64_t payload_length = 0;
    bool is_durable = false;  // a record of it wants that
    std::shared_ptr<BatchOutcome> outcome;

    // Sets `at_half`, if it is given, when half of the records have been told.
    void tell_written(Event* at_half) const;
    void tell_failed(const Error& error) const;
    void clear();
  };
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  // A batch on its way, or room for one.
  struct Flight {
    enum class State : std::uint8_t { kFree, kWriting, kWritten };

    State state = State::kFree;
    // What it takes until it counts as durable: DSYNC suffices behind what is durable by then.
    Durability durability = Durability::kNone;
    Gathering batch;
    BatchHeader header;
    ChainPoint before;
    ChainPoint after;
    std::unique_ptr<std::byte[], Free> memory{};  // of the header
    std::vector<ConstIoSlice> slices;
  };
  class SealTimer final : public Timer {
   public:
    explicit SealTimer(LogWriter& writer) : writer_(writer) {}
    void on_timer() override { writer_.on_seal_timer(); }

   private:
    LogWriter& writer_;
  };

  // Appends that wait, first come first served.
  struct Queue {
    WaitList list;
    std::size_t count = 0;
  };

  friend class LogPin;
  void move_pin(LogPosition from, LogPosition to);
  void unpin(LogPosition position);
  void move_tail();

  Result<> admissible(const AppendAwaiter& append) const;
  Result<> carries_its_payload(const AppendAwaiter& append) const;
  bool has_room(const AppendAwaiter& append) const;
  LogTicket put(AppendAwaiter& append);
  bool place_at_once(AppendAwaiter& append);
  void enqueue(AppendAwaiter& append);
  void forget(const AppendAwaiter& append);
  void place_waiting();
  bool place_from(Queue& queue);
  Queue& queue_of(const AppendAwaiter& append) {
    return append.kind_ == AppendKind::kNew ? new_records_ : urgent_;
  }
  std::shared_ptr<BatchOutcome> new_outcome();
  std::shared_ptr<BatchOutcome> pending_outcome() const;

  LogPosition end_with(std::size_t records, std::size_t blocks) const;
  // Whether the log may reach to `end` when so much of it stays free.
  bool fits(LogPosition end, ByteCount left_free = ByteCount()) const;
  bool wants_seal() const;
  void on_seal_timer();
  void gather_seal();
  Task<Result<>> run_lane();
  Task<Result<>> write_batch(Flight& flight);
  Task<Result<>> count_written();
  void begin_flight(Flight& flight);
  Flight* free_flight();
  Flight* next_written();
  void give_up_written();
  BatchHeader header_of(const Gathering& batch) const;
  void written_batch(Flight& flight);
  void fail(const Error& error);

  Clock& clock_;
  File& file_;
  const LogWriterOptions options_;
  const LogRing ring_;
  const LogGeneration generation_;

  ChainPoint chain_;  // behind the last batch that was written
  LogPosition tail_;
  LogPosition released_;  // the tail but for the pins
  std::vector<LogPosition> pins_;
  LogPosition durable_;
  LogPosition records_end_;
  LogPosition durable_said_;

  ChainHistory history_;

  std::pmr::unsynchronized_pool_resource outcomes_;
  std::size_t outcomes_alive_ = 0;
  Gathering next_;
  ChainPoint begun_;             // behind the last batch that is on its way
  bool begins_durable_ = false;  // that one is durable when it counts
  bool is_counting_ = false;
  std::vector<Flight> flights_;
  std::size_t in_flight_ = 0;

  Queue new_records_;
  Queue urgent_;  // copies and cuts; goes first
  Event work_;
  Mutex sync_lock_;
  SealTimer seal_timer_;
  bool seal_due_ = false;
  bool closing_ = false;
  std::optional<Error> failure_;
  std::uint64_t batches_written_ = 0;
};

// Makes `file` a log: `capacity` bytes of written zeros, so that no later write allocates (a
// DSYNC write into allocated but unwritten space costs nearly twice as much). Durable when it
// resolves; the caller makes the file's name durable.
Task<Result<>> prepare_log(File& file, ByteCount capacity);

}  // namespace ashlar::engine
