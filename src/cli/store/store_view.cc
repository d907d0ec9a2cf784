#include "cli/store/store_view.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <utility>

#include "engine/layer.h"

namespace ashlar::store_tool {
namespace {

using engine::LayerId;
using engine::ReplicaState;
using engine::Slot;
using engine::SlotFormat;
using engine::SlotInspection;
using engine::SlotKind;

constexpr std::string_view kNewSuffix = ".new";
constexpr std::string_view kDeletingSuffix = ".deleting";

using CheckBody = std::function<Result<>(ByteSpan)>;

// What was found of one small file; no slots when the file is missing.
struct SmallFile {
  SlotInspection slots;
  std::optional<Error> unusable;

  const Slot& newest() const { return slots.slots[slots.newest.value()]; }
};

class SmallFileReader {
 public:
  SmallFileReader(Runtime runtime, StoreView& view, DamageList& damages)
      : runtime_(runtime), view_(view), damages_(damages) {}

  Task<Result<SmallFile>> read(std::string file, SlotFormat format, CheckBody check);

 private:
  void judge(const std::string& file, const SlotFormat& format, const CheckBody& check,
             SmallFile& found);
  void judge_size(const std::string& file, const SlotFormat& format, ByteCount size);

  const Runtime runtime_;
  StoreView& view_;
  DamageList& damages_;
};

Task<Result<SmallFile>> SmallFileReader::read(std::string file, SlotFormat format,
                                              CheckBody check) {
  SmallFile found;
  Result<std::unique_ptr<File>> opened =
      co_await runtime_.files.open(view_.path(file), OpenMode::kReadOnly);
  if (!opened.ok()) {
    if (opened.error().code() != ErrorCode::kNotFound) co_return opened.error();
    found.unusable = Error::data_loss("{} is missing", file);
    damages_.add({file, 0, "the file is missing"});
    co_return found;
  }
  ASHLAR_CO_TRY_ASSIGN(const ByteCount size, co_await (*opened)->size());
  judge_size(file, format, size);
  ASHLAR_CO_TRY_ASSIGN(found.slots, co_await engine::SlotFile::inspect(**opened, format));
  judge(file, format, check, found);
  co_return found;
}

void SmallFileReader::judge_size(const std::string& file, const SlotFormat& format,
                                 ByteCount size) {
  const std::uint64_t expected = 2 * format.slot_size;
  if (size.value() == expected) return;
  damages_.add(
      {file, std::min(size.value(), expected),
       fmt::format("the file has {} bytes, {} has {}", size.value(), format.what, expected)});
}

void SmallFileReader::judge(const std::string& file, const SlotFormat& format,
                            const CheckBody& check, SmallFile& found) {
  if (!found.slots.newest.ok()) found.unusable = found.slots.newest.error();
  for (std::size_t i = 0; i < 2; ++i) {
    ++view_.slots;
    const Slot& slot = found.slots.slots[i];
    const std::uint64_t offset = i * format.slot_size;
    if (slot.kind == SlotKind::kZeros && !found.unusable) continue;
    if (slot.kind != SlotKind::kWhole) {
      view_.broken_slots.push_back({file, i, offset, slot.why});
      damages_.add({file, offset, fmt::format("slot {} {}", i, slot.why)});
      continue;
    }
    const Result<> makes_sense = check(slot.body);
    if (makes_sense.ok()) continue;
    damages_.add({file, offset, fmt::format("slot {}: {}", i, makes_sense.error().message())});
    if (!found.unusable && found.slots.newest.value() == i) found.unusable = makes_sense.error();
  }
}

// --- the parts of a store ------------------------------------------------------------------------

template <class State>
CheckBody decodes(Result<State> (*decode)(ByteSpan)) {
  return [decode](ByteSpan body) -> Result<> {
    const Result<State> state = decode(body);
    return state.ok() ? Result<>() : Result<>(state.error());
  };
}

// The superblock decides whether there is anything to look at.
Task<Result<>> read_superblock(SmallFileReader& reader, StoreView& view) {
  ASHLAR_CO_TRY_ASSIGN(const SmallFile file,
                       co_await reader.read("superblock", engine::kSuperblockFormat,
                                            decodes(&engine::decode_store_state)));
  if (file.unusable) {
    if (file.unusable->code() == ErrorCode::kDataLoss) co_return Result<>();
    co_return *file.unusable;
  }
  ASHLAR_CO_TRY_ASSIGN(view.state, engine::decode_store_state(file.newest().body));
  view.generation = file.newest().generation;
  co_return Result<>();
}

Task<Result<>> read_owner(SmallFileReader& reader, StoreView& view) {
  ASHLAR_CO_TRY_ASSIGN(
      const SmallFile file,
      co_await reader.read("owner", engine::kOwnerFormat, decodes(&engine::decode_owner_record)));
  if (file.unusable) co_return Result<>();
  ASHLAR_CO_TRY_ASSIGN(view.owner, engine::decode_owner_record(file.newest().body));
  co_return Result<>();
}

Task<Result<>> read_replica(SmallFileReader& reader, StoreView& view, DamageList& damages,
                            std::string name) {
  ReplicaView replica{.file = "replicas/" + name,
                      .is_being_deleted = name.ends_with(kDeletingSuffix)};
  if (replica.is_being_deleted) name.resize(name.size() - kDeletingSuffix.size());
  ASHLAR_CO_TRY_ASSIGN(const SmallFile file,
                       co_await reader.read(replica.file, engine::kReplicaFormat,
                                            decodes(&engine::decode_replica_state)));
  if (file.unusable) {
    replica.why_unreadable = file.unusable->message();
  } else {
    ASHLAR_CO_TRY_ASSIGN(ReplicaState state, engine::decode_replica_state(file.newest().body));
    replica.generation = file.newest().generation;
    if (state.replica.to_string() == name) {
      replica.state = std::move(state);
    } else {
      replica.why_unreadable = fmt::format("it holds the state of replica {}", state.replica);
      damages.add({replica.file, 0, replica.why_unreadable});
    }
  }
  view.replicas.push_back(std::move(replica));
  co_return Result<>();
}

// Nothing when it is not there.
Task<Result<std::vector<DirectoryEntry>>> list(Runtime runtime, std::string path) {
  Result<std::vector<DirectoryEntry>> entries = co_await runtime.files.list(std::move(path));
  if (!entries.ok() && entries.error().code() == ErrorCode::kNotFound) {
    co_return std::vector<DirectoryEntry>();
  }
  co_return entries;
}

Task<Result<>> read_replicas(Runtime runtime, SmallFileReader& reader, StoreView& view,
                             DamageList& damages) {
  ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> entries,
                       co_await list(runtime, view.path("replicas")));
  for (const DirectoryEntry& entry : entries) {
    if (entry.is_directory || entry.name.ends_with(kNewSuffix)) {
      view.unnamed.push_back("replicas/" + entry.name);
    } else {
      ASHLAR_CO_TRY(co_await read_replica(reader, view, damages, entry.name));
    }
  }
  co_return Result<>();
}

void note_layers(StoreView& view) {
  for (const ReplicaView& replica : view.replicas) {
    if (!replica.state) continue;
    for (const engine::LayerState& layer : replica.state->layers) {
      LayerUse& use = view.layers[layer.id];
      use.volume = layer.volume;
      if (!replica.is_being_deleted) use.may_be_missing = false;
    }
  }
}

Task<Result<>> note_unnamed(Runtime runtime, StoreView& view) {
  constexpr std::array kOurs{"layers",     "log",      "lost+found", "owner",
                             "quarantine", "replicas", "superblock"};
  ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> top,
                       co_await list(runtime, view.path("")));
  for (const DirectoryEntry& entry : top) {
    if (std::ranges::find(kOurs, entry.name) == kOurs.end()) view.unnamed.push_back(entry.name);
  }
  std::set<std::string> named;
  const auto name_layer = [&named](const LayerId& id) {
    named.insert(engine::Layer::data_name(id));
    named.insert(engine::Layer::map_name(id));
  };
  for (const auto& [id, use] : view.layers) name_layer(id);
  for (const ReplicaView& replica : view.replicas) {
    if (!replica.state) continue;
    for (const std::uint64_t number : replica.state->dropped) {
      name_layer({replica.state->replica, number});
    }
  }
  ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> layers,
                       co_await list(runtime, view.path("layers")));
  for (const DirectoryEntry& entry : layers) {
    if (!named.contains(entry.name)) view.unnamed.push_back("layers/" + entry.name);
  }
  ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> quarantine,
                       co_await list(runtime, view.path("quarantine")));
  for (const DirectoryEntry& entry : quarantine) {
    view.quarantined.push_back("quarantine/" + entry.name);
  }
  co_return Result<>();
}

}  // namespace

