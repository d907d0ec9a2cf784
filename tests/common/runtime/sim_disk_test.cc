#include "common/runtime/sim/sim_disk.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <set>
#include <vector>

#include "tests/common/runtime/sim_test_support.h"

namespace ashlar::sim {
namespace {

// A SimNode keeps the lambda it was started with for as long as its coroutines may run, so here
// they may capture. NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

constexpr const char* kPath = "/data/f";
constexpr std::uint64_t kSeeds = 200;

using FileRef = std::unique_ptr<File>;

// A durable file of `pages` pages, each filled with 1.
Task<void> prepare(Runtime runtime, std::uint64_t pages) {
  FileRef file = (co_await runtime.files.open(kPath, OpenMode::kCreateNew)).value();
  for (std::uint64_t i = 0; i < pages; ++i) (co_await write_page(*file, i, 1)).value();
  (co_await file->sync()).value();
  (co_await runtime.files.sync_directory("/data")).value();
}

Task<void> read_fills(Runtime runtime, std::vector<unsigned>* fills) {
  FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
  const std::uint64_t pages = (co_await file->size()).value().value() / kDiskAlignment;
  for (std::uint64_t i = 0; i < pages; ++i) {
    fills->push_back((co_await read_page(*file, i)).value());
  }
}

std::vector<unsigned> fills_of(SimNode& node) {
  std::vector<unsigned> fills;
  run_on(node, read_fills, &fills);
  return fills;
}

TEST(SimDisk, UnsyncedWritesAreKeptLostTornAndReorderedAndSyncedOnesNeverLost) {
  bool kept = false, lost = false, torn = false, reordered = false;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimWorld world(seed);
    SimNode& node = world.add_node();
    run_on(node, prepare, std::uint64_t{3});
    run_on(node, [](Runtime runtime) -> Task<void> {
      FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
      (co_await write_page(*file, 0, 2)).value();
      (co_await write_page(*file, 1, 2)).value();
    });
    node.power_fail();
    const std::vector<unsigned> fills = fills_of(node);
    ASSERT_EQ(fills.size(), 3u);
    ASSERT_EQ(fills[2], 1u) << "a synced page was lost, seed " << seed;
    kept |= fills[0] == 2;
    lost |= fills[0] == 1;
    torn |= fills[0] == 256;
    reordered |= fills[0] == 1 && fills[1] == 2;
  }
  EXPECT_TRUE(kept);
  EXPECT_TRUE(lost);
  EXPECT_TRUE(torn);
  EXPECT_TRUE(reordered);
}

TEST(SimDisk, DsyncWritesSurviveEveryPowerFailure) {
  for (const Durability durability : {Durability::kDsync, Durability::kWriteThenSync}) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      SimWorld world(seed);
      SimNode& node = world.add_node();
      run_on(node, prepare, std::uint64_t{1});
      run_on(
          node,
          [](Runtime runtime, Durability how) -> Task<void> {
            FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
            (co_await write_page(*file, 0, 2)).value();
            (co_await write_page(*file, 4, 3, how)).value();
          },
          durability);
      node.power_fail();
      const std::vector<unsigned> fills = fills_of(node);
      ASSERT_EQ(fills.size(), 5u) << "seed " << seed;
      ASSERT_EQ(fills[4], 3u) << "seed " << seed;
      if (durability == Durability::kWriteThenSync) {
        ASSERT_EQ(fills[0], 2u) << "seed " << seed;
      }
    }
  }
}

Task<void> write_during_sync(Runtime runtime) {
  FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
  TaskScope scope(co_await this_task());
  scope.spawn([](File& f) -> Task<void> { (co_await f.sync()).value(); }(*file));
  co_await yield();
  co_await yield();
  scope.spawn([](File& f) -> Task<void> { (co_await write_page(f, 0, 2)).value(); }(*file));
  (co_await scope.join()).value();
}

