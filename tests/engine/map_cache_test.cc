#include "engine/map_cache.h"

#include <cstdlib>
#include <new>
#include <vector>

#include "engine/chunk_map.h"
#include "tests/engine/layer_test_support.h"

namespace {
std::uint64_t allocations = 0;
}  // namespace

// Counts what a look-up allocates.
void* operator new(std::size_t size) {
  ++allocations;
  void* const memory = std::malloc(size == 0 ? 1 : size);
  ASHLAR_CHECK(memory != nullptr);
  return memory;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace ashlar::engine {
namespace {

// A lab keeps the body that it runs for as long as its coroutine may run, so here they may capture.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

using test::outcome_of;

constexpr std::uint64_t kPages = 30;

ChunkIndex chunk_on(std::uint64_t page) {
  return first_chunk_of(MapPageIndex(page)) + 5;
}

// One chunk on each of 30 pages.
Task<void> write_pages(ChunkMap& map) {
  for (std::uint64_t page = 0; page < kPages; ++page) {
    const auto content = static_cast<std::uint32_t>(page + 1);
    CO_ASSERT_OK(co_await write_chunk(map, chunk_on(page), content, Lsn(content)));
  }
}
void prepare(MapLab& lab) {
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    co_await write_pages(map);
    CO_ASSERT_OK(co_await write_all(map));
  });
  lab.file.reads = 0;
  lab.file.writes.clear();
}

Task<void> look(ChunkMap& map, std::uint64_t page) {
  CO_ASSERT_OK_ASSIGN(const BlockInfo info, co_await look_up_one(map, block_in(chunk_on(page))));
  EXPECT_EQ(info.checksum, sums(1, static_cast<std::uint32_t>(page + 1))[0]) << page;
}

TEST(MapCache, LookUpsOfOnePageAtTheSameTimeDoOneRead) {
  MapLab lab;
  prepare(lab);
  lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
    TaskScope scope(co_await this_task());
    for (int i = 0; i < 10; ++i) scope.spawn(look(map, 7));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(here.file.reads, 2u) << "the summary and the page";
  });
  EXPECT_EQ(lab.statistics.misses, 2u);
}

TEST(MapCache, KeepsToItsBoundAndWhatHadToGoComesBackRight) {
  MapLab lab(1, 4);
  prepare(lab);
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    for (std::uint64_t i = 0; i < 10 * kPages; ++i) co_await look(map, i * 7 % kPages);
  });
  EXPECT_LE(lab.statistics.pages, 4u);
  EXPECT_EQ(lab.statistics.pinned, 0u);
  EXPECT_GT(lab.statistics.misses, 9 * kPages);
}

TEST(MapCache, TheLeastRecentlyUsedPageGoes) {
  MapLab lab(1, 4);
  prepare(lab);
  lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
    // The summary takes one of four places, and each miss uses it.
    for (const unsigned page : {0U, 1U, 2U, 0U, 3U}) co_await look(map, page);
    here.file.reads = 0;
    for (const unsigned page : {0U, 2U, 3U}) co_await look(map, page);
    EXPECT_EQ(here.file.reads, 0u);
    co_await look(map, 1);
    EXPECT_EQ(here.file.reads, 1u);
  });
}

TEST(MapCache, WhatIsInMemoryIsAnsweredAtOnceWithoutAllocating) {
  MapLab lab;
  prepare(lab);
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    const BlockRange range{block_in(chunk_on(7), 14), 4};
    std::vector<BlockInfo> infos(4);
    EXPECT_FALSE(map.try_look_up(range, infos));
    CO_ASSERT_OK(co_await map.look_up(range, infos));
    std::vector<BlockInfo> again(4);
    const std::uint64_t before = allocations;
    const bool answered = map.try_look_up(range, again);
    EXPECT_EQ(allocations, before);
    EXPECT_TRUE(answered);
    EXPECT_EQ(again, infos);
    EXPECT_FALSE(map.try_look_up({block_in(chunk_on(8)), 1}, std::span(again).first(1)));
    // No page at all, as the summary says.
    EXPECT_TRUE(map.try_look_up({block_in(chunk_on(99)), 1}, std::span(again).first(1)));
    EXPECT_EQ(again[0].state, BlockState::kAbsent);
  });
}

