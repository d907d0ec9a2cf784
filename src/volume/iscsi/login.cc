#include "volume/iscsi/login.h"

#include <algorithm>
#include <bitset>

#include "common/base/quote.h"
#include "volume/iscsi/chap.h"
#include "volume/iscsi/keys.h"
#include "volume/iscsi/names.h"
#include "volume/iscsi/negotiation.h"
#include "volume/iscsi/text.h"
#include "volume/iscsi/text_value.h"

namespace ashlar::iscsi {
namespace {

constexpr std::uint8_t kVersion = 0x00;  // 11.12.4: of RFC 7143
constexpr int kMostRequests = 128;
constexpr std::size_t kLongestSegment = 8192;  // 13.12: during login it is the default

std::uint8_t number_of(LoginStage stage) {
  return static_cast<std::uint8_t>(stage);
}

}  // namespace

struct LoginMachine::Impl {
  enum class State : std::uint8_t {
    kFirstRequest,  // nothing, or a part of the first request, has come
    kSecurity,
    kOperational,
    kDone,
    kFailed,
  };
  enum class AuthMethod : std::uint8_t { kOpen, kNone, kChap };

  Impl(const LoginPolicy& its_policy, Random& its_random)
      : policy(its_policy), random(its_random) {}

  LoginStep feed(const LoginRequestPdu& request, ByteSpan data_segment);
  LoginStep fail(LoginStatus status, std::string why);

  // 0 when the header may be; else the step that ends the login.
  std::optional<LoginStep> check_header(const LoginRequestPdu& request);
  LoginStep take_request(const LoginRequestPdu& request);
  std::optional<LoginStep> identify(const LoginRequestPdu& request, const KeyList& keys);
  std::optional<LoginStep> admit();
  std::optional<LoginStep> take_keys(const KeyList& keys, TextWriter& reply);
  std::optional<LoginStep> take_security_keys(const KeyList& keys, TextWriter& reply);
  std::optional<LoginStep> choose_method(std::string_view offered, TextWriter& reply);
  void tell_about_target(TextWriter& reply) const;

  bool may_leave_security() const;
  bool may_enter_full_feature() const;
  std::optional<LoginStep> transit(const LoginRequestPdu& request, LoginStep& step);
  LoginStep reply_step(const LoginRequestPdu& request);
  LoginResponsePdu response();
  void enter_full_feature();

  const LoginPolicy& policy;
  Random& random;

  State state = State::kFirstRequest;
  bool has_begun = false;  // a request has come; `first` is it
  LoginRequestPdu first;
  std::uint32_t stat_sn = 0;
  int requests = 0;

  TextAssembly request_text;
  TextPieces reply_text;
  std::string redirect_text;
  std::bitset<kKeyCount> seen;

  LoginIdentity identity;
  LoginVerdict verdict;
  AuthMethod method = AuthMethod::kOpen;
  std::optional<ChapAcceptor> chap;
  std::optional<OperationalNegotiation> negotiation;

