// Lets one record per period through at one place in the code and counts the others. Used through
// the ASHLAR_LOG_*_EVERY macros, which keep one per place; any thread may ask.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "common/base/time.h"

namespace ashlar {

class LogRateLimit {
 public:
  constexpr LogRateLimit() = default;

  // If a record may be written now: how many were held back since the last one.
  std::optional<std::uint64_t> admit(Duration period);

 private:
  std::atomic<std::int64_t> last_ns_{0};
  std::atomic<std::uint64_t> suppressed_{0};
  // Which set_log_sink the two above belong to; 0 before the first record.
  std::atomic<std::uint64_t> generation_{0};
};

}  // namespace ashlar
