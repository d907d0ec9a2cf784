// What one source of configuration says: settings it found, in order, and what was wrong with it.
// Sources know which settings there are and what shape they have; values are judged later.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/config/config_schema.h"

namespace ashlar {

struct ConfigSetting {
  ConfigName name;
  std::vector<std::string> texts;  // one, or the items of a list
  std::string where;               // as errors begin: "/etc/a.yaml:3: log.size" or "--log-size"
  std::string origin;              // as --print-config says: "/etc/a.yaml:3" or "flag --log-size"
};

struct ConfigFindings {
  std::vector<ConfigSetting> settings;
  std::vector<std::string> errors;
  bool unreadable = false;  // settings may be missing that the source has
};

// A name from outside as it is, or quoted if it would not print as it is.
std::string shown_name(std::string_view name);

// "<word>: unknown <kind>", with the nearest of `names` if one is near.
std::string unknown_name(std::string_view word, std::string_view kind,
                         const ConfigSchema::Names& names);

// The items of a list given as one text: "a,b" is two, "" is none.
std::vector<std::string> split_list(std::string_view text);

}  // namespace ashlar
