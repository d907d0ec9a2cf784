#include "engine/log_format.h"

#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "common/base/crc32c.h"
#include "engine/block_checksum.h"
#include "tests/engine/log_test_support.h"

namespace ashlar::engine {
namespace {

struct Sample {
  BatchHeader header;
  std::vector<RecordHeader> records;
  std::vector<std::uint32_t> checksums;

  std::vector<std::byte> encode(std::uint32_t* crc = nullptr) const {
    std::vector<std::byte> bytes(header.header_length);
    const std::uint32_t sum = encode_batch_header(header, records, checksums, bytes);
    if (crc != nullptr) *crc = sum;
    return bytes;
  }
};

Sample sample() {
  Sample s;
  s.records = {{.type = RecordType::kWrite,
                .replica = replica_of(1),
                .epoch = Epoch(7),
                .lsn = Lsn(0x1122334455667788),
                .previous_epoch = Epoch(6),
                .first_block = BlockIndex(0x0102030405060708),
                .block_count = 2,
                .payload_length = 2 * kBlockSize},
               {.type = RecordType::kDiscard,
                .replica = replica_of(2),
                .epoch = Epoch(1),
                .lsn = Lsn(2),
                .previous_epoch = Epoch(1),
                .first_block = BlockIndex(10),
                .block_count = std::uint64_t{1} << 40}};
  s.checksums = {0xaabbccdd, 0x01020304};
  s.header = {.header_length = kBlockSize,
              .record_count = 2,
              .total_length = 3 * kBlockSize,
              .store = test_uuid<StoreUuid>(200),
              .generation = LogGeneration(3),
              .position = LogPosition(0x5000),
              .previous_position = LogPosition(0x2000),
              .previous_crc = 0xdeadbeef,
              .durable_up_to = LogPosition(0x4000)};
  return s;
}

std::string hex(ByteSpan bytes) {
  std::string text;
  for (const std::byte b : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return text;
}

TEST(LogFormat, ABatchHeaderComesBackAsItWasWritten) {
  const Sample s = sample();
  std::uint32_t crc = 0;
  const std::vector<std::byte> bytes = s.encode(&crc);
  ASSERT_EQ(peek_header_length(bytes), kBlockSize);
  const Batch batch = decode_batch_header(bytes).value();
  EXPECT_EQ(batch.header, s.header);
  EXPECT_EQ(batch.crc, crc);
  ASSERT_EQ(batch.records.size(), 2u);
  EXPECT_EQ(batch.records[0].header, s.records[0]);
  EXPECT_EQ(batch.records[1].header, s.records[1]);
  EXPECT_EQ(batch.records[0].checksums, s.checksums);
  EXPECT_EQ(batch.records[0].payload, LogPosition(0x6000));
  EXPECT_EQ(batch.records[1].payload, LogPosition(0x7000));
  EXPECT_EQ(batch.after(),
            (ChainPoint{LogPosition(0x8000), LogGeneration(3), LogPosition(0x5000), crc}));
}

// Fixed for ever: a change of these bytes is a new format version (L111).
TEST(LogFormat, TheBytesOfVersionOneStayAsTheyAre) {
  const std::vector<std::byte> bytes = sample().encode();
  EXPECT_EQ(hex(ByteSpan(bytes).first(kBatchHeaderSize)),
            "4c4f47425443483101000000b38ee8a700100000020000000030000000000000"
            "a50000000000000000000000000000c803000000000000000050000000000000"
            "00200000000000000040000000000000efbeadde000000000000000000000000");
  EXPECT_EQ(hex(ByteSpan(bytes).subspan(kBatchHeaderSize, kRecordHeaderSize + 8)),
            "0100000000200000a50000000000000000000000000000010700000000000000"
            "8877665544332211060000000000000008070605040302010200000000000000"
            "ddccbbaa04030201");
  EXPECT_EQ(
      hex(ByteSpan(bytes).subspan(kBatchHeaderSize + kRecordHeaderSize + 8, kRecordHeaderSize)),
      "0200000000000000a50000000000000000000000000000020100000000000000"
      "020000000000000001000000000000000a000000000000000000000000010000");
}

TEST(LogFormat, EverySingleFlippedBitOfTheHeaderPartIsRefused) {
  std::vector<std::byte> bytes = sample().encode();
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    ASSERT_FALSE(decode_batch_header(bytes).ok()) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
  }
  EXPECT_TRUE(decode_batch_header(bytes).ok());
}

TEST(LogFormat, AHeaderPartOfAnotherLengthIsRefused) {
  std::vector<std::byte> bytes = sample().encode();
  for (const std::size_t length : {std::size_t{0}, std::size_t{95}, kBlockSize - 1}) {
    EXPECT_FALSE(decode_batch_header(ByteSpan(bytes).first(length)).ok()) << length;
  }
  EXPECT_EQ(peek_header_length(ByteSpan(bytes).first(kBlockSize - 1)), std::nullopt);
  bytes.resize(2 * kBlockSize);
  EXPECT_FALSE(decode_batch_header(bytes).ok());
  store_le32(bytes, 16, kLargestBatchHeader + kBlockSize);
  EXPECT_EQ(peek_header_length(bytes), std::nullopt);
}

TEST(LogFormat, TheLargestBatchFitsItsBounds) {
  Sample s;
  RecordHeader record = sample().records[1];
  for (std::size_t i = 0; i < kMostRecordsInBatch; ++i) s.records.push_back(record);
  s.header = sample().header;
  s.header.header_length = batch_header_length(kMostRecordsInBatch, 0);
  s.header.record_count = kMostRecordsInBatch;
  s.header.total_length = s.header.header_length;
  EXPECT_EQ(decode_batch_header(s.encode()).value().records.size(), kMostRecordsInBatch);
}

TEST(LogFormat, RecordsThatContradictThemselvesAreRefused) {
  const RecordHeader good = sample().records[0];
  EXPECT_TRUE(check_record(good).ok());
  const auto refused = [&](auto change) {
    RecordHeader bad = good;
    change(bad);
    return !check_record(bad).ok();
  };
  EXPECT_TRUE(refused([](RecordHeader& r) { r.flags = 1; }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.type = static_cast<RecordType>(0); }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.type = static_cast<RecordType>(12); }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.type = RecordType::kDiscard; }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.type = RecordType::kSeal; }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.block_count = 3; }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.payload_length += 512; }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.replica = ReplicaUuid(); }));
  EXPECT_TRUE(refused([](RecordHeader& r) {
    r.block_count = kLargestRecordPayload / kBlockSize + 1;
    r.payload_length = kLargestRecordPayload + kBlockSize;
  }));
  EXPECT_TRUE(refused([](RecordHeader& r) {
    r.first_block = BlockIndex(std::numeric_limits<std::uint64_t>::max() - 1);
  }));
}

