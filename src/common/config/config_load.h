// Brings a schema's variables to what the operator wants. Of one setting the later source wins:
//
//   default  <  YAML file (--config FILE or <PROGRAM>_CONFIG)  <  environment  <  flags
//
//   int main(int argc, char** argv) {
//     …schema…
//     const ConfigOutcome outcome = load_config(schema, argc, argv);
//     if (const auto exit_code = finish(outcome)) return *exit_code;
//
// Nothing is guessed and nothing ignored: unknown keys, flags and variables with the program's
// prefix and bad values are refused, even where a later source would win. All errors of a load are
// told together, one a line, each beginning with where it is:
//
//   /etc/ashlar/volume.yaml:12: log.sizes: unknown key; did you mean log.size?
//   ASHLAR_VOLUME_LOG_SIZE: "1Go" is not a size (use 10Gi, 512MiB, …)
//   --log-sise: unknown flag; did you mean --log-size?
//
// A load that failed may have changed some of the variables: exit, do not go on.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/config/config_schema.h"
#include "common/config/environment_source.h"

namespace ashlar {

struct ConfigOutcome {
  // None to go on; 0 after --help, --version and --print-config, 2 after errors.
  std::optional<int> exit_code;
  std::string to_stdout;
  std::string to_stderr;
  // What --print-config would show, secrets left out: worth logging when a daemon starts.
  std::string effective_config;
};

// `arguments` without the program's name.
ConfigOutcome load_config(const ConfigSchema& schema, const std::vector<std::string>& arguments,
                          const Environment& environment);

// Of this process.
ConfigOutcome load_config(const ConfigSchema& schema, int argc, const char* const* argv);

// Prints what is to be printed; hands on the exit code.
std::optional<int> finish(const ConfigOutcome& outcome);

}  // namespace ashlar
