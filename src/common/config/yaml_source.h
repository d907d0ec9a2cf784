// Settings from a YAML file: nested maps for dotted keys, sequences for lists. Of YAML only what a
// person needs: one document, scalars, no keys twice, nesting and size bounded.
#pragma once

#include <string>
#include <string_view>

#include "common/config/config_source.h"

namespace ashlar {

// Errors begin with "<file>:<line>: ". A section left empty ("log:" and nothing below) is fine.
ConfigFindings read_yaml(const ConfigSchema& schema, const std::string& file,
                         const std::string& content);

// `text` as a YAML scalar that reads back as the same text, quoted only if need be.
std::string yaml_scalar(std::string_view text);

}  // namespace ashlar
