// The text of --help, made from the schema alone.
#pragma once

#include <string>

#include "common/config/config_schema.h"

namespace ashlar {

std::string config_help(const ConfigSchema& schema);

}  // namespace ashlar