std::string data_file(const LayerId& id) {
  return "layers/" + engine::Layer::data_name(id);
}

std::string map_file(const LayerId& id) {
  return "layers/" + engine::Layer::map_name(id);
}

const ReplicaView* StoreView::find(const ReplicaUuid& replica) const {
  for (const ReplicaView& view : replicas) {
    if (view.state && view.state->replica == replica) return &view;
  }
  return nullptr;
}

Task<Result<StoreView>> StoreView::read(Runtime runtime, std::string directory,
                                        DamageList& damages) {
  StoreView view{.directory = std::move(directory)};
  ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> entries,
                       co_await runtime.files.list(view.directory));
  const bool is_store =
      std::ranges::find(entries, "superblock", &DirectoryEntry::name) != entries.end();
  if (!is_store) co_return Error::not_found("{} is not a store: no superblock", view.directory);
  SmallFileReader reader(runtime, view, damages);
  ASHLAR_CO_TRY(co_await read_superblock(reader, view));
  ASHLAR_CO_TRY(co_await read_owner(reader, view));
  ASHLAR_CO_TRY(co_await read_replicas(runtime, reader, view, damages));
  note_layers(view);
  ASHLAR_CO_TRY(co_await note_unnamed(runtime, view));
  co_return view;
}

}  // namespace ashlar::store_tool
