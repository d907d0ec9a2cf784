// ashlar_golden_store: makes a small store that has a bit of everything on the real disk, and says
// what one holds. tests/README.md tells what golden stores are; the tests of ashlar-store use it
// too.
//
//   ashlar_golden_store make DIR      DIR is a new store; the process ends without closing it, so
//                                     that a part of it is in the log only
//   ashlar_golden_store describe DIR  opens the store, prints all it holds, closes it
//   ashlar_golden_store hold DIR      opens the store, says "open", waits to be killed
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

#include "common/runtime/uring/reactor.h"
#include "engine/block_checksum.h"
#include "engine/store.h"

namespace ashlar::engine {
namespace {

constexpr ByteCount kMemory{64 << 20};
// Volume 1 had as many until it was resized.
constexpr std::uint64_t kBlocksOfSnapshots = 1024;

template <class Id>
Id golden_uuid(unsigned kind, unsigned number) {
  std::array<std::byte, Uuid::kSize> bytes{};
  bytes[0] = static_cast<std::byte>(kind);
  bytes[15] = static_cast<std::byte>(number);
  return Id(std::span<const std::byte, Uuid::kSize>(bytes));
}
ReplicaUuid replica_uuid(unsigned number) {
  return golden_uuid<ReplicaUuid>(0xa0, number);
}
VolumeUuid volume_uuid(unsigned number) {
  return golden_uuid<VolumeUuid>(0xb0, number);
}
SnapshotUuid snapshot_uuid(unsigned number) {
  return golden_uuid<SnapshotUuid>(0xc0, number);
}

// Flushes only when told to.
StoreOptions golden_options(std::string directory) {
  return {.directory = std::move(directory),
          .server = golden_uuid<ServerUuid>(0xd0, 1),
          .log_capacity = ByteCount(1 << 20),
          .smallest_log = ByteCount(1 << 20),
          .payload_memory = ByteCount(8 << 20),
          .map_memory = ByteCount(1 << 20),
          .flush_delay = 1h,
          .space_reserve = ByteCount(1 << 20)};
}

// --- blocks that say which they are --------------------------------------------------------------

void fill_block(MutableByteSpan block, std::uint64_t content) {
  for (std::size_t at = 0; at < block.size(); at += 8) store_le64(block, at, content << 16 | at);
}
std::string text_of_block(ByteSpan block) {
  const std::uint64_t content = load_le64(block) >> 16;
  bool is_zero = true;
  bool is_filled = true;
  for (std::size_t at = 0; at < block.size(); at += 8) {
    const std::uint64_t word = load_le64(block, at);
    is_zero = is_zero && word == 0;
    is_filled = is_filled && word == (content << 16 | at);
  }
  if (is_zero) return "";
  return is_filled ? fmt::format("{}", content) : "unknown";
}
std::string text_of(ByteSpan bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<unsigned>(byte);
    text +=
        value >= 0x20 && value < 0x7f ? fmt::format("{:c}", value) : fmt::format("\\{:02x}", value);
  }
  return text;
}
std::vector<std::byte> bytes_of(std::string_view text) {
  const ByteSpan bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// --- making --------------------------------------------------------------------------------------

class Maker {
 public:
  Maker(Runtime runtime, BufferPool& pool, Store& store)
      : runtime_(runtime), pool_(pool), store_(store) {}

  Task<Result<>> make();

 private:
  struct Payload {
    Buffer bytes;
    std::vector<std::uint32_t> checksums;
  };

  Result<Payload> payload(const Replica& replica, BlockRange blocks, std::uint64_t content) {
    Payload made;
    ASHLAR_TRY_ASSIGN(made.bytes, pool_.allocate(ByteCount(blocks.count * kBlockSize)));
    const BlockChecksum checksum(replica.volume());
    for (std::uint64_t i = 0; i < blocks.count; ++i) {
      const MutableByteSpan block = made.bytes.bytes().subspan(i * kBlockSize, kBlockSize);
      fill_block(block, content + i);
      made.checksums.push_back(checksum.of(blocks.first + i, block));
    }
    return made;
  }
  Task<Result<>> write(Replica& replica, BlockRange blocks, std::uint64_t content) {
    ASHLAR_CO_TRY_ASSIGN(Payload made, payload(replica, blocks, content));
    const Result<Lsn> lsn = co_await replica.write(blocks, std::move(made.bytes), made.checksums);
    co_return lsn.ok() ? Result<>() : Result<>(lsn.error());
  }
  // A record as replication hands it over.
  Task<Result<>> append(Replica& replica, RecordHeader header, std::uint64_t content) {
    header.replica = replica.uuid();
    Payload made;
    if (header.type == RecordType::kWrite) {
      ASHLAR_CO_TRY_ASSIGN(made,
                           payload(replica, {header.first_block, header.block_count}, content));
      header.payload_length = static_cast<std::uint32_t>(made.bytes.size());
    }
    const Result<Lsn> lsn = co_await replica.append(header, made.checksums, std::move(made.bytes));
    if (!lsn.ok()) co_return lsn.error();
    co_return co_await replica.durable(*lsn);
  }

  Task<Result<>> flushed_part(Replica& replica);
  Task<Result<>> logged_part(Replica& replica);
  Task<Result<>> clone(Replica& parent);
  Task<Result<>> replicated_volume();

  const Runtime runtime_;
  BufferPool& pool_;
  Store& store_;
};

// Two layers with a snapshot between them; a discard that hides what is below.
Task<Result<>> Maker::flushed_part(Replica& replica) {
  const std::vector<std::byte> attachment = bytes_of("config of volume 1");
  const std::vector<std::byte> reservations = bytes_of("reservation one");
  ASHLAR_CO_TRY(co_await replica.set_attachment(attachment));
  ASHLAR_CO_TRY(co_await replica.promise(Epoch(3)));
  ASHLAR_CO_TRY(co_await replica.start_epoch(Epoch(3)));
  ASHLAR_CO_TRY(co_await write(replica, {BlockIndex(10), 20}, 100));
  ASHLAR_CO_TRY(co_await write(replica, {BlockIndex(100), 4}, 200));
  ASHLAR_CO_TRY(co_await replica.set_reservations(reservations));
  ASHLAR_CO_TRY(co_await replica.snapshot(snapshot_uuid(1), WallTime(1'700'000'000s)));
  ASHLAR_CO_TRY(co_await replica.discard({BlockIndex(12), 3}));
  ASHLAR_CO_TRY(co_await write(replica, {BlockIndex(20), 2}, 300));
  ASHLAR_CO_TRY(co_await write(replica, {BlockIndex(1000), 1}, 350));
  co_return co_await store_.checkpoint();
}

// What stands in the log only.
Task<Result<>> Maker::logged_part(Replica& replica) {
  ASHLAR_CO_TRY(co_await replica.promise(Epoch(4)));
  ASHLAR_CO_TRY(co_await replica.start_epoch(Epoch(4)));
  ASHLAR_CO_TRY(co_await write(replica, {BlockIndex(40), 3}, 400));
  ASHLAR_CO_TRY(co_await replica.discard({BlockIndex(101), 1}));
  ASHLAR_CO_TRY(co_await replica.snapshot(snapshot_uuid(2), WallTime(1'700'000'100s)));
  ASHLAR_CO_TRY(co_await replica.resize(2048));
  ASHLAR_CO_TRY(co_await write(replica, {BlockIndex(2000), 1}, 500));
  ASHLAR_CO_TRY(co_await replica.write_zeroes({BlockIndex(22), 1}));
  const std::vector<std::byte> reservations = bytes_of("reservation two");
  ASHLAR_CO_TRY(co_await replica.set_reservations(reservations));
  co_return Result<>();
}

Task<Result<>> Maker::clone(Replica& parent) {
  ASHLAR_CO_TRY_ASSIGN(Replica* const replica,
                       co_await store_.clone_replica(parent, snapshot_uuid(1),
                                                     {replica_uuid(3), volume_uuid(3), 1024}));
  replica->set_commit_rule(CommitRule::kDurable);
  ASHLAR_CO_TRY(co_await write(*replica, {BlockIndex(11), 1}, 900));
  ASHLAR_CO_TRY(co_await replica->discard({BlockIndex(15), 2}));
  ASHLAR_CO_TRY(co_await store_.checkpoint());
  co_return co_await write(*replica, {BlockIndex(13), 1}, 910);
}

// Records 3 to 5 of epoch 5 are dropped by the word of epoch 6; then its own follow, and what
// nobody has committed is appended once more.
Task<Result<>> Maker::replicated_volume() {
  ASHLAR_CO_TRY_ASSIGN(Replica* const replica,
                       co_await store_.create_replica({replica_uuid(2), volume_uuid(2), 512}));
  replica->set_commit_rule(CommitRule::kGiven);
  ASHLAR_CO_TRY(co_await replica->promise(Epoch(5)));
  RecordHeader write{.type = RecordType::kWrite, .epoch = Epoch(5), .block_count = 2};
  ASHLAR_CO_TRY(co_await append(*replica, write, 600));
  replica->set_commit(Lsn(1));
  replica->set_stable(Lsn(1));
  ASHLAR_CO_TRY(co_await store_.checkpoint());
  write.block_count = 1;
  write.previous_epoch = Epoch(5);
  for (std::uint64_t i = 0; i < 4; ++i) {
    write.first_block = BlockIndex(5 + i);
    ASHLAR_CO_TRY(co_await append(*replica, write, 700 + i));
  }
  replica->set_commit(Lsn(2));
  ASHLAR_CO_TRY(co_await replica->promise(Epoch(6)));
  ASHLAR_CO_TRY(co_await replica->truncate_after(Epoch(6), Lsn(2)));
  const RecordHeader start{
      .type = RecordType::kEpochStart, .epoch = Epoch(6), .previous_epoch = Epoch(5)};
  ASHLAR_CO_TRY(co_await append(*replica, start, 0));
  write.epoch = write.previous_epoch = Epoch(6);
  write.first_block = BlockIndex(7);
  ASHLAR_CO_TRY(co_await append(*replica, write, 710));
  co_return co_await replica->move_pending(LogPosition(1 << 20));
}

Task<Result<>> Maker::make() {
  ASHLAR_CO_TRY_ASSIGN(
      Replica* const replica,
      co_await store_.create_replica({replica_uuid(1), volume_uuid(1), kBlocksOfSnapshots}));
  replica->set_commit_rule(CommitRule::kDurable);
  ASHLAR_CO_TRY(co_await flushed_part(*replica));
  ASHLAR_CO_TRY(co_await clone(*replica));
  ASHLAR_CO_TRY(co_await replicated_volume());
  ASHLAR_CO_TRY(co_await logged_part(*replica));
  // The log says by a seal that all of it is durable.
  co_return co_await sleep_for(runtime_.clock, 500ms);
}

Task<Result<>> make(Runtime runtime, std::string directory) {
  const StoreOptions options = golden_options(std::move(directory));
  ASHLAR_CO_TRY(co_await Store::format(runtime, options, golden_uuid<StoreUuid>(0xe0, 1)));
  BufferPool pool("golden", kMemory);
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Store> store,
                       co_await Store::open(runtime, pool, options));
  Maker maker(runtime, pool, *store);
  const Result<> made = co_await maker.make();
  if (!made.ok()) fmt::print(stderr, "{}\n", made.error());
  std::_Exit(made.ok() ? 0 : 1);
}

// --- describing ----------------------------------------------------------------------------------

// In pieces: a read has a bound.
using ReadRange = std::function<Task<Result<Buffer>>(BlockRange)>;
Task<Result<>> print_contents(const ReadRange& read, std::uint64_t blocks,
                              std::string_view margin) {
  constexpr std::uint64_t kMost = 512;
  for (std::uint64_t first = 0; first < blocks; first += kMost) {
    const BlockRange range{BlockIndex(first), std::min(kMost, blocks - first)};
    const Result<Buffer> bytes = co_await read(range);
    if (!bytes.ok()) co_return bytes.error();
    for (std::uint64_t i = 0; i < range.count; ++i) {
      const std::string text = text_of_block(bytes->bytes().subspan(i * kBlockSize, kBlockSize));
      if (!text.empty()) fmt::print("{}block {}: {}\n", margin, first + i, text);
    }
  }
  co_return Result<>();
}

void print_state(const Replica& replica) {
  const ReplicaStatus status = replica.status();
  fmt::print("replica {}\n", replica.uuid());
  fmt::print("  volume {}, {} blocks\n", status.volume, status.size_blocks);
  fmt::print("  last record {} of epoch {}, promised epoch {}\n", status.last, status.last_epoch,
             status.promised);
  fmt::print("  candidate {}, repair needed {}, fault {}\n", status.candidate, status.repair_needed,
             status.fault.has_value());
  for (const EpochStart& start : replica.epochs()) {
    fmt::print("  epoch {} from record {}\n", start.epoch, start.first_lsn);
  }
  fmt::print("  reservations: {}\n", text_of(replica.reservations()));
  fmt::print("  attachment: {}\n", text_of(replica.attachment()));
}

Task<Result<>> describe_replica(Replica& replica) {
  replica.set_commit_rule(CommitRule::kDurable);
  print_state(replica);
  const ReadRange now = [&replica](BlockRange range) { return replica.read(range); };
  ASHLAR_CO_TRY(co_await print_contents(now, replica.size_blocks(), "  "));
  const std::vector<SnapshotStatus> snapshots = replica.snapshots();
  for (const SnapshotStatus& snapshot : snapshots) {
    fmt::print("  snapshot {} at record {}, {}\n", snapshot.uuid, snapshot.lsn,
               snapshot.created.to_string());
    const ReadRange then = [&replica, &snapshot](BlockRange range) {
      return replica.read_snapshot(snapshot.uuid, range);
    };
    ASHLAR_CO_TRY(co_await print_contents(then, kBlocksOfSnapshots, "    "));
  }
  co_return Result<>();
}

Task<Result<>> describe(Runtime runtime, std::string directory) {
  BufferPool pool("golden", kMemory);
  StoreOptions options = golden_options(std::move(directory));
  options.flush_delay = 10ms;  // a snapshot in the log is readable when it was flushed
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Store> store,
                       co_await Store::open(runtime, pool, options));
  fmt::print("store {}, log: {}\n", store->uuid(), to_string(store->recovery().verdict));
  for (const UnreadableReplica& one : store->unreadable()) {
    fmt::print("unreadable {}: {}\n", one.name, one.error);
  }
  Result<> outcome;
  const std::vector<Replica*> replicas = store->replicas();
  for (Replica* replica : replicas) {
    if (outcome.ok()) outcome = co_await describe_replica(*replica);
  }
  const Result<> closed = co_await store->close();
  co_return outcome.ok() ? closed : outcome;
}

Task<Result<>> hold(Runtime runtime, std::string directory) {
  BufferPool pool("golden", kMemory);
  const StoreOptions options = golden_options(std::move(directory));
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Store> store,
                       co_await Store::open(runtime, pool, options));
  fmt::print("open\n");
  std::fflush(stdout);
  while (true) ASHLAR_CO_TRY(co_await sleep_for(runtime.clock, 1h));
}

int run(int argc, char** argv) {
  const std::string_view mode = argc == 3 ? argv[1] : "";
  const auto task = mode == "make"       ? &make
                    : mode == "describe" ? &describe
                    : mode == "hold"     ? &hold
                                         : nullptr;
  if (task == nullptr) {
    fmt::print(stderr, "usage: ashlar_golden_store make|describe|hold DIR\n");
    return 2;
  }
  auto reactor = uring::Reactor::create({});
  Result<> outcome = reactor.ok() ? Result<>() : Result<>(reactor.error());
  if (outcome.ok()) outcome = (*reactor)->run(task((*reactor)->runtime(), argv[2]));
  if (outcome.ok()) return 0;
  fmt::print(stderr, "{}\n", outcome.error());
  return 1;
}

}  // namespace
}  // namespace ashlar::engine

int main(int argc, char** argv) {
  return ashlar::engine::run(argc, argv);
}
