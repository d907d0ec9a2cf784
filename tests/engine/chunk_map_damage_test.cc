// What a chunk map makes of bytes that are not those it wrote.
#include <cerrno>
#include <cstring>
#include <vector>

#include "engine/chunk_map.h"
#include "tests/engine/layer_test_support.h"

namespace ashlar::engine {
namespace {

// A lab keeps the body that it runs for as long as its coroutine may run, so here they may capture.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

using test::outcome_of;
using State = BlockState;

constexpr unsigned kWrittenChunks = 2 * kEntriesPerPage;

// Two pages, every chunk written with its own checksums.
void write_two_pages(MapLab& lab) {
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    for (unsigned i = 0; i < kWrittenChunks; ++i) {
      CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(i), i + 1, Lsn(i + 1)));
    }
    CO_ASSERT_OK(co_await write_all(map));
  });
}

// The state of the chunk, if its entry is what write_two_pages() made of it; damaged if all of it
// is; anything else is neither.
std::string verdict_on(const MappedChunk& mapped, std::uint32_t content) {
  const std::vector<std::uint32_t> checksums = sums(kBlocksPerChunk, content);
  if (mapped.is_damaged) return "damaged";
  const bool whole = mapped.entry.present == 0xffff && mapped.entry.discarded == 0 &&
                     mapped.entry.last_lsn == Lsn(content) &&
                     std::equal(checksums.begin(), checksums.end(), mapped.entry.checksums.begin());
  return whole ? "whole" : mapped.entry.is_empty() ? "empty" : "changed";
}

// The verdicts on all chunks of the two pages.
std::vector<std::string> verdicts(MapLab& lab) {
  std::vector<std::string> result;
  lab.with_map([&result](MapLab&, ChunkMap& map) -> Task<void> {
    for (unsigned i = 0; i < kWrittenChunks; ++i) {
      CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await map.entry(ChunkIndex(i)));
      result.push_back(verdict_on(mapped, i + 1));
    }
  });
  return result;
}

std::vector<std::string> all_but(std::string_view odd, unsigned first, unsigned count) {
  std::vector<std::string> expected(kWrittenChunks, "whole");
  std::fill_n(expected.begin() + first, count, std::string(odd));
  return expected;
}

TEST(ChunkMapDamage, AFlippedBitInAnyByteOfAnEntryDamagesThatChunkAlone) {
  MapLab lab;
  write_two_pages(lab);
  for (unsigned byte = 0; byte < kEntrySize; ++byte) {
    const std::size_t offset = lab.entry_offset(ChunkIndex(29)) + byte;
    lab.flip(offset, byte % 8);
    ASSERT_EQ(verdicts(lab), all_but("damaged", 29, 1)) << "byte " << byte;
    lab.flip(offset, byte % 8);
  }
}

TEST(ChunkMapDamage, EveryBlockOfADamagedEntryIsDamaged) {
  MapLab lab;
  write_two_pages(lab);
  lab.flip(lab.entry_offset(ChunkIndex(29)) + 20, 3);
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    std::vector<BlockInfo> infos(3 * kBlocksPerChunk);
    CO_ASSERT_OK(co_await map.look_up({block_in(ChunkIndex(28)), infos.size()}, infos));
    for (unsigned i = 0; i < infos.size(); ++i) {
      EXPECT_EQ(infos[i].state, i / 16 == 1 ? State::kDamaged : State::kPresent) << i;
    }
  });
}

TEST(ChunkMapDamage, AnEntryThatWasZeroedBesideOthersIsForgotten) {
  // The price of sparse pages: zeros are valid. A disk loses sectors, not entries.
  MapLab lab;
  write_two_pages(lab);
  std::memset(lab.file.bytes.data() + lab.entry_offset(ChunkIndex(29)), 0, kEntrySize);
  EXPECT_EQ(verdicts(lab), all_but("empty", 29, 1));
}

TEST(ChunkMapDamage, APageOfZerosThatShouldExistIsDamaged) {
  MapLab lab;
  write_two_pages(lab);
  std::memset(lab.file.bytes.data() + 2 * kMapPageSize, 0, kMapPageSize);
  EXPECT_EQ(verdicts(lab), all_but("damaged", 48, 48));
}

