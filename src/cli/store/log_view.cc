#include "cli/store/log_view.h"

#include <memory>

#include "engine/log_ring.h"

namespace ashlar::store_tool {
namespace {

using engine::Batch;
using engine::BatchRecord;
using engine::LogReader;
using engine::LogRing;
using engine::LogVerdict;

// Null when it is missing or has not the size that the superblock says.
Task<Result<std::unique_ptr<File>>> open_log(Runtime runtime, const StoreView& store,
                                             DamageList& damages) {
  Result<std::unique_ptr<File>> file =
      co_await runtime.files.open(store.path("log"), OpenMode::kReadOnly);
  if (!file.ok()) {
    if (file.error().code() != ErrorCode::kNotFound) co_return file.error();
    damages.add({"log", 0, "the file is missing"});
    co_return nullptr;
  }
  ASHLAR_CO_TRY_ASSIGN(const ByteCount size, co_await (*file)->size());
  const ByteCount capacity = store.state->log_capacity;
  if (size != capacity) {
    damages.add({"log", std::min(size, capacity).value(),
                 fmt::format("the file has {} bytes, the superblock says {}", size.value(),
                             capacity.value())});
    co_return nullptr;
  }
  co_return std::move(*file);
}

std::string why_it_ends(const LogView& view, const LogRing& ring) {
  const engine::LogRecovery& found = view.recovery;
  std::string why;
  if (found.bad_block) {
    why = fmt::format("a batch follows whose payload at file offset {} does not match its checksum",
                      ring.physical(*found.bad_block));
  } else {
    why = fmt::format(
        "no whole batch that names its predecessor follows at file offset {}, nor "
        "at the start of the next lap",
        view.end_offset);
  }
  switch (found.verdict) {
    case LogVerdict::kClean:
      return why;
    case LogVerdict::kTornTail:
      return why + "; what is there is an unfinished batch that nobody was told of";
    case LogVerdict::kDamage:
      return why + fmt::format("; but the log was durable up to {}", found.durable_bound);
  }
  return why;
}

void judge(const StoreView& store, LogView& view, DamageList& damages) {
  const LogRing ring(store.state->log_capacity);
  view.end_offset = ring.physical(view.recovery.chain.end);
  view.why_it_ends = why_it_ends(view, ring);
  if (view.recovery.verdict == LogVerdict::kDamage) {
    const LogPosition place = view.recovery.bad_block.value_or(view.recovery.chain.end);
    damages.add({"log", ring.physical(place),
                 fmt::format("the chain ends at position {}: {}", view.recovery.chain.end,
                             view.why_it_ends)});
  }
  for (auto& [replica, history] : view.histories) {
    history.finish();
    if (history.hole().empty()) continue;
    damages.add({"log", ring.physical(store.state->log.chain.end),
                 fmt::format("replica {}: {}", replica, history.hole())});
  }
}

}  // namespace

Task<Result<std::optional<LogView>>> view_log(Runtime runtime, const StoreView& store,
                                              const LogReader::SeeBatch& see, DamageList& damages,
                                              Progress& progress) {
  if (!store.state) co_return std::nullopt;
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<File> file,
                       co_await open_log(runtime, store, damages));
  if (file == nullptr) co_return std::nullopt;
  progress.begin("log");
  LogView view;
  std::map<ReplicaUuid, VolumeUuid> volumes;
  for (const ReplicaView& replica : store.replicas) {
    if (!replica.state || replica.is_being_deleted) continue;
    view.histories.emplace(replica.state->replica, ReplicaHistory(*replica.state));
    volumes.emplace(replica.state->replica, replica.state->volume);
  }
  const LogReader::VolumeOf volume_of = [&](const ReplicaUuid& uuid) -> std::optional<VolumeUuid> {
    const auto found = volumes.find(uuid);
    if (found == volumes.end()) return std::nullopt;
    return found->second;
  };
  const LogReader::SeeBatch see_batch = [&](const Batch& batch) -> Result<> {
    for (const BatchRecord& record : batch.records) {
      if (record.header.type == engine::RecordType::kSeal) continue;
      const auto found = view.histories.find(record.header.replica);
      if (found == view.histories.end()) {
        ++view.unchecked_records;
      } else {
        found->second.add(record.header);
      }
    }
    progress.add(batch.header.total_length);
    return see(batch);
  };
  LogReader reader(*file, {.store = store.state->store, .capacity = store.state->log_capacity});
  ASHLAR_CO_TRY_ASSIGN(view.recovery, co_await reader.scan(store.state->log, volume_of, see_batch));
  judge(store, view, damages);
  co_return std::optional<LogView>(std::move(view));
}

}  // namespace ashlar::store_tool
