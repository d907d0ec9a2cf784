#include "engine/store_format.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "engine/format_fields.h"
#include "engine/limits.h"
#include "engine/log_ring.h"

namespace ashlar::engine {
namespace {

constexpr std::size_t kStoreStateSize = 96;
constexpr std::size_t kOwnerRecordSize = 24;
static_assert(kStoreStateSize <= kSuperblockFormat.largest_body());
static_assert(kOwnerRecordSize <= kOwnerFormat.largest_body());

constexpr std::uint16_t kSnapshotPayloadVersion = 1;
constexpr std::size_t kSnapshotPayloadReserved = 6;

bool is_countable(std::uint64_t number) {
  return number <= kLargestNumber;
}
bool is_block_position(LogPosition position) {
  return position.value() % kBlockSize == 0 && is_countable(position.value());
}

// A byte that is 0 or 1.
bool read_flag(ByteReader& in) {
  const std::uint8_t value = in.u8();
  if (value > 1) in.fail();
  return value == 1;
}
void write_flag(ByteWriter& out, bool value) {
  out.u8(value ? 1 : 0);
}

Error on_disk(std::string_view what, std::string_view why) {
  return Error::data_loss("{} on disk: {}", what, why);
}

// What a decoder answers once it has read all fields.
template <class State>
Result<State> checked(std::string_view what, const ByteReader& in, State state,
                      Result<> (*check)(const State&)) {
  if (in.failed()) return on_disk(what, "cut short, or not zero where it must be");
  if (in.remaining() != 0) return on_disk(what, "longer than it says");
  if (const Result<> sound = check(state); !sound.ok()) {
    return on_disk(what, sound.error().message());
  }
  return state;
}

void write_chain(ByteWriter& out, const ChainPoint& chain) {
  out.u64_le(chain.end.value());
  out.u64_le(chain.generation.value());
  out.u64_le(chain.batch.value());
  out.u32_le(chain.crc);
  out.u32_le(0);
}

ChainPoint read_chain(ByteReader& in) {
  ChainPoint chain;
  chain.end = LogPosition(in.u64_le());
  chain.generation = LogGeneration(in.u64_le());
  chain.batch = LogPosition(in.u64_le());
  chain.crc = in.u32_le();
  read_zeros(in, 4);
  return chain;
}

}  // namespace

// --- the store -----------------------------------------------------------------------------------

Result<> check_store_state(const StoreState& state) {
  if (state.store.is_nil() || state.server.is_nil()) {
    return Error::invalid_argument("a store without a uuid or an owner");
  }
  ASHLAR_TRY(LogRing::check(state.log_capacity, kLogCapacityUnit));
  const LogCheckpoint& log = state.log;
  if (!is_countable(state.log_capacity.value()) || !is_block_position(log.chain.end) ||
      !is_block_position(log.chain.batch) || log.chain.batch > log.chain.end ||
      !is_countable(log.chain.generation.value()) || !is_countable(log.generation.value()) ||
      !is_block_position(log.generation_start) || !is_block_position(log.durable_bound)) {
    return Error::invalid_argument("a log checkpoint whose positions make no sense");
  }
  return {};
}

std::vector<std::byte> encode_store_state(const StoreState& state) {
  check_store_state(state).value();
  std::vector<std::byte> body(kStoreStateSize);
  ByteWriter out(body);
  out.bytes(state.store.bytes());
  out.bytes(state.server.bytes());
  out.u64_le(state.log_capacity.value());
  write_chain(out, state.log.chain);
  out.u64_le(state.log.generation.value());
  out.u64_le(state.log.generation_start.value());
  out.u64_le(state.log.durable_bound.value());
  ASHLAR_CHECK(!out.failed() && out.remaining() == 0);
  return body;
}

Result<StoreState> decode_store_state(ByteSpan body) {
  ByteReader in(body);
  StoreState state;
  state.store = read_uuid<StoreUuid>(in);
  state.server = read_uuid<ServerUuid>(in);
  state.log_capacity = ByteCount(in.u64_le());
  state.log.chain = read_chain(in);
  state.log.generation = LogGeneration(in.u64_le());
  state.log.generation_start = LogPosition(in.u64_le());
  state.log.durable_bound = LogPosition(in.u64_le());
  return checked("the superblock", in, state, check_store_state);
}

Result<> check_owner_record(const OwnerRecord& owner) {
  if (owner.server.is_nil()) return Error::invalid_argument("an owner without a uuid");
  if (!is_countable(owner.incarnation)) {
    return Error::invalid_argument("incarnation {}", owner.incarnation);
  }
  return {};
}

std::vector<std::byte> encode_owner_record(const OwnerRecord& owner) {
  check_owner_record(owner).value();
  std::vector<std::byte> body(kOwnerRecordSize);
  ByteWriter out(body);
  out.bytes(owner.server.bytes());
  out.u64_le(owner.incarnation);
  ASHLAR_CHECK(!out.failed() && out.remaining() == 0);
  return body;
}

Result<OwnerRecord> decode_owner_record(ByteSpan body) {
  ByteReader in(body);
  OwnerRecord owner;
  owner.server = read_uuid<ServerUuid>(in);
  owner.incarnation = in.u64_le();
  return checked("the owner record", in, owner, check_owner_record);
}

// --- a replica -----------------------------------------------------------------------------------

namespace {

template <class T>
bool has_twins(std::vector<T> values) {
  std::ranges::sort(values);
  return std::ranges::adjacent_find(values) != values.end();
}

Result<> check_lists(const ReplicaState& state) {
  const auto within = [](std::string_view what, std::size_t count, std::size_t most) -> Result<> {
    if (count <= most) return {};
    return Error::invalid_argument("{} {}, at most {} are allowed", count, what, most);
  };
  ASHLAR_TRY(within("epochs", state.epochs.size(), kMostEpochs));
  ASHLAR_TRY(within("layers", state.layers.size(), kMostLayers));
  ASHLAR_TRY(within("dropped layers", state.dropped.size(), kMostLayers));
  ASHLAR_TRY(
      within("bytes of reservation state", state.reservations.size(), kLargestReservationState));
  return within("bytes of attachment", state.attachment.size(), kLargestAttachment);
}

Result<> check_numbers(const ReplicaState& state) {
  if (state.replica.is_nil() || state.volume.is_nil()) {
    return Error::invalid_argument("a replica without a uuid or a volume");
  }
  if (state.size_blocks == 0 || state.size_blocks > kLargestVolumeBlocks) {
    return Error::invalid_argument("a volume of {} blocks", state.size_blocks);
  }
  if (!is_countable(state.flushed.value()) || !is_countable(state.flushed_epoch.value()) ||
      !is_countable(state.promised.value()) || !is_countable(state.next_layer)) {
    return Error::invalid_argument("a number that nobody can have reached");
  }
  for (std::size_t i = 0; i < state.epochs.size(); ++i) {
    const EpochStart& start = state.epochs[i];
    if (!is_countable(start.epoch.value()) || !is_countable(start.first_lsn.value())) {
      return Error::invalid_argument("epoch {} from record {} on", start.epoch, start.first_lsn);
    }
    if (i == 0) continue;
    const EpochStart& before = state.epochs[i - 1];
    if (start.epoch <= before.epoch || start.first_lsn <= before.first_lsn) {
      return Error::invalid_argument("epoch {} from record {} on comes after epoch {} from {} on",
                                     start.epoch, start.first_lsn, before.epoch, before.first_lsn);
    }
  }
  return {};
}

Result<> check_layer(const ReplicaState& state, std::size_t index) {
  const LayerState& layer = state.layers[index];
  const auto refuse = [&](std::string_view why) {
    return Error::invalid_argument("layer {}: {}", index, why);
  };
  if (layer.id.creator.is_nil() || layer.volume.is_nil()) return refuse("no creator or no volume");
  if (!is_countable(layer.id.number) || !is_countable(layer.begins.value())) {
    return refuse("a number that nobody can have reached");
  }
  if (layer.id.creator == state.replica && layer.id.number >= state.next_layer) {
    return refuse("its number is still to be given");
  }
  if (layer.parent && *layer.parent >= state.layers.size()) return refuse("no such parent");
  if (layer.merging && !layer.parent) return refuse("it merges into nothing");
  if (!layer.snapshot) return {};
  if (layer.snapshot->uuid.is_nil()) return refuse("a snapshot without a uuid");
  if (!is_countable(layer.snapshot->lsn.value())) return refuse("a snapshot of no record");
  return {};
}

Result<> check_identities(const ReplicaState& state) {
  std::vector<LayerId> ids;
  std::vector<SnapshotUuid> snapshots;
  std::size_t kept = 0;
  for (const LayerState& layer : state.layers) {
    ids.push_back(layer.id);
    if (!layer.snapshot) continue;
    snapshots.push_back(layer.snapshot->uuid);
    kept += layer.snapshot->deleted ? 0 : 1;
  }
  if (has_twins(std::move(snapshots))) return Error::invalid_argument("one snapshot twice");
  if (kept > kMostSnapshots) {
    return Error::invalid_argument("{} snapshots, at most {} are allowed", kept, kMostSnapshots);
  }
  for (const std::uint64_t number : state.dropped) {
    if (number >= state.next_layer) {
      return Error::invalid_argument("dropped layer {} is still to be made", number);
    }
    ids.push_back({.creator = state.replica, .number = number});
  }
  if (has_twins(std::move(ids))) return Error::invalid_argument("one layer twice");
  return {};
}

// Every layer's way down ends at one without a parent.
Result<> check_trees(const ReplicaState& state) {
  const std::size_t count = state.layers.size();
  std::vector<bool> grounded(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<std::size_t> way;
    std::optional<std::uint32_t> at = static_cast<std::uint32_t>(i);
    for (; at && !grounded[*at]; at = state.layers[*at].parent) {
      if (way.size() == count) return Error::invalid_argument("layer {} is below itself", *at);
      way.push_back(*at);
    }
    for (const std::size_t passed : way) grounded[passed] = true;
  }
  return {};
}

Result<> check_head(const ReplicaState& state) {
  if (state.head >= state.layers.size()) {
    return Error::invalid_argument("the head is layer {} of {}", state.head, state.layers.size());
  }
  if (state.layers[state.head].snapshot) return Error::invalid_argument("the head is a snapshot");
  for (const LayerState& layer : state.layers) {
    if (layer.parent == state.head) return Error::invalid_argument("a layer is above the head");
  }
  return {};
}

void write_layer(ByteWriter& out, const LayerState& layer) {
  const SnapshotState snapshot = layer.snapshot.value_or(SnapshotState());
  out.bytes(layer.id.creator.bytes());
  out.u64_le(layer.id.number);
  out.bytes(layer.volume.bytes());
  out.u64_le(layer.begins.value());
  out.u32_le(layer.parent.value_or(0));
  write_flag(out, layer.parent.has_value());
  write_flag(out, layer.snapshot.has_value());
  write_flag(out, layer.merging);
  write_flag(out, snapshot.deleted);
  out.bytes(snapshot.uuid.bytes());
  out.u64_le(snapshot.lsn.value());
  out.u64_le(static_cast<std::uint64_t>(snapshot.created.nanoseconds()));
}

LayerState read_layer(ByteReader& in) {
  LayerState layer;
  SnapshotState snapshot;
  layer.id.creator = read_uuid<ReplicaUuid>(in);
  layer.id.number = in.u64_le();
  layer.volume = read_uuid<VolumeUuid>(in);
  layer.begins = Lsn(in.u64_le());
  const std::uint32_t parent = in.u32_le();
  const bool has_parent = read_flag(in);
  const bool has_snapshot = read_flag(in);
  layer.merging = read_flag(in);
  snapshot.deleted = read_flag(in);
  snapshot.uuid = read_uuid<SnapshotUuid>(in);
  snapshot.lsn = Lsn(in.u64_le());
  snapshot.created = WallTime(Duration(static_cast<std::int64_t>(in.u64_le())));
  // What is not there is written as zeros.
  if (has_parent) {
    layer.parent = parent;
  } else if (parent != 0) {
    in.fail();
  }
  if (has_snapshot) {
    layer.snapshot = snapshot;
  } else if (snapshot != SnapshotState()) {
    in.fail();
  }
  return layer;
}

struct ReplicaCounts {
  std::uint32_t epochs;
  std::uint32_t layers;
  std::uint32_t dropped;
  std::uint32_t reservations;
  std::uint32_t attachment;

