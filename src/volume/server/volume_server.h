// VolumeServer: the stores, reactors and volumes of one process, and everything that may be asked
// of them. Any thread may call it but a reactor's own; a call blocks until the reactor has
// answered.
//
// Which volumes there are is known from the stores alone; the catalog here is only the way from a
// name or uuid to the reactor that has the volume. Changes of one volume come one at a time.
//
// Every call that names a volume: kNotFound when there is none of that name or uuid, or when name
// and uuid belong to different volumes; kUnavailable when the server is stopping.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "common/metrics/metrics.h"
#include "volume/server/name_locks.h"
#include "volume/server/server_config.h"
#include "volume/server/server_reactor.h"
#include "volume/server/target_map.h"
#include "volume/server/volume_info.h"

namespace ashlar::server {

struct ServerStatus {
  ServerUuid server;
  Duration uptime{};
  bool is_ready = false;
  std::vector<Endpoint> portals;  // as initiators are told
  std::vector<ReactorInfo> reactors;
  std::string iqn_prefix;
};

class VolumeServer {
 public:
  // `config` and `registry` outlive it.
  VolumeServer(const ServerConfig& config, ServerUuid server, MetricRegistry& registry);
  ~VolumeServer();

  // Recovers the stores and opens the portals. After an error everything is closed again.
  Result<> start();
  // From here on it is not ready, and new calls are refused.
  void refuse();
  // Asks initiators to log out, drains, flushes, closes.
  Result<> stop(Duration grace);

  bool is_ready() const { return is_ready_; }
  Result<> check_ready() const;
  // The reactor that does not turn, if any: kUnavailable.
  Result<> check_responsive(Duration patience) const;
  const std::vector<iscsi::Portal>& portals() const { return portals_; }

  Result<ServerStatus> status();
  // Brings the gauges up to date, for a scrape.
  void refresh_gauges();

  Result<Made<VolumeInfo>> create_volume(const CreateVolume& wanted);
  Result<VolumeInfo> get_volume(const VolumeRef& volume);
  // At most `most`, in the order of names, behind `after`.
  Result<std::vector<VolumeInfo>> list_volumes(const std::string& prefix, const std::string& after,
                                               std::size_t most);
  Result<VolumeInfo> expand_volume(const VolumeRef& volume, ByteCount size);
  Result<VolumeInfo> update_volume(const VolumeRef& volume, const UpdateVolume& change);
  Result<> delete_volume(const VolumeRef& volume, InUse in_use);

  Result<Made<SnapshotInfo>> create_snapshot(const VolumeRef& volume, const std::string& name,
                                             SnapshotUuid uuid);
  // Oldest first; without a volume: of all, in the order of their names.
  Result<std::vector<SnapshotInfo>> list_snapshots(const std::optional<VolumeRef>& volume);
  Result<> delete_snapshot(const VolumeRef& volume, const std::string& snapshot);
  Result<VolumeInfo> revert_volume(const VolumeRef& volume, const std::string& snapshot,
                                   InUse in_use);

 private:
  struct Place {
    VolumeUuid uuid;
    StoreUuid store;
    ServerReactor* reactor = nullptr;
  };
  // A volume while a call works on it.
  struct Target {
    std::string name;
    Place place;
  };

  Result<> open();
  Result<> fill_catalog();
  Result<Place> place_for(const CreateVolume& wanted, const Target* source);
  Result<> check_running() const;
  Result<Target> find(const VolumeRef& volume) const;
  std::optional<Place> find_name(const std::string& name) const;
  Result<> check_new_uuid(const VolumeUuid& uuid) const;
  // The name is locked, and the source's.
  Result<Made<VolumeInfo>> make_volume(const CreateVolume& wanted, const Target* source);
  Result<VolumeInfo> info_of(const Place& place);
  Result<> close(Duration grace);

  // Finds the volume, locks its name, and runs `task(HostedStore&, HostedVolume&)` on its reactor.
  template <class F>
  auto with_volume(const VolumeRef& volume, F task)
      -> std::invoke_result_t<F, HostedStore&, HostedVolume&>::value_type;
  // Runs `task` for each reactor on a thread of its own; the first error.
  Result<> on_all(const std::function<Result<>(ServerReactor&)>& task);

  const ServerConfig& config_;
  const ServerUuid server_;
  MetricRegistry& registry_;
  MetricGroup metrics_;
  Gauge& volumes_gauge_;
  Gauge& sessions_gauge_;
  Gauge& ready_gauge_;
  Gauge& set_aside_gauge_;
  struct StoreGauges {
    MetricGroup group;
    Gauge& capacity;
    Gauge& available;
    Gauge& provisioned;
  };
  std::mutex gauges_lock_;
  std::map<StoreUuid, StoreGauges> store_gauges_;

  TargetMap map_;
  std::vector<std::unique_ptr<ServerReactor>> reactors_;
  std::vector<iscsi::Portal> portals_;
  std::chrono::steady_clock::time_point started_;
  std::atomic<bool> is_ready_ = false;
  // Held shared by every call, exclusively while the reactors come and go.
  mutable std::shared_mutex running_lock_;
  std::atomic<bool> is_running_ = false;

  NameLocks names_;
  mutable std::mutex catalog_lock_;
  std::map<std::string, Place> catalog_;
};

}  // namespace ashlar::server
