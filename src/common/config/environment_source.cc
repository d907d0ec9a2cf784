#include "common/config/environment_source.h"

#include <algorithm>

namespace ashlar {
namespace {

// …_PORT_<number>_TCP and what may follow.
bool is_port_link(std::string_view name) {
  for (const std::string_view part : {"_PROTO", "_PORT", "_ADDR"}) {
    if (name.ends_with(part)) {
      name.remove_suffix(part.size());
      break;
    }
  }
  for (const std::string_view protocol : {"_TCP", "_UDP", "_SCTP"}) {
    if (!name.ends_with(protocol)) continue;
    name.remove_suffix(protocol.size());
    const std::size_t digits = name.find_last_not_of("0123456789") + 1;
    return digits < name.size() && name.substr(0, digits).ends_with("_PORT_");
  }
  return false;
}

}  // namespace

bool is_service_link(std::string_view name, std::string_view value) {
  if (name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") ||
      name.find("_SERVICE_PORT_") != std::string_view::npos) {
    return true;
  }
  if (name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://") ||
                                  value.starts_with("sctp://"))) {
    return true;
  }
  return is_port_link(name);
}

ConfigFindings read_environment(const ConfigSchema& schema, const Environment& environment) {
  ConfigFindings findings;
  for (const auto& [variable, value] : environment) {
    if (!variable.starts_with(schema.environment_prefix()) ||
        variable == schema.environment_prefix() + "CONFIG" || is_service_link(variable, value)) {
      continue;
    }
    const auto known = schema.by_environment().find(variable);
    if (known == schema.by_environment().end()) {
      findings.errors.push_back(unknown_name(variable, "variable", schema.by_environment()));
      continue;
    }
    const ConfigName name = known->second;
    if (std::ranges::find(findings.settings, variable, &ConfigSetting::where) !=
        findings.settings.end()) {
      findings.errors.push_back(variable + ": is in the environment twice");
      continue;
    }
    findings.settings.push_back({.name = name,
                                 .texts = name.field->shape == ConfigShape::kList
                                              ? split_list(value)
                                              : std::vector<std::string>{value},
                                 .where = variable,
                                 .origin = "env " + variable});
  }
  return findings;
}

}  // namespace ashlar
