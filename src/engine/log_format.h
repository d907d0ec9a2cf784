// The log on disk. docs/formats/log.md draws it byte by byte; this is its only code.
//
// The log is a ring of batches. A batch is a header part (batch header, then each record's header
// followed by the checksums of its payload blocks, then zeros up to 4 KiB) and the payload of its
// records in order. Everything is little-endian. Batches form a chain: each names the position and
// the header CRC of the one before it, and the header CRC covers the payload through its block
// checksums, so a batch that matches stands for all history before it.
//
// Decoding believes nothing: every length is bounded before it is used, and what is accepted
// encodes to the same bytes again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/base/uuid.h"
#include "engine/limits.h"

namespace ashlar::engine {

// Which life of the log wrote a batch. Each recovery starts a new one, so that nothing behind its
// break can match again (L3). The first is 1.
using LogGeneration = Ordinal<struct LogGenerationTag>;

inline constexpr std::uint64_t kBatchMagic = 0x3148435442474f4c;  // "LOGBTCH1"
inline constexpr std::uint16_t kLogFormatVersion = 1;
inline constexpr std::size_t kBatchHeaderSize = 96;
inline constexpr std::size_t kRecordHeaderSize = 64;
inline constexpr std::size_t kBatchCrcOffset = 12;

constexpr std::size_t batch_header_length(std::size_t records, std::size_t payload_blocks) {
  const std::size_t used = kBatchHeaderSize + records * kRecordHeaderSize + payload_blocks * 4;
  return (used + kBlockSize - 1) / kBlockSize * kBlockSize;
}
inline constexpr std::size_t kLargestBatchHeader =
    batch_header_length(kMostRecordsInBatch, kLargestBatch / kBlockSize);
static_assert(kLargestBatchHeader == 19 * kBlockSize);

enum class RecordType : std::uint8_t {
  kWrite = 1,
  kDiscard = 2,
  kWriteZeroes = 3,
  kEpochStart = 4,
  kSnapshot = 5,          // its payload names it, one block
  kResize = 6,            // to block_count blocks
  kReservationState = 7,  // opaque payload
  // Of the log itself: belongs to no replica, says that what is before it is durable.
  kSeal = 8,
  kSnapshotDelete = 9,  // the snapshot that its payload names, one block
  kRevert = 10,         // to the snapshot that its payload names, one block
  // Says that the records behind it are dropped, and consumes no LSN: `lsn` is the last one kept
  // (0: none is), `previous_epoch` that record's epoch, `epoch` the one that ordered the cut.
  kTruncate = 11,
};

struct RecordHeader {
  RecordType type = RecordType::kWrite;
  std::uint8_t flags = 0;  // none is defined yet
  ReplicaUuid replica;
  Epoch epoch;
  Lsn lsn;               // the record before has lsn − 1; a copy or a truncation goes back
  Epoch previous_epoch;  // of the record before
  BlockIndex first_block;
  std::uint64_t block_count = 0;     // what the record is about, in blocks
  std::uint32_t payload_length = 0;  // what it carries, in bytes

  std::size_t payload_blocks() const { return payload_length / kBlockSize; }
  friend bool operator==(const RecordHeader&, const RecordHeader&) = default;
};

struct BatchHeader {
  std::uint32_t header_length = 0;
  std::uint32_t record_count = 0;
  std::uint64_t total_length = 0;
  StoreUuid store;
  LogGeneration generation;
  LogPosition position;
  LogPosition previous_position;
  std::uint32_t previous_crc = 0;
  // Everything before this position was on stable media when the batch was written.
  LogPosition durable_up_to;

  friend bool operator==(const BatchHeader&, const BatchHeader&) = default;
};

// A place between two batches: all that a successor must match. A new log starts at the default.
struct ChainPoint {
  LogPosition end;           // of the batch before, where the next one is expected
  LogGeneration generation;  // of the batch before
  LogPosition batch;         // where the batch before starts
  std::uint32_t crc = 0;     // of its header

  friend bool operator==(const ChainPoint&, const ChainPoint&) = default;
};

// Where a record stands, when its payload begins at `payload` or would: there, or without payload
// in the block before. So it always lies within the batch, also when nothing follows, and ascends
// from record to record.
inline LogPosition place_of_record(const RecordHeader& record, LogPosition payload) {
  return record.payload_length > 0 ? payload : payload - kBlockSize;
}

struct BatchRecord {
  RecordHeader header;
  LogPosition payload;                   // place_of_record()
  std::vector<std::uint32_t> checksums;  // one for each payload block
};

struct Batch {
  BatchHeader header;
  std::uint32_t crc = 0;
  std::vector<BatchRecord> records;

  LogPosition end() const { return header.position + header.total_length; }
  ChainPoint after() const { return {end(), header.generation, header.position, crc}; }
};

// What the fields of a record must say together, of a disk's record or a caller's.
Result<> check_record(const RecordHeader& record);

// Writes the header part into `out`, which is header.header_length long, and returns its CRC.
// `checksums` are those of all records, one after the other.
std::uint32_t encode_batch_header(const BatchHeader& header, std::span<const RecordHeader> records,
                                  std::span<const std::uint32_t> checksums, MutableByteSpan out);

// The header length that a block claims to begin with, bounded; nothing when it is no batch.
std::optional<std::size_t> peek_header_length(ByteSpan block);
// True when the block looks like the beginning of a batch meant for `position`, whole or not.
bool is_attempt_at(ByteSpan block, const StoreUuid& store, LogPosition position);

// Decodes a header part of the length that peek_header_length() gave. kDataLoss says what is wrong.
Result<Batch> decode_batch_header(ByteSpan bytes);

}  // namespace ashlar::engine
