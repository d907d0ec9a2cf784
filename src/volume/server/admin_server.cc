#include "volume/server/admin_server.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>

#include "ashlar/v1/server.grpc.pb.h"
#include "ashlar/v1/volumes.grpc.pb.h"
#include "common/base/quote.h"
#include "common/log/log.h"
#include "volume/server/admin_messages.h"
#include "volume/server/volume_rules.h"

namespace ashlar::server {
namespace {

// Bounds of the admin API: threads that may wait for a reactor, and a request's size.
constexpr int kMostThreads = 32;
constexpr int kMostPollers = 4;
constexpr int kLargestRequest = 1 << 20;
constexpr std::uint32_t kLargestPage = 1000;

// What gRPC has to say is for us; what an operator needs to know we say ourselves.
void log_of_grpc(gpr_log_func_args* said) {
  ASHLAR_LOG_DEBUG("gRPC: {}", said->message);
}

grpc::Status to_status(const Error& error) {
  // The codes are gRPC's own numbers.
  return {static_cast<grpc::StatusCode>(error.code()), error.message()};
}

// One call from its request to its status: the request id goes out as metadata and into the log.
class Call {
 public:
  Call(grpc::ServerContext& context, const char* name, const std::string& request_id)
      : name_(name), id_(request_id), peer_(context.peer()), checked_(check_request_id(id_)) {
    if (!checked_.ok()) return;
    if (id_.empty()) {
      Random random = Random::from_os();
      id_ = Uuid::generate(random).to_string();
    }
    context.AddInitialMetadata("x-request-id", id_);
  }
  const Result<>& checked() const { return checked_; }

  // A call that changes nothing.
  static grpc::Status end(const Result<>& outcome) {
    return outcome.ok() ? grpc::Status::OK : to_status(outcome.error());
  }
  // One that changes `what`, or tried.
  grpc::Status end_change(const std::string& what, const Result<>& outcome) const {
    if (outcome.ok()) {
      ASHLAR_LOG_INFO(fields(what), "{} of {} for {}: done", name_, quote(what), peer_);
      return grpc::Status::OK;
    }
    ASHLAR_LOG_WARN(fields(what), "{} of {} for {}: {}", name_, quote(what), peer_,
                    outcome.error().to_string());
    return to_status(outcome.error());
  }

 private:
  LogFields fields(const std::string& what) const {
    return LogFields{}.volume(what).request_id(id_);
  }

  const char* name_;
  std::string id_;
  const std::string peer_;
  const Result<> checked_;
};

std::string name_of(const v1::VolumeName& name) {
  return name.name().empty() ? name.uuid() : name.name();
}

std::size_t page_of(std::uint32_t asked) {
  return asked == 0 ? kLargestPage : std::min(asked, kLargestPage);
}

class VolumesService final : public v1::Volumes::Service {
 public:
  VolumesService(VolumeServer& server, VolumeContext context)
      : server_(server), context_(std::move(context)) {}

  grpc::Status CreateVolume(grpc::ServerContext* context, const v1::CreateVolumeRequest* request,
                            v1::CreateVolumeResponse* response) override {
    const Call call(*context, "CreateVolume", request->request_id());
    return call.end_change(request->name(), create(call, *request, *response));
  }

  grpc::Status GetVolume(grpc::ServerContext* context, const v1::GetVolumeRequest* request,
                         v1::GetVolumeResponse* response) override {
    const Call call(*context, "GetVolume", request->request_id());
    return Call::end(get(call, *request, *response));
  }

  grpc::Status ListVolumes(grpc::ServerContext* context, const v1::ListVolumesRequest* request,
                           v1::ListVolumesResponse* response) override {
    const Call call(*context, "ListVolumes", request->request_id());
    return Call::end(list(call, *request, *response));
  }

  grpc::Status ExpandVolume(grpc::ServerContext* context, const v1::ExpandVolumeRequest* request,
                            v1::ExpandVolumeResponse* response) override {
    const Call call(*context, "ExpandVolume", request->request_id());
    return call.end_change(name_of(request->volume()), expand(call, *request, *response));
  }

