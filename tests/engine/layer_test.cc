#include "engine/layer.h"

#include <cerrno>
#include <vector>

#include "tests/engine/layer_test_support.h"
#include "tests/support/aligned_bytes.h"

namespace ashlar::engine {
namespace {

using sim::SyncFailure;
using test::AlignedBytes;
using test::outcome_of;

constexpr std::uint64_t kTenTebibytes = std::uint64_t{10} << (40 - 12);  // in blocks

// Runs `body(lab, cache, arguments…)` in a process with a cache of its own.
template <class Body>
Task<void> run_with_cache(LayerLab* lab, Body body) {
  MapCache cache(lab->pool, lab->bound);
  co_await body(*lab, cache);
}
template <class Body>
void with_cache(LayerLab& lab, Body body) {
  lab.run(run_with_cache(&lab, body));
}

Task<Result<std::unique_ptr<Layer>>> create(LayerLab& lab, MapCache& cache, unsigned number) {
  co_return co_await Layer::create(lab.node.runtime().files, cache, lab.options(number));
}
Task<Result<std::unique_ptr<Layer>>> open(LayerLab& lab, MapCache& cache, unsigned number) {
  co_return co_await Layer::open(lab.node.runtime().files, cache, lab.options(number));
}

Task<Result<>> write_block(Layer& layer, BlockIndex block, std::uint64_t content) {
  const AlignedBytes bytes(kBytesPerBlock.value(), content);
  const ConstIoSlice piece(bytes.span());
  co_return co_await layer.write_blocks({block, 1}, {&piece, 1});
}

// --- the files -----------------------------------------------------------------------------------

TEST(Layer, ANewOneIsThereAfterAPowerFailure) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    LayerLab lab(seed);
    with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
      CO_ASSERT_OK(co_await create(here, cache, 1));
    });
    lab.node.power_fail();
    with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
      CO_ASSERT_OK_ASSIGN(auto layer, co_await open(here, cache, 1));
      CO_ASSERT_OK_ASSIGN(const BlockInfo info, co_await look_up_one(*layer, BlockIndex(5)));
      EXPECT_EQ(info.state, BlockState::kAbsent);
    });
  }
}

TEST(Layer, CreateReplacesWhatAnUnfinishedOneLeft) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    {
      CO_ASSERT_OK_ASSIGN(auto old, co_await create(here, cache, 1));
      CO_ASSERT_OK(co_await write_chunk(*old, ChunkIndex(3), 1, Lsn(1)));
      CO_ASSERT_OK(co_await old->sync());
    }
    CO_ASSERT_OK(co_await create(here, cache, 1));
    CO_ASSERT_OK_ASSIGN(auto layer, co_await open(here, cache, 1));
    CO_ASSERT_OK_ASSIGN(const auto next, co_await layer->next_chunk(ChunkIndex(0)));
    EXPECT_FALSE(next.has_value());
  });
}

TEST(Layer, OneThatIsNotThereIsNotFound) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    EXPECT_EQ(outcome_of(co_await open(here, cache, 1)), "NOT_FOUND");
  });
}

TEST(Layer, RemoveTakesAwayWhatThereIsAndIsDurable) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    FileSystem& files = here.node.runtime().files;
    CO_ASSERT_OK(co_await create(here, cache, 1));
    CO_ASSERT_OK(co_await create(here, cache, 2));
    CO_ASSERT_OK(co_await files.remove(here.path(2, "map")));
    CO_ASSERT_OK(co_await Layer::remove(files, "/data", layer_of(1)));
    CO_ASSERT_OK(co_await Layer::remove(files, "/data", layer_of(2)));
    CO_ASSERT_OK(co_await Layer::remove(files, "/data", layer_of(3)));
  });
  lab.node.power_fail();
  with_cache(lab, [](LayerLab& here, MapCache&) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const auto names, co_await here.node.runtime().files.list("/data"));
    EXPECT_TRUE(names.empty());
  });
}

// --- data ----------------------------------------------------------------------------------------

