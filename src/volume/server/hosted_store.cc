#include "volume/server/hosted_store.h"

#include <algorithm>
#include <utility>

#include "common/base/units.h"
#include "common/log/log.h"
#include "volume/server/afterlife.h"

namespace ashlar::server {
namespace {

std::uint64_t blocks_of(ByteCount size) {
  return size / ByteCount(engine::kBlockSize);
}

}  // namespace

HostedStore::HostedStore(HostContext& context, engine::StoreOptions options,
                         std::unique_ptr<engine::Store> store)
    : context_(context), options_(std::move(options)), store_(std::move(store)) {}

HostedStore::~HostedStore() = default;

Task<Result<std::unique_ptr<HostedStore>>> HostedStore::open(HostContext& context,
                                                             engine::StoreOptions options,
                                                             MetricRegistry* registry) {
  const StoreUuid fresh = StoreUuid::generate(context.runtime.random);
  const MonoTime begin = context.runtime.clock.now();
  const Result<> formatted = co_await engine::Store::format(context.runtime, options, fresh);
  if (formatted.ok()) {
    ASHLAR_LOG_INFO("formatted {} as store {} with a log of {}", options.directory, fresh,
                    options.log_capacity);
  } else if (formatted.error().code() != ErrorCode::kAlreadyExists) {
    co_return formatted.error().with_context("store " + options.directory);
  }
  const std::function<Task<Result<std::unique_ptr<engine::Store>>>()> open_store = [&] {
    return engine::Store::open(context.runtime, context.pool, options, registry);
  };
  Result<std::unique_ptr<engine::Store>> store =
      co_await outlast(context.runtime.clock, ErrorCode::kFailedPrecondition, open_store);
  if (!store.ok()) co_return store.error().with_context("store " + options.directory);
  std::unique_ptr<HostedStore> hosted(
      new HostedStore(context, std::move(options), std::move(*store)));
  const Result<> found = co_await hosted->find_volumes();
  if (!found.ok()) {
    if (const Result<> closed = co_await hosted->close(); !closed.ok()) {
      ASHLAR_LOG_ERROR("closing {}: {}", hosted->directory(), closed.error().message());
    }
    co_return found.error();
  }
  const std::chrono::duration<double> took = context.runtime.clock.now() - begin;
  ASHLAR_LOG_INFO("store {} ({}): {} volumes, {} that cannot be served, opened in {:.3f} s",
                  hosted->directory(), hosted->uuid(), hosted->volumes_.size(),
                  hosted->set_aside_.size(), took.count());
  co_return std::move(hosted);
}

Task<Result<>> HostedStore::close() {
  for (const auto& [uuid, volume] : volumes_) {
    const Result<> retired = co_await volume->retire();
    ASHLAR_CHECK(retired.ok(), "{}", retired.error().message());
  }
  volumes_.clear();
  co_return co_await store_->close();
}

Task<Result<>> HostedStore::find_volumes() {
  for (const engine::UnreadableReplica& one : store_->unreadable()) {
    set_aside_.push_back({"replica " + one.name, one.error.message()});
  }
  for (engine::Replica* replica : store_->replicas()) {
    ASHLAR_CO_TRY(co_await find_volume(*replica));
  }
  co_return Result<>();
}

Task<Result<>> HostedStore::find_volume(engine::Replica& replica) {
  const ReplicaUuid uuid = replica.uuid();
  const std::string what = fmt::format("replica {} of volume {}", uuid, replica.volume());
  if (replica.attachment().empty() && replica.last() == Lsn(0)) {
    ASHLAR_LOG_INFO("{} was not finished when it was made: removed", what);
    co_return co_await store_->delete_replica(uuid);
  }
  Result<volume::VolumeSettings> settings = volume::decode_settings(replica.attachment());
  if (replica.attachment().empty()) {
    settings = Error::failed_precondition("it has data and no settings");
  } else if (volumes_.contains(replica.volume())) {
    settings = Error::already_exists("this store has another replica of the volume");
  }
  if (!settings.ok()) {
    ASHLAR_LOG_ERROR("{} is left as it is and not served: {}", what, settings.error().message());
    set_aside_.push_back({what, settings.error().message()});
    co_return Result<>();
  }
  volumes_.emplace(replica.volume(),
                   std::make_unique<HostedVolume>(context_, replica, std::move(*settings)));
  co_return Result<>();
}

HostedVolume* HostedStore::find(const VolumeUuid& uuid) {
  const auto found = volumes_.find(uuid);
  return found == volumes_.end() ? nullptr : found->second.get();
}

VolumeInfo HostedStore::describe(const HostedVolume& volume) const {
  VolumeInfo info = volume.info();
  info.store = uuid();
  info.store_directory = directory();
  return info;
}

std::vector<VolumeInfo> HostedStore::volumes() const {
  std::vector<VolumeInfo> list;
  for (const auto& [uuid, volume] : volumes_) list.push_back(describe(*volume));
  return list;
}

Task<Result<>> HostedStore::set_aside(VolumeUuid uuid, std::string reason) {
  const auto found = volumes_.find(uuid);
  ASHLAR_CHECK(found != volumes_.end());
  const std::unique_ptr<HostedVolume> leaving = std::move(found->second);
  volumes_.erase(found);
  const std::string what = fmt::format("volume {} ({})", leaving->settings().name, uuid);
  ASHLAR_LOG_ERROR("{} in {} is left as it is and not served: {}", what, directory(), reason);
  set_aside_.push_back({what, std::move(reason)});
  co_return co_await leaving->retire();
}

Task<Result<StoreInfo>> HostedStore::status() {
  ASHLAR_CO_TRY_ASSIGN(const FileSystemSpace space,
                       co_await context_.runtime.files.space(directory()));
  StoreInfo info;
  info.directory = directory();
  info.uuid = uuid();
  info.reactor = context_.reactor;
  info.capacity = space.total;
  info.available = space.available > options_.space_reserve
                       ? space.available - options_.space_reserve
                       : ByteCount(0);
  for (const auto& [volume, hosted] : volumes_) {
    info.provisioned += hosted->info().size;
  }
  info.log_size = ByteCount(store_->shared().ring.capacity());
  info.log_fill = store_->shared().fill();
  info.volumes = static_cast<std::uint32_t>(volumes_.size());
  info.unreadable = set_aside_;
  co_return info;
}

// --- making and removing -------------------------------------------------------------------------

Task<Result<VolumeInfo>> HostedStore::create(VolumeUuid uuid, volume::VolumeSettings settings,
                                             ByteCount size) {
  const engine::ReplicaSpec spec{.replica = ReplicaUuid::generate(context_.runtime.random),
                                 .volume = uuid,
                                 .size_blocks = blocks_of(size)};
  ASHLAR_CO_TRY_ASSIGN(engine::Replica* const replica, co_await store_->create_replica(spec));
  co_return co_await adopt(*replica, std::move(settings), size);
}

Task<Result<VolumeInfo>> HostedStore::clone(VolumeUuid uuid, volume::VolumeSettings settings,
                                            ByteCount size, HostedVolume& source,
                                            SnapshotUuid snapshot) {
  const bool is_temporary = snapshot.is_nil();
  if (is_temporary) {
    snapshot = SnapshotUuid::generate(context_.runtime.random);
    ASHLAR_CO_TRY(co_await source.replica().snapshot(snapshot, context_.runtime.clock.wall_now()));
  }
  const engine::ReplicaSpec spec{.replica = ReplicaUuid::generate(context_.runtime.random),
                                 .volume = uuid};
  const Result<engine::Replica*> replica =
      co_await store_->clone_replica(source.replica(), snapshot, spec);
  if (is_temporary) {
    const Result<Lsn> deleted = co_await source.replica().delete_snapshot(snapshot);
    if (!deleted.ok()) {
      ASHLAR_LOG_WARN("volume {}: the snapshot {} for a copy stays: {}", source.settings().name,
                      snapshot, deleted.error().message());
    }
  }
  if (!replica.ok()) co_return replica.error();
  co_return co_await adopt(**replica, std::move(settings), size);
}

Task<Result<VolumeInfo>> HostedStore::adopt(engine::Replica& replica,
                                            volume::VolumeSettings settings, ByteCount size) {
  const ReplicaUuid uuid = replica.uuid();
  const VolumeUuid volume = replica.volume();
  Result<VolumeInfo> made = co_await set_up(replica, std::move(settings), size);
  if (made.ok()) co_return made;
  if (HostedVolume* half_made = find(volume); half_made != nullptr) {
    ASHLAR_CO_TRY(co_await half_made->withdraw());
    volumes_.erase(volume);
  }
  if (const Result<> removed = co_await store_->delete_replica(uuid); !removed.ok()) {
    ASHLAR_LOG_ERROR("replica {} of a volume that could not be made stays: {}", uuid,
                     removed.error().message());
  }
  co_return made;
}

Task<Result<VolumeInfo>> HostedStore::set_up(engine::Replica& replica,
                                             volume::VolumeSettings settings, ByteCount size) {
  if (replica.size_blocks() < blocks_of(size)) {
    replica.set_commit_rule(engine::CommitRule::kDurable);
    ASHLAR_CO_TRY(co_await replica.resize(blocks_of(size)));
  }
  // From here on the volume is there, also after a restart.
  const std::vector<std::byte> attachment = volume::encode_settings(settings);
  ASHLAR_CO_TRY(co_await replica.set_attachment(attachment));
  const auto [place, is_new] = volumes_.emplace(
      replica.volume(), std::make_unique<HostedVolume>(context_, replica, std::move(settings)));
  ASHLAR_CHECK(is_new);
  ASHLAR_CO_TRY(place->second->serve());
  co_return describe(*place->second);
}

Task<Result<>> HostedStore::remove(VolumeUuid uuid, InUse in_use) {
  const auto found = volumes_.find(uuid);
  if (found == volumes_.end()) co_return Error::not_found("there is no volume {}", uuid);
  HostedVolume& volume = *found->second;
  if (in_use == InUse::kRefuse) ASHLAR_CO_TRY(volume.check_unused());
  ASHLAR_CO_TRY(co_await volume.withdraw());
  const ReplicaUuid replica = volume.replica().uuid();
  // Nobody else takes it out: control calls of a volume come one at a time.
  std::unique_ptr<HostedVolume> leaving = std::move(volumes_.find(uuid)->second);
  volumes_.erase(uuid);
  volume::VolumeSettings settings = leaving->settings();
  leaving.reset();
  const Result<> deleted = co_await store_->delete_replica(replica);
  if (deleted.ok()) co_return deleted;
  engine::Replica* still = store_->find(replica);
  if (still != nullptr) {
    auto again = std::make_unique<HostedVolume>(context_, *still, std::move(settings));
    HostedVolume& back = *volumes_.emplace(uuid, std::move(again)).first->second;
    ASHLAR_CO_TRY(back.serve());
  }
  co_return deleted;
}

}  // namespace ashlar::server
