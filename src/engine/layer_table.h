// LayerTable: the layers of a store that are open, and how many replicas' states name each: clones
// share the layers below them. A layer belongs to the replica that made it, whose state file lists
// it until nobody needs it any more; what no state file lists is never touched (P5).
//
// Belongs to its executor's thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/runtime/file.h"
#include "common/runtime/task.h"
#include "engine/layer.h"

namespace ashlar::engine {

class LayerTable {
 public:
  LayerTable(FileSystem& files, MapCache& cache, std::string directory)
      : files_(files), cache_(cache), directory_(std::move(directory)) {}

  // The layer, opened once for all who share it.
  Task<Result<std::shared_ptr<Layer>>> open(LayerId id, VolumeUuid volume);
  // New files; replaces what an unfinished create() left.
  Task<Result<std::shared_ptr<Layer>>> create(LayerId id, VolumeUuid volume);
  // Removes the files; the caller has seen that nobody names the layer. Readers that still hold it
  // finish on the open files.
  Task<Result<>> remove(LayerId id);

  void add_reference(const LayerId& id) { ++references_[id]; }
  void drop_reference(const LayerId& id);
  std::uint64_t references(const LayerId& id) const;

  // False while somebody names it, or when it is not known who does.
  bool may_remove(const LayerId& id) const { return !keep_all_ && references(id) == 0; }
  void keep_all() { keep_all_ = true; }
  bool keeps_all() const { return keep_all_; }

  FileSystem& files() { return files_; }
  const std::string& directory() const { return directory_; }

 private:
  FileSystem& files_;
  MapCache& cache_;
  const std::string directory_;
  std::map<LayerId, std::weak_ptr<Layer>> open_;
  std::map<LayerId, std::uint64_t> references_;
  bool keep_all_ = false;
};

}  // namespace ashlar::engine
