#include "common/config/config_load.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>

#include <unistd.h>

#include "common/config/config_help.h"
#include "common/config/config_print.h"
#include "common/config/flag_source.h"
#include "common/config/yaml_source.h"

namespace ashlar {
namespace {

constexpr std::size_t kFileMax = std::size_t{1} << 20;

Result<std::string> read_small_file(const std::string& path) {
  const auto close = [](std::FILE* file) { std::fclose(file); };
  const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "re"), close);
  if (!file) return Error::from_errno(errno, path);
  std::string content(kFileMax + 1, '\0');
  content.resize(std::fread(content.data(), 1, content.size(), file.get()));
  if (std::ferror(file.get()) != 0) return Error::from_errno(errno, path);
  if (content.size() > kFileMax) return Error::invalid_argument("{}: larger than 1 MiB", path);
  return content;
}

// The secret in a file: all of it but the line end that editors add.
Result<std::string> read_secret(const std::string& path) {
  ASHLAR_TRY_ASSIGN(std::string secret, read_small_file(path));
  if (secret.ends_with('\n')) secret.pop_back();
  if (secret.ends_with('\r')) secret.pop_back();
  if (secret.empty()) return Error::invalid_argument("{}: is empty", path);
  return secret;
}

class Loader {
 public:
  explicit Loader(const ConfigSchema& schema) : schema_(schema) {}

  // Sources in rising precedence.
  void apply(ConfigFindings findings) {
    for (auto& error : findings.errors) errors_.push_back(std::move(error));
    something_unread_ |= findings.unreadable;
    std::set<const ConfigField*> of_this_source;
    for (const ConfigSetting& setting : findings.settings) {
      if (!of_this_source.insert(setting.name.field).second) {
        // Keys are unique in a file and flags on a command line: this is a secret and its file.
        errors_.push_back(fmt::format("{}: {} is set both in place and by a file", setting.where,
                                      setting.name.field->key));
        continue;
      }
      apply(setting);
    }
  }

  // What only shows when all sources have spoken.
  void judge_the_whole() {
    for (const ConfigField& field : schema_.fields()) {
      if (!field.required || origins_.contains(&field) || something_unread_) continue;
      errors_.push_back(fmt::format("{}: must be set ({}, {} or in the config file)", field.key,
                                    field.flag, field.environment));
    }
    if (!errors_.empty()) return;
    for (const auto& rule : schema_.rules()) {
      if (const auto kept = rule(); !kept.ok()) errors_.push_back(kept.error().message());
    }
  }

  const std::vector<std::string>& errors() const { return errors_; }
  const ConfigOrigins& origins() const { return origins_; }

 private:
  void apply(const ConfigSetting& setting) {
    const ConfigField& field = *setting.name.field;
    ConfigOrigin origin{.text = setting.origin, .secret_file = {}};
    std::vector<std::string> texts = setting.texts;
    if (setting.name.is_file_of_secret) {
      auto secret = read_secret(texts[0]);
      if (!secret.ok()) {
        errors_.push_back(fmt::format("{}: {}", setting.where, secret.error().message()));
        set_but_wrong(field);
        return;
      }
      origin.secret_file = texts[0];
      texts = {*std::move(secret)};
    }
    if (const auto assigned = field.assign(texts); !assigned.ok()) {
      errors_.push_back(fmt::format("{}: {}", setting.where, assigned.error().message()));
    }
    if (field.shape == ConfigShape::kSecret) ::explicit_bzero(texts[0].data(), texts[0].size());
    origins_[&field] = std::move(origin);
  }

  // Wrong is not missing.
  void set_but_wrong(const ConfigField& field) { origins_[&field] = {}; }

  const ConfigSchema& schema_;
  std::vector<std::string> errors_;
  ConfigOrigins origins_;
  bool something_unread_ = false;
};

std::optional<std::string> config_file(const ConfigSchema& schema, const FlagFindings& flags,
                                       const Environment& environment) {
  if (flags.config_file) return flags.config_file;
  for (const auto& [variable, value] : environment) {
    if (variable == schema.environment_prefix() + "CONFIG") return value;
  }
  return std::nullopt;
}

ConfigFindings read_file(const ConfigSchema& schema, const std::string& file) {
  const auto content = read_small_file(file);
  if (content.ok()) return read_yaml(schema, file, *content);
  return {.settings = {}, .errors = {content.error().message()}, .unreadable = true};
}

std::string tell(const ConfigSchema& schema, const std::vector<std::string>& errors) {
  std::string text;
  for (const std::string& error : errors) text += error + "\n";
  text += fmt::format("{}: {} error{} in the configuration; --help lists every setting\n",
                      schema.program(), errors.size(), errors.size() == 1 ? "" : "s");
  return text;
}

}  // namespace

ConfigOutcome load_config(const ConfigSchema& schema, const std::vector<std::string>& arguments,
                          const Environment& environment) {
  FlagFindings flags = read_flags(schema, arguments);
  if (flags.help) return {.exit_code = 0, .to_stdout = config_help(schema)};
  if (flags.version) {
    return {.exit_code = 0, .to_stdout = schema.program() + " " + schema.version() + "\n"};
  }

  Loader loader(schema);
  if (const auto file = config_file(schema, flags, environment)) {
    loader.apply(read_file(schema, *file));
  }
  loader.apply(read_environment(schema, environment));
  loader.apply(std::move(flags.found));
  loader.judge_the_whole();
  if (!loader.errors().empty()) {
    return {.exit_code = 2, .to_stderr = tell(schema, loader.errors())};
  }

  ConfigOutcome outcome;
  outcome.effective_config = print_config(schema, loader.origins());
  if (flags.print_config) {
    outcome.exit_code = 0;
    outcome.to_stdout = outcome.effective_config;
  }
  return outcome;
}

ConfigOutcome load_config(const ConfigSchema& schema, int argc, const char* const* argv) {
  Environment environment;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return load_config(schema, std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc),
                     environment);
}

std::optional<int> finish(const ConfigOutcome& outcome) {
  std::fputs(outcome.to_stdout.c_str(), stdout);
  std::fputs(outcome.to_stderr.c_str(), stderr);
  std::fflush(stdout);
  return outcome.exit_code;
}

}  // namespace ashlar
