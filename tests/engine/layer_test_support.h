// What the tests of chunk maps and layers share: a machine with a faulty disk, a process to run
// coroutines in, and a map over a file in memory whose bytes a test may change.
#pragma once

#include <array>
#include <functional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/buffer.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"
#include "engine/chunk_map.h"
#include "engine/layer.h"
#include "tests/engine/memory_file.h"
#include "tests/support/expect.h"

namespace ashlar::engine {

template <class Id>
Id uuid_of(unsigned last) {
  std::array<std::byte, Uuid::kSize> bytes{};
  bytes[0] = std::byte{0xb6};
  bytes[15] = static_cast<std::byte>(last);
  return Id(std::span<const std::byte, Uuid::kSize>(bytes));
}
inline LayerId layer_of(std::uint64_t number) {
  return {uuid_of<ReplicaUuid>(7), number};
}
inline BlockIndex block_in(ChunkIndex chunk, unsigned place = 0) {
  return first_block_of(chunk) + place;
}

// The checksums of `count` blocks, different for every content and never 0.
inline std::vector<std::uint32_t> sums(std::uint64_t count, std::uint32_t content) {
  std::vector<std::uint32_t> result;
  for (std::uint64_t i = 0; i < count; ++i) {
    result.push_back(content * 100'000 + static_cast<std::uint32_t>(i) + 1);
  }
  return result;
}

// A world with one machine.
struct LayerLab {
  explicit LayerLab(std::uint64_t seed = 1, std::uint64_t cached_pages = 64)
      : world(seed), node(world.add_node()), bound(cached_pages * kMapPageSize) {
    world.set_event_limit(50'000'000);
  }

  // Runs a coroutine to its end in a process of the machine.
  void run(Task<void> task) {
    if (!node.is_running()) node.boot();
    node.spawn(std::move(task));
    ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, 3600s)) << world.seed();
  }

  LayerOptions options(std::uint64_t number) const {
    return {.directory = "/data", .id = layer_of(number), .volume = uuid_of<VolumeUuid>(1)};
  }
  std::string path(std::uint64_t number, const std::string& suffix) const {
    return "/data/" + layer_of(number).creator.to_string() + "-" + std::to_string(number) + "." +
           suffix;
  }

  sim::SimWorld world;
  sim::SimNode& node;
  ByteCount bound;
  BufferPool pool{"test", ByteCount(64 << 20)};
};

// One chunk map over 40 pages in memory.
struct MapLab : LayerLab {
  using Body = std::function<Task<void>(MapLab&, ChunkMap&)>;

  using LayerLab::LayerLab;

  // Opens the map, runs `body`, and closes it.
  void with_map(Body body) { run(run_body(this, &body)); }

  std::size_t entry_offset(ChunkIndex chunk) const {
    const unsigned slot = slot_of(chunk);
    return number_of(map_page_of(chunk)).value() * kMapPageSize +
           slot / kEntriesPerSector * kMapSectorSize + slot % kEntriesPerSector * kEntrySize;
  }
  void flip(std::size_t offset, unsigned bit) {
    file.bytes[offset] ^= std::byte(static_cast<unsigned char>(1U << bit));
  }

  test::MemoryFile file{40 * kMapPageSize};
  MapSeed seed{uuid_of<VolumeUuid>(1), layer_of(1)};
  MapCacheStatistics statistics;  // at the end of the last body

 private:
  static Task<void> run_body(MapLab* lab, const Body* body) {
    MapCache cache(lab->pool, lab->bound);
    ChunkMap map(cache, lab->file, ByteCount(lab->file.bytes.size()), lab->seed);
    co_await (*body)(*lab, map);
    lab->statistics = cache.statistics();
  }
};

// Writes what is dirty, as a layer does.
inline Task<Result<>> write_all(ChunkMap& map) {
  ASHLAR_CO_TRY(co_await map.write_pages());
  co_return co_await map.write_summaries();
}

// One chunk's worth of blocks, all written at once.
template <class Map>
Task<Result<>> write_chunk(Map& map, ChunkIndex chunk, std::uint32_t content, Lsn lsn) {
  const std::vector<std::uint32_t> checksums = sums(kBlocksPerChunk, content);
  co_return co_await map.mark_written({first_block_of(chunk), kBlocksPerChunk}, checksums, lsn);
}

template <class Map>
Task<Result<BlockInfo>> look_up_one(Map& map, BlockIndex block) {
  BlockInfo info;
  ASHLAR_CO_TRY(co_await map.look_up({block, 1}, {&info, 1}));
  co_return info;
}

}  // namespace ashlar::engine
