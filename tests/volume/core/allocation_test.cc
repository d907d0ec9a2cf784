// A write that is acknowledged takes nothing from the heap and copies no byte (L100), from the
// volume to the disk. A program of its own, because it counts in the global operator new.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"
#include "engine/store.h"
#include "tests/engine/memory_file_system.h"
#include "tests/support/allocation_count.h"
#include "tests/support/expect.h"
#include "volume/core/volume.h"

namespace ashlar::volume {
namespace {

using engine::kBlockSize;
using engine::Replica;
using engine::Store;

template <class Id>
Id uuid_of(unsigned n) {
  Random random(n);
  return Id::generate(random);
}

struct Lab {
  Runtime runtime;
  BufferPool pool{"test", ByteCount(512 << 20)};
  test::MemoryFileSystem files;
  std::unique_ptr<Store> store;
  std::unique_ptr<Volume> volume;
};

using Body = Task<void> (*)(Lab&);

Task<void> in_lab(Runtime given, Body body) {
  Lab lab{.runtime = given};
  const Runtime runtime{given.executor, given.clock, lab.files, given.network, given.random};
  const engine::StoreOptions options{.directory = "/store",
                                     .server = uuid_of<ServerUuid>(1),
                                     .log_capacity = ByteCount(256 << 20),
                                     .flush_threshold = ByteCount(512 << 20),
                                     .flush_fill = 1,
                                     .flush_delay = 3600s,
                                     .delay_from = 1};
  CO_ASSERT_OK(co_await Store::format(runtime, options, uuid_of<StoreUuid>(2)));
  CO_ASSERT_OK_ASSIGN(lab.store, co_await Store::open(runtime, lab.pool, options));
  CO_ASSERT_OK_ASSIGN(
      Replica* const replica,
      co_await lab.store->create_replica({uuid_of<ReplicaUuid>(3), uuid_of<VolumeUuid>(4), 4096}));
  lab.volume =
      std::make_unique<Volume>(*replica, lab.pool, given.clock, VolumeSettings{.name = "v"});
  co_await body(lab);
  lab.volume.reset();
  CO_ASSERT_OK(co_await lab.store->close());
}

void run(Body body) {
  sim::SimWorld world(1);
  sim::SimNode& node = world.add_node();
  node.start([body](Runtime runtime) { return in_lab(runtime, body); });
  ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, 36000s));
}

Task<void> write_some(Lab* lab, std::uint64_t blocks, int count, Random* random) {
  for (int i = 0; i < count; ++i) {
    CO_ASSERT_OK_ASSIGN(Buffer payload, lab->pool.allocate(ByteCount(blocks * kBlockSize)));
    const std::uint64_t first = random->below(4096 - blocks);
    CO_ASSERT_OK(co_await lab->volume->write(first * kBlockSize, std::move(payload)));
  }
}

// Four clients, as many writes each.
Task<void> write_side_by_side(Lab* lab, std::uint64_t blocks, int count, Random* random) {
  TaskScope clients(co_await this_task());
  for (int i = 0; i < 4; ++i) clients.spawn(write_some(lab, blocks, count, random));
  (void)co_await clients.join();
}

bool counts_frames() {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return true;
#endif
#endif
  return false;
}

TEST(VolumeAllocation, AWriteUnderSteadyLoadAllocatesNothing) {
  if (counts_frames()) GTEST_SKIP() << "coroutine frames come from the heap under a sanitizer";
  run([](Lab& lab) -> Task<void> {
    Random random(1);
    // The first rounds are twice as large: later chance makes no new maximum. Between two rounds
    // the flusher takes what was written, while more comes, as it is under load: an index that is
    // empty gives its memory back.
    std::uint64_t sum = 0;
    for (int round = 0; round < 16; ++round) {
      std::uint64_t allocated = 0;
      for (const std::uint64_t blocks : {1u, 8u, 32u}) {
        const std::uint64_t before = test::g_allocations;
        co_await write_side_by_side(&lab, blocks, round < 8 ? 20 : 10, &random);
        allocated += test::g_allocations - before;
      }
      TaskScope meanwhile(co_await this_task());
      meanwhile.spawn(write_some(&lab, 1, 20, &random));
      CO_ASSERT_OK(co_await lab.volume->replica().flush_pass());
      (void)co_await meanwhile.join();
      if (round >= 8) sum += allocated;
    }
    // Of 960 writes. A node of the index, where chance has made a new maximum all the same.
    EXPECT_LE(sum, 4u);
  });
}

TEST(VolumeAllocation, TheDiskTakesThePayloadFromWhereTheWriterPutIt) {
  run([](Lab& lab) -> Task<void> {
    for (const std::uint64_t blocks : {1u, 300u}) {
      CO_ASSERT_OK_ASSIGN(Buffer payload, lab.pool.allocate(ByteCount(blocks * kBlockSize)));
      const std::byte* const where = payload.data();
      CO_ASSERT_OK(co_await lab.volume->write(0, std::move(payload)));
      const std::vector<const std::byte*>& pieces = lab.files.file("/store/log").last_pieces;
      EXPECT_EQ(std::count(pieces.begin(), pieces.end(), where), 1);
      // And so does the reader, who gets the same bytes, not a copy.
      CO_ASSERT_OK_ASSIGN(const Buffer bytes, co_await lab.volume->read({0, blocks * kBlockSize}));
      EXPECT_EQ(bytes.data(), where);
    }
  });
}

}  // namespace
}  // namespace ashlar::volume
