// What the tests of replicas and stores share: a machine with a disk, a store on it, and volumes
// whose contents follow from a number, so that a block tells which write it comes from.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/crc32c.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"
#include "engine/store.h"
#include "tests/engine/disk_watch.h"
#include "tests/support/expect.h"

namespace ashlar::engine {

inline constexpr const char* kStoreDirectory = "/store";

template <class Id>
Id lab_uuid(unsigned last) {
  std::array<std::byte, Uuid::kSize> bytes{};
  bytes[0] = std::byte{0x51};
  bytes[15] = static_cast<std::byte>(last);
  return Id(std::span<const std::byte, Uuid::kSize>(bytes));
}

// A small store that flushes soon.
inline StoreOptions lab_options() {
  return {.directory = kStoreDirectory,
          .server = lab_uuid<ServerUuid>(1),
          .log_capacity = ByteCount(4 << 20),
          .smallest_log = ByteCount(1 << 20),
          .payload_memory = ByteCount(8 << 20),
          .map_memory = ByteCount(1 << 20),
          .flush_threshold = ByteCount(1 << 20),
          .flush_delay = 50ms,
          .space_reserve = ByteCount(1 << 20)};
}

// Fills a block so that its contents say `content`; 0 is a block of zeros.
inline void fill_block(MutableByteSpan block, std::uint64_t content) {
  std::fill(block.begin(), block.end(), std::byte{0});
  if (content == 0) return;
  Random(content).fill(block);
  store_le64(block, 0, content);
}
inline std::uint64_t content_of(ByteSpan block) {
  return load_le64(block);
}

// Keeps what a task of a scope comes to.
template <class T>
Task<void> keep(Task<T> task, std::optional<T>* into) {
  *into = co_await std::move(task);
}

class StoreLab {
 public:
  explicit StoreLab(std::uint64_t seed = 1) : world(seed), node(world.add_node()) {}

  using Body = std::function<Task<void>(StoreLab&)>;

  // One life of the process: opens (and at first formats) the store, runs `body`, closes the store.
  // False when the process was killed, or failed (then `error` tells).
  bool live(Body body) {
    error.reset();
    node.start([this, body](Runtime given) { return main(this, given, body); });
    EXPECT_TRUE(world.run_until([this] { return !node.is_running(); }, 36000s));
    return node.has_exited() && !error;
  }
  void run(Body body) {
    const bool lived = live(std::move(body));
    ASSERT_TRUE(lived) << (error ? error->to_string() : "killed");
  }

  // A life that ends with a crash, at the latest where `body` ends.
  void crash(sim::CrashKind kind, Body body) {
    error.reset();
    node.start([this, kind, body](Runtime given) { return doomed(this, given, kind, body); });
    EXPECT_TRUE(world.run_until([this] { return !node.is_running(); }, 36000s));
    EXPECT_FALSE(error) << error->to_string();
  }
  // A process that does not open the store.
  void outside(Body body) {
    node.start([this, body](Runtime given) { return bare(this, given, body); });
    ASSERT_TRUE(world.run_until([this] { return !node.is_running(); }, 36000s));
  }

