// HostedStore: one store with the volumes in it. What volumes there are is known from the replicas'
// attachments alone: whoever has the store has its volumes.
//
// A replica whose attachment is empty was being made when the process died, and nobody was told of
// it: it is removed when nothing was ever written to it. All else that does not make sense is left
// as it is and listed (P5).
//
// Belongs to its reactor.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"
#include "volume/server/hosted_volume.h"
#include "volume/server/volume_info.h"

namespace ashlar::server {

class HostedStore {
 public:
  // Formats a directory that is empty or not there. Serves no volume yet. `context` outlives it.
  static Task<Result<std::unique_ptr<HostedStore>>> open(HostContext& context,
                                                         engine::StoreOptions options,
                                                         MetricRegistry* registry);
  ~HostedStore();

  // After the targets have stopped. Volumes are of no use any more.
  Task<Result<>> close();

  const std::string& directory() const { return options_.directory; }
  const StoreUuid& uuid() const { return store_->uuid(); }
  // Its volumes; a pointer is good until that volume is removed.
  HostedVolume* find(const VolumeUuid& uuid);
  std::vector<VolumeInfo> volumes() const;
  VolumeInfo describe(const HostedVolume& volume) const;
  Task<Result<StoreInfo>> status();

  // A volume that must not be served, for another store has one of that name or uuid.
  Task<Result<>> set_aside(VolumeUuid uuid, std::string reason);

  Task<Result<VolumeInfo>> create(VolumeUuid uuid, volume::VolumeSettings settings, ByteCount size);
  // Of a snapshot of `source`, or (nil) of one that is taken for it. `size` 0: the source's.
  Task<Result<VolumeInfo>> clone(VolumeUuid uuid, volume::VolumeSettings settings, ByteCount size,
                                 HostedVolume& source, SnapshotUuid snapshot);
  Task<Result<>> remove(VolumeUuid uuid, InUse in_use);

 private:
  HostedStore(HostContext& context, engine::StoreOptions options,
              std::unique_ptr<engine::Store> store);

  Task<Result<>> find_volumes();
  Task<Result<>> find_volume(engine::Replica& replica);
  // Gives the new replica its settings and serves it; removes it again if that fails.
  Task<Result<VolumeInfo>> adopt(engine::Replica& replica, volume::VolumeSettings settings,
                                 ByteCount size);
  Task<Result<VolumeInfo>> set_up(engine::Replica& replica, volume::VolumeSettings settings,
                                  ByteCount size);

  HostContext& context_;
  const engine::StoreOptions options_;
  std::unique_ptr<engine::Store> store_;
  std::map<VolumeUuid, std::unique_ptr<HostedVolume>> volumes_;
  std::vector<UnreadableThing> set_aside_;
};

}  // namespace ashlar::server
