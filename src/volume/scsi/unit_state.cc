#include "volume/scsi/unit_state.h"

#include <utility>

#include "engine/limits.h"

namespace ashlar::scsi {

namespace {

constexpr unsigned kVersion = 1;

enum ModeFlag : unsigned {
  kDescriptorSense = 1 << 0,
  kWriteProtect = 1 << 1,
  kTaskAborted = 1 << 2,
  kThreshold = 1 << 3,
  kAllModeFlags = kDescriptorSense | kWriteProtect | kTaskAborted | kThreshold,
};

// The largest that can be must fit into a record.
constexpr std::size_t kLargestRegistration = 8 + 2 + 1 + 8 + 1 + InitiatorPort::kLongestName;
constexpr std::size_t kLargestState =
    6 + 10 + PersistentReservations::kMostRegistrations * kLargestRegistration + 16 +
    SanitizeState::kLongestPattern;
static_assert(kLargestState <= engine::kLargestReservationState);

}  // namespace

std::vector<std::byte> UnitState::encode() const {
  ParameterData data;
  data.u8(kVersion);
  data.u8((saved_modes.descriptor_sense ? kDescriptorSense : 0u) |
          (saved_modes.software_write_protect ? kWriteProtect : 0u) |
          (saved_modes.reports_task_aborted ? kTaskAborted : 0u) |
          (saved_modes.has_threshold ? kThreshold : 0u));
  data.be32(saved_modes.threshold);
  reservations.encode(data);
  sanitize.encode(data);
  return {data.span().begin(), data.span().end()};
}

Result<UnitState> UnitState::decode(ByteSpan bytes) {
  UnitState state;
  if (bytes.empty()) return state;
  ByteReader reader(bytes);
  const unsigned version = reader.u8();
  if (version != kVersion) {
    return Error::unimplemented("the state of a unit has version {}, this server knows {}", version,
                                kVersion);
  }
  const unsigned modes = reader.u8();
  const std::uint32_t threshold = reader.u32_be();
  if (modes > kAllModeFlags) return Error::data_loss("the saved mode parameters are damaged");
  state.saved_modes = {.descriptor_sense = (modes & kDescriptorSense) != 0,
                       .software_write_protect = (modes & kWriteProtect) != 0,
                       .reports_task_aborted = (modes & kTaskAborted) != 0,
                       .has_threshold = (modes & kThreshold) != 0,
                       .threshold = threshold};
  ASHLAR_TRY_ASSIGN(state.reservations, PersistentReservations::decode(reader));
  ASHLAR_TRY_ASSIGN(state.sanitize, SanitizeState::decode(reader));
  if (reader.remaining() != 0) {
    return Error::data_loss("{} bytes too many in the state of a unit", reader.remaining());
  }
  return state;
}

}  // namespace ashlar::scsi
