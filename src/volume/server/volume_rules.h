// The rules of volumes that are not their settings': sizes, the place of a new one, and whether
// what is asked for is there already. Pure: facts in, answer out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/base/uuid.h"
#include "volume/core/volume_settings.h"
#include "volume/server/volume_info.h"

namespace ashlar::server {

inline constexpr ByteCount kSizeUnit{4096};
inline constexpr ByteCount kSmallestVolume{1 << 20};
inline constexpr ByteCount kLargestVolume{std::uint64_t{1} << 50};

// Of a new volume or of one that grows.
Result<> check_size(ByteCount size);
// As a volume's name; `what` names it in the error.
Result<> check_name(std::string_view name, std::string_view what);
// At most 128 printable ASCII characters.
Result<> check_request_id(std::string_view id);

// What a store has to offer for a new volume.
struct StoreOffer {
  std::string directory;
  StoreUuid uuid;
  ByteCount available;
  ByteCount provisioned;
};
// The index of the store that `wanted` names (directory or uuid), or of the one with the most space
// when it is empty; among equals the one with the least promised. kNotFound names the stores that
// there are; kResourceExhausted when no store has any space.
Result<std::size_t> place(const std::vector<StoreOffer>& stores, std::string_view wanted);

// Settings of the new volume: those that were asked for, or the source's, or the defaults.
Result<volume::VolumeSettings> settings_of(const CreateVolume& wanted, const VolumeInfo* source);

// That `there`, which has the name, is what `wanted` asks for; else kAlreadyExists with the first
// difference.
Result<> check_same(const VolumeInfo& there, const CreateVolume& wanted,
                    const std::optional<volume::VolumeOrigin>& origin);

}  // namespace ashlar::server
