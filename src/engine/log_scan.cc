#include "engine/log_scan.h"

#include <algorithm>
#include <utility>

#include "engine/block_checksum.h"

namespace ashlar::engine {
namespace {

constexpr std::uint64_t kWindow = 1 << 20;

}  // namespace

LogScan::LogScan(const LogWriter& writer, File& file, BufferPool& pool, LogPin pin,
                 const ChainPoint& start, const LogScanRange& range, EpochOf epoch_of)
    : writer_(writer),
      file_(file),
      pool_(pool),
      ring_(writer.options().capacity),
      pin_(std::move(pin)),
      range_(range),
      epoch_of_(std::move(epoch_of)),
      chain_(start),
      next_(range.after.next()) {}

Task<Result<LogScanStep>> LogScan::next() {
  LogScanStep step;
  while (next_ <= range_.up_to) {
    if (record_ == batch_.records.size()) {
      const bool retained = pin_.position() <= chain_.end && chain_.end < writer_.written_end();
      if (!retained) {
        step.kind = LogScanStep::Kind::kRecycled;
        co_return std::move(step);
      }
      ASHLAR_CO_TRY(co_await read_batch());
      continue;
    }
    BatchRecord& record = batch_.records[record_];
    const Match found = match(record.header);
    if (found == Match::kLater) {
      step.kind = LogScanStep::Kind::kRecycled;
      co_return std::move(step);
    }
    if (found == Match::kNext) {
      ASHLAR_CO_TRY_ASSIGN(step.payload, co_await read_payload(record));
      step.kind = LogScanStep::Kind::kRecord;
      step.header = record.header;
      step.checksums = std::move(record.checksums);
      ++record_;
      ++next_;
      co_return std::move(step);
    }
    ++record_;
  }
  co_return std::move(step);
}

LogScan::Match LogScan::match(const RecordHeader& record) const {
  const bool may_be_given = record.replica == range_.replica &&
                            record.type != RecordType::kTruncate && record.lsn >= next_ &&
                            record.lsn <= range_.up_to;
  if (!may_be_given || record.epoch != epoch_of_(record.lsn)) return Match::kOther;
  return record.lsn == next_ ? Match::kNext : Match::kLater;
}

// The successor of what was taken; there is one, because the log is written further.
Task<Result<>> LogScan::read_batch() {
  ASHLAR_CO_TRY_ASSIGN(std::optional<Batch> batch, co_await read_follower(chain_.end));
  // One of an earlier life may have been cut, and its successor stand at the next lap.
  const LogPosition lap = ring_.lap_start(chain_.end);
  const bool is_sure = batch && batch->header.generation == writer_.generation();
  if (!is_sure && lap != chain_.end && lap < writer_.written_end()) {
    ASHLAR_CO_TRY_ASSIGN(std::optional<Batch> other, co_await read_follower(lap));
    const bool is_later = other && (!batch || other->header.generation > batch->header.generation);
    if (is_later) batch = std::move(other);
  }
  if (!batch) {
    co_return Error::data_loss("no batch follows the one that ends at {}, the log is written to {}",
                               chain_.end, writer_.written_end());
  }
  chain_ = batch->after();
  pin_.move_to(batch->header.position);
  batch_ = std::move(*batch);
  record_ = 0;
  co_return Result<>();
}

// The batch at `position`, or nothing when none stands there that follows.
Task<Result<std::optional<Batch>>> LogScan::read_follower(LogPosition position) {
  ASHLAR_CO_TRY_ASSIGN(const Buffer front, co_await view(position, kBlockSize));
  const std::optional<std::size_t> length = peek_header_length(front.bytes());
  const std::uint64_t room =
      std::min(ring_.capacity() - ring_.physical(position), writer_.written_end() - position);
  if (!length || *length > room) co_return std::nullopt;
  ASHLAR_CO_TRY_ASSIGN(const Buffer header, co_await view(position, *length));
  Result<Batch> batch = decode_batch_header(header.bytes());
  const bool follows = batch.ok() && batch->header.store == writer_.options().store &&
                       batch->header.position == position && batch->header.total_length <= room &&
                       batch->header.generation >= chain_.generation &&
                       batch->header.generation <= writer_.generation() &&
                       batch->header.previous_position == chain_.batch &&
                       batch->header.previous_crc == chain_.crc;
  if (!follows) co_return std::nullopt;
  co_return std::move(*batch);
}

Task<Result<Buffer>> LogScan::read_payload(const BatchRecord& record) {
  if (record.header.payload_length == 0) co_return Buffer();
  ASHLAR_CO_TRY_ASSIGN(Buffer payload, co_await view(record.payload, record.header.payload_length));
  const BlockChecksum checksum(range_.volume);
  for (std::size_t i = 0; i < record.checksums.size(); ++i) {
    const ByteSpan block = std::as_const(payload).bytes().subspan(i * kBlockSize, kBlockSize);
    if (checksum.of(record.header.first_block + i, block) == record.checksums[i]) continue;
    co_return Error::data_loss("block {} of record {} in the log does not match its checksum",
                               record.header.first_block + i, record.header.lsn);
  }
  co_return std::move(payload);
}

// `length` bytes at `position`, all of them written and pinned.
Task<Result<Buffer>> LogScan::view(LogPosition position, std::size_t length) {
  const bool is_here =
      position >= window_begin_ && position + length <= window_begin_ + window_.size();
  if (!is_here) {
    const std::uint64_t room =
        std::min(ring_.capacity() - ring_.physical(position), writer_.written_end() - position);
    ASHLAR_CHECK_LE(length, room);
    const std::uint64_t wanted = std::min(room, std::max<std::uint64_t>(kWindow, length));
    window_.reset();
    ASHLAR_CO_TRY_ASSIGN(Buffer filled, pool_.allocate(ByteCount(wanted)));
    ASHLAR_CO_TRY(co_await file_.read(ring_.physical(position), filled.bytes()));
    window_ = std::move(filled);
    window_begin_ = position;
  }
  co_return window_.slice(position - window_begin_, length);
}

}  // namespace ashlar::engine
