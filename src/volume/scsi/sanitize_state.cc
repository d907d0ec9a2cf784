#include "volume/scsi/sanitize_state.h"

#include <algorithm>

namespace ashlar::scsi {

std::uint16_t SanitizeState::progress(std::uint64_t volume_size) const {
  if (phase != Phase::kRunning || volume_size == 0) return 0;
  const double done = static_cast<double>(passes_done) +
                      static_cast<double>(bytes_done) / static_cast<double>(volume_size);
  const double share = std::clamp(done / static_cast<double>(passes), 0.0, 1.0);
  // It is never said to be done before it is.
  return static_cast<std::uint16_t>(std::min(share * 65536, 65535.0));
}

void SanitizeState::encode(ParameterData& into) const {
  into.u8(static_cast<unsigned>(phase));
  into.u8(static_cast<unsigned>(action));
  into.u8(allows_exit ? 1 : 0);
  into.u8(passes);
  into.u8(inverts ? 1 : 0);
  into.u8(passes_done);
  into.be64(bytes_done);
  into.be16(pattern.size());
  into.bytes(pattern);
}

Result<SanitizeState> SanitizeState::decode(ByteReader& reader) {
  SanitizeState state;
  const unsigned phase = reader.u8();
  const unsigned action = reader.u8();
  const unsigned allows_exit = reader.u8();
  state.passes = reader.u8();
  const unsigned inverts = reader.u8();
  state.passes_done = reader.u8();
  state.bytes_done = reader.u64_be();
  const std::uint16_t pattern_size = reader.u16_be();
  const ByteSpan pattern = reader.bytes(pattern_size);
  const bool overwrites = action == static_cast<unsigned>(SanitizeAction::kOverwrite);
  const bool is_known = overwrites || action == static_cast<unsigned>(SanitizeAction::kBlockErase);
  if (reader.failed() || phase > static_cast<unsigned>(Phase::kFailed) || !is_known ||
      allows_exit > 1 || inverts > 1 || state.passes == 0 || state.passes > kMostPasses ||
      state.passes_done > state.passes || pattern_size > kLongestPattern ||
      (overwrites && phase != 0 && pattern_size == 0)) {
    return Error::data_loss("the sanitize state of a volume is damaged");
  }
  state.phase = static_cast<Phase>(phase);
  state.action = static_cast<SanitizeAction>(action);
  state.allows_exit = allows_exit == 1;
  state.inverts = inverts == 1;
  state.pattern.assign(pattern.begin(), pattern.end());
  return state;
}

void fill_with_pattern(MutableByteSpan bytes, std::uint32_t block_size, ByteSpan pattern,
                       bool is_inverted) {
  ASHLAR_CHECK(!pattern.empty() && bytes.size() % block_size == 0);
  const std::byte mask = is_inverted ? std::byte{0xff} : std::byte{0};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = pattern[i % block_size % pattern.size()] ^ mask;
  }
}

}  // namespace ashlar::scsi
