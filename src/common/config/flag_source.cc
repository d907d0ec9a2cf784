#include "common/config/flag_source.h"

#include <algorithm>
#include <utility>

#include "common/base/quote.h"

namespace ashlar {
namespace {

class FlagReader {
 public:
  FlagReader(const ConfigSchema& schema, const std::vector<std::string>& arguments)
      : schema_(schema), arguments_(arguments) {}

  FlagFindings read() && {
    while (next_ < arguments_.size()) read_argument(arguments_[next_++]);
    return std::move(findings_);
  }

 private:
  void read_argument(const std::string& argument) {
    const std::size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = argument.substr(equals + 1);

    if (flag == "--help" || flag == "-h") {
      read_switch(flag, value, findings_.help);
    } else if (flag == "--version") {
      read_switch(flag, value, findings_.version);
    } else if (flag == "--print-config") {
      read_switch(flag, value, findings_.print_config);
    } else if (flag == "--config") {
      read_config(std::move(value));
    } else if (const auto known = schema_.by_flag().find(flag); known != schema_.by_flag().end()) {
      read_setting(flag, known->second, std::move(value));
    } else if (flag.starts_with('-')) {
      error(unknown_name(flag, "flag", schema_.by_flag()));
    } else {
      error(fmt::format("{}: unexpected argument; settings are given as --key value",
                        quote(argument)));
    }
  }

  void read_switch(const std::string& flag, const std::optional<std::string>& value, bool& out) {
    if (value) error(flag + ": takes no value");
    out = true;
  }

  void read_config(std::optional<std::string> value) {
    if (findings_.config_file) error("--config: given twice");
    if (auto file = value_or_next("--config", std::move(value))) findings_.config_file = file;
  }

  void read_setting(const std::string& flag, ConfigName name, std::optional<std::string> value) {
    const ConfigShape shape = name.field->shape;
    if (shape == ConfigShape::kSwitch) {
      // Never takes the next argument: `--tls --help` must mean both.
      if (!value) value = "true";
    } else {
      value = value_or_next(flag, std::move(value));
      if (!value) return;
    }
    const auto before = std::ranges::find(findings_.found.settings, flag, &ConfigSetting::where);
    if (shape != ConfigShape::kList) {
      if (before != findings_.found.settings.end()) return error(flag + ": given twice");
      add(flag, name, {*value});
    } else if (before == findings_.found.settings.end()) {
      add(flag, name, split_list(*value));
    } else {
      for (auto& item : split_list(*value)) before->texts.push_back(std::move(item));
    }
  }

  void add(const std::string& flag, ConfigName name, std::vector<std::string> texts) {
    findings_.found.settings.push_back(
        {.name = name, .texts = std::move(texts), .where = flag, .origin = "flag " + flag});
  }

  std::optional<std::string> value_or_next(const std::string& flag,
                                           std::optional<std::string> value) {
    if (value) return value;
    if (next_ < arguments_.size() && !arguments_[next_].starts_with("--")) {
      return arguments_[next_++];
    }
    error(flag + ": needs a value");
    return std::nullopt;
  }

  void error(std::string text) { findings_.found.errors.push_back(std::move(text)); }

  const ConfigSchema& schema_;
  const std::vector<std::string>& arguments_;
  std::size_t next_ = 0;
  FlagFindings findings_;
};

}  // namespace

FlagFindings read_flags(const ConfigSchema& schema, const std::vector<std::string>& arguments) {
  return FlagReader(schema, arguments).read();
}

}  // namespace ashlar
