#include "volume/server/admin_messages.h"

#include <utility>

#include "common/base/quote.h"

namespace ashlar::server {
namespace {

// iSCSI volumes have one unit, this one.
constexpr std::uint32_t kLun = 0;
constexpr std::int64_t kNanoseconds = 1'000'000'000;

template <class TypedId>
Result<TypedId> parse_uuid(const std::string& text, std::string_view field) {
  if (text.empty()) return TypedId();
  Result<TypedId> uuid = TypedId::parse(text);
  if (!uuid.ok()) return uuid.error().with_context(field);
  if (uuid->is_nil()) return Error::invalid_argument("{}: the nil uuid names nothing", field);
  return uuid;
}

volume::ChapCredentials from_message(const v1::Chap& chap) {
  return {.name = chap.name(), .secret = Secret(chap.secret())};
}

volume::AccessRules from_message(const v1::AccessRules& rules) {
  volume::AccessRules access;
  access.initiators.assign(rules.initiators().begin(), rules.initiators().end());
  if (rules.has_chap()) access.chap = from_message(rules.chap());
  if (rules.has_mutual_chap()) access.mutual = from_message(rules.mutual_chap());
  return access;
}

// Without the secrets.
void to_message(const volume::AccessRules& access, v1::AccessRules& rules) {
  for (const std::string& initiator : access.initiators) rules.add_initiators(initiator);
  if (access.chap) rules.mutable_chap()->set_name(access.chap->name);
  if (access.mutual) rules.mutable_mutual_chap()->set_name(access.mutual->name);
}

v1::AckPolicy to_message(volume::AckPolicy policy) {
  return policy == volume::AckPolicy::kDurable ? v1::ACK_POLICY_DURABLE : v1::ACK_POLICY_BUFFERED;
}

}  // namespace

Result<VolumeRef> from_message(const v1::VolumeName& name) {
  ASHLAR_TRY_ASSIGN(const VolumeUuid uuid, parse_uuid<VolumeUuid>(name.uuid(), "volume.uuid"));
  return VolumeRef{.name = name.name(), .uuid = uuid};
}

Result<CreateVolume> from_message(const v1::CreateVolumeRequest& request) {
  CreateVolume wanted;
  wanted.name = request.name();
  ASHLAR_TRY_ASSIGN(wanted.uuid, parse_uuid<VolumeUuid>(request.uuid(), "uuid"));
  wanted.size = ByteCount(request.size_bytes());
  if (request.logical_block_size() != 0) wanted.logical_block_size = request.logical_block_size();
  switch (request.ack_policy()) {
    case v1::ACK_POLICY_UNSPECIFIED:
      break;
    case v1::ACK_POLICY_DURABLE:
      wanted.ack_policy = volume::AckPolicy::kDurable;
      break;
    case v1::ACK_POLICY_BUFFERED:
      wanted.ack_policy = volume::AckPolicy::kBuffered;
      break;
    default:
      return Error::invalid_argument("ack_policy: {} is none that this server knows",
                                     static_cast<int>(request.ack_policy()));
  }
  wanted.read_only = request.read_only();
  wanted.removable = request.removable();
  wanted.access = from_message(request.access());
  if (request.has_source()) {
    ASHLAR_TRY_ASSIGN(const VolumeRef source, from_message(request.source().volume()));
    wanted.source = VolumeSource{.volume = source, .snapshot = request.source().snapshot()};
  }
  wanted.store = request.store();
  return wanted;
}

Result<UpdateVolume> from_message(const v1::UpdateVolumeRequest& request) {
  UpdateVolume change;
  if (request.has_read_only()) change.read_only = request.read_only();
  if (request.has_access()) change.access = from_message(request.access());
  return change;
}

void to_message(const VolumeInfo& info, const VolumeContext& context, v1::Volume& volume) {
  const volume::VolumeSettings& settings = info.settings;
  volume.set_name(settings.name);
  volume.set_uuid(info.uuid.to_string());
  volume.set_size_bytes(info.size.value());
  volume.set_logical_block_size(settings.logical_block_size);
  volume.set_ack_policy(to_message(settings.ack_policy));
  volume.set_read_only(settings.read_only);
  volume.set_removable(settings.removable);
  to_message(settings.access, *volume.mutable_access());
  volume.set_state(info.fault ? v1::VOLUME_STATE_FAULT : v1::VOLUME_STATE_READY);
  volume.set_state_reason(info.fault.value_or(""));
  v1::VolumeReplica& replica = *volume.add_replicas();
  replica.set_replica_uuid(info.replica.to_string());
  replica.set_server_uuid(context.server.to_string());
  replica.set_store_uuid(info.store.to_string());
  replica.set_store_directory(info.store_directory);
  volume.set_target_iqn(info.iqn);
  for (const iscsi::Portal& portal : context.portals) {
    volume.add_portals(portal.advertised.to_string());
  }
  volume.set_lun(kLun);
  volume.set_sessions(info.sessions);
  volume.set_snapshots(info.snapshots);
  if (settings.origin) {
    volume.set_origin_volume_uuid(settings.origin->volume.to_string());
    if (!settings.origin->snapshot.is_nil()) {
      volume.set_origin_snapshot_uuid(settings.origin->snapshot.to_string());
    }
  }
}

void to_message(const SnapshotInfo& info, v1::Snapshot& snapshot) {
  snapshot.set_name(info.name);
  snapshot.set_uuid(info.uuid.to_string());
  snapshot.mutable_volume()->set_name(info.volume_name);
  snapshot.mutable_volume()->set_uuid(info.volume.to_string());
  snapshot.mutable_created()->set_seconds(info.created.nanoseconds() / kNanoseconds);
  snapshot.mutable_created()->set_nanos(
      static_cast<std::int32_t>(info.created.nanoseconds() % kNanoseconds));
}

void to_message(const ServerStatus& status, v1::GetStatusResponse& response) {
  response.set_server_uuid(status.server.to_string());
  response.mutable_uptime()->set_seconds(status.uptime.count() / kNanoseconds);
  response.mutable_uptime()->set_nanos(
      static_cast<std::int32_t>(status.uptime.count() % kNanoseconds));
  response.set_ready(status.is_ready);
  for (const Endpoint& portal : status.portals) response.add_portals(portal.to_string());
  response.set_iqn_prefix(status.iqn_prefix);
  for (const ReactorInfo& info : status.reactors) {
    v1::ReactorStatus& reactor = *response.add_reactors();
    reactor.set_index(info.index);
    reactor.set_targets(info.targets);
    reactor.set_sessions(static_cast<std::uint32_t>(info.sessions.size()));
    for (const StoreInfo& one : info.stores) {
      v1::StoreStatus& store = *response.add_stores();
      store.set_directory(one.directory);
      store.set_uuid(one.uuid.to_string());
      store.set_reactor(one.reactor);
      store.set_capacity_bytes(one.capacity.value());
      store.set_available_bytes(one.available.value());
      store.set_provisioned_bytes(one.provisioned.value());
      store.set_log_bytes(one.log_size.value());
      store.set_log_fill(one.log_fill);
      store.set_volumes(one.volumes);
      for (const UnreadableThing& thing : one.unreadable) {
        v1::Unreadable& unreadable = *store.add_unreadable();
        unreadable.set_name(thing.name);
        unreadable.set_reason(thing.reason);
      }
    }
  }
}

void to_message(const iscsi::SessionInfo& info, const std::string& iqn_prefix,
                v1::Session& session) {
  session.set_target_iqn(info.target);
  if (info.target.starts_with(iqn_prefix)) {
    session.set_volume(info.target.substr(iqn_prefix.size()));
  }
  session.set_initiator(info.initiator);
  session.set_peer(info.peer.to_string());
  session.set_isid(fmt::format("{:012x}", info.isid));
  session.set_tsih(info.tsih);
  session.set_commands(info.commands);
  session.set_is_discovery(info.is_discovery);
}

}  // namespace ashlar::server
