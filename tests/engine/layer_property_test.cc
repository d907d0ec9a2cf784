// Random changes against a model in memory: what a layer's map says, through evictions, reopening
// and power failures.
#include "engine/layer.h"
#include "tests/engine/layer_model.h"

namespace ashlar::engine {
namespace {

// A head layer with one below it, and what they should say.
struct TwoLayers {
  std::unique_ptr<Layer> head;
  std::unique_ptr<Layer> lower;
};

struct PropertyLab : LayerLab {
  explicit PropertyLab(std::uint64_t seed) : LayerLab(seed, 6), source(seed) {}

  ChangeSource source;
  MapModel head;  // with every change
  MapModel lower;
  MapModel synced;                  // the head as of the last sync
  std::vector<MapChange> unsynced;  // the head's changes since: what a log would replay
};

Task<void> create_layers(PropertyLab* lab) {
  MapCache cache(lab->pool, lab->bound);
  for (const unsigned number : {1U, 2U}) {
    CO_ASSERT_OK(co_await Layer::create(lab->node.runtime().files, cache, lab->options(number)));
  }
}

Task<Result<TwoLayers>> open_layers(PropertyLab& lab, MapCache& cache) {
  FileSystem& files = lab.node.runtime().files;
  TwoLayers layers;
  ASHLAR_CO_TRY_ASSIGN(layers.head, co_await Layer::open(files, cache, lab.options(1)));
  ASHLAR_CO_TRY_ASSIGN(layers.lower, co_await Layer::open(files, cache, lab.options(2)));
  co_return layers;
}

Task<Result<>> change_head(PropertyLab& lab, TwoLayers& layers) {
  const MapChange change = lab.source.draw();
  Layer* const below[] = {layers.lower.get()};
  lab.unsynced.push_back(change);
  ASHLAR_CO_TRY(co_await apply(*layers.head, change, below));
  lab.head.apply(change, &lab.lower);
  co_return Result<>();
}

Task<Result<>> sync_head(PropertyLab& lab, TwoLayers& layers) {
  ASHLAR_CO_TRY(co_await layers.head->write_map());
  ASHLAR_CO_TRY(co_await layers.head->sync());
  lab.synced = lab.head;
  lab.unsynced.clear();
  co_return Result<>();
}

Task<void> expect_same_blocks(PropertyLab& lab, Layer& layer, const MapModel& model) {
  const BlockRange range = lab.source.range();
  std::vector<BlockInfo> infos(range.count);
  if (!layer.try_look_up(range, infos)) CO_ASSERT_OK(co_await layer.look_up(range, infos));
  for (std::uint64_t i = 0; i < range.count; ++i) {
    const BlockIndex block = range.first + i;
    const BlockInfo expected = model.entry(chunk_of(block)).block(place_in_chunk(block));
    CO_ASSERT_TRUE(infos[i] == expected);
  }
}

Task<void> expect_same(PropertyLab& lab, Layer& layer, const MapModel& model) {
  const Result<std::string> difference_found = co_await difference(layer, model);
  CO_ASSERT_OK(difference_found);
  EXPECT_EQ(*difference_found, "") << "seed " << lab.world.seed();
}

// Fills the layer below, once.
Task<void> fill_lower(PropertyLab* lab) {
  MapCache cache(lab->pool, lab->bound);
  CO_ASSERT_OK_ASSIGN(TwoLayers layers, co_await open_layers(*lab, cache));
  for (int i = 0; i < 10; ++i) {
    const MapChange change = lab->source.draw();
    CO_ASSERT_OK(co_await apply(*layers.lower, change, {}));
    lab->lower.apply(change, nullptr);
  }
  CO_ASSERT_OK(co_await layers.lower->sync());
}

Task<void> change_and_compare(PropertyLab* lab) {
  MapCache cache(lab->pool, lab->bound);
  CO_ASSERT_OK_ASSIGN(TwoLayers layers, co_await open_layers(*lab, cache));
  co_await expect_same(*lab, *layers.head, lab->head);
  for (int i = 0; i < 15; ++i) {
    CO_ASSERT_OK(co_await change_head(*lab, layers));
    co_await expect_same_blocks(*lab, *layers.head, lab->head);
    if (lab->source.random().chance(1, 4)) CO_ASSERT_OK(co_await layers.head->write_map());
  }
  co_await expect_same(*lab, *layers.head, lab->head);
  co_await expect_same(*lab, *layers.lower, lab->lower);
  CO_ASSERT_OK(co_await sync_head(*lab, layers));
}

TEST(LayerProperty, SaysWhatTheModelSaysThroughEvictionsAndReopening) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    PropertyLab lab(seed);
    lab.run(create_layers(&lab));
    lab.run(fill_lower(&lab));
    for (int life = 0; life < 6; ++life) lab.run(change_and_compare(&lab));
    if (testing::Test::HasFailure()) return;
  }
}