TEST(ChunkMapDamage, APageBehindTheEndOfAFileThatGotShorterIsDamaged) {
  MapLab lab;
  write_two_pages(lab);
  lab.file.bytes.resize(2 * kMapPageSize);
  EXPECT_EQ(verdicts(lab), all_but("damaged", 48, 48));
}

TEST(ChunkMapDamage, APageInTheWrongPlaceIsDamaged) {
  MapLab lab;
  write_two_pages(lab);
  std::memcpy(lab.file.bytes.data() + 2 * kMapPageSize, lab.file.bytes.data() + kMapPageSize,
              kMapPageSize);
  EXPECT_EQ(verdicts(lab), all_but("damaged", 48, 48));
}

TEST(ChunkMapDamage, APageOfAnotherLayerIsDamaged) {
  MapLab lab, other;
  other.seed = MapSeed(uuid_of<VolumeUuid>(1), layer_of(2));
  write_two_pages(lab);
  write_two_pages(other);
  std::memcpy(lab.file.bytes.data() + kMapPageSize, other.file.bytes.data() + kMapPageSize,
              kMapPageSize);
  EXPECT_EQ(verdicts(lab), all_but("damaged", 0, 48));
}

TEST(ChunkMapDamage, AChangeOfSomeBlocksLeavesTheOthersDamagedForGood) {
  MapLab lab;
  write_two_pages(lab);
  lab.flip(lab.entry_offset(ChunkIndex(29)) + 20, 3);
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    const BlockIndex first = block_in(ChunkIndex(29));
    CO_ASSERT_OK(co_await map.mark_written({first, 1}, sums(1, 500), Lsn(500)));
    CO_ASSERT_OK(co_await map.mark_discarded({first + 1, 1}, Lsn(501), {}));
    CO_ASSERT_OK(co_await map.mark_absent({first + 2, 1}));
    CO_ASSERT_OK(co_await write_all(map));
  });
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await map.entry(ChunkIndex(29)));
    EXPECT_FALSE(mapped.is_damaged);
    EXPECT_EQ(mapped.entry.last_lsn, Lsn(501));
    EXPECT_EQ(mapped.entry.block(0).state, State::kPresent);
    EXPECT_EQ(mapped.entry.block(1).state, State::kAbsent);
    EXPECT_EQ(mapped.entry.block(2).state, State::kAbsent);
    for (unsigned i = 3; i < 16; ++i) EXPECT_EQ(mapped.entry.block(i).state, State::kDamaged) << i;
  });
}

TEST(ChunkMapDamage, DamagedEntriesStayDamagedWhenTheirPageIsWrittenAgain) {
  MapLab lab;
  write_two_pages(lab);
  std::memset(lab.file.bytes.data() + 2 * kMapPageSize, 0, kMapPageSize);
  lab.flip(lab.entry_offset(ChunkIndex(29)) + 20, 3);
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(30), 31, Lsn(31)));
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(48), 49, Lsn(49)));
    CO_ASSERT_OK(co_await write_all(map));
  });
  std::vector<std::string> expected = all_but("damaged", 49, 47);
  expected[29] = "damaged";
  EXPECT_EQ(verdicts(lab), expected);
}

// --- summaries -----------------------------------------------------------------------------------

TEST(ChunkMapDamage, UnderADamagedSummaryEveryPageIsReadAndZerosAreNoDamage) {
  MapLab lab;
  write_two_pages(lab);
  lab.flip(100, 5);
  EXPECT_EQ(verdicts(lab), all_but("whole", 0, 0));
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    for (const unsigned page : {2U, 30U, 4000U}) {  // 4000 is behind the end of the file
      CO_ASSERT_OK_ASSIGN(const MappedChunk mapped,
                          co_await map.entry(first_chunk_of(MapPageIndex(page))));
      EXPECT_FALSE(mapped.is_damaged);
      EXPECT_TRUE(mapped.entry.is_empty());
    }
  });
}

