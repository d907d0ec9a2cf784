#include "cli/store/document.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "common/base/units.h"

namespace ashlar::store_tool {
namespace {

constexpr std::size_t kIndent = 2;
constexpr std::string_view kBytesSuffix = "_bytes";

// How a value stands in the text, its key given.
std::string label_of(std::string key) {
  if (key.ends_with(kBytesSuffix)) key.resize(key.size() - kBytesSuffix.size());
  std::ranges::replace(key, '_', ' ');
  return key;
}

std::string text_of_scalar(const std::string& key, const Document& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_null()) return "-";
  if (value.is_number_unsigned() && key.ends_with(kBytesSuffix)) {
    return format_size_short(ByteCount(value.get<std::uint64_t>()));
  }
  return value.dump();
}

bool is_scalar(const Document& value) {
  return !value.is_object() && !value.is_array();
}
bool is_flat(const Document& value) {
  return value.is_object() && std::ranges::all_of(value, is_scalar);
}

// Of all rows together: some may lack what others have.
std::vector<std::string> keys_of(const Document& rows) {
  std::vector<std::string> keys;
  for (const Document& row : rows) {
    for (const auto& [key, value] : row.items()) {
      if (std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
    }
  }
  return keys;
}

void append_table(std::string& out, const Document& rows, std::size_t indent) {
  const std::vector<std::string> keys = keys_of(rows);
  std::vector<std::vector<std::string>> cells(1);
  for (const std::string& key : keys) cells[0].push_back(label_of(key));
  for (const Document& row : rows) {
    std::vector<std::string>& line = cells.emplace_back();
    for (const std::string& key : keys) {
      line.push_back(row.contains(key) ? text_of_scalar(key, row[key]) : "-");
    }
  }
  std::vector<std::size_t> widths(keys.size(), 0);
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const auto& line : cells) {
    std::string text(indent, ' ');
    for (std::size_t i = 0; i < line.size(); ++i) {
      const bool is_last = i + 1 == line.size();
      text += is_last ? line[i] : fmt::format("{:{}}  ", line[i], widths[i]);
    }
    out += text + "\n";
  }
}

void append_object(std::string& out, const Document& object, std::size_t indent);

void append_list(std::string& out, const std::string& key, const Document& list,
                 std::size_t indent) {
  const std::string margin(indent, ' ');
  if (std::ranges::all_of(list, is_scalar)) {
    out += fmt::format("{}{}:\n", margin, label_of(key));
    for (const Document& item : list) {
      out += fmt::format("{}  {}\n", margin, text_of_scalar(key, item));
    }
  } else if (std::ranges::all_of(list, is_flat)) {
    out += fmt::format("{}{}:\n", margin, label_of(key));
    append_table(out, list, indent + kIndent);
  } else {
    for (std::size_t i = 0; i < list.size(); ++i) {
      out += fmt::format("{}{} {} of {}:\n", margin, label_of(key), i + 1, list.size());
      append_object(out, list[i], indent + kIndent);
    }
  }
}

// Scalars first, under each other; then what is longer.
void append_object(std::string& out, const Document& object, std::size_t indent) {
  std::size_t width = 0;
  for (const auto& [key, value] : object.items()) {
    if (is_scalar(value)) width = std::max(width, label_of(key).size());
  }
  for (const auto& [key, value] : object.items()) {
    if (!is_scalar(value)) continue;
    out += fmt::format("{:{}}{:{}}  {}\n", "", indent, label_of(key), width,
                       text_of_scalar(key, value));
  }
  for (const auto& [key, value] : object.items()) {
    if (is_scalar(value) || value.empty()) continue;
    if (value.is_array()) {
      append_list(out, key, value, indent);
    } else {
      out += fmt::format("{:{}}{}:\n", "", indent, label_of(key));
      append_object(out, value, indent + kIndent);
    }
  }
}

}  // namespace

std::string to_text(const Document& document) {
  std::string out;
  append_object(out, document, 0);
  return out;
}

std::string to_json(const Document& document) {
  return document.dump(-1, ' ', false, Document::error_handler_t::replace);
}

void print(const Document& document, OutputForm form) {
  if (form == OutputForm::kTable) {
    fmt::print("{}", to_text(document));
  } else {
    fmt::print("{}\n", document.dump(2, ' ', false, Document::error_handler_t::replace));
  }
}

}  // namespace ashlar::store_tool
