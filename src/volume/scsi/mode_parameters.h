// ModeParameters: the values of the mode pages that somebody may change, and the pages made of them
// (SPC-4, 7.5; SBC-3, 6.5). A value: MODE SELECT changes a copy, which then takes the place.
//
// Changeable, and saved when asked for: D_SENSE, SWP and TAS of the control mode page, and the one
// threshold of the logical block provisioning page. All else is fixed, or follows the volume's
// settings. One set for all nexuses (VPD 87).
#pragma once

#include <cstdint>
#include <optional>

#include <tl/expected.hpp>

#include "common/base/bytes.h"
#include "volume/scsi/parameter_data.h"
#include "volume/scsi/sense.h"

namespace ashlar::scsi {

// PC of MODE SENSE.
enum class PageControl : std::uint8_t { kCurrent = 0, kChangeable = 1, kDefault = 2, kSaved = 3 };

struct ModeParameters {
  bool descriptor_sense = false;        // D_SENSE
  bool software_write_protect = false;  // SWP
  bool reports_task_aborted = false;    // TAS
  // A unit attention when the space that is available falls to so much, in units of kThresholdUnit.
  bool has_threshold = false;
  std::uint32_t threshold = 0;

  friend bool operator==(const ModeParameters&, const ModeParameters&) = default;
};

// What one threshold or resource count stands for; VPD B2 tells it as an exponent of two of blocks.
inline constexpr std::uint64_t kThresholdUnit = 1 << 20;

inline constexpr std::uint8_t kAllModePages = 0x3f;
inline constexpr std::uint8_t kAllModeSubpages = 0xff;

// What the pages tell besides.
struct ModeFacts {
  bool write_cache = false;  // WCE
};

// Appends the pages that were asked for: one, all subpages of one, or all of them. False when there
// is no such page.
bool append_mode_pages(ParameterData& data, std::uint8_t page, std::uint8_t subpage,
                       PageControl control, const ModeParameters& values, const ModeFacts& facts);

// The parameters after MODE SELECT's pages; `at` is where the pages begin in the parameter list,
// for field pointers. A field that cannot be changed must have its current value.
tl::expected<ModeParameters, Sense> parse_mode_pages(ByteSpan pages, std::size_t at,
                                                     ModeParameters values, const ModeFacts& facts);

}  // namespace ashlar::scsi
