// HostedVolume: one volume as this server serves it: its replica, the volume, the SCSI device with
// the volume as LUN 0, and the iSCSI target, one for each volume. What a person may do to a volume
// that is there.
//
// Control calls of one volume come one at a time (the caller sees to that); commands of initiators
// go on beside them. Belongs to the reactor of its store.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/runtime/runtime.h"
#include "engine/replica.h"
#include "volume/core/volume.h"
#include "volume/iscsi/target_server.h"
#include "volume/scsi/device.h"
#include "volume/server/target_map.h"
#include "volume/server/volume_info.h"

namespace ashlar::server {

// What the volumes of a reactor have in common; outlives them.
struct HostContext {
  Runtime runtime;
  BufferPool& pool;
  iscsi::TargetServer& targets;
  TargetMap& map;
  std::uint32_t reactor = 0;
  std::string iqn_prefix;
  std::vector<scsi::TargetPort> ports;  // one for each portal
};

// Withdrawn or retired before it is destroyed.
class HostedVolume {
 public:
  HostedVolume(HostContext& context, engine::Replica& replica, volume::VolumeSettings settings);
  ~HostedVolume();

  // Makes the target: initiators may come.
  Result<> serve();
  // Takes the target away: sessions are ended, and none of their commands has an effect later.
  Task<Result<>> withdraw();

  // For the end of the process, when the targets have stopped: what the unit does in the background
  // ends, and may go on after the next start.
  Task<Result<>> retire();

  // Where it lives is for the store to add.
  VolumeInfo info() const;
  const std::string& iqn() const { return iqn_; }
  const volume::VolumeSettings& settings() const { return volume_.settings(); }
  engine::Replica& replica() { return volume_.replica(); }
  std::uint32_t sessions() const;

  // kFailedPrecondition while initiators are logged in.
  Result<> check_unused() const;

  // Not below the present size.
  Task<Result<>> expand(ByteCount size);
  Task<Result<>> update(UpdateVolume change);

  // Oldest first; those that have lost their name are called by their uuid.
  std::vector<SnapshotInfo> snapshots() const;
  // By name or uuid. kNotFound.
  Result<SnapshotInfo> find_snapshot(const std::string& name_or_uuid) const;
  // A nil uuid: a new one.
  Task<Result<Made<SnapshotInfo>>> take_snapshot(std::string name, SnapshotUuid uuid);
  Task<Result<>> delete_snapshot(SnapshotUuid uuid);
  Task<Result<>> revert(SnapshotUuid uuid, InUse in_use);

 private:
  // Names of snapshots that are not there are dropped on the way.
  Task<Result<>> store_names(std::vector<volume::SnapshotName> names);
  bool has_snapshot(const SnapshotUuid& uuid) const;

  HostContext& context_;
  volume::Volume volume_;
  const std::string iqn_;
  scsi::Device device_;
  bool has_unit_ = false;
  bool has_target_ = false;
};

}  // namespace ashlar::server
