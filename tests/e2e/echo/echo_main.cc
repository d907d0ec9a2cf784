// ashlar_echo: the worked example as a real process, put together the way our daemons are: a schema
// fills the configuration, the log is set up, a reactor is made, signals end it.
//
//   ashlar_echo serve --listen 127.0.0.1:7000
//   ashlar_echo load --server 127.0.0.1:7000 --count 100000 --depth 32
//
// Exit codes: 0 done, 1 it failed (the log says why), 2 wrong usage.
#include <csignal>
#include <cstdio>
#include <memory>
#include <string_view>

#include "common/config/config_load.h"
#include "common/log/log.h"
#include "common/runtime/example/echo.h"
#include "common/runtime/uring/reactor.h"
#include "common/runtime/uring/signals.h"

namespace ashlar {
namespace {

struct EchoConfig {
  Endpoint listen = Endpoint::ipv4(127, 0, 0, 1, 7000);
  Endpoint server = Endpoint::ipv4(127, 0, 0, 1, 7000);
  std::uint64_t connections = 1024;
  std::uint64_t count = 100'000;
  ByteCount payload{4096};
  std::uint64_t depth = 32;
  LogOptions log;
};

Task<Result<>> cancel_at_signal(uring::SignalWaiter& signals, CancelScope& running) {
  ASHLAR_CO_TRY_ASSIGN(const int signal, co_await signals.wait());
  ASHLAR_LOG_INFO("ending on signal {}", signal);
  running.cancel();
  co_return {};
}

Task<Result<>> serve(Runtime runtime, uring::SignalWaiter& signals, const EchoConfig& config) {
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<Listener> listener,
                       runtime.network.listen(config.listen));
  ASHLAR_LOG_INFO("listening on {}", listener->endpoint());
  TaskScope scope(co_await this_task());
  scope.spawn(cancel_at_signal(signals, scope.cancel_scope()));
  scope.spawn(example::serve_echo(*listener, config.connections));
  co_return co_await scope.join();
}

Task<Result<>> load(Runtime runtime, const EchoConfig& config) {
  const MonoTime start = runtime.clock.now();
  ASHLAR_CO_TRY(co_await example::run_echo_client(
      runtime, config.server, config.count, static_cast<std::uint32_t>(config.payload.value()),
      config.depth));
  const std::chrono::duration<double> elapsed = runtime.clock.now() - start;
  std::printf("%llu messages came back unchanged, %.0f per second\n",
              static_cast<unsigned long long>(config.count),
              static_cast<double>(config.count) / elapsed.count());
  co_return {};
}

void describe(ConfigSchema& schema, EchoConfig& config, bool is_server) {
  if (is_server) {
    schema.add("listen", &config.listen, "Where to listen; port 0 picks a free one");
    schema.add("connections", &config.connections, "Connections served at a time")
        .range(1, 1'000'000);
  } else {
    schema.add("server", &config.server, "The server to send to");
    schema.add("count", &config.count, "Messages to send").range(1, 1'000'000'000'000);
    schema.add("payload", &config.payload, "Bytes of each message besides its header")
        .range(ByteCount(0), ByteCount(example::kEchoPayloadMax));
    schema.add("depth", &config.depth, "Messages under way at a time").range(1, 1024);
  }
  schema.group("Log");
  schema.add_enum("log.format", &config.log.format, kLogFormatNames, "Form of log records");
  schema.add("log.file", &config.log.file, "File to append to; standard error if empty");
}

int fail(const Error& error) {
  ASHLAR_LOG_ERROR("{}", error.message());
  flush_logs();
  return 1;
}

int run(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode != "serve" && mode != "load") {
    std::fprintf(stderr, "usage: ashlar_echo serve|load [flags]; each has --help\n");
    return 2;
  }
  const bool is_server = mode == "serve";
  EchoConfig config;
  ConfigSchema schema(is_server ? "ashlar-echo-serve" : "ashlar-echo-load",
                      is_server ? "Answers every message with itself"
                                : "Sends messages to an echo server and compares the answers");
  describe(schema, config, is_server);
  if (const auto exit_code = finish(load_config(schema, argc - 1, argv + 1))) return *exit_code;
  if (const Result<> logging = configure_logging(config.log); !logging.ok()) {
    return fail(logging.error());
  }

  auto reactor = uring::Reactor::create({});
  if (!reactor.ok()) return fail(reactor.error());
  ASHLAR_LOG_INFO("io_uring with {}", (*reactor)->ring().mode());
  Runtime runtime = (*reactor)->runtime();
  Result<> outcome;
  if (is_server) {
    auto signals = uring::SignalWaiter::create(**reactor, {SIGINT, SIGTERM});
    if (!signals.ok()) return fail(signals.error());
    outcome = (*reactor)->run(serve(runtime, **signals, config));
    if (!outcome.ok() && outcome.error().code() == ErrorCode::kCancelled) outcome = {};
  } else {
    outcome = (*reactor)->run(load(runtime, config));
  }
  if (!outcome.ok()) return fail(outcome.error());
  flush_logs();
  return 0;
}

}  // namespace
}  // namespace ashlar

int main(int argc, char** argv) {
  return ashlar::run(argc, argv);
}
