// One layer looked through: its map, and if asked every block that the map says is there against
// its checksum.
#pragma once

#include <optional>

#include "cli/store/damage.h"
#include "cli/store/progress.h"
#include "cli/store/store_view.h"
#include "common/base/buffer.h"

namespace ashlar::store_tool {

struct LayerFigures {
  std::uint64_t map_pages = 0;
  std::uint64_t chunks = 0;  // with an entry that says something, damaged ones too
  std::uint64_t present_blocks = 0;
  std::uint64_t discarded_blocks = 0;
  std::uint64_t damaged_blocks = 0;  // whose entry is damaged, or says that they are
  std::uint64_t damaged_entries = 0;
  std::uint64_t checked_blocks = 0;  // read and compared
  ByteCount data_size;
  ByteCount data_allocated;
  ByteCount map_size;
  ByteCount map_allocated;
};

enum class LayerDepth : std::uint8_t { kMap, kMapAndData };

// Nothing when a file of it is missing, which is in the list of damages then, unless it may be.
Task<Result<std::optional<LayerFigures>>> scan_layer(Runtime runtime, BufferPool& pool,
                                                     const StoreView& store, engine::LayerId id,
                                                     LayerDepth depth, DamageList& damages,
                                                     Progress& progress);

}  // namespace ashlar::store_tool
