#include "common/config/config_value.h"

#include <charconv>

#include "common/base/quote.h"

namespace ashlar {
namespace {

// The whole of the text, in decimal; a plus sign, blanks or digits to spare do not count.
template <class T>
Result<T> parse_integer(std::string_view text, T least, T most) {
  T value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return Error::invalid_argument("{} is not a whole number from {} to {}", quote(text), least,
                                   most);
  }
  return value;
}

}  // namespace

Result<bool> ConfigType<bool>::parse(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return Error::invalid_argument("{} is neither true nor false", quote(text));
}

namespace detail {

Result<std::int64_t> parse_signed(std::string_view text, std::int64_t least, std::int64_t most) {
  return parse_integer<std::int64_t>(text, least, most);
}

Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t most) {
  return parse_integer<std::uint64_t>(text, 0, most);
}

}  // namespace detail
}  // namespace ashlar