TEST(MapCache, DirtyPagesStayBeyondTheBoundUntilTheyAreWritten) {
  MapLab lab(1, 40);
  lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
    MapCache small(here.pool, ByteCount(1));
    test::MemoryFile file(40 * kMapPageSize);
    ChunkMap crowded(small, file, ByteCount(file.bytes.size()), here.seed);
    for (std::uint64_t page = 0; page < 3; ++page) {
      CO_ASSERT_OK(co_await write_chunk(map, chunk_on(page), 1, Lsn(1)));
    }
    EXPECT_EQ(map.dirty_pages(), 3u);
    EXPECT_TRUE(here.file.writes.empty());
    CO_ASSERT_OK(co_await write_chunk(crowded, chunk_on(0), 1, Lsn(1)));
    CO_ASSERT_OK(co_await write_all(crowded));
    EXPECT_LE(small.statistics().pages, 1u);
    EXPECT_EQ(small.statistics().dirty, 0u);
  });
}

TEST(MapCache, NeighboursAreWrittenTogether) {
  MapLab lab;
  lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
    co_await write_pages(map);
    CO_ASSERT_OK(co_await map.write_pages());
    CO_ASSERT_TRUE(here.file.writes.size() == 1);
    EXPECT_EQ(here.file.writes[0].offset, kMapPageSize);
    EXPECT_EQ(here.file.writes[0].length, kPages * kMapPageSize);
    CO_ASSERT_OK(co_await map.write_pages());
    EXPECT_EQ(here.file.writes.size(), 1u) << "clean pages were written again";
  });
}

TEST(MapCache, APageThatCouldNotBeWrittenStaysDirty) {
  MapLab lab;
  lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
    for (const unsigned page : {0U, 4U, 8U}) {
      CO_ASSERT_OK(co_await write_chunk(map, chunk_on(page), 1, Lsn(1)));
    }
    here.file.fail_write_in = 2;
    EXPECT_EQ(outcome_of(co_await map.write_pages()), "DATA_LOSS");
    EXPECT_GE(map.dirty_pages(), 1u);
    CO_ASSERT_OK(co_await write_all(map));
    EXPECT_EQ(map.dirty_pages(), 0u);
  });
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    for (const unsigned page : {0U, 4U, 8U}) {
      CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await map.entry(chunk_on(page)));
      EXPECT_EQ(mapped.entry.last_lsn, Lsn(1)) << page;
    }
  });
}

TEST(MapCache, PagesOnTheirWayToTheDiskCanBeRead) {
  MapLab lab;
  lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
    co_await write_pages(map);
    here.file.hold = true;
    TaskScope scope(co_await this_task());
    scope.spawn(map.write_pages());
    co_await test::yield_until([&] { return here.file.held() > 0; });
    for (std::uint64_t page = 0; page < kPages; ++page) co_await look(map, page);
    here.file.hold = false;
    here.file.release_one();
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(map.dirty_pages(), 0u);
  });
}

TEST(MapCacheDeathTest, AChangeOfAPageOnItsWayToTheDiskIsFatal) {
  const auto change_while_writing = [] {
    MapLab lab;
    lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
      co_await write_pages(map);
      here.file.hold = true;
      TaskScope scope(co_await this_task());
      scope.spawn(map.write_pages());
      co_await test::yield_until([&] { return here.file.held() > 0; });
      (void)co_await write_chunk(map, chunk_on(1), 1, Lsn(1));
    });
  };
  EXPECT_DEATH(change_while_writing(), "changed while it is written");
}

TEST(MapCache, APoolThatIsExhaustedIsAnErrorAndHurtsNothing) {
  MapLab lab(1, 1000);
  prepare(lab);
  lab.with_map([](MapLab& here, ChunkMap&) -> Task<void> {
    BufferPool pool("small", BufferPool::kRegionSize);
    MapCache cache(pool, ByteCount(16 << 20));
    ChunkMap map(cache, here.file, ByteCount(here.file.bytes.size()), here.seed);
    std::vector<Buffer> taken;
    for (;;) {
      Result<Buffer> buffer = pool.allocate(ByteCount(kMapPageSize));
      if (!buffer.ok()) break;
      taken.push_back(std::move(*buffer));
    }
    EXPECT_EQ(outcome_of(co_await map.entry(chunk_on(1))), "RESOURCE_EXHAUSTED");
    taken.pop_back();
    taken.pop_back();
    // Two pages of memory are enough: one goes for the next.
    for (std::uint64_t page = 0; page < kPages; ++page) co_await look(map, page);
  });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::engine