TEST(SimDisk, SyncCoversWhatHadResolvedWhenItWasSubmitted) {
  bool lost = false;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimWorld world(seed);
    SimNode& node = world.add_node();
    node.disk().timing.sync_base = 10ms;  // the write is over long before the sync
    run_on(node, prepare, std::uint64_t{1});
    run_on(node, write_during_sync);
    node.power_fail();
    lost |= fills_of(node)[0] == 1;
  }
  EXPECT_TRUE(lost);
}

TEST(SimDisk, WritesInFlightAtAPowerFailureMayBeThere) {
  std::set<unsigned> seen;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimWorld world(seed);
    SimNode& node = world.add_node();
    run_on(node, prepare, std::uint64_t{1});
    node.disk().timing.write_base = 1s;
    node.boot();
    node.spawn([](Runtime runtime) -> Task<void> {
      FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
      (co_await write_page(*file, 0, 2)).value();
    }(node.runtime()));
    world.run_for(100ms);
    ASSERT_EQ(node.disk().in_flight(), 1u);
    node.power_fail();
    seen.insert(fills_of(node)[0]);
  }
  EXPECT_EQ(seen, (std::set<unsigned>{1, 2, 256}));
}

TEST(SimDisk, AFailedSyncThatDropsShowsTheOldContent) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{1});
  node.disk().fail_next_sync(SyncFailure::kDropped);
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    (co_await write_page(*file, 0, 2)).value();
    EXPECT_FALSE((co_await file->sync()).ok());
    EXPECT_TRUE((co_await file->sync()).ok());
    EXPECT_EQ((co_await read_page(*file, 0)).value(), 1u);
  });
}

TEST(SimDisk, AFailedSyncThatForgetsIsHealedByNoLaterSync) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimWorld world(seed);
    SimNode& node = world.add_node();
    run_on(node, prepare, std::uint64_t{1});
    node.disk().fail_next_sync(SyncFailure::kForgotten);
    run_on(node, [](Runtime runtime) -> Task<void> {
      FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
      (co_await write_page(*file, 0, 2)).value();
      EXPECT_FALSE((co_await file->sync()).ok());
      EXPECT_TRUE((co_await file->sync()).ok());
      EXPECT_EQ((co_await read_page(*file, 0)).value(), 2u);
    });
    node.power_fail();
    ASSERT_EQ(fills_of(node)[0], 1u) << "seed " << seed;
  }
}

TEST(SimDisk, AReadErrorSticksUntilThePageIsWrittenAgain) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{2});
  node.disk().make_unreadable(kPath, kDiskAlignment);
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    EXPECT_EQ((co_await read_page(*file, 1)).error().code(), ErrorCode::kDataLoss);
    EXPECT_EQ((co_await read_page(*file, 1)).error().code(), ErrorCode::kDataLoss);
    EXPECT_EQ((co_await read_page(*file, 0)).value(), 1u);
    (co_await write_page(*file, 1, 5)).value();
    EXPECT_EQ((co_await read_page(*file, 1)).value(), 5u);
  });
}

TEST(SimDisk, BitRotFlipsOneBitForGood) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{1});
  node.disk().rot(kPath, 17);
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    // Not in the frame: coroutine frames are not aligned to a page.
    const auto page = std::make_unique<TestPage>();
    (co_await file->read(0, page->bytes)).value();
    const auto changed = std::to_integer<unsigned>(page->bytes[17]) ^ 1u;
    EXPECT_EQ(std::popcount(changed), 1);
    page->bytes[17] = std::byte{1};
    EXPECT_EQ(page->fill(), 1u);
  });
}

TEST(SimDisk, AMisdirectedWriteLandsElsewhereAndADroppedOneNowhere) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{3});
  node.disk().misdirect_next_write(2 * kDiskAlignment);
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    EXPECT_TRUE((co_await write_page(*file, 0, 7)).ok());
  });
  EXPECT_EQ(fills_of(node), (std::vector<unsigned>{1, 1, 7}));
  node.disk().drop_next_write();
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    EXPECT_TRUE((co_await write_page(*file, 0, 9, Durability::kDsync)).ok());
  });
  EXPECT_EQ(fills_of(node), (std::vector<unsigned>{1, 1, 7}));
}

