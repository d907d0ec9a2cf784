#include "engine/layer_table.h"

#include <utility>

namespace ashlar::engine {

Task<Result<std::shared_ptr<Layer>>> LayerTable::open(LayerId id, VolumeUuid volume) {
  if (std::shared_ptr<Layer> layer = open_[id].lock()) co_return layer;
  LayerOptions options{.directory = directory_, .id = id, .volume = volume};
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<Layer> opened,
                       co_await Layer::open(files_, cache_, std::move(options)));
  // Another replica may have opened it meanwhile: one object per file.
  if (std::shared_ptr<Layer> layer = open_[id].lock()) co_return layer;
  std::shared_ptr<Layer> layer = std::move(opened);
  open_[id] = layer;
  co_return layer;
}

Task<Result<std::shared_ptr<Layer>>> LayerTable::create(LayerId id, VolumeUuid volume) {
  ASHLAR_CHECK(open_[id].expired(), "layer {} of {} is open", id.number, id.creator);
  LayerOptions options{.directory = directory_, .id = id, .volume = volume};
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<Layer> created,
                       co_await Layer::create(files_, cache_, std::move(options)));
  std::shared_ptr<Layer> layer = std::move(created);
  open_[id] = layer;
  co_return layer;
}

Task<Result<>> LayerTable::remove(LayerId id) {
  ASHLAR_CHECK_EQ(references(id), 0u);
  open_.erase(id);
  co_return co_await Layer::remove(files_, directory_, id);
}

void LayerTable::drop_reference(const LayerId& id) {
  const auto found = references_.find(id);
  ASHLAR_CHECK(found != references_.end() && found->second > 0, "layer {} of {} is not referred to",
               id.number, id.creator);
  if (--found->second == 0) references_.erase(found);
}

std::uint64_t LayerTable::references(const LayerId& id) const {
  const auto found = references_.find(id);
  return found == references_.end() ? 0 : found->second;
}

}  // namespace ashlar::engine
