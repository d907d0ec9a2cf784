#include "common/config/config_print.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "common/config/yaml_source.h"

namespace ashlar {
namespace {

using Fields = std::vector<const ConfigField*>;

class Printer {
 public:
  Printer(const ConfigSchema& schema, const ConfigOrigins& origins)
      : schema_(schema), origins_(origins) {}

  std::string print() && {
    out_ =
        fmt::format("# Effective configuration of {} {}\n", schema_.program(), schema_.version());
    Fields all;
    for (const ConfigField& field : schema_.fields()) all.push_back(&field);
    print_section("", all);
    return std::move(out_);
  }

 private:
  // `fields` all begin with `path`. Sections stand where their first setting stood in the schema,
  // and hold all of their settings: YAML wants them in one place.
  void print_section(const std::string& path, Fields fields) {
    while (!fields.empty()) {
      const std::string_view rest = std::string_view(fields.front()->key).substr(path.size());
      const std::size_t dot = rest.find('.');
      if (dot == std::string_view::npos) {
        print_field(*fields.front(), std::string(rest));
        fields.erase(fields.begin());
        continue;
      }
      const std::string section = path + std::string(rest.substr(0, dot + 1));
      line(std::string(rest.substr(0, dot)) + ":", "");
      const auto is_inside = [&](const ConfigField* field) {
        return field->key.starts_with(section);
      };
      Fields inside;
      std::ranges::copy_if(fields, std::back_inserter(inside), is_inside);
      std::erase_if(fields, is_inside);
      ++depth_;
      print_section(section, std::move(inside));
      --depth_;
    }
  }

  void print_field(const ConfigField& field, const std::string& name) {
    const auto found = origins_.find(&field);
    const std::string origin = found == origins_.end() ? "default" : found->second.text;
    const std::vector<std::string> texts = field.texts();
    if (field.shape == ConfigShape::kSecret) {
      if (found != origins_.end() && found->second.secret_file) {
        line(name + "_file: " + yaml_scalar(*found->second.secret_file), origin);
      } else {
        line("# " + name + ": " + (texts[0].empty() ? "(not set)" : texts[0]), origin);
      }
    } else if (field.shape != ConfigShape::kList) {
      line(name + ": " + yaml_scalar(texts[0]), origin);
    } else if (texts.empty()) {
      line(name + ": []", origin);
    } else {
      line(name + ":", origin);
      for (const std::string& text : texts) line("  - " + yaml_scalar(text), "");
    }
  }

  void line(const std::string& text, const std::string& comment) {
    constexpr std::size_t kCommentColumn = 40;
    std::string whole = std::string(2 * depth_, ' ') + text;
    if (!comment.empty()) {
      whole.resize(std::max(kCommentColumn, whole.size() + 2), ' ');
      whole += "# " + comment;
    }
    out_ += whole + "\n";
  }

  const ConfigSchema& schema_;
  const ConfigOrigins& origins_;
  std::size_t depth_ = 0;
  std::string out_;
};

}  // namespace

std::string print_config(const ConfigSchema& schema, const ConfigOrigins& origins) {
  return Printer(schema, origins).print();
}

}  // namespace ashlar
