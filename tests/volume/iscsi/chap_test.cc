#include "volume/iscsi/chap.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/volume/iscsi/login_lab.h"

namespace ashlar::iscsi {
namespace {

using test::outcome_of;

// The challenge of an exchange, as an initiator reads it.
struct Challenge {
  std::string algorithm;
  std::string identifier;
  std::string text;
  std::vector<std::byte> bytes;
};

Challenge read_challenge(const TextWriter& reply) {
  Challenge challenge;
  const auto keys = parse_keys(bytes_of(reply.text()));
  if (!keys.ok()) return challenge;
  for (const TextKey& key : *keys) {
    if (key.name == "CHAP_A") challenge.algorithm = key.value;
    if (key.name == "CHAP_I") challenge.identifier = key.value;
    if (key.name == "CHAP_C") challenge.text = key.value;
  }
  challenge.bytes = parse_binary(challenge.text, 1024).value_or(std::vector<std::byte>());
  return challenge;
}

std::string answer_to(const Challenge& challenge, std::string_view secret = kSecret) {
  const auto response = chap_response(
      *chap_algorithm(*parse_number(challenge.algorithm)),
      static_cast<std::uint8_t>(*parse_number(challenge.identifier)), secret, challenge.bytes);
  return format_binary(response->bytes());
}

class ChapTest : public ::testing::Test {
 protected:
  ChapAcceptor acceptor(std::optional<std::string_view> target_secret = std::nullopt,
                        std::string_view name = "host1") {
    std::optional<volume::ChapCredentials> target;
    if (target_secret) target = volume::ChapCredentials{"target1", Secret(*target_secret)};
    return {{std::string(name), Secret(kSecret)}, std::move(target), random_};
  }
  Challenge begin(ChapAcceptor& chap, std::string_view algorithms = "5") {
    TextWriter reply;
    EXPECT_EQ(outcome_of(chap.step({.algorithms = algorithms}, reply)), "OK");
    return read_challenge(reply);
  }

