// What the tests of replicas and stores share: a machine with a disk, a store on it, and volumes
// whose contents follow from a number, so that a block tells which write it comes from.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "engine/store.h"
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

class StoreLab {
 public:
  explicit StoreLab(std::uint64_t seed = 1) : world(seed), node(world.add_node()) {}

  using Body = std::function<Task<void>(StoreLab&)>;

  // One life of the process: opens (and at first formats) the store, runs `body`, closes the store.
  // False when the process was killed, or failed (then `error` tells).
  bool live(Body body) {
    error.reset();
    node.start([this, body](Runtime runtime) { return main(this, runtime, body); });
    EXPECT_TRUE(world.run_until([this] { return !node.is_running(); }, 36000s));
    return node.has_exited() && !error;
  }
  void run(Body body) {
    const bool lived = live(std::move(body));
    ASSERT_TRUE(lived) << (error ? error->to_string() : "killed");
  }

  // Within a body.
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
  // Of the life that goes on.
  BufferPool* pool = nullptr;
  Store* store = nullptr;

 private:
  static Task<void> main(StoreLab* lab, Runtime runtime, Body body) {
    const Result<> ended = co_await life(lab, runtime, std::move(body));
    if (!ended.ok()) lab->error = ended.error();
  }
  static Task<Result<>> life(StoreLab* lab, Runtime runtime, Body body) {
    BufferPool pool("lab", ByteCount(64 << 20));
    const Result<> formatted =
        co_await Store::format(runtime, lab->options, lab_uuid<StoreUuid>(1));
    if (!formatted.ok() && formatted.error().code() != ErrorCode::kAlreadyExists) {
      co_return formatted;
    }
    ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Store> store,
                         co_await Store::open(runtime, pool, lab->options));
    lab->pool = &pool;
    lab->store = store.get();
    co_await body(*lab);
    co_return co_await store->close();
  }
};

}  // namespace ashlar::engine
