// Sense data (SPC-4, 4.5): what a CHECK CONDITION means, in both formats.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace ashlar::scsi {

enum class SenseKey : std::uint8_t {
  kNoSense = 0x0,
  kRecoveredError = 0x1,
  kNotReady = 0x2,
  kMediumError = 0x3,
  kHardwareError = 0x4,
  kIllegalRequest = 0x5,
  kUnitAttention = 0x6,
  kDataProtect = 0x7,
  kCopyAborted = 0xa,
  kAbortedCommand = 0xb,
  kMiscompare = 0xe,
};

// Additional sense code and qualifier.
struct Asc {
  std::uint8_t code = 0;
  std::uint8_t qualifier = 0;

  friend constexpr bool operator==(const Asc&, const Asc&) = default;
};

struct Sense {
  SenseKey key = SenseKey::kNoSense;
  Asc asc;
  std::optional<std::uint64_t> information;
  // Sense-key specific bytes (field pointer, progress), SKSV included.
  std::optional<std::array<std::uint8_t, 3>> specific;

  friend bool operator==(const Sense&, const Sense&) = default;
};

enum class SenseFormat : std::uint8_t { kFixed, kDescriptor };

inline constexpr std::size_t kLongestSense = 64;
// Fills `into` (at least kLongestSense bytes) and returns how much of it is used.
std::size_t encode_sense(const Sense& sense, SenseFormat format, MutableByteSpan into);

}  // namespace ashlar::scsi
