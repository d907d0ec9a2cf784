#include "volume/iscsi/chap.h"

#include <algorithm>
#include <array>

#include "volume/iscsi/text_value.h"

namespace ashlar::iscsi {
namespace {

Error refused(std::string_view why) {
  return {ErrorCode::kUnauthenticated, fmt::format("CHAP: {}", why)};
}
Error out_of_place(std::string_view what) {
  return Error::invalid_argument("CHAP: {}", what);
}

std::optional<ChapAlgorithm> choose(std::string_view list) {
  std::optional<ChapAlgorithm> chosen;
  any_of_list(list, [&](std::string_view item) {
    const auto number = parse_number(item);
    if (number) chosen = chap_algorithm(*number);
    return chosen.has_value();
  });
  return chosen;
}

}  // namespace

ChapAcceptor::ChapAcceptor(volume::ChapCredentials initiator,
                           std::optional<volume::ChapCredentials> target, Random& random)
    : initiator_(std::move(initiator)), target_(std::move(target)), random_(random) {}

Result<> ChapAcceptor::step(const ChapKeys& keys, TextWriter& reply) {
  if (keys.empty()) return {};
  const State before = std::exchange(state_, State::kFailed);
  switch (before) {
    case State::kAwaitAlgorithms:
      ASHLAR_TRY(take_algorithms(keys, reply));
      state_ = State::kAwaitResponse;
      return {};
    case State::kAwaitResponse:
      ASHLAR_TRY(take_response(keys, reply));
      state_ = State::kVerified;
      return {};
    case State::kVerified:
    case State::kFailed:
      break;
  }
  return out_of_place("keys after the exchange has ended");
}

Result<> ChapAcceptor::take_algorithms(const ChapKeys& keys, TextWriter& reply) {
  if (!keys.algorithms || keys.identifier || keys.challenge || keys.name || keys.response) {
    return out_of_place("the first step is CHAP_A and nothing else");
  }
  const auto algorithm = choose(*keys.algorithms);
  if (!algorithm) return refused("no algorithm that both sides know");
  algorithm_ = *algorithm;
  ASHLAR_TRY(make_challenge());
  reply.add_number("CHAP_A", static_cast<std::uint8_t>(algorithm_));
  reply.add_number("CHAP_I", identifier_);
  reply.add("CHAP_C", format_binary(challenge_));
  return {};
}

Result<> ChapAcceptor::make_challenge() {
  std::array<std::byte, 33> raw;
  random_.fill(raw);
  const auto mixed = chap_response(ChapAlgorithm::kSha256, std::to_integer<std::uint8_t>(raw[32]),
                                   "ashlar chap challenge", raw);
  if (!mixed) return refused("no hash function for a challenge");
  const ByteSpan bytes = mixed->bytes();
  // As long as the response: longer ones add nothing, and some initiators take no more.
  const ByteSpan challenge = bytes.first(std::min(bytes.size(), chap_response_size(algorithm_)));
  challenge_.assign(challenge.begin(), challenge.end());
  identifier_ = std::to_integer<std::uint8_t>(raw[32]);
  return {};
}

Result<> ChapAcceptor::take_response(const ChapKeys& keys, TextWriter& reply) {
  if (keys.algorithms || !keys.name || !keys.response) {
    return out_of_place("the second step is CHAP_N and CHAP_R");
  }
  if (keys.identifier.has_value() != keys.challenge.has_value()) {
    return out_of_place("CHAP_I and CHAP_C come together or not at all");
  }
  const auto response = parse_binary(*keys.response, kLongestChapResponse);
  if (!response) return refused("CHAP_R is no binary value of a fitting length");
  const auto expected =
      chap_response(algorithm_, identifier_, initiator_.secret.reveal(), challenge_);
  if (!expected) return refused("the algorithm does not work on this machine");
  // Both are looked at whichever is wrong: how long it takes does not tell which.
  const bool is_right = expected->equals(*response);
  if (*keys.name != initiator_.name || !is_right) return refused("wrong name or response");

  if (!keys.challenge) return {};
  const auto identifier = parse_number(*keys.identifier, 0, 255);
  const auto challenge = parse_binary(*keys.challenge, kLongestChapChallenge);
  if (!identifier || !challenge) return out_of_place("CHAP_I or CHAP_C is out of range");
  return prove(static_cast<std::uint8_t>(*identifier), *challenge, reply);
}

Result<> ChapAcceptor::prove(std::uint8_t identifier, ByteSpan challenge, TextWriter& reply) const {
  if (std::ranges::equal(challenge, challenge_)) return refused("our challenge was sent back");
  if (!target_) return refused("the target has no secret to prove itself with");
  if (target_->secret == initiator_.secret) {
    return refused("both sides have the same secret, which RFC 7143, 9.2.1 forbids");
  }
  const auto proof = chap_response(algorithm_, identifier, target_->secret.reveal(), challenge);
  if (!proof) return refused("the algorithm does not work on this machine");
  reply.add("CHAP_N", target_->name);
  reply.add("CHAP_R", format_binary(proof->bytes()));
  return {};
}

}  // namespace ashlar::iscsi