TEST(Layer, BlocksAreWrittenWhereTheyBelong) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto layer, co_await create(here, cache, 1));
    const AlignedBytes first(4096, 1), rest(8192, 2);
    const ConstIoSlice pieces[] = {ConstIoSlice(first.span()), ConstIoSlice(rest.span())};
    CO_ASSERT_OK(co_await layer->write_blocks({BlockIndex(1000), 3}, pieces));
    AlignedBytes read(8192);
    CO_ASSERT_OK(co_await layer->data().read(1001 * 4096, read.span()));
    EXPECT_TRUE(read == rest);
    CO_ASSERT_OK_ASSIGN(const ByteCount taken, co_await layer->data().allocated());
    EXPECT_EQ(taken, ByteCount(3 * 4096));
  });
}

TEST(Layer, PunchGivesTheSpaceBack) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto layer, co_await create(here, cache, 1));
    for (std::uint64_t block = 0; block < 4; ++block) {
      CO_ASSERT_OK(co_await write_block(*layer, BlockIndex(block), block));
    }
    CO_ASSERT_OK(co_await layer->punch({BlockIndex(1), 2}));
    CO_ASSERT_OK_ASSIGN(const ByteCount half, co_await layer->data().allocated());
    EXPECT_EQ(half, ByteCount(2 * 4096));
    CO_ASSERT_OK(co_await layer->punch({BlockIndex(3), kTenTebibytes}));
    CO_ASSERT_OK(co_await layer->punch({BlockIndex(100), kTenTebibytes}));
    CO_ASSERT_OK_ASSIGN(const ByteCount left, co_await layer->data().allocated());
    EXPECT_EQ(left, ByteCount(4096));
    CO_ASSERT_OK_ASSIGN(const ByteCount size, co_await layer->data().size());
    EXPECT_EQ(size, ByteCount(4 * 4096));
  });
}

// --- long ranges ---------------------------------------------------------------------------------

TEST(Layer, ADiscardOfTenTebibytesCostsByWhatIsThere) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto lower, co_await create(here, cache, 1));
    CO_ASSERT_OK_ASSIGN(auto layer, co_await create(here, cache, 2));
    const ChunkIndex far = chunk_of(BlockIndex(kTenTebibytes)) - 1;
    for (const ChunkIndex chunk : {ChunkIndex(0), far}) {
      CO_ASSERT_OK(co_await write_chunk(*layer, chunk, 1, Lsn(1)));
    }
    const ChunkIndex middle(far.value() / 2);
    CO_ASSERT_OK(co_await write_chunk(*lower, middle, 1, Lsn(1)));
    CO_ASSERT_OK(co_await layer->sync());
    CO_ASSERT_OK(co_await lower->sync());

    const MonoTime began = here.world.now();
    Layer* const below[] = {lower.get()};
    CO_ASSERT_OK(co_await layer->mark_discarded({BlockIndex(0), kTenTebibytes}, Lsn(2), below));
    EXPECT_EQ(layer->dirty_pages(), 3u);
    CO_ASSERT_OK(co_await layer->sync());
    EXPECT_LT(here.world.now() - began, 100ms);
    for (const ChunkIndex chunk : {ChunkIndex(0), far}) {
      CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await layer->entry(chunk));
      EXPECT_EQ(mapped.entry.present | mapped.entry.discarded, 0);
    }
    CO_ASSERT_OK_ASSIGN(const MappedChunk hidden, co_await layer->entry(middle));
    EXPECT_EQ(hidden.entry.discarded, 0xffff);
    EXPECT_LE(cache.statistics().pages, here.bound.value() / kMapPageSize);
  });
}

