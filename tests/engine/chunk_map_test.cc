#include "engine/chunk_map.h"

#include <bit>
#include <cstring>
#include <set>
#include <vector>

#include "tests/engine/layer_test_support.h"

namespace ashlar::engine {
namespace {

// A lab keeps the body that it runs for as long as its coroutine may run, so here they may capture.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

using test::outcome_of;

constexpr BlockInfo kAbsent{BlockState::kAbsent, 0};
constexpr BlockInfo kDiscarded{BlockState::kDiscarded, 0};
constexpr BlockInfo kDamaged{BlockState::kDamaged, 0};

BlockInfo present(std::uint32_t checksum) {
  return {BlockState::kPresent, checksum};
}

Task<void> expect_block(ChunkMap& map, BlockIndex block, BlockInfo expected) {
  const Result<BlockInfo> info = co_await look_up_one(map, block);
  CO_ASSERT_OK(info);
  EXPECT_EQ(info->state, expected.state) << "block " << block.value();
  EXPECT_EQ(info->checksum, expected.checksum) << "block " << block.value();
}

Task<std::vector<std::uint64_t>> chunks_of(ChunkMap& map) {
  std::vector<std::uint64_t> chunks;
  ChunkIndex from(0);
  for (;;) {
    const Result<std::optional<MappedChunk>> next = co_await map.next_chunk(from);
    EXPECT_EQ(outcome_of(next), "OK");
    if (!next.ok() || !*next) co_return chunks;
    chunks.push_back((*next)->chunk.value());
    from = (*next)->chunk.next();
  }
}

// --- what a fresh map says, and what changes say -------------------------------------------------

TEST(ChunkMap, OfANewMapEverythingIsAbsentWithoutARead) {
  MapLab lab;
  lab.file.bytes.clear();
  lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
    co_await expect_block(map, BlockIndex(0), kAbsent);
    co_await expect_block(map, BlockIndex(1ULL << 37), kAbsent);
    EXPECT_EQ(here.file.reads, 0u);
  });
}

TEST(ChunkMap, WrittenBlocksArePresentWithTheirChecksums) {
  MapLab lab;
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    // From the middle of a chunk over the end of a page.
    const BlockIndex first = block_in(ChunkIndex(46), 5);
    const std::vector<std::uint32_t> checksums = sums(60, 3);
    CO_ASSERT_OK(co_await map.mark_written({first, 60}, checksums, Lsn(9)));
    std::vector<BlockInfo> infos(62);
    CO_ASSERT_OK(co_await map.look_up({first - 1, 62}, infos));
    EXPECT_EQ(infos.front(), kAbsent);
    EXPECT_EQ(infos.back(), kAbsent);
    for (unsigned i = 0; i < 60; ++i) EXPECT_EQ(infos[i + 1], present(checksums[i])) << i;
  });
}

TEST(ChunkMap, WhatWasWrittenIsThereAfterReopening) {
  MapLab lab;
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(47), 1, Lsn(4)));
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(48), 2, Lsn(5)));
    CO_ASSERT_OK(co_await write_all(map));
  });
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    co_await expect_block(map, block_in(ChunkIndex(47), 15), present(sums(16, 1)[15]));
    co_await expect_block(map, block_in(ChunkIndex(48), 0), present(sums(16, 2)[0]));
    const auto chunks = co_await chunks_of(map);
    EXPECT_EQ(chunks, (std::vector<std::uint64_t>{47, 48}));
  });
}

TEST(ChunkMap, TheLastLsnOfAChunkOnlyGrows) {
  MapLab lab;
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(3), 1, Lsn(8)));
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(3), 2, Lsn(6)));
    CO_ASSERT_OK(co_await map.mark_discarded({block_in(ChunkIndex(3)), 1}, Lsn(7), {}));
    CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await map.entry(ChunkIndex(3)));
    EXPECT_EQ(mapped.entry.last_lsn, Lsn(8));
  });
}

TEST(ChunkMap, ADiscardWithNothingBelowForgetsTheBlocksAndKeepsTheLsn) {
  MapLab lab;
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(3), 1, Lsn(4)));
    CO_ASSERT_OK(co_await map.mark_discarded({block_in(ChunkIndex(3), 2), 14}, Lsn(5), {}));
    co_await expect_block(map, block_in(ChunkIndex(3), 1), present(sums(16, 1)[1]));
    co_await expect_block(map, block_in(ChunkIndex(3), 2), kAbsent);
    CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await map.entry(ChunkIndex(3)));
    EXPECT_EQ(mapped.entry.last_lsn, Lsn(5));
    EXPECT_EQ(mapped.entry.discarded, 0);
  });
}

TEST(ChunkMap, ADiscardOfWhatNobodyKnowsMakesNoPage) {
  MapLab lab;
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK(co_await map.mark_discarded({BlockIndex(0), 1 << 20}, Lsn(5), {}));
    EXPECT_EQ(map.dirty_pages(), 0u);
  });
}

