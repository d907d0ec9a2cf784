// What a daemon can be told: every setting with its dotted key, the variable it lands in, and what
// the help says about it. The value a variable has when it is added is the default.
//
//   VolumeConfig config;
//   ConfigSchema schema("ashlar-volume", "Serves replicated volumes over iSCSI");
//   schema.add("data_dir", &config.data_dir, "Where this server keeps its data").required();
//   schema.group("Log");
//   schema.add("log.size", &config.log_size, "Size of the log ring").range(kLogSizeMin,
//   kLogSizeMax); schema.add_enum("log.format", &config.format, kLogFormatNames, "Form of log
//   records"); schema.check([&] { return lease_fits(config); });
//
// One key is a setting in the file (nested maps), a flag and an environment variable:
// `log.size`, `--log-size`, `ASHLAR_VOLUME_LOG_SIZE`. A Secret `auth.token` may also be read from a
// file named by `auth.token_file`.
//
// Types: bool, integers, std::string, ByteCount, Duration, Endpoint, Secret, enums by their names,
// and std::vector of any of these but bool and Secret. A schema that contradicts itself (a key
// twice, a default out of its range) is a fatal check.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/quote.h"
#include "common/base/result.h"
#include "common/config/config_value.h"

namespace ashlar {

enum class ConfigShape : unsigned char { kValue, kSwitch, kList, kSecret };

// One setting, its type erased. Texts are in the form of ConfigType.
struct ConfigField {
  std::string key;
  std::string flag;         // "--log-size"
  std::string environment;  // "ASHLAR_VOLUME_LOG_SIZE"
  std::string group;
  std::string description;
  std::string type_name;
  std::string range;  // "from 64Mi to 1Ti", "one of text, json" or empty
  ConfigShape shape = ConfigShape::kValue;
  bool required = false;
  std::vector<std::string> default_texts;

  // Exactly one text unless it is a list. Leaves the variable alone if it fails.
  std::function<Result<>(const std::vector<std::string>&)> assign;
  std::function<std::vector<std::string>()> texts;
};

// What a key, flag or variable stands for: a setting, or the file a secret is read from.
struct ConfigName {
  const ConfigField* field = nullptr;
  bool is_file_of_secret = false;
};

template <class T>
using ConfigChecks = std::vector<std::function<Result<>(const T&)>>;

// Says more about the setting just added.
template <class T>
class ConfigFieldOf {
 public:
  ConfigFieldOf(ConfigField& field, const T* target, std::shared_ptr<ConfigChecks<T>> checks)
      : field_(field), target_(target), checks_(std::move(checks)) {}

  // Both ends included.
  ConfigFieldOf& range(T least, T most)
    requires std::is_integral_v<T> || std::is_same_v<T, ByteCount> || std::is_same_v<T, Duration>
  {
    ASHLAR_CHECK(least <= *target_ && *target_ <= most, "default of {}", field_.key);
    const std::string range = ConfigType<T>::format(least) + " to " + ConfigType<T>::format(most);
    field_.range = "from " + range;
    return check([least, most, range](const T& value) -> Result<> {
      if (least <= value && value <= most) return {};
      return Error::out_of_range("{} is not within {}", ConfigType<T>::format(value), range);
    });
  }
  // There is no default.
  ConfigFieldOf& required() {
    field_.required = true;
    return *this;
  }
  // Its error completes "<where>: <key>: …".
  ConfigFieldOf& check(std::function<Result<>(const T&)> check) {
    checks_->push_back(std::move(check));
    return *this;
  }

 private:
  ConfigField& field_;
  const T* target_;
  std::shared_ptr<ConfigChecks<T>> checks_;
};

class ConfigSchema {
 public:
  // `version` empty: that of this build.
  ConfigSchema(std::string program, std::string summary, std::string version = {});
  ConfigSchema(const ConfigSchema&) = delete;
  ConfigSchema& operator=(const ConfigSchema&) = delete;

  // Heading in the help of the settings added from here on.
  void group(std::string title) { group_ = std::move(title); }

  // `target` outlives the schema.
  template <class T>
  ConfigFieldOf<T> add(std::string key, T* target, std::string description) {
    ConfigField& field = add_field(std::move(key), std::move(description), ConfigType<T>::name());
    if constexpr (std::is_same_v<T, bool>) field.shape = ConfigShape::kSwitch;
    if constexpr (std::is_same_v<T, Secret>) field.shape = ConfigShape::kSecret;
    return bind_value(field, target, &ConfigType<T>::parse, &ConfigType<T>::format);
  }

