#include "volume/server/http_server.h"

#include <array>
#include <thread>
#include <utility>

#include <arpa/inet.h>
#include <httplib.h>

#include "common/log/log.h"

namespace ashlar::server {
namespace {

constexpr std::size_t kThreads = 2;
constexpr std::size_t kLargestRequest = 64 << 10;
constexpr time_t kPatienceSeconds = 5;
constexpr int kStartPatienceMilliseconds = 10'000;

std::string host_of(const Endpoint& endpoint) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = endpoint.family() == Endpoint::Family::kIpv4 ? AF_INET : AF_INET6;
  (void)::inet_ntop(family, endpoint.address().data(), text.data(), text.size());
  return text.data();
}

void answer(const Result<>& outcome, httplib::Response& response) {
  response.status = outcome.ok() ? 200 : 503;
  response.set_content(outcome.ok() ? "ok\n" : outcome.error().message() + "\n", "text/plain");
}

}  // namespace

struct HttpServer::Impl {
  httplib::Server http;
  Answers answers;
  Endpoint endpoint;
  std::thread thread;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() {
  stop();
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(const Endpoint& listen, Answers answers) {
  auto impl = std::make_unique<Impl>();
  impl->answers = std::move(answers);
  httplib::Server& http = impl->http;
  const Answers& ask = impl->answers;
  http.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  http.set_payload_max_length(kLargestRequest);
  http.set_read_timeout(kPatienceSeconds);
  http.set_write_timeout(kPatienceSeconds);
  http.set_keep_alive_max_count(1);
  // Not the library's default, which lets a second server listen at the same port.
  http.set_socket_options([](socket_t socket) {
    const int on = 1;
    (void)::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
  http.Get("/metrics", [&ask](const httplib::Request&, httplib::Response& response) {
    response.set_content(ask.metrics(), "text/plain; version=0.0.4; charset=utf-8");
  });
  http.Get("/healthz", [&ask](const httplib::Request&, httplib::Response& response) {
    answer(ask.health(), response);
  });
  http.Get("/readyz", [&ask](const httplib::Request&, httplib::Response& response) {
    answer(ask.readiness(), response);
  });
  int port = listen.port();
  if (port == 0) {
    port = http.bind_to_any_port(host_of(listen).c_str());
  } else if (!http.bind_to_port(host_of(listen).c_str(), port)) {
    port = -1;
  }
  if (port <= 0) {
    return Error::unavailable(
        "http.listen: {} cannot be listened at: the address is not of this machine, or the port is "
        "in use",
        listen);
  }
  impl->endpoint = listen.with_port(static_cast<std::uint16_t>(port));
  impl->thread = std::thread([raw = impl.get()] {
    if (!raw->http.listen_after_bind()) ASHLAR_LOG_ERROR("http: the server has ended by itself");
  });
  // stop() would be lost on a thread that has not come so far yet.
  for (int wait = 0; !http.is_running(); ++wait) {
    if (wait == kStartPatienceMilliseconds) {
      impl->thread.join();
      return Error::unavailable("http.listen: the server at {} has ended at once", listen);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

Endpoint HttpServer::endpoint() const {
  return impl_->endpoint;
}

void HttpServer::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->http.stop();
  impl_->thread.join();
}

}  // namespace ashlar::server
