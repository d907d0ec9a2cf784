#include "common/base/uuid.h"

#include "common/base/quote.h"

namespace ashlar {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

// The byte indexes before which the text has a hyphen.
constexpr bool hyphen_before(std::size_t byte) {
  return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Error not_a_uuid(std::string_view text) {
  return Error::invalid_argument(
      "{} is not a uuid: expected 32 hexadecimal digits in groups 8-4-4-4-12", quote(text));
}

}  // namespace

Uuid Uuid::generate(Random& random) {
  Uuid uuid;
  random.fill(uuid.bytes_);
  // RFC 9562, 5.4: version 4 in the high bits of byte 6, variant 10 in those of byte 8.
  uuid.bytes_[6] = (uuid.bytes_[6] & std::byte{0x0f}) | std::byte{0x40};
  uuid.bytes_[8] = (uuid.bytes_[8] & std::byte{0x3f}) | std::byte{0x80};
  return uuid;
}

Result<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != kTextSize) return not_a_uuid(text);
  Uuid uuid;
  std::size_t at = 0;
  for (std::size_t i = 0; i < kSize; ++i) {
    if (hyphen_before(i) && text[at++] != '-') return not_a_uuid(text);
    const int high = digit_value(text[at++]);
    const int low = digit_value(text[at++]);
    if (high < 0 || low < 0) return not_a_uuid(text);
    uuid.bytes_[i] = static_cast<std::byte>(high << 4 | low);
  }
  return uuid;
}

std::string Uuid::to_string() const {
  std::string text;
  text.reserve(kTextSize);
  for (std::size_t i = 0; i < kSize; ++i) {
    if (hyphen_before(i)) text += '-';
    text += kDigits[std::to_integer<unsigned>(bytes_[i]) >> 4];
    text += kDigits[std::to_integer<unsigned>(bytes_[i]) & 0xf];
  }
  return text;
}

}  // namespace ashlar
