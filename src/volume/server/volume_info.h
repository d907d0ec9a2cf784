// What a server says of its volumes, snapshots, stores and sessions, and what it can be asked for:
// plain values that go between gRPC's threads and the reactors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/base/time.h"
#include "common/base/uuid.h"
#include "volume/core/volume_settings.h"
#include "volume/iscsi/target_server.h"

namespace ashlar::server {

// By name, by uuid, or by both, which must then agree.
struct VolumeRef {
  std::string name;
  VolumeUuid uuid;  // nil: by name

  std::string to_string() const { return name.empty() ? uuid.to_string() : name; }
};

struct VolumeInfo {
  VolumeUuid uuid;
  volume::VolumeSettings settings;
  ByteCount size;
  std::optional<std::string> fault;  // why it does not serve
  ReplicaUuid replica;
  StoreUuid store;
  std::string store_directory;
  std::string iqn;
  std::uint32_t sessions = 0;
  std::uint32_t snapshots = 0;
};

struct SnapshotInfo {
  SnapshotUuid uuid;
  std::string name;
  VolumeUuid volume;
  std::string volume_name;
  WallTime created;
};

struct UnreadableThing {
  std::string name;
  std::string reason;
};

struct StoreInfo {
  std::string directory;
  StoreUuid uuid;
  std::uint32_t reactor = 0;
  ByteCount capacity;
  ByteCount available;
  ByteCount provisioned;
  ByteCount log_size;
  double log_fill = 0;
  std::uint32_t volumes = 0;
  std::vector<UnreadableThing> unreadable;
};

struct ReactorInfo {
  std::uint32_t index = 0;
  std::uint32_t targets = 0;
  std::vector<iscsi::SessionInfo> sessions;
  std::vector<StoreInfo> stores;
};

// Where a new volume's contents come from.
struct VolumeSource {
  VolumeRef volume;
  std::string snapshot;  // name or uuid; empty: the volume as it is now
};

struct CreateVolume {
  std::string name;
  VolumeUuid uuid;  // nil: a new one
  ByteCount size;   // 0: the source's
  std::optional<std::uint32_t> logical_block_size;
  std::optional<volume::AckPolicy> ack_policy;
  bool read_only = false;
  bool removable = false;
  volume::AccessRules access;
  std::optional<VolumeSource> source;
  std::string store;  // directory or uuid; empty: the server chooses
};

struct UpdateVolume {
  std::optional<bool> read_only;
  // A secret that is empty stands for the one that is there.
  std::optional<volume::AccessRules> access;
};

enum class InUse : std::uint8_t { kRefuse, kEndSessions };

// What a call found done already, or did.
template <class T>
struct Made {
  T value;
  bool was_there = false;
};

}  // namespace ashlar::server
