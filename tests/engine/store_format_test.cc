#include "engine/store_format.h"

#include <array>
#include <functional>
#include <ostream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/limits.h"

namespace ashlar::engine {
namespace {

using Bytes = std::vector<std::byte>;

template <class Id>
Id id_of(unsigned number) {
  std::array<std::byte, Uuid::kSize> bytes{};
  bytes[0] = std::byte{0xa5};
  bytes[14] = static_cast<std::byte>(number >> 8);
  bytes[15] = static_cast<std::byte>(number);
  return Id(std::span<const std::byte, Uuid::kSize>(bytes));
}

std::string hex(ByteSpan bytes) {
  std::string text;
  for (const std::byte b : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return text;
}

constexpr std::uint64_t kTooLarge = std::uint64_t{1} << 63;

// --- the store -----------------------------------------------------------------------------------

StoreState store_sample() {
  StoreState state;
  state.store = id_of<StoreUuid>(1);
  state.server = id_of<ServerUuid>(2);
  state.log_capacity = ByteCount(64 << 20);
  state.log = {.chain = {.end = LogPosition(0x11223344556000),
                         .generation = LogGeneration(5),
                         .batch = LogPosition(0x11223344550000),
                         .crc = 0xaabbccdd},
               .generation = LogGeneration(6),
               .generation_start = LogPosition(0x7000),
               .durable_bound = LogPosition(0x8000)};
  return state;
}

TEST(StoreState, ComesBackAsItWasWritten) {
  EXPECT_EQ(decode_store_state(encode_store_state(store_sample())).value(), store_sample());
}

// Fixed for ever, as all of these: a change of the bytes is a new format version (L111).
TEST(StoreState, TheBytesOfVersionOneStayAsTheyAre) {
  EXPECT_EQ(hex(encode_store_state(store_sample())),
            "a5000000000000000000000000000001a5000000000000000000000000000002"
            "0000000400000000006055443322110005000000000000000000554433221100"
            "ddccbbaa00000000060000000000000000700000000000000080000000000000");
}

TEST(StoreState, OfAnotherLengthIsRefused) {
  Bytes body = encode_store_state(store_sample());
  for (std::size_t length = 0; length < body.size(); ++length) {
    EXPECT_FALSE(decode_store_state(ByteSpan(body).first(length)).ok()) << length;
  }
  body.push_back(std::byte{0});
  EXPECT_EQ(decode_store_state(body).error().code(), ErrorCode::kDataLoss);
}

TEST(StoreState, ThatContradictsItselfIsRefused) {
  const auto refused = [](const std::function<void(StoreState&)>& change) {
    StoreState state = store_sample();
    change(state);
    return !check_store_state(state).ok();
  };
  EXPECT_FALSE(refused([](StoreState& s) { s.log = {}; }));
  EXPECT_TRUE(refused([](StoreState& s) { s.store = StoreUuid(); }));
  EXPECT_TRUE(refused([](StoreState& s) { s.server = ServerUuid(); }));
  EXPECT_TRUE(refused([](StoreState& s) { s.log_capacity = ByteCount(0); }));
  EXPECT_TRUE(refused([](StoreState& s) { s.log_capacity = ByteCount((1 << 20) + 4096); }));
  EXPECT_TRUE(refused([](StoreState& s) { s.log_capacity = ByteCount(kTooLarge); }));
  EXPECT_TRUE(refused([](StoreState& s) { s.log.chain.end += 512; }));
  EXPECT_TRUE(refused([](StoreState& s) { s.log.chain.batch = s.log.chain.end + 4096; }));
  EXPECT_TRUE(refused([](StoreState& s) { s.log.chain.end = LogPosition(kTooLarge); }));
  EXPECT_TRUE(refused([](StoreState& s) { s.log.generation = LogGeneration(kTooLarge); }));
  EXPECT_TRUE(refused([](StoreState& s) { s.log.generation_start += 1; }));
  EXPECT_TRUE(refused([](StoreState& s) { s.log.durable_bound += 1; }));
}

TEST(StoreState, BytesThatMustBeZeroAreLookedAt) {
  Bytes body = encode_store_state(store_sample());
  body[68] = std::byte{1};
  EXPECT_EQ(decode_store_state(body).error().code(), ErrorCode::kDataLoss);
}

TEST(StoreStateDeathTest, ThatWouldBeRefusedIsNotWritten) {
  EXPECT_DEATH((void)encode_store_state(StoreState()), "without a uuid");
}

TEST(OwnerRecord, ComesBackAsItWasWritten) {
  const OwnerRecord owner{.server = id_of<ServerUuid>(3), .incarnation = 0x1122334455667788};
  const Bytes body = encode_owner_record(owner);
  EXPECT_EQ(hex(body), "a50000000000000000000000000000038877665544332211");
  EXPECT_EQ(decode_owner_record(body).value(), owner);
}

TEST(OwnerRecord, ThatMakesNoSenseIsRefused) {
  Bytes body = encode_owner_record({.server = id_of<ServerUuid>(3), .incarnation = 1});
  EXPECT_FALSE(decode_owner_record(ByteSpan(body).first(23)).ok());
  EXPECT_FALSE(check_owner_record({.server = ServerUuid(), .incarnation = 1}).ok());
  EXPECT_FALSE(check_owner_record({.server = id_of<ServerUuid>(3), .incarnation = kTooLarge}).ok());
  body.push_back(std::byte{0});
  EXPECT_FALSE(decode_owner_record(body).ok());
}

// --- a replica -----------------------------------------------------------------------------------

SnapshotState snapshot_of(unsigned number, bool deleted = false) {
  return {.uuid = id_of<SnapshotUuid>(number),
          .lsn = Lsn(number),
          .created = WallTime(Duration(-5)),
          .deleted = deleted};
}

// A clone: two layers of another replica below, one snapshot of its own, a deleted sibling.
ReplicaState replica_sample() {
  ReplicaState state;
  state.replica = id_of<ReplicaUuid>(10);
  state.volume = id_of<VolumeUuid>(20);
  state.size_blocks = 0x10000;
  state.flushed = Lsn(900);
  state.flushed_epoch = Epoch(7);
  state.promised = Epoch(8);
  state.candidate = false;
  state.repair_needed = true;
  state.epochs = {{Epoch(1), Lsn(1)}, {Epoch(7), Lsn(500)}};
  state.next_layer = 9;
  state.head = 3;
  const ReplicaUuid other = id_of<ReplicaUuid>(11);
  const VolumeUuid origin = id_of<VolumeUuid>(21);
  state.layers = {
      {.id = {other, 1}, .volume = origin, .snapshot = snapshot_of(100, true)},
      {.id = {other, 2},
       .volume = origin,
       .parent = 0,
       .begins = Lsn(100),
       .snapshot = snapshot_of(200)},
      {.id = {state.replica, 1},
       .volume = state.volume,
       .parent = 1,
       .begins = Lsn(1),
       .snapshot = snapshot_of(300, true),
       .merging = true},
      {.id = {state.replica, 8}, .volume = state.volume, .parent = 2, .begins = Lsn(300)}};
  state.dropped = {7, 3};
  state.reservations = Bytes(3, std::byte{0xcc});
  state.attachment = Bytes(5, std::byte{0xdd});
  return state;
}

TEST(ReplicaState, ComesBackAsItWasWritten) {
  EXPECT_EQ(decode_replica_state(encode_replica_state(replica_sample())).value(), replica_sample());
}

TEST(ReplicaState, TheBytesOfVersionOneStayAsTheyAre) {
  const Bytes body = encode_replica_state(replica_sample());
  EXPECT_EQ(hex(ByteSpan(body).first(kReplicaFixedSize)),
            "a500000000000000000000000000000aa5000000000000000000000000000014"
            "0000010000000000840300000000000007000000000000000800000000000000"
            "0900000000000000030000000001000002000000040000000200000003000000"
            "0500000000000000");
  EXPECT_EQ(hex(ByteSpan(body).subspan(kReplicaFixedSize, 32)),
            "010000000000000001000000000000000700000000000000f401000000000000");
  EXPECT_EQ(hex(ByteSpan(body).subspan(kReplicaFixedSize + 32 + 2 * kLayerStateSize, 88)),
            "a500000000000000000000000000000a0100000000000000a500000000000000"
            "000000000000001401000000000000000100000001010101a500000000000000"
            "000000000000012c2c01000000000000fbffffffffffffff");
  EXPECT_EQ(hex(ByteSpan(body).last(24)), "07000000000000000300000000000000ccccccdddddddddd");
}

// The largest state that is allowed.
ReplicaState largest() {
  ReplicaState state = replica_sample();
  state.size_blocks = kLargestVolumeBlocks;
  state.next_layer = 2 * kMostLayers;
  state.layers.clear();
  state.epochs.clear();
  state.dropped.clear();
  for (unsigned i = 0; i < kMostLayers; ++i) {
    LayerState layer{.id = {state.replica, i}, .volume = state.volume, .begins = Lsn(i)};
    if (i > 0) layer.parent = i - 1;
    layer.merging = i > 0;
    layer.snapshot = snapshot_of(1000 + i, i >= kMostSnapshots);
    state.layers.push_back(layer);
    state.dropped.push_back(kMostLayers + i);
  }
  state.head = kMostLayers - 1;
  state.layers[state.head].snapshot.reset();
  for (unsigned i = 0; i < kMostEpochs; ++i) state.epochs.push_back({Epoch(i), Lsn(i)});
  state.reservations.assign(kLargestReservationState, std::byte{1});
  state.attachment.assign(kLargestAttachment, std::byte{2});
  return state;
}

TEST(ReplicaState, TheLargestFitsItsSlot) {
  const Bytes body = encode_replica_state(largest());
  EXPECT_EQ(body.size(), kLargestReplicaState);
  EXPECT_LE(body.size(), kReplicaFormat.largest_body());
  EXPECT_EQ(decode_replica_state(body).value(), largest());
}

struct Broken {
  const char* name;
  std::function<void(ReplicaState&)> change;

  friend void PrintTo(const Broken& broken, std::ostream* out) { *out << broken.name; }
};

class BrokenReplicaState : public testing::TestWithParam<Broken> {};

TEST_P(BrokenReplicaState, IsRefused) {
  ReplicaState state = largest();
  EXPECT_TRUE(check_replica_state(state).ok());
  GetParam().change(state);
  EXPECT_EQ(check_replica_state(state).error().code(), ErrorCode::kInvalidArgument);
  state = replica_sample();
  EXPECT_TRUE(check_replica_state(state).ok());
}

LayerState another_layer(const ReplicaState& state) {
  return {.id = {id_of<ReplicaUuid>(77), 0}, .volume = state.volume};
}

INSTANTIATE_TEST_SUITE_P(
    StoreFormat, BrokenReplicaState,
    testing::Values(
        Broken{"NoUuid", [](ReplicaState& s) { s.replica = ReplicaUuid(); }},
        Broken{"NoVolume", [](ReplicaState& s) { s.volume = VolumeUuid(); }},
        Broken{"NoSize", [](ReplicaState& s) { s.size_blocks = 0; }},
        Broken{"TooLarge", [](ReplicaState& s) { s.size_blocks = kLargestVolumeBlocks + 1; }},
        Broken{"FlushedBeyondAll", [](ReplicaState& s) { s.flushed = Lsn(kTooLarge); }},
        Broken{"FlushedEpochBeyondAll",
               [](ReplicaState& s) { s.flushed_epoch = Epoch(kTooLarge); }},
        Broken{"PromiseBeyondAll", [](ReplicaState& s) { s.promised = Epoch(kTooLarge); }},
        Broken{"LayerNumbersBeyondAll", [](ReplicaState& s) { s.next_layer = kTooLarge; }},
        Broken{"TooManyEpochs",
               [](ReplicaState& s) { s.epochs.push_back({Epoch(9999), Lsn(9999)}); }},
        Broken{"EpochTwice", [](ReplicaState& s) { s.epochs[1].epoch = s.epochs[0].epoch; }},
        Broken{"EpochWithoutRecords",
               [](ReplicaState& s) { s.epochs[1].first_lsn = s.epochs[0].first_lsn; }},
        Broken{"EpochBeyondAll", [](ReplicaState& s) { s.epochs.back().epoch = Epoch(kTooLarge); }},
        Broken{"EpochStartBeyondAll",
               [](ReplicaState& s) { s.epochs.back().first_lsn = Lsn(kTooLarge); }},
        Broken{"TooManyLayers", [](ReplicaState& s) { s.layers.push_back(another_layer(s)); }},
        Broken{"NoLayers", [](ReplicaState& s) { s.layers.clear(); }},
        Broken{"TooManyDropped", [](ReplicaState& s) { s.dropped.push_back(--s.next_layer); }},
        Broken{"DroppedTwice", [](ReplicaState& s) { s.dropped[1] = s.dropped[0]; }},
        Broken{"DroppedAndListed", [](ReplicaState& s) { s.dropped[1] = s.layers[5].id.number; }},
        Broken{"DroppedFromTheFuture", [](ReplicaState& s) { s.dropped[1] = s.next_layer; }},
        Broken{"TooMuchReservationState",
               [](ReplicaState& s) { s.reservations.push_back(std::byte{0}); }},
        Broken{"TooMuchAttachment", [](ReplicaState& s) { s.attachment.push_back(std::byte{0}); }},
        Broken{"HeadOutOfRange", [](ReplicaState& s) { s.head = kMostLayers; }},
        Broken{"HeadIsAParent", [](ReplicaState& s) { --s.head; }},
        Broken{"HeadIsAParentWithoutSnapshot",
               [](ReplicaState& s) { s.layers[--s.head].snapshot.reset(); }},
        Broken{"HeadIsASnapshot",
               [](ReplicaState& s) { s.layers[s.head].snapshot = snapshot_of(1, true); }},
        Broken{"ParentOutOfRange", [](ReplicaState& s) { s.layers[3].parent = kMostLayers; }},
        Broken{"ParentOfItself", [](ReplicaState& s) { s.layers[0].parent = 0; }},
        Broken{"ParentsInACircle", [](ReplicaState& s) { s.layers[0].parent = 9; }},
        Broken{"CircleBesideTheHead",
               [](ReplicaState& s) {
                 s.layers[11].parent = 9;
                 s.layers[0].parent = 9;
               }},
        Broken{"MergingIntoNothing", [](ReplicaState& s) { s.layers[0].merging = true; }},
        Broken{"LayerTwice", [](ReplicaState& s) { s.layers[4].id = s.layers[400].id; }},
        Broken{"LayerFromTheFuture", [](ReplicaState& s) { s.layers[4].id.number = s.next_layer; }},
        Broken{"LayerBeyondAll",
               [](ReplicaState& s) { s.layers[4].id = {id_of<ReplicaUuid>(9), kTooLarge}; }},
        Broken{"LayerOfNobody", [](ReplicaState& s) { s.layers[4].id.creator = ReplicaUuid(); }},
        Broken{"LayerOfNoVolume", [](ReplicaState& s) { s.layers[4].volume = VolumeUuid(); }},
        Broken{"LayerBeginsBeyondAll",
               [](ReplicaState& s) { s.layers[4].begins = Lsn(kTooLarge); }},
        Broken{"SnapshotTwice",
               [](ReplicaState& s) { s.layers[4].snapshot->uuid = s.layers[400].snapshot->uuid; }},
        Broken{"SnapshotWithoutUuid",
               [](ReplicaState& s) { s.layers[4].snapshot->uuid = SnapshotUuid(); }},
        Broken{"SnapshotBeyondAll",
               [](ReplicaState& s) { s.layers[4].snapshot->lsn = Lsn(kTooLarge); }},
        Broken{"TooManySnapshots",
               [](ReplicaState& s) { s.layers[kMostSnapshots].snapshot->deleted = false; }}),
    [](const auto& broken) { return std::string(broken.param.name); });

TEST(ReplicaState, OfAnotherLengthIsRefused) {
  Bytes body = encode_replica_state(replica_sample());
  for (std::size_t length = 0; length < body.size(); ++length) {
    ASSERT_FALSE(decode_replica_state(ByteSpan(body).first(length)).ok()) << length;
  }
  body.push_back(std::byte{0});
  EXPECT_EQ(decode_replica_state(body).error().code(), ErrorCode::kDataLoss);
}

TEST(ReplicaState, CountsAreBoundedBeforeTheyAreUsed) {
  for (std::size_t offset = 80; offset < 100; offset += 4) {
    Bytes body = encode_replica_state(replica_sample());
    store_le32(body, offset, 0xffffffff);
    const Error error = decode_replica_state(body).error();
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss) << offset;
    EXPECT_NE(error.message().find("longer than any may be"), std::string::npos) << offset;
  }
}

// Whatever a byte is changed to: it is refused, or it means something else that encodes to it.
TEST(ReplicaState, EveryChangedByteIsRefusedOrComesBack) {
  Bytes body = encode_replica_state(replica_sample());
  for (std::size_t at = 0; at < body.size(); ++at) {
    const std::byte was = body[at];
    for (const unsigned value : {0u, 1u, 2u, 0x80u, 0xffu}) {
      body[at] = static_cast<std::byte>(value);
      const Result<ReplicaState> state = decode_replica_state(body);
      if (state.ok()) ASSERT_EQ(encode_replica_state(*state), body) << at << " is " << value;
    }
    body[at] = was;
  }
}

TEST(ReplicaState, FlagsAreZeroOrOneAndWhatIsAbsentIsZero) {
  const std::size_t layers = kReplicaFixedSize + 2 * kEpochStartSize;
  const std::size_t head = layers + 3 * kLayerStateSize;
  // candidate, repair, zeros; then flags of a layer; then of the first, which has no parent, its
  // number; and of the head, which has no snapshot, its fields.
  for (const std::size_t offset :
       {std::size_t{76}, std::size_t{77}, std::size_t{78}, std::size_t{100}, layers + 52,
        layers + 53, layers + 54, layers + 55, layers + 48, head + 55, head + 56, head + 72,
        head + 80}) {
    Bytes body = encode_replica_state(replica_sample());
    body[offset] = std::byte{2};
    const Result<ReplicaState> state = decode_replica_state(body);
    ASSERT_FALSE(state.ok()) << offset;
    EXPECT_EQ(state.error().code(), ErrorCode::kDataLoss) << offset;
  }
}

TEST(ReplicaStateDeathTest, ThatWouldBeRefusedIsNotWritten) {
  ReplicaState state = replica_sample();
  state.layers[0].parent = 2;
  EXPECT_DEATH((void)encode_replica_state(state), "below itself");
}

// --- payloads ------------------------------------------------------------------------------------

SnapshotPayload payload_sample() {
  return {.uuid = id_of<SnapshotUuid>(4), .created = WallTime(Duration(0x1122334455667788))};
}

Bytes payload_block() {
  Bytes block(kBlockSize, std::byte{0xee});
  encode_snapshot_payload(payload_sample(), block);
  return block;
}

TEST(SnapshotPayload, ComesBackAsItWasWritten) {
  EXPECT_EQ(decode_snapshot_payload(payload_block()).value(), payload_sample());
  EXPECT_EQ(hex(ByteSpan(payload_block()).first(36)),
            "0100000000000000a5000000000000000000000000000004887766554433221100000000");
}

TEST(SnapshotPayload, OfALaterVersionIsUnimplemented) {
  Bytes block = payload_block();
  block[0] = std::byte{2};
  EXPECT_EQ(decode_snapshot_payload(block).error().code(), ErrorCode::kUnimplemented);
}

TEST(SnapshotPayload, ThatMakesNoSenseIsRefused) {
  EXPECT_FALSE(decode_snapshot_payload(Bytes(kBlockSize)).ok());
  EXPECT_FALSE(decode_snapshot_payload(ByteSpan(payload_block()).first(512)).ok());
  EXPECT_FALSE(decode_snapshot_payload(Bytes()).ok());
  for (const std::size_t offset :
       {std::size_t{2}, std::size_t{7}, std::size_t{32}, kBlockSize - 1}) {
    Bytes block = payload_block();
    block[offset] = std::byte{1};
    EXPECT_EQ(decode_snapshot_payload(block).error().code(), ErrorCode::kDataLoss) << offset;
  }
  Bytes nameless = payload_block();
  std::fill_n(nameless.begin() + 8, 16, std::byte{0});
  EXPECT_FALSE(decode_snapshot_payload(nameless).ok());
}

}  // namespace
}  // namespace ashlar::engine