TEST(SimDisk, PlannedErrorsHitTheNextOperationOnly) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{1});
  node.disk().fail_next_read(EIO);
  node.disk().fail_next_write(EIO);
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    EXPECT_FALSE((co_await read_page(*file, 0)).ok());
    EXPECT_TRUE((co_await read_page(*file, 0)).ok());
    EXPECT_FALSE((co_await write_page(*file, 0, 2)).ok());
    EXPECT_TRUE((co_await write_page(*file, 0, 2)).ok());
  });
}

// What a write of 7 over a durable 1 and a read of it gave, with one fault at full rate.
struct Attempt {
  bool wrote = false, synced = false;
  Result<unsigned> seen = 0u;
};

Attempt attempt_with(const DiskFaults& faults) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{4});
  node.disk().faults = faults;
  Attempt attempt;
  run_on(
      node,
      [](Runtime runtime, Attempt* out) -> Task<void> {
        FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
        out->wrote = (co_await write_page(*file, 2, 7)).ok();
        out->synced = (co_await file->sync()).ok();
        Result<unsigned> seen = co_await read_page(*file, 2);
        out->seen.swap(seen);
      },
      &attempt);
  return attempt;
}

TEST(SimDisk, FaultsStrikeAtTheirRates) {
  constexpr std::uint32_t kAlways = 1'000'000;
  EXPECT_EQ(attempt_with({}).seen.value(), 7u);
  EXPECT_FALSE(attempt_with({.read_error = kAlways}).seen.ok());
  EXPECT_FALSE(attempt_with({.write_error = kAlways}).wrote);
  EXPECT_FALSE(attempt_with({.sync_error = kAlways}).synced);
  EXPECT_EQ(attempt_with({.bit_rot = kAlways}).seen.value(), 256u);
  const Attempt dropped = attempt_with({.dropped_write = kAlways});
  EXPECT_TRUE(dropped.wrote && dropped.synced);
  EXPECT_EQ(dropped.seen.value(), 1u);
  EXPECT_TRUE(attempt_with({.misdirected_write = kAlways}).wrote);
}

TEST(SimDisk, APowerFailureOfAHungDiskLosesWhatWaited) {
  std::set<unsigned> seen;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimWorld world(seed);
    SimNode& node = world.add_node();
    run_on(node, prepare, std::uint64_t{1});
    bool over = false;
    node.start([&over](Runtime runtime) -> Task<void> {
      FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
      (co_await write_page(*file, 0, 2)).value();
      over = true;
    });
    world.run_for(25us);
    node.disk().hang(1h);
    world.run_for(1s);
    ASSERT_FALSE(over);
    node.power_fail();
    ASSERT_EQ(node.disk().in_flight(), 0u);
    seen.insert(fills_of(node)[0]);
  }
  EXPECT_TRUE(seen.contains(1));
}

TEST(SimDisk, TheTraceHashSeesTheBytesWritten) {
  std::set<std::uint64_t> hashes;
  for (const unsigned fill : {1u, 2u, 3u, 1u}) {
    SimWorld world(1);
    run_on(
        world.add_node(),
        [](Runtime runtime, unsigned with) -> Task<void> {
          FileRef file = (co_await runtime.files.open(kPath, OpenMode::kCreate)).value();
          (co_await write_page(*file, 0, with)).value();
        },
        fill);
    hashes.insert(world.trace_hash());
  }
  EXPECT_EQ(hashes.size(), 3u);
}

TEST(SimDisk, AFullDiskRefusesUntilSpaceIsGivenBack) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  node.disk().set_capacity(ByteCount(4 * kDiskAlignment));
  run_on(node, prepare, std::uint64_t{4});
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    EXPECT_EQ((co_await runtime.files.space("/data")).value().available, ByteCount(0));
    EXPECT_TRUE((co_await write_page(*file, 0, 2)).ok());  // takes no more
    EXPECT_EQ((co_await write_page(*file, 4, 2)).error().code(), ErrorCode::kResourceExhausted);
    (co_await file->punch(0, 2 * kDiskAlignment)).value();
    EXPECT_EQ((co_await file->allocated()).value(), ByteCount(2 * kDiskAlignment));
    EXPECT_TRUE((co_await write_page(*file, 4, 2)).ok());
    EXPECT_EQ((co_await read_page(*file, 0)).value(), 0u);
    EXPECT_EQ((co_await file->size()).value(), ByteCount(5 * kDiskAlignment));
  });
}