  // Within a body.
  Task<void> sleep(Duration time) { (void)co_await sleep_for(runtime->clock, time); }
  Task<Result<Replica*>> make(unsigned n, std::uint64_t blocks) {
    ReplicaSpec spec{lab_uuid<ReplicaUuid>(n), lab_uuid<VolumeUuid>(n), blocks};
    Result<Replica*> made = co_await store->create_replica(spec);
    if (made.ok()) (*made)->set_commit_rule(CommitRule::kDurable);
    co_return made;
  }
  // The replica of an earlier life; it commits what it has found.
  Replica* find(unsigned n) {
    Replica* replica = store->find(lab_uuid<ReplicaUuid>(n));
    if (replica != nullptr) replica->set_commit_rule(CommitRule::kDurable);
    return replica;
  }
  Task<Result<Lsn>> write(Replica& replica, std::uint64_t first, std::uint64_t count,
                          std::uint64_t content) {
    ASHLAR_CO_TRY_ASSIGN(Buffer bytes, pool->allocate(ByteCount(count * kBlockSize)));
    const BlockChecksum checksum(replica.volume());
    std::vector<std::uint32_t> checksums;
    for (std::uint64_t i = 0; i < count; ++i) {
      const MutableByteSpan block = bytes.bytes().subspan(i * kBlockSize, kBlockSize);
      fill_block(block, content == 0 ? 0 : content + i);
      checksums.push_back(checksum.of(BlockIndex(first + i), block));
    }
    co_return co_await replica.write({BlockIndex(first), count}, std::move(bytes), checksums);
  }
  // What each block of the range says.
  Task<Result<std::vector<std::uint64_t>>> read(Replica& replica, std::uint64_t first,
                                                std::uint64_t count) {
    const Result<Buffer> bytes = co_await replica.read({BlockIndex(first), count});
    if (!bytes.ok()) co_return bytes.error();
    co_return contents(*bytes);
  }
  Task<Result<std::vector<std::uint64_t>>> read_snapshot(Replica& replica, SnapshotUuid snapshot,
                                                         std::uint64_t first, std::uint64_t count) {
    const Result<Buffer> bytes =
        co_await replica.read_snapshot(snapshot, {BlockIndex(first), count});
    if (!bytes.ok()) co_return bytes.error();
    co_return contents(*bytes);
  }
  // The bytes of every file of the store, as checksums by path.
  Task<Result<std::map<std::string, std::uint32_t>>> files() {
    std::map<std::string, std::uint32_t> all;
    for (const char* directory : {"", "/replicas", "/layers", "/quarantine"}) {
      const std::string path = options.directory + directory;
      ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> entries,
                           co_await runtime->files.list(path));
      for (const DirectoryEntry& entry : entries) {
        if (entry.is_directory) continue;
        const std::string name = path + "/" + entry.name;
        ASHLAR_CO_TRY_ASSIGN(all[name], co_await checksum_of(name));
      }
    }
    co_return all;
  }
  // Of one series of the store, or -1.
  double metric(std::string_view name) const {
    const std::string text = registry->expose_text();
    const std::size_t at = text.find("\n" + std::string(name) + "{");
    if (at == std::string::npos) return -1;
    return std::stod(text.substr(text.find("} ", at) + 2));
  }
  static std::vector<std::uint64_t> contents(const Buffer& bytes) {
    std::vector<std::uint64_t> all;
    for (std::size_t at = 0; at < bytes.size(); at += kBlockSize) {
      all.push_back(content_of(bytes.bytes().subspan(at, kBlockSize)));
    }
    return all;
  }

  sim::SimWorld world;
  sim::SimNode& node;
  StoreOptions options = lab_options();
  std::optional<Error> error;
  test::DiskLog io;
  // Of the life that goes on.
  const Runtime* runtime = nullptr;
  BufferPool* pool = nullptr;
  MetricRegistry* registry = nullptr;
  Store* store = nullptr;

 private:
  static Task<void> doomed(StoreLab* lab, Runtime runtime, sim::CrashKind kind, Body body) {
    const Result<> ended = co_await life(lab, runtime, std::move(body), kind);
    if (!ended.ok()) lab->error = ended.error();
  }
  static Task<void> bare(StoreLab* lab, Runtime runtime, Body body) {
    lab->runtime = &runtime;
    co_await body(*lab);
  }
  // Of the part of a file that may be read; a sparse file is read as far as it is short.
  Task<Result<std::uint32_t>> checksum_of(std::string path) {
    constexpr std::uint64_t kMost = 8 << 20;
    ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<File> file,
                         co_await runtime->files.open(path, OpenMode::kReadOnly));
    ASHLAR_CO_TRY_ASSIGN(const ByteCount size, co_await file->size());
    BufferPool own("files", ByteCount(8 << 20));
    ASHLAR_CO_TRY_ASSIGN(Buffer page, own.allocate(ByteCount(kBlockSize)));
    std::uint32_t sum = 0;
    for (std::uint64_t at = 0; at < std::min(size.value(), kMost); at += kBlockSize) {
      const Result<> read = co_await file->read(at, page.bytes());
      if (!read.ok()) continue;
      sum = crc32c(page.bytes(), sum + 1);
    }
    co_return sum;
  }
  static Task<void> main(StoreLab* lab, Runtime runtime, Body body) {
    const Result<> ended = co_await life(lab, runtime, std::move(body));
    if (!ended.ok()) lab->error = ended.error();
  }
  static Task<Result<>> life(StoreLab* lab, Runtime bare_runtime, Body body,
                             std::optional<sim::CrashKind> crash = std::nullopt) {
    test::DiskWatch files(bare_runtime.files, lab->io);
    const Runtime runtime{bare_runtime.executor, bare_runtime.clock, files, bare_runtime.network,
                          bare_runtime.random};
    BufferPool pool("lab", ByteCount(64 << 20));
    MetricRegistry registry;
    lab->runtime = &runtime;
    const Result<> formatted =
        co_await Store::format(runtime, lab->options, lab_uuid<StoreUuid>(1));
    if (!formatted.ok() && formatted.error().code() != ErrorCode::kAlreadyExists) {
      co_return formatted;
    }
    ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Store> store,
                         co_await Store::open(runtime, pool, lab->options, &registry));
    lab->pool = &pool;
    lab->registry = &registry;
    lab->store = store.get();
    co_await body(*lab);
    if (crash) {
      lab->node.crash(*crash);
      co_await yield();
    }
    co_return co_await store->close();
  }
};

}  // namespace ashlar::engine