class RecordOfState : public testing::TestWithParam<RecordType> {};

TEST_P(RecordOfState, CarriesOneBlockThatNamesASnapshotAndIsAboutNoBlocks) {
  const RecordHeader good{
      .type = GetParam(), .replica = replica_of(1), .lsn = Lsn(1), .payload_length = kBlockSize};
  EXPECT_TRUE(check_record(good).ok());
  RecordHeader bad = good;
  bad.payload_length = 0;
  EXPECT_FALSE(check_record(bad).ok());
  bad.payload_length = 2 * kBlockSize;
  EXPECT_FALSE(check_record(bad).ok());
  bad = good;
  bad.block_count = 1;
  EXPECT_FALSE(check_record(bad).ok());
  bad = good;
  bad.first_block = BlockIndex(1);
  EXPECT_FALSE(check_record(bad).ok());
}

INSTANTIATE_TEST_SUITE_P(LogFormat, RecordOfState,
                         testing::Values(RecordType::kSnapshot, RecordType::kSnapshotDelete,
                                         RecordType::kRevert));

TEST(LogFormat, AReservationStateHasUpTo32KiBAndNoBlocks) {
  RecordHeader record{.type = RecordType::kReservationState, .replica = replica_of(1)};
  EXPECT_TRUE(check_record(record).ok());
  record.payload_length = kLargestReservationState;
  EXPECT_TRUE(check_record(record).ok());
  record.payload_length += kBlockSize;
  EXPECT_FALSE(check_record(record).ok());
  record.payload_length = kBlockSize;
  record.block_count = 1;
  EXPECT_FALSE(check_record(record).ok());
  record.block_count = 0;
  record.first_block = BlockIndex(1);
  EXPECT_FALSE(check_record(record).ok());
}