  bool are_within_bounds() const {
    return epochs <= kMostEpochs && layers <= kMostLayers && dropped <= kMostLayers &&
           reservations <= kLargestReservationState && attachment <= kLargestAttachment;
  }
  std::size_t body_size() const {
    return kReplicaFixedSize + epochs * kEpochStartSize + layers * kLayerStateSize +
           dropped * sizeof(std::uint64_t) + reservations + attachment;
  }
};

ReplicaCounts counts_of(const ReplicaState& state) {
  return {static_cast<std::uint32_t>(state.epochs.size()),
          static_cast<std::uint32_t>(state.layers.size()),
          static_cast<std::uint32_t>(state.dropped.size()),
          static_cast<std::uint32_t>(state.reservations.size()),
          static_cast<std::uint32_t>(state.attachment.size())};
}

void write_fixed(ByteWriter& out, const ReplicaState& state) {
  const ReplicaCounts counts = counts_of(state);
  out.bytes(state.replica.bytes());
  out.bytes(state.volume.bytes());
  out.u64_le(state.size_blocks);
  out.u64_le(state.flushed.value());
  out.u64_le(state.flushed_epoch.value());
  out.u64_le(state.promised.value());
  out.u64_le(state.next_layer);
  out.u32_le(state.head);
  write_flag(out, state.candidate);
  write_flag(out, state.repair_needed);
  out.u16_le(0);
  out.u32_le(counts.epochs);
  out.u32_le(counts.layers);
  out.u32_le(counts.dropped);
  out.u32_le(counts.reservations);
  out.u32_le(counts.attachment);
  out.u32_le(0);
  ASHLAR_CHECK_EQ(out.position(), kReplicaFixedSize);
}

ReplicaCounts read_fixed(ByteReader& in, ReplicaState& state) {
  ReplicaCounts counts{};
  state.replica = read_uuid<ReplicaUuid>(in);
  state.volume = read_uuid<VolumeUuid>(in);
  state.size_blocks = in.u64_le();
  state.flushed = Lsn(in.u64_le());
  state.flushed_epoch = Epoch(in.u64_le());
  state.promised = Epoch(in.u64_le());
  state.next_layer = in.u64_le();
  state.head = in.u32_le();
  state.candidate = read_flag(in);
  state.repair_needed = read_flag(in);
  read_zeros(in, 2);
  counts.epochs = in.u32_le();
  counts.layers = in.u32_le();
  counts.dropped = in.u32_le();
  counts.reservations = in.u32_le();
  counts.attachment = in.u32_le();
  read_zeros(in, 4);
  return counts;
}

std::vector<std::byte> read_opaque(ByteReader& in, std::size_t size) {
  const ByteSpan bytes = in.bytes(size);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

Result<> check_replica_state(const ReplicaState& state) {
  ASHLAR_TRY(check_lists(state));
  ASHLAR_TRY(check_numbers(state));
  for (std::size_t i = 0; i < state.layers.size(); ++i) ASHLAR_TRY(check_layer(state, i));
  ASHLAR_TRY(check_identities(state));
  ASHLAR_TRY(check_trees(state));
  return check_head(state);
}

std::vector<std::byte> encode_replica_state(const ReplicaState& state) {
  check_replica_state(state).value();
  std::vector<std::byte> body(counts_of(state).body_size());
  ByteWriter out(body);
  write_fixed(out, state);
  for (const EpochStart& start : state.epochs) {
    out.u64_le(start.epoch.value());
    out.u64_le(start.first_lsn.value());
  }
  for (const LayerState& layer : state.layers) write_layer(out, layer);
  for (const std::uint64_t number : state.dropped) out.u64_le(number);
  out.bytes(state.reservations);
  out.bytes(state.attachment);
  ASHLAR_CHECK(!out.failed() && out.remaining() == 0);
  return body;
}

Result<ReplicaState> decode_replica_state(ByteSpan body) {
  constexpr std::string_view kWhat = "the replica's state";
  ByteReader in(body);
  ReplicaState state;
  const ReplicaCounts counts = read_fixed(in, state);
  if (in.failed()) return on_disk(kWhat, "cut short, or not zero where it must be");
  if (!counts.are_within_bounds()) return on_disk(kWhat, "a list is longer than any may be");
  if (counts.body_size() != body.size()) return on_disk(kWhat, "its lengths do not add up");
  for (std::uint32_t i = 0; i < counts.epochs; ++i) {
    const Epoch epoch(in.u64_le());
    state.epochs.push_back({.epoch = epoch, .first_lsn = Lsn(in.u64_le())});
  }
  for (std::uint32_t i = 0; i < counts.layers; ++i) state.layers.push_back(read_layer(in));
  for (std::uint32_t i = 0; i < counts.dropped; ++i) state.dropped.push_back(in.u64_le());
  state.reservations = read_opaque(in, counts.reservations);
  state.attachment = read_opaque(in, counts.attachment);
  return checked(kWhat, in, std::move(state), check_replica_state);
}

// --- payloads ------------------------------------------------------------------------------------

void encode_snapshot_payload(const SnapshotPayload& payload, MutableByteSpan block) {
  ASHLAR_CHECK(block.size() == kBlockSize && !payload.uuid.is_nil());
  ByteWriter out(block);
  out.u16_le(kSnapshotPayloadVersion);
  out.zeros(kSnapshotPayloadReserved);
  out.bytes(payload.uuid.bytes());
  out.u64_le(static_cast<std::uint64_t>(payload.created.nanoseconds()));
  out.zeros(out.remaining());
}

Result<SnapshotPayload> decode_snapshot_payload(ByteSpan block) {
  constexpr std::string_view kWhat = "the payload of a snapshot record";
  if (block.size() != kBlockSize) return Error::data_loss("{} of {} bytes", kWhat, block.size());
  ByteReader in(block);
  SnapshotPayload payload;
  const std::uint16_t version = in.u16_le();
  if (version > kSnapshotPayloadVersion) {
    return Error::unimplemented("{} of version {}, known is {}", kWhat, version,
                                kSnapshotPayloadVersion);
  }
  read_zeros(in, kSnapshotPayloadReserved);
  payload.uuid = read_uuid<SnapshotUuid>(in);
  payload.created = WallTime(Duration(static_cast<std::int64_t>(in.u64_le())));
  read_zeros(in, in.remaining());
  if (in.failed() || version != kSnapshotPayloadVersion || payload.uuid.is_nil()) {
    return Error::data_loss("{} that makes no sense", kWhat);
  }
  return payload;
}

}  // namespace ashlar::engine
