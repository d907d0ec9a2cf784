// A daemon that does nothing but read its configuration: the tests start it as a process.
#include <cstdio>

#include "common/config/config_load.h"
#include "tests/common/config/probe_config.h"

int main(int argc, char** argv) {
  ashlar::test::Probe probe;
  const ashlar::ConfigOutcome outcome = ashlar::load_config(probe.schema, argc, argv);
  if (const auto exit_code = ashlar::finish(outcome)) return *exit_code;
  std::printf("running in %s\n", probe.config.data_dir.c_str());
  return 0;
}
