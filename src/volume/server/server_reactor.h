// ServerReactor: one thread with a reactor, the stores that belong to it, and the iSCSI targets of
// their volumes.
//
//   auto reactor = ServerReactor::start(0);              // the thread runs, nothing is open
//   reactor->ask([&] { return reactor->listen(…); });    // the first one only
//   reactor->ask([&] { return reactor->open(…); });
//   …
//   reactor->ask([&] { return reactor->stop_targets(grace); });
//   reactor->ask([&] { return reactor->close(); });
//   reactor->join();
//
// start(), ask(), is_responsive() and join() are for other threads; what returns a Task runs on the
// reactor's own.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "common/runtime/uring/call.h"
#include "common/runtime/uring/reactor.h"
#include "volume/server/hosted_store.h"
#include "volume/server/server_config.h"

namespace ashlar::server {

class ServerReactor {
 public:
  static Result<std::unique_ptr<ServerReactor>> start(std::uint32_t index);
  // Ends the thread; close() was called if open() was.
  ~ServerReactor();

  std::uint32_t index() const { return index_; }
  uring::Reactor& reactor() { return *reactor_; }

  // Runs the task there and waits for its answer.
  template <class F>
  auto ask(F make_task) {
    return uring::call_on(*reactor_, std::move(make_task));
  }
  // Whether it answers within `patience`.
  bool is_responsive(Duration patience);
  // True when a portal does not accept any more, though nobody stopped it.
  bool has_lost_portal() const { return lost_portal_; }
  void join();

  // --- on the reactor's thread -------------------------------------------------------------------

  // Binds the portals, so that their real ports are known. Nothing is accepted yet.
  Task<Result<std::vector<iscsi::Portal>>> listen(const ServerConfig& config);

  struct Plan {
    const ServerConfig& config;  // outlives the reactor
    ServerUuid server;
    std::vector<std::string> stores;
    std::vector<iscsi::Portal> portals;  // of the whole server
    TargetMap& map;                      // outlives the reactor
    MetricRegistry& registry;            // outlives the reactor
  };
  // Opens the stores one after the other.
  Task<Result<>> open(Plan plan);
  // Makes the targets of all volumes that were not set aside.
  Task<Result<>> serve_volumes();
  // Begins to accept at the portals that listen() bound.
  Task<Result<>> accept();

  Task<Result<>> stop_targets(Duration grace);
  Task<Result<>> close();

  HostedStore* find_store(const StoreUuid& uuid);
  const std::vector<std::unique_ptr<HostedStore>>& stores() const { return stores_; }
  std::vector<iscsi::SessionInfo> sessions() const;
  Task<Result<ReactorInfo>> status();

 private:
  // What the thread makes and destroys.
  struct Local {
    Local(ServerReactor& self, const Plan& plan);

    BufferPool pool;
    ReactorDirectory directory;
    iscsi::TargetServer targets;
    HostContext context;
    TaskScope accepting;
  };

  explicit ServerReactor(std::uint32_t index) : index_(index) {}
  void run(std::promise<Result<>> started);
  Task<void> wait_for_end();
  Task<void> serve_portal(std::unique_ptr<Listener> listener, iscsi::Portal portal);

  const std::uint32_t index_;
  std::thread thread_;
  uring::Reactor* reactor_ = nullptr;
  std::atomic<bool> lost_portal_ = false;

  // Of the reactor's thread.
  Event end_;
  bool is_stopping_ = false;
  struct BoundPortal {
    std::unique_ptr<Listener> listener;
    iscsi::Portal portal;
  };
  std::vector<BoundPortal> bound_;
  TargetMap* map_ = nullptr;
  std::optional<Local> local_;
  std::vector<std::unique_ptr<HostedStore>> stores_;
};

}  // namespace ashlar::server
