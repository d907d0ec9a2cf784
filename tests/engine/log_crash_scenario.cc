#include "tests/engine/log_crash_scenario.h"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "tests/engine/log_test_support.h"

namespace ashlar::engine {
namespace {

using sim::CrashKind;
using sim::SimNode;
using sim::SimWorld;

constexpr ByteCount kCapacity{1 << 20};
constexpr unsigned kReplicas = 3;
constexpr int kCrashes = 8;
constexpr const char* kPath = "/data/log";

// One thing that was appended: a record, a copy of one, or the cut of a tail.
struct Known {
  RecordHeader header;
  std::vector<std::uint32_t> checksums;
  std::uint64_t content = 0;  // of a write
  LogPosition end;            // of its batch, once it is written
};

// The history of one replica as the world outside knows it: what was appended and not lost since,
// in the order of the log.
struct History {
  std::vector<Known> records;
  std::uint64_t acknowledged = 0;  // the first so many
  std::uint64_t flushed = 0;       // at or before the checkpoint

  // Which of them are the records 1, 2, … that no cut has dropped; copies are not among them.
  std::vector<std::size_t> kept() const {
    std::vector<std::size_t> kept;
    for (std::size_t i = 0; i < records.size(); ++i) {
      const std::uint64_t lsn = records[i].header.lsn.value();
      if (records[i].header.type == RecordType::kTruncate) {
        kept.resize(lsn);
      } else if (lsn == kept.size() + 1) {
        kept.push_back(i);
      }
    }
    return kept;
  }
};

// What survives a crash: the oracle and the store's superblock.
struct Outside {
  LogBug bug = LogBug::kNone;
  std::array<LogDurability, kReplicas> durability{};
  ByteCount reserve;
  std::uint64_t most_unacknowledged = 8;
  std::array<History, kReplicas> histories;
  LogCheckpoint checkpoint;
  bool prepared = false;
  LogCrashResult result;
  std::uint64_t recoveries = 0;

  void fail(std::string why) {
    if (result.failure.empty()) result.failure = std::move(why);
  }
  History& history_of(const ReplicaUuid& replica) {
    for (unsigned n = 0; n < kReplicas; ++n) {
      if (replica == replica_of(n + 1)) return histories[n];
    }
    ASHLAR_UNREACHABLE("replica {}", replica);
  }
};

// Sees to it that the writer tells of all that was appended, in its order.
struct CrashSequence final : RecordSequence {
  explicit CrashSequence(unsigned n) : RecordSequence(replica_of(n)) {}

  void on_written(const RecordHeader& record, const LogPlace& place) override {
    History& history = outside->history_of(replica);
    if (told >= history.records.size() || !(history.records[told].header == record)) {
      outside->fail(fmt::format("the replica was told of record {} out of turn", record.lsn));
      return;
    }
    history.records[told++].end = place.after.end;
  }
  void on_failed(const RecordHeader& /*record*/, const Error& /*error*/) override {}

  Outside* outside = nullptr;
  std::size_t told = 0;  // how much of the history is written
};

// One life of the process.
struct Life {
  Life(Runtime r, Outside* o) : runtime(r), outside(o) {}

