// TargetServer: the iSCSI targets of one reactor (RFC 7143). It owns the sessions and connections
// that have come to it, and knows the targets that live here.
//
//   TargetServer server(runtime, pool, options, directory, &registry);
//   server.add_target({.iqn = …, .device = device, .access = …});
//   scope.spawn(server.serve_portal(std::move(listener), portal));   // accepts until stop()
//   …
//   co_await server.stop(2s);    // asks hosts to log out, drains, closes
//
// A portal may stand on another reactor than the target that a host logs in to. A connection is
// accepted where its portal is; when its first login request names a target of another reactor it
// is handed over (`TargetDirectory::route`), with the bytes that have come, before anything of the
// login is decided. Discovery sessions stay where they were accepted.
//
// Belongs to its reactor's executor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/endpoint.h"
#include "common/base/result.h"
#include "common/metrics/metrics.h"
#include "common/runtime/runtime.h"
#include "common/runtime/task.h"
#include "volume/core/volume_settings.h"
#include "volume/scsi/device.h"

namespace ashlar::iscsi {

struct Portal {
  Endpoint listen;
  Endpoint advertised;  // what SendTargets and redirects name; never a wildcard
  std::uint16_t group_tag = 1;
};

struct TargetSpec {
  std::string iqn;
  scsi::Device* device = nullptr;  // outlives the target
  volume::AccessRules access;
};

struct TargetServerOptions {
  std::vector<Portal> portals;  // all of this server: discovery names them
  std::uint32_t connections_max = 4096;
  Duration login_timeout = 15s;
  // A connection that is silent so long is asked with a NOP-In; without an answer it is closed.
  Duration idle_ping = 15s;
  Duration ping_timeout = 15s;
  std::uint32_t command_window =
      128;  // MaxCmdSN - ExpCmdSN + 1 of a session with nothing under way
  ByteCount session_memory{32 << 20};  // payload of one session that is under way
};

struct SessionInfo {
  std::string target;
  std::string initiator;
  Endpoint peer;
  std::uint64_t isid = 0;
  std::uint16_t tsih = 0;
  std::uint64_t commands = 0;
  bool is_discovery = false;
};

// A connection on its way to another reactor: the backend's socket and what was read of it.
struct HandedConnection {
  std::unique_ptr<DetachedConnection> socket;
  std::vector<std::byte> received;
  std::uint16_t group_tag = 1;
  Endpoint portal;
};

// What all reactors of a server know together. Implemented by the volume server; in simulation
// there is one reactor and nothing is routed.
class TargetDirectory {
 public:
  struct Entry {
    std::string iqn;
    volume::AccessRules access;
  };
  // Targets of the whole server, for SendTargets. Cheap: called on any reactor.
  virtual std::vector<Entry> targets() const = 0;
  // Takes the connection to the reactor that has the target; false when there is none but this one,
  // and `connection` is then untouched. Called on the reactor that accepted it.
  virtual bool route(std::string_view iqn, HandedConnection& connection) = 0;

 protected:
  ~TargetDirectory() = default;
};

class TargetServer {
 public:
  TargetServer(Runtime runtime, BufferPool& pool, TargetServerOptions options,
               TargetDirectory& directory, MetricRegistry* registry);
  ~TargetServer();

  Result<> add_target(TargetSpec spec);
  // Ends its sessions and waits until none of their commands can have an effect.
  Task<Result<>> remove_target(std::string iqn);
  // New logins are judged by it at once; sessions that it does not allow are ended, and none of
  // their commands has an effect after it resolves (L98).
  Task<Result<>> set_access(std::string iqn, volume::AccessRules access);

  // Accepts until stop().
  Task<Result<>> serve_portal(std::unique_ptr<Listener> listener, Portal portal);
  // A connection that another reactor has accepted.
  void take_over(HandedConnection connection);

  std::vector<SessionInfo> sessions() const;

  // Stops accepting, asks hosts to log out, waits for commands under way, closes; within `grace`.
  Task<Result<>> stop(Duration grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ashlar::iscsi
