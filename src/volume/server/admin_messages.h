// Between the messages of proto/ashlar/v1 and the plain values of this folder. What does not make
// sense as a message is kInvalidArgument with the name of the field; the rest is judged elsewhere.
#pragma once

#include <string>

#include "ashlar/v1/server.pb.h"
#include "ashlar/v1/volumes.pb.h"
#include "common/base/result.h"
#include "volume/server/volume_info.h"
#include "volume/server/volume_server.h"

namespace ashlar::server {

Result<VolumeRef> from_message(const v1::VolumeName& name);
Result<CreateVolume> from_message(const v1::CreateVolumeRequest& request);
Result<UpdateVolume> from_message(const v1::UpdateVolumeRequest& request);

struct VolumeContext {
  ServerUuid server;
  std::vector<iscsi::Portal> portals;
};
void to_message(const VolumeInfo& info, const VolumeContext& context, v1::Volume& volume);
void to_message(const SnapshotInfo& info, v1::Snapshot& snapshot);
void to_message(const ServerStatus& status, v1::GetStatusResponse& response);
void to_message(const iscsi::SessionInfo& info, const std::string& iqn_prefix,
                v1::Session& session);

}  // namespace ashlar::server
