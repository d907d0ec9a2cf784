#include "volume/core/volume_settings.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "engine/store_format.h"

namespace ashlar::volume {
namespace {

constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kLongestName = 63;
constexpr std::size_t kLongestIscsiName = 223;  // RFC 7143, 4.2.7.1
constexpr std::size_t kShortestSecret = 12;     // RFC 7143, 9.2.1
constexpr std::size_t kLongestSecret = 255;

// What the encoded settings can take up at most.
constexpr std::size_t kLargestText = 2;  // its length
constexpr std::size_t kLargestCredentials = 2 * kLargestText + kLongestIscsiName + kLongestSecret;
constexpr std::size_t kLargestSettings =
    16 + 2 * Uuid::kSize + kLargestText + kLongestName +
    kMostInitiators * (kLargestText + kLongestIscsiName) + 2 * kLargestCredentials +
    kMostSnapshots * (Uuid::kSize + kLargestText + kLongestName);
static_assert(kLargestSettings <= engine::kLargestAttachment);

constexpr std::uint8_t kReadOnly = 1;
constexpr std::uint8_t kRemovable = 2;
constexpr std::uint8_t kBuffered = 4;
constexpr std::uint8_t kChap = 8;
constexpr std::uint8_t kMutual = 16;
constexpr std::uint8_t kOrigin = 32;
constexpr std::uint8_t kAllFlags = kReadOnly | kRemovable | kBuffered | kChap | kMutual | kOrigin;

void write_text(ByteWriter& out, std::string_view text) {
  out.u16_le(static_cast<std::uint16_t>(text.size()));
  out.bytes(bytes_of(text));
}

std::string read_text(ByteReader& in) {
  const std::uint16_t length = in.u16_le();
  return std::string(text_of(in.bytes(length)));
}

template <class Id>
Id read_uuid(ByteReader& in) {
  const ByteSpan bytes = in.bytes(Uuid::kSize);
  return bytes.empty() ? Id() : Id(std::span<const std::byte, Uuid::kSize>(bytes));
}

void write_credentials(ByteWriter& out, const ChapCredentials& credentials) {
  write_text(out, credentials.name);
  write_text(out, credentials.secret.reveal());
}

ChapCredentials read_credentials(ByteReader& in) {
  ChapCredentials credentials;
  credentials.name = read_text(in);
  const std::uint16_t length = in.u16_le();
  credentials.secret = Secret(text_of(in.bytes(length)));
  return credentials;
}

bool is_name(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= kLongestName &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

bool is_iscsi_name(std::string_view name) {
  const bool has_type =
      name.starts_with("iqn.") || name.starts_with("eui.") || name.starts_with("naa.");
  return has_type && name.size() <= kLongestIscsiName && name.size() > 4 && is_printable(name);
}

Result<> check_credentials(std::string_view field, const ChapCredentials& credentials) {
  const std::string& name = credentials.name;
  if (name.empty() || name.size() > kLongestIscsiName || !is_printable(name)) {
    return Error::invalid_argument("{}.name: 1 to {} printable characters without spaces", field,
                                   kLongestIscsiName);
  }
  const std::size_t length = credentials.secret.reveal().size();
  if (length < kShortestSecret || length > kLongestSecret) {
    return Error::invalid_argument("{}.secret: {} bytes, it takes {} to {}", field, length,
                                   kShortestSecret, kLongestSecret);
  }
  return {};
}

Result<> check_access(const AccessRules& access) {
  if (access.initiators.size() > kMostInitiators) {
    return Error::invalid_argument("access.initiators: {} names, at most {}",
                                   access.initiators.size(), kMostInitiators);
  }
  for (const std::string& name : access.initiators) {
    if (is_iscsi_name(name)) continue;
    return Error::invalid_argument(
        "access.initiators: '{}' is no iSCSI name (iqn.…, eui.… or naa.…, at most {} bytes)", name,
        kLongestIscsiName);
  }
  if (access.chap) ASHLAR_TRY(check_credentials("access.chap", *access.chap));
  if (!access.mutual) return {};
  if (!access.chap) {
    return Error::invalid_argument("access.mutual: only together with access.chap");
  }
  ASHLAR_TRY(check_credentials("access.mutual", *access.mutual));
  // RFC 7143, 9.2.1: a reflected challenge would be answered by the one who asked.
  if (access.mutual->secret == access.chap->secret) {
    return Error::invalid_argument("access.mutual.secret: must differ from access.chap.secret");
  }
  return {};
}

Result<> check_snapshots(const std::vector<SnapshotName>& snapshots) {
  if (snapshots.size() > kMostSnapshots) {
    return Error::invalid_argument("snapshots: {} names, at most {}", snapshots.size(),
                                   kMostSnapshots);
  }
  std::set<std::string_view> names;
  std::set<SnapshotUuid> uuids;
  for (const SnapshotName& one : snapshots) {
    if (!is_name(one.name) || one.uuid.is_nil()) {
      return Error::invalid_argument("snapshots: '{}': a name is 1 to {} of a-z, 0-9, . and -",
                                     one.name, kLongestName);
    }
    if (!names.insert(one.name).second || !uuids.insert(one.uuid).second) {
      return Error::invalid_argument("snapshots: '{}' is there twice", one.name);
    }
  }
  return {};
}

Error unreadable(std::string_view why) {
  return Error::data_loss("the settings of a volume: {}", why);
}

}  // namespace

Result<> check_settings(const VolumeSettings& settings) {
  if (!is_name(settings.name)) {
    return Error::invalid_argument("name: '{}': it takes 1 to {} of a-z, 0-9, . and -",
                                   settings.name, kLongestName);
  }
  if (settings.logical_block_size != 512 && settings.logical_block_size != 4096) {
    return Error::invalid_argument("logical_block_size: {}, it is 512 or 4096",
                                   settings.logical_block_size);
  }
  ASHLAR_TRY(check_access(settings.access));
  if (settings.origin && settings.origin->volume.is_nil()) {
    return Error::invalid_argument("origin: it names no volume");
  }
  return check_snapshots(settings.snapshots);
}

std::vector<std::byte> encode_settings(const VolumeSettings& settings) {
  ASHLAR_CHECK(check_settings(settings).ok());
  const AccessRules& access = settings.access;
  std::vector<std::byte> bytes(kLargestSettings);
  ByteWriter out(bytes);
  std::uint8_t flags = 0;
  const auto set = [&flags](bool is_set, std::uint8_t bit) {
    if (is_set) flags = static_cast<std::uint8_t>(flags | bit);
  };
  set(settings.read_only, kReadOnly);
  set(settings.removable, kRemovable);
  set(settings.ack_policy == AckPolicy::kBuffered, kBuffered);
  set(access.chap.has_value(), kChap);
  set(access.mutual.has_value(), kMutual);
  set(settings.origin.has_value(), kOrigin);
  out.u16_le(kVersion);
  out.u8(flags);
  out.u32_le(settings.logical_block_size);
  write_text(out, settings.name);
  out.u16_le(static_cast<std::uint16_t>(access.initiators.size()));
  for (const std::string& name : access.initiators) write_text(out, name);
  if (access.chap) write_credentials(out, *access.chap);
  if (access.mutual) write_credentials(out, *access.mutual);
  out.u16_le(static_cast<std::uint16_t>(settings.snapshots.size()));
  for (const SnapshotName& one : settings.snapshots) {
    out.bytes(one.uuid.bytes());
    write_text(out, one.name);
  }
  if (settings.origin) {
    out.bytes(settings.origin->volume.bytes());
    out.bytes(settings.origin->snapshot.bytes());
  }
  bytes.resize(out.position());
  return bytes;
}

Result<VolumeSettings> decode_settings(ByteSpan bytes) {
  ByteReader in(bytes);
  const std::uint16_t version = in.u16_le();
  if (in.failed() || version != kVersion) {
    return Error::failed_precondition(
        "the settings of a volume are of version {}, this program knows version {}", version,
        kVersion);
  }
  VolumeSettings settings;
  const std::uint8_t flags = in.u8();
  if ((flags & ~kAllFlags) != 0) return unreadable("unknown flags");
  settings.read_only = (flags & kReadOnly) != 0;
  settings.removable = (flags & kRemovable) != 0;
  settings.ack_policy = (flags & kBuffered) != 0 ? AckPolicy::kBuffered : AckPolicy::kDurable;
  settings.logical_block_size = in.u32_le();
  settings.name = read_text(in);
  const std::uint16_t initiators = in.u16_le();
  if (initiators > kMostInitiators) return unreadable("too many initiators");
  for (std::uint16_t i = 0; i < initiators; ++i) {
    settings.access.initiators.push_back(read_text(in));
  }
  if ((flags & kChap) != 0) settings.access.chap = read_credentials(in);
  if ((flags & kMutual) != 0) settings.access.mutual = read_credentials(in);
  const std::uint16_t snapshots = in.u16_le();
  if (snapshots > kMostSnapshots) return unreadable("too many snapshots");
  for (std::uint16_t i = 0; i < snapshots; ++i) {
    SnapshotName one{read_uuid<SnapshotUuid>(in), {}};
    one.name = read_text(in);
    settings.snapshots.push_back(std::move(one));
  }
  if ((flags & kOrigin) != 0) {
    settings.origin.emplace();
    settings.origin->volume = read_uuid<VolumeUuid>(in);
    settings.origin->snapshot = read_uuid<SnapshotUuid>(in);
  }
  if (in.failed() || in.remaining() != 0) return unreadable("cut short, or longer than they say");
  if (const Result<> sound = check_settings(settings); !sound.ok()) {
    return unreadable(sound.error().message());
  }
  return settings;
}

}  // namespace ashlar::volume
