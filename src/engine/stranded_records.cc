#include "engine/stranded_records.h"

#include <algorithm>
#include <utility>

#include "engine/block_checksum.h"

namespace ashlar::engine {

Result<> StrandedRecords::note(const Batch& batch, Lsn flushed) {
  const auto drop = [this](std::map<Lsn, LogPosition>::iterator place) {
    records_.erase({place->second, place->first});
    return places_.erase(place);
  };
  for (const BatchRecord& record : batch.records) {
    const RecordHeader& header = record.header;
    if (header.replica != replica) continue;
    if (header.type == RecordType::kTruncate) {
      for (auto place = places_.upper_bound(header.lsn); place != places_.end();) {
        place = drop(place);
      }
      continue;
    }
    if (header.lsn <= flushed) continue;
    // The last copy is the one that counts.
    if (const auto before = places_.find(header.lsn); before != places_.end()) drop(before);
    places_[header.lsn] = record.payload;
    records_.emplace(Place(record.payload, header.lsn), Found{header, record.checksums});
    last_lsn = std::max(last_lsn, header.lsn);
    last_epoch = std::max(last_epoch, header.epoch);
  }
  return {};
}

Task<Result<>> StrandedRecords::find(StoreShared& shared, LogCheckpoint checkpoint, Lsn flushed) {
  places_.clear();
  records_.clear();
  LogWriter& log = *shared.log;
  const ChainPoint begin = checkpoint.chain;
  const LogPin pin = log.pin(begin.end);
  ASHLAR_CHECK_EQ(pin.position(), begin.end);
  const LogPosition end = log.durable_end();
  LogReader reader(shared.log_file,
                   {.store = log.options().store, .capacity = log.options().capacity});
  const LogReader::VolumeOf nobodys = [](const ReplicaUuid&) { return std::nullopt; };
  bool is_whole = begin.end >= end;
  const LogReader::SeeBatch see = [&](const Batch& batch) -> Result<> {
    ASHLAR_TRY(note(batch, flushed));
    is_whole = batch.end() >= end;
    // There is no need to look at what is behind.
    return is_whole ? Result<>(Error::cancelled("the end of the log")) : Result<>();
  };
  const Result<LogRecovery> read = co_await reader.scan(checkpoint, nobodys, see);
  if (!is_whole) {
    records_.clear();
    if (!read.ok()) co_return read.error();
    co_return Error::data_loss("the log cannot be read from {} to {}", begin.end, end);
  }
  std::uint64_t bytes = 0;
  for (const auto& [place, found] : records_) bytes += found.header.payload_length;
  payload_bytes_ = ByteCount(bytes);
  co_return Result<>();
}

std::optional<LogPosition> StrandedRecords::first() const {
  return records_.empty() ? std::nullopt : std::optional(records_.begin()->first.first);
}

Task<Result<Buffer>> StrandedRecords::read_payload(StoreShared& shared, Place place) {
  const Found& found = records_.at(place);
  const LogPosition position = place.first;
  const LogPin pin = shared.log->pin(position);
  ASHLAR_CO_TRY_ASSIGN(Buffer bytes, shared.pool.allocate(ByteCount(found.header.payload_length)));
  if (bytes.empty()) co_return std::move(bytes);
  ASHLAR_CO_TRY(co_await shared.log_file.read(shared.ring.physical(position), bytes.bytes()));
  if (!volume_) co_return std::move(bytes);
  const BlockChecksum checksum(*volume_);
  for (std::size_t i = 0; i < found.checksums.size(); ++i) {
    const ByteSpan block = ByteSpan(bytes.bytes()).subspan(i * kBlockSize, kBlockSize);
    if (checksum.of(found.header.first_block + i, block) == found.checksums[i]) continue;
    co_return Error::data_loss("record {} of replica {} does not match its checksums in the log",
                               found.header.lsn, replica);
  }
  co_return std::move(bytes);
}

Task<Result<std::vector<StrandedRecords::Moved>>> StrandedRecords::move_before(
    StoreShared& shared, LogPosition position) {
  std::vector<std::pair<LogTicket, RecordHeader>> tickets;
  std::vector<Moved> moved;
  while (!records_.empty() && records_.begin()->first.first < position) {
    const Place place = records_.begin()->first;
    ASHLAR_CO_TRY_ASSIGN(const Buffer payload, co_await read_payload(shared, place));
    const Found found = std::move(records_.extract(place).mapped());
    const std::span<const Buffer> pieces(&payload, payload.empty() ? 0 : 1);
    const Result<LogTicket> ticket =
        co_await shared.log->append_again(*this, found.header, found.checksums, pieces);
    if (!ticket.ok()) co_return ticket.error();
    tickets.emplace_back(*ticket, found.header);
    shared.metrics.moved_records.add();
  }
  for (auto& [ticket, header] : tickets) {
    const Result<LogPlace> place = co_await shared.log->durable(std::move(ticket));
    if (!place.ok()) co_return place.error();
    moved.push_back({header, place->payload});
  }
  co_return moved;
}

}  // namespace ashlar::engine
