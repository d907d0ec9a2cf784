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

// Additional sense code and qualifier; sense_codes.h names those that we give.
struct Asc {
  std::uint8_t code = 0;
  std::uint8_t qualifier = 0;

  friend constexpr bool operator==(const Asc&, const Asc&) = default;
};

using SenseKeySpecific = std::array<std::uint8_t, 3>;

struct Sense {
  SenseKey key = SenseKey::kNoSense;
  Asc asc;
  std::optional<std::uint64_t> information;
  // Sense-key specific bytes (field pointer, progress), SKSV included.
  std::optional<SenseKeySpecific> specific;

  friend bool operator==(const Sense&, const Sense&) = default;
};

// SPC-4, 4.5.2.4.2: which byte, and where it is known which bit of it, is wrong.
enum class FieldPlace : std::uint8_t { kCdb, kParameters };
SenseKeySpecific field_pointer(FieldPlace place, std::size_t byte, std::optional<unsigned> bit);
// SPC-4, 4.5.2.4.4: how far a long command has come, in 65536ths.
SenseKeySpecific progress_indication(std::uint16_t done);

enum class SenseFormat : std::uint8_t { kFixed, kDescriptor };

inline constexpr std::size_t kLongestSense = 64;
// Fills `into` (at least kLongestSense bytes) and returns how much of it is used. In fixed format
// an information that needs more than 32 bits is left out, as SPC-4 wants.
std::size_t encode_sense(const Sense& sense, SenseFormat format, MutableByteSpan into);

}  // namespace ashlar::scsi
