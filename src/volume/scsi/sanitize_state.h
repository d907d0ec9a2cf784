// SanitizeState: how far a sanitize operation has come (SBC-3, 4.11). A value that rides in the
// log, so that an operation that was begun is finished whatever happens to the server.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/result.h"
#include "volume/scsi/parameter_data.h"

namespace ashlar::scsi {

// Service actions of SANITIZE.
enum class SanitizeAction : std::uint8_t {
  kOverwrite = 0x01,
  kBlockErase = 0x02,
  kExitFailureMode = 0x1f,
};

struct SanitizeState {
  enum class Phase : std::uint8_t { kNone, kRunning, kFailed };
  static constexpr unsigned kMostPasses = 31;
  static constexpr std::size_t kLongestPattern = 4096;

  Phase phase = Phase::kNone;
  SanitizeAction action = SanitizeAction::kBlockErase;
  bool allows_exit = false;  // AUSE: EXIT FAILURE MODE may end a failure
  // Overwriting: how often, with what; every second pass inverted, so that the last one is not.
  std::uint8_t passes = 1;
  bool inverts = false;
  std::vector<std::byte> pattern;
  // What is done: whole passes, and the bytes of the one under way.
  std::uint8_t passes_done = 0;
  std::uint64_t bytes_done = 0;

  // In 65536ths of it all.
  std::uint16_t progress(std::uint64_t volume_size) const;
  // Whether the pass under way writes the pattern's complement.
  bool is_inverted() const { return inverts && (passes - 1 - passes_done) % 2 == 1; }

  void encode(ParameterData& into) const;
  static Result<SanitizeState> decode(ByteReader& reader);

  friend bool operator==(const SanitizeState&, const SanitizeState&) = default;
};

// A block full of the pattern; each logical block begins with its first byte.
void fill_with_pattern(MutableByteSpan bytes, std::uint32_t block_size, ByteSpan pattern,
                       bool is_inverted);

}  // namespace ashlar::scsi
