#include "common/runtime/sim/sim_network.h"

#include <cerrno>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "common/runtime/sim/sim_node.h"

namespace ashlar::sim {
namespace {

constexpr std::size_t kBacklog = 128;
constexpr std::uint16_t kFirstFreePort = 32768;
constexpr std::uint16_t kLastFreePort = 60999;

}  // namespace

class SimListener final : public Listener, private OperationBackend {
 public:
  SimListener(SimFabric& fabric, const Endpoint& at, const Endpoint& canonical)
      : fabric_(fabric), at_(at), canonical_(canonical) {
    fabric_.listeners_[canonical_] = this;
  }
  ~SimListener() override {
    ASHLAR_CHECK(accepting_ == nullptr, "a listener was closed with an accept in flight");
    fabric_.listeners_.erase(canonical_);
  }

  Endpoint endpoint() const override { return at_; }

  bool is_full() const { return backlog_.size() >= kBacklog; }
  void offer(std::unique_ptr<Connection> connection) {
    backlog_.push_back(std::move(connection));
    hand_over();
  }

 protected:
  void submit(AcceptAwaiter& operation) override {
    ASHLAR_CHECK(accepting_ == nullptr, "two accepts at once on one listener");
    operation.begin(*this);
    accepting_ = &operation;
    hand_over();
  }

 private:
  void hand_over() {
    if (accepting_ == nullptr || backlog_.empty()) return;
    AcceptAwaiter& operation = *std::exchange(accepting_, nullptr);
    operation.set_accepted(std::move(backlog_.front()));
    backlog_.pop_front();
    operation.succeed(0);
    operation.finish();
  }
  void cancel(Operation&) override {
    AcceptAwaiter& operation = *std::exchange(accepting_, nullptr);
    operation.fail(Error::cancelled("the accept was cancelled while it waited"));
    operation.finish();
  }
  void forget(Operation&) override { accepting_ = nullptr; }

  SimFabric& fabric_;
  const Endpoint at_;
  const Endpoint canonical_;
  std::deque<std::unique_ptr<Connection>> backlog_;
  AcceptAwaiter* accepting_ = nullptr;
};

namespace {

class ConnectOperation final : public Operation {
 public:
  explicit ConnectOperation(SimFabric& fabric, std::uint32_t node, const Endpoint& to)
      : fabric_(fabric), node_(node), to_(to) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller);
  Result<std::unique_ptr<Connection>> await_resume() { return std::move(*outcome_); }

  void set_outcome(Result<std::unique_ptr<Connection>> outcome) {
    outcome_.emplace(std::move(outcome));
  }

 private:
  SimFabric& fabric_;
  const std::uint32_t node_;
  const Endpoint to_;
  std::optional<Result<std::unique_ptr<Connection>>> outcome_;
};

}  // namespace

// A connect on its way: there, and back with an answer. The world owns it, so it goes on when its
// process is gone; the connection it made is then closed.
class SimHandshake final : public SimEvent, public OperationBackend {
 public:
  SimHandshake(SimFabric& fabric, std::uint32_t node, const Endpoint& to, ConnectOperation& waiting)
      : SimEvent(EventKind::kConnect, node),
        fabric_(fabric),
        node_(node),
        to_(fabric.canonical(to, node)),
        target_(fabric.machine(to, node)),
        waiting_(&waiting) {}

  static void start(SimFabric& fabric, std::uint32_t node, const Endpoint& to,
                    ConnectOperation& operation) {
    auto handshake = std::make_unique<SimHandshake>(fabric, node, to, operation);
    operation.begin(*handshake);
    const MonoTime arrival = fabric.world_.now() + handshake->one_way();
    fabric.world_.own(std::move(handshake), arrival, to.port());
  }

  void fire() override {
    if (answer_) {
      come_back();
    } else {
      arrive();
    }
  }

