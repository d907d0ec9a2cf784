#include "volume/server/server_config.h"

#include <algorithm>
#include <string_view>

namespace ashlar::server {
namespace {

// A volume's name of 63 characters behind it gives an iSCSI name of at most 223.
constexpr std::size_t kLongestPrefix = 160;
// Of the buffers of a reactor beside what its stores hold: commands under way.
constexpr ByteCount kLeastFreeBuffers{64 << 20};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Without "." and "//" and a "/" at the end, so that one directory has one spelling. Symbolic links
// and ".." are left: two stores that are one directory meet at the store's lock.
std::string plain_path(std::string_view path) {
  std::string plain(path.starts_with('/') ? "/" : "");
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    if (!part.empty() && part != ".") {
      if (!plain.empty() && !plain.ends_with('/')) plain += '/';
      plain += part;
    }
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return plain.empty() ? "." : plain;
}

bool is_within(const std::string& inner, const std::string& outer) {
  return inner == outer || inner.starts_with(outer.ends_with('/') ? outer : outer + "/");
}

Result<> check_directories(const ServerConfig& config) {
  if (config.stores.empty()) return Error::invalid_argument("stores: at least one is needed");
  std::vector<std::string> paths;
  for (const std::string& store : config.stores) {
    if (store.empty()) return Error::invalid_argument("stores: a directory has no name");
    paths.push_back(plain_path(store));
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    for (std::size_t k = 0; k < paths.size(); ++k) {
      if (i != k && is_within(paths[k], paths[i])) {
        return Error::invalid_argument("stores: {} is within {}: each store is alone in its place",
                                       config.stores[k], config.stores[i]);
      }
    }
    if (is_within(plain_path(config.data_dir), paths[i])) {
      return Error::invalid_argument("data_dir: {} is within the store {}", config.data_dir,
                                     config.stores[i]);
    }
  }
  return {};
}

Result<> check_portals(const ServerConfig& config) {
  if (config.iscsi_listen.empty()) {
    return Error::invalid_argument("iscsi.listen: at least one address is needed");
  }
  if (!config.iscsi_advertise.empty() &&
      config.iscsi_advertise.size() != config.iscsi_listen.size()) {
    return Error::invalid_argument(
        "iscsi.advertise: {} addresses for the {} of iscsi.listen: one for each, or none",
        config.iscsi_advertise.size(), config.iscsi_listen.size());
  }
  for (const Endpoint& endpoint : config.iscsi_advertise) {
    if (endpoint.is_wildcard() || endpoint.port() == 0) {
      return Error::invalid_argument("iscsi.advertise: initiators cannot connect to {}", endpoint);
    }
  }
  for (const Endpoint& endpoint : config.iscsi_listen) {
    if (endpoint.is_wildcard() && config.iscsi_advertise.empty()) {
      return Error::invalid_argument(
          "iscsi.listen: initiators cannot connect to {}: say with iscsi.advertise what they are "
          "told",
          endpoint);
    }
    if (endpoint.port() != 0 &&
        std::count(config.iscsi_listen.begin(), config.iscsi_listen.end(), endpoint) > 1) {
      return Error::invalid_argument("iscsi.listen: {} stands there twice", endpoint);
    }
  }
  return {};
}

}  // namespace

Result<> check_iqn_prefix(const std::string& prefix) {
  // iqn.YYYY-MM.authority: and then anything of the characters that names keep after stringprep.
  const bool has_date = prefix.size() > 12 && prefix.starts_with("iqn.") && is_digit(prefix[4]) &&
                        is_digit(prefix[5]) && is_digit(prefix[6]) && is_digit(prefix[7]) &&
                        prefix[8] == '-' && is_digit(prefix[9]) && is_digit(prefix[10]) &&
                        prefix[11] == '.';
  const bool is_plain = std::all_of(prefix.begin(), prefix.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '.' || c == '-' || c == ':';
  });
  if (has_date && is_plain && prefix.ends_with(':') && prefix.size() > 13 &&
      prefix.size() <= kLongestPrefix) {
    return {};
  }
  return Error::invalid_argument(
      "{} does not begin an iSCSI name: iqn.YYYY-MM.DOMAIN: of a-z, 0-9, dot, hyphen and colon, at "
      "most {} characters",
      quote(prefix), kLongestPrefix);
}

