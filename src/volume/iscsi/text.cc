#include "volume/iscsi/text.h"

#include <algorithm>

#include "common/base/quote.h"

namespace ashlar::iscsi {
namespace {

// 6.1, standard-label: begins with a capital letter. One key of the standard (13.24) does not.
bool is_label(std::string_view name) {
  if (name == "iSCSIProtocolLevel") return true;
  if (name.empty() || name.size() > kLongestKeyName || name[0] < 'A' || name[0] > 'Z') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '+' || c == '@' || c == '_' || c == '#';
  });
}

}  // namespace

Result<KeyList> parse_keys(ByteSpan bytes) {
  if (bytes.size() > kMostTextBytes) {
    return Error::resource_exhausted("{} bytes of text, the most is {}", bytes.size(),
                                     kMostTextBytes);
  }
  KeyList keys;
  std::string_view rest = text_of(bytes);
  while (!rest.empty()) {
    const std::size_t end = rest.find('\0');
    if (end == std::string_view::npos) {
      return Error::invalid_argument("a key has no end: {}", quote(rest));
    }
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) {
      return Error::invalid_argument("text without \"=\": {}", quote(pair));
    }
    const TextKey key{.name = pair.substr(0, equals), .value = pair.substr(equals + 1)};
    if (!is_label(key.name)) return Error::invalid_argument("no key name: {}", quote(key.name));
    if (key.value.size() > kLongestValue) {
      return Error::invalid_argument("the value of {} has {} bytes", key.name, key.value.size());
    }
    if (keys.size() == kMostKeys) return Error::resource_exhausted("more than {} keys", kMostKeys);
    keys.push_back(key);
  }
  return keys;
}

Result<> TextAssembly::add(ByteSpan piece) {
  if (piece.size() > kMostTextBytes - bytes_.size()) {
    return Error::resource_exhausted("text of more than {} bytes", kMostTextBytes);
  }
  bytes_.insert(bytes_.end(), piece.begin(), piece.end());
  return {};
}

void TextWriter::add(std::string_view name, std::string_view value) {
  text_.append(name).append(1, '=').append(value).append(1, '\0');
}

void TextWriter::add_number(std::string_view name, std::uint64_t value) {
  add(name, fmt::format_int(value).c_str());
}

void TextWriter::add_bool(std::string_view name, bool value) {
  add(name, value ? "Yes" : "No");
}

}  // namespace ashlar::iscsi