TEST(ChunkMap, ADiscardHidesTheChunksThatALayerBelowKnows) {
  MapLab lab;
  lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
    test::MemoryFile lower_file(40 * kMapPageSize);
    MapCache cache(here.pool, ByteCount(1 << 20));
    ChunkMap lower(cache, lower_file, ByteCount(lower_file.bytes.size()), here.seed);
    CO_ASSERT_OK(co_await write_chunk(lower, ChunkIndex(100), 1, Lsn(1)));
    ChunkMap* const below[] = {&lower};
    CO_ASSERT_OK(co_await map.mark_discarded({BlockIndex(0), 1 << 20}, Lsn(5), below));
    co_await expect_block(map, block_in(ChunkIndex(100), 7), kDiscarded);
    co_await expect_block(map, block_in(ChunkIndex(101), 7), kAbsent);
    const auto chunks = co_await chunks_of(map);
    EXPECT_EQ(chunks, (std::vector<std::uint64_t>{100}));
  });
}

// A page that comes to be must hold something, else it would look lost later.
TEST(ChunkMap, ADiscardBesideWhatALayerBelowKnowsMakesNoPage) {
  MapLab lab;
  lab.with_map([](MapLab& here, ChunkMap& map) -> Task<void> {
    test::MemoryFile lower_file(40 * kMapPageSize);
    MapCache cache(here.pool, ByteCount(1 << 20));
    ChunkMap lower(cache, lower_file, ByteCount(lower_file.bytes.size()), here.seed);
    CO_ASSERT_OK(co_await write_chunk(lower, ChunkIndex(100), 1, Lsn(1)));
    ChunkMap* const below[] = {&lower};
    CO_ASSERT_OK(co_await map.mark_discarded({block_in(ChunkIndex(101)), 16}, Lsn(5), below));
    EXPECT_EQ(map.dirty_pages(), 0u);
    EXPECT_EQ(map.dirty_summaries(), 0u);
  });
}

TEST(ChunkMap, AHiddenBlockStaysHiddenWhenItIsDiscardedAgain) {
  MapLab lab;
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    ChunkEntry entry;
    entry.last_lsn = Lsn(2);
    entry.discarded = 0x0001;
    entry.present = 0x0002;
    entry.checksums[1] = 77;
    CO_ASSERT_OK(co_await map.set_entry(ChunkIndex(9), entry));
    CO_ASSERT_OK(co_await map.mark_discarded({block_in(ChunkIndex(9)), 16}, Lsn(5), {}));
    co_await expect_block(map, block_in(ChunkIndex(9), 0), kDiscarded);
    co_await expect_block(map, block_in(ChunkIndex(9), 1), kAbsent);
  });
}

TEST(ChunkMap, NothingIsLeftOfAChunkWhoseLastBlockIsMarkedAbsent) {
  MapLab lab;
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(3), 1, Lsn(4)));
    CO_ASSERT_OK(co_await map.mark_absent({block_in(ChunkIndex(3)), 8}));
    CO_ASSERT_OK_ASSIGN(const MappedChunk half, co_await map.entry(ChunkIndex(3)));
    EXPECT_EQ(half.entry.present, 0xff00);
    EXPECT_EQ(half.entry.last_lsn, Lsn(4));
    CO_ASSERT_OK(co_await map.mark_absent({block_in(ChunkIndex(3), 8), 8}));
    CO_ASSERT_OK_ASSIGN(const MappedChunk none, co_await map.entry(ChunkIndex(3)));
    EXPECT_TRUE(none.entry.is_empty());
  });
}

TEST(ChunkMap, APageThatWasEmptiedIsNotTakenForLost) {
  MapLab lab;
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(3), 1, Lsn(4)));
    CO_ASSERT_OK(co_await map.mark_absent({BlockIndex(0), 1 << 20}));
    CO_ASSERT_OK(co_await write_all(map));
  });
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    co_await expect_block(map, block_in(ChunkIndex(3)), kAbsent);
    co_await expect_block(map, block_in(ChunkIndex(4)), kAbsent);
  });
}

TEST(ChunkMap, AnEntryIsSetAsItIs) {
  MapLab lab;
  ChunkEntry entry;
  entry.last_lsn = Lsn(12);
  entry.present = 0x8001;
  entry.discarded = 0x8100;
  entry.checksums[0] = 5;
  lab.with_map([entry](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK(co_await map.set_entry(ChunkIndex(48), entry));
    CO_ASSERT_OK(co_await write_all(map));
  });
  lab.with_map([entry](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await map.entry(ChunkIndex(48)));
    EXPECT_EQ(mapped.entry, entry);
    EXPECT_FALSE(mapped.is_damaged);
    co_await expect_block(map, block_in(ChunkIndex(48), 15), kDamaged);
  });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::engine
