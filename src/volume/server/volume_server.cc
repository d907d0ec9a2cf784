#include "volume/server/volume_server.h"

#include <algorithm>
#include <future>
#include <tuple>
#include <utility>

#include "common/base/quote.h"
#include "common/log/log.h"
#include "volume/server/volume_rules.h"

namespace ashlar::server {
namespace {

// A reactor that does not answer for so long keeps no scrape waiting.
constexpr Duration kScrapePatience = 1s;

// --- what calls do on a reactor; each awaited while the volume's name is locked
// ------------------------------------

template <class F>
auto on_volume(ServerReactor& reactor, StoreUuid store_uuid, VolumeUuid volume_uuid, F task)
    -> std::invoke_result_t<F, HostedStore&, HostedVolume&> {
  HostedStore* store = reactor.find_store(store_uuid);
  HostedVolume* volume = store == nullptr ? nullptr : store->find(volume_uuid);
  if (volume == nullptr) co_return Error::not_found("there is no volume {}", volume_uuid);
  co_return co_await task(*store, *volume);
}

Task<Result<VolumeInfo>> describe_volume(HostedStore& store, HostedVolume& volume) {
  co_return store.describe(volume);
}

Task<Result<VolumeInfo>> expand(HostedStore& store, HostedVolume& volume, ByteCount size) {
  ASHLAR_CO_TRY(co_await volume.expand(size));
  co_return store.describe(volume);
}

Task<Result<VolumeInfo>> update(HostedStore& store, HostedVolume& volume, UpdateVolume change) {
  ASHLAR_CO_TRY(co_await volume.update(std::move(change)));
  co_return store.describe(volume);
}

Task<Result<VolumeInfo>> revert(HostedStore& store, HostedVolume& volume, std::string snapshot,
                                InUse in_use) {
  ASHLAR_CO_TRY_ASSIGN(const SnapshotInfo found, volume.find_snapshot(snapshot));
  ASHLAR_CO_TRY(co_await volume.revert(found.uuid, in_use));
  co_return store.describe(volume);
}

Task<Result<>> delete_by_name(HostedVolume& volume, std::string snapshot) {
  ASHLAR_CO_TRY_ASSIGN(const SnapshotInfo found, volume.find_snapshot(snapshot));
  co_return co_await volume.delete_snapshot(found.uuid);
}

Task<Result<std::vector<SnapshotInfo>>> list_of(HostedVolume& volume) {
  co_return volume.snapshots();
}

struct SourceInfo {
  VolumeInfo volume;
  SnapshotUuid snapshot;  // nil: none was named
};

Task<Result<SourceInfo>> describe_source(HostedStore& store, HostedVolume& volume,
                                         std::string snapshot) {
  SourceInfo source{store.describe(volume), {}};
  if (!snapshot.empty()) {
    ASHLAR_CO_TRY_ASSIGN(const SnapshotInfo found, volume.find_snapshot(snapshot));
    source.snapshot = found.uuid;
  }
  co_return source;
}

struct FoundVolume {
  std::string name;
  VolumeUuid uuid;
  StoreUuid store;
};

Task<Result<std::vector<FoundVolume>>> found_volumes(ServerReactor& reactor) {
  std::vector<FoundVolume> found;
  for (const std::unique_ptr<HostedStore>& store : reactor.stores()) {
    for (const VolumeInfo& info : store->volumes()) {
      found.push_back({info.settings.name, info.uuid, store->uuid()});
    }
  }
  co_return found;
}

Task<Result<>> set_aside(ServerReactor& reactor, StoreUuid store, VolumeUuid volume,
                         std::string reason) {
  co_return co_await reactor.find_store(store)->set_aside(volume, std::move(reason));
}

Task<Result<std::vector<VolumeInfo>>> describe_some(
    ServerReactor& reactor, std::vector<std::pair<StoreUuid, VolumeUuid>> wanted) {
  std::vector<VolumeInfo> list;
  for (const auto& [store_uuid, volume_uuid] : wanted) {
    HostedStore* store = reactor.find_store(store_uuid);
    HostedVolume* volume = store == nullptr ? nullptr : store->find(volume_uuid);
    if (volume != nullptr) list.push_back(store->describe(*volume));
  }
  co_return list;
}

Task<Result<std::vector<SnapshotInfo>>> all_snapshots(ServerReactor& reactor) {
  std::vector<SnapshotInfo> list;
  for (const std::unique_ptr<HostedStore>& store : reactor.stores()) {
    for (const VolumeInfo& info : store->volumes()) {
      for (SnapshotInfo& one : store->find(info.uuid)->snapshots()) list.push_back(std::move(one));
    }
  }
  co_return list;
}

struct NewVolume {
  VolumeUuid uuid;
  volume::VolumeSettings settings;
  ByteCount size;
  StoreUuid store;
};

Task<Result<VolumeInfo>> create(ServerReactor& reactor, NewVolume wanted) {
  HostedStore* store = reactor.find_store(wanted.store);
  co_return co_await store->create(wanted.uuid, std::move(wanted.settings), wanted.size);
}

Task<Result<VolumeInfo>> clone(ServerReactor& reactor, NewVolume wanted, VolumeUuid source_uuid,
                               SnapshotUuid snapshot) {
  HostedStore* store = reactor.find_store(wanted.store);
  HostedVolume* source = store->find(source_uuid);
  if (source == nullptr) co_return Error::not_found("there is no volume {}", source_uuid);
  co_return co_await store->clone(wanted.uuid, std::move(wanted.settings), wanted.size, *source,
                                  snapshot);
}

Task<Result<>> remove(ServerReactor& reactor, StoreUuid store, VolumeUuid volume, InUse in_use) {
  co_return co_await reactor.find_store(store)->remove(volume, in_use);
}

}  // namespace

VolumeServer::VolumeServer(const ServerConfig& config, ServerUuid server, MetricRegistry& registry)
    : config_(config),
      server_(server),
      registry_(registry),
      metrics_(registry.group()),
      volumes_gauge_(metrics_.gauge("ashlar_server_volumes", "Volumes that this server serves")),
      sessions_gauge_(
          metrics_.gauge("ashlar_server_sessions", "iSCSI sessions, those of discovery included")),
      ready_gauge_(metrics_.gauge("ashlar_server_ready",
                                  "1 when the stores are recovered and the portals listen")),
      set_aside_gauge_(
          metrics_.gauge("ashlar_server_unreadable",
                         "Volumes and replicas that cannot be served and are left as they are")) {}

VolumeServer::~VolumeServer() {
  ASHLAR_CHECK(reactors_.empty(), "a volume server must be stopped");
}

// --- start and stop ------------------------------------------------------------------------------

Result<> VolumeServer::on_all(const std::function<Result<>(ServerReactor&)>& task) {
  std::vector<std::future<Result<>>> running;
  for (const std::unique_ptr<ServerReactor>& reactor : reactors_) {
    running.push_back(std::async(std::launch::async, [&] { return task(*reactor); }));
  }
  Result<> outcome;
  for (std::future<Result<>>& one : running) {
    Result<> done = one.get();
    if (outcome.ok() && !done.ok()) outcome = std::move(done);
  }
  return outcome;
}

Result<> VolumeServer::start() {
  const std::unique_lock guard(running_lock_);
  started_ = std::chrono::steady_clock::now();
  if (const Result<> opened = open(); !opened.ok()) {
    (void)close(0s);
    return opened;
  }
  is_running_ = true;
  is_ready_ = true;
  ready_gauge_.set(1);
  return {};
}

Result<> VolumeServer::open() {
  const std::size_t count = config_.reactors == 0 ? config_.stores.size() : config_.reactors;
  for (std::uint32_t i = 0; i < count; ++i) {
    ASHLAR_TRY_ASSIGN(std::unique_ptr<ServerReactor> reactor, ServerReactor::start(i));
    reactors_.push_back(std::move(reactor));
  }
  ServerReactor& first = *reactors_.front();
  ASHLAR_TRY_ASSIGN(portals_, first.ask([&] { return first.listen(config_); }));
  ASHLAR_TRY(on_all([&](ServerReactor& reactor) {
    ServerReactor::Plan plan{.config = config_,
                             .server = server_,
                             .portals = portals_,
                             .map = map_,
                             .registry = registry_};
    for (std::size_t i = reactor.index(); i < config_.stores.size(); i += reactors_.size()) {
      plan.stores.push_back(config_.stores[i]);
    }
    return reactor.ask([&] { return reactor.open(std::move(plan)); });
  }));
  ASHLAR_TRY(fill_catalog());
  ASHLAR_TRY(on_all(
      [](ServerReactor& reactor) { return reactor.ask([&] { return reactor.serve_volumes(); }); }));
  return first.ask([&] { return first.accept(); });
}

// Of two volumes with one name or uuid the one in the store that is configured first is served.
Result<> VolumeServer::fill_catalog() {
  std::map<VolumeUuid, std::string> uuids;
  for (const std::unique_ptr<ServerReactor>& reactor : reactors_) {
    ASHLAR_TRY_ASSIGN(const std::vector<FoundVolume> found,
                      reactor->ask([&] { return found_volumes(*reactor); }));
    for (const FoundVolume& one : found) {
      std::string reason;
      if (catalog_.contains(one.name)) reason = "another store has a volume of that name";
      if (uuids.contains(one.uuid)) reason = "another store has a replica of that volume";
      if (reason.empty()) {
        catalog_[one.name] = {one.uuid, one.store, reactor.get()};
        uuids[one.uuid] = one.name;
        continue;
      }
      ASHLAR_TRY(reactor->ask([&] { return set_aside(*reactor, one.store, one.uuid, reason); }));
    }
  }
  return {};
}

void VolumeServer::refuse() {
  is_ready_ = false;
  is_running_ = false;
  ready_gauge_.set(0);
}

Result<> VolumeServer::stop(Duration grace) {
  refuse();
  // Waits for the calls that are under way.
  const std::unique_lock guard(running_lock_);
  return close(grace);
}

Result<> VolumeServer::close(Duration grace) {
  Result<> stopped = on_all([&](ServerReactor& reactor) {
    return reactor.ask([&] { return reactor.stop_targets(grace); });
  });
  if (!stopped.ok()) ASHLAR_LOG_WARN("sessions did not end well: {}", stopped.error().message());
  const Result<> closed =
      on_all([](ServerReactor& reactor) { return reactor.ask([&] { return reactor.close(); }); });
  for (const std::unique_ptr<ServerReactor>& reactor : reactors_) reactor->join();
  reactors_.clear();
  return closed;
}

Result<> VolumeServer::check_running() const {
  if (is_running_) return {};
  return Error::unavailable("the server is starting or stopping");
}

Result<> VolumeServer::check_ready() const {
  if (!is_ready_) return Error::unavailable("the server is starting or stopping");
  const std::shared_lock guard(running_lock_);
  ASHLAR_TRY(check_running());
  for (const std::unique_ptr<ServerReactor>& reactor : reactors_) {
    if (!reactor->has_lost_portal()) continue;
    return Error::unavailable("a portal has stopped accepting; the log says why");
  }
  return {};
}

Result<> VolumeServer::check_responsive(Duration patience) const {
  const std::shared_lock guard(running_lock_);
  ASHLAR_TRY(check_running());
  for (const std::unique_ptr<ServerReactor>& reactor : reactors_) {
    if (reactor->is_responsive(patience)) continue;
    return Error::unavailable("reactor {} has not answered for {}", reactor->index(),
                              format_duration(patience));
  }
  return {};
}

// --- what there is -------------------------------------------------------------------------------

Result<ServerStatus> VolumeServer::status() {
  const std::shared_lock guard(running_lock_);
  ASHLAR_TRY(check_running());
  ServerStatus status;
  status.server = server_;
  status.uptime = std::chrono::steady_clock::now() - started_;
  status.is_ready = is_ready_;
  status.iqn_prefix = config_.iqn_prefix;
  for (const iscsi::Portal& portal : portals_) status.portals.push_back(portal.advertised);
  for (const std::unique_ptr<ServerReactor>& reactor : reactors_) {
    ASHLAR_TRY_ASSIGN(ReactorInfo info, reactor->ask([&] { return reactor->status(); }));
    status.reactors.push_back(std::move(info));
  }
  return status;
}

void VolumeServer::refresh_gauges() {
  if (!check_responsive(kScrapePatience).ok()) return;
  const Result<ServerStatus> now = status();
  if (!now.ok()) return;
  const std::lock_guard guard(gauges_lock_);
  std::size_t volumes = 0;
  std::size_t sessions = 0;
  std::size_t unreadable = 0;
  for (const ReactorInfo& reactor : now->reactors) {
    sessions += reactor.sessions.size();
    for (const StoreInfo& store : reactor.stores) {
      volumes += store.volumes;
      unreadable += store.unreadable.size();
      auto place = store_gauges_.find(store.uuid);
      if (place == store_gauges_.end()) {
        MetricGroup group = registry_.group({{"store", store.uuid.to_string()}});
        Gauge& capacity =
            group.gauge("ashlar_server_store_capacity_bytes", "Size of the file system of a store");
        Gauge& available =
            group.gauge("ashlar_server_store_available_bytes", "Space of a store for new data");
        Gauge& provisioned = group.gauge("ashlar_server_store_provisioned_bytes",
                                         "Sizes of the volumes of a store together");
        place = store_gauges_
                    .emplace(store.uuid,
                             StoreGauges{std::move(group), capacity, available, provisioned})
                    .first;
      }
      place->second.capacity.set(store.capacity);
      place->second.available.set(store.available);
      place->second.provisioned.set(store.provisioned);
    }
  }
  volumes_gauge_.set(volumes);
  sessions_gauge_.set(sessions);
  set_aside_gauge_.set(unreadable);
}

std::optional<VolumeServer::Place> VolumeServer::find_name(const std::string& name) const {
  const std::lock_guard guard(catalog_lock_);
  const auto found = catalog_.find(name);
  if (found == catalog_.end()) return std::nullopt;
  return found->second;
}

Result<VolumeServer::Target> VolumeServer::find(const VolumeRef& volume) const {
  if (volume.name.empty() && volume.uuid.is_nil()) {
    return Error::invalid_argument("volume: its name or its uuid is needed");
  }
  const std::lock_guard guard(catalog_lock_);
  auto found = catalog_.find(volume.name);
  if (volume.name.empty()) {
    found = std::find_if(catalog_.begin(), catalog_.end(),
                         [&](const auto& one) { return one.second.uuid == volume.uuid; });
  }
  if (found == catalog_.end()) {
    return Error::not_found("there is no volume {}",
                            volume.name.empty() ? volume.uuid.to_string() : quote(volume.name));
  }
  if (!volume.uuid.is_nil() && found->second.uuid != volume.uuid) {
    return Error::not_found("volume {} has the uuid {}, not {}", volume.name, found->second.uuid,
                            volume.uuid);
  }
  return Target{found->first, found->second};
}

template <class F>
auto VolumeServer::with_volume(const VolumeRef& volume, F task)
    -> std::invoke_result_t<F, HostedStore&, HostedVolume&>::value_type {
  const std::shared_lock running(running_lock_);
  ASHLAR_TRY(check_running());
  ASHLAR_TRY_ASSIGN(const Target named, find(volume));
  const NameLocks::Held held = names_.lock(named.name);
  // It may have gone while this call waited.
  ASHLAR_TRY_ASSIGN(const Target target, find(volume));
  const Place& place = target.place;
  return place.reactor->ask(
      [&] { return on_volume(*place.reactor, place.store, place.uuid, task); });
}

Result<VolumeInfo> VolumeServer::info_of(const Place& place) {
  return place.reactor->ask(
      [&] { return on_volume(*place.reactor, place.store, place.uuid, describe_volume); });
}

Result<VolumeInfo> VolumeServer::get_volume(const VolumeRef& volume) {
  return with_volume(volume, describe_volume);
}

Result<std::vector<VolumeInfo>> VolumeServer::list_volumes(const std::string& prefix,
                                                           const std::string& after,
                                                           std::size_t most) {
  const std::shared_lock guard(running_lock_);
  ASHLAR_TRY(check_running());
  std::map<ServerReactor*, std::vector<std::pair<StoreUuid, VolumeUuid>>> wanted;
  {
    const std::lock_guard catalog(catalog_lock_);
    auto place = catalog_.lower_bound(std::max(prefix, after));
    for (std::size_t count = 0; count < most && place != catalog_.end(); ++place) {
      if (!place->first.starts_with(prefix)) break;
      if (place->first == after) continue;
      wanted[place->second.reactor].emplace_back(place->second.store, place->second.uuid);
      ++count;
    }
  }
  std::vector<VolumeInfo> list;
  for (const auto& [reactor, some] : wanted) {
    ASHLAR_TRY_ASSIGN(std::vector<VolumeInfo> infos,
                      reactor->ask([&] { return describe_some(*reactor, some); }));
    std::move(infos.begin(), infos.end(), std::back_inserter(list));
  }
  std::sort(list.begin(), list.end(), [](const VolumeInfo& a, const VolumeInfo& b) {
    return a.settings.name < b.settings.name;
  });
  return list;
}

// --- making and removing -------------------------------------------------------------------------

Result<> VolumeServer::check_new_uuid(const VolumeUuid& uuid) const {
  const std::lock_guard guard(catalog_lock_);
  for (const auto& [name, place] : catalog_) {
    if (place.uuid == uuid) {
      return Error::already_exists("uuid: {} is that of volume {}", uuid, name);
    }
  }
  return {};
}

Result<VolumeServer::Place> VolumeServer::place_for(const CreateVolume& wanted,
                                                    const Target* source) {
  std::vector<StoreOffer> offers;
  std::vector<Place> places;
  for (const std::unique_ptr<ServerReactor>& reactor : reactors_) {
    ASHLAR_TRY_ASSIGN(const ReactorInfo info, reactor->ask([&] { return reactor->status(); }));
    for (const StoreInfo& store : info.stores) {
      offers.push_back({store.directory, store.uuid, store.available, store.provisioned});
      places.push_back({.store = store.uuid, .reactor = reactor.get()});
    }
  }
  // A copy shares layers with its source.
  if (source != nullptr && wanted.store.empty()) return source->place;
  ASHLAR_TRY_ASSIGN(const std::size_t chosen, place(offers, wanted.store));
  if (source != nullptr && places[chosen].store != source->place.store) {
    return Error::invalid_argument("store: a copy is made in the store of its source");
  }
  return places[chosen];
}

Result<Made<VolumeInfo>> VolumeServer::create_volume(const CreateVolume& wanted) {
  const std::shared_lock running(running_lock_);
  ASHLAR_TRY(check_running());
  ASHLAR_TRY(check_name(wanted.name, "name"));
  if (!wanted.source) {
    const NameLocks::Held held = names_.lock(wanted.name);
    return make_volume(wanted, nullptr);
  }
  ASHLAR_TRY_ASSIGN(const Target named, find(wanted.source->volume));
  if (named.name == wanted.name) {
    return Error::already_exists("volume {} is there already, and is no copy of itself",
                                 wanted.name);
  }
  const auto held = names_.lock(named.name, wanted.name);
  ASHLAR_TRY_ASSIGN(const Target source, find(wanted.source->volume));
  return make_volume(wanted, &source);
}

Result<Made<VolumeInfo>> VolumeServer::make_volume(const CreateVolume& wanted,
                                                   const Target* source) {
  SourceInfo from;
  std::optional<volume::VolumeOrigin> origin;
  if (source != nullptr) {
    const Place& place = source->place;
    const std::string& snapshot = wanted.source->snapshot;
    const auto ask_source = [&](HostedStore& store, HostedVolume& volume) {
      return describe_source(store, volume, snapshot);
    };
    ASHLAR_TRY_ASSIGN(from, place.reactor->ask([&] {
      return on_volume(*place.reactor, place.store, place.uuid, ask_source);
    }));
    origin = {from.volume.uuid, from.snapshot};
  }
  ASHLAR_TRY_ASSIGN(volume::VolumeSettings settings,
                    settings_of(wanted, source == nullptr ? nullptr : &from.volume));
  settings.origin = origin;
  const bool default_size = source != nullptr && wanted.size == ByteCount(0);
  const ByteCount size = default_size ? from.volume.size : wanted.size;
  ASHLAR_TRY(check_size(size));
  if (const std::optional<Place> there = find_name(wanted.name)) {
    ASHLAR_TRY_ASSIGN(VolumeInfo info, info_of(*there));
    ASHLAR_TRY(check_same(info, wanted, origin));
    return Made<VolumeInfo>{std::move(info), true};
  }
  if (source != nullptr && size < from.volume.size) {
    return Error::invalid_argument("size: a copy of volume {} has at least its {}",
                                   from.volume.settings.name, from.volume.size);
  }
  Random random = Random::from_os();
  const VolumeUuid uuid = wanted.uuid.is_nil() ? VolumeUuid::generate(random) : wanted.uuid;
  ASHLAR_TRY(check_new_uuid(uuid));
  ASHLAR_TRY_ASSIGN(Place place, place_for(wanted, source));
  place.uuid = uuid;
  NewVolume made{uuid, std::move(settings), size, place.store};
  ASHLAR_TRY_ASSIGN(VolumeInfo info, place.reactor->ask([&] {
    if (source == nullptr) return create(*place.reactor, std::move(made));
    return clone(*place.reactor, std::move(made), from.volume.uuid, from.snapshot);
  }));
  const std::lock_guard guard(catalog_lock_);
  catalog_[wanted.name] = place;
  return Made<VolumeInfo>{std::move(info), false};
}

Result<VolumeInfo> VolumeServer::expand_volume(const VolumeRef& volume, ByteCount size) {
  return with_volume(volume, [&](HostedStore& store, HostedVolume& hosted) {
    return expand(store, hosted, size);
  });
}

Result<VolumeInfo> VolumeServer::update_volume(const VolumeRef& volume,
                                               const UpdateVolume& change) {
  return with_volume(volume, [&](HostedStore& store, HostedVolume& hosted) {
    return update(store, hosted, change);
  });
}

Result<> VolumeServer::delete_volume(const VolumeRef& volume, InUse in_use) {
  const std::shared_lock running(running_lock_);
  ASHLAR_TRY(check_running());
  ASHLAR_TRY_ASSIGN(const Target named, find(volume));
  const NameLocks::Held held = names_.lock(named.name);
  ASHLAR_TRY_ASSIGN(const Target target, find(volume));
  const Place& place = target.place;
  ASHLAR_TRY(
      place.reactor->ask([&] { return remove(*place.reactor, place.store, place.uuid, in_use); }));
  const std::lock_guard guard(catalog_lock_);
  catalog_.erase(target.name);
  return {};
}

// --- snapshots -----------------------------------------------------------------------------------

Result<Made<SnapshotInfo>> VolumeServer::create_snapshot(const VolumeRef& volume,
                                                         const std::string& name,
                                                         SnapshotUuid uuid) {
  return with_volume(
      volume, [&](HostedStore&, HostedVolume& hosted) { return hosted.take_snapshot(name, uuid); });
}

Result<std::vector<SnapshotInfo>> VolumeServer::list_snapshots(
    const std::optional<VolumeRef>& volume) {
  if (volume) {
    return with_volume(*volume, [](HostedStore&, HostedVolume& hosted) { return list_of(hosted); });
  }
  const std::shared_lock running(running_lock_);
  ASHLAR_TRY(check_running());
  std::vector<SnapshotInfo> list;
  for (const std::unique_ptr<ServerReactor>& reactor : reactors_) {
    ASHLAR_TRY_ASSIGN(std::vector<SnapshotInfo> some,
                      reactor->ask([&] { return all_snapshots(*reactor); }));
    std::move(some.begin(), some.end(), std::back_inserter(list));
  }
  std::sort(list.begin(), list.end(), [](const SnapshotInfo& a, const SnapshotInfo& b) {
    return std::tie(a.volume_name, a.created) < std::tie(b.volume_name, b.created);
  });
  return list;
}

Result<> VolumeServer::delete_snapshot(const VolumeRef& volume, const std::string& snapshot) {
  return with_volume(
      volume, [&](HostedStore&, HostedVolume& hosted) { return delete_by_name(hosted, snapshot); });
}

Result<VolumeInfo> VolumeServer::revert_volume(const VolumeRef& volume, const std::string& snapshot,
                                               InUse in_use) {
  return with_volume(volume, [&](HostedStore& store, HostedVolume& hosted) {
    return revert(store, hosted, snapshot, in_use);
  });
}

}  // namespace ashlar::server