TEST(ChunkMapDamage, APageMadeUnderADamagedSummaryIsThereAfterReopening) {
  MapLab lab;
  write_two_pages(lab);
  lab.flip(100, 5);
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(500), 9, Lsn(99)));
    CO_ASSERT_OK(co_await write_all(map));
  });
  lab.with_map([](MapLab&, ChunkMap& map) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await map.entry(ChunkIndex(500)));
    EXPECT_EQ(verdict_on(mapped, 99), "changed");
    EXPECT_EQ(mapped.entry.last_lsn, Lsn(99));
    CO_ASSERT_OK_ASSIGN(const auto next, co_await map.next_chunk(ChunkIndex(kWrittenChunks)));
    CO_ASSERT_TRUE(next.has_value());
    EXPECT_EQ(next->chunk, ChunkIndex(500));
  });
}

TEST(ChunkMapDamage, ADamagedSectorOfASummaryLeavesTheOthersInForce) {
  MapLab lab;
  write_two_pages(lab);
  lab.flip(512 + 100, 5);  // of pages that were never made
  std::memset(lab.file.bytes.data() + 2 * kMapPageSize, 0, kMapPageSize);
  EXPECT_EQ(verdicts(lab), all_but("damaged", 48, 48));
}

// --- torn writes ---------------------------------------------------------------------------------

TEST(ChunkMapDamage, APageTornAtAnySectorLosesNoEntryThatWasNotChanged) {
  MapLab lab;
  write_two_pages(lab);
  const std::vector<std::byte> before = lab.file.bytes;
  const std::vector<unsigned> changed{0, 5, 6, 23, 47};
  lab.with_map([&changed](MapLab&, ChunkMap& map) -> Task<void> {
    for (const unsigned chunk : changed) {
      CO_ASSERT_OK(co_await write_chunk(map, ChunkIndex(chunk), 900, Lsn(900)));
    }
    CO_ASSERT_OK(co_await write_all(map));
  });
  const std::vector<std::byte> after = lab.file.bytes;
  for (unsigned sectors = 0; sectors < 1U << kSectorsPerMapPage; ++sectors) {
    for (unsigned i = 0; i < kSectorsPerMapPage; ++i) {
      const std::vector<std::byte>& source = (sectors >> i & 1) != 0 ? after : before;
      const std::size_t at = kMapPageSize + i * kMapSectorSize;
      std::memcpy(lab.file.bytes.data() + at, source.data() + at, kMapSectorSize);
    }
    const std::vector<std::string> found = verdicts(lab);
    for (unsigned chunk = 0; chunk < kWrittenChunks; ++chunk) {
      const bool was_changed = std::ranges::find(changed, chunk) != changed.end();
      const bool is_new = was_changed && (sectors >> chunk / kEntriesPerSector & 1) != 0;
      ASSERT_EQ(found[chunk], is_new ? "changed" : "whole") << chunk << " of " << sectors;
    }
  }
}

// --- errors of the disk --------------------------------------------------------------------------

struct FaultyLab : LayerLab {
  // Chunks 3 and 51: one in each of two pages, synced.
  void prepare() { run(prepare_layer(this)); }
  static Task<void> prepare_layer(FaultyLab* lab) {
    MapCache cache(lab->pool, lab->bound);
    CO_ASSERT_OK_ASSIGN(auto layer,
                        co_await Layer::create(lab->node.runtime().files, cache, lab->options(1)));
    CO_ASSERT_OK(co_await write_chunk(*layer, ChunkIndex(3), 4, Lsn(4)));
    CO_ASSERT_OK(co_await write_chunk(*layer, ChunkIndex(51), 52, Lsn(52)));
    CO_ASSERT_OK(co_await layer->sync());
  }
  using Body = std::function<Task<void>(FaultyLab&, Layer&)>;
  void with_layer(Body body) { run(run_body(this, &body)); }
  static Task<void> run_body(FaultyLab* lab, const Body* body) {
    MapCache cache(lab->pool, lab->bound);
    CO_ASSERT_OK_ASSIGN(auto layer,
                        co_await Layer::open(lab->node.runtime().files, cache, lab->options(1)));
    co_await (*body)(*lab, *layer);
  }
};

