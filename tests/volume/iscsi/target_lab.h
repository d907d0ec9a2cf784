// A target server with one target on a TestDevice, and initiators that log in to it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/log/log.h"
#include "common/runtime/task_scope.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"
#include "tests/volume/iscsi/test_device.h"
#include "tests/volume/iscsi/test_initiator.h"
#include "volume/iscsi/target_server.h"

namespace ashlar::iscsi {

class TestDirectory final : public TargetDirectory {
 public:
  std::vector<Entry> entries{{TestInitiator::kTargetName, {}}};
  std::vector<Entry> targets() const override { return entries; }
  bool route(std::string_view iqn, HandedConnection& connection) override {
    if (to == nullptr || iqn != routed) return false;
    to->take_over(std::move(connection));
    return true;
  }
  std::string routed;
  TargetServer* to = nullptr;
};

class TargetLab {
 public:
  TargetLab(Runtime runtime_, Endpoint address, TaskContext here, TargetServerOptions options = {})
      : runtime(runtime_), pool("test", ByteCount(256 << 20)), scope(here) {
    auto listener = runtime.network.listen(address).value();
    endpoint = listener->endpoint();
    const Portal portal{endpoint, endpoint, 1};
    options.portals = {portal};
    device = std::make_unique<TestDevice>(runtime, pool);
    device->go.set();
    server = std::make_unique<TargetServer>(runtime, pool, options, directory, &metrics);
    ASHLAR_CHECK(server->add_target({TestInitiator::kTargetName, device.get(), {}}).ok());
    scope.spawn(server->serve_portal(std::move(listener), portal));
  }

  Task<Result<TestInitiator>> connect() {
    ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<Connection> connection,
                         co_await runtime.network.connect(endpoint));
    co_return TestInitiator(std::move(connection));
  }
  Task<Result<TestInitiator>> log_in(std::string keys = "") {
    ASHLAR_CO_TRY_ASSIGN(TestInitiator initiator, co_await connect());
    ASHLAR_CO_TRY(co_await initiator.log_in(std::move(keys)));
    co_return initiator;
  }
  Task<void> close() {
    CO_ASSERT_OK(co_await server->stop(100ms));
    CO_ASSERT_OK(co_await scope.join());
  }
  // The value of a series in the exposed text; -1 when it is not there.
  double metric(const std::string& series) const {
    const std::string text = "\n" + metrics.expose_text();
    const std::size_t at = text.find("\n" + series + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size() + 2));
  }

  Runtime runtime;
  BufferPool pool;
  MetricRegistry metrics;
  TestDirectory directory;
  Endpoint endpoint;
  std::unique_ptr<TestDevice> device;
  std::unique_ptr<TargetServer> server;
  TaskScope scope;
};

class TargetTest : public test::RuntimeTest {
 protected:
  // A line for every login and logout is more than a reader wants.
  void SetUp() override {
    set_log_level(LogLevel::kError);
    RuntimeTest::SetUp();
  }
  // `body(TargetLab&, arguments…)`.
  template <class Body, class... Args>
  void serve(Body body, Args... args) {
    serve_with({}, body, args...);
  }
  template <class Body, class... Args>
  void serve_with(TargetServerOptions options, Body body, Args... args) {
    run(
        [](Runtime runtime, Endpoint address, TargetServerOptions own, Body inner,
           Args... rest) -> Task<void> {
          const TaskContext here = co_await this_task();
          TargetLab lab(runtime, address, here, own);
          co_await inner(lab, rest...);
          co_await lab.close();
        },
        address(), options, body, args...);
  }
};

inline std::vector<std::byte> pattern(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> bytes(size);
  Random(seed).fill(bytes);
  return bytes;
}

}  // namespace ashlar::iscsi
