// Reads the input as a sequence of login requests and feeds it to the login machine. A request is
// flags, an oddity, and keys: most chosen from a list, some raw. Whatever comes: replies keep to
// the standard's rules, and nobody gets in who had to prove something and did not: the one way to
// the right response is the key "CHAP_R=!".
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/base/random.h"
#include "volume/iscsi/chap_hash.h"
#include "volume/iscsi/login.h"
#include "volume/iscsi/text.h"
#include "volume/iscsi/text_value.h"

namespace ashlar::iscsi {
namespace {

constexpr std::string_view kSecret = "a secret that nobody guesses";

struct Policy final : LoginPolicy {
  LoginVerdict judge(const LoginIdentity& identity) const override {
    ASHLAR_CHECK(!identity.initiator.empty());
    ASHLAR_CHECK(identity.is_discovery == identity.target.empty());
    LoginVerdict verdict;
    if (needs_chap) verdict.access.chap = volume::ChapCredentials{"host1", Secret(kSecret)};
    if (identity.target.ends_with(":gone")) verdict.status = LoginStatus::kTargetRemoved;
    if (identity.target.ends_with(":moved")) {
      verdict.status = LoginStatus::kTargetMovedTemporarily;
      verdict.redirect_to = "192.0.2.1:3260";
    }
    return verdict;
  }
  const LoginOffer& offer() const override { return offers; }
  std::uint32_t command_window() const override { return 32; }

  LoginOffer offers;
  bool needs_chap = false;
};

using namespace std::string_view_literals;

// What a login is made of comes together, so that chance gets as far as its end.
constexpr std::string_view kTexts[] = {
    "InitiatorName=iqn.2004-01.com.example:host1\0TargetName=iqn.2026-01.io.ashlar:vol1"sv,
    "CHAP_N=host1\0CHAP_R=!"sv,
    "CHAP_N=host1\0CHAP_R=0x00112233445566778899aabbccddeeff"sv,
    "InitiatorName=iqn.2004-01.com.example:host1",
    "TargetName=iqn.2026-01.io.ashlar:vol1",
    "TargetName=iqn.2026-01.io.ashlar:gone",
    "TargetName=iqn.2026-01.io.ashlar:moved",
    "SessionType=Discovery",
    "SessionType=Normal",
    "AuthMethod=CHAP,None",
    "AuthMethod=None",
    "CHAP_A=8,7,6,5",
    "CHAP_A=5",
    "CHAP_N=host1",
    "CHAP_R=!",
    "CHAP_R=0x00112233445566778899aabbccddeeff",
    "CHAP_I=1",
    "CHAP_C=0x0102",
    "HeaderDigest=CRC32C,None",
    "InitialR2T=No",
    "ImmediateData=No",
    "MaxBurstLength=512",
    "FirstBurstLength=65536",
    "MaxOutstandingR2T=4",
    "MaxRecvDataSegmentLength=512",
    "X-com.example=1",
};

// Stages, transit and continue bits as initiators set them, and now and then any.
std::uint8_t read_flags(ByteReader& reader) {
  constexpr std::uint8_t kUsual[] = {0x00, 0x04, 0x81, 0x83, 0x87, 0x40, 0x44};
  const std::uint8_t choice = reader.u8();
  return choice < 0xf0 ? kUsual[choice % std::size(kUsual)] : reader.u8();
}

std::string read_text(ByteReader& reader) {
  std::string text;
  for (int count = reader.u8() & 3; count > 0 && !reader.failed(); --count) {
    const std::uint8_t choice = reader.u8();
    if (choice < 0xf0) {
      text.append(kTexts[choice % std::size(kTexts)]).append(1, '\0');
    } else {
      text += text_of(reader.bytes(reader.u8()));
    }
  }
  return text;
}

// The response to the challenge in a reply, if there is one.
std::string right_response(std::string_view reply) {
  const auto keys = parse_keys(bytes_of(reply));
  if (!keys.ok()) return "";
  std::uint64_t algorithm = 0;
  std::uint64_t identifier = 0;
  std::vector<std::byte> challenge;
  for (const TextKey& key : *keys) {
    if (key.name == "CHAP_A") algorithm = parse_number(key.value).value_or(0);
    if (key.name == "CHAP_I") identifier = parse_number(key.value).value_or(0);
    if (key.name == "CHAP_C") challenge = *parse_binary(key.value, 1024);
  }
  if (!chap_algorithm(algorithm) || challenge.empty()) return "";
  return format_binary(chap_response(*chap_algorithm(algorithm),
                                     static_cast<std::uint8_t>(identifier), kSecret, challenge)
                           ->bytes());
}

void check_reply(const LoginRequestPdu& request, const LoginStep& step) {
  const auto status = std::uint16_t{step.reply.status};
  ASHLAR_CHECK((step.kind == LoginStep::Kind::kFailed) == (status != 0));
  ASHLAR_CHECK(step.text.size() == step.reply.data_segment_length && step.text.size() <= 8192);
  if (status != 0) return;
  const bool transits = (step.reply.flags & kFlagTransit) != 0;
  const bool goes_on = (step.reply.flags & kFlagContinue) != 0;
  ASHLAR_CHECK(!transits || request.transit(), "the target transits unasked");
  ASHLAR_CHECK(!(transits && goes_on));
  ASHLAR_CHECK((step.reply.flags >> 2 & 3) == request.current_stage());
  if (transits) ASHLAR_CHECK((step.reply.flags & 3) == request.next_stage());
  ASHLAR_CHECK((step.kind == LoginStep::Kind::kDone) == (transits && (step.reply.flags & 3) == 3));
}

void run(const std::uint8_t* data, std::size_t size) {
  ByteReader reader(std::as_bytes(std::span(data, size)));
  Policy policy;
  policy.needs_chap = (reader.u8() & 1) != 0;
  Random random(1);
  LoginMachine login(policy, random);
  std::string answer;
  bool has_answered = false;
  while (!reader.failed() && reader.remaining() > 0) {
    LoginRequestPdu request;
    request.flags = read_flags(reader);
    // One byte chooses what else is unusual: mostly nothing.
    const std::uint8_t oddity = reader.u8();
    if (oddity == 0xff) request.cid = 1;
    if (oddity == 0xfe) request.version_min = 1;
    std::string text = read_text(reader);
    if (reader.failed()) break;
    const std::size_t wish = text.find("CHAP_R=!");
    if (wish != std::string::npos && !answer.empty()) {
      text.replace(wish + 7, 1, answer);
      has_answered = true;
    }
    const LoginStep step = login.feed(request, bytes_of(text));
    check_reply(request, step);
    answer = right_response(step.text);
    if (step.kind == LoginStep::Kind::kDone) {
      ASHLAR_CHECK(!policy.needs_chap || has_answered, "in without proof");
      const LoginResult& result = login.result();
      ASHLAR_CHECK(result.session.first_burst_length <= result.session.max_burst_length);
      ASHLAR_CHECK(result.session.max_outstanding_r2t >= 1);
      ASHLAR_CHECK(result.connection.send_segment_max >= 512);
    }
    if (step.kind != LoginStep::Kind::kContinue) return;
  }
}

}  // namespace
}  // namespace ashlar::iscsi

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ashlar::iscsi::run(data, size);
  return 0;
}