  grpc::Status UpdateVolume(grpc::ServerContext* context, const v1::UpdateVolumeRequest* request,
                            v1::UpdateVolumeResponse* response) override {
    const Call call(*context, "UpdateVolume", request->request_id());
    return call.end_change(name_of(request->volume()), update(call, *request, *response));
  }

  grpc::Status DeleteVolume(grpc::ServerContext* context, const v1::DeleteVolumeRequest* request,
                            v1::DeleteVolumeResponse*) override {
    const Call call(*context, "DeleteVolume", request->request_id());
    return call.end_change(name_of(request->volume()), remove(call, *request));
  }

 private:
  Result<> create(const Call& call, const v1::CreateVolumeRequest& request,
                  v1::CreateVolumeResponse& response) {
    ASHLAR_TRY(call.checked());
    ASHLAR_TRY_ASSIGN(const server::CreateVolume wanted, from_message(request));
    ASHLAR_TRY_ASSIGN(const Made<VolumeInfo> made, server_.create_volume(wanted));
    to_message(made.value, context_, *response.mutable_volume());
    response.set_was_there(made.was_there);
    return {};
  }

  Result<> get(const Call& call, const v1::GetVolumeRequest& request,
               v1::GetVolumeResponse& response) {
    ASHLAR_TRY(call.checked());
    ASHLAR_TRY_ASSIGN(const VolumeRef volume, from_message(request.volume()));
    ASHLAR_TRY_ASSIGN(const VolumeInfo info, server_.get_volume(volume));
    to_message(info, context_, *response.mutable_volume());
    return {};
  }

  // The token is the last name of the page before: volumes that come and go meanwhile neither
  // repeat nor hide others.
  Result<> list(const Call& call, const v1::ListVolumesRequest& request,
                v1::ListVolumesResponse& response) {
    ASHLAR_TRY(call.checked());
    if (!request.page_token().empty()) ASHLAR_TRY(check_name(request.page_token(), "page_token"));
    const std::size_t page = page_of(request.page_size());
    ASHLAR_TRY_ASSIGN(std::vector<VolumeInfo> volumes,
                      server_.list_volumes(request.name_prefix(), request.page_token(), page + 1));
    if (volumes.size() > page) {
      volumes.resize(page);
      response.set_next_page_token(volumes.back().settings.name);
    }
    for (const VolumeInfo& info : volumes) to_message(info, context_, *response.add_volumes());
    return {};
  }

  Result<> expand(const Call& call, const v1::ExpandVolumeRequest& request,
                  v1::ExpandVolumeResponse& response) {
    ASHLAR_TRY(call.checked());
    ASHLAR_TRY_ASSIGN(const VolumeRef volume, from_message(request.volume()));
    ASHLAR_TRY_ASSIGN(const VolumeInfo info,
                      server_.expand_volume(volume, ByteCount(request.size_bytes())));
    to_message(info, context_, *response.mutable_volume());
    return {};
  }

  Result<> update(const Call& call, const v1::UpdateVolumeRequest& request,
                  v1::UpdateVolumeResponse& response) {
    ASHLAR_TRY(call.checked());
    ASHLAR_TRY_ASSIGN(const VolumeRef volume, from_message(request.volume()));
    ASHLAR_TRY_ASSIGN(const server::UpdateVolume change, from_message(request));
    ASHLAR_TRY_ASSIGN(const VolumeInfo info, server_.update_volume(volume, change));
    to_message(info, context_, *response.mutable_volume());
    return {};
  }

  Result<> remove(const Call& call, const v1::DeleteVolumeRequest& request) {
    ASHLAR_TRY(call.checked());
    ASHLAR_TRY_ASSIGN(const VolumeRef volume, from_message(request.volume()));
    Result<> deleted =
        server_.delete_volume(volume, request.force() ? InUse::kEndSessions : InUse::kRefuse);
    if (request.allow_missing() && !deleted.ok() &&
        deleted.error().code() == ErrorCode::kNotFound) {
      return {};
    }
    return deleted;
  }

  VolumeServer& server_;
  const VolumeContext context_;
};

class SnapshotsService final : public v1::Snapshots::Service {
 public:
  SnapshotsService(VolumeServer& server, VolumeContext context)
      : server_(server), context_(std::move(context)) {}

