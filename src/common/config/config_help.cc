#include "common/config/config_help.h"

#include <vector>

namespace ashlar {
namespace {

std::string default_of(const ConfigField& field) {
  if (field.required) return "required";
  switch (field.shape) {
    case ConfigShape::kSecret:
      return "default: not set";
    case ConfigShape::kList: {
      std::string items;
      for (const auto& text : field.default_texts) items += (items.empty() ? "" : ",") + text;
      return items.empty() ? "default: none" : "default: " + items;
    }
    case ConfigShape::kValue:
    case ConfigShape::kSwitch:
      return "default: " + (field.default_texts[0].empty() ? "empty" : field.default_texts[0]);
  }
  ASHLAR_UNREACHABLE();
}

std::string help_of(const ConfigField& field) {
  std::string text = "  " + field.flag;
  if (field.shape == ConfigShape::kSwitch) {
    text += "[=true|false]";
  } else {
    text += " " + field.type_name;
  }
  text += "\n      " + field.description;
  text += "\n      " + default_of(field);
  if (!field.range.empty()) text += "; " + field.range;
  text +=
      fmt::format("\n      in the file {}, in the environment {}", field.key, field.environment);
  if (field.shape == ConfigShape::kSecret) {
    text += fmt::format("\n      or from the file named by {}-file, {}_file, {}_FILE", field.flag,
                        field.key, field.environment);
    text += "\n      (others on this machine can read flags: name a file instead)";
  }
  return text + "\n";
}

}  // namespace

std::string config_help(const ConfigSchema& schema) {
  std::string text = fmt::format(
      R"({0} {1}: {2}

Usage: {0} [--config FILE] [--SETTING VALUE]...

Flags win over the environment, the environment over the file, the file over defaults.

  --config FILE
      YAML file to read settings from
      in the environment {3}CONFIG
  --print-config
      Print the effective configuration, a loadable file that says where each value came from
  --version
      Print the version
  --help, -h
      Print this
)",
      schema.program(), schema.version(), schema.summary(), schema.environment_prefix());
  // Groups in the order in which they first appear.
  std::vector<std::string> groups;
  for (const ConfigField& field : schema.fields()) {
    if (std::ranges::find(groups, field.group) == groups.end()) groups.push_back(field.group);
  }
  for (const std::string& group : groups) {
    text += "\n" + (group.empty() ? "Settings" : group) + ":\n";
    for (const ConfigField& field : schema.fields()) {
      if (field.group == group) text += help_of(field);
    }
  }
  return text;
}

}  // namespace ashlar