  void cancel(Operation&) override {
    ConnectOperation& operation = *std::exchange(waiting_, nullptr);
    operation.set_outcome(Error::cancelled("the connect was cancelled while it waited"));
    operation.finish();
  }
  void forget(Operation&) override { waiting_ = nullptr; }

 private:
  Duration one_way() {
    return fabric_.timing.delay_base + fabric_.random_.exponential(fabric_.timing.delay_tail);
  }

  void arrive() {
    if (waiting_ == nullptr) return;
    if (target_ == 0) {
      reply(Error::from_errno(EHOSTUNREACH, fmt::format("connect to {}", to_)));
      return;
    }
    if (!fabric_.can_reach(node_, target_)) {
      try_again();
      return;
    }
    const auto listening = fabric_.listeners_.find(to_);
    if (listening == fabric_.listeners_.end()) {
      reply(Error::from_errno(ECONNREFUSED, fmt::format("connect to {}", to_)));
      return;
    }
    SimListener& listener = *listening->second;
    if (listener.is_full()) {
      try_again();
      return;
    }
    const auto own = static_cast<std::uint8_t>(node_);
    auto link = fabric_.make_link({node_, Endpoint::ipv4(10, 0, 0, own, fabric_.free_port(node_))},
                                  {target_, to_});
    listener.offer(std::make_unique<SimConnection>(link, SimLink::kServer));
    reply(std::make_unique<SimConnection>(std::move(link), SimLink::kClient));
  }

  void come_back() {
    if (target_ != 0 && !fabric_.can_reach(target_, node_)) {
      try_again();
      return;
    }
    Result<std::unique_ptr<Connection>> answer = std::move(*answer_);
    if (waiting_ == nullptr) {
      // Too late: the peer gets the connection reset, as nobody here knows of it.
      if (answer.ok()) (*answer)->abort();
      return;
    }
    ConnectOperation& operation = *std::exchange(waiting_, nullptr);
    operation.set_outcome(std::move(answer));
    operation.finish();
  }

  void reply(Result<std::unique_ptr<Connection>> answer) {
    answer_.emplace(std::move(answer));
    fabric_.world_.arm(*this, fabric_.world_.now() + one_way(), to_.port());
  }

  void try_again() {
    fabric_.world_.arm(*this, fabric_.world_.now() + fabric_.timing.retransmit, to_.port());
  }

  SimFabric& fabric_;
  const std::uint32_t node_;
  const Endpoint to_;
  const std::uint32_t target_;
  ConnectOperation* waiting_;
  std::optional<Result<std::unique_ptr<Connection>>> answer_;
};

template <class Promise>
bool ConnectOperation::await_suspend(std::coroutine_handle<Promise> caller) {
  attach(caller.promise());
  if (CancelScope* scope = cancel_scope(); scope != nullptr) {
    if (scope->is_cancelled()) {
      set_outcome(Error::cancelled("the connect was cancelled before it began"));
      return false;
    }
    scope->add(*this);
  }
  SimHandshake::start(fabric_, node_, to_, *this);
  return true;
}

SimFabric::SimFabric(SimWorld& world) : world_(world), random_(world.split("network")) {}
SimFabric::~SimFabric() = default;

bool SimFabric::can_reach(std::uint32_t from, std::uint32_t to) const {
  return (from == to || !is_cut(from, to)) && world_.node(to).has_power();
}

void SimFabric::cut(std::uint32_t from, std::uint32_t to) {
  cuts_.insert({from, to});
  world_.note_fault(from, 300 + to);
}

void SimFabric::cut_both(std::uint32_t a, std::uint32_t b) {
  cut(a, b);
  cut(b, a);
}

void SimFabric::isolate(std::uint32_t node) {
  for (std::uint32_t other = 1; other <= world_.node_count(); ++other) {
    if (other != node) cut_both(node, other);
  }
}

void SimFabric::heal(std::uint32_t from, std::uint32_t to) {
  cuts_.erase({from, to});
  world_.note_fault(from, 600 + to);
  try_again();
}