Task<void> change_until_killed(PropertyLab* lab) {
  MapCache cache(lab->pool, lab->bound);
  CO_ASSERT_OK_ASSIGN(TwoLayers layers, co_await open_layers(*lab, cache));
  for (;;) {
    CO_ASSERT_OK(co_await change_head(*lab, layers));
    const std::uint64_t next = lab->source.random().below(8);
    if (next == 0) CO_ASSERT_OK(co_await sync_head(*lab, layers));
    if (next < 3) CO_ASSERT_OK(co_await layers.head->write_map());
  }
}

// Chunks that no change since the last sync was about.
Task<void> expect_untouched_chunks(PropertyLab& lab, Layer& head) {
  for (const auto& [number, expected] : lab.synced.entries()) {
    const ChunkIndex chunk(number);
    const bool touched = std::ranges::any_of(lab.unsynced, [&](const MapChange& change) {
      const bool sets = change.kind == MapChange::Kind::kSet;
      const BlockIndex last = sets ? change.range.first : change.range.end() - 1;
      return chunk_of(change.range.first) <= chunk && chunk <= chunk_of(last);
    });
    if (touched) continue;
    CO_ASSERT_OK_ASSIGN(const MappedChunk mapped, co_await head.entry(chunk));
    EXPECT_EQ(mapped.entry, expected) << "chunk " << number << ", seed " << lab.world.seed();
  }
}

Task<void> recover_and_compare(PropertyLab* lab) {
  MapCache cache(lab->pool, lab->bound);
  CO_ASSERT_OK_ASSIGN(TwoLayers layers, co_await open_layers(*lab, cache));
  co_await expect_untouched_chunks(*lab, *layers.head);
  // What the log does: everything since the last sync once more.
  lab->head = lab->synced;
  const std::vector<MapChange> replayed = lab->unsynced;
  Layer* const below[] = {layers.lower.get()};
  for (const MapChange& change : replayed) {
    CO_ASSERT_OK(co_await apply(*layers.head, change, below));
    lab->head.apply(change, &lab->lower);
  }
  co_await expect_same(*lab, *layers.head, lab->head);
  CO_ASSERT_OK(co_await sync_head(*lab, layers));
}

TEST(LayerProperty, ACrashTouchesOnlyWhatWasNotSyncedAndAReplayMendsIt) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    PropertyLab lab(seed);
    lab.run(create_layers(&lab));
    lab.run(fill_lower(&lab));
    for (int life = 0; life < 3; ++life) {
      lab.node.boot();
      lab.node.spawn(change_until_killed(&lab));
      const bool loses_power = lab.source.random().chance(2, 3);
      lab.node.crash_after_steps(50 + lab.source.random().below(1500),
                                 loses_power ? sim::CrashKind::kPowerFail : sim::CrashKind::kKill);
      ASSERT_TRUE(lab.world.run_until([&] { return !lab.node.is_running(); }, 3600s));
      lab.run(recover_and_compare(&lab));
      if (testing::Test::HasFailure()) return;
    }
  }
}

// --- damage --------------------------------------------------------------------------------------

// With nothing below, absent and discarded blocks are zeros alike.
bool may_be_said_of(const BlockInfo& truth, const BlockInfo& said) {
  if (said.state == BlockState::kDamaged) return true;
  if (truth.state == BlockState::kPresent) return said == truth;
  return said.state != BlockState::kPresent;
}