TEST(SimDisk, AllocateReservesAndResizeCutsAndExtendsWithZeros) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{2});
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    (co_await file->allocate(2 * kDiskAlignment, 6 * kDiskAlignment)).value();
    EXPECT_EQ((co_await file->size()).value(), ByteCount(8 * kDiskAlignment));
    EXPECT_EQ((co_await file->allocated()).value(), ByteCount(8 * kDiskAlignment));
    EXPECT_EQ((co_await read_page(*file, 7)).value(), 0u);
    (co_await file->resize(ByteCount(kDiskAlignment))).value();
    (co_await file->resize(ByteCount(3 * kDiskAlignment))).value();
    EXPECT_EQ((co_await read_page(*file, 1)).value(), 0u);
    EXPECT_EQ((co_await file->allocated()).value(), ByteCount(kDiskAlignment));
    EXPECT_EQ((co_await read_page(*file, 3)).error().code(), ErrorCode::kOutOfRange);
  });
}

TEST(SimDisk, MisalignedRequestsAreRefusedAsDirectIoDoes) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{1});
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    auto pages = std::make_unique<std::array<TestPage, 2>>();
    std::span<std::byte> bytes((*pages)[0].bytes.data(), 2 * kDiskAlignment);
    const auto at_offset = co_await file->read(512, bytes.first(kDiskAlignment));
    EXPECT_EQ(at_offset.error().code(), ErrorCode::kInvalidArgument);
    const auto of_length = co_await file->read(0, bytes.first(512));
    EXPECT_EQ(of_length.error().code(), ErrorCode::kInvalidArgument);
    const auto in_memory = co_await file->read(0, bytes.subspan(8, kDiskAlignment));
    EXPECT_EQ(in_memory.error().code(), ErrorCode::kInvalidArgument);
  });
}

TEST(SimDisk, ANameIsDurableOnlyAfterASyncOfItsDirectory) {
  bool kept = false, lost = false;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimWorld world(seed);
    SimNode& node = world.add_node();
    run_on(node, [](Runtime runtime) -> Task<void> {
      for (const char* path : {"/data/synced", "/data/b", "/data/a"}) {
        FileRef file = (co_await runtime.files.open(path, OpenMode::kCreateNew)).value();
        (co_await write_page(*file, 0, 1, Durability::kDsync)).value();
        if (file->path() == "/data/synced") {
          (co_await runtime.files.sync_directory("/data")).value();
        }
      }
    });
    node.power_fail();
    std::vector<DirectoryEntry> entries;
    run_on(
        node,
        [](Runtime runtime, std::vector<DirectoryEntry>* out) -> Task<void> {
          *out = (co_await runtime.files.list("/data")).value();
        },
        &entries);
    const auto has = [&](const char* name) {
      return std::find(entries.begin(), entries.end(), DirectoryEntry{name, false}) !=
             entries.end();
    };
    ASSERT_TRUE(has("synced")) << "seed " << seed;
    ASSERT_TRUE(has("b") || !has("a")) << "names survive as a prefix, seed " << seed;
    kept |= has("b");
    lost |= !has("b");
  }
  EXPECT_TRUE(kept);
  EXPECT_TRUE(lost);
}

