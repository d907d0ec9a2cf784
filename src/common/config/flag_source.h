// Settings from the command line: `--log-size 1Gi` or `--log-size=1Gi`, `--tls` or `--tls=false`,
// lists separated by commas or given by repeating the flag. And the flags every daemon has.
//
// Written by hand rather than with CLI11, which stops at the first error: we report all of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/config/config_source.h"

namespace ashlar {

struct FlagFindings {
  ConfigFindings found;
  std::optional<std::string> config_file;  // --config FILE
  bool help = false;
  bool version = false;
  bool print_config = false;
};

// `arguments` without the program's name.
FlagFindings read_flags(const ConfigSchema& schema, const std::vector<std::string>& arguments);

}  // namespace ashlar
