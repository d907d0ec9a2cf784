// What the tests of the log share: a store with one log in memory, two volumes' worth of records to
// put into it, and a process to run coroutines in.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/buffer.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"
#include "engine/block_checksum.h"
#include "engine/log_reader.h"
#include "engine/log_writer.h"
#include "tests/engine/memory_file.h"

namespace ashlar::engine {

template <class Id>
Id test_uuid(unsigned last) {
  std::array<std::byte, Uuid::kSize> bytes{};
  bytes[0] = std::byte{0xa5};
  bytes[15] = static_cast<std::byte>(last);
  return Id(std::span<const std::byte, Uuid::kSize>(bytes));
}
inline ReplicaUuid replica_of(unsigned n) {
  return test_uuid<ReplicaUuid>(n);
}
// Replica n belongs to volume n.
inline std::optional<VolumeUuid> volume_of(const ReplicaUuid& replica) {
  return VolumeUuid(replica.untyped());
}

// A record with its payload, as a caller of append() holds it.
struct TestRecord {
  RecordHeader header;
  std::vector<std::uint32_t> checksums;
  std::vector<Buffer> payload;
};

// A write of `blocks` blocks whose bytes follow from `content`.
inline TestRecord make_write(BufferPool& pool, const ReplicaUuid& replica, BlockIndex first,
                             std::size_t blocks, std::uint64_t content) {
  TestRecord record;
  record.header = {.type = RecordType::kWrite,
                   .epoch = Epoch(1),
                   .first_block = first,
                   .block_count = blocks,
                   .payload_length = static_cast<std::uint32_t>(blocks * kBlockSize)};
  Buffer bytes = pool.allocate(ByteCount(blocks * kBlockSize)).value();
  Random(content).fill(bytes.bytes().first(kBlockSize));
  const BlockChecksum checksum(*volume_of(replica));
  for (std::size_t i = 0; i < blocks; ++i) {
    const MutableByteSpan block = bytes.bytes().subspan(i * kBlockSize, kBlockSize);
    if (i > 0) std::memcpy(block.data(), bytes.data(), kBlockSize);
    store_le64(block, 0, content + i);
    record.checksums.push_back(checksum.of(first + i, block));
  }
  record.payload.push_back(std::move(bytes));
  return record;
}

inline TestRecord make_plain(RecordType type, std::uint64_t blocks) {
  return {.header = {.type = type, .epoch = Epoch(1), .block_count = blocks}};
}

// What recovery delivered.
struct Delivered {
  RecordHeader header;
  std::vector<std::uint32_t> checksums;
  LogPosition payload;
  ChainPoint after;
};

// A replica that only writes down what it hears.
struct TestSequence final : RecordSequence {
  struct Written {
    RecordHeader record;
    LogPlace place;
  };

  using RecordSequence::RecordSequence;
  void on_written(const RecordHeader& record, const LogPlace& place) override {
    written.push_back({record, place});
  }
  void on_failed(const RecordHeader& record, const Error& /*error*/) override {
    failed.push_back(record);
  }

  std::vector<Written> written;
  std::vector<RecordHeader> failed;
};

struct LogLab {
  explicit LogLab(std::uint64_t capacity = 1 << 20, std::uint64_t seed = 1)
      : world(seed), node(world.add_node()), file(capacity) {
    options.capacity = ByteCount(capacity);
    options.store = test_uuid<StoreUuid>(200);
    options.batches_in_flight = 1;  // most tests look at one batch at a time
    for (unsigned n = 0; n < 8; ++n) sequences.emplace_back(replica_of(n));
  }

  // Runs a coroutine to its end.
  void run(Task<void> task) {
    if (!node.is_running()) node.boot();
    node.spawn(std::move(task));
    ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, 3600s));
  }

  void set_durability(LogDurability durability) {
    for (TestSequence& sequence : sequences) sequence.durability = durability;
  }

  using Body = std::function<Task<void>(LogLab&, LogWriter&)>;
  // Runs `body` beside a writer that goes on at `start`, and closes the log in the end.
  void write(Body body) { run(run_writer(this, &body)); }

  LogRecovery recover(LogCheckpoint checkpoint = {}) {
    LogRecovery recovery;
    delivered.clear();
    run(run_reader(this, checkpoint, &recovery));
    return recovery;
  }
  // Recovers and goes on behind it.
  LogRecovery reopen() {
    const LogRecovery recovery = recover();
    start = recovery.start_of(LogPosition(0));
    return recovery;
  }

  sim::SimWorld world;
  sim::SimNode& node;
  BufferPool pool{"test", ByteCount(64 << 20)};
  test::MemoryFile file;
  LogWriterOptions options;
  LogStart start{.generation = LogGeneration(1)};
  std::deque<TestSequence> sequences;
  std::vector<Delivered> delivered;
  Result<> outcome;  // of the last writer's run()

 private:
  static Task<void> keep_running(LogLab* lab, LogWriter* writer) {
    const Result<> ended = co_await writer->run();
    if (!ended.ok()) lab->outcome = ended.error();
  }
  static Task<void> run_writer(LogLab* lab, const Body* body) {
    LogWriter writer(lab->node.runtime().clock, lab->file, lab->options, lab->start);
    TaskScope scope(co_await this_task());
    scope.spawn(keep_running(lab, &writer));
    co_await (*body)(*lab, writer);
    writer.close();
    (co_await scope.join()).value();
  }
  static Task<void> run_reader(LogLab* lab, LogCheckpoint checkpoint, LogRecovery* recovery) {
    LogReader reader(lab->file, {.store = lab->options.store, .capacity = lab->options.capacity});
    const LogReader::VolumeOf volumes = [](const ReplicaUuid& replica) {
      return volume_of(replica);
    };
    const LogReader::Deliver deliver = [lab](const RecoveredRecord& record) -> Result<> {
      lab->delivered.push_back({record.header,
                                {record.checksums.begin(), record.checksums.end()},
                                record.payload,
                                record.after});
      return {};
    };
    Result<LogRecovery> recovered = co_await reader.recover(checkpoint, volumes, deliver);
    *recovery = recovered.value();
  }
};

inline Task<Result<LogTicket>> append(LogWriter& writer, RecordSequence& sequence,
                                      TestRecord record) {
  co_return co_await writer.append(sequence, record.header, record.checksums, record.payload);
}

// Appends a write and waits until it is durable.
inline Task<Result<LogPlace>> append_durably(LogLab& lab, LogWriter& writer, unsigned replica,
                                             BlockIndex first, std::size_t blocks,
                                             std::uint64_t content) {
  RecordSequence& sequence = lab.sequences[replica];
  TestRecord record = make_write(lab.pool, sequence.replica, first, blocks, content);
  ASHLAR_CO_TRY_ASSIGN(LogTicket ticket, co_await append(writer, sequence, std::move(record)));
  co_return co_await writer.durable(std::move(ticket));
}

}  // namespace ashlar::engine