Task<void> change_a_rotting_layer(PropertyLab* lab) {
  MapCache cache(lab->pool, lab->bound);
  CO_ASSERT_OK_ASSIGN(TwoLayers layers, co_await open_layers(*lab, cache));
  for (int i = 0; i < 40; ++i) {
    MapChange change = lab->source.draw();
    // Every page of a group whose summary rots exists, so long ranges would take their time.
    change.range.count = std::min<std::uint64_t>(change.range.count, 2000);
    CO_ASSERT_OK(co_await apply(*layers.head, change, {}));
    lab->head.apply(change, nullptr);
    const BlockRange range = lab->source.range();
    std::vector<BlockInfo> infos(range.count);
    CO_ASSERT_OK(co_await layers.head->look_up(range, infos));
    for (std::uint64_t k = 0; k < range.count; ++k) {
      const BlockIndex block = range.first + k;
      const BlockInfo truth = lab->head.entry(chunk_of(block)).block(place_in_chunk(block));
      CO_ASSERT_TRUE(truth.state == BlockState::kDamaged || may_be_said_of(truth, infos[k]));
    }
    if (i % 8 == 7) CO_ASSERT_OK(co_await layers.head->sync());
  }
  CO_ASSERT_OK(co_await layers.head->sync());
}

TEST(LayerProperty, RotAndUnreadableSectorsAreDamageAndNeverAnotherAnswer) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    PropertyLab lab(seed);
    lab.run(create_layers(&lab));
    lab.run(change_a_rotting_layer(&lab));
    lab.node.disk().faults.read_error = 10'000;
    lab.node.disk().faults.bit_rot = 30'000;
    for (int life = 0; life < 3; ++life) lab.run(change_a_rotting_layer(&lab));
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "seed " << seed;
      return;
    }
  }
}

// --- readers beside the one who changes ----------------------------------------------------------

constexpr std::uint64_t kSharedChunks = 500;

struct SharedLayer {
  Layer* layer = nullptr;
  std::vector<std::uint32_t> begun = std::vector<std::uint32_t>(kSharedChunks);
  std::vector<std::uint32_t> done = std::vector<std::uint32_t>(kSharedChunks);
  bool over = false;
};

Task<void> change_shared(SharedLayer* shared, Random random) {
  for (std::uint32_t content = 1; content <= 1500; ++content) {
    const std::uint64_t chunk = random.below(kSharedChunks);
    shared->begun[chunk] = content;
    CO_ASSERT_OK(co_await write_chunk(*shared->layer, ChunkIndex(chunk), content, Lsn(content)));
    shared->done[chunk] = content;
    if (random.chance(1, 50)) CO_ASSERT_OK(co_await shared->layer->write_map());
    if (random.chance(1, 200)) CO_ASSERT_OK(co_await shared->layer->sync());
  }
  shared->over = true;
}

Task<void> read_shared(SharedLayer* shared, Random random) {
  while (!shared->over) {
    const std::uint64_t chunk = random.below(kSharedChunks);
    const std::uint32_t at_least = shared->done[chunk];
    std::vector<BlockInfo> infos(kBlocksPerChunk);
    const BlockRange range{first_block_of(ChunkIndex(chunk)), kBlocksPerChunk};
    CO_ASSERT_OK(co_await shared->layer->look_up(range, infos));
    const std::uint32_t at_most = shared->begun[chunk];
    const std::uint32_t content = infos[0].checksum / 100'000;
    CO_ASSERT_TRUE(content >= at_least && content <= at_most);
    for (unsigned i = 1; i < kBlocksPerChunk; ++i) {
      CO_ASSERT_TRUE(infos[i].checksum / 100'000 == content);
    }
    if (random.chance(1, 8)) co_await yield();
  }
}

Task<void> share(PropertyLab* lab) {
  MapCache cache(lab->pool, lab->bound);
  CO_ASSERT_OK_ASSIGN(TwoLayers layers, co_await open_layers(*lab, cache));
  SharedLayer shared{.layer = layers.head.get()};
  TaskScope scope(co_await this_task());
  scope.spawn(change_shared(&shared, Random(lab->world.seed())));
  for (std::uint64_t i = 1; i <= 4; ++i) scope.spawn(read_shared(&shared, Random(i)));
  CO_ASSERT_OK(co_await scope.join());
  EXPECT_EQ(cache.statistics().pinned, 0u);
}

TEST(LayerProperty, ReadersSeeAChunkAsItWasOrAsItIs) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    PropertyLab lab(seed);
    lab.run(create_layers(&lab));
    lab.run(share(&lab));
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace ashlar::engine
