// A login to drive by hand: a policy whose answers a test sets, and an initiator that writes
// requests and reads replies.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/random.h"
#include "volume/iscsi/chap_hash.h"
#include "volume/iscsi/login.h"
#include "volume/iscsi/text.h"
#include "volume/iscsi/text_value.h"

namespace ashlar::iscsi {

inline constexpr std::string_view kInitiator = "iqn.2004-01.com.example:host1";
inline constexpr std::string_view kTarget = "iqn.2026-01.io.ashlar:vol1";
inline constexpr std::string_view kSecret = "a secret of the initiator";
inline constexpr std::string_view kTargetSecret = "a secret of the target";

class TestPolicy final : public LoginPolicy {
 public:
  LoginVerdict judge(const LoginIdentity& identity) const override {
    asked.push_back(identity);
    return verdict;
  }
  const LoginOffer& offer() const override { return offer_; }
  std::uint32_t command_window() const override { return 32; }

  void require_chap(std::string_view name = "host1") {
    verdict.access.chap = volume::ChapCredentials{std::string(name), Secret(kSecret)};
  }
  void offer_proof(std::string_view secret = kTargetSecret) {
    verdict.access.mutual = volume::ChapCredentials{"target1", Secret(secret)};
  }

  LoginVerdict verdict;
  LoginOffer offer_;
  mutable std::vector<LoginIdentity> asked;
};

// "A=1;B=2;" with zero bytes for the semicolons.
inline std::string text_with(std::string_view readable) {
  std::string text(readable);
  for (char& c : text) {
    if (c == ';') c = '\0';
  }
  return text;
}

inline std::string names_text() {
  return text_with(
      "InitiatorName=iqn.2004-01.com.example:host1;SessionType=Normal;"
      "TargetName=iqn.2026-01.io.ashlar:vol1;");
}

enum class Stage : std::uint8_t { kSecurity = 0, kOperational = 1, kReserved = 2, kFull = 3 };

inline LoginRequestPdu login_request(Stage current, std::optional<Stage> next = std::nullopt) {
  LoginRequestPdu request;
  request.flags = static_cast<std::uint8_t>(static_cast<unsigned>(current) << 2);
  if (next) request.flags |= static_cast<std::uint8_t>(kFlagTransit | static_cast<unsigned>(*next));
  request.isid = 0x400001370000;
  request.initiator_task_tag = 7;
  request.cmd_sn = 100;
  request.exp_stat_sn = 5000;
  return request;
}

class LoginLab {
 public:
  explicit LoginLab(const TestPolicy& policy, std::uint64_t seed = 1)
      : random_(seed), machine(policy, random_) {}

  LoginStep send(Stage current, std::optional<Stage> next, std::string_view text) {
    return feed(login_request(current, next), text);
  }
  LoginStep feed(const LoginRequestPdu& request, std::string_view text) {
    LoginStep step = machine.feed(request, bytes_of(text));
    keys_.clear();
    const auto keys = parse_keys(bytes_of(step.text));
    if (keys.ok()) {
      for (const TextKey& key : *keys) keys_.emplace(key.name, key.value);
    }
    return step;
  }
  // Of the last reply; "-" when the key is not there.
  std::string reply(std::string_view name) const {
    const auto found = keys_.find(name);
    return found == keys_.end() ? "-" : found->second;
  }

 private:
  Random random_;

 public:
  LoginMachine machine;

 private:
  std::map<std::string, std::string, std::less<>> keys_;
};

inline LoginStatus status_of(const LoginStep& step) {
  return static_cast<LoginStatus>(std::uint16_t{step.reply.status});
}

// What an initiator with this secret answers to the challenge in the last reply.
inline std::string chap_answer(const LoginLab& lab, std::string_view name = "host1",
                               std::string_view secret = kSecret) {
  const auto algorithm = chap_algorithm(parse_number(lab.reply("CHAP_A")).value_or(0));
  const auto identifier = parse_number(lab.reply("CHAP_I"));
  const auto challenge = parse_binary(lab.reply("CHAP_C"), 1024);
  if (!algorithm || !identifier || !challenge) return "";
  const auto response =
      chap_response(*algorithm, static_cast<std::uint8_t>(*identifier), secret, *challenge);
  TextWriter text;
  text.add("CHAP_N", name);
  text.add("CHAP_R", format_binary(response->bytes()));
  return text.text();
}

}  // namespace ashlar::iscsi
