// LoginMachine: the target's side of one connection's login (RFC 7143, sections 6 and 7, 11.12,
// 11.13), as a pure state machine. It does no I/O and waits for nothing: PDUs go in, replies and
// the outcome come out.
//
//   LoginMachine login(policy, random);
//   for (;;) {
//     … receive a PDU …
//     LoginStep step = opcode is kLoginRequest ? login.feed(request, data_segment)
//                                              : login.refuse(LoginStatus::kInvalidDuringLogin);
//     if (step.kind == kDone) {          // all is decided but what only the session knows:
//       … find or end the session of this ISID (6.3.5, table of 6.3.1) …
//       step.reply.tsih = tsih;          // or step = login.refuse(status)
//     }
//     … send step.reply with step.text; kFailed: then close …
//     if (step.kind != kContinue) break;
//   }
//
// The machine fills every field of a reply but the TSIH of the last one. A reply longer than the
// initiator may get during login (8192 bytes) goes out in pieces with the C bit by itself.
//
// There is one way into full feature phase: all the conditions stand in one function,
// `may_enter_full_feature`, and required CHAP is one of them (L95).
//
// What an initiator may do is bounded: PDUs in a login, keys and bytes in a negotiation (text.h).
// Time is the caller's (TargetServerOptions::login_timeout).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/result.h"
#include "volume/core/volume_settings.h"
#include "volume/iscsi/parameters.h"
#include "volume/iscsi/pdu.h"

namespace ashlar::iscsi {

// Who wants what, by the first request. Names are normalised (names.h).
struct LoginIdentity {
  std::string initiator;
  std::string initiator_alias;
  std::string target;  // empty in a discovery session
  bool is_discovery = false;
  std::uint64_t isid = 0;
  std::uint16_t tsih = 0;  // 0: a new session
  std::uint16_t cid = 0;
};

// What the server says to a login before it is negotiated.
struct LoginVerdict {
  // kSuccess: go on. A redirect (kTargetMoved…) needs `redirect_to`.
  LoginStatus status = LoginStatus::kSuccess;
  // Who may log in; initiators that it does not list get kAuthorizationFailure.
  volume::AccessRules access;
  std::string target_alias;     // told when not empty
  std::string redirect_to;      // "192.0.2.1:3260" or "[2001:db8::1]:3260", an advertised address
  std::uint16_t group_tag = 1;  // of the portal that the connection came to
};

class LoginPolicy {
 public:
  virtual LoginVerdict judge(const LoginIdentity& identity) const = 0;
  virtual const LoginOffer& offer() const = 0;
  // Commands that the initiator may have under way at first: MaxCmdSN of every reply.
  virtual std::uint32_t command_window() const = 0;

 protected:
  ~LoginPolicy() = default;
};

struct LoginStep {
  enum class Kind : std::uint8_t {
    kContinue,  // send the reply, await the next request
    kDone,      // send the reply: full feature phase begins
    kFailed,    // send the reply, then close
  };
  Kind kind = Kind::kContinue;
  LoginResponsePdu reply;  // data_segment_length is that of text
  std::string_view text;   // until the machine is used again
};

// What holds after kDone.
struct LoginResult {
  LoginIdentity identity;
  SessionParameters session;
  ConnectionParameters connection;
  std::string chap_name;     // who has proven to be who; empty without CHAP
  std::uint32_t cmd_sn = 0;  // of the first command that is not immediate
  std::uint32_t next_stat_sn = 0;
};

// The target that a first login request asks for, read before a machine is made: the connection is
// handed to the reactor that has the target. Nothing when the request is for a discovery session,
// is broken, or goes on in another PDU without having named its target; a machine then says what is
// wrong.
std::optional<std::string> peek_target(const LoginRequestPdu& request, ByteSpan data_segment);

class LoginMachine {
 public:
  // Both outlive the machine.
  LoginMachine(const LoginPolicy& policy, Random& random);
  ~LoginMachine();
  LoginMachine(LoginMachine&&) noexcept;

  // `data_segment` without padding. After kDone or kFailed no more may be fed.
  LoginStep feed(const LoginRequestPdu& request, ByteSpan data_segment);
  // Ends the login with this status, also after kDone as long as nothing was sent.
  LoginStep refuse(LoginStatus status);

  // After kDone.
  const LoginResult& result() const;
  // A sentence for the log about what went wrong; after kFailed. Never holds a secret.
  const std::string& reason() const;
  // For messages: as far as it is known.
  const LoginIdentity& identity() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ashlar::iscsi
