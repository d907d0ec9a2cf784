#include "common/config/config_schema.h"

#include "common/config/environment_source.h"

namespace ashlar {
namespace {

bool is_key(std::string_view key) {
  const auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  bool after_separator = true;
  for (const char c : key) {
    if (c == '.' || c == '_') {
      if (after_separator) return false;
      after_separator = true;
    } else {
      if (!good(c)) return false;
      after_separator = false;
    }
  }
  return !key.empty() && !after_separator;
}

std::string with_separators(std::string_view text, char separator) {
  std::string out(text);
  for (char& c : out) {
    if (c == '.' || c == '_' || c == '-') c = separator;
  }
  return out;
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

}  // namespace

ConfigSchema::ConfigSchema(std::string program, std::string summary, std::string version)
    : program_(std::move(program)),
      summary_(std::move(summary)),
      version_(version.empty() ? ASHLAR_VERSION : std::move(version)),
      environment_prefix_(upper(with_separators(program_, '_')) + "_") {}

bool ConfigSchema::is_section(std::string_view key) const {
  const std::string prefix = std::string(key) + ".";
  const auto at = by_key_.lower_bound(prefix);
  return at != by_key_.end() && at->first.starts_with(prefix);
}

ConfigField& ConfigSchema::add_field(std::string key, std::string description,
                                     std::string type_name) {
  ConfigField& field = fields_.emplace_back();
  field.key = std::move(key);
  field.group = group_;
  field.description = std::move(description);
  field.type_name = std::move(type_name);
  field.flag = "--" + with_separators(field.key, '-');
  field.environment = environment_prefix_ + upper(with_separators(field.key, '_'));
  add_spellings(field.key, {.field = &field});
  return field;
}

void ConfigSchema::add_spellings(const std::string& key, ConfigName name) {
  ASHLAR_CHECK(is_key(key), "\"{}\" is not a key of lower case words", key);
  const std::string flag = "--" + with_separators(key, '-');
  const std::string environment = environment_prefix_ + upper(with_separators(key, '_'));
  for (const std::string_view taken : {"--help", "--version", "--config", "--print-config"}) {
    ASHLAR_CHECK(flag != taken, "{} would be the flag {}", key, taken);
  }
  ASHLAR_CHECK(!is_service_link(environment, ""), "{} would be a variable Kubernetes sets", key);
  // A section cannot have a value of its own, nor a value lie below a value.
  ASHLAR_CHECK(!is_section(key), "{} is a section already", key);
  for (std::size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1)) {
    ASHLAR_CHECK(!by_key_.contains(key.substr(0, dot)), "{} lies below another setting", key);
  }
  ASHLAR_CHECK(by_key_.emplace(key, name).second, "{} is added twice", key);
  ASHLAR_CHECK(by_flag_.emplace(flag, name).second, "{}: {} is taken", key, flag);
  ASHLAR_CHECK(by_environment_.emplace(environment, name).second, "{}: {} is taken", key,
               environment);
}

}  // namespace ashlar
