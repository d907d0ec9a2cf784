// ashlar-store info: what a store is and holds.
#include <map>
#include <utility>

#include "cli/store/commands.h"
#include "cli/store/describe.h"
#include "cli/store/layer_scan.h"

namespace ashlar::store_tool {
namespace {

using LayerFiguresOf = std::map<engine::LayerId, std::optional<LayerFigures>>;

constexpr ByteCount kMemory{16 << 20};

Document describe_formats() {
  return {{"superblock", engine::kSuperblockFormat.version},
          {"owner", engine::kOwnerFormat.version},
          {"replica", engine::kReplicaFormat.version},
          {"log", engine::kLogFormatVersion}};
}

Document describe_epochs(const std::vector<engine::EpochStart>& epochs) {
  Document list = Document::array();
  for (const engine::EpochStart& start : epochs) {
    list.push_back({{"epoch", start.epoch.value()}, {"first_lsn", start.first_lsn.value()}});
  }
  return list;
}

Document describe_snapshots(const engine::ReplicaState& state) {
  Document list = Document::array();
  for (std::size_t i = 0; i < state.layers.size(); ++i) {
    const auto& snapshot = state.layers[i].snapshot;
    if (!snapshot) continue;
    list.push_back({{"snapshot", snapshot->uuid.to_string()},
                    {"lsn", snapshot->lsn.value()},
                    {"created", snapshot->created.to_string()},
                    {"layer", i},
                    {"deleted", snapshot->deleted}});
  }
  return list;
}

Document describe_layers(const engine::ReplicaState& state, const LayerFiguresOf& figures) {
  Document list = Document::array();
  for (std::size_t i = 0; i < state.layers.size(); ++i) {
    const engine::LayerState& layer = state.layers[i];
    Document one = {{"layer", i},
                    {"name", fmt::format("{}-{}", layer.id.creator, layer.id.number)},
                    {"parent", layer.parent ? Document(*layer.parent) : Document()},
                    {"head", i == state.head},
                    {"merging", layer.merging},
                    {"begins", layer.begins.value()}};
    if (const std::optional<LayerFigures>& found = figures.at(layer.id)) {
      one["chunks"] = found->chunks;
      one["present_blocks"] = found->present_blocks;
      one["discarded_blocks"] = found->discarded_blocks;
      one["damaged_blocks"] = found->damaged_blocks;
      one["data_size_bytes"] = found->data_size.value();
      one["data_allocated_bytes"] = found->data_allocated.value();
      one["map_allocated_bytes"] = found->map_allocated.value();
    }
    list.push_back(std::move(one));
  }
  return list;
}

Document describe_replica(const ReplicaView& replica, const std::optional<LogView>& log,
                          const LayerFiguresOf& figures) {
  const engine::ReplicaState& state = *replica.state;
  Document one = {{"replica", state.replica.to_string()},
                  {"volume", state.volume.to_string()},
                  {"being_deleted", replica.is_being_deleted},
                  {"size_blocks", state.size_blocks},
                  {"size_bytes", state.size_blocks * engine::kBlockSize},
                  {"state_generation", replica.generation},
                  {"flushed_lsn", state.flushed.value()},
                  {"flushed_epoch", state.flushed_epoch.value()},
                  {"last_lsn", nullptr},
                  {"last_epoch", nullptr},
                  {"promised_epoch", state.promised.value()},
                  {"candidate", state.candidate},
                  {"repair_needed", state.repair_needed},
                  {"reservations_bytes", state.reservations.size()},
                  {"attachment_bytes", state.attachment.size()},
                  {"dropped_layers", state.dropped.size()}};
  std::vector<engine::EpochStart> epochs = state.epochs;
  Document unflushed = Document::object();
  if (log && log->histories.contains(state.replica)) {
    const ReplicaHistory& history = log->histories.at(state.replica);
    one["size_blocks"] = history.size_blocks();
    one["size_bytes"] = history.size_blocks() * engine::kBlockSize;
    one["last_lsn"] = history.last().value();
    one["last_epoch"] = history.last_epoch().value();
    epochs = history.epochs();
    for (const auto& [type, count] : history.unflushed()) {
      unflushed[std::string(name_of(type))] = count;
    }
  }
  one["unflushed_records"] = std::move(unflushed);
  one["epochs"] = describe_epochs(epochs);
  one["snapshots"] = describe_snapshots(state);
  one["layers"] = describe_layers(state, figures);
  return one;
}

Document describe_store(const StoreView& store, const CommandOptions& options) {
  Document document = {{"directory", options.directory}, {"in_use", options.is_in_use}};
  document["store"] = store.state ? Document(store.state->store.to_string()) : Document();
  document["server"] = store.state ? Document(store.state->server.to_string()) : Document();
  document["superblock_generation"] = store.generation;
  document["owner"] = Document::object();
  if (store.owner) {
    document["owner"] = {{"server", store.owner->server.to_string()},
                         {"incarnation", store.owner->incarnation}};
  }
  document["format_versions"] = describe_formats();
  return document;
}

void add_replicas(Document& document, const StoreView& store, const std::optional<LogView>& log,
                  const LayerFiguresOf& figures) {
  Document readable = Document::array();
  Document unreadable = Document::array();
  for (const ReplicaView& replica : store.replicas) {
    if (replica.state) {
      readable.push_back(describe_replica(replica, log, figures));
    } else {
      unreadable.push_back({{"file", replica.file}, {"why", replica.why_unreadable}});
    }
  }
  document["replicas"] = std::move(readable);
  document["unreadable_replicas"] = std::move(unreadable);
}

}  // namespace

Task<Result<Finding>> show_info(Runtime runtime, CommandOptions options) {
  DamageList damages;
  Progress progress(runtime.clock);
  BufferPool pool("ashlar-store", kMemory);
  ASHLAR_CO_TRY_ASSIGN(const StoreView store,
                       co_await StoreView::read(runtime, options.directory, damages));
  const engine::LogReader::SeeBatch ignore = [](const engine::Batch&) { return Result<>(); };
  ASHLAR_CO_TRY_ASSIGN(const std::optional<LogView> log,
                       co_await view_log(runtime, store, ignore, damages, progress));
  LayerFiguresOf figures;
  for (const auto& [id, use] : store.layers) {
    ASHLAR_CO_TRY_ASSIGN(figures[id], co_await scan_layer(runtime, pool, store, id,
                                                          LayerDepth::kMap, damages, progress));
  }
  Document document = describe_store(store, options);
  document["log"] = log ? describe_log(store, *log) : Document();
  add_replicas(document, store, log, figures);
  document["unnamed_files"] = store.unnamed;
  document["quarantined_files"] = store.quarantined;
  document["broken_slots"] = describe_broken_slots(store);
  add_damages(document, damages);
  print(document, options.form);
  co_return damages.count() == 0 ? Finding::kFine : Finding::kDamage;
}

}  // namespace ashlar::store_tool
