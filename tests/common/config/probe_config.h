// A daemon's configuration with a setting of every type, for the tests and for config_probe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config/config_schema.h"

namespace ashlar::test {

enum class Form : std::uint8_t { kText, kJson };
inline constexpr std::array<std::pair<std::string_view, Form>, 2> kFormNames = {
    {{"text", Form::kText}, {"json", Form::kJson}}};

struct ProbeConfig {
  std::string data_dir;
  std::uint32_t reactors = 1;
  std::int16_t offset = 0;
  bool tls = false;
  Form form = Form::kText;
  ByteCount log_size{1ULL << 30};
  Duration lease = std::chrono::seconds(10);
  Duration renewal = std::chrono::seconds(3);
  Endpoint listen = *Endpoint::parse("127.0.0.1:3260");
  std::vector<Endpoint> masters;
  std::vector<std::string> tags = {"a"};
  Secret token;
};

inline void add_probe_settings(ConfigSchema& schema, ProbeConfig& config) {
  schema.add("data_dir", &config.data_dir, "Where the data is").required();
  schema.add("reactors", &config.reactors, "Number of reactors").range(1, 64);
  schema.add("offset", &config.offset, "A signed number");
  schema.group("Log");
  schema.add("log.size", &config.log_size, "Size of the log ring")
      .range(ByteCount(64ULL << 20), ByteCount(1ULL << 40));
  schema.add_enum("log.form", &config.form, kFormNames, "Form of log records");
  schema.group("Leases");
  schema.add("lease.duration", &config.lease, "How long a lease holds")
      .range(std::chrono::seconds(1), std::chrono::seconds(60));
  schema.add("lease.renewal", &config.renewal, "How often it is renewed");
  schema.group("Network");
  schema.add("listen", &config.listen, "Where to listen");
  schema.add("masters", &config.masters, "The masters");
  schema.add("tags", &config.tags, "Words")
      .check([](const std::vector<std::string>& tags) -> Result<> {
        if (tags.size() > 3) return Error::invalid_argument("more than 3 tags");
        return {};
      });
  schema.add("tls", &config.tls, "Whether to use TLS");
  schema.add("auth.token", &config.token, "Shared secret");
  schema.check([&config]() -> Result<> {
    if (config.renewal < config.lease) return {};
    return Error::invalid_argument("lease.renewal ({}) must be below lease.duration ({})",
                                   format_duration(config.renewal), format_duration(config.lease));
  });
}

struct Probe {
  Probe() { add_probe_settings(schema, config); }
  ProbeConfig config;
  ConfigSchema schema{"ashlar-probe", "Shows its configuration", "9.8.7"};
};

}  // namespace ashlar::test