  grpc::Status CreateSnapshot(grpc::ServerContext* context,
                              const v1::CreateSnapshotRequest* request,
                              v1::CreateSnapshotResponse* response) override {
    const Call call(*context, "CreateSnapshot", request->request_id());
    return call.end_change(name_of(request->volume()), create(call, *request, *response));
  }

  grpc::Status ListSnapshots(grpc::ServerContext* context, const v1::ListSnapshotsRequest* request,
                             v1::ListSnapshotsResponse* response) override {
    const Call call(*context, "ListSnapshots", request->request_id());
    return Call::end(list(call, *request, *response));
  }

  grpc::Status DeleteSnapshot(grpc::ServerContext* context,
                              const v1::DeleteSnapshotRequest* request,
                              v1::DeleteSnapshotResponse*) override {
    const Call call(*context, "DeleteSnapshot", request->request_id());
    return call.end_change(name_of(request->volume()), remove(call, *request));
  }

  grpc::Status RevertVolume(grpc::ServerContext* context, const v1::RevertVolumeRequest* request,
                            v1::RevertVolumeResponse* response) override {
    const Call call(*context, "RevertVolume", request->request_id());
    return call.end_change(name_of(request->volume()), revert(call, *request, *response));
  }

 private:
  Result<> create(const Call& call, const v1::CreateSnapshotRequest& request,
                  v1::CreateSnapshotResponse& response) {
    ASHLAR_TRY(call.checked());
    ASHLAR_TRY_ASSIGN(const VolumeRef volume, from_message(request.volume()));
    SnapshotUuid uuid;
    if (!request.uuid().empty()) {
      const Result<SnapshotUuid> parsed = SnapshotUuid::parse(request.uuid());
      if (!parsed.ok()) return parsed.error().with_context("uuid");
      uuid = *parsed;
    }
    ASHLAR_TRY_ASSIGN(const Made<SnapshotInfo> made,
                      server_.create_snapshot(volume, request.name(), uuid));
    to_message(made.value, *response.mutable_snapshot());
    response.set_was_there(made.was_there);
    return {};
  }

  // The token is the uuid of the last snapshot of the page before. When that one is gone the
  // listing has to begin anew.
  Result<> list(const Call& call, const v1::ListSnapshotsRequest& request,
                v1::ListSnapshotsResponse& response) {
    ASHLAR_TRY(call.checked());
    std::optional<VolumeRef> volume;
    if (request.has_volume()) {
      ASHLAR_TRY_ASSIGN(volume, from_message(request.volume()));
    }
    ASHLAR_TRY_ASSIGN(const std::vector<SnapshotInfo> all, server_.list_snapshots(volume));
    auto next = all.begin();
    if (!request.page_token().empty()) {
      next = std::find_if(all.begin(), all.end(), [&](const SnapshotInfo& one) {
        return one.uuid.to_string() == request.page_token();
      });
      if (next == all.end()) return Error::aborted("page_token: begin the listing anew");
      ++next;
    }
    for (std::size_t left = page_of(request.page_size()); left != 0 && next != all.end(); --left) {
      to_message(*next++, *response.add_snapshots());
    }
    if (next != all.end()) response.set_next_page_token(std::prev(next)->uuid.to_string());
    return {};
  }

  Result<> remove(const Call& call, const v1::DeleteSnapshotRequest& request) {
    ASHLAR_TRY(call.checked());
    ASHLAR_TRY_ASSIGN(const VolumeRef volume, from_message(request.volume()));
    Result<> deleted = server_.delete_snapshot(volume, request.snapshot());
    if (request.allow_missing() && !deleted.ok() &&
        deleted.error().code() == ErrorCode::kNotFound) {
      return {};
    }
    return deleted;
  }

  Result<> revert(const Call& call, const v1::RevertVolumeRequest& request,
                  v1::RevertVolumeResponse& response) {
    ASHLAR_TRY(call.checked());
    ASHLAR_TRY_ASSIGN(const VolumeRef volume, from_message(request.volume()));
    ASHLAR_TRY_ASSIGN(
        const VolumeInfo info,
        server_.revert_volume(volume, request.snapshot(),
                              request.force() ? InUse::kEndSessions : InUse::kRefuse));
    to_message(info, context_, *response.mutable_volume());
    return {};
  }

