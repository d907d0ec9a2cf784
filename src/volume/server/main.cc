// ashlar-volume: the volume server. docs/operations.md is its manual.
//
// Exit codes: 0 stopped by a signal, 1 it failed (the log says why), 2 wrong configuration.
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <future>
#include <string>
#include <thread>

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/config/config_load.h"
#include "common/log/log.h"
#include "volume/server/admin_server.h"
#include "volume/server/data_directory.h"
#include "volume/server/http_server.h"
#include "volume/server/volume_server.h"

namespace ashlar::server {
namespace {

// Of the time to stop: what sessions and admin calls get of it; the rest is for the stores.
constexpr int kSessionShare = 2;
constexpr int kAdminShare = 10;
constexpr Duration kHealthPatience = 2s;

[[noreturn]] void leave(int status) {
  flush_logs();
  ::_exit(status);
}

// Waits on a thread of its own for SIGTERM or SIGINT. Until the server has started nobody needs to
// be asked to log out, and the stores are recovered again next time: the process ends at once.
class StopSignal {
 public:
  // Before any other thread starts, for they inherit what is blocked.
  StopSignal() {
    (void)::sigemptyset(&signals_);
    (void)::sigaddset(&signals_, SIGTERM);
    (void)::sigaddset(&signals_, SIGINT);
    ASHLAR_CHECK(::pthread_sigmask(SIG_BLOCK, &signals_, nullptr) == 0);
    std::thread(&StopSignal::watch, this).detach();
  }

  // From now on the end is orderly.
  void wait() {
    std::future<int> arrived = arrived_.get_future();
    is_awaited_ = true;
    if (has_arrived_) leave(EXIT_SUCCESS);
    ASHLAR_LOG_INFO("stopping on signal {}", arrived.get());
  }

 private:
  void watch() {
    int signal = 0;
    while (::sigwait(&signals_, &signal) != 0) {
    }
    has_arrived_ = true;
    if (!is_awaited_) {
      ASHLAR_LOG_INFO("signal {} before the start was over: ending at once", signal);
      leave(EXIT_SUCCESS);
    }
    arrived_.set_value(signal);
  }

  sigset_t signals_{};
  std::atomic<bool> is_awaited_ = false;
  std::atomic<bool> has_arrived_ = false;
  std::promise<int> arrived_;
};

// Ends the process when an orderly stop takes too long. That loses nothing: what was acknowledged
// is in the logs.
void end_after(Duration limit) {
  std::thread([limit] {
    std::this_thread::sleep_for(limit);
    ASHLAR_LOG_WARN("not stopped after {}: ending; the rest is recovered at the next start",
                    format_duration(limit));
    leave(EXIT_SUCCESS);
  }).detach();
}

// Connections and layers are files; the usual soft limit of 1024 is for programs that use select().
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

int fail(const Error& error) {
  ASHLAR_LOG_ERROR("{}", error.message());
  flush_logs();
  return EXIT_FAILURE;
}

HttpServer::Answers answers(VolumeServer& server, MetricRegistry& registry) {
  return {.metrics =
              [&] {
                server.refresh_gauges();
                return registry.expose_text();
              },
          .health = [&]() -> Result<> {
            // While it recovers the stores it is busy, not ill.
            if (!server.is_ready()) return {};
            return server.check_responsive(kHealthPatience);
          },
          .readiness = [&] { return server.check_ready(); }};
}

int serve(const ServerConfig& config, const std::string& version) {
  StopSignal stop_signal;
  // A write to a peer that has gone is an error, not the end.
  (void)std::signal(SIGPIPE, SIG_IGN);
  raise_file_limit();
  const Result<DataDirectory> data = DataDirectory::open(config.data_dir);
  if (!data.ok()) return fail(data.error());
  ASHLAR_LOG_INFO("ashlar-volume {}, server {}", version, data->server());

  MetricRegistry registry;
  registry.expose_process({.version = version, .revision = ""});
  VolumeServer server(config, data->server(), registry);
  Result<std::unique_ptr<HttpServer>> http =
      HttpServer::start(config.http_listen, answers(server, registry));
  if (!http.ok()) return fail(http.error());
  if (const Result<> started = server.start(); !started.ok()) return fail(started.error());
  Result<std::unique_ptr<AdminServer>> admin =
      AdminServer::start(config.admin_listen, server, data->server(), version);
  if (!admin.ok()) {
    (void)server.stop(0s);
    return fail(admin.error());
  }
  for (const iscsi::Portal& portal : server.portals()) {
    ASHLAR_LOG_INFO("iscsi: listening on {}, initiators are told {}", portal.listen,
                    portal.advertised);
  }
  ASHLAR_LOG_INFO("admin: listening on {}", (*admin)->endpoint());
  ASHLAR_LOG_INFO("http: listening on {}", (*http)->endpoint());
  ASHLAR_LOG_INFO("ready");

  stop_signal.wait();
  end_after(config.stop_timeout - config.stop_timeout / kAdminShare);
  server.refuse();
  (*admin)->stop(config.stop_timeout / kAdminShare);
  const Result<> stopped = server.stop(config.stop_timeout / kSessionShare);
  (*http)->stop();
  if (!stopped.ok()) return fail(stopped.error());
  ASHLAR_LOG_INFO("stopped");
  flush_logs();
  return EXIT_SUCCESS;
}

int run(int argc, char** argv) {
  ServerConfig config;
  ConfigSchema schema("ashlar-volume", "Serves volumes over iSCSI");
  describe(schema, config);
  const ConfigOutcome outcome = load_config(schema, argc, argv);
  if (const auto exit_code = finish(outcome)) return *exit_code;
  if (const Result<> logging = configure_logging(config.log); !logging.ok()) {
    return fail(logging.error());
  }
  return serve(config, schema.version());
}

}  // namespace
}  // namespace ashlar::server

int main(int argc, char** argv) {
  return ashlar::server::run(argc, argv);
}