  template <class T>
  ConfigFieldOf<std::vector<T>> add(std::string key, std::vector<T>* target,
                                    std::string description) {
    static_assert(!std::is_same_v<T, bool> && !std::is_same_v<T, Secret>);
    ConfigField& field =
        add_field(std::move(key), std::move(description), ConfigType<T>::name() + ",…");
    field.shape = ConfigShape::kList;
    return bind_list(field, target);
  }

  // `names` is a range of pairs (std::string_view, E) that lives as long as the schema.
  template <class E, class Names>
  ConfigFieldOf<E> add_enum(std::string key, E* target, const Names& names,
                            std::string description) {
    ConfigField& field = add_field(std::move(key), std::move(description), "NAME");
    std::string listed;
    for (const auto& [name, value] : names) {
      listed += (listed.empty() ? "" : ", ") + std::string(name);
    }
    field.range = "one of " + listed;
    const auto parse = [&names, listed](std::string_view text) -> Result<E> {
      for (const auto& [name, value] : names) {
        if (name == text) return value;
      }
      return Error::invalid_argument("{} is not one of {}", quote(text), listed);
    };
    const auto format = [&names](E current) -> std::string {
      for (const auto& [name, value] : names) {
        if (value == current) return std::string(name);
      }
      ASHLAR_UNREACHABLE("an enum value without a name");
    };
    return bind_value(field, target, parse, format);
  }

  // A rule across settings; runs when every single one is right.
  void check(std::function<Result<>()> rule) { rules_.push_back(std::move(rule)); }

  // For loading and help.
  const std::string& program() const { return program_; }
  const std::string& summary() const { return summary_; }
  const std::string& version() const { return version_; }
  const std::string& environment_prefix() const { return environment_prefix_; }
  const std::deque<ConfigField>& fields() const { return fields_; }
  const std::vector<std::function<Result<>()>>& rules() const { return rules_; }

  // The spellings of every setting, each with what it stands for.
  using Names = std::map<std::string, ConfigName, std::less<>>;
  const Names& by_key() const { return by_key_; }
  const Names& by_flag() const { return by_flag_; }
  const Names& by_environment() const { return by_environment_; }
  // Whether some key lies below this one: "log" for "log.size".
  bool is_section(std::string_view key) const;

 private:
  ConfigField& add_field(std::string key, std::string description, std::string type_name);
  void add_spellings(const std::string& key, ConfigName name);

  template <class T, class Parse, class Format>
  ConfigFieldOf<T> bind_value(ConfigField& field, T* target, Parse parse, Format format) {
    auto checks = std::make_shared<ConfigChecks<T>>();
    field.texts = [target, format] { return std::vector<std::string>{format(*target)}; };
    field.default_texts = field.texts();
    field.assign = [target, parse, checks](const std::vector<std::string>& texts) -> Result<> {
      ASHLAR_CHECK_EQ(texts.size(), 1U);
      ASHLAR_TRY_ASSIGN(T value, parse(texts[0]));
      for (const auto& check : *checks) ASHLAR_TRY(check(value));
      *target = std::move(value);
      return {};
    };
    if (field.shape == ConfigShape::kSecret) {
      add_spellings(field.key + "_file", {.field = &field, .is_file_of_secret = true});
    }
    return {field, target, std::move(checks)};
  }

  template <class T>
  ConfigFieldOf<std::vector<T>> bind_list(ConfigField& field, std::vector<T>* target) {
    auto checks = std::make_shared<ConfigChecks<std::vector<T>>>();
    field.texts = [target] {
      std::vector<std::string> texts;
      for (const T& value : *target) texts.push_back(ConfigType<T>::format(value));
      return texts;
    };
    field.default_texts = field.texts();
    field.assign = [target, checks](const std::vector<std::string>& texts) -> Result<> {
      std::vector<T> values;
      for (const std::string& text : texts) {
        ASHLAR_TRY_ASSIGN(T value, ConfigType<T>::parse(text));
        values.push_back(std::move(value));
      }
      for (const auto& check : *checks) ASHLAR_TRY(check(values));
      *target = std::move(values);
      return {};
    };
    return {field, target, std::move(checks)};
  }

  std::string program_;
  std::string summary_;
  std::string version_;
  std::string environment_prefix_;
  std::string group_;
  std::deque<ConfigField> fields_;  // of stable addresses
  std::vector<std::function<Result<>()>> rules_;
  Names by_key_;
  Names by_flag_;
  Names by_environment_;
};

}  // namespace ashlar
