// Client: the calls of proto/ashlar/v1, each as a function that gives its answer or an error. The
// only part of the command that knows gRPC.
//
// A call that takes longer than two seconds says so on standard error while it lasts.
#pragma once

#include <memory>
#include <string>

#include "ashlar/v1/server.pb.h"
#include "ashlar/v1/volumes.pb.h"
#include "common/base/result.h"
#include "common/base/time.h"

namespace ashlar::cli {

class Client {
 public:
  // `server` is HOST:PORT or [IPV6]:PORT. Connects with the first call.
  Client(const std::string& server, Duration timeout, std::string request_id);
  ~Client();

  Result<v1::CreateVolumeResponse> call(v1::CreateVolumeRequest request);
  Result<v1::GetVolumeResponse> call(v1::GetVolumeRequest request);
  Result<v1::ListVolumesResponse> call(v1::ListVolumesRequest request);
  Result<v1::ExpandVolumeResponse> call(v1::ExpandVolumeRequest request);
  Result<v1::UpdateVolumeResponse> call(v1::UpdateVolumeRequest request);
  Result<v1::DeleteVolumeResponse> call(v1::DeleteVolumeRequest request);
  Result<v1::CreateSnapshotResponse> call(v1::CreateSnapshotRequest request);
  Result<v1::ListSnapshotsResponse> call(v1::ListSnapshotsRequest request);
  Result<v1::DeleteSnapshotResponse> call(v1::DeleteSnapshotRequest request);
  Result<v1::RevertVolumeResponse> call(v1::RevertVolumeRequest request);
  Result<v1::GetStatusResponse> call(v1::GetStatusRequest request);
  Result<v1::ListSessionsResponse> call(v1::ListSessionsRequest request);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// kInvalidArgument unless it is HOST:PORT or [IPV6]:PORT.
Result<> check_server(const std::string& server);

}  // namespace ashlar::cli
