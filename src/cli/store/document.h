// How a command's answer is printed: a JSON document as it is, or the same document as text for
// people. In the text a key reads "log capacity", sizes ("…_bytes") have units, lists of flat
// objects are tables, and what is empty is left out.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace ashlar::store_tool {

using Document = nlohmann::ordered_json;

enum class OutputForm : std::uint8_t { kTable, kJson };

std::string to_text(const Document& document);
// One line. What is no UTF-8 (a foreign file's name) is replaced.
std::string to_json(const Document& document);
// On stdout, with an end of line; JSON over several lines.
void print(const Document& document, OutputForm form);

}  // namespace ashlar::store_tool
