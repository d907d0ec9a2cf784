#include "engine/log_reader.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "engine/block_checksum.h"

namespace ashlar::engine {
namespace {

constexpr std::size_t kWindow = kLogCapacityUnit.value();
static_assert(kWindow >= kLargestBatchHeader);

bool is_unreadable(const Error& error) {
  return error.code() == ErrorCode::kDataLoss;
}

}  // namespace

std::string_view to_string(LogVerdict verdict) {
  switch (verdict) {
    case LogVerdict::kClean:
      return "clean";
    case LogVerdict::kTornTail:
      return "torn tail";
    case LogVerdict::kDamage:
      return "damage";
  }
  return "unknown";
}

void LogReader::Free::operator()(std::byte* bytes) const {
  std::free(bytes);
}

LogReader::LogReader(File& file, Options options)
    : file_(file),
      options_(options),
      ring_(options.capacity),
      window_(static_cast<std::byte*>(std::aligned_alloc(kBlockSize, kWindow))) {
  ASHLAR_CHECK(window_ != nullptr, "no memory for {} bytes", kWindow);
}

Task<Result<ByteSpan>> LogReader::fill(std::uint64_t offset, std::size_t length) {
  window_size_ = 0;
  const Result<> read = co_await file_.read(offset, MutableByteSpan(window_.get(), length));
  if (!read.ok()) co_return read.error();
  window_offset_ = offset;
  window_size_ = length;
  co_return ByteSpan(window_.get(), length);
}

// `length` bytes at `offset`, valid until the next call. Reads ahead; where the device refuses the
// large read it tries the part that is needed alone.
Task<Result<ByteSpan>> LogReader::view(std::uint64_t offset, std::size_t length) {
  ASHLAR_CHECK(length <= kWindow && offset + length <= ring_.capacity());
  if (offset < window_offset_ || offset + length > window_offset_ + window_size_) {
    const std::size_t ahead = std::min<std::uint64_t>(kWindow, ring_.capacity() - offset);
    Result<ByteSpan> filled = co_await fill(offset, ahead);
    if (!filled.ok() && is_unreadable(filled.error())) filled = co_await fill(offset, length);
    if (!filled.ok()) co_return filled.error();
  }
  co_return ByteSpan(window_.get() + (offset - window_offset_), length);
}

// The batch whose valid header stands at `position`, or nothing.
Task<Result<std::optional<Batch>>> LogReader::read_header(LogPosition position) {
  const std::uint64_t offset = ring_.physical(position);
  Result<ByteSpan> bytes = co_await view(offset, kBlockSize);
  if (bytes.ok()) {
    const std::optional<std::size_t> length = peek_header_length(*bytes);
    if (!length || *length > ring_.capacity() - offset) co_return std::nullopt;
    bytes = co_await view(offset, *length);
  }
  if (!bytes.ok()) {
    if (is_unreadable(bytes.error())) co_return std::nullopt;
    co_return bytes.error();
  }
  Result<Batch> batch = decode_batch_header(*bytes);
  const bool here = batch.ok() && batch->header.store == options_.store &&
                    ring_.physical(batch->header.position) == offset &&
                    batch->header.total_length <= ring_.capacity() - offset;
  if (!here) co_return std::nullopt;
  co_return std::move(*batch);
}

// Of two that follow, at the end of the batch before and at the next lap, the later generation is
// it: its writer found the place cut, so the other one is what was cut. The headers decide, before
// the payload is looked at, or a dead torn batch would hide the living one.
Task<Result<std::optional<Batch>>> LogReader::read_successor(ChainPoint chain,
                                                             LogCheckpoint checkpoint) {
  std::optional<Batch> successor;
  const LogPosition candidates[] = {chain.end, ring_.lap_start(chain.end)};
  for (const LogPosition position : candidates) {
    ASHLAR_CO_TRY_ASSIGN(std::optional<Batch> batch, co_await read_header(position));
    if (!batch) continue;
    const BatchHeader& header = batch->header;
    const LogGeneration least = position < checkpoint.generation_start
                                    ? chain.generation
                                    : std::max(chain.generation, checkpoint.generation);
    const bool follows = header.position == position && header.generation >= least &&
                         header.previous_position == chain.batch &&
                         header.previous_crc == chain.crc;
    if (!follows) continue;
    if (!successor || header.generation > successor->header.generation) {
      successor = std::move(batch);
    }
  }
  co_return std::move(successor);
}

Task<Result<std::optional<LogPosition>>> LogReader::bad_block_of(const Batch& batch,
                                                                 const VolumeOf& volume_of) {
  for (const BatchRecord& record : batch.records) {
    if (record.checksums.empty()) continue;
    const std::optional<VolumeUuid> volume = volume_of(record.header.replica);
    if (!volume) continue;
    const BlockChecksum checksum(*volume);
    for (std::size_t i = 0; i < record.checksums.size(); ++i) {
      const LogPosition position = record.payload + i * kBlockSize;
      const Result<ByteSpan> block = co_await view(ring_.physical(position), kBlockSize);
      if (!block.ok()) {
        if (is_unreadable(block.error())) co_return position;
        co_return block.error();
      }
      if (checksum.of(record.header.first_block + i, *block) != record.checksums[i]) {
        co_return position;
      }
    }
  }
  co_return std::nullopt;
}

void LogReader::count_batch(const Batch& batch, LogRecovery& recovery) {
  ++recovery.batches;
  recovery.chain = batch.after();
  recovery.durable_bound = std::max(recovery.durable_bound, batch.header.durable_up_to);
  for (const BatchRecord& record : batch.records) {
    if (record.header.type == RecordType::kSeal) continue;
    recovery.records_end = batch.end();
    ++recovery.records;
  }
}

// Reads the rest of the ring, from the break on around to the break, for headers that say something
// about this life of the log.
Task<Result<>> LogReader::look_behind(LogGeneration current, LogRecovery& recovery) {
  const std::uint64_t begin = ring_.physical(recovery.chain.end);
  std::uint64_t gone = 0;
  while (gone < ring_.capacity()) {
    const std::uint64_t offset = (begin + gone) % ring_.capacity();
    // The position a batch written here after the break would have.
    ASHLAR_CO_TRY_ASSIGN(std::optional<Batch> batch,
                         co_await read_header(recovery.chain.end + gone));
    gone += kBlockSize;
    if (!batch) continue;
    LogGeneration& next = recovery.next_generation;
    next = std::max(next, batch->header.generation.next());
    if (batch->header.generation < current) continue;
    recovery.durable_bound = std::max(recovery.durable_bound, batch->header.durable_up_to);
    // Its payload is what a guest wrote; it could be made to look like a header.
    const std::uint64_t rest = ring_.capacity() - offset;
    gone += std::min(batch->header.total_length, rest) - kBlockSize;
  }
  co_return Result<>();
}

Task<Result<bool>> LogReader::has_attempt(LogPosition position) {
  const Result<ByteSpan> block = co_await view(ring_.physical(position), kBlockSize);
  if (block.ok()) co_return is_attempt_at(*block, options_.store, position);
  if (is_unreadable(block.error())) co_return true;
  co_return block.error();
}

Task<Result<LogRecovery>> LogReader::scan(LogCheckpoint checkpoint, const VolumeOf& volume_of,
                                          const SeeBatch& see) {
  window_size_ = 0;
  LogRecovery recovery{.chain = checkpoint.chain,
                       .next_generation = checkpoint.generation.next(),
                       .durable_bound = std::max(checkpoint.durable_bound, checkpoint.chain.end),
                       .records_end = checkpoint.chain.end};
  ChainHistory history(options_.capacity);
  history.add(checkpoint.chain);
  while (true) {
    ASHLAR_CO_TRY_ASSIGN(const std::optional<Batch> batch,
                         co_await read_successor(recovery.chain, checkpoint));
    // A lap is the most that can be there: more would be the same batches once again.
    if (!batch || batch->end() - checkpoint.chain.end > ring_.capacity()) break;
    ASHLAR_CO_TRY_ASSIGN(recovery.bad_block, co_await bad_block_of(*batch, volume_of));
    if (recovery.bad_block) break;
    count_batch(*batch, recovery);
    ASHLAR_CO_TRY(see(*batch));
    history.add(recovery.chain);
  }
  recovery.points = history.points();
  const LogGeneration current = std::max(checkpoint.generation, recovery.chain.generation);
  recovery.next_generation = std::max(recovery.next_generation, current.next());
  ASHLAR_CO_TRY(co_await look_behind(current, recovery));
  if (recovery.chain.end < recovery.durable_bound) {
    recovery.verdict = LogVerdict::kDamage;
    co_return recovery;
  }
  ASHLAR_CO_TRY_ASSIGN(const bool at_end, co_await has_attempt(recovery.chain.end));
  ASHLAR_CO_TRY_ASSIGN(const bool at_lap,
                       co_await has_attempt(ring_.lap_start(recovery.chain.end)));
  if (at_end || at_lap) recovery.verdict = LogVerdict::kTornTail;
  co_return recovery;
}

Task<Result<LogRecovery>> LogReader::recover(LogCheckpoint checkpoint, const VolumeOf& volume_of,
                                             const Deliver& deliver) {
  const SeeBatch see = [&deliver](const Batch& batch) -> Result<> {
    const ChainPoint after = batch.after();
    for (const BatchRecord& record : batch.records) {
      if (record.header.type == RecordType::kSeal) continue;
      ASHLAR_TRY(deliver({record.header, record.payload, record.checksums, after}));
    }
    return {};
  };
  ASHLAR_CO_TRY_ASSIGN(LogRecovery recovery, co_await scan(checkpoint, volume_of, see));
  if (recovery.verdict != LogVerdict::kDamage) ASHLAR_CO_TRY(co_await file_.sync());
  co_return recovery;
}

}  // namespace ashlar::engine