  VolumeServer& server_;
  const VolumeContext context_;
};

class ServerService final : public v1::Server::Service {
 public:
  ServerService(VolumeServer& server, std::string version)
      : server_(server), version_(std::move(version)) {}

  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::GetStatusResponse* response) override {
    const Call call(*context, "GetStatus", request->request_id());
    return Call::end(status(call, *response));
  }

  grpc::Status ListSessions(grpc::ServerContext* context, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override {
    const Call call(*context, "ListSessions", request->request_id());
    return Call::end(sessions(call, *request, *response));
  }

 private:
  Result<> status(const Call& call, v1::GetStatusResponse& response) {
    ASHLAR_TRY(call.checked());
    ASHLAR_TRY_ASSIGN(const ServerStatus status, server_.status());
    to_message(status, response);
    response.set_version(version_);
    return {};
  }

  Result<> sessions(const Call& call, const v1::ListSessionsRequest& request,
                    v1::ListSessionsResponse& response) {
    ASHLAR_TRY(call.checked());
    if (!request.volume().empty()) {
      ASHLAR_TRY(server_.get_volume({.name = request.volume(), .uuid = {}}));
    }
    ASHLAR_TRY_ASSIGN(const ServerStatus status, server_.status());
    std::vector<iscsi::SessionInfo> all;
    for (const ReactorInfo& reactor : status.reactors) {
      all.insert(all.end(), reactor.sessions.begin(), reactor.sessions.end());
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return std::tie(a.target, a.initiator, a.isid) < std::tie(b.target, b.initiator, b.isid);
    });
    for (const iscsi::SessionInfo& info : all) {
      v1::Session session;
      to_message(info, status.iqn_prefix, session);
      if (!request.volume().empty() && session.volume() != request.volume()) continue;
      *response.add_sessions() = std::move(session);
    }
    return {};
  }

  VolumeServer& server_;
  const std::string version_;
};

}  // namespace

struct AdminServer::Impl {
  Impl(VolumeServer& server, ServerUuid uuid, std::string version)
      : volumes(server, {.server = uuid, .portals = server.portals()}),
        snapshots(server, {.server = uuid, .portals = server.portals()}),
        status(server, std::move(version)) {}

  VolumesService volumes;
  SnapshotsService snapshots;
  ServerService status;
  std::unique_ptr<grpc::Server> grpc;
  Endpoint endpoint;
};

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminServer::~AdminServer() {
  stop(0s);
}

Result<std::unique_ptr<AdminServer>> AdminServer::start(const Endpoint& listen,
                                                        VolumeServer& server, ServerUuid uuid,
                                                        std::string version) {
  gpr_set_log_function(&log_of_grpc);
  auto impl = std::make_unique<Impl>(server, uuid, std::move(version));
  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("admin");
  quota.SetMaxThreads(kMostThreads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kLargestRequest);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, kMostPollers);
  // Two servers at one port would each get some of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int port = 0;
  builder.AddListeningPort(listen.to_string(), grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&impl->volumes);
  builder.RegisterService(&impl->snapshots);
  builder.RegisterService(&impl->status);
  impl->grpc = builder.BuildAndStart();
  if (impl->grpc == nullptr || port <= 0) {
    return Error::unavailable(
        "admin.listen: {} cannot be listened at: the address is not of this machine, or the port "
        "is in use",
        listen);
  }
  impl->endpoint = listen.with_port(static_cast<std::uint16_t>(port));
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

Endpoint AdminServer::endpoint() const {
  return impl_->endpoint;
}

void AdminServer::stop(Duration grace) {
  if (impl_->grpc == nullptr) return;
  impl_->grpc->Shutdown(std::chrono::system_clock::now() +
                        std::chrono::duration_cast<std::chrono::microseconds>(grace));
  impl_->grpc->Wait();
  impl_->grpc.reset();
}

}  // namespace ashlar::server
