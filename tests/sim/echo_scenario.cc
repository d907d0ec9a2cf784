// Scenario "echo": one machine echoes, two ask, over a network that delays, cuts and loses
// connections while machines are killed, paused and lose power. What comes back is what was sent,
// in order; and when the network is whole again, everybody gets an answer.
#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "common/runtime/sim/sim_network.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"
#include "common/runtime/timeout.h"
#include "tests/sim/scenario.h"

namespace ashlar::sim {
namespace {

constexpr std::uint16_t kPort = 7;
constexpr std::uint32_t kClients = 2;
constexpr int kFaults = 20;
constexpr std::size_t kLongestMessage = 20'000;

struct EchoOracle {
  std::uint64_t answered = 0;
  std::array<std::uint64_t, kClients> answers{};
  std::string failure;
};

Task<void> echo(std::unique_ptr<Connection> connection) {
  std::vector<std::byte> bytes(8192);
  while (true) {
    const Result<std::size_t> received = co_await connection->receive(bytes);
    if (!received.ok() || *received == 0) co_return;
    const Result<> sent = co_await connection->send(ByteSpan(bytes).first(*received));
    if (!sent.ok()) co_return;
  }
}

Task<void> serve(Runtime runtime) {
  const Endpoint here = Endpoint::parse(fmt::format("0.0.0.0:{}", kPort)).value();
  auto listener = runtime.network.listen(here);
  if (!listener.ok()) co_return;
  TaskScope connections(co_await this_task());
  while (true) {
    auto connection = co_await (*listener)->accept();
    if (!connection.ok()) break;
    connections.spawn(echo(std::move(*connection)));
  }
  (void)co_await connections.join();
}

// Sends messages on one connection until something goes wrong.
Task<Result<>> converse(Runtime& runtime, std::uint32_t client, EchoOracle* oracle, Endpoint to) {
  auto connection = co_await runtime.network.connect(to);
  if (!connection.ok()) co_return connection.error();
  std::vector<std::byte> question(kLongestMessage);
  std::vector<std::byte> answer(kLongestMessage);
  while (true) {
    const std::size_t length = 1 + runtime.random.below(kLongestMessage);
    runtime.random.fill(std::span(question).first(length));
    ASHLAR_CO_TRY(co_await (*connection)->send(ByteSpan(question).first(length)));
    for (std::size_t have = 0; have < length;) {
      const Result<std::size_t> got =
          co_await (*connection)->receive(std::span(answer).subspan(have, length - have));
      if (!got.ok()) co_return got.error();
      if (*got == 0) co_return Error::unavailable("closed");
      have += *got;
    }
    if (!std::equal(question.begin(), question.begin() + static_cast<std::ptrdiff_t>(length),
                    answer.begin())) {
      oracle->failure = fmt::format("client {} got other bytes back than it sent", client);
      co_return Error::data_loss("echo");
    }
    ++oracle->answered;
    ++oracle->answers[client];
    ASHLAR_CO_TRY(co_await sleep_for(runtime.clock, 1ms));
  }
}

Task<void> ask(Runtime runtime, std::uint32_t client, EchoOracle* oracle, Endpoint to) {
  while (oracle->failure.empty()) {
    (void)co_await with_timeout(runtime.clock, 2s, converse(runtime, client, oracle, to));
    if (!(co_await sleep_for(runtime.clock, 5ms)).ok()) co_return;
  }
}

void inject(SimWorld& world, Random& random, const SimKnobs& knobs) {
  SimNode& node = world.node(1 + static_cast<std::uint32_t>(random.below(world.node_count())));
  const std::uint32_t peer = node.number() == 1 ? 2 : 1;
  switch (random.below(6)) {
    case 0:
      world.fabric().cut(node.number(), peer);
      break;
    case 1:
      world.fabric().isolate(node.number());
      break;
    case 2:
      world.fabric().heal_all();
      break;
    case 3:
      node.pause(random.between(Duration(0), knobs.node.longest_pause));
      break;
    case 4:
      world.fabric().lose_connections(node.number(), peer);
      break;
    default:
      if (knobs.node.mean_time_to_crash == Duration(0)) break;
      node.crash(random.chance(knobs.node.kill_percent, 100) ? CrashKind::kKill
                                                             : CrashKind::kPowerFail);
      world.run_for(random.between(Duration(0), Duration(300ms)));
      node.restart();
  }
}

}  // namespace

Verdict run_echo_scenario(std::uint64_t seed, std::string_view) {
  SimWorld world(seed);
  world.set_event_limit(5'000'000);
  Random random = world.split("scenario");
  Random swarm = world.split("knobs");
  const SimKnobs knobs = SimKnobs::draw(swarm);
  world.fabric().faults = knobs.network;
  world.fabric().timing = knobs.network_timing;

  EchoOracle oracle;
  SimNode& server = world.add_node();
  server.start([](Runtime runtime) { return serve(runtime); });
  for (std::uint32_t client = 0; client < kClients; ++client) {
    SimNode& node = world.add_node();
    node.set_drift(knobs.node.drift_ppm);
    node.start([&oracle, client, to = server.endpoint(kPort)](Runtime runtime) {
      return ask(runtime, client, &oracle, to);
    });
  }
  Verdict verdict;
  for (int fault = 0; fault < kFaults && oracle.failure.empty(); ++fault) {
    world.run_for(random.between(Duration(0), Duration(200ms)));
    inject(world, random, knobs);
    ++verdict.crashes;
  }
  world.fabric().faults = NetworkFaults{};
  world.fabric().heal_all();
  const std::array<std::uint64_t, kClients> before = oracle.answers;
  const auto everybody_answered = [&] {
    if (!oracle.failure.empty()) return true;
    for (std::uint32_t client = 0; client < kClients; ++client) {
      if (oracle.answers[client] < before[client] + 3) return false;
    }
    return true;
  };
  if (!world.run_until(everybody_answered, 120s)) {
    oracle.failure = "a client gets no answers over a healthy network";
  }
  verdict.seed = seed;
  verdict.passed = oracle.failure.empty();
  verdict.failure = oracle.failure;
  verdict.events = world.events();
  verdict.virtual_seconds = static_cast<double>(world.now().nanoseconds()) / 1e9;
  verdict.trace_hash = world.trace_hash();
  verdict.acknowledged = oracle.answered;
  if (!verdict.passed) verdict.last_events = world.recent_events();
  return verdict;
}

}  // namespace ashlar::sim
