// What `ashlar-volume` can be told, and what is wrong with it. docs/operations.md has the table.
#pragma once

#include <string>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/base/time.h"
#include "common/config/config_schema.h"
#include "common/log/log.h"

namespace ashlar::server {

struct ServerConfig {
  std::string data_dir;
  std::vector<std::string> stores;
  bool standalone = false;
  bool take_over = false;
  std::uint32_t reactors = 0;  // 0: one a store

  // Portals. `advertise` is empty or has one address for each of `listen`.
  std::vector<Endpoint> iscsi_listen{Endpoint::ipv4(127, 0, 0, 1, 3260)};
  std::vector<Endpoint> iscsi_advertise;
  std::string iqn_prefix = "iqn.2026-01.io.ashlar:";
  std::uint32_t connections_max = 4096;
  std::uint32_t command_window = 128;
  ByteCount session_memory{32 << 20};
  Duration login_timeout = 15s;
  Duration idle_ping = 15s;
  Duration ping_timeout = 15s;

  Endpoint admin_listen = Endpoint::ipv4(127, 0, 0, 1, 7470);
  Endpoint http_listen = Endpoint::ipv4(127, 0, 0, 1, 7471);

  // Of each store, or of each reactor.
  ByteCount log_size{1 << 30};
  ByteCount buffer_memory{std::uint64_t{1} << 30};
  ByteCount payload_memory{256 << 20};
  ByteCount map_memory{64 << 20};
  ByteCount space_reserve{64 << 20};

  // SIGTERM to exit; what is not flushed by then is recovered from the log.
  Duration stop_timeout = 5s;

  LogOptions log;
};

// `config` outlives the schema.
void describe(ConfigSchema& schema, ServerConfig& config);

// The rules across settings, which the schema applies: stores and data directory apart from each
// other, no wildcard advertised, memory that suffices.
Result<> check_config(const ServerConfig& config);

// "iqn.2026-01.io.ashlar:" — an iSCSI name (RFC 7143, 4.2.7) that volumes' names are put behind.
Result<> check_iqn_prefix(const std::string& prefix);

// Of the portal that listens at `bound` (its port is a real one).
Endpoint advertised(const ServerConfig& config, std::size_t portal, const Endpoint& bound);

}  // namespace ashlar::server
