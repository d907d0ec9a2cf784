// Settings from environment variables: ASHLAR_VOLUME_LOG_SIZE=1Gi. Lists are separated by commas.
// An unknown variable with the daemon's prefix is an error, for a misspelled one would be silence.
//
// Kubernetes puts variables for every Service into every pod; a Service called ashlar-volume-iscsi
// would look like settings of ashlar-volume. These are passed over, whoever set them:
//
//   …_SERVICE_HOST  …_SERVICE_PORT  …_SERVICE_PORT_<name>
//   …_PORT_<number>_{TCP,UDP,SCTP}[_PROTO|_PORT|_ADDR]
//   …_PORT with a value that begins with tcp://, udp:// or sctp://
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config/config_source.h"

namespace ashlar {

using Environment = std::vector<std::pair<std::string, std::string>>;

bool is_service_link(std::string_view name, std::string_view value);

ConfigFindings read_environment(const ConfigSchema& schema, const Environment& environment);

}  // namespace ashlar
