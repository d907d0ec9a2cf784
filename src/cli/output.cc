#include "cli/output.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/base/time.h"
#include "common/base/units.h"

namespace ashlar::cli {
namespace {

using nlohmann::json;

std::string aligned(const std::vector<Row>& rows, std::size_t gap) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += fmt::format("{:<{}}", row[i], widths[i] + gap);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string name_of(v1::AckPolicy policy) {
  return policy == v1::ACK_POLICY_BUFFERED ? "buffered" : "durable";
}

std::string name_of(v1::VolumeState state) {
  switch (state) {
    case v1::VOLUME_STATE_READY:
      return "ready";
    case v1::VOLUME_STATE_FAULT:
      return "fault";
    default:
      return "unknown";
  }
}

std::string yes_or_no(bool value) {
  return value ? "yes" : "no";
}

std::string time_of(const google::protobuf::Timestamp& time) {
  return WallTime(std::chrono::seconds(time.seconds()) + std::chrono::nanoseconds(time.nanos()))
      .to_string();
}

std::string store_of(const v1::Volume& volume) {
  return volume.replicas().empty() ? "" : volume.replicas(0).store_directory();
}

std::string access_of(const v1::AccessRules& access) {
  std::string text;
  for (const std::string& name : access.initiators()) text += (text.empty() ? "" : ", ") + name;
  if (text.empty()) text = "any initiator";
  if (access.has_chap()) text += fmt::format("; CHAP {}", access.chap().name());
  if (access.has_mutual_chap()) text += fmt::format("; mutual {}", access.mutual_chap().name());
  return text;
}

std::string short_size(std::uint64_t bytes) {
  return format_size_short(ByteCount(bytes));
}

}  // namespace

std::string table(const std::vector<Row>& rows) {
  return aligned(rows, 3);
}
std::string properties(const std::vector<Row>& rows) {
  return aligned(rows, 2);
}

json to_json(const v1::Volume& volume) {
  json access = {{"initiators", json::array()}};
  for (const std::string& name : volume.access().initiators()) access["initiators"].push_back(name);
  if (volume.access().has_chap()) access["chap"] = {{"name", volume.access().chap().name()}};
  if (volume.access().has_mutual_chap()) {
    access["mutual_chap"] = {{"name", volume.access().mutual_chap().name()}};
  }
  json replicas = json::array();
  for (const v1::VolumeReplica& replica : volume.replicas()) {
    replicas.push_back({{"replica_uuid", replica.replica_uuid()},
                        {"server_uuid", replica.server_uuid()},
                        {"store_uuid", replica.store_uuid()},
                        {"store_directory", replica.store_directory()}});
  }
  return {{"name", volume.name()},
          {"uuid", volume.uuid()},
          {"size_bytes", volume.size_bytes()},
          {"logical_block_size", volume.logical_block_size()},
          {"ack_policy", name_of(volume.ack_policy())},
          {"read_only", volume.read_only()},
          {"removable", volume.removable()},
          {"access", access},
          {"state", name_of(volume.state())},
          {"state_reason", volume.state_reason()},
          {"replicas", replicas},
          {"target_iqn", volume.target_iqn()},
          {"portals", std::vector<std::string>(volume.portals().begin(), volume.portals().end())},
          {"lun", volume.lun()},
          {"sessions", volume.sessions()},
          {"snapshots", volume.snapshots()},
          {"origin_volume_uuid", volume.origin_volume_uuid()},
          {"origin_snapshot_uuid", volume.origin_snapshot_uuid()}};
}

json to_json(const v1::Snapshot& snapshot) {
  return {{"name", snapshot.name()},
          {"uuid", snapshot.uuid()},
          {"volume", {{"name", snapshot.volume().name()}, {"uuid", snapshot.volume().uuid()}}},
          {"created", time_of(snapshot.created())}};
}

json to_json(const v1::Session& session) {
  return {{"target_iqn", session.target_iqn()},
          {"volume", session.volume()},
          {"initiator", session.initiator()},
          {"peer", session.peer()},
          {"isid", session.isid()},
          {"tsih", session.tsih()},
          {"commands", session.commands()},
          {"is_discovery", session.is_discovery()}};
}

json to_json(const v1::GetStatusResponse& status) {
  json stores = json::array();
  for (const v1::StoreStatus& store : status.stores()) {
    json unreadable = json::array();
    for (const v1::Unreadable& one : store.unreadable()) {
      unreadable.push_back({{"name", one.name()}, {"reason", one.reason()}});
    }
    stores.push_back({{"directory", store.directory()},
                      {"uuid", store.uuid()},
                      {"reactor", store.reactor()},
                      {"capacity_bytes", store.capacity_bytes()},
                      {"available_bytes", store.available_bytes()},
                      {"provisioned_bytes", store.provisioned_bytes()},
                      {"log_bytes", store.log_bytes()},
                      {"log_fill", store.log_fill()},
                      {"volumes", store.volumes()},
                      {"unreadable", unreadable}});
  }
  json reactors = json::array();
  for (const v1::ReactorStatus& reactor : status.reactors()) {
    reactors.push_back({{"index", reactor.index()},
                        {"targets", reactor.targets()},
                        {"sessions", reactor.sessions()}});
  }
  return {{"version", status.version()},
          {"server_uuid", status.server_uuid()},
          {"uptime_seconds", status.uptime().seconds()},
          {"ready", status.ready()},
          {"portals", std::vector<std::string>(status.portals().begin(), status.portals().end())},
          {"iqn_prefix", status.iqn_prefix()},
          {"stores", stores},
          {"reactors", reactors}};
}

std::string describe(const v1::Volume& volume) {
  std::vector<Row> rows = {
      {"name", volume.name()},
      {"uuid", volume.uuid()},
      {"size", fmt::format("{} ({} bytes)", ByteCount(volume.size_bytes()), volume.size_bytes())},
      {"logical block", fmt::format("{} bytes", volume.logical_block_size())},
      {"acknowledges", name_of(volume.ack_policy())},
      {"read-only", yes_or_no(volume.read_only())},
      {"removable", yes_or_no(volume.removable())},
      {"access", access_of(volume.access())},
      {"state", volume.state_reason().empty()
                    ? name_of(volume.state())
                    : name_of(volume.state()) + ": " + volume.state_reason()},
      {"store", store_of(volume)},
      {"target", volume.target_iqn()}};
  for (const std::string& portal : volume.portals()) {
    rows.push_back(
        {"url", fmt::format("iscsi://{}/{}/{}", portal, volume.target_iqn(), volume.lun())});
  }
  rows.push_back({"sessions", std::to_string(volume.sessions())});
  rows.push_back({"snapshots", std::to_string(volume.snapshots())});
  if (!volume.origin_volume_uuid().empty()) {
    const std::string& snapshot = volume.origin_snapshot_uuid();
    rows.push_back({"copied from", volume.origin_volume_uuid() +
                                       (snapshot.empty() ? "" : ", snapshot " + snapshot)});
  }
  return properties(rows);
}

std::string describe(const v1::GetStatusResponse& status) {
  std::string portals;
  for (const std::string& one : status.portals()) portals += (portals.empty() ? "" : ", ") + one;
  std::uint32_t sessions = 0;
  for (const v1::ReactorStatus& reactor : status.reactors()) sessions += reactor.sessions();
  std::string text =
      properties({{"version", status.version()},
                  {"server", status.server_uuid()},
                  {"up", format_duration(std::chrono::seconds(status.uptime().seconds()))},
                  {"ready", yes_or_no(status.ready())},
                  {"portals", portals},
                  {"targets", status.iqn_prefix() + "NAME"},
                  {"reactors", std::to_string(status.reactors_size())},
                  {"sessions", std::to_string(sessions)}});
  std::vector<Row> rows = {
      {"STORE", "UUID", "SIZE", "FREE", "PROVISIONED", "VOLUMES", "LOG", "REACTOR"}};
  for (const v1::StoreStatus& store : status.stores()) {
    rows.push_back(
        {store.directory(), store.uuid(), short_size(store.capacity_bytes()),
         short_size(store.available_bytes()), short_size(store.provisioned_bytes()),
         std::to_string(store.volumes()),
         fmt::format("{:.0f} % of {}", store.log_fill() * 100, short_size(store.log_bytes())),
         std::to_string(store.reactor())});
  }
  text += "\n" + table(rows);
  for (const v1::StoreStatus& store : status.stores()) {
    for (const v1::Unreadable& one : store.unreadable()) {
      text += fmt::format("\nnot served, left as it is in {}: {}: {}\n", store.directory(),
                          one.name(), one.reason());
    }
  }
  return text;
}

std::string table(const std::vector<v1::Volume>& volumes) {
  std::vector<Row> rows = {
      {"NAME", "SIZE", "BLOCK", "ACK", "STATE", "SESSIONS", "SNAPSHOTS", "STORE"}};
  for (const v1::Volume& volume : volumes) {
    rows.push_back({volume.name(), fmt::format("{}", ByteCount(volume.size_bytes())),
                    std::to_string(volume.logical_block_size()), name_of(volume.ack_policy()),
                    name_of(volume.state()) + (volume.read_only() ? ", read-only" : ""),
                    std::to_string(volume.sessions()), std::to_string(volume.snapshots()),
                    store_of(volume)});
  }
  return table(rows);
}

std::string table(const std::vector<v1::Snapshot>& snapshots) {
  std::vector<Row> rows = {{"VOLUME", "NAME", "CREATED", "UUID"}};
  for (const v1::Snapshot& one : snapshots) {
    rows.push_back({one.volume().name(), one.name(), time_of(one.created()), one.uuid()});
  }
  return table(rows);
}

std::string table(const std::vector<v1::Session>& sessions) {
  std::vector<Row> rows = {{"VOLUME", "INITIATOR", "FROM", "ISID", "TSIH", "COMMANDS"}};
  for (const v1::Session& one : sessions) {
    rows.push_back({one.is_discovery() ? "(discovery)" : one.volume(), one.initiator(), one.peer(),
                    one.isid(), std::to_string(one.tsih()), std::to_string(one.commands())});
  }
  return table(rows);
}

}  // namespace ashlar::cli