TEST(Layer, AChangeOfMorePagesThanTheCacheHoldsTakesNoMoreMemory) {
  constexpr std::uint64_t kCached = 16;
  constexpr std::uint64_t kMapPages = 1000;
  LayerLab lab(1, kCached);
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto layer, co_await create(here, cache, 1));
    for (std::uint64_t page = 0; page < kMapPages; ++page) {
      CO_ASSERT_OK(co_await write_chunk(*layer, first_chunk_of(MapPageIndex(page)), 1, Lsn(1)));
    }
    CO_ASSERT_OK(co_await layer->mark_discarded({BlockIndex(0), kTenTebibytes}, Lsn(2), {}));
    CO_ASSERT_OK(co_await layer->sync());
    for (const std::uint64_t page : {std::uint64_t{0}, kMapPages / 2, kMapPages - 1}) {
      CO_ASSERT_OK_ASSIGN(const MappedChunk mapped,
                          co_await layer->entry(first_chunk_of(MapPageIndex(page))));
      EXPECT_EQ(mapped.entry.last_lsn, Lsn(2));
      EXPECT_EQ(mapped.entry.present, 0);
    }
  });
  EXPECT_LE(lab.pool.statistics().high_water, ByteCount(2 * kCached * kMapPageSize));
}

TEST(Layer, NextChunkFindsWhatIsFarAway) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto layer, co_await create(here, cache, 1));
    const ChunkIndex far = chunk_of(BlockIndex(kTenTebibytes));
    CO_ASSERT_OK(co_await write_chunk(*layer, far, 1, Lsn(1)));
    CO_ASSERT_OK_ASSIGN(const auto found, co_await layer->next_chunk(ChunkIndex(0)));
    CO_ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->chunk, far);
    CO_ASSERT_OK_ASSIGN(const auto none, co_await layer->next_chunk(far.next()));
    EXPECT_FALSE(none.has_value());
  });
}

// --- durability ----------------------------------------------------------------------------------

TEST(Layer, SyncWritesWhatWriteMapHadLeft) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto layer, co_await create(here, cache, 1));
    CO_ASSERT_OK(co_await write_chunk(*layer, ChunkIndex(3), 1, Lsn(1)));
    CO_ASSERT_OK(co_await layer->sync());
    EXPECT_EQ(layer->dirty_pages(), 0u);
  });
  lab.node.power_fail();
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto layer, co_await open(here, cache, 1));
    CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await layer->entry(ChunkIndex(3)));
    EXPECT_EQ(mapped.entry.last_lsn, Lsn(1));
  });
}

TEST(Layer, ClosingForgetsWhatWasNotWritten) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    {
      CO_ASSERT_OK_ASSIGN(auto layer, co_await create(here, cache, 1));
      CO_ASSERT_OK(co_await write_chunk(*layer, ChunkIndex(3), 1, Lsn(1)));
    }
    EXPECT_EQ(cache.statistics().pages, 0u);
    EXPECT_EQ(cache.statistics().dirty, 0u);
    CO_ASSERT_OK_ASSIGN(auto layer, co_await open(here, cache, 1));
    CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await layer->entry(ChunkIndex(3)));
    EXPECT_TRUE(mapped.entry.is_empty());
  });
}

TEST(Layer, AFailedSyncIsSticky) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto layer, co_await create(here, cache, 1));
    CO_ASSERT_OK(co_await write_chunk(*layer, ChunkIndex(3), 1, Lsn(1)));
    here.node.disk().fail_next_sync(SyncFailure::kForgotten);
    EXPECT_EQ(outcome_of(co_await layer->sync()), "DATA_LOSS");
    EXPECT_EQ(outcome_of(co_await layer->sync()), "DATA_LOSS");
  });
}

TEST(Layer, WriteMapCanBeTriedAgainWhenSpaceIsBack) {
  LayerLab lab;
  with_cache(lab, [](LayerLab& here, MapCache& cache) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto layer, co_await create(here, cache, 1));
    CO_ASSERT_OK(co_await write_chunk(*layer, ChunkIndex(3), 1, Lsn(1)));
    here.node.disk().fail_next_write(ENOSPC);
    EXPECT_EQ(outcome_of(co_await layer->write_map()), "RESOURCE_EXHAUSTED");
    EXPECT_EQ(layer->dirty_pages(), 1u);
    CO_ASSERT_OK(co_await layer->write_map());
    CO_ASSERT_OK(co_await layer->sync());
  });
}

}  // namespace
}  // namespace ashlar::engine
