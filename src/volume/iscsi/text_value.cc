#include "volume/iscsi/text_value.h"

#include <array>
#include <charconv>

namespace ashlar::iscsi {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBase64Digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool has_prefix(std::string_view value, char letter) {
  return value.size() >= 2 && value[0] == '0' && (value[1] == letter || value[1] == letter - 32);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::vector<std::byte>> parse_hex(std::string_view digits, std::size_t longest) {
  if (digits.empty() || (digits.size() + 1) / 2 > longest) return std::nullopt;
  std::vector<std::byte> bytes((digits.size() + 1) / 2);
  // An odd count of digits is a number whose first digit is a zero that was left out.
  std::size_t nibble = digits.size() % 2;
  for (const char c : digits) {
    const int digit = hex_digit(c);
    if (digit < 0) return std::nullopt;
    bytes[nibble / 2] = bytes[nibble / 2] << 4 | static_cast<std::byte>(digit);
    ++nibble;
  }
  return bytes;
}

std::optional<std::vector<std::byte>> parse_base64(std::string_view digits, std::size_t longest) {
  if (digits.empty() || digits.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && digits[digits.size() - 1 - padding] == '=') ++padding;
  const std::size_t size = digits.size() / 4 * 3 - padding;
  if (size > longest) return std::nullopt;
  digits.remove_suffix(padding);
  std::vector<std::byte> bytes;
  bytes.reserve(size);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : digits) {
    const std::size_t digit = kBase64Digits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<std::byte>(bits >> count));
    bits &= (1u << count) - 1;
  }
  // Bits behind the last byte are zeros (RFC 4648, 3.5), so that a value has one spelling.
  if (bits != 0) return std::nullopt;
  return bytes;
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view value) {
  int base = 10;
  if (has_prefix(value, 'x')) {
    value.remove_prefix(2);
    base = 16;
  }
  // from_chars takes a minus sign for unsigned types.
  if (value.empty() || value[0] == '-') return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(value.data(), value.data() + value.size(), number, base);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> parse_number(std::string_view value, std::uint64_t low,
                                          std::uint64_t high) {
  const auto number = parse_number(value);
  return number && *number >= low && *number <= high ? number : std::nullopt;
}

std::optional<bool> parse_bool(std::string_view value) {
  if (value == "Yes") return true;
  if (value == "No") return false;
  return std::nullopt;
}

std::optional<std::vector<std::byte>> parse_binary(std::string_view value, std::size_t longest) {
  if (has_prefix(value, 'x')) return parse_hex(value.substr(2), longest);
  if (has_prefix(value, 'b')) return parse_base64(value.substr(2), longest);
  const auto number = parse_number(value);
  if (!number) return std::nullopt;
  std::array<std::byte, 8> big_endian;
  store_be64(big_endian, 0, *number);
  std::size_t zeros = 0;
  while (zeros < 7 && big_endian[zeros] == std::byte{0}) ++zeros;
  if (8 - zeros > longest) return std::nullopt;
  return std::vector<std::byte>(big_endian.begin() + static_cast<std::ptrdiff_t>(zeros),
                                big_endian.end());
}

std::string format_binary(ByteSpan bytes) {
  std::string text = "0x";
  for (const std::byte byte : bytes) {
    text += kHexDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kHexDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

std::string format_base64(ByteSpan bytes) {
  std::string text = "0b";
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < count ? std::to_integer<std::uint32_t>(bytes[i + j]) : 0);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      text += j <= count ? kBase64Digits[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

}  // namespace ashlar::iscsi
