// MapCache: the pages of chunk maps that are in memory, of all layers of a store together, within a
// bound. A map is never in memory as a whole: 1 TiB of data has 1.4 GiB of it.
//
// Pages are 4 KiB. A page that is pinned or dirty stays; of the others the least recently used goes
// when there is need. Pins and dirty pages may exceed the bound for a while (a flush pass bounds
// what it dirties). Who asks for a page that is being read waits for that read.
//
// Belongs to its executor's thread; outlives every ChunkMap.
#pragma once

#include <cstdint>
#include <memory>

#include "common/base/buffer.h"
#include "common/base/strong.h"

namespace ashlar::engine {

struct MapCacheStatistics {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;  // pages read from disk
  std::uint64_t pages = 0;   // in memory
  std::uint64_t pinned = 0;
  std::uint64_t dirty = 0;
};

}  // namespace ashlar::engine
