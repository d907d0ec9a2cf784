// Feeds arbitrary bytes to what reads text keys and their values, names, and CHAP. What is accepted
// prints to what is accepted again and means the same; nobody is verified who does not know the
// secret.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/base/random.h"
#include "volume/iscsi/chap.h"
#include "volume/iscsi/names.h"
#include "volume/iscsi/text.h"
#include "volume/iscsi/text_exchange.h"
#include "volume/iscsi/text_value.h"

namespace ashlar::iscsi {
namespace {

void read_keys(std::string_view text) {
  const auto keys = parse_keys(bytes_of(text));
  if (!keys.ok()) return;
  TextWriter writer;
  for (const TextKey& key : *keys) {
    ASHLAR_CHECK(!key.name.empty() && key.name.size() <= kLongestKeyName);
    ASHLAR_CHECK(key.value.size() <= kLongestValue);
    writer.add(key.name, key.value);
  }
  const auto again = parse_keys(bytes_of(writer.text()));
  ASHLAR_CHECK(again.ok() && again->size() == keys->size());
  for (std::size_t i = 0; i < keys->size(); ++i) {
    ASHLAR_CHECK((*again)[i].name == (*keys)[i].name && (*again)[i].value == (*keys)[i].value);
  }
}

void read_values(std::string_view value) {
  if (const auto number = parse_number(value)) {
    ASHLAR_CHECK(parse_number(std::to_string(*number)) == number);
  }
  (void)parse_bool(value);
  if (const auto bytes = parse_binary(value, 64)) {
    ASHLAR_CHECK(!bytes->empty() && bytes->size() <= 64);
    ASHLAR_CHECK(parse_binary(format_binary(*bytes), 64) == bytes);
    ASHLAR_CHECK(parse_binary(format_base64(*bytes), 64) == bytes);
  }
  if (const auto name = normalise_name(value)) {
    ASHLAR_CHECK(normalise_name(*name) == name, "\"{}\" is not in its normal form", *name);
    ASHLAR_CHECK(name->size() == value.size());
  }
  std::size_t items = 0;
  any_of_list(value, [&](std::string_view item) {
    ASHLAR_CHECK(item.find(',') == std::string_view::npos);
    ++items;
    return false;
  });
  ASHLAR_CHECK(items >= 1);
}

// The pairs are the keys of one request after the other; an empty value of a key leaves it out.
void talk_chap(std::string_view text) {
  const auto keys = parse_keys(bytes_of(text));
  if (!keys.ok()) return;
  Random random(1);
  ChapAcceptor chap({"host1", Secret("a secret that nobody guesses")},
                    volume::ChapCredentials{"target1", Secret("another secret of ours")}, random);
  ChapKeys request;
  TextWriter reply;
  for (const TextKey& key : *keys) {
    if (key.name == "CHAP_A") request.algorithms = key.value;
    if (key.name == "CHAP_I") request.identifier = key.value;
    if (key.name == "CHAP_C") request.challenge = key.value;
    if (key.name == "CHAP_N") request.name = key.value;
    if (key.name == "CHAP_R") request.response = key.value;
    if (key.name != "Send") continue;
    const auto stepped = chap.step(request, reply);
    ASHLAR_CHECK(stepped.ok() || stepped.error().code() == ErrorCode::kUnauthenticated ||
                 stepped.error().code() == ErrorCode::kInvalidArgument);
    ASHLAR_CHECK(!chap.is_verified());
    request = {};
  }
  ASHLAR_CHECK(reply.text().find("target1") == std::string::npos, "a proof for nobody");
}

struct Answerer final : TextAnswerer {
  void send_targets(std::string_view, TextWriter& reply) override {
    for (int i = 0; i < 8; ++i) reply.add("TargetName", "iqn.2026-01.io.ashlar:vol");
  }
};

// A program of text requests: flags, tag, length, text.
void exchange_text(ByteSpan bytes) {
  TextExchange exchange;
  Answerer answerer;
  ByteReader reader(bytes);
  std::uint32_t transfer_tag = kReservedTag;
  while (!reader.failed() && reader.remaining() > 0) {
    TextRequestPdu request;
    const std::uint8_t choice = reader.u8();
    request.flags = choice & 0xc0;
    request.target_transfer_tag = (choice & 1) != 0 ? transfer_tag : kReservedTag;
    const ByteSpan text = reader.bytes(reader.u8());
    const std::uint32_t limit = (choice & 2) != 0 ? 512 : 16;
    const TextStep step = exchange.feed(request, text, limit, answerer);
    if (step.reject_reason) continue;
    ASHLAR_CHECK(step.text.size() <= limit);
    ASHLAR_CHECK(!(is_final(step.reply) && has_flag(step.reply, kFlagContinue)));
    ASHLAR_CHECK(is_final(step.reply) == (step.reply.target_transfer_tag == kReservedTag));
    ASHLAR_CHECK(!is_final(step.reply) || is_final(request));
    transfer_tag = step.reply.target_transfer_tag;
  }
}

void run(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  read_keys(text);
  read_values(text);
  talk_chap(text);
  exchange_text(bytes_of(text));
}

}  // namespace
}  // namespace ashlar::iscsi

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ashlar::iscsi::run(data, size);
  return 0;
}
