#include "engine/log_format.h"

#include <algorithm>
#include <limits>

#include "common/base/crc32c.h"
#include "engine/format_fields.h"

namespace ashlar::engine {
namespace {

// The layouts, as structures, so that the compiler adds up the offsets that the code relies on.
struct BatchHeaderLayout {
  std::uint64_t magic;
  std::uint16_t version;
  std::uint16_t reserved0;
  std::uint32_t crc;
  std::uint32_t header_length;
  std::uint32_t record_count;
  std::uint64_t total_length;
  std::byte store[16];
  std::uint64_t generation;
  std::uint64_t position;
  std::uint64_t previous_position;
  std::uint64_t durable_up_to;
  std::uint32_t previous_crc;
  std::byte reserved1[12];
};
static_assert(sizeof(BatchHeaderLayout) == kBatchHeaderSize);
static_assert(offsetof(BatchHeaderLayout, crc) == kBatchCrcOffset);
static_assert(offsetof(BatchHeaderLayout, header_length) == 16);
static_assert(offsetof(BatchHeaderLayout, store) == 32);
static_assert(offsetof(BatchHeaderLayout, generation) == 48);
static_assert(offsetof(BatchHeaderLayout, position) == 56);
static_assert(offsetof(BatchHeaderLayout, durable_up_to) == 72);
static_assert(offsetof(BatchHeaderLayout, previous_crc) == 80);

struct RecordHeaderLayout {
  std::uint8_t type;
  std::uint8_t flags;
  std::uint16_t reserved;
  std::uint32_t payload_length;
  std::byte replica[16];
  std::uint64_t epoch;
  std::uint64_t lsn;
  std::uint64_t previous_epoch;
  std::uint64_t first_block;
  std::uint64_t block_count;
};
static_assert(sizeof(RecordHeaderLayout) == kRecordHeaderSize);
static_assert(offsetof(RecordHeaderLayout, replica) == 8);
static_assert(offsetof(RecordHeaderLayout, epoch) == 24);
static_assert(offsetof(RecordHeaderLayout, block_count) == 56);

constexpr std::size_t kStoreOffset = offsetof(BatchHeaderLayout, store);
constexpr std::size_t kPositionOffset = offsetof(BatchHeaderLayout, position);
constexpr std::size_t kReservedTail = kBatchHeaderSize - offsetof(BatchHeaderLayout, reserved1);

std::uint32_t header_crc(ByteSpan header_part) {
  const std::uint32_t front = crc32c(header_part.first(kBatchCrcOffset));
  return crc32c(header_part.subspan(kBatchCrcOffset + 4), front);
}

bool is_block_multiple(std::uint64_t length) {
  return length % kBlockSize == 0;
}

void write_record(ByteWriter& out, const RecordHeader& record) {
  out.u8(static_cast<std::uint8_t>(record.type));
  out.u8(record.flags);
  out.u16_le(0);
  out.u32_le(record.payload_length);
  out.bytes(record.replica.bytes());
  out.u64_le(record.epoch.value());
  out.u64_le(record.lsn.value());
  out.u64_le(record.previous_epoch.value());
  out.u64_le(record.first_block.value());
  out.u64_le(record.block_count);
}

RecordHeader read_record(ByteReader& in) {
  RecordHeader record;
  // Every byte is a value of the type; check_record refuses those that have no name.
  // NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange)
  record.type = static_cast<RecordType>(in.u8());
  record.flags = in.u8();
  if (in.u16_le() != 0) in.fail();
  record.payload_length = in.u32_le();
  record.replica = read_uuid<ReplicaUuid>(in);
  record.epoch = Epoch(in.u64_le());
  record.lsn = Lsn(in.u64_le());
  record.previous_epoch = Epoch(in.u64_le());
  record.first_block = BlockIndex(in.u64_le());
  record.block_count = in.u64_le();
  return record;
}

// What the type says about range and payload; empty when it is kept to.
std::string_view type_violation(const RecordHeader& record) {
  const bool no_blocks = record.first_block == BlockIndex(0) && record.block_count == 0;
  switch (record.type) {
    case RecordType::kWrite:
      if (record.payload_length == 0 || record.payload_blocks() != record.block_count) {
        return "a write carries the blocks it is about";
      }
      return {};
    case RecordType::kDiscard:
    case RecordType::kWriteZeroes:
      if (record.payload_length != 0 || record.block_count == 0) {
        return "a range without payload is expected";
      }
      return {};
    case RecordType::kEpochStart:
    case RecordType::kResize:
    case RecordType::kSeal:
      return record.payload_length == 0 ? "" : "no payload is expected";
    case RecordType::kSnapshot:
    case RecordType::kSnapshotDelete:
    case RecordType::kRevert:
      return no_blocks && record.payload_blocks() == 1 ? "" : "one block of payload is expected";
    case RecordType::kReservationState:
      return no_blocks && record.payload_length <= kLargestReservationState
                 ? ""
                 : "a payload of at most 32 KiB is expected";
    case RecordType::kTruncate:
      if (!no_blocks || record.payload_length != 0) return "neither blocks nor payload is expected";
      return record.previous_epoch <= record.epoch ? "" : "the epoch that cuts is a later one";
  }
  return "unknown type";
}

// The fixed part, believed as far as its lengths and positions make sense.
Result<Batch> read_fixed(ByteReader& in, std::size_t header_length) {
  Batch batch;
  BatchHeader& header = batch.header;
  const bool ours = in.u64_le() == kBatchMagic && in.u16_le() == kLogFormatVersion;
  bool sound = in.u16_le() == 0;
  batch.crc = in.u32_le();
  header.header_length = in.u32_le();
  header.record_count = in.u32_le();
  header.total_length = in.u64_le();
  header.store = read_uuid<StoreUuid>(in);
  header.generation = LogGeneration(in.u64_le());
  header.position = LogPosition(in.u64_le());
  header.previous_position = LogPosition(in.u64_le());
  header.durable_up_to = LogPosition(in.u64_le());
  header.previous_crc = in.u32_le();
  sound &= is_zero(in.bytes(kReservedTail));
  if (in.failed() || !ours) return Error::data_loss("not a batch");
  sound &= header.header_length == header_length && header.record_count >= 1 &&
           header.record_count <= kMostRecordsInBatch && is_block_multiple(header.total_length) &&
           header.total_length >= header_length && header.total_length <= kLargestBatch &&
           is_block_multiple(header.position.value()) && header.generation >= LogGeneration(1) &&
           header.previous_position <= header.position && header.durable_up_to <= header.position &&
           header.position.value() <= kLargestNumber && header.generation.value() <= kLargestNumber;
  if (!sound) return Error::data_loss("a batch header whose fields contradict each other");
  return batch;
}

}  // namespace

Result<> check_record(const RecordHeader& record) {
  const auto refuse = [&](std::string_view why) {
    return Error::invalid_argument("record of type {}, lsn {}: {}",
                                   static_cast<unsigned>(record.type), record.lsn, why);
  };
  if (record.flags != 0) return refuse("unknown flags");
  if (!is_block_multiple(record.payload_length)) return refuse("payload is not whole blocks");
  if (record.payload_length > kLargestRecordPayload) return refuse("payload is too long");
  const std::uint64_t covered =
      std::max<std::uint64_t>(record.block_count, record.payload_blocks());
  if (covered > std::numeric_limits<std::uint64_t>::max() - record.first_block.value()) {
    return refuse("its blocks end beyond all blocks");
  }
  const bool seal = record.type == RecordType::kSeal;
  if (seal != record.replica.is_nil()) return refuse("only a seal belongs to no replica");
  const std::string_view violation = type_violation(record);
  if (!violation.empty()) return refuse(violation);
  return {};
}

std::uint32_t encode_batch_header(const BatchHeader& header, std::span<const RecordHeader> records,
                                  std::span<const std::uint32_t> checksums, MutableByteSpan out) {
  ASHLAR_CHECK_EQ(out.size(), header.header_length);
  ASHLAR_CHECK_EQ(records.size(), header.record_count);
  ASHLAR_CHECK(header.durable_up_to <= header.position && header.generation >= LogGeneration(1));
  ByteWriter writer(out);
  writer.u64_le(kBatchMagic);
  writer.u16_le(kLogFormatVersion);
  writer.u16_le(0);
  writer.u32_le(0);  // the CRC, below
  writer.u32_le(header.header_length);
  writer.u32_le(header.record_count);
  writer.u64_le(header.total_length);
  writer.bytes(header.store.bytes());
  writer.u64_le(header.generation.value());
  writer.u64_le(header.position.value());
  writer.u64_le(header.previous_position.value());
  writer.u64_le(header.durable_up_to.value());
  writer.u32_le(header.previous_crc);
  writer.zeros(kReservedTail);
  ASHLAR_CHECK_EQ(writer.position(), kBatchHeaderSize);
  std::uint64_t length = header.header_length;
  for (const RecordHeader& record : records) {
    write_record(writer, record);
    const std::size_t blocks = record.payload_blocks();
    ASHLAR_CHECK_LE(blocks, checksums.size());
    for (const std::uint32_t checksum : checksums.first(blocks)) writer.u32_le(checksum);
    checksums = checksums.subspan(blocks);
    length += record.payload_length;
  }
  ASHLAR_CHECK(checksums.empty() && length == header.total_length);
  writer.zeros(writer.remaining());
  ASHLAR_CHECK(!writer.failed());
  const std::uint32_t crc = header_crc(out);
  store_le32(out, kBatchCrcOffset, crc);
  return crc;
}

std::optional<std::size_t> peek_header_length(ByteSpan block) {
  if (block.size() < kBlockSize || load_le64(block) != kBatchMagic) return std::nullopt;
  const std::size_t length = load_le32(block, offsetof(BatchHeaderLayout, header_length));
  if (length < kBlockSize || length > kLargestBatchHeader || !is_block_multiple(length)) {
    return std::nullopt;
  }
  return length;
}

bool is_attempt_at(ByteSpan block, const StoreUuid& store, LogPosition position) {
  return block.size() >= kBlockSize && load_le64(block) == kBatchMagic &&
         std::equal(store.bytes().begin(), store.bytes().end(),
                    block.subspan(kStoreOffset).begin()) &&
         load_le64(block, kPositionOffset) == position.value();
}

Result<Batch> decode_batch_header(ByteSpan bytes) {
  ByteReader in(bytes);
  ASHLAR_TRY_ASSIGN(Batch batch, read_fixed(in, bytes.size()));
  if (header_crc(bytes) != batch.crc) {
    return Error::data_loss("the header of the batch at {} does not match its CRC",
                            batch.header.position);
  }
  LogPosition payload = batch.header.position + batch.header.header_length;
  std::size_t blocks = 0;
  for (std::uint32_t i = 0; i < batch.header.record_count; ++i) {
    BatchRecord record{.header = read_record(in), .payload = {}, .checksums = {}};
    record.payload = place_of_record(record.header, payload);
    if (in.failed()) return Error::data_loss("record {} is cut short", i);
    if (const Result<> sound = check_record(record.header); !sound.ok()) {
      return Error(ErrorCode::kDataLoss, sound.error().message());
    }
    if (record.header.type == RecordType::kSeal && batch.header.record_count != 1) {
      return Error::data_loss("a seal in company");
    }
    blocks += record.header.payload_blocks();
    if (record.header.payload_blocks() * 4 > in.remaining()) {
      return Error::data_loss("the checksums of record {} are cut short", i);
    }
    record.checksums.reserve(record.header.payload_blocks());
    for (std::size_t k = 0; k < record.header.payload_blocks(); ++k) {
      record.checksums.push_back(in.u32_le());
    }
    payload += record.header.payload_length;
    batch.records.push_back(std::move(record));
  }
  const bool adds_up = batch_header_length(batch.records.size(), blocks) == bytes.size() &&
                       payload == batch.end() && is_zero(in.bytes(in.remaining()));
  if (!adds_up) return Error::data_loss("the lengths of the records do not add up");
  return batch;
}

}  // namespace ashlar::engine
