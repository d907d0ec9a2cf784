// The effective configuration as YAML: every setting with its value, and in a comment where it came
// from. It can be given back to --config. Secrets stand in comments as <secret>, unless they came
// from a file: then the file is named.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "common/config/config_schema.h"

namespace ashlar {

struct ConfigOrigin {
  std::string text;  // "flag --log-size"
  std::optional<std::string> secret_file;
};
// Settings not in it have their default.
using ConfigOrigins = std::map<const ConfigField*, ConfigOrigin>;

std::string print_config(const ConfigSchema& schema, const ConfigOrigins& origins);

}  // namespace ashlar
