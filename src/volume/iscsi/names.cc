#include "volume/iscsi/names.h"

#include <algorithm>

namespace ashlar::iscsi {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}

// RFC 3722: of ASCII only letters, digits, ".", "-" and ":"; what lies beyond it is taken as it is.
bool is_name_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == ':' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// "2001-04.com.example", then nothing or ":" and anything.
bool is_qualified(std::string_view name) {
  if (name.size() < 9) return false;
  for (const std::size_t i : {0u, 1u, 2u, 3u, 5u, 6u}) {
    if (!is_digit(name[i])) return false;
  }
  const int month = (name[5] - '0') * 10 + (name[6] - '0');
  if (name[4] != '-' || month < 1 || month > 12 || name[7] != '.') return false;
  const std::string_view domain = name.substr(8, name.find(':') - 8);
  return !domain.empty() && domain.front() != '.' && domain.back() != '.';
}

}  // namespace

std::optional<std::string> normalise_name(std::string_view name) {
  if (name.size() > kLongestName) return std::nullopt;
  std::string normal(name);
  for (char& c : normal) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (!std::ranges::all_of(normal, is_name_character)) return std::nullopt;
  const std::string_view rest =
      std::string_view(normal).substr(std::min<std::size_t>(4, normal.size()));
  const bool is_all_hex = std::ranges::all_of(rest, is_hex_digit);
  bool is_valid = false;
  if (normal.starts_with("iqn.")) is_valid = is_qualified(rest);
  if (normal.starts_with("eui.")) is_valid = is_all_hex && rest.size() == 16;
  if (normal.starts_with("naa.")) is_valid = is_all_hex && (rest.size() == 16 || rest.size() == 32);
  if (!is_valid) return std::nullopt;
  return normal;
}

bool list_allows(std::span<const std::string> list, std::string_view name) {
  return list.empty() || std::ranges::any_of(list, [&](const std::string& entry) {
           return normalise_name(entry) == name;
         });
}

}  // namespace ashlar::iscsi
