// What a store and each of its replicas remember on disk, besides log and layers; the bodies of
// their SlotFiles. docs/formats/store.md draws them; this is their only code.
//
// Decoding believes nothing: every count is bounded before it is used, and what is accepted encodes
// to the same bytes again. What is refused is kDataLoss and says why. Encoding checks the same (a
// broken invariant is fatal): what would be refused at the next start is never written (L13). Who
// is about to change a state because somebody asked for it asks check_replica_state() before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/base/time.h"
#include "common/base/uuid.h"
#include "engine/chunk.h"
#include "engine/log_reader.h"
#include "engine/slot_file.h"

namespace ashlar::engine {

// --- the store -----------------------------------------------------------------------------------

inline constexpr SlotFormat kSuperblockFormat{.magic = 0x314b4c4252505553,  // "SUPRBLK1"
                                              .version = 1,
                                              .slot_size = 4096,
                                              .what = "the superblock"};
// DIR/owner: who has the directory open, or had it last (L14).
inline constexpr SlotFormat kOwnerFormat{.magic = 0x31524e574f524f54,  // "TOROWNR1"
                                         .version = 1,
                                         .slot_size = 4096,
                                         .what = "the owner record"};

struct StoreState {
  StoreUuid store;
  ServerUuid server;  // the owner; another one needs a takeover
  ByteCount log_capacity;
  LogCheckpoint log;

  friend bool operator==(const StoreState&, const StoreState&) = default;
};
// The uuids name something; the capacity is one that a LogRing takes; positions are whole blocks.
Result<> check_store_state(const StoreState& state);
std::vector<std::byte> encode_store_state(const StoreState& state);
Result<StoreState> decode_store_state(ByteSpan body);

struct OwnerRecord {
  ServerUuid server;
  std::uint64_t incarnation = 0;  // +1 with each open

  friend bool operator==(const OwnerRecord&, const OwnerRecord&) = default;
};
Result<> check_owner_record(const OwnerRecord& owner);
std::vector<std::byte> encode_owner_record(const OwnerRecord& owner);
Result<OwnerRecord> decode_owner_record(ByteSpan body);

// --- a replica -----------------------------------------------------------------------------------

inline constexpr SlotFormat kReplicaFormat{.magic = 0x314143494c504552,  // "REPLICA1"
                                           .version = 1,
                                           .slot_size = 128 << 10,
                                           .what = "the replica's state"};

inline constexpr std::size_t kMostSnapshots = 250;  // that are not deleted
inline constexpr std::size_t kMostLayers = 512;     // and as many that are dropped
inline constexpr std::size_t kMostEpochs = 512;
inline constexpr std::size_t kLargestAttachment = 16 << 10;
// 2^38 blocks are 1 PiB.
inline constexpr std::uint64_t kLargestVolumeBlocks = std::uint64_t{1} << 38;

struct SnapshotState {
  SnapshotUuid uuid;
  Lsn lsn;           // of its record
  WallTime created;  // as the record says: the same on every replica
  // Deleted, but its layer cannot go yet (a clone or two children need it).
  bool deleted = false;

  friend bool operator==(const SnapshotState&, const SnapshotState&) = default;
};

struct LayerState {
  LayerId id;
  VolumeUuid volume;                      // whose seed its checksums have
  std::optional<std::uint32_t> parent;    // the layer below: index into ReplicaState::layers
  Lsn begins;                             // holds changes of records > this
  std::optional<SnapshotState> snapshot;  // that this layer is the top of
  // Being moved down into its parent, which takes its place when done.
  bool merging = false;

  friend bool operator==(const LayerState&, const LayerState&) = default;
};

struct EpochStart {
  Epoch epoch;
  Lsn first_lsn;  // of the first record of the epoch

  friend bool operator==(const EpochStart&, const EpochStart&) = default;
};

struct ReplicaState {
  ReplicaUuid replica;
  VolumeUuid volume;
  std::uint64_t size_blocks = 0;  // 1 to kLargestVolumeBlocks
  // All records <= this are in the layers, or in this state.
  Lsn flushed;
  Epoch flushed_epoch;             // of that record
  Epoch promised;                  // never accept less
  bool candidate = true;           // false: incomplete, a copy is being installed
  bool repair_needed = false;      // damage was found that no one has repaired
  std::vector<EpochStart> epochs;  // oldest first, strictly ascending in both
  std::uint64_t next_layer = 0;    // numbers of layers below it are used up
  std::uint32_t head = 0;          // index into layers
  std::vector<LayerState> layers;
  std::vector<std::uint64_t> dropped;   // own layers, in no list, whose files may still be there
  std::vector<std::byte> reservations;  // opaque, of the last record up to `flushed`
  std::vector<std::byte> attachment;    // opaque, the server's: the volume's config

  friend bool operator==(const ReplicaState&, const ReplicaState&) = default;
};
// Each field and what they say together:
//   - lists are within their bounds, numbers low enough to be counted on
//   - indices are in range, and the parents form trees without a cycle
//   - layer ids and snapshot uuids are unique; the numbers of own layers, also of dropped ones, are
//     below next_layer, and no layer is both listed and dropped
//   - the head is a layer without snapshot that is no other layer's parent
//   - a layer that is merging has a parent
//   - epochs ascend strictly, in both
Result<> check_replica_state(const ReplicaState& state);
std::vector<std::byte> encode_replica_state(const ReplicaState& state);
Result<ReplicaState> decode_replica_state(ByteSpan body);

// Lengths in the body, for the bound.
inline constexpr std::size_t kReplicaFixedSize = 104;
inline constexpr std::size_t kEpochStartSize = 16;
inline constexpr std::size_t kLayerStateSize = 88;
inline constexpr std::size_t kLargestReplicaState =
    kReplicaFixedSize + kMostEpochs * kEpochStartSize + kMostLayers * kLayerStateSize +
    kMostLayers * sizeof(std::uint64_t) + kLargestReservationState + kLargestAttachment;
static_assert(kLargestReplicaState <= kReplicaFormat.largest_body());

// --- payloads of records that change the state (one block each, zeros behind) --------------------

struct SnapshotPayload {
  SnapshotUuid uuid;
  WallTime created;

  friend bool operator==(const SnapshotPayload&, const SnapshotPayload&) = default;
};
// `block` is kBlockSize long. A later version is kUnimplemented.
void encode_snapshot_payload(const SnapshotPayload& payload, MutableByteSpan block);
Result<SnapshotPayload> decode_snapshot_payload(ByteSpan block);

}  // namespace ashlar::engine
