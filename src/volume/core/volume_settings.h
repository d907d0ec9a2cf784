// What a person chose for a volume. Stands in the replica's attachment, so that a server that
// starts knows its volumes without asking anybody.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/secret.h"
#include "common/base/uuid.h"

namespace ashlar::volume {

enum class AckPolicy : std::uint8_t {
  kDurable,   // acknowledged when it is on stable media; write cache reported off
  kBuffered,  // acknowledged when it is in the log's file; write cache reported on
};

// So that the bytes of an attachment suffice (engine::kLargestAttachment).
inline constexpr std::size_t kMostSnapshots = 100;
inline constexpr std::size_t kMostInitiators = 16;

struct ChapCredentials {
  std::string name;
  Secret secret;  // at least 12 bytes (RFC 7143, 9.2.1)

  friend bool operator==(const ChapCredentials&, const ChapCredentials&) = default;
};

// Who may log in. An initiator must satisfy all that is given.
struct AccessRules {
  std::vector<std::string> initiators;    // iSCSI names, at most kMostInitiators; empty: any
  std::optional<ChapCredentials> chap;    // the initiator proves that it knows it
  std::optional<ChapCredentials> mutual;  // the target proves that it knows it; only with `chap`

  friend bool operator==(const AccessRules&, const AccessRules&) = default;
};

// What a person calls a snapshot; the engine knows it by its uuid.
struct SnapshotName {
  SnapshotUuid uuid;
  std::string name;  // as a volume's name; unique in its volume

  friend bool operator==(const SnapshotName&, const SnapshotName&) = default;
};

// What a volume was copied from when it was made. Neither need be there any more.
struct VolumeOrigin {
  VolumeUuid volume;
  SnapshotUuid snapshot;  // nil: the volume as it was at that moment

  friend bool operator==(const VolumeOrigin&, const VolumeOrigin&) = default;
};

struct VolumeSettings {
  std::string name;                        // unique on its server; [a-z0-9.-], 1 to 63 characters
  std::uint32_t logical_block_size = 512;  // or 4096
  AckPolicy ack_policy = AckPolicy::kDurable;
  bool read_only = false;  // writes are answered with WRITE PROTECTED
  bool removable = false;  // RMB set; medium can be ejected and locked
  AccessRules access;
  // At most kMostSnapshots. A name without a snapshot in the replica counts for nothing: it was
  // remembered before the snapshot was taken.
  std::vector<SnapshotName> snapshots;
  std::optional<VolumeOrigin> origin;

  friend bool operator==(const VolumeSettings&, const VolumeSettings&) = default;
};

// The bytes of an attachment: versioned, bounds-checked; unknown versions are refused.
std::vector<std::byte> encode_settings(const VolumeSettings& settings);
Result<VolumeSettings> decode_settings(ByteSpan bytes);
// What a person may ask for; the error names the field and what is allowed.
Result<> check_settings(const VolumeSettings& settings);

}  // namespace ashlar::volume