TEST(LogFormat, ATruncationHasNeitherBlocksNorPayloadAndComesFromALaterEpoch) {
  const RecordHeader good{.type = RecordType::kTruncate,
                          .replica = replica_of(1),
                          .epoch = Epoch(5),
                          .lsn = Lsn(0),
                          .previous_epoch = Epoch(5)};
  EXPECT_TRUE(check_record(good).ok());
  const auto refused = [&](auto change) {
    RecordHeader bad = good;
    change(bad);
    return !check_record(bad).ok();
  };
  EXPECT_TRUE(refused([](RecordHeader& r) { r.payload_length = kBlockSize; }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.block_count = 1; }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.first_block = BlockIndex(1); }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.previous_epoch = Epoch(6); }));
  EXPECT_TRUE(refused([](RecordHeader& r) { r.replica = ReplicaUuid(); }));
}

TEST(LogFormat, EveryTypeComesBackAsItWasWritten) {
  Sample s;
  const auto add = [&](RecordType type, std::size_t blocks) {
    s.records.push_back({.type = type,
                         .replica = replica_of(1),
                         .epoch = Epoch(9),
                         .lsn = Lsn(s.records.size()),
                         .previous_epoch = Epoch(8),
                         .payload_length = static_cast<std::uint32_t>(blocks * kBlockSize)});
    for (std::size_t i = 0; i < blocks; ++i)
      s.checksums.push_back(100u + static_cast<std::uint32_t>(i));
  };
  add(RecordType::kTruncate, 0);
  add(RecordType::kEpochStart, 0);
  add(RecordType::kSnapshot, 1);
  add(RecordType::kReservationState, 8);
  add(RecordType::kSnapshotDelete, 1);
  add(RecordType::kRevert, 1);
  s.header = sample().header;
  s.header.record_count = static_cast<std::uint32_t>(s.records.size());
  s.header.total_length = s.header.header_length + s.checksums.size() * kBlockSize;
  const Batch batch = decode_batch_header(s.encode()).value();
  for (std::size_t i = 0; i < s.records.size(); ++i) {
    EXPECT_EQ(batch.records.at(i).header, s.records[i]);
  }
}

TEST(BlockChecksum, DependsOnVolumeAndBlock) {
  const std::vector<std::byte> block(kBlockSize);
  const BlockChecksum a(test_uuid<VolumeUuid>(1)), b(test_uuid<VolumeUuid>(2));
  EXPECT_EQ(a.of(BlockIndex(5), block), a.of(BlockIndex(5), block));
  EXPECT_NE(a.of(BlockIndex(5), block), a.of(BlockIndex(6), block));
  EXPECT_NE(a.of(BlockIndex(5), block), b.of(BlockIndex(5), block));
  std::vector<std::byte> spelled(16 + 8 + kBlockSize);
  const VolumeUuid volume = test_uuid<VolumeUuid>(1);
  std::memcpy(spelled.data(), volume.bytes().data(), 16);
  store_le64(spelled, 16, 5);
  EXPECT_EQ(a.of(BlockIndex(5), block), crc32c(spelled));
}

}  // namespace
}  // namespace ashlar::engine
