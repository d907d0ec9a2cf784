// quote(text): text from outside, made fit for an error message or a log line: in double quotes,
// with control and non-ASCII bytes as \xNN, and cut off with "…" once it is longer than anybody
// reads. So a refused input can be named without it breaking the line, the terminal or the log.
// (Not called `quoted`: for a std::string that would find std::quoted too.)
#pragma once

#include <string>
#include <string_view>

namespace ashlar {

std::string quote(std::string_view text);

}  // namespace ashlar
