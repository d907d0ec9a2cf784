// ashlar-store chunks: the map entries of one layer.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "cli/store/commands.h"
#include "cli/store/describe.h"
#include "cli/store/map_scan.h"

namespace ashlar::store_tool {
namespace {

using engine::BlockState;
using engine::kBlocksPerChunk;

constexpr ByteCount kMemory{16 << 20};

// Which entries are asked for.
struct ChunkRange {
  engine::ChunkIndex first;
  std::uint64_t end;  // number behind the last one

  bool contains(engine::ChunkIndex chunk) const { return chunk >= first && chunk.value() < end; }
};

ChunkRange range_of(const CommandOptions& options) {
  const std::uint64_t most = engine::kLargestVolumeBlocks;
  const std::uint64_t from = std::min(options.from, most);
  const std::uint64_t count = std::min(options.count, most - from);
  return {engine::chunk_of(BlockIndex(from)),
          (from + count + kBlocksPerChunk - 1) / kBlocksPerChunk};
}

// One letter for each block, the chunk's first block first.
std::string states_of(const engine::ChunkEntry& entry) {
  std::string states;
  for (unsigned place = 0; place < kBlocksPerChunk; ++place) {
    switch (entry.block(place).state) {
      case BlockState::kAbsent:
        states += '.';
        break;
      case BlockState::kPresent:
        states += 'P';
        break;
      case BlockState::kDiscarded:
        states += 'D';
        break;
      case BlockState::kDamaged:
        states += '!';
        break;
    }
  }
  return states;
}

Document describe_entry(const MapPageView& page, unsigned slot) {
  const engine::ChunkIndex chunk = page.chunk(slot);
  Document document = {{"chunk", chunk.value()},
                       {"first_block", engine::first_block_of(chunk).value()},
                       {"map_offset", page.offset_of(slot)},
                       {"damaged", page.is_damaged(slot)}};
  if (page.is_damaged(slot)) return document;
  const engine::ChunkEntry entry = engine::read_entry(page.bytes, slot);
  document["last_lsn"] = entry.last_lsn.value();
  document["blocks"] = states_of(entry);
  Document checksums = Document::array();
  for (unsigned place = 0; place < kBlocksPerChunk; ++place) {
    const engine::BlockInfo info = entry.block(place);
    const bool has = info.state == BlockState::kPresent;
    checksums.push_back(has ? Document(fmt::format("{:08x}", info.checksum)) : Document());
  }
  document["checksums"] = std::move(checksums);
  return document;
}

// Prints entries as they come: a layer can have millions.
class ChunkPrinter {
 public:
  explicit ChunkPrinter(OutputForm form) : form_(form) {}

  void begin(const engine::ReplicaState& state, std::uint64_t layer) const {
    const engine::LayerId& id = state.layers[layer].id;
    const std::string name = fmt::format("{}-{}", id.creator, id.number);
    if (form_ == OutputForm::kTable) {
      fmt::print("layer {} of replica {}: {}\n", layer, state.replica, name);
      fmt::print("{:>14}  {:>14}  {:>14}  {:>12}  blocks (P present, D discarded, ! damaged)\n",
                 "chunk", "first block", "map offset", "last lsn");
    } else {
      fmt::print("{{\n\"replica\": \"{}\",\n\"layer\": {},\n\"name\": \"{}\",\n\"chunks\": [",
                 state.replica, layer, name);
    }
  }
  void add(const Document& entry) {
    ++count_;
    const auto number = [&entry](const char* key) { return entry[key].get<std::uint64_t>(); };
    if (form_ == OutputForm::kJson) {
      fmt::print("{}\n{}", count_ == 1 ? "" : ",", to_json(entry));
    } else if (entry["damaged"].get<bool>()) {
      fmt::print("{:>14}  {:>14}  {:>14}  {:>12}  the entry is damaged\n", number("chunk"),
                 number("first_block"), number("map_offset"), "?");
    } else {
      fmt::print("{:>14}  {:>14}  {:>14}  {:>12}  {}\n", number("chunk"), number("first_block"),
                 number("map_offset"), number("last_lsn"), entry["blocks"].get<std::string>());
    }
  }
  void end(const DamageList& damages) const {
    Document last = {{"chunk_count", count_}};
    add_damages(last, damages);
    if (form_ == OutputForm::kTable) {
      fmt::print("{}", to_text(last));
    } else {
      // The members of `last` follow those that begin() opened.
      fmt::print("\n],\n{}\n", to_json(last).substr(1));
    }
  }

 private:
  const OutputForm form_;
  std::uint64_t count_ = 0;
};

Result<std::uint64_t> layer_asked_for(const CommandOptions& options,
                                      const engine::ReplicaState& state) {
  const std::uint64_t layer = options.layer.value_or(state.head);
  if (layer < state.layers.size()) return layer;
  return Error::not_found("replica {} has layers 0 to {}, not {}", state.replica,
                          state.layers.size() - 1, layer);
}

}  // namespace

Task<Result<Finding>> show_chunks(Runtime runtime, CommandOptions options) {
  DamageList elsewhere;  // what the small files have is not asked for here
  DamageList damages;
  BufferPool pool("ashlar-store", kMemory);
  ASHLAR_CO_TRY_ASSIGN(const StoreView store,
                       co_await StoreView::read(runtime, options.directory, elsewhere));
  const ReplicaView* replica = store.find(*options.replica);
  if (replica == nullptr) {
    co_return Error::not_found("{} has no replica {} that can be read", options.directory,
                               *options.replica);
  }
  ASHLAR_CO_TRY_ASSIGN(const std::uint64_t layer, layer_asked_for(options, *replica->state));
  const engine::LayerState& state = replica->state->layers[layer];
  ASHLAR_CO_TRY_ASSIGN(
      std::unique_ptr<File> file,
      co_await runtime.files.open(store.path(map_file(state.id)), OpenMode::kReadOnly));
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<MapScan> scan,
                       co_await MapScan::open(std::move(file), map_file(state.id), pool,
                                              engine::MapSeed(state.volume, state.id), damages));
  const ChunkRange range = range_of(options);
  ChunkPrinter printer(options.form);
  printer.begin(*replica->state, layer);
  for (engine::MapPageIndex at = engine::map_page_of(range.first);;) {
    ASHLAR_CO_TRY_ASSIGN(const std::optional<MapPageView> page, co_await scan->next(at));
    if (!page || page->chunk(0).value() >= range.end) break;
    for (unsigned slot = 0; slot < engine::kEntriesPerPage; ++slot) {
      if (!range.contains(page->chunk(slot))) continue;
      if (page->is_damaged(slot) || page->is_known(slot)) printer.add(describe_entry(*page, slot));
    }
    at = page->index.next();
  }
  printer.end(damages);
  co_return damages.count() == 0 ? Finding::kFine : Finding::kDamage;
}

}  // namespace ashlar::store_tool