Result<> check_config(const ServerConfig& config) {
  if (!config.standalone) {
    return Error::invalid_argument(
        "standalone: there is no master yet that this server could obey; say --standalone to serve "
        "volumes that are made on this server");
  }
  ASHLAR_TRY(check_directories(config));
  ASHLAR_TRY(check_portals(config));
  if (config.reactors > config.stores.size()) {
    return Error::invalid_argument("reactors: {} for {} stores: a store belongs to one reactor",
                                   config.reactors, config.stores.size());
  }
  const std::size_t reactors = config.reactors == 0 ? config.stores.size() : config.reactors;
  const std::size_t stores = (config.stores.size() + reactors - 1) / reactors;
  const ByteCount held = (config.payload_memory + config.map_memory) * stores;
  if (config.buffer_memory < held + kLeastFreeBuffers) {
    return Error::invalid_argument(
        "memory.buffers: {} do not suffice for {} of memory.payload and memory.maps of the stores "
        "of a reactor and {} for commands under way",
        config.buffer_memory, held, kLeastFreeBuffers);
  }
  return {};
}

Endpoint advertised(const ServerConfig& config, std::size_t portal, const Endpoint& bound) {
  return config.iscsi_advertise.empty() ? bound : config.iscsi_advertise[portal];
}

void describe(ConfigSchema& schema, ServerConfig& config) {
  schema
      .add("data_dir", &config.data_dir,
           "Directory for what the server knows of itself; made if it is not there")
      .required();
  schema
      .add("stores", &config.stores,
           "Directories of the stores, each on a disk of its own; an empty one is formatted")
      .required();
  schema.add("standalone", &config.standalone,
             "Serve volumes that are made on this server, without a master");
  schema.add("take_over", &config.take_over,
             "Take stores over that belong to another server: never while that one may be running");
  schema.add("reactors", &config.reactors, "Threads that serve volumes; 0: one for each store");
  schema.add("stop_timeout", &config.stop_timeout, "From SIGTERM to the end of the process at most")
      .range(1s, 10min);

  schema.group("iSCSI");
  schema.add("iscsi.listen", &config.iscsi_listen, "Portals; port 0 picks a free one");
  schema.add("iscsi.advertise", &config.iscsi_advertise,
             "What initiators are told instead of iscsi.listen, one for each of it");
  schema
      .add("iscsi.iqn_prefix", &config.iqn_prefix,
           "What stands before a volume's name in its iSCSI name")
      .check(check_iqn_prefix);
  schema
      .add("iscsi.connections", &config.connections_max,
           "Connections at a time; more are closed when they come")
      .range(1, 65536);
  schema
      .add("iscsi.command_window", &config.command_window,
           "Commands that a session may have under way")
      .range(1, 1024);
  schema
      .add("iscsi.session_memory", &config.session_memory, "Data that a session may have under way")
      .range(ByteCount(8 << 20), ByteCount(std::uint64_t{4} << 30));
  schema
      .add("iscsi.login_timeout", &config.login_timeout,
           "A connection that has not logged in by then is closed")
      .range(1s, 10min);
  schema
      .add("iscsi.idle_ping", &config.idle_ping,
           "An initiator that was silent so long is asked whether it is there")
      .range(1s, 1h);
  schema
      .add("iscsi.ping_timeout", &config.ping_timeout,
           "A connection whose initiator has not answered by then is closed")
      .range(1s, 1h);

  schema.group("Administration");
  schema.add("admin.listen", &config.admin_listen,
             "Where the ashlar command and other gRPC clients connect; port 0 picks a free one. "
             "Whoever can connect there may do everything");
  schema.add("http.listen", &config.http_listen,
             "Where /metrics, /healthz and /readyz are served; port 0 picks a free one");

  schema.group("Storage");
  schema.add("store.log_size", &config.log_size, "Of the log of a store that is formatted")
      .range(ByteCount(64 << 20), ByteCount(std::uint64_t{1} << 40));
  schema
      .add("store.space_reserve", &config.space_reserve,
           "Kept free on a store's file system; below it new writes are refused")
      .range(ByteCount(1 << 20), ByteCount(std::uint64_t{1} << 40));
  schema.add("memory.buffers", &config.buffer_memory, "Of one reactor, for data on its way")
      .range(ByteCount(128 << 20), ByteCount(std::uint64_t{1} << 40));
  schema
      .add("memory.payload", &config.payload_memory,
           "Of one store, for data that is in the log and not in its place yet; part of "
           "memory.buffers")
      .range(ByteCount(16 << 20), ByteCount(std::uint64_t{1} << 40));
  schema
      .add("memory.maps", &config.map_memory,
           "Of one store, for pages of chunk maps; part of memory.buffers")
      .range(ByteCount(4 << 20), ByteCount(std::uint64_t{1} << 40));

  schema.group("Log");
  schema.add_enum("log.level", &config.log.level, kLogLevelNames, "Least level that is written");
  schema.add_enum("log.format", &config.log.format, kLogFormatNames, "Form of log records");
  schema.add("log.file", &config.log.file, "File to append to; standard error if empty");

  schema.check([&config] { return check_config(config); });
}

}  // namespace ashlar::server
