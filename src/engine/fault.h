// Why a replica has stepped out. Sticky: only opening the store again, or a repair from a peer,
// ends it. A faulted replica answers every call with kDataLoss or kUnavailable and names the cause;
// it is never a source nor a candidate.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/result.h"

namespace ashlar::engine {

enum class FaultCause : std::uint8_t {
  kLogWrite,    // a write or sync of the log failed: nothing is known about it
  kLogDamage,   // the log has lost something that was acknowledged
  kLayerWrite,  // a write or sync of a layer failed
  kStateWrite,  // the replica's state could not be stored
  kMismatch,    // an unflushed record did not match its checksums (L57)
};

constexpr std::string_view to_string(FaultCause cause) {
  switch (cause) {
    case FaultCause::kLogWrite:
      return "log write";
    case FaultCause::kLogDamage:
      return "log damage";
    case FaultCause::kLayerWrite:
      return "layer write";
    case FaultCause::kStateWrite:
      return "state write";
    case FaultCause::kMismatch:
      return "mismatch";
  }
  return "unknown";
}

struct Fault {
  FaultCause cause;
  Error error;
};

}  // namespace ashlar::engine
