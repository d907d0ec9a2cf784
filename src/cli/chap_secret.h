// Where a CHAP secret comes from: a file, standard input ("-"), or the environment. Never the
// command line.
#pragma once

#include <string>

#include "common/base/result.h"
#include "common/base/secret.h"

namespace ashlar::cli {

// Without the newline at its end. `variable` is asked when no file is named; empty when neither has
// one.
Result<Secret> read_chap_secret(const std::string& file, const char* variable);

}  // namespace ashlar::cli