void SimFabric::heal_all() {
  cuts_.clear();
  world_.note_fault(0, 600);
  try_again();
}

void SimFabric::try_again() {
  for (const auto& link : links_) link->try_again();
}

void SimFabric::lose_connections(std::uint32_t a, std::uint32_t b) {
  for (const auto& link : links_) {
    const std::uint32_t client = link->end(SimLink::kClient).node;
    const std::uint32_t server = link->end(SimLink::kServer).node;
    if ((client == a && server == b) || (client == b && server == a)) link->lose();
  }
}

std::size_t SimFabric::connections() const {
  std::size_t count = 0;
  for (const auto& link : links_) count += link->is_over() ? 0u : 1u;
  return count;
}

void SimFabric::process_died(SimNode& node) {
  for (const auto& link : links_) link->process_died(node.number());
}

void SimFabric::power_failed(SimNode& node) {
  for (const auto& link : links_) link->power_failed(node.number());
}

void SimFabric::power_is_back(SimNode&) {
  try_again();
}

std::shared_ptr<SimLink> SimFabric::make_link(const SimLink::End& client,
                                              const SimLink::End& server) {
  std::erase_if(links_, [](const auto& link) { return link->is_over(); });
  links_.push_back(std::make_shared<SimLink>(*this, next_link_++, client, server));
  return links_.back();
}

std::uint32_t SimFabric::machine(const Endpoint& address, std::uint32_t from) const {
  const Endpoint::Address& bytes = address.address();
  if (address.is_wildcard()) return from;
  if (address.family() != Endpoint::Family::kIpv4) return 0;
  if (bytes[0] == 127) return from;
  const bool ours = bytes[0] == 10 && bytes[1] == 0 && bytes[2] == 0 && bytes[3] >= 1 &&
                    bytes[3] <= world_.node_count();
  return ours ? bytes[3] : 0;
}

Endpoint SimFabric::canonical(const Endpoint& address, std::uint32_t from) const {
  const std::uint32_t number = machine(address, from);
  if (number == 0) return address;
  return Endpoint::ipv4(10, 0, 0, static_cast<std::uint8_t>(number), address.port());
}

std::uint16_t SimFabric::free_port(std::uint32_t node) {
  std::uint16_t& next = next_port_.try_emplace(node, kFirstFreePort).first->second;
  while (true) {
    const std::uint16_t port = next;
    next = port == kLastFreePort ? kFirstFreePort : static_cast<std::uint16_t>(port + 1);
    const auto own = static_cast<std::uint8_t>(node);
    if (!listeners_.contains(Endpoint::ipv4(10, 0, 0, own, port))) return port;
  }
}

Task<Result<std::unique_ptr<Connection>>> SimNetwork::connect(Endpoint to) {
  ConnectOperation operation(fabric_, node_.number(), to);
  co_return co_await operation;
}

Result<std::unique_ptr<Listener>> SimNetwork::listen(const Endpoint& at) {
  if (fabric_.machine(at, node_.number()) != node_.number()) {
    return Error::from_errno(EADDRNOTAVAIL, fmt::format("listen at {}", at));
  }
  const Endpoint wanted = at.port() == 0 ? at.with_port(fabric_.free_port(node_.number())) : at;
  const Endpoint canonical = fabric_.canonical(wanted, node_.number());
  if (fabric_.listeners_.contains(canonical)) {
    return Error::from_errno(EADDRINUSE, fmt::format("listen at {}", at));
  }
  return std::make_unique<SimListener>(fabric_, wanted, canonical);
}

std::unique_ptr<Connection> SimNetwork::adopt(std::unique_ptr<DetachedConnection> connection) {
  auto& detached = static_cast<SimDetachedConnection&>(*connection);
  ASHLAR_CHECK_EQ(detached.link()->end(detached.side()).node, node_.number());
  return std::make_unique<SimConnection>(detached.take(), detached.side());
}

}  // namespace ashlar::sim
