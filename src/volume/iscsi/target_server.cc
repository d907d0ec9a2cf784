#include "volume/iscsi/target_server.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "common/log/log.h"
#include "common/runtime/task_scope.h"
#include "common/runtime/timeout.h"
#include "volume/iscsi/login.h"
#include "volume/iscsi/names.h"
#include "volume/iscsi/send_targets.h"
#include "volume/iscsi/session.h"

namespace ashlar::iscsi {
namespace {

// What an initiator may send in one PDU of its login.
constexpr std::uint32_t kLoginSegmentMost = 8192;
// Between two attempts to accept when the process has no descriptor left.
constexpr Duration kAcceptPause = 100ms;

struct Target {
  TargetSpec spec;
  bool is_leaving = false;  // no new sessions
};

// Data of login requests goes where it likes.
class Anywhere final : public PayloadPlacer {
 public:
  Place place(const ReceivedPdu&) override { return {}; }
};

// A connection before its session: where it came in, and what was read of it.
struct Arrival {
  std::unique_ptr<Connection> socket;
  std::vector<std::byte> received;
  std::uint16_t group_tag = 1;
  Endpoint portal;
  bool may_move = false;
};

Task<Result<>> send_login_reply(Connection& socket, const LoginStep& step) {
  const std::array<std::byte, 3> padding{};
  LoginResponsePdu reply = step.reply;
  reply.data_segment_length = static_cast<std::uint32_t>(step.text.size());
  const ByteSpan text = bytes_of(step.text);
  const ConstIoSlice slices[] = {ConstIoSlice(header_bytes(reply)), ConstIoSlice(text),
                                 ConstIoSlice(ByteSpan(padding).first(
                                     padding_after(static_cast<std::uint32_t>(step.text.size()))))};
  co_return co_await socket.send(slices);
}

Task<Result<>> wait_for(Event& event) {
  co_return co_await event.wait();
}

Task<Result<ReceivedPdu*>> receive_pdu(Connection& socket, PduReceiver& receiver) {
  Anywhere anywhere;
  while (true) {
    ASHLAR_CO_TRY_ASSIGN(ReceivedPdu * pdu, receiver.next(anywhere));
    if (pdu != nullptr) co_return pdu;
    const Result<std::size_t> count = co_await socket.receive(receiver.plan());
    if (!count.ok()) co_return count.error();
    if (*count == 0) co_return Error::unavailable("the initiator has closed the connection");
    receiver.received(*count);
  }
}

}  // namespace

class TargetServer::Impl final : public SessionHost {
 public:
  Impl(Runtime runtime, BufferPool& pool, TargetServerOptions options, TargetDirectory& directory,
       MetricRegistry* registry)
      : runtime_(runtime),
        pool_(pool),
        options_(std::move(options)),
        directory_(directory),
        metrics_(registry),
        scope_(runtime.executor) {}

  Result<> add_target(TargetSpec spec);
  Task<Result<>> remove_target(std::string iqn);
  Task<Result<>> set_access(std::string iqn, volume::AccessRules access);
  Task<Result<>> serve_portal(std::unique_ptr<Listener> listener, Portal portal);
  void take_over(HandedConnection connection);
  std::vector<SessionInfo> sessions();
  Task<Result<>> stop(Duration grace);

  // SessionHost
  void reset_target(const std::string& iqn) override;
  void send_targets(std::string_view value, const LoginIdentity& identity,
                    TextWriter& reply) override {
    answer_send_targets(value, identity, directory_.targets(), options_.portals, reply);
  }

 private:
  class Policy final : public LoginPolicy {
   public:
    Policy(const Impl& server, std::uint16_t group_tag) : server_(server), group_tag_(group_tag) {}
    LoginVerdict judge(const LoginIdentity& identity) const override;
    const LoginOffer& offer() const override { return server_.offer_; }
    std::uint32_t command_window() const override { return server_.options_.command_window; }

   private:
    const Impl& server_;
    const std::uint16_t group_tag_;
  };

  // A portal that accepts; stop() ends it.
  struct Accepting : ListHook<struct AcceptingTag> {
    explicit Accepting(CancelScope* parent) : scope(parent) {}
    CancelScope scope;
  };

