#include "cli/client.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "ashlar/v1/server.grpc.pb.h"
#include "ashlar/v1/volumes.grpc.pb.h"
#include "cli/patience.h"
#include "common/base/quote.h"
#include "common/base/units.h"

namespace ashlar::cli {
namespace {

// What of a page is asked for at once is the server's to bound; an answer of a thousand volumes has
// some hundreds of KiB.
constexpr int kLargestAnswer = 64 << 20;

std::shared_ptr<grpc::Channel> connect(const std::string& server) {
  grpc::ChannelArguments arguments;
  // A proxy for the web is none for storage.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(kLargestAnswer);
  return grpc::CreateCustomChannel("dns:///" + server, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace

struct Client::Impl {
  Impl(const std::string& server_name, Duration limit, std::string id)
      : server(server_name),
        timeout(limit),
        request_id(std::move(id)),
        channel(connect(server)),
        volumes(v1::Volumes::NewStub(channel)),
        snapshots(v1::Snapshots::NewStub(channel)),
        status(v1::Server::NewStub(channel)) {}

  template <class Response, class Stub, class Request>
  Result<Response> call(Stub& stub,
                        grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                        Request request) {
    request.set_request_id(request_id);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::duration_cast<std::chrono::microseconds>(timeout));
    Response response;
    const Patience patience("waiting for " + server);
    const grpc::Status done = (stub.*method)(&context, request, &response);
    if (done.ok()) return response;
    const auto code = static_cast<ErrorCode>(done.error_code());
    if (done.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
      return Error(code, fmt::format("{} has not answered within {}; what was asked for may still "
                                     "be done, and asking again does no harm",
                                     server, format_duration(timeout)));
    }
    if (done.error_code() == grpc::StatusCode::UNAVAILABLE) {
      return Error(code, fmt::format("{}: {}", server, done.error_message()));
    }
    return Error(code, done.error_message());
  }

  const std::string server;
  const Duration timeout;
  const std::string request_id;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Volumes::Stub> volumes;
  std::unique_ptr<v1::Snapshots::Stub> snapshots;
  std::unique_ptr<v1::Server::Stub> status;
};

Client::Client(const std::string& server, Duration timeout, std::string request_id)
    : impl_(std::make_unique<Impl>(server, timeout, std::move(request_id))) {}
Client::~Client() = default;

Result<v1::CreateVolumeResponse> Client::call(v1::CreateVolumeRequest request) {
  return impl_->call(*impl_->volumes, &v1::Volumes::Stub::CreateVolume, std::move(request));
}
Result<v1::GetVolumeResponse> Client::call(v1::GetVolumeRequest request) {
  return impl_->call(*impl_->volumes, &v1::Volumes::Stub::GetVolume, std::move(request));
}
Result<v1::ListVolumesResponse> Client::call(v1::ListVolumesRequest request) {
  return impl_->call(*impl_->volumes, &v1::Volumes::Stub::ListVolumes, std::move(request));
}
Result<v1::ExpandVolumeResponse> Client::call(v1::ExpandVolumeRequest request) {
  return impl_->call(*impl_->volumes, &v1::Volumes::Stub::ExpandVolume, std::move(request));
}
Result<v1::UpdateVolumeResponse> Client::call(v1::UpdateVolumeRequest request) {
  return impl_->call(*impl_->volumes, &v1::Volumes::Stub::UpdateVolume, std::move(request));
}
Result<v1::DeleteVolumeResponse> Client::call(v1::DeleteVolumeRequest request) {
  return impl_->call(*impl_->volumes, &v1::Volumes::Stub::DeleteVolume, std::move(request));
}
Result<v1::CreateSnapshotResponse> Client::call(v1::CreateSnapshotRequest request) {
  return impl_->call(*impl_->snapshots, &v1::Snapshots::Stub::CreateSnapshot, std::move(request));
}
Result<v1::ListSnapshotsResponse> Client::call(v1::ListSnapshotsRequest request) {
  return impl_->call(*impl_->snapshots, &v1::Snapshots::Stub::ListSnapshots, std::move(request));
}
Result<v1::DeleteSnapshotResponse> Client::call(v1::DeleteSnapshotRequest request) {
  return impl_->call(*impl_->snapshots, &v1::Snapshots::Stub::DeleteSnapshot, std::move(request));
}
Result<v1::RevertVolumeResponse> Client::call(v1::RevertVolumeRequest request) {
  return impl_->call(*impl_->snapshots, &v1::Snapshots::Stub::RevertVolume, std::move(request));
}
Result<v1::GetStatusResponse> Client::call(v1::GetStatusRequest request) {
  return impl_->call(*impl_->status, &v1::Server::Stub::GetStatus, std::move(request));
}
Result<v1::ListSessionsResponse> Client::call(v1::ListSessionsRequest request) {
  return impl_->call(*impl_->status, &v1::Server::Stub::ListSessions, std::move(request));
}

Result<> check_server(const std::string& server) {
  const std::size_t colon = server.rfind(':');
  const std::string host = server.substr(0, std::min(colon, server.size()));
  const std::string port = colon == std::string::npos ? "" : server.substr(colon + 1);
  const bool is_number =
      !port.empty() && port.size() <= 5 &&
      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const bool is_plain = !host.empty() && host.find_first_of("[]:/ ,") == std::string::npos;
  if (is_number && std::stoi(port) > 0 && std::stoi(port) < 65536 && (is_bracketed || is_plain)) {
    return {};
  }
  return Error::invalid_argument("{} is no HOST:PORT or [IPV6]:PORT", quote(server));
}

}  // namespace ashlar::cli
