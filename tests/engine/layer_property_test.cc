// Random changes against a model in memory: what a layer's map says, through evictions, reopening
// and power failures.
#include "engine/layer.h"
#include "tests/engine/layer_model.h"

namespace ashlar::engine {
namespace {

using test::outcome_of;

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

TEST(LayerProperty, APowerFailureTouchesOnlyWhatWasNotSyncedAndAReplayMendsIt) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    PropertyLab lab(seed);
    lab.run(create_layers(&lab));
    lab.run(fill_lower(&lab));
    for (int life = 0; life < 3; ++life) {
      lab.node.boot();
      lab.node.spawn(change_until_killed(&lab));
      lab.node.crash_after_steps(50 + lab.source.random().below(1500), sim::CrashKind::kPowerFail);
      ASSERT_TRUE(lab.world.run_until([&] { return !lab.node.is_running(); }, 3600s));
      lab.run(recover_and_compare(&lab));
      if (testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace ashlar::engine
