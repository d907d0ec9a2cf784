#include "volume/server/volume_rules.h"

#include <algorithm>

#include "common/base/quote.h"
#include "common/base/units.h"

namespace ashlar::server {
namespace {

constexpr std::size_t kLongestName = 63;
constexpr std::size_t kLongestRequestId = 128;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

Error differs(const VolumeInfo& there, std::string_view what) {
  return Error::already_exists("volume {} is there already and {}", there.settings.name, what);
}

std::string_view name_of(volume::AckPolicy policy) {
  return policy == volume::AckPolicy::kDurable ? "durable" : "buffered";
}

}  // namespace

Result<> check_size(ByteCount size) {
  if (size < kSmallestVolume || size > kLargestVolume || size % kSizeUnit != ByteCount(0)) {
    return Error::invalid_argument(
        "size: {} is not possible: a volume has {} to {}, in multiples of {}", size,
        kSmallestVolume, kLargestVolume, kSizeUnit);
  }
  return {};
}

Result<> check_name(std::string_view name, std::string_view what) {
  const bool is_plain = std::all_of(name.begin(), name.end(), [](char c) {
    return is_letter_or_digit(c) || c == '.' || c == '-';
  });
  if (!name.empty() && name.size() <= kLongestName && is_plain &&
      is_letter_or_digit(name.front()) && is_letter_or_digit(name.back())) {
    return {};
  }
  return Error::invalid_argument(
      "{}: {} is not possible: 1 to {} of a-z, 0-9, dot and hyphen, the first and last a letter or "
      "digit",
      what, quote(name), kLongestName);
}

Result<> check_request_id(std::string_view id) {
  const bool is_printable =
      std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (id.size() <= kLongestRequestId && is_printable) return {};
  return Error::invalid_argument("request_id: at most {} printable ASCII characters without spaces",
                                 kLongestRequestId);
}

Result<std::size_t> place(const std::vector<StoreOffer>& stores, std::string_view wanted) {
  if (wanted.empty()) {
    const auto best = std::max_element(stores.begin(), stores.end(),
                                       [](const StoreOffer& x, const StoreOffer& y) {
                                         if (x.available != y.available)
                                           return x.available < y.available;
                                         return x.provisioned > y.provisioned;
                                       });
    if (best == stores.end() || best->available == ByteCount(0)) {
      return Error::resource_exhausted("no store has any space left");
    }
    return static_cast<std::size_t>(best - stores.begin());
  }
  std::string known;
  for (std::size_t i = 0; i < stores.size(); ++i) {
    if (stores[i].directory == wanted || stores[i].uuid.to_string() == wanted) return i;
    known += (known.empty() ? "" : ", ") + stores[i].directory;
  }
  return Error::not_found("store: there is no {}; there are: {}", quote(wanted), known);
}

Result<volume::VolumeSettings> settings_of(const CreateVolume& wanted, const VolumeInfo* source) {
  volume::VolumeSettings settings;
  settings.name = wanted.name;
  if (source != nullptr) {
    settings.logical_block_size = source->settings.logical_block_size;
    settings.ack_policy = source->settings.ack_policy;
    if (wanted.logical_block_size && *wanted.logical_block_size != settings.logical_block_size) {
      return Error::invalid_argument(
          "logical_block_size: volume {} has blocks of {} bytes, and so has its copy",
          source->settings.name, settings.logical_block_size);
    }
  }
  settings.logical_block_size = wanted.logical_block_size.value_or(settings.logical_block_size);
  settings.ack_policy = wanted.ack_policy.value_or(settings.ack_policy);
  settings.read_only = wanted.read_only;
  settings.removable = wanted.removable;
  settings.access = wanted.access;
  ASHLAR_TRY(check_name(settings.name, "name"));
  ASHLAR_TRY(volume::check_settings(settings));
  return settings;
}

Result<> check_same(const VolumeInfo& there, const CreateVolume& wanted,
                    const std::optional<volume::VolumeOrigin>& origin) {
  const volume::VolumeSettings& has = there.settings;
  if (!wanted.uuid.is_nil() && wanted.uuid != there.uuid) {
    return differs(there, fmt::format("has the uuid {}", there.uuid));
  }
  if (has.origin != origin) return differs(there, "was not made of the same source");
  // A copy whose size was not given has that of its source, which may have grown since.
  if (wanted.size != ByteCount(0) && wanted.size != there.size) {
    return differs(there, fmt::format("has a size of {}", there.size));
  }
  const std::uint32_t block_size =
      wanted.logical_block_size.value_or(wanted.source ? has.logical_block_size : 512);
  if (block_size != has.logical_block_size) {
    return differs(there, fmt::format("has blocks of {} bytes", has.logical_block_size));
  }
  const volume::AckPolicy policy =
      wanted.ack_policy.value_or(wanted.source ? has.ack_policy : volume::AckPolicy::kDurable);
  if (policy != has.ack_policy) {
    return differs(there, fmt::format("has the ack policy {}", name_of(has.ack_policy)));
  }
  if (wanted.read_only != has.read_only) {
    return differs(there, has.read_only ? "is read-only" : "is not read-only");
  }
  if (wanted.removable != has.removable) {
    return differs(there, has.removable ? "is removable" : "is not removable");
  }
  if (wanted.access != has.access) return differs(there, "has other rules of access");
  if (!wanted.store.empty() && wanted.store != there.store_directory &&
      wanted.store != there.store.to_string()) {
    return differs(there, fmt::format("is in the store {}", there.store_directory));
  }
  return {};
}

}  // namespace ashlar::server
