// Values of text keys (RFC 7143, 6.1): numbers, booleans, binary values and lists.
//
// A value is what its key says it is: "0x10" is sixteen for a number, one byte for a binary value,
// and four letters for a name. Nothing is decoded because of how it looks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"

namespace ashlar::iscsi {

// A decimal or 0x hexadecimal number of at most 64 bits.
std::optional<std::uint64_t> parse_number(std::string_view value);
// The same, within [low, high].
std::optional<std::uint64_t> parse_number(std::string_view value, std::uint64_t low,
                                          std::uint64_t high);
std::optional<bool> parse_bool(std::string_view value);  // "Yes" or "No"

// 0x hexadecimal, 0b base64, or a decimal number of at most 64 bits (its bytes without leading
// zeros). Nothing when it is none of them or has more than `longest` bytes.
std::optional<std::vector<std::byte>> parse_binary(std::string_view value, std::size_t longest);
std::string format_binary(ByteSpan bytes);  // 0x hexadecimal
std::string format_base64(ByteSpan bytes);  // 0b base64

// Calls `visit` with each item of a comma-separated list until it returns true; true if it did.
template <class Visit>
bool any_of_list(std::string_view list, Visit visit) {
  for (;;) {
    const std::size_t comma = list.find(',');
    if (visit(list.substr(0, comma))) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}
inline bool list_contains(std::string_view list, std::string_view item) {
  return any_of_list(list, [&](std::string_view one) { return one == item; });
}

}  // namespace ashlar::iscsi