TEST(SimDisk, ARenameIsAtomicOverAPowerFailure) {
  bool renamed = false, kept_old = false;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimWorld world(seed);
    SimNode& node = world.add_node();
    run_on(node, prepare, std::uint64_t{1});
    run_on(node, [](Runtime runtime) -> Task<void> {
      {
        FileRef file = (co_await runtime.files.open("/data/new", OpenMode::kCreate)).value();
        (co_await write_page(*file, 0, 2, Durability::kDsync)).value();
      }
      (co_await runtime.files.sync_directory("/data")).value();
      (co_await runtime.files.rename("/data/new", kPath)).value();
      EXPECT_EQ((co_await runtime.files.list("/data")).value().size(), 1u);
    });
    node.power_fail();
    const unsigned fill = fills_of(node).at(0);
    ASSERT_TRUE(fill == 1 || fill == 2) << "seed " << seed;
    renamed |= fill == 2;
    kept_old |= fill == 1;
  }
  EXPECT_TRUE(renamed);
  EXPECT_TRUE(kept_old);
}

TEST(SimDisk, ARemovedFileKeepsItsDataUntilItIsClosed) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{1});
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    (co_await runtime.files.remove(kPath)).value();
    EXPECT_EQ((co_await runtime.files.open(kPath, OpenMode::kExisting)).error().code(),
              ErrorCode::kNotFound);
    EXPECT_EQ((co_await read_page(*file, 0)).value(), 1u);
  });
}

TEST(SimDisk, ALockExcludesOthersUntilItsProcessEnds) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{1});
  node.boot();
  node.spawn([](Runtime runtime) -> Task<void> {
    FileRef mine = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    FileRef other = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    EXPECT_TRUE((co_await mine->lock()).ok());
    EXPECT_EQ((co_await other->lock()).error().code(), ErrorCode::kFailedPrecondition);
    (void)co_await sleep_for(runtime.clock, 1h);
  }(node.runtime()));
  world.run_for(1s);
  node.kill_process();
  run_on(node, [](Runtime runtime) -> Task<void> {
    FileRef file = (co_await runtime.files.open(kPath, OpenMode::kExisting)).value();
    EXPECT_TRUE((co_await file->lock()).ok());
  });
}

TEST(SimDisk, ASlowDiskIsSlowAndAHungOneAnswersAfterwards) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{1});
  node.disk().slow_down(1s);
  MonoTime before = world.now();
  EXPECT_EQ(fills_of(node).size(), 1u);
  EXPECT_GT(world.now() - before, 10ms);
  node.disk().hang(10s);
  before = world.now();
  EXPECT_EQ(fills_of(node).size(), 1u);
  EXPECT_GT(world.now() - before, 9s);
}

TEST(SimDisk, ADestroyedDiskFailsEverythingAndItsReplacementIsEmpty) {
  SimWorld world(1);
  SimNode& node = world.add_node();
  run_on(node, prepare, std::uint64_t{1});
  node.disk().destroy();
  run_on(node, [](Runtime runtime) -> Task<void> {
    EXPECT_EQ((co_await runtime.files.open(kPath, OpenMode::kExisting)).error().code(),
              ErrorCode::kDataLoss);
  });
  node.disk().replace();
  run_on(node, [](Runtime runtime) -> Task<void> {
    EXPECT_TRUE((co_await runtime.files.list("/data")).value().empty());
    EXPECT_EQ((co_await runtime.files.space("/data")).value().available,
              (co_await runtime.files.space("/data")).value().total);
  });
}

Task<void> change_bytes_in_flight(Runtime runtime) {
  FileRef file = (co_await runtime.files.open(kPath, OpenMode::kCreate)).value();
  auto page = std::make_unique<TestPage>(1);
  TaskScope scope(co_await this_task());
  scope.spawn([](File& f, TestPage& p) -> Task<void> {
    (co_await f.write(0, p.bytes, Durability::kNone)).value();
  }(*file, *page));
  (void)co_await sleep_for(runtime.clock, 1ms);
  page->bytes[5] = std::byte{9};
  (co_await scope.join()).value();
}

void run_change_bytes_in_flight() {
  SimWorld world(4711);
  SimNode& node = world.add_node();
  node.disk().timing.write_base = 10ms;
  run_on(node, change_bytes_in_flight);
}

TEST(SimDiskDeathTest, BytesChangedInFlightAreNoticedAndTheSeedIsPrinted) {
  EXPECT_DEATH(run_change_bytes_in_flight(),
               "changed while their write was in flight(.|\n)*seed 4711");
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::sim