  Task<Result<>> accept_all(Listener& listener, Portal portal);
  Task<void> serve(Arrival arrival);
  Task<Result<>> log_in(Arrival& arrival, PduReceiver& receiver, std::unique_ptr<Session>& session);
  Task<LoginStatus> make_room(LoginIdentity identity, std::uint16_t group_tag,
                              std::uint64_t access_changes);
  std::unique_ptr<Session> make_session(const LoginResult& login, Arrival& arrival,
                                        PduReceiver& receiver);
  bool move_away(Arrival& arrival, const ReceivedPdu& pdu, const PduReceiver& receiver);
  std::uint16_t take_tsih();
  Task<void> end_and_wait(std::vector<Session*> sessions, std::string_view why);
  Session* find_session(const LoginIdentity& identity, std::uint16_t group_tag);
  bool allows(const volume::AccessRules& access, std::string_view initiator) const;

  Runtime runtime_;
  BufferPool& pool_;
  const TargetServerOptions options_;
  TargetDirectory& directory_;
  TargetMetrics metrics_;
  LoginOffer offer_;
  std::map<std::string, Target, std::less<>> targets_;
  IntrusiveList<Session, SessionTag> sessions_;
  std::uint16_t last_tsih_ = 0;
  std::uint32_t connections_ = 0;
  std::uint64_t access_changes_ = 0;
  IntrusiveList<Accepting, AcceptingTag> accepting_;
  bool is_stopping_ = false;
  TaskScope scope_;
};

// --- targets ---

Result<> TargetServer::Impl::add_target(TargetSpec spec) {
  const std::optional<std::string> name = normalise_name(spec.iqn);
  if (!name) return Error::invalid_argument("\"{}\" is no iSCSI name", spec.iqn);
  ASHLAR_CHECK(spec.device != nullptr);
  spec.iqn = *name;
  const bool is_new = targets_.try_emplace(*name, Target{std::move(spec)}).second;
  if (!is_new) return Error::already_exists("there is a target {} already", *name);
  return {};
}

Task<Result<>> TargetServer::Impl::remove_target(std::string iqn) {
  const auto found = targets_.find(iqn);
  if (found == targets_.end()) co_return Error::not_found("there is no target {}", iqn);
  found->second.is_leaving = true;
  ++access_changes_;
  std::vector<Session*> its;
  sessions_.for_each([&](Session& session) {
    if (session.identity().target == iqn) its.push_back(&session);
  });
  co_await end_and_wait(std::move(its), "its target is removed");
  targets_.erase(iqn);
  co_return {};
}

Task<Result<>> TargetServer::Impl::set_access(std::string iqn, volume::AccessRules access) {
  const auto found = targets_.find(iqn);
  if (found == targets_.end()) co_return Error::not_found("there is no target {}", iqn);
  ++access_changes_;
  volume::AccessRules& rules = found->second.spec.access;
  // Who is logged in has not proven that it knows a new secret.
  const bool asks_for_more = access.chap && access.chap != rules.chap;
  rules = std::move(access);
  std::vector<Session*> refused;
  sessions_.for_each([&](Session& session) {
    if (session.identity().target != iqn) return;
    if (asks_for_more || !allows(rules, session.identity().initiator)) refused.push_back(&session);
  });
  co_await end_and_wait(std::move(refused), "it may not use the target any more");
  co_return {};
}

bool TargetServer::Impl::allows(const volume::AccessRules& access,
                                std::string_view initiator) const {
  return access.initiators.empty() ||
         std::ranges::any_of(access.initiators, [&](const std::string& allowed) {
           return normalise_name(allowed) == initiator;
         });
}

void TargetServer::Impl::reset_target(const std::string& iqn) {
  sessions_.for_each([&](Session& session) {
    if (session.identity().target == iqn) session.end_politely("the target was reset");
  });
}

// The sessions may be gone one after the other while this waits: each is looked up again.
Task<void> TargetServer::Impl::end_and_wait(std::vector<Session*> sessions, std::string_view why) {
  for (Session* session : sessions) session->end(why);
  for (Session* session : sessions) {
    bool is_there = false;
    sessions_.for_each([&](Session& other) { is_there |= &other == session; });
    if (is_there) (void)co_await without_cancellation(wait_for(session->over));
  }
}

// --- connections ---

Task<Result<>> TargetServer::Impl::serve_portal(std::unique_ptr<Listener> listener, Portal portal) {
  const TaskContext here = co_await this_task();
  Accepting accepting(here.cancel_scope);
  accepting_.push_back(accepting);
  if (is_stopping_) accepting.scope.cancel();
  Result<> outcome = co_await accept_all(*listener, portal).in_scope(&accepting.scope);
  if (is_stopping_) co_return {};
  co_return outcome;
}

Task<Result<>> TargetServer::Impl::accept_all(Listener& listener, Portal portal) {
  while (true) {
    Result<std::unique_ptr<Connection>> socket = co_await listener.accept();
    if (!socket.ok()) {
      if (socket.error().code() == ErrorCode::kCancelled) co_return socket.error();
      // No descriptor or no memory: those who wait in the backlog are taken when there is.
      metrics_.accept_errors.add();
      ASHLAR_LOG_WARN_EVERY(10s, "iSCSI portal {}: {}", portal.listen, socket.error());
      ASHLAR_CO_TRY(co_await sleep_for(runtime_.clock, kAcceptPause));
      continue;
    }
    if (connections_ >= options_.connections_max) {
      metrics_.refused_connections.add();
      ASHLAR_LOG_WARN_EVERY(10s, "iSCSI portal {}: {} connections are open, {} is refused",
                            portal.listen, connections_, (*socket)->peer());
      continue;
    }
    ++connections_;
    scope_.spawn(serve({std::move(*socket), {}, portal.group_tag, portal.advertised, true}));
  }
}

void TargetServer::Impl::take_over(HandedConnection connection) {
  if (is_stopping_) return;
  ++connections_;
  scope_.spawn(
      serve({runtime_.network.adopt(std::move(connection.socket)), std::move(connection.received),
             connection.group_tag, connection.portal, false}));
}

Task<void> TargetServer::Impl::serve(Arrival arrival) {
  metrics_.connections.set(connections_);
  PduReceiver receiver(pool_, kLoginSegmentMost);
  receiver.preload(std::move(arrival.received));
  std::unique_ptr<Session> session;
  const Endpoint peer = arrival.socket->peer();
  const Result<> outcome = co_await with_timeout(runtime_.clock, options_.login_timeout,
                                                 log_in(arrival, receiver, session));
  if (!outcome.ok()) {
    metrics_.failed_logins.add();
    ASHLAR_LOG_INFO_EVERY(1s, "iSCSI login from {} failed: {}", peer, outcome.error());
  }
  if (session != nullptr) {
    if (!outcome.ok()) session->end("its login was not finished");
    co_await session->run();
    static_cast<ListHook<SessionTag>&>(*session).unlink();
    session->over.set();
    metrics_.sessions.add(-1);
    ASHLAR_LOG_INFO("iSCSI session of {} with {} is over: {}", session->identity().initiator,
                    session->name(), session->end_reason());
  }
  --connections_;
  metrics_.connections.set(connections_);
}

Task<Result<>> TargetServer::Impl::log_in(Arrival& arrival, PduReceiver& receiver,
                                          std::unique_ptr<Session>& session) {
  const Policy policy(*this, arrival.group_tag);
  LoginMachine login(policy, runtime_.random);
  const std::uint64_t access_changes = access_changes_;
  for (bool is_first = true;; is_first = false) {
    Result<ReceivedPdu*> received = co_await receive_pdu(*arrival.socket, receiver);
    if (!received.ok()) co_return received.error();
    const ReceivedPdu& pdu = **received;
    LoginStep step;
    if (pdu.opcode() != Opcode::kLoginRequest) {
      step = login.refuse(LoginStatus::kInvalidDuringLogin);
    } else if (pdu.payload != ReceivedPdu::Payload::kWhole) {
      step = login.refuse(LoginStatus::kOutOfResources);
    } else if (is_first && arrival.may_move && move_away(arrival, pdu, receiver)) {
      metrics_.moved_connections.add();
      co_return {};
    } else {
      step = login.feed(pdu.as<LoginRequestPdu>(), pdu.data_segment());
    }
    if (step.kind == LoginStep::Kind::kDone) {
      const LoginStatus status =
          co_await make_room(login.result().identity, arrival.group_tag, access_changes);
      if (status == LoginStatus::kSuccess) {
        session = make_session(login.result(), arrival, receiver);
        step.reply.tsih = session->tsih();
      } else {
        step = login.refuse(status);
      }
    }
    ASHLAR_CO_TRY(co_await send_login_reply(*arrival.socket, step));
    if (step.kind == LoginStep::Kind::kFailed) {
      co_return Error::permission_denied("{}", login.reason());
    }
    if (step.kind == LoginStep::Kind::kDone) co_return {};
  }
}

// Whether the connection now belongs to the reactor that has its target.
bool TargetServer::Impl::move_away(Arrival& arrival, const ReceivedPdu& pdu,
                                   const PduReceiver& receiver) {
  const std::optional<std::string> target =
      peek_target(pdu.as<LoginRequestPdu>(), pdu.data_segment());
  if (!target || targets_.contains(*target)) return false;
  HandedConnection handed;
  handed.received.assign(pdu.header_bytes.begin(), pdu.header_bytes.end());
  const auto append = [&](ByteSpan bytes) {
    handed.received.insert(handed.received.end(), bytes.begin(), bytes.end());
  };
  append(pdu.ahs);
  append(pdu.data_segment());
  handed.received.resize(handed.received.size() + padding_after(pdu.data_length));
  receiver.append_unread(handed.received);
  handed.group_tag = arrival.group_tag;
  handed.portal = arrival.portal;
  handed.socket = arrival.socket->detach();
  if (directory_.route(*target, handed)) return true;
  arrival.socket = runtime_.network.adopt(std::move(handed.socket));
  return false;
}

// --- sessions ---

LoginVerdict TargetServer::Impl::Policy::judge(const LoginIdentity& identity) const {
  LoginVerdict verdict;
  verdict.group_tag = group_tag_;
  if (server_.is_stopping_) {
    verdict.status = LoginStatus::kServiceUnavailable;
  } else if (!identity.is_discovery) {
    const auto found = server_.targets_.find(identity.target);
    if (found == server_.targets_.end() || found->second.is_leaving) {
      verdict.status = LoginStatus::kNotFound;
    } else {
      verdict.access = found->second.spec.access;
    }
  }
  return verdict;
}

Session* TargetServer::Impl::find_session(const LoginIdentity& identity, std::uint16_t group_tag) {
  Session* same = nullptr;
  sessions_.for_each([&](Session& session) {
    const LoginIdentity& other = session.identity();
    if (other.initiator == identity.initiator && other.isid == identity.isid &&
        other.target == identity.target && !other.is_discovery &&
        session.group_tag() == group_tag) {
      same = &session;
    }
  });
  return same;
}

// A session of the same initiator port ends before the new one begins (6.3.5), or, for a login that
// names it, before its connection is made anew (6.3.4): one connection a session, at recovery level
// 0 its tasks end either way.
Task<LoginStatus> TargetServer::Impl::make_room(LoginIdentity identity, std::uint16_t group_tag,
                                                std::uint64_t access_changes) {
  bool is_reinstated = false;
  while (!identity.is_discovery) {
    Session* old = find_session(identity, group_tag);
    if (old == nullptr) break;
    if (identity.tsih != 0 && identity.tsih != old->tsih()) {
      co_return LoginStatus::kSessionDoesNotExist;
    }
    if (identity.tsih != 0 && identity.cid != old->identity().cid) {
      co_return LoginStatus::kTooManyConnections;
    }
    is_reinstated = true;
    old->end("reinstated by a new login");
    const Result<> over = co_await wait_for(old->over);
    if (!over.ok()) co_return LoginStatus::kTargetError;
  }
  if (identity.tsih != 0 && !is_reinstated) co_return LoginStatus::kSessionDoesNotExist;
  // What was judged when the login began may not hold any more.
  const bool is_stale = access_changes != access_changes_ || is_stopping_;
  co_return is_stale ? LoginStatus::kServiceUnavailable : LoginStatus::kSuccess;
}

std::uint16_t TargetServer::Impl::take_tsih() {
  while (true) {
    if (++last_tsih_ == 0) continue;
    bool is_taken = false;
    sessions_.for_each([&](Session& session) { is_taken |= session.tsih() == last_tsih_; });
    if (!is_taken) return last_tsih_;
  }
}

std::unique_ptr<Session> TargetServer::Impl::make_session(const LoginResult& login,
                                                          Arrival& arrival, PduReceiver& receiver) {
  const LoginIdentity& identity = login.identity;
  scsi::Device* device = nullptr;
  std::unique_ptr<scsi::Nexus> nexus;
  if (!identity.is_discovery) {
    device = targets_.find(identity.target)->second.spec.device;
    nexus = device->open_nexus(
        {identity.initiator, identity.isid, arrival.group_tag, arrival.group_tag});
  }
  receiver.set_data_segment_max(login.connection.receive_segment_max);
  const std::uint16_t tsih = identity.tsih != 0 ? identity.tsih : take_tsih();
  auto session =
      std::make_unique<Session>(Session::Setting{runtime_, pool_, options_, metrics_, *this, device,
                                                 std::move(nexus), tsih, arrival.group_tag},
                                login, *arrival.socket, receiver);
  sessions_.push_back(*session);
  metrics_.logins.add();
  metrics_.sessions.add(1);
  ASHLAR_LOG_INFO("iSCSI session of {} with {} from {}", identity.initiator, session->name(),
                  arrival.socket->peer());
  return session;
}

std::vector<SessionInfo> TargetServer::Impl::sessions() {
  std::vector<SessionInfo> infos;
  sessions_.for_each([&](Session& session) { infos.push_back(session.info()); });
  return infos;
}

Task<Result<>> TargetServer::Impl::stop(Duration grace) {
  is_stopping_ = true;
  accepting_.for_each([](Accepting& accepting) { accepting.scope.cancel(); });
  sessions_.for_each([&](Session& session) { session.request_logout(grace); });
  // Hosts log out or not; commands under way get their answers, within the bounds of the grace.
  const MonoTime deadline = runtime_.clock.now() + grace;
  const MonoTime patience = runtime_.clock.now() + grace / 4;
  while (!sessions_.empty() && runtime_.clock.now() < deadline) {
    bool is_idle = true;
    sessions_.for_each([&](Session& session) { is_idle &= session.is_idle(); });
    if (is_idle && runtime_.clock.now() >= patience) break;
    (void)co_await sleep_for(runtime_.clock, std::min<Duration>(10ms, grace / 16 + 1ms));
  }
  sessions_.for_each([](Session& session) { session.end("the server stops"); });
  scope_.cancel();
  (void)co_await scope_.join();
  co_return {};
}

// --- the interface ---

TargetServer::TargetServer(Runtime runtime, BufferPool& pool, TargetServerOptions options,
                           TargetDirectory& directory, MetricRegistry* registry)
    : impl_(std::make_unique<Impl>(runtime, pool, std::move(options), directory, registry)) {}
TargetServer::~TargetServer() = default;

Result<> TargetServer::add_target(TargetSpec spec) {
  return impl_->add_target(std::move(spec));
}
Task<Result<>> TargetServer::remove_target(std::string iqn) {
  return impl_->remove_target(std::move(iqn));
}
Task<Result<>> TargetServer::set_access(std::string iqn, volume::AccessRules access) {
  return impl_->set_access(std::move(iqn), std::move(access));
}
Task<Result<>> TargetServer::serve_portal(std::unique_ptr<Listener> listener, Portal portal) {
  return impl_->serve_portal(std::move(listener), std::move(portal));
}
void TargetServer::take_over(HandedConnection connection) {
  impl_->take_over(std::move(connection));
}
std::vector<SessionInfo> TargetServer::sessions() const {
  return impl_->sessions();
}
Task<Result<>> TargetServer::stop(Duration grace) {
  return impl_->stop(grace);
}

}  // namespace ashlar::iscsi
