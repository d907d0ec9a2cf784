#include "volume/server/hosted_volume.h"

#include <algorithm>
#include <utility>

#include "common/base/quote.h"
#include "common/base/units.h"
#include "common/log/log.h"
#include "volume/server/volume_rules.h"

namespace ashlar::server {
namespace {

constexpr std::uint16_t kLun = 0;

}  // namespace

HostedVolume::HostedVolume(HostContext& context, engine::Replica& replica,
                           volume::VolumeSettings settings)
    : context_(context),
      volume_(replica, context.pool, context.runtime.clock, std::move(settings)),
      iqn_(context.iqn_prefix + volume_.settings().name),
      device_(context.runtime.clock, context.runtime.random, context.pool,
              {.name = iqn_, .ports = context.ports}) {}

HostedVolume::~HostedVolume() {
  ASHLAR_CHECK(!has_unit_, "{}", iqn_);
}

Result<> HostedVolume::serve() {
  if (!has_unit_) ASHLAR_TRY(device_.add_unit(kLun, volume_));
  has_unit_ = true;
  if (has_target_) return {};
  ASHLAR_TRY(
      context_.targets.add_target({.iqn = iqn_, .device = &device_, .access = settings().access}));
  has_target_ = true;
  context_.map.add(iqn_, context_.reactor, settings().access);
  return {};
}

Task<Result<>> HostedVolume::withdraw() {
  context_.map.remove(iqn_);
  if (has_target_) ASHLAR_CO_TRY(co_await context_.targets.remove_target(iqn_));
  has_target_ = false;
  co_return co_await retire();
}

Task<Result<>> HostedVolume::retire() {
  context_.map.remove(iqn_);
  if (has_unit_) ASHLAR_CO_TRY(co_await device_.remove_unit(kLun));
  has_unit_ = false;
  co_return Result<>();
}

VolumeInfo HostedVolume::info() const {
  VolumeInfo info;
  info.uuid = volume_.uuid();
  info.settings = settings();
  info.size = volume_.size();
  if (const Result<> serving = volume_.may_serve(); !serving.ok()) {
    info.fault = serving.error().message();
  }
  info.replica = volume_.replica().uuid();
  info.iqn = iqn_;
  info.sessions = sessions();
  info.snapshots = static_cast<std::uint32_t>(volume_.replica().snapshots().size());
  return info;
}

std::uint32_t HostedVolume::sessions() const {
  const std::vector<iscsi::SessionInfo> all = context_.targets.sessions();
  return static_cast<std::uint32_t>(
      std::count_if(all.begin(), all.end(),
                    [this](const iscsi::SessionInfo& session) { return session.target == iqn_; }));
}

Result<> HostedVolume::check_unused() const {
  std::string users;
  for (const iscsi::SessionInfo& session : context_.targets.sessions()) {
    if (session.target == iqn_) users += fmt::format(" {} at {}", session.initiator, session.peer);
  }
  if (users.empty()) return {};
  return Error::failed_precondition("volume {} is in use by{}: log out first, or force it",
                                    settings().name, users);
}

Task<Result<>> HostedVolume::expand(ByteCount size) {
  ASHLAR_CO_TRY(check_size(size));
  if (size < volume_.size()) {
    co_return Error::invalid_argument("size: volume {} has {} and never shrinks", settings().name,
                                      volume_.size());
  }
  if (size == volume_.size()) co_return Result<>();
  co_return co_await volume_.resize(size);
}

Task<Result<>> HostedVolume::update(UpdateVolume change) {
  volume::VolumeSettings next = settings();
  if (change.read_only) next.read_only = *change.read_only;
  if (change.access) {
    const auto keep = [](const std::optional<volume::ChapCredentials>& there,
                         std::optional<volume::ChapCredentials>& wanted) {
      if (!wanted || !wanted->secret.empty() || !there || there->name != wanted->name) return;
      wanted->secret = there->secret;
    };
    keep(next.access.chap, change.access->chap);
    keep(next.access.mutual, change.access->mutual);
    next.access = std::move(*change.access);
  }
  ASHLAR_CO_TRY(volume::check_settings(next));
  if (next == settings()) co_return Result<>();
  const bool new_access = next.access != settings().access;
  ASHLAR_CO_TRY(co_await volume_.change_settings(std::move(next)));
  if (!new_access || !has_target_) co_return Result<>();
  context_.map.set_access(iqn_, settings().access);
  co_return co_await context_.targets.set_access(iqn_, settings().access);
}

// --- snapshots -----------------------------------------------------------------------------------

bool HostedVolume::has_snapshot(const SnapshotUuid& uuid) const {
  const std::vector<engine::SnapshotStatus> there = volume_.replica().snapshots();
  return std::any_of(there.begin(), there.end(),
                     [&](const engine::SnapshotStatus& one) { return one.uuid == uuid; });
}

std::vector<SnapshotInfo> HostedVolume::snapshots() const {
  std::vector<SnapshotInfo> list;
  for (const engine::SnapshotStatus& one : volume_.replica().snapshots()) {
    const auto& names = settings().snapshots;
    const auto named = std::find_if(names.begin(), names.end(),
                                    [&](const auto& name) { return name.uuid == one.uuid; });
    list.push_back({.uuid = one.uuid,
                    .name = named == names.end() ? one.uuid.to_string() : named->name,
                    .volume = volume_.uuid(),
                    .volume_name = settings().name,
                    .created = one.created});
  }
  return list;
}

Result<SnapshotInfo> HostedVolume::find_snapshot(const std::string& name_or_uuid) const {
  for (SnapshotInfo& one : snapshots()) {
    if (one.name == name_or_uuid || one.uuid.to_string() == name_or_uuid) return std::move(one);
  }
  return Error::not_found("volume {} has no snapshot {}", settings().name, quote(name_or_uuid));
}

Task<Result<>> HostedVolume::store_names(std::vector<volume::SnapshotName> names) {
  volume::VolumeSettings next = settings();
  next.snapshots = std::move(names);
  co_return co_await volume_.change_settings(std::move(next));
}

Task<Result<Made<SnapshotInfo>>> HostedVolume::take_snapshot(std::string name, SnapshotUuid uuid) {
  ASHLAR_CO_TRY(check_name(name, "name"));
  if (const Result<SnapshotInfo> there = find_snapshot(name); there.ok()) {
    if (uuid.is_nil() || uuid == there->uuid) co_return Made<SnapshotInfo>{*there, true};
    co_return Error::already_exists("volume {} has a snapshot {} already, with the uuid {}",
                                    settings().name, name, there->uuid);
  }
  if (uuid.is_nil()) uuid = SnapshotUuid::generate(context_.runtime.random);
  if (has_snapshot(uuid)) {
    co_return Error::already_exists("volume {} has a snapshot {} of another name already",
                                    settings().name, uuid);
  }
  // The name first: a snapshot without one could not be found again by who asked for it.
  std::vector<volume::SnapshotName> names;
  for (const volume::SnapshotName& one : settings().snapshots) {
    if (has_snapshot(one.uuid)) names.push_back(one);
  }
  if (names.size() >= volume::kMostSnapshots) {
    co_return Error::resource_exhausted("volume {} has {} snapshots, the most that are possible",
                                        settings().name, names.size());
  }
  names.push_back({uuid, name});
  ASHLAR_CO_TRY(co_await store_names(std::move(names)));
  ASHLAR_CO_TRY(co_await volume_.replica().snapshot(uuid, context_.runtime.clock.wall_now()));
  ASHLAR_CO_TRY_ASSIGN(SnapshotInfo made, find_snapshot(name));
  co_return Made<SnapshotInfo>{std::move(made), false};
}

Task<Result<>> HostedVolume::delete_snapshot(SnapshotUuid uuid) {
  ASHLAR_CO_TRY(co_await volume_.replica().delete_snapshot(uuid));
  std::vector<volume::SnapshotName> names;
  for (const volume::SnapshotName& one : settings().snapshots) {
    if (has_snapshot(one.uuid)) names.push_back(one);
  }
  co_return co_await store_names(std::move(names));
}

Task<Result<>> HostedVolume::revert(SnapshotUuid uuid, InUse in_use) {
  if (in_use == InUse::kRefuse) ASHLAR_CO_TRY(check_unused());
  // Nobody may log in meanwhile: a host that has read before and writes after destroys both.
  const bool was_served = has_target_;
  ASHLAR_CO_TRY(co_await withdraw());
  const Result<Lsn> reverted = co_await volume_.replica().revert(uuid);
  if (was_served) ASHLAR_CO_TRY(serve());
  if (!reverted.ok()) co_return reverted.error();
  co_return Result<>();
}

}  // namespace ashlar::server
