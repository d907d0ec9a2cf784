// The only file that sees yaml-cpp.
#include "common/config/yaml_source.h"

#include <algorithm>
#include <exception>
#include <set>
#include <utility>

#include <yaml-cpp/yaml.h>

namespace ashlar {
namespace {

// Deeper than any of our keys; an alias inside its own anchor would go on for ever.
constexpr int kDepthMax = 8;
// Nobody reads more, and aliases can make a small file hold a great many.
constexpr std::size_t kErrorsMax = 100;

class YamlReader {
 public:
  YamlReader(const ConfigSchema& schema, const std::string& file) : schema_(schema), file_(file) {}

  // May throw what yaml-cpp throws.
  ConfigFindings read(const std::string& content) && {
    const std::vector<YAML::Node> documents = YAML::LoadAll(content);
    if (documents.size() > 1) {
      error(documents[1], "a second YAML document; a config file has one");
    } else if (documents.size() == 1 && !documents[0].IsNull()) {
      if (documents[0].IsMap()) {
        read_map("", documents[0], 1);
      } else {
        error(documents[0], "a config file is a map of keys to values");
      }
    }
    return std::move(findings_);
  }

 private:
  void read_map(const std::string& path, const YAML::Node& map, int depth) {
    std::set<std::string> seen;
    for (const auto& entry : map) {
      if (findings_.errors.size() >= kErrorsMax) return;
      const YAML::Node& key_node = entry.first;
      const YAML::Node& value = entry.second;
      if (!key_node.IsScalar()) {
        error(key_node, "a key is a word, not a list or map");
        continue;
      }
      const std::string name = shown_name(key_node.Scalar());
      const std::string key = path.empty() ? name : fmt::format("{}.{}", path, name);
      if (!seen.insert(key_node.Scalar()).second) {
        error(key_node, key + ": given twice");
        continue;
      }
      if (depth > kDepthMax) {
        error(key_node, key + ": nested too deeply");
        continue;
      }
      read_value(key, key_node, value, depth);
    }
  }

  void read_value(const std::string& key, const YAML::Node& key_node, const YAML::Node& value,
                  int depth) {
    const auto known = schema_.by_key().find(key);
    if (known != schema_.by_key().end()) {
      read_setting(key, key_node, value, known->second);
    } else if (value.IsMap()) {
      read_map(key, value, depth + 1);
    } else if (!schema_.is_section(key)) {
      error(key_node, unknown_name(key, "key", schema_.by_key()));
    } else if (!value.IsNull()) {
      error(key_node, key + ": is a section, a map of settings");
    }
  }

  void read_setting(const std::string& key, const YAML::Node& key_node, const YAML::Node& value,
                    ConfigName name) {
    ConfigSetting setting{.name = name,
                          .texts = {},
                          .where = fmt::format("{}: {}", place(key_node), key),
                          .origin = place(key_node)};
    if (name.field->shape == ConfigShape::kList) {
      if (!value.IsSequence()) return error(key_node, key + ": is a list, write [a, b]");
      for (const YAML::Node& item : value) {
        if (!item.IsScalar()) return error(item, key + ": an item is a single value");
        setting.texts.push_back(item.Scalar());
      }
    } else {
      if (value.IsNull()) return error(key_node, key + ": has no value");
      if (!value.IsScalar()) return error(key_node, key + ": is a single value");
      setting.texts.push_back(value.Scalar());
    }
    findings_.settings.push_back(std::move(setting));
  }

  std::string place(const YAML::Node& node) const {
    return fmt::format("{}:{}", file_, node.Mark().line + 1);
  }
  void error(const YAML::Node& node, std::string_view text) {
    findings_.errors.push_back(fmt::format("{}: {}", place(node), text));
  }

  const ConfigSchema& schema_;
  const std::string& file_;
  ConfigFindings findings_;
};

// Words that mean something other than themselves in some YAML.
bool is_yaml_word(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (const std::string_view word : {"null", "~", "yes", "no", "on", "off"}) {
    if (lower == word) return true;
  }
  return false;
}

bool is_plain_scalar(std::string_view text) {
  if (text.empty() || is_yaml_word(text)) return false;
  const bool safe = std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._:-+@%").find(c) != std::string_view::npos;
  });
  const char first = text.front();
  return safe && first != '-' && first != '@' && first != '%' && first != ':' && text.back() != ':';
}

}  // namespace

ConfigFindings read_yaml(const ConfigSchema& schema, const std::string& file,
                         const std::string& content) {
  ConfigFindings failed{.unreadable = true};
  try {
    return YamlReader(schema, file).read(content);
  } catch (const YAML::Exception& e) {
    failed.errors.push_back(e.mark.is_null()
                                ? fmt::format("{}: {}", file, e.msg)
                                : fmt::format("{}:{}: {}", file, e.mark.line + 1, e.msg));
  } catch (const std::exception& e) {
    failed.errors.push_back(fmt::format("{}: {}", file, e.what()));
  }
  return failed;
}

std::string yaml_scalar(std::string_view text) {
  if (is_plain_scalar(text)) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace ashlar
