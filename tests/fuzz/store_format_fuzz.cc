// Feeds bytes to the parsers of what a store remembers. What one accepts must encode to the same
// bytes. The first byte chooses the parser, and whether the rest is its input or changes a sample:
// three bytes each, a place and what stands there, so that the fuzzer need not invent uuids and
// lengths that fit.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/limits.h"
#include "engine/store_format.h"

namespace ashlar::engine {
namespace {

using Bytes = std::vector<std::byte>;

template <class Id>
Id id_of(unsigned char number) {
  std::array<std::byte, Uuid::kSize> bytes{};
  bytes[15] = std::byte{number};
  return Id(std::span<const std::byte, Uuid::kSize>(bytes));
}

StoreState store_sample() {
  StoreState state;
  state.store = id_of<StoreUuid>(1);
  state.server = id_of<ServerUuid>(2);
  state.log_capacity = ByteCount(64 << 20);
  state.log.chain.end = LogPosition(0x6000);
  return state;
}

ReplicaState replica_sample() {
  ReplicaState state;
  state.replica = id_of<ReplicaUuid>(3);
  state.volume = id_of<VolumeUuid>(4);
  state.size_blocks = 16;
  state.epochs = {{Epoch(1), Lsn(1)}, {Epoch(2), Lsn(7)}};
  state.next_layer = 5;
  for (unsigned char i = 0; i < 4; ++i) {
    LayerState layer{.id = {state.replica, i}, .volume = state.volume};
    if (i > 0) layer.parent = i - 1;
    if (i < 3) layer.snapshot = {.uuid = id_of<SnapshotUuid>(i + 1)};
    state.layers.push_back(layer);
  }
  state.head = 3;
  state.dropped = {4};
  state.reservations = {std::byte{5}};
  state.attachment = {std::byte{6}};
  return state;
}

Bytes payload_sample() {
  Bytes block(kBlockSize);
  encode_snapshot_payload({.uuid = id_of<SnapshotUuid>(7), .created = {}}, block);
  return block;
}

// A place behind the end makes it longer.
Bytes changed(Bytes sample, ByteSpan changes) {
  for (; changes.size() >= 3; changes = changes.subspan(3)) {
    const std::size_t at = load_le16(changes) % (sample.size() + 1);
    if (at == sample.size()) sample.emplace_back();
    sample[at] = changes[2];
  }
  return sample;
}

template <class State>
void round_trip(ByteSpan input, Result<State> (*decode)(ByteSpan), Bytes (*encode)(const State&)) {
  const Result<State> state = decode(input);
  if (state.ok()) {
    ASHLAR_CHECK(std::ranges::equal(encode(*state), input));
  } else {
    ASHLAR_CHECK(state.error().code() == ErrorCode::kDataLoss);
  }
}

void round_trip_payload(ByteSpan input) {
  const Result<SnapshotPayload> payload = decode_snapshot_payload(input);
  if (!payload.ok()) return;
  Bytes again(kBlockSize, std::byte{0xee});
  encode_snapshot_payload(*payload, again);
  ASHLAR_CHECK(std::ranges::equal(again, input));
}

void run(ByteSpan input) {
  if (input.empty()) return;
  const unsigned choice = std::to_integer<unsigned>(input[0]);
  const ByteSpan rest = input.subspan(1);
  const auto made = [&](Bytes sample) {
    return choice % 8 < 4 ? changed(std::move(sample), rest) : Bytes(rest.begin(), rest.end());
  };
  switch (choice % 4) {
    case 0:
      return round_trip(made(encode_replica_state(replica_sample())), decode_replica_state,
                        encode_replica_state);
    case 1:
      return round_trip(made(encode_store_state(store_sample())), decode_store_state,
                        encode_store_state);
    case 2:
      return round_trip(made(encode_owner_record({.server = id_of<ServerUuid>(2)})),
                        decode_owner_record, encode_owner_record);
    default:
      return round_trip_payload(made(payload_sample()));
  }
}

}  // namespace
}  // namespace ashlar::engine

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ashlar::engine::run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
