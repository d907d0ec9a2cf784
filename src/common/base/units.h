// Sizes and durations in the units people type, for command lines, config files and messages.
// Everything here is integer arithmetic: what is parsed or printed is exact or refused.
//
//   size      4096   10Gi   512MiB   1.5Ti   100k   10G   10GB   "1.5 GiB"
//             Ki Mi Gi Ti Pi Ei are powers of 1024; k M G T P E are powers of 1000, as in
//             Kubernetes. A B may follow, one space may precede the unit, K is taken for k. A lone
//             lower-case m is refused: Kubernetes reads it as milli.
//   duration  500ms   1.5s   2h30m   1us   1µs   7d   0
//             d h m s ms us ns, larger units first, each once, a fraction only in the last part.
//             A bare number other than 0 is refused: half of its readers would guess wrong.
//
// Negative values, overflow and fractions of a byte or a nanosecond are refused. Every error names
// the text and what is allowed, fit to be shown to the person who typed it.
//
// parse(format(x)) is x for every size and every duration that is not negative.
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/base/time.h"

namespace ashlar {

Result<ByteCount> parse_size(std::string_view text);

// Exact, in the largest binary unit that divides: "10Gi", "1536Mi", "4097", "0".
std::string format_size(ByteCount size);
// Rounded to one decimal for people: "1.5 GiB", "512 B".
std::string format_size_short(ByteCount size);

Result<Duration> parse_duration(std::string_view text);

// Exact: "1h30m", "1.5s", "500ms", "1d0.25s", "0s"; with a leading minus if negative.
std::string format_duration(Duration duration);

}  // namespace ashlar

// Prints as format_size does, so that a message never loses a byte.
template <>
struct fmt::formatter<ashlar::ByteCount> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(ashlar::ByteCount size, Context& context) const {
    return fmt::formatter<std::string_view>::format(ashlar::format_size(size), context);
  }
};