  Random random_{1};
  TextWriter reply_;
};

// RFC 1994, 4.1 in one line: the hash of identifier, secret and challenge. Values by `openssl
// dgst`.
TEST_F(ChapTest, TheHashesAreThoseOfTheStandards) {
  const auto hash = [](ChapAlgorithm algorithm) {
    return format_binary(chap_response(algorithm, 'a', "b", bytes_of("c"))->bytes());
  };
  EXPECT_EQ(hash(ChapAlgorithm::kMd5), "0x900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(hash(ChapAlgorithm::kSha1), "0xa9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hash(ChapAlgorithm::kSha256),
            "0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash(ChapAlgorithm::kSha3_256),
            "0x3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
}

TEST_F(ChapTest, TheFirstAlgorithmThatIsKnownIsTaken) {
  for (const auto& [offer, taken] : std::vector<std::pair<std::string, std::string>>{
           {"5", "5"}, {"7,5", "7"}, {"5,7", "5"}, {"99,x,8,6", "8"}, {"0x6", "6"}}) {
    ChapAcceptor chap = acceptor();
    EXPECT_EQ(begin(chap, offer).algorithm, taken) << offer;
  }
  for (const std::string_view none : {"", "4", "9", "MD5", "261", "5 "}) {
    ChapAcceptor chap = acceptor();
    EXPECT_EQ(outcome_of(chap.step({.algorithms = none}, reply_)), "UNAUTHENTICATED") << none;
  }
}

TEST_F(ChapTest, WhoKnowsTheSecretIsVerifiedInEveryEncoding) {
  for (int encoding = 0; encoding < 2; ++encoding) {
    ChapAcceptor chap = acceptor();
    const Challenge challenge = begin(chap, "8");
    std::string response = answer_to(challenge);
    if (encoding == 1) response = format_base64(*parse_binary(response, 64));
    EXPECT_EQ(outcome_of(chap.step({.name = "host1", .response = response}, reply_)), "OK");
    EXPECT_TRUE(chap.is_verified());
  }
}

TEST_F(ChapTest, WrongNamesAndResponsesAreRefusedAndThereIsOneTry) {
  for (const bool wrong_name : {true, false}) {
    ChapAcceptor chap = acceptor();
    const Challenge challenge = begin(chap);
    const std::string right = answer_to(challenge);
    const std::string wrong = answer_to(challenge, "some other secret");
    EXPECT_EQ(outcome_of(chap.step(
                  {.name = wrong_name ? "host2" : "host1", .response = wrong_name ? right : wrong},
                  reply_)),
              "UNAUTHENTICATED");
    EXPECT_FALSE(chap.is_verified());
    EXPECT_EQ(outcome_of(chap.step({.name = "host1", .response = right}, reply_)),
              "INVALID_ARGUMENT");
    EXPECT_FALSE(chap.is_verified());
  }
}

TEST_F(ChapTest, AResponseOfAnotherLengthIsRefused) {
  for (const std::string_view tail : {"00", "0000"}) {
    ChapAcceptor chap = acceptor();
    const std::string response = answer_to(begin(chap)) + std::string(tail);
    EXPECT_EQ(outcome_of(chap.step({.name = "host1", .response = response}, reply_)),
              "UNAUTHENTICATED");
  }
  for (const std::string_view bad : {"", "0x", "0x00", "0", "0b", "nonsense"}) {
    ChapAcceptor chap = acceptor();
    begin(chap);
    EXPECT_EQ(outcome_of(chap.step({.name = "host1", .response = bad}, reply_)), "UNAUTHENTICATED");
  }
  ChapAcceptor chap = acceptor();
  const std::string cut = answer_to(begin(chap)).substr(0, 2 + 30);
  EXPECT_EQ(outcome_of(chap.step({.name = "host1", .response = cut}, reply_)), "UNAUTHENTICATED");
}

TEST_F(ChapTest, TheResponseOfAnEarlierLoginIsOfNoUse) {
  ChapAcceptor first = acceptor();
  const std::string heard = answer_to(begin(first));
  ChapAcceptor second = acceptor();
  const Challenge challenge = begin(second);
  EXPECT_NE(answer_to(challenge), heard);
  EXPECT_EQ(outcome_of(second.step({.name = "host1", .response = heard}, reply_)),
            "UNAUTHENTICATED");
}

TEST_F(ChapTest, ATargetWithASecretProvesItselfToWhoHasProven) {
  ChapAcceptor chap = acceptor(kTargetSecret);
  const Challenge challenge = begin(chap, "7");
  TextWriter reply;
  const std::string response = answer_to(challenge);
  ASSERT_EQ(
      outcome_of(chap.step(
          {.identifier = "9", .challenge = "0x0102030405", .name = "host1", .response = response},
          reply)),
      "OK");
  const std::vector<std::byte> ours = *parse_binary("0x0102030405", 5);
  const auto proof = chap_response(ChapAlgorithm::kSha256, 9, kTargetSecret, ours);
  EXPECT_EQ(reply.text(),
            text_with("CHAP_N=target1;CHAP_R=" + format_binary(proof->bytes()) + ";"));
}

TEST_F(ChapTest, WhoHasNotProvenGetsNoProof) {
  ChapAcceptor chap = acceptor(kTargetSecret);
  const std::string wrong = answer_to(begin(chap), "some other secret");
  TextWriter reply;
  EXPECT_EQ(
      outcome_of(chap.step(
          {.identifier = "9", .challenge = "0x01", .name = "host1", .response = wrong}, reply)),
      "UNAUTHENTICATED");
  EXPECT_TRUE(reply.empty());
}

TEST_F(ChapTest, OurOwnChallengeSentBackIsRefusedInEveryEncoding) {
  for (int encoding = 0; encoding < 2; ++encoding) {
    ChapAcceptor chap = acceptor(kTargetSecret);
    const Challenge challenge = begin(chap);
    const std::string response = answer_to(challenge);
    const std::string back = encoding == 0 ? challenge.text : format_base64(challenge.bytes);
    TextWriter reply;
    EXPECT_EQ(outcome_of(chap.step({.identifier = challenge.identifier,
                                    .challenge = back,
                                    .name = "host1",
                                    .response = response},
                                   reply)),
              "UNAUTHENTICATED");
    EXPECT_TRUE(reply.empty());
    EXPECT_FALSE(chap.is_verified());
  }
}

TEST_F(ChapTest, OneSecretForBothSidesIsRefusedWhenProofIsAsked) {
  for (const bool same : {true, false}) {
    ChapAcceptor chap = same ? acceptor(kSecret) : acceptor();  // or none at all
    const std::string response = answer_to(begin(chap));
    TextWriter reply;
    EXPECT_EQ(outcome_of(chap.step(
                  {.identifier = "1", .challenge = "0x01", .name = "host1", .response = response},
                  reply)),
              "UNAUTHENTICATED");
    EXPECT_TRUE(reply.empty());
  }
}

TEST_F(ChapTest, NamesThatLookLikeNumbersAreNames) {
  for (const std::string_view name : {"0x41", "0bQUJD", "0x", "12", "0xZZ", "A B"}) {
    ChapAcceptor chap = acceptor(std::nullopt, name);
    const std::string response = answer_to(begin(chap));
    EXPECT_EQ(outcome_of(chap.step({.name = name, .response = response}, reply_)), "OK") << name;
  }
  ChapAcceptor chap = acceptor(std::nullopt, "A");
  const std::string response = answer_to(begin(chap));
  EXPECT_EQ(outcome_of(chap.step({.name = "0x41", .response = response}, reply_)),
            "UNAUTHENTICATED");
}

TEST_F(ChapTest, KeysOutOfPlaceEndTheExchange) {
  const auto after_begin = [&](const ChapKeys& keys) {
    ChapAcceptor chap = acceptor(kTargetSecret);
    begin(chap);
    const std::string_view outcome = outcome_of(chap.step(keys, reply_));
    EXPECT_FALSE(chap.is_verified());
    return outcome;
  };
  EXPECT_EQ(after_begin({.algorithms = "5"}), "INVALID_ARGUMENT");
  EXPECT_EQ(after_begin({.name = "host1"}), "INVALID_ARGUMENT");
  EXPECT_EQ(after_begin({.response = "0x01"}), "INVALID_ARGUMENT");
  EXPECT_EQ(after_begin({.identifier = "1", .name = "host1", .response = "0x01"}),
            "INVALID_ARGUMENT");
  EXPECT_EQ(after_begin({.challenge = "0x1", .name = "host1", .response = "0x01"}),
            "INVALID_ARGUMENT");
  ChapAcceptor chap = acceptor();
  EXPECT_EQ(outcome_of(chap.step({.name = "host1", .response = "0x01"}, reply_)),
            "INVALID_ARGUMENT");
  ChapAcceptor early = acceptor();
  EXPECT_EQ(outcome_of(early.step({.algorithms = "5", .name = "host1"}, reply_)),
            "INVALID_ARGUMENT");
}

TEST_F(ChapTest, IdentifiersAndChallengesOfTheInitiatorAreBounded) {
  for (const auto& [identifier, challenge] :
       std::vector<std::pair<std::string, std::string>>{{"256", "0x01"},
                                                        {"-1", "0x01"},
                                                        {"1", ""},
                                                        {"1", "0x"},
                                                        {"1", "0x" + std::string(2050, '1')}}) {
    ChapAcceptor chap = acceptor(kTargetSecret);
    const std::string response = answer_to(begin(chap));
    EXPECT_EQ(outcome_of(chap.step({.identifier = identifier,
                                    .challenge = challenge,
                                    .name = "host1",
                                    .response = response},
                                   reply_)),
              "INVALID_ARGUMENT");
    EXPECT_FALSE(chap.is_verified());
  }
  ChapAcceptor chap = acceptor(kTargetSecret);
  const std::string response = answer_to(begin(chap));
  const std::string longest = "0x" + std::string(2048, '1');
  EXPECT_EQ(outcome_of(chap.step(
                {.identifier = "255", .challenge = longest, .name = "host1", .response = response},
                reply_)),
            "OK");
}

TEST_F(ChapTest, ChallengesAreAsLongAsTheResponseAndNeverTheSame) {
  std::vector<std::string> seen;
  for (int i = 0; i < 50; ++i) {
    ChapAcceptor chap = acceptor();
    const Challenge challenge = begin(chap, i % 2 == 0 ? "5" : "7");
    EXPECT_EQ(challenge.bytes.size(), i % 2 == 0 ? 16u : 32u);
    EXPECT_EQ(std::ranges::count(seen, challenge.text), 0);
    seen.push_back(challenge.text);
  }
}

}  // namespace
}  // namespace ashlar::iscsi
