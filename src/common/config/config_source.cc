#include "common/config/config_source.h"

#include <algorithm>
#include <numeric>

#include "common/base/quote.h"

namespace ashlar {
namespace {

// Levenshtein distance: insertions, deletions and replacements.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string shown_name(std::string_view name) {
  const bool prints = std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~'; });
  return prints && !name.empty() && name.size() <= 128 ? std::string(name) : quote(name);
}

std::string unknown_name(std::string_view word, std::string_view kind,
                         const ConfigSchema::Names& names) {
  std::string text = fmt::format("{}: unknown {}", shown_name(word), kind);
  if (word.size() > 128) return text;
  std::string_view nearest;
  std::size_t distance = std::max<std::size_t>(2, word.size() / 4) + 1;
  for (const auto& [name, stands_for] : names) {
    if (const std::size_t d = edit_distance(word, name); d < distance) {
      distance = d;
      nearest = name;
    }
  }
  if (!nearest.empty()) text += fmt::format("; did you mean {}?", nearest);
  return text;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  if (text.empty()) return items;
  for (;;) {
    const std::size_t comma = text.find(',');
    items.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace ashlar
