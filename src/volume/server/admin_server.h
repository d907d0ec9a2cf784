// AdminServer: the gRPC services of proto/ashlar/v1 over a VolumeServer. Parses, calls, translates
// the status, and writes every call that changes something to the log with its request id.
#pragma once

#include <memory>
#include <string>

#include "common/base/endpoint.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/base/uuid.h"
#include "volume/server/volume_server.h"

namespace ashlar::server {

class AdminServer {
 public:
  // `server` outlives it. Answers as soon as it is started.
  static Result<std::unique_ptr<AdminServer>> start(const Endpoint& listen, VolumeServer& server,
                                                    ServerUuid uuid, std::string version);
  ~AdminServer();

  Endpoint endpoint() const;
  // Calls under way get so long; then they are cancelled, and waited for.
  void stop(Duration grace);

 private:
  struct Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ashlar::server
