#include "cli/commands.h"

#include <cstdio>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/chap_secret.h"
#include "cli/client.h"
#include "cli/output.h"

namespace ashlar::cli {
namespace {

using nlohmann::json;

constexpr const char* kChapVariable = "ASHLAR_CHAP_SECRET";
constexpr const char* kMutualVariable = "ASHLAR_MUTUAL_CHAP_SECRET";

Client client_of(const Arguments& arguments) {
  return Client(arguments.server, arguments.timeout, arguments.request_id);
}

void set_name(const Arguments& arguments, v1::VolumeName& name) {
  name.set_name(arguments.volume);
  name.set_uuid(arguments.uuid);
}

void print(const json& document) {
  // Names that are no UTF-8 cannot come from a server of ours; they are replaced rather than fatal.
  fmt::print("{}\n", document.dump(2, ' ', false, json::error_handler_t::replace));
}

void print_volume(const Arguments& arguments, const v1::Volume& volume) {
  if (arguments.form == OutputForm::kJson) return print(to_json(volume));
  fmt::print("{}", describe(volume));
}

template <class T>
void print_list(const Arguments& arguments, const std::vector<T>& things) {
  if (arguments.form == OutputForm::kTable) {
    fmt::print("{}", table(things));
    return;
  }
  json list = json::array();
  for (const T& one : things) list.push_back(to_json(one));
  print(list);
}

Result<> fill_chap(const ChapArguments& arguments, const char* variable, v1::Chap& chap) {
  ASHLAR_TRY_ASSIGN(const Secret secret, read_chap_secret(arguments.secret_file, variable));
  chap.set_name(arguments.name);
  chap.set_secret(std::string(secret.reveal()));
  return {};
}

// Of a new volume: the secret must be somewhere.
Result<> fill_access(const AccessArguments& arguments, v1::AccessRules& access) {
  for (const std::string& name : arguments.initiators) access.add_initiators(name);
  if (!arguments.chap.name.empty()) {
    ASHLAR_TRY(fill_chap(arguments.chap, kChapVariable, *access.mutable_chap()));
    if (access.chap().secret().empty()) {
      return Error::invalid_argument("--chap: its secret must be in --chap-secret-file or {}",
                                     kChapVariable);
    }
  }
  if (!arguments.mutual.name.empty()) {
    ASHLAR_TRY(fill_chap(arguments.mutual, kMutualVariable, *access.mutable_mutual_chap()));
    if (access.mutual_chap().secret().empty()) {
      return Error::invalid_argument(
          "--mutual-chap: its secret must be in --mutual-chap-secret-file or {}", kMutualVariable);
    }
  }
  return {};
}

// Of one that is there: `access` holds its rules, without secrets; what is not mentioned stays.
Result<> change_access(const AccessArguments& arguments, v1::AccessRules& access) {
  if (arguments.any_initiator || !arguments.initiators.empty()) access.clear_initiators();
  for (const std::string& name : arguments.initiators) access.add_initiators(name);
  if (arguments.no_chap) {
    access.clear_chap();
    access.clear_mutual_chap();
  }
  if (arguments.no_mutual) access.clear_mutual_chap();
  if (!arguments.chap.name.empty()) {
    ASHLAR_TRY(fill_chap(arguments.chap, kChapVariable, *access.mutable_chap()));
  }
  if (!arguments.mutual.name.empty()) {
    ASHLAR_TRY(fill_chap(arguments.mutual, kMutualVariable, *access.mutable_mutual_chap()));
  }
  return {};
}

bool changes_access(const AccessArguments& arguments) {
  return arguments.any_initiator || !arguments.initiators.empty() || arguments.no_chap ||
         arguments.no_mutual || !arguments.chap.name.empty() || !arguments.mutual.name.empty();
}

Result<> send_create(const Arguments& arguments, v1::CreateVolumeRequest request) {
  if (arguments.size) request.set_size_bytes(arguments.size->value());
  request.set_logical_block_size(arguments.block_size);
  if (arguments.ack == "durable") request.set_ack_policy(v1::ACK_POLICY_DURABLE);
  if (arguments.ack == "buffered") request.set_ack_policy(v1::ACK_POLICY_BUFFERED);
  request.set_read_only(arguments.read_only.value_or(false));
  request.set_removable(arguments.removable);
  ASHLAR_TRY(fill_access(arguments.access, *request.mutable_access()));
  Client client = client_of(arguments);
  ASHLAR_TRY_ASSIGN(const v1::CreateVolumeResponse response, client.call(std::move(request)));
  if (response.was_there()) {
    fmt::print(stderr, "ashlar: volume {} was there already, as it was asked for\n",
               response.volume().name());
  }
  print_volume(arguments, response.volume());
  return {};
}

}  // namespace

Result<> create_volume(const Arguments& arguments) {
  v1::CreateVolumeRequest request;
  request.set_name(arguments.volume);
  request.set_uuid(arguments.uuid);
  request.set_store(arguments.store);
  return send_create(arguments, std::move(request));
}

Result<> clone_volume(const Arguments& arguments) {
  v1::CreateVolumeRequest request;
  request.set_name(arguments.new_name);
  request.set_uuid(arguments.uuid);
  request.mutable_source()->mutable_volume()->set_name(arguments.volume);
  request.mutable_source()->set_snapshot(arguments.snapshot);
  return send_create(arguments, std::move(request));
}

Result<> get_volume(const Arguments& arguments) {
  v1::GetVolumeRequest request;
  set_name(arguments, *request.mutable_volume());
  Client client = client_of(arguments);
  ASHLAR_TRY_ASSIGN(const v1::GetVolumeResponse response, client.call(std::move(request)));
  print_volume(arguments, response.volume());
  return {};
}

Result<> list_volumes(const Arguments& arguments) {
  Client client = client_of(arguments);
  std::vector<v1::Volume> volumes;
  std::string token;
  do {
    v1::ListVolumesRequest request;
    request.set_name_prefix(arguments.prefix);
    request.set_page_token(token);
    ASHLAR_TRY_ASSIGN(const v1::ListVolumesResponse response, client.call(std::move(request)));
    volumes.insert(volumes.end(), response.volumes().begin(), response.volumes().end());
    token = response.next_page_token();
  } while (!token.empty());
  print_list(arguments, volumes);
  return {};
}

Result<> resize_volume(const Arguments& arguments) {
  v1::ExpandVolumeRequest request;
  set_name(arguments, *request.mutable_volume());
  request.set_size_bytes(arguments.size->value());
  Client client = client_of(arguments);
  ASHLAR_TRY_ASSIGN(const v1::ExpandVolumeResponse response, client.call(std::move(request)));
  print_volume(arguments, response.volume());
  return {};
}

Result<> set_volume(const Arguments& arguments) {
  Client client = client_of(arguments);
  v1::UpdateVolumeRequest request;
  if (changes_access(arguments.access)) {
    v1::GetVolumeRequest get;
    set_name(arguments, *get.mutable_volume());
    ASHLAR_TRY_ASSIGN(const v1::GetVolumeResponse there, client.call(std::move(get)));
    *request.mutable_access() = there.volume().access();
    ASHLAR_TRY(change_access(arguments.access, *request.mutable_access()));
    // The volume whose rules were read, not a later one of that name.
    request.mutable_volume()->set_uuid(there.volume().uuid());
  }
  request.mutable_volume()->set_name(arguments.volume);
  if (!arguments.uuid.empty()) request.mutable_volume()->set_uuid(arguments.uuid);
  if (arguments.read_only) request.set_read_only(*arguments.read_only);
  ASHLAR_TRY_ASSIGN(const v1::UpdateVolumeResponse response, client.call(std::move(request)));
  print_volume(arguments, response.volume());
  return {};
}

Result<> delete_volumes(const Arguments& arguments) {
  Client client = client_of(arguments);
  for (const std::string& name : arguments.names) {
    v1::DeleteVolumeRequest request;
    request.mutable_volume()->set_name(name);
    request.mutable_volume()->set_uuid(arguments.uuid);
    request.set_force(arguments.force);
    request.set_allow_missing(arguments.if_exists);
    ASHLAR_TRY(client.call(std::move(request)));
    if (arguments.form == OutputForm::kTable) fmt::print("volume {} deleted\n", name);
  }
  return {};
}

Result<> create_snapshot(const Arguments& arguments) {
  v1::CreateSnapshotRequest request;
  request.mutable_volume()->set_name(arguments.volume);
  request.set_name(arguments.snapshot);
  request.set_uuid(arguments.uuid);
  Client client = client_of(arguments);
  ASHLAR_TRY_ASSIGN(const v1::CreateSnapshotResponse response, client.call(std::move(request)));
  if (response.was_there()) {
    fmt::print(stderr, "ashlar: snapshot {} was there already\n", response.snapshot().name());
  }
  if (arguments.form == OutputForm::kJson) {
    print(to_json(response.snapshot()));
  } else {
    fmt::print("{}", table(std::vector<v1::Snapshot>{response.snapshot()}));
  }
  return {};
}

Result<> list_snapshots(const Arguments& arguments) {
  Client client = client_of(arguments);
  std::vector<v1::Snapshot> snapshots;
  std::string token;
  do {
    v1::ListSnapshotsRequest request;
    if (!arguments.volume.empty()) request.mutable_volume()->set_name(arguments.volume);
    request.set_page_token(token);
    ASHLAR_TRY_ASSIGN(const v1::ListSnapshotsResponse response, client.call(std::move(request)));
    snapshots.insert(snapshots.end(), response.snapshots().begin(), response.snapshots().end());
    token = response.next_page_token();
  } while (!token.empty());
  print_list(arguments, snapshots);
  return {};
}

Result<> delete_snapshot(const Arguments& arguments) {
  v1::DeleteSnapshotRequest request;
  request.mutable_volume()->set_name(arguments.volume);
  request.set_snapshot(arguments.snapshot);
  request.set_allow_missing(arguments.if_exists);
  Client client = client_of(arguments);
  ASHLAR_TRY(client.call(std::move(request)));
  if (arguments.form == OutputForm::kTable) {
    fmt::print("snapshot {} of volume {} deleted\n", arguments.snapshot, arguments.volume);
  }
  return {};
}

Result<> revert_volume(const Arguments& arguments) {
  v1::RevertVolumeRequest request;
  request.mutable_volume()->set_name(arguments.volume);
  request.set_snapshot(arguments.snapshot);
  request.set_force(arguments.force);
  Client client = client_of(arguments);
  ASHLAR_TRY_ASSIGN(const v1::RevertVolumeResponse response, client.call(std::move(request)));
  if (arguments.form == OutputForm::kJson) {
    print(to_json(response.volume()));
  } else {
    fmt::print("volume {} is as it was at snapshot {}\n", arguments.volume, arguments.snapshot);
  }
  return {};
}

Result<> show_status(const Arguments& arguments) {
  Client client = client_of(arguments);
  ASHLAR_TRY_ASSIGN(const v1::GetStatusResponse status, client.call(v1::GetStatusRequest()));
  if (arguments.form == OutputForm::kJson) {
    print(to_json(status));
  } else {
    fmt::print("{}", describe(status));
  }
  return {};
}

Result<> list_sessions(const Arguments& arguments) {
  v1::ListSessionsRequest request;
  request.set_volume(arguments.volume);
  Client client = client_of(arguments);
  ASHLAR_TRY_ASSIGN(const v1::ListSessionsResponse response, client.call(std::move(request)));
  print_list(arguments,
             std::vector<v1::Session>(response.sessions().begin(), response.sessions().end()));
  return {};
}

int exit_code_of(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kInvalidArgument:
      return kUsage;
    case ErrorCode::kNotFound:
      return kNotFound;
    case ErrorCode::kAlreadyExists:
      return kAlreadyExists;
    case ErrorCode::kFailedPrecondition:
      return kForbiddenByState;
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadlineExceeded:
      return kUnreachable;
    default:
      return kFailed;
  }
}

}  // namespace ashlar::cli