  LoginResult result;
  std::string reason;
};

LoginResponsePdu LoginMachine::Impl::response() {
  LoginResponsePdu pdu;
  pdu.version_max = kVersion;
  pdu.version_active = kVersion;
  pdu.isid = first.isid;
  pdu.tsih = first.tsih;
  pdu.initiator_task_tag = first.initiator_task_tag;
  pdu.stat_sn = stat_sn++;
  pdu.exp_cmd_sn = first.cmd_sn;
  pdu.max_cmd_sn = first.cmd_sn + policy.command_window() - 1;
  return pdu;
}

LoginStep LoginMachine::Impl::fail(LoginStatus status, std::string why) {
  state = State::kFailed;
  reason = std::move(why);
  LoginStep step{.kind = LoginStep::Kind::kFailed, .reply = response(), .text = redirect_text};
  step.reply.status = static_cast<std::uint16_t>(status);
  step.reply.data_segment_length = static_cast<std::uint32_t>(step.text.size());
  return step;
}

LoginStep LoginMachine::Impl::feed(const LoginRequestPdu& request, ByteSpan data_segment) {
  ASHLAR_CHECK(state != State::kDone && state != State::kFailed, "the login is over");
  if (auto failed = check_header(request)) return *failed;
  if (data_segment.size() > kLongestSegment) {
    return fail(LoginStatus::kInitiatorError, "a data segment of more than 8192 bytes");
  }
  if (++requests > kMostRequests) {
    return fail(LoginStatus::kInitiatorError, "too many login requests");
  }
  if (auto added = request_text.add(data_segment); !added.ok()) {
    return fail(LoginStatus::kOutOfResources, added.error().message());
  }
  if (reply_text.more()) {
    // 11.13.3: while our reply goes on, the initiator only asks for the rest of it.
    if (request.goes_on() || !request_text.empty()) {
      return fail(LoginStatus::kInitiatorError, "keys while a reply was going on");
    }
    return reply_step(request);
  }
  if (request.goes_on()) return reply_step(request);
  LoginStep step = take_request(request);
  request_text.clear();
  return step;
}

std::optional<LoginStep> LoginMachine::Impl::check_header(const LoginRequestPdu& request) {
  if (!has_begun) {
    has_begun = true;
    first = request;
    stat_sn = request.exp_stat_sn;
    if (request.version_min > kVersion) {
      return fail(LoginStatus::kUnsupportedVersion,
                  fmt::format("the initiator needs version {} at least", request.version_min));
    }
    if (request.current_stage() > number_of(LoginStage::kOperational)) {
      return fail(LoginStatus::kInitiatorError, "a login begins in no such stage");
    }
  }
  // 11.12: one login is one sequence of requests with the same tag; 11.12.5 to 11.12.9.
  if (request.initiator_task_tag != first.initiator_task_tag || request.isid != first.isid ||
      request.tsih != first.tsih || request.cid != first.cid || request.cmd_sn != first.cmd_sn) {
    return fail(LoginStatus::kInitiatorError, "ISID, TSIH, CID, task tag or CmdSN has changed");
  }
  const std::uint8_t stage = state == State::kFirstRequest ? first.current_stage()
                             : state == State::kSecurity   ? number_of(LoginStage::kSecurity)
                                                           : number_of(LoginStage::kOperational);
  if (request.current_stage() != stage) {
    return fail(LoginStatus::kInitiatorError, fmt::format("stage {} where the login is in stage {}",
                                                          request.current_stage(), stage));
  }
  if (!request.transit()) return std::nullopt;
  if (request.goes_on()) {
    return fail(LoginStatus::kInitiatorError, "a request that goes on asks for the next stage");
  }
  if (request.next_stage() == 2 || request.next_stage() <= stage) {
    return fail(LoginStatus::kInitiatorError,
                fmt::format("no way from stage {} to stage {}", stage, request.next_stage()));
  }
  return std::nullopt;
}

LoginStep LoginMachine::Impl::take_request(const LoginRequestPdu& request) {
  const auto keys = parse_keys(request_text.bytes());
  if (!keys.ok()) return fail(LoginStatus::kInitiatorError, keys.error().message());
  TextWriter reply;
  if (state == State::kFirstRequest) {
    if (auto failed = identify(request, *keys)) return *failed;
    if (auto failed = admit()) return *failed;
    tell_about_target(reply);
    state = request.current_stage() == number_of(LoginStage::kSecurity) ? State::kSecurity
                                                                        : State::kOperational;
  }
  if (auto failed = take_keys(*keys, reply)) return *failed;
  reply_text = TextPieces(std::move(reply).take());
  LoginStep step = reply_step(request);
  if (!request.transit() || reply_text.more()) return step;
  if (auto failed = transit(request, step)) return *failed;
  return step;
}

LoginStep LoginMachine::Impl::reply_step(const LoginRequestPdu& request) {
  LoginStep step{.kind = LoginStep::Kind::kContinue, .reply = response(), .text = {}};
  step.text = reply_text.next(kLongestSegment);
  step.reply.data_segment_length = static_cast<std::uint32_t>(step.text.size());
  step.reply.flags = static_cast<std::uint8_t>(request.current_stage() << 2);
  if (reply_text.more()) step.reply.flags |= kFlagContinue;
  return step;
}

std::optional<LoginStep> LoginMachine::Impl::identify(const LoginRequestPdu& request,
                                                      const KeyList& keys) {
  identity.isid = request.isid;
  identity.tsih = request.tsih;
  identity.cid = request.cid;
  std::optional<std::string_view> initiator;
  std::optional<std::string_view> target;
  std::string_view type = "Normal";  // 13.21
  for (const TextKey& key : keys) {
    if (key.name == "InitiatorName") initiator = key.value;
    if (key.name == "InitiatorAlias") identity.initiator_alias = key.value.substr(0, 255);
    if (key.name == "TargetName") target = key.value;
    if (key.name == "SessionType") type = key.value;
  }
  if (!initiator) return fail(LoginStatus::kMissingParameter, "InitiatorName is missing");
  const auto initiator_name = normalise_name(*initiator);
  if (!initiator_name) {
    return fail(LoginStatus::kInitiatorError,
                fmt::format("{} is no iSCSI name", quote(*initiator)));
  }
  identity.initiator = *initiator_name;
  if (type == "Discovery") {
    identity.is_discovery = true;
    return std::nullopt;
  }
  if (type != "Normal") {
    return fail(LoginStatus::kSessionTypeNotSupported, fmt::format("session type {}", quote(type)));
  }
  if (!target) return fail(LoginStatus::kMissingParameter, "TargetName is missing");
  const auto target_name = normalise_name(*target);
  if (!target_name) {
    return fail(LoginStatus::kNotFound, fmt::format("{} is no iSCSI name", quote(*target)));
  }
  identity.target = *target_name;
  return std::nullopt;
}

std::optional<LoginStep> LoginMachine::Impl::admit() {
  verdict = policy.judge(identity);
  if (verdict.status == LoginStatus::kTargetMovedTemporarily ||
      verdict.status == LoginStatus::kTargetMovedPermanently) {
    TextWriter address;
    address.add("TargetAddress", verdict.redirect_to);
    redirect_text = std::move(address).take();
    return fail(verdict.status, fmt::format("sent on to {}", verdict.redirect_to));
  }
  if (verdict.status != LoginStatus::kSuccess) {
    return fail(verdict.status, std::string(to_string(verdict.status)));
  }
  if (!list_allows(verdict.access.initiators, identity.initiator)) {
    return fail(LoginStatus::kAuthorizationFailure, "the target is not for this initiator");
  }
  const auto& credentials = verdict.access.chap;
  if (credentials && credentials->secret.reveal().size() < kShortestChapSecret) {
    return fail(LoginStatus::kTargetError, "the CHAP secret is shorter than 12 bytes");
  }
  negotiation.emplace(policy.offer(), identity.is_discovery);
  if (credentials && first.current_stage() != number_of(LoginStage::kSecurity)) {
    return fail(LoginStatus::kAuthenticationFailure,
                "CHAP is required and the login begins "
                "behind the security stage");
  }
  return std::nullopt;
}

void LoginMachine::Impl::tell_about_target(TextWriter& reply) const {
  if (identity.is_discovery) return;
  // 13.9: in the first response to a request that names a target.
  reply.add_number("TargetPortalGroupTag", verdict.group_tag);
  if (!verdict.target_alias.empty()) reply.add("TargetAlias", verdict.target_alias);
}

// Whether each key may be here at all; those that may are answered.
std::optional<LoginStep> LoginMachine::Impl::take_keys(const KeyList& keys, TextWriter& reply) {
  const bool is_first = seen.none();
  for (const TextKey& key : keys) {
    const KeyFacts* facts = find_key(key.name);
    if (facts == nullptr) {
      // What answers a key of ours is not answered again.
      if (key.value != kNotUnderstood) reply.add(key.name, kNotUnderstood);
      continue;
    }
    const auto index = static_cast<std::size_t>(facts->id);
    if (seen[index]) {
      return fail(LoginStatus::kInitiatorError,
                  fmt::format("{} is there twice or was settled before", key.name));
    }
    seen.set(index);
    const bool is_in_place =
        facts->place == KeyPlace::kAnywhere ||
        (facts->place == KeyPlace::kFirstRequest && is_first) ||
        (facts->place == KeyPlace::kSecurity && state == State::kSecurity) ||
        (facts->place == KeyPlace::kOperational && state == State::kOperational);
    if (!is_in_place) {
      return fail(LoginStatus::kInitiatorError, fmt::format("{} does not belong here", key.name));
    }
    if (facts->place == KeyPlace::kOperational) negotiation->answer(*facts, key.value, reply);
  }
  if (state == State::kSecurity) return take_security_keys(keys, reply);
  negotiation->finish(reply);
  return std::nullopt;
}

std::optional<LoginStep> LoginMachine::Impl::take_security_keys(const KeyList& keys,
                                                                TextWriter& reply) {
  ChapKeys chap_keys;
  std::optional<std::string_view> methods;
  for (const TextKey& key : keys) {
    if (key.name == "AuthMethod") methods = key.value;
    if (key.name == "CHAP_A") chap_keys.algorithms = key.value;
    if (key.name == "CHAP_I") chap_keys.identifier = key.value;
    if (key.name == "CHAP_C") chap_keys.challenge = key.value;
    if (key.name == "CHAP_N") chap_keys.name = key.value;
    if (key.name == "CHAP_R") chap_keys.response = key.value;
  }
  if (!chap_keys.empty() && !chap) {
    return fail(LoginStatus::kInitiatorError, "CHAP keys before CHAP was agreed on");
  }
  if (methods) return choose_method(*methods, reply);
  if (!chap) return std::nullopt;
  const auto stepped = chap->step(chap_keys, reply);
  if (stepped.ok()) return std::nullopt;
  return fail(stepped.error().code() == ErrorCode::kInvalidArgument
                  ? LoginStatus::kInitiatorError
                  : LoginStatus::kAuthenticationFailure,
              stepped.error().message());
}

std::optional<LoginStep> LoginMachine::Impl::choose_method(std::string_view offered,
                                                           TextWriter& reply) {
  const bool needs_chap = verdict.access.chap.has_value();
  const std::string_view wanted = needs_chap ? "CHAP" : "None";
  if (!list_contains(offered, wanted)) {
    return fail(
        LoginStatus::kAuthenticationFailure,
        fmt::format("the initiator offers {} and the target needs {}", quote(offered), wanted));
  }
  reply.add("AuthMethod", wanted);
  method = needs_chap ? AuthMethod::kChap : AuthMethod::kNone;
  if (needs_chap) chap.emplace(*verdict.access.chap, verdict.access.mutual, random);
  return std::nullopt;
}

bool LoginMachine::Impl::may_leave_security() const {
  if (method == AuthMethod::kChap) return chap->is_verified();
  return !verdict.access.chap.has_value();
}

// Every condition of full feature phase. The stages lead here, but it does not rely on them.
bool LoginMachine::Impl::may_enter_full_feature() const {
  const bool is_known = verdict.status == LoginStatus::kSuccess && !identity.initiator.empty() &&
                        (identity.is_discovery || !identity.target.empty());
  const bool has_proven = chap.has_value() && chap->is_verified();
  return is_known && (has_proven || !verdict.access.chap.has_value());
}

std::optional<LoginStep> LoginMachine::Impl::transit(const LoginRequestPdu& request,
                                                     LoginStep& step) {
  if (state == State::kSecurity && !may_leave_security()) {
    // CHAP is under way: the reply stands without the T bit. Who never began it is refused.
    if (method == AuthMethod::kChap) return std::nullopt;
    return fail(LoginStatus::kAuthenticationFailure,
                "CHAP is required and the initiator leaves the security stage without it");
  }
  step.reply.flags |= static_cast<std::uint8_t>(kFlagTransit | request.next_stage());
  if (request.next_stage() == number_of(LoginStage::kOperational)) {
    state = State::kOperational;
    return std::nullopt;
  }
  if (!may_enter_full_feature()) {
    return fail(LoginStatus::kAuthenticationFailure, "full feature phase without authentication");
  }
  enter_full_feature();
  step.kind = LoginStep::Kind::kDone;
  return std::nullopt;
}

void LoginMachine::Impl::enter_full_feature() {
  state = State::kDone;
  result.identity = identity;
  result.session = negotiation->session();
  result.connection = negotiation->connection();
  if (chap) result.chap_name = chap->name();
  result.cmd_sn = first.cmd_sn;
  result.next_stat_sn = stat_sn;
}

LoginMachine::LoginMachine(const LoginPolicy& policy, Random& random)
    : impl_(std::make_unique<Impl>(policy, random)) {}
LoginMachine::~LoginMachine() = default;
LoginMachine::LoginMachine(LoginMachine&&) noexcept = default;

LoginStep LoginMachine::feed(const LoginRequestPdu& request, ByteSpan data_segment) {
  return impl_->feed(request, data_segment);
}

LoginStep LoginMachine::refuse(LoginStatus status) {
  ASHLAR_CHECK(status != LoginStatus::kSuccess);
  // The reply of kDone was not sent: its StatSN is free again.
  if (impl_->state == Impl::State::kDone) --impl_->stat_sn;
  impl_->redirect_text.clear();
  return impl_->fail(status, std::string(to_string(status)));
}

const LoginResult& LoginMachine::result() const {
  ASHLAR_CHECK(impl_->state == Impl::State::kDone, "the login is not done");
  return impl_->result;
}
const std::string& LoginMachine::reason() const {
  return impl_->reason;
}
const LoginIdentity& LoginMachine::identity() const {
  return impl_->identity;
}

std::optional<std::string> peek_target(const LoginRequestPdu& request, ByteSpan data_segment) {
  // A pair at the end of a request that goes on may be half of one.
  std::string_view text = text_of(data_segment);
  if (request.goes_on()) text = text.substr(0, text.rfind('\0') + 1);
  const auto keys = parse_keys(bytes_of(text));
  if (!keys.ok()) return std::nullopt;
  std::optional<std::string> target;
  for (const TextKey& key : *keys) {
    if (key.name == "SessionType" && key.value != "Normal") return std::nullopt;
    if (key.name == "TargetName") target = normalise_name(key.value);
  }
  return target;
}

}  // namespace ashlar::iscsi