  Runtime runtime;
  Outside* outside;
  BufferPool pool{"life", ByteCount(16 << 20)};
  std::unique_ptr<File> file;
  std::unique_ptr<LogWriter> writer;
  std::array<CrashSequence, kReplicas> sequences{CrashSequence(1), CrashSequence(2),
                                                 CrashSequence(3)};
  std::array<std::uint64_t, kReplicas> unacknowledged{};
  LogPlace last_place;
};

// Reads the last records that recovery vouched for, as a later read would.
Task<Result<>> check_bytes(Life& life, const std::vector<Delivered>& delivered) {
  const std::size_t skipped = delivered.size() - std::min<std::size_t>(delivered.size(), 32);
  const LogRing ring(kCapacity);
  for (std::size_t i = skipped; i < delivered.size(); ++i) {
    const Delivered& record = delivered[i];
    if (record.checksums.empty()) continue;
    Result<Buffer> bytes = life.pool.allocate(ByteCount(record.header.payload_length));
    if (!bytes.ok()) co_return bytes.error();
    ASHLAR_CO_TRY(co_await life.file->read(ring.physical(record.payload), bytes->bytes()));
    const BlockChecksum checksum(*volume_of(record.header.replica));
    for (std::size_t k = 0; k < record.checksums.size(); ++k) {
      const ByteSpan block = bytes->bytes().subspan(k * kBlockSize, kBlockSize);
      if (checksum.of(record.header.first_block + k, block) == record.checksums[k]) continue;
      life.outside->fail(
          fmt::format("record {} was recovered without its bytes", record.header.lsn));
    }
  }
  co_return Result<>();
}

Task<Result<>> recover(Life& life, LogRecovery* recovery) {
  Outside& outside = *life.outside;
  std::array<std::uint64_t, kReplicas> found{};
  for (unsigned n = 0; n < kReplicas; ++n) found[n] = outside.histories[n].flushed;
  std::vector<Delivered> delivered;
  LogReader reader(*life.file, {.store = test_uuid<StoreUuid>(200), .capacity = kCapacity});
  const LogReader::VolumeOf volumes =
      [&outside](const ReplicaUuid& replica) -> std::optional<VolumeUuid> {
    if (outside.bug == LogBug::kTrustTornTail) return std::nullopt;
    return volume_of(replica);
  };
  const LogReader::Deliver deliver = [&](const RecoveredRecord& record) -> Result<> {
    History& history = outside.history_of(record.header.replica);
    std::uint64_t& last = found[static_cast<std::size_t>(&history - outside.histories.data())];
    const Lsn lsn = record.header.lsn;
    if (last >= history.records.size()) {
      outside.fail(fmt::format("record {} came back from the dead", lsn));
    } else if (!(history.records[last].header == record.header) ||
               !std::ranges::equal(history.records[last].checksums, record.checksums)) {
      outside.fail(fmt::format("record {} is not the one that was appended", lsn));
    }
    if (!outside.result.failure.empty()) return Error::aborted("the oracle has seen enough");
    ++last;
    history.records[last - 1].end = record.after.end;
    delivered.push_back({record.header,
                         {record.checksums.begin(), record.checksums.end()},
                         record.payload,
                         record.after});
    return {};
  };
  Result<LogRecovery> recovered = co_await reader.recover(outside.checkpoint, volumes, deliver);
  if (!recovered.ok()) co_return recovered.error();
  *recovery = *recovered;
  ASHLAR_CO_TRY(co_await check_bytes(life, delivered));
  if (recovery->verdict == LogVerdict::kDamage) {
    outside.fail(
        fmt::format("a torn tail was called damage: the chain ends at {} (generation {}), "
                    "the log was said to be durable up to {}; the checkpoint is at {}, "
                    "generation {} from {}",
                    recovery->chain.end, recovery->chain.generation, recovery->durable_bound,
                    outside.checkpoint.chain.end, outside.checkpoint.generation,
                    outside.checkpoint.generation_start));
  }
  outside.result.torn_tails += recovery->verdict == LogVerdict::kTornTail;
  outside.result.recovered += recovery->records;
  for (unsigned n = 0; n < kReplicas; ++n) {
    History& history = outside.histories[n];
    if (found[n] < history.acknowledged) {
      outside.fail(fmt::format("record {} of replica {} was acknowledged and is gone",
                               history.acknowledged, n + 1));
      co_return Error::aborted("the oracle has seen enough");
    }
    history.records.resize(found[n]);
    history.acknowledged = found[n];
    CrashSequence& sequence = life.sequences[n];
    sequence.outside = &outside;
    sequence.told = found[n];
    sequence.durability = outside.durability[n];
    const std::vector<std::size_t> kept = history.kept();
    sequence.last_lsn = Lsn(kept.size());
    if (!kept.empty()) sequence.last_epoch = history.records[kept.back()].header.epoch;
  }
  ++outside.recoveries;
  co_return Result<>();
}

Task<void> acknowledge(Life* life, unsigned n, std::size_t number, LogTicket ticket) {
  History& history = life->outside->histories[n];
  if (life->outside->bug == LogBug::kAckBeforeDurable) history.acknowledged = number;
  const Result<LogPlace> place = co_await life->writer->durable(std::move(ticket));
  if (!place.ok()) co_return;
  history.acknowledged = std::max(history.acknowledged, number);
  if (life->last_place.after.end < place->after.end) life->last_place = *place;
  --life->unacknowledged[n];
  ++life->outside->result.acknowledged;
}

// What a client appends next: `known` as the log will show it, and its bytes.
struct Next {
  Known known;
  TestRecord record;
  bool is_copy = false;
};

TestRecord write_of(Life& life, unsigned n, std::uint64_t content) {
  const std::size_t blocks = content % 29 == 0 ? 40 : 1 + content % 3;
  return make_write(life.pool, replica_of(n + 1), BlockIndex(content % 1000), blocks, content);
}

// Often the bytes a client would repeat after a crash, else new ones.
Next next_record(Life& life, unsigned n) {
  Random& random = life.runtime.random;
  RecordSequence& sequence = life.sequences[n];
  const Lsn lsn = sequence.last_lsn.next();
  Next next;
  if (random.chance(1, 8)) {
    next.record = make_plain(RecordType::kDiscard, 1 + random.below(100));
  } else if (random.chance(1, 16)) {
    next.record = make_plain(RecordType::kEpochStart, 0);
  } else {
    const bool repeated = random.chance(3, 4);
    next.known.content = repeated ? std::uint64_t{n} * 1'000'003 + lsn.value() : random.next();
    next.record = write_of(life, n, next.known.content);
  }
  RecordHeader& header = next.record.header;
  header.epoch = std::max(sequence.last_epoch, Epoch(life.outside->recoveries % 2 + 1));
  header.replica = sequence.replica;
  header.lsn = lsn;
  header.previous_epoch = sequence.last_epoch;
  return next;
}

// Of one of the last records, whatever became of its first place.
Next next_copy(Life& life, unsigned n, const std::vector<std::size_t>& kept) {
  const std::uint64_t back = life.runtime.random.below(std::min<std::uint64_t>(kept.size(), 20));
  Next next{.known = life.outside->histories[n].records[kept[kept.size() - 1 - back]],
            .record = {},
            .is_copy = true};
  const bool has_bytes = next.known.header.type == RecordType::kWrite;
  if (has_bytes) next.record = write_of(life, n, next.known.content);
  next.record.header = next.known.header;
  return next;
}

Next next_cut(Life& life, unsigned n, const std::vector<std::size_t>& kept) {
  const std::uint64_t back = life.runtime.random.below(std::min<std::uint64_t>(kept.size(), 5) + 1);
  const std::uint64_t last = kept.size() - back;
  const History& history = life.outside->histories[n];
  Next next;
  RecordHeader& header = next.record.header;
  header = {.type = RecordType::kTruncate,
            .replica = replica_of(n + 1),
            .epoch = std::max(life.sequences[n].last_epoch, Epoch(2)),
            .lsn = Lsn(last)};
  if (last > 0) header.previous_epoch = history.records[kept[last - 1]].header.epoch;
  return next;
}

Next choose_next(Life& life, unsigned n) {
  const std::uint64_t chance = life.runtime.random.below(100);
  if (chance < 90) return next_record(life, n);
  const std::vector<std::size_t> kept = life.outside->histories[n].kept();
  if (kept.empty()) return next_record(life, n);
  return chance < 97 ? next_copy(life, n, kept) : next_cut(life, n, kept);
}

Task<Result<LogTicket>> append_next(Life* life, unsigned n, Next next) {
  RecordSequence& sequence = life->sequences[n];
  const TestRecord& record = next.record;
  LogCrashResult& result = life->outside->result;
  if (record.header.type == RecordType::kTruncate) {
    ++result.cuts;
    if (life->outside->bug == LogBug::kCutWithoutRecord) {
      // A discard takes the place of the truncation in the log.
      sequence.last_lsn = record.header.lsn;
      sequence.last_epoch = record.header.previous_epoch;
      const TestRecord other = make_plain(RecordType::kDiscard, 1);
      co_return co_await life->writer->append(sequence, other.header, {}, {});
    }
    co_return co_await life->writer->append_truncate(
        sequence, record.header.lsn, record.header.previous_epoch, record.header.epoch);
  }
  if (next.is_copy) {
    ++result.copies;
    co_return co_await life->writer->append_again(sequence, record.header, record.checksums,
                                                  record.payload);
  }
  co_return co_await life->writer->append(sequence, record.header, record.checksums,
                                          record.payload);
}

Task<void> client(Life* life, unsigned n) {
  Outside& outside = *life->outside;
  TaskScope acks(co_await this_task());
  while (outside.result.failure.empty() && !life->writer->failure()) {
    if (life->unacknowledged[n] >= outside.most_unacknowledged) {
      (void)co_await sleep_for(life->runtime.clock, 50us);
      continue;
    }
    Next next = choose_next(*life, n);
    next.known.header = next.record.header;
    next.known.checksums = next.record.checksums;
    next.known.end = LogPosition();
    outside.histories[n].records.push_back(next.known);
    const std::size_t number = outside.histories[n].records.size();
    outside.result.waits += life->writer->waiting();
    Result<LogTicket> ticket = co_await append_next(life, n, std::move(next));
    if (!ticket.ok()) break;
    ++life->unacknowledged[n];
    acks.spawn(acknowledge(life, n, number, std::move(*ticket)));
    if (life->runtime.random.chance(1, 4)) {
      const Duration idle = life->runtime.random.between(Duration(0), Duration(300us));
      (void)co_await sleep_for(life->runtime.clock, idle);
    }
    if (life->runtime.random.chance(1, 200)) {
      (void)co_await sleep_for(life->runtime.clock, 15ms);  // long enough for a seal
    }
  }
  (co_await acks.join()).value();
}

// The flusher's shadow: moves the checkpoint to the end of a durable batch, stores it, and only
// then gives the space back.
Task<void> releaser(Life* life) {
  Outside& outside = *life->outside;
  while (outside.result.failure.empty() && !life->writer->failure()) {
    const Duration idle = life->runtime.random.between(Duration(0), Duration(4ms));
    (void)co_await sleep_for(life->runtime.clock, idle);
    const std::uint64_t back =
        life->runtime.random.chance(1, 2) ? 0 : life->runtime.random.below(kCapacity.value() / 2);
    const LogPosition last = life->last_place.after.end;
    const std::optional<ChainPoint> point =
        life->writer->checkpoint_at(last - std::min(back, last.value()));
    const ChainPoint target = back == 0 ? life->last_place.after : point.value_or(ChainPoint());
    if (target.end <= outside.checkpoint.chain.end) continue;
    for (unsigned n = 0; n < kReplicas; ++n) {
      History& history = outside.histories[n];
      while (history.flushed < life->sequences[n].told &&
             history.records[history.flushed].end <= target.end) {
        ++history.flushed;
      }
    }
    outside.checkpoint.chain = target;
    outside.checkpoint.durable_bound = target.end;
    outside.result.laps = std::max(outside.result.laps, target.end.value() / kCapacity.value());
    life->writer->release_up_to(target.end);
  }
}

Task<void> write_until_error(Life* life) {
  (void)co_await life->writer->run();
}

Task<void> serve(Runtime runtime, Outside* outside) {
  const auto life = std::make_unique<Life>(runtime, outside);
  Result<std::unique_ptr<File>> opened = co_await runtime.files.open(kPath, OpenMode::kCreate);
  if (!opened.ok()) co_return;
  life->file = std::move(*opened);
  if (!outside->prepared) {
    const Result<> prepared = co_await prepare_log(*life->file, kCapacity);
    if (!prepared.ok() || !(co_await runtime.files.sync_directory("/data")).ok()) co_return;
    outside->prepared = true;
  }
  LogRecovery recovery;
  const Result<> recovered = co_await recover(*life, &recovery);
  if (!recovered.ok()) co_return;
  // Without it a log that was recovered full would stay full.
  life->last_place.after = recovery.chain;
  LogStart start = recovery.start_of(outside->checkpoint.chain.end);
  if (outside->bug == LogBug::kNoGenerationBump) {
    start.generation = LogGeneration(1);
    start.chain.generation = LogGeneration(0);
  } else {
    outside->checkpoint = recovery.checkpoint_of(outside->checkpoint.chain);
  }
  life->writer = std::make_unique<LogWriter>(
      runtime.clock, *life->file,
      LogWriterOptions{
          .store = test_uuid<StoreUuid>(200), .capacity = kCapacity, .reserve = outside->reserve},
      start);
  TaskScope scope(co_await this_task());
  scope.spawn(write_until_error(life.get()));
  scope.spawn(releaser(life.get()));
  for (unsigned n = 0; n < kReplicas; ++n) scope.spawn(client(life.get(), n));
  (co_await scope.join()).value();
}

}  // namespace

LogCrashResult run_log_crashes(std::uint64_t seed, LogBug bug) {
  SimWorld world(seed);
  world.set_event_limit(5'000'000);
  Random random = world.split("scenario");
  SimNode& node = world.add_node();
  if (random.chance(1, 4)) node.disk().faults.write_error = 200;
  Outside outside;
  outside.bug = bug;
  for (LogDurability& durability : outside.durability) {
    if (random.chance(1, 2)) durability = LogDurability::kBuffered;
  }
  if (random.chance(1, 2)) outside.reserve = ByteCount(kCapacity.value() / 4);
  outside.most_unacknowledged = random.chance(1, 3) ? 1 : random.between(2, 24);
  node.start([&outside](Runtime runtime) { return serve(runtime, &outside); });
  const auto failed = [&] { return !outside.result.failure.empty(); };
  for (int crash = 0; crash < kCrashes && !failed(); ++crash) {
    // Soon after the start, to hit recovery and the first batches, or in the middle of the work.
    const std::uint64_t steps = random.between(1, random.chance(1, 3) ? 150 : 600);
    if (outside.prepared) node.crash_after_steps(steps, CrashKind::kPowerFail);
    world.run_until([&] { return !node.is_running() || failed() || !outside.prepared; }, 60s);
    world.run_until([&] { return !node.is_running() || failed() || crash == 0; }, 60s);
    if (failed()) break;
    if (crash == 0) {
      world.run_until([&] { return outside.prepared || !node.is_running(); }, 60s);
      if (node.is_running()) world.run_for(random.between(Duration(0), Duration(20ms)));
    } else if (node.is_running()) {
      outside.fail("the process stands still");
      break;
    }
    if (node.has_power()) node.power_fail();
    ++outside.result.crashes;
    world.run_for(random.between(Duration(0), Duration(1ms)));
    node.restart();
  }
  // Without faults the log must come up and serve.
  if (!failed()) {
    if (node.has_power()) node.power_fail();
    node.disk().faults = {};
    node.restart();
    const std::uint64_t recoveries = outside.recoveries;
    const std::uint64_t before = outside.result.acknowledged;
    const bool served = world.run_until(
        [&] {
          return failed() ||
                 (outside.recoveries > recoveries && outside.result.acknowledged > before + 10);
        },
        60s);
    if (!served) outside.fail("the log did not come up on a healthy machine");
  }
  outside.result.trace_hash = world.trace_hash();
  return outside.result;
}

}  // namespace ashlar::engine
