#include "volume/server/server_reactor.h"

#include <future>
#include <utility>

#include <pthread.h>

#include "common/log/log.h"
#include "volume/server/afterlife.h"

namespace ashlar::server {
namespace {

iscsi::TargetServerOptions target_options(const ServerConfig& config,
                                          std::vector<iscsi::Portal> portals) {
  return {.portals = std::move(portals),
          .connections_max = config.connections_max,
          .login_timeout = config.login_timeout,
          .idle_ping = config.idle_ping,
          .ping_timeout = config.ping_timeout,
          .command_window = config.command_window,
          .session_memory = config.session_memory};
}

// As the sessions that come through a portal say (its group tag is both).
std::vector<scsi::TargetPort> ports_of(const std::vector<iscsi::Portal>& portals) {
  std::vector<scsi::TargetPort> ports;
  for (const iscsi::Portal& portal : portals) ports.push_back({portal.group_tag, portal.group_tag});
  return ports;
}

engine::StoreOptions store_options(const ServerConfig& config, const ServerUuid& server,
                                   std::string directory) {
  engine::StoreOptions options;
  options.directory = std::move(directory);
  options.server = server;
  options.take_over = config.take_over;
  options.log_capacity = ByteCount(config.log_size.value() / (1 << 20) * (1 << 20));
  options.payload_memory = config.payload_memory;
  options.map_memory = config.map_memory;
  options.space_reserve = config.space_reserve;
  return options;
}

Task<Result<std::unique_ptr<Listener>>> bind(Network& network, Endpoint at) {
  co_return network.listen(at);
}

}  // namespace

ServerReactor::Local::Local(ServerReactor& self, const Plan& plan)
    : pool(fmt::format("reactor {}", self.index_), plan.config.buffer_memory),
      directory(plan.map, self.index_),
      targets(self.reactor_->runtime(), pool, target_options(plan.config, plan.portals), directory,
              &plan.registry),
      context{.runtime = self.reactor_->runtime(),
              .pool = pool,
              .targets = targets,
              .map = plan.map,
              .reactor = self.index_,
              .iqn_prefix = plan.config.iqn_prefix,
              .ports = ports_of(plan.portals)},
      accepting(*self.reactor_) {}

Result<std::unique_ptr<ServerReactor>> ServerReactor::start(std::uint32_t index) {
  std::unique_ptr<ServerReactor> made(new ServerReactor(index));
  std::promise<Result<>> started;
  std::future<Result<>> outcome = started.get_future();
  made->thread_ = std::thread(&ServerReactor::run, made.get(), std::move(started));
  ASHLAR_TRY(outcome.get());
  return made;
}

ServerReactor::~ServerReactor() {
  join();
}

void ServerReactor::run(std::promise<Result<>> started) {
  (void)::pthread_setname_np(::pthread_self(), fmt::format("reactor-{}", index_).c_str());
  Result<std::unique_ptr<uring::Reactor>> reactor = uring::Reactor::create({});
  if (!reactor.ok()) {
    started.set_value(reactor.error());
    return;
  }
  reactor_ = reactor->get();
  started.set_value({});
  (*reactor)->run(wait_for_end());
  bound_.clear();
  ASHLAR_CHECK(!local_, "a reactor ends with its stores open");
}

Task<void> ServerReactor::wait_for_end() {
  const Result<> ended = co_await end_.wait();
  ASHLAR_CHECK(ended.ok());
}

bool ServerReactor::is_responsive(Duration patience) {
  const auto answer = std::make_shared<std::promise<void>>();
  std::future<void> answered = answer->get_future();
  reactor_->post([answer] { answer->set_value(); });
  return answered.wait_for(patience) == std::future_status::ready;
}

void ServerReactor::join() {
  if (!thread_.joinable()) return;
  if (reactor_ != nullptr) {
    reactor_->post([this] { end_.set(); });
  }
  thread_.join();
}

// --- on the reactor's thread ---------------------------------------------------------------------

Task<Result<std::vector<iscsi::Portal>>> ServerReactor::listen(const ServerConfig& config) {
  std::vector<iscsi::Portal> portals;
  for (std::size_t i = 0; i < config.iscsi_listen.size(); ++i) {
    const std::function<Task<Result<std::unique_ptr<Listener>>>()> attempt = [&] {
      return bind(reactor_->runtime().network, config.iscsi_listen[i]);
    };
    Result<std::unique_ptr<Listener>> listener =
        co_await outlast(*reactor_, ErrorCode::kAlreadyExists, attempt);
    if (!listener.ok()) co_return listener.error().with_context("iscsi.listen");
    const Endpoint at = (*listener)->endpoint();
    // A portal group each: the connections of a session all come through one portal.
    portals.push_back({.listen = at,
                       .advertised = advertised(config, i, at),
                       .group_tag = static_cast<std::uint16_t>(i + 1)});
    bound_.push_back({std::move(*listener), portals.back()});
  }
  co_return portals;
}

Task<Result<>> ServerReactor::open(Plan plan) {
  map_ = &plan.map;
  local_.emplace(*this, plan);
  map_->attach(index_, {.reactor = reactor_, .targets = &local_->targets});
  for (const std::string& directory : plan.stores) {
    ASHLAR_CO_TRY_ASSIGN(
        std::unique_ptr<HostedStore> store,
        co_await HostedStore::open(
            local_->context, store_options(plan.config, plan.server, directory), &plan.registry));
    stores_.push_back(std::move(store));
  }
  co_return Result<>();
}

Task<Result<>> ServerReactor::serve_volumes() {
  for (const std::unique_ptr<HostedStore>& store : stores_) {
    for (const VolumeInfo& info : store->volumes()) {
      const Result<> served = store->find(info.uuid)->serve();
      if (served.ok()) continue;
      ASHLAR_CO_TRY(co_await store->set_aside(info.uuid, served.error().message()));
    }
  }
  co_return Result<>();
}

Task<Result<>> ServerReactor::accept() {
  for (BoundPortal& bound : bound_) {
    local_->accepting.spawn(serve_portal(std::move(bound.listener), bound.portal));
  }
  bound_.clear();
  co_return Result<>();
}

Task<void> ServerReactor::serve_portal(std::unique_ptr<Listener> listener, iscsi::Portal portal) {
  const Result<> ended = co_await local_->targets.serve_portal(std::move(listener), portal);
  if (ended.ok() || is_stopping_) co_return;
  ASHLAR_LOG_ERROR("portal {} accepts no more: {}", portal.listen, ended.error().message());
  lost_portal_ = true;
}

Task<Result<>> ServerReactor::stop_targets(Duration grace) {
  is_stopping_ = true;
  bound_.clear();
  if (!local_) co_return Result<>();
  map_->detach(index_);
  const Result<> stopped = co_await local_->targets.stop(grace);
  local_->accepting.cancel();
  ASHLAR_CO_TRY(co_await local_->accepting.join());
  co_return stopped;
}

Task<Result<>> ServerReactor::close() {
  Result<> outcome;
  for (const std::unique_ptr<HostedStore>& store : stores_) {
    if (const Result<> closed = co_await store->close(); !closed.ok()) {
      outcome = closed.error().with_context("closing " + store->directory());
      ASHLAR_LOG_ERROR("{}", outcome.error().message());
    }
  }
  stores_.clear();
  local_.reset();
  co_return outcome;
}

HostedStore* ServerReactor::find_store(const StoreUuid& uuid) {
  for (const std::unique_ptr<HostedStore>& store : stores_) {
    if (store->uuid() == uuid) return store.get();
  }
  return nullptr;
}

std::vector<iscsi::SessionInfo> ServerReactor::sessions() const {
  return local_ ? local_->targets.sessions() : std::vector<iscsi::SessionInfo>();
}

Task<Result<ReactorInfo>> ServerReactor::status() {
  ReactorInfo info;
  info.index = index_;
  info.sessions = sessions();
  for (const std::unique_ptr<HostedStore>& store : stores_) {
    ASHLAR_CO_TRY_ASSIGN(StoreInfo one, co_await store->status());
    info.targets += one.volumes;
    info.stores.push_back(std::move(one));
  }
  co_return info;
}

}  // namespace ashlar::server