TEST(ChunkMapDamage, APageThatCannotBeReadIsDamagedAndAWriteMakesItReadable) {
  FaultyLab lab;
  lab.prepare();
  lab.node.disk().make_unreadable(lab.path(1, "map"), kMapPageSize);
  lab.with_layer([](FaultyLab&, Layer& layer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const MappedChunk lost, co_await layer.entry(ChunkIndex(3)));
    EXPECT_TRUE(lost.is_damaged);
    CO_ASSERT_OK_ASSIGN(const MappedChunk unknown, co_await layer.entry(ChunkIndex(4)));
    EXPECT_TRUE(unknown.is_damaged);
    CO_ASSERT_OK_ASSIGN(const MappedChunk other, co_await layer.entry(ChunkIndex(51)));
    EXPECT_EQ(verdict_on(other, 52), "whole");
    CO_ASSERT_OK(co_await write_chunk(layer, ChunkIndex(3), 4, Lsn(4)));
    CO_ASSERT_OK(co_await layer.sync());
  });
  lab.with_layer([](FaultyLab&, Layer& layer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const MappedChunk mended, co_await layer.entry(ChunkIndex(3)));
    EXPECT_EQ(verdict_on(mended, 4), "whole");
    CO_ASSERT_OK_ASSIGN(const MappedChunk unknown, co_await layer.entry(ChunkIndex(4)));
    EXPECT_TRUE(unknown.is_damaged);
  });
}

TEST(ChunkMapDamage, ASummaryThatCannotBeReadHidesNothing) {
  FaultyLab lab;
  lab.prepare();
  lab.node.disk().make_unreadable(lab.path(1, "map"), 0);
  lab.with_layer([](FaultyLab&, Layer& layer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const MappedChunk there, co_await layer.entry(ChunkIndex(51)));
    EXPECT_EQ(verdict_on(there, 52), "whole");
    CO_ASSERT_OK_ASSIGN(const BlockInfo never, co_await look_up_one(layer, BlockIndex(1 << 20)));
    EXPECT_EQ(never.state, State::kAbsent);
  });
}

TEST(ChunkMapDamage, APageMadeWhileItsSummaryCouldNotBeReadIsThereWhenItCan) {
  FaultyLab lab;
  lab.prepare();
  lab.with_layer([](FaultyLab& here, Layer& layer) -> Task<void> {
    here.node.disk().fail_next_read(EIO);
    CO_ASSERT_OK(co_await write_chunk(layer, ChunkIndex(700), 9, Lsn(9)));
    CO_ASSERT_OK(co_await layer.sync());
  });
  lab.with_layer([](FaultyLab&, Layer& layer) -> Task<void> {
    for (const unsigned chunk : {3U, 51U, 700U}) {
      CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await layer.entry(ChunkIndex(chunk)));
      EXPECT_EQ(mapped.entry.present, 0xffff) << chunk;
    }
  });
}

TEST(ChunkMapDamage, AnotherErrorOfTheDiskIsAnErrorForAllWhoWaitAndIsForgotten) {
  FaultyLab lab;
  lab.prepare();
  lab.with_layer([](FaultyLab& here, Layer& layer) -> Task<void> {
    here.node.disk().fail_next_read(ENOMEM);
    std::vector<std::string> outcomes;
    TaskScope scope(co_await this_task());
    const auto look = [](Layer& at, std::vector<std::string>& to) -> Task<void> {
      const Result<BlockInfo> info = co_await look_up_one(at, block_in(ChunkIndex(3)));
      to.emplace_back(outcome_of(info));
    };
    for (int i = 0; i < 3; ++i) scope.spawn(look(layer, outcomes));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(outcomes, std::vector<std::string>(3, "RESOURCE_EXHAUSTED"));
    CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await layer.entry(ChunkIndex(3)));
    EXPECT_EQ(verdict_on(mapped, 4), "whole");
  });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::engine
