// The replica's layers: snapshots, reverts, merges, export, scrub, installing a copy.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/log/log.h"
#include "engine/layer_read.h"
#include "engine/replica.h"

namespace ashlar::engine {
namespace {

// Chunks that one step of a merge moves with the flusher held.
constexpr int kMergeChunks = 64;

Lsn newer(Lsn a, Lsn b) {
  return std::max(a, b);
}

}  // namespace

// --- snapshots -----------------------------------------------------------------------------------

std::vector<SnapshotStatus> Replica::snapshots() const {
  std::vector<SnapshotStatus> all;
  for (const LayerState& layer : state_.layers) {
    if (!layer.snapshot || layer.snapshot->deleted) continue;
    all.push_back({layer.snapshot->uuid, layer.snapshot->lsn, layer.snapshot->created, true});
  }
  for (const Control& control : controls_) {
    const bool adds = control.header.type == RecordType::kSnapshot;
    if (!adds && control.header.type != RecordType::kSnapshotDelete) continue;
    const Result<SnapshotPayload> named = decode_snapshot_payload(control.payload);
    if (!named.ok()) continue;
    if (adds) {
      all.push_back({named->uuid, control.header.lsn, named->created, false});
    } else {
      std::erase_if(all, [&](const SnapshotStatus& one) { return one.uuid == named->uuid; });
    }
  }
  std::sort(all.begin(), all.end(),
            [](const SnapshotStatus& a, const SnapshotStatus& b) { return a.lsn < b.lsn; });
  return all;
}

bool Replica::knows_snapshot(SnapshotUuid uuid) const {
  const std::vector<SnapshotStatus> all = snapshots();
  return std::any_of(all.begin(), all.end(),
                     [&](const SnapshotStatus& one) { return one.uuid == uuid; });
}

std::optional<std::uint32_t> Replica::layer_of(SnapshotUuid uuid) const {
  for (std::uint32_t i = 0; i < state_.layers.size(); ++i) {
    const std::optional<SnapshotState>& snapshot = state_.layers[i].snapshot;
    if (snapshot && snapshot->uuid == uuid && !snapshot->deleted) return i;
  }
  return std::nullopt;
}

Replica::ChainRef Replica::chain_of(std::uint32_t layer) const {
  auto chain = std::make_shared<Chain>();
  std::optional<std::uint32_t> at = layer;
  while (at) {
    chain->push_back(layers_[*at]);
    at = state_.layers[*at].parent;
  }
  return chain;
}

std::uint32_t Replica::children_of(const ReplicaState& state, std::uint32_t layer) const {
  return static_cast<std::uint32_t>(
      std::count_if(state.layers.begin(), state.layers.end(),
                    [layer](const LayerState& child) { return child.parent == layer; }));
}

// A new head over `parent`. Its files are there before the state names them; what an unfinished
// attempt left is replaced.
Task<Result<>> Replica::push_layer(ReplicaState& state, Chain& layers,
                                   std::optional<std::uint32_t> parent, Lsn begins) {
  if (state.layers.size() >= kMostLayers) {
    co_return Error::resource_exhausted("replica {} has {} layers, the most there can be", uuid(),
                                        kMostLayers);
  }
  const LayerId id{uuid(), state.next_layer};
  Result<std::shared_ptr<Layer>> created = co_await shared_.layers.create(id, volume());
  if (!created.ok()) {
    if (created.error().code() != ErrorCode::kResourceExhausted) {
      fail(FaultCause::kLayerWrite, created.error());
    }
    co_return created.error();
  }
  ++state.next_layer;
  state.layers.push_back({.id = id, .volume = volume(), .parent = parent, .begins = begins});
  state.head = static_cast<std::uint32_t>(state.layers.size() - 1);
  layers.push_back(std::move(*created));
  co_return Result<>();
}

// Takes a layer that is nobody's parent out of the state; its files go when the state is durable.
void Replica::drop_layer(ReplicaState& state, Chain& layers, std::uint32_t layer) const {
  ASHLAR_CHECK_EQ(children_of(state, layer), 0u);
  const LayerId id = state.layers[layer].id;
  if (id.creator == uuid()) state.dropped.push_back(id.number);
  state.layers.erase(state.layers.begin() + layer);
  layers.erase(layers.begin() + layer);
  for (LayerState& other : state.layers) {
    if (other.parent && *other.parent > layer) --*other.parent;
  }
  if (state.head > layer) --state.head;
}

// The record is the last that the old head takes; what comes after it goes to a new one.
Task<Result<>> Replica::rotate(ReplicaState& state, Chain& layers, Control control) {
  ASHLAR_CO_TRY_ASSIGN(const SnapshotPayload named, decode_snapshot_payload(control.payload));
  const Lsn lsn = control.header.lsn;
  const std::uint32_t old_head = state.head;
  if (control.header.type == RecordType::kSnapshot) {
    // Asked for twice at the same time: on every replica alike once is enough.
    const bool is_known =
        std::any_of(state.layers.begin(), state.layers.end(), [&](const LayerState& layer) {
          return layer.snapshot && layer.snapshot->uuid == named.uuid;
        });
    if (is_known) co_return Result<>();
    state.layers[old_head].snapshot = {.uuid = named.uuid, .lsn = lsn, .created = named.created};
    co_return co_await push_layer(state, layers, old_head, lsn);
  }
  std::optional<std::uint32_t> target;
  for (std::uint32_t i = 0; i < state.layers.size(); ++i) {
    const std::optional<SnapshotState>& snapshot = state.layers[i].snapshot;
    if (snapshot && snapshot->uuid == named.uuid && !snapshot->deleted) target = i;
  }
  // Deleted by an earlier record: on every replica alike nothing happens.
  if (!target) co_return Result<>();
  if (shared_.has(PlantedBug::kRevertKeepsTheNew)) {
    co_return co_await push_layer(state, layers, old_head, lsn);
  }
  ASHLAR_CO_TRY(co_await push_layer(state, layers, target, lsn));
  drop_layer(state, layers, old_head);
  co_return Result<>();
}

// --- background work -----------------------------------------------------------------------------

Task<Result<bool>> Replica::merge_step() {
  if (fault_ || !state_.candidate) co_return false;
  ASHLAR_CO_TRY_ASSIGN(const bool removed, co_await remove_dropped());
  if (removed) co_return true;
  const std::optional<std::uint32_t> child = find_mergeable();
  if (child) {
    ASHLAR_CO_TRY(co_await merge_some(*child));
    co_return true;
  }
  // A leaf that no snapshot needs: what a revert left behind.
  const auto useless = [this](std::uint32_t i) {
    const std::optional<SnapshotState>& snapshot = state_.layers[i].snapshot;
    return i != state_.head && (!snapshot || snapshot->deleted) && children_of(state_, i) == 0;
  };
  const Result<Mutex::Guard> held = co_await flush_lock_.lock();
  if (!held.ok()) co_return held.error();
  const Result<Mutex::Guard> guard = co_await state_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  for (std::uint32_t i = 0; i < state_.layers.size(); ++i) {
    if (!useless(i)) continue;
    ReplicaState next = state_;
    Chain layers = layers_;
    drop_layer(next, layers, i);
    ASHLAR_CO_TRY(co_await store_state(std::move(next), std::move(layers)));
    co_return true;
  }
  co_return false;
}

// Files of layers that the state no longer names, unless a clone's state does.
Task<Result<bool>> Replica::remove_dropped() {
  std::vector<std::uint64_t> gone;
  for (const std::uint64_t number : std::vector<std::uint64_t>(state_.dropped)) {
    const LayerId id{uuid(), number};
    if (!shared_.layers.may_remove(id)) continue;
    ASHLAR_CO_TRY(co_await shared_.layers.remove(id));
    gone.push_back(number);
  }
  if (gone.empty()) co_return false;
  ASHLAR_CO_TRY(co_await change_state([&gone](ReplicaState& state) {
    std::erase_if(state.dropped, [&](std::uint64_t number) {
      return std::find(gone.begin(), gone.end(), number) != gone.end();
    });
  }));
  co_return true;
}

// A layer whose parent no snapshot, clone or other child needs: it can move down into it.
std::optional<std::uint32_t> Replica::find_mergeable() const {
  for (std::uint32_t i = 0; i < state_.layers.size(); ++i) {
    const LayerState& child = state_.layers[i];
    if (!child.parent || child.id.creator != uuid()) continue;
    const LayerState& parent = state_.layers[*child.parent];
    const bool needed = (parent.snapshot && !parent.snapshot->deleted) ||
                        parent.id.creator != uuid() || shared_.layers.references(parent.id) > 1 ||
                        children_of(state_, *child.parent) > 1;
    if (!needed) return i;
  }
  return std::nullopt;
}

Task<Result<>> Replica::merge_some(std::uint32_t child) {
  const Result<Mutex::Guard> held = co_await flush_lock_.lock();
  if (!held.ok()) co_return held.error();
  // While it waited a pass may have changed the layers.
  if (find_mergeable() != child) co_return Result<>();
  const LayerId id = state_.layers[child].id;
  if (!state_.layers[child].merging) {
    ASHLAR_CO_TRY(co_await change_state([id](ReplicaState& state) {
      for (LayerState& layer : state.layers) layer.merging = layer.merging || layer.id == id;
    }));
  }
  if (merging_ != id) {
    merging_ = id;
    merged_up_to_ = ChunkIndex();
  }
  const std::uint32_t parent = *state_.layers[child].parent;
  Layer& from = *layers_[child];
  Layer& to = *layers_[parent];
  const bool hides =
      state_.layers[parent].parent.has_value() && !shared_.has(PlantedBug::kMergeLosesDiscards);
  const ChunkIndex begin = merged_up_to_;
  bool at_end = false;
  Result<> moved;
  for (int i = 0; i < kMergeChunks && moved.ok() && !at_end; ++i) {
    Result<std::optional<MappedChunk>> chunk = co_await from.next_chunk(merged_up_to_);
    if (!chunk.ok()) {
      moved = chunk.error();
    } else if (!*chunk) {
      at_end = true;
    } else {
      moved = co_await merge_chunk(from, to, hides, **chunk);
      if (moved.ok()) merged_up_to_ = (*chunk)->chunk.next();
    }
  }
  if (moved.ok()) moved = co_await to.write_map();
  const bool syncs = !shared_.has(PlantedBug::kMergeWithoutSync);
  if (moved.ok() && syncs) moved = co_await to.sync();
  // The head forgets what it gave away: what is flushed now goes to its parent, and must show.
  // Until then a power failure may bring either copy back: they are the same.
  if (moved.ok() && child == state_.head && merged_up_to_ > begin) {
    const BlockIndex first = first_block_of(begin);
    moved = co_await from.mark_absent({first, first_block_of(merged_up_to_) - first});
    if (moved.ok()) moved = co_await from.write_map();
    if (moved.ok()) moved = co_await from.sync();
  }
  if (!moved.ok()) {
    // The same chunks once more: what was moved and not synced is no different then.
    merged_up_to_ = begin;
    const ErrorCode code = moved.error().code();
    if (code != ErrorCode::kResourceExhausted && code != ErrorCode::kCancelled) {
      fail(FaultCause::kLayerWrite, moved.error());
    }
    co_return moved;
  }
  if (at_end) ASHLAR_CO_TRY(co_await finish_merge(child));
  co_return Result<>();
}

// Gives the parent what the child says of one chunk. Damage moves along as damage.
Task<Result<>> Replica::merge_chunk(Layer& from, Layer& to, bool hides, const MappedChunk& chunk) {
  ASHLAR_CO_TRY_ASSIGN(const MappedChunk old, co_await to.entry(chunk.chunk));
  ChunkEntry merged = old.entry;
  if (old.is_damaged) merged = {.present = 0xffff, .discarded = 0xffff};
  merged.last_lsn = newer(merged.last_lsn, chunk.entry.last_lsn);
  const BlockIndex first = first_block_of(chunk.chunk);
  ASHLAR_CO_TRY_ASSIGN(Buffer bytes, shared_.pool.allocate(ByteCount(kBlockSize)));
  const BlockChecksum checksum(from.volume());
  for (unsigned i = 0; i < kBlocksPerChunk; ++i) {
    const BlockInfo info =
        chunk.is_damaged ? BlockInfo{BlockState::kDamaged, 0} : chunk.entry.block(i);
    const auto bit = static_cast<std::uint16_t>(1U << i);
    if (info.state == BlockState::kAbsent) continue;
    merged.present = static_cast<std::uint16_t>(merged.present & ~bit);
    merged.discarded = static_cast<std::uint16_t>(merged.discarded & ~bit);
    merged.checksums[i] = 0;
    BlockState becomes = info.state;
    if (info.state == BlockState::kPresent) {
      const Result<> read =
          co_await from.data().read((first + i).value() * kBlockSize, bytes.bytes());
      if (!read.ok() && read.error().code() != ErrorCode::kDataLoss) co_return read;
      const bool good = read.ok() && checksum.of(first + i, bytes.bytes()) == info.checksum;
      if (!good) becomes = BlockState::kDamaged;
    }
    if (becomes == BlockState::kPresent) {
      const ConstIoSlice slice(std::as_const(bytes).bytes());
      ASHLAR_CO_TRY(co_await to.write_blocks({first + i, 1}, {&slice, 1}));
      merged.checksums[i] = info.checksum;
    } else if (becomes == BlockState::kDiscarded) {
      ASHLAR_CO_TRY(co_await to.punch({first + i, 1}));
    }
    const bool sets_present = becomes != BlockState::kDiscarded;
    const bool sets_discarded =
        becomes == BlockState::kDamaged || (becomes == BlockState::kDiscarded && hides);
    if (sets_present) merged.present = static_cast<std::uint16_t>(merged.present | bit);
    if (sets_discarded) merged.discarded = static_cast<std::uint16_t>(merged.discarded | bit);
  }
  co_return co_await to.set_entry(chunk.chunk, merged);
}

// The parent takes the child's place.
Task<Result<>> Replica::finish_merge(std::uint32_t child) {
  const Result<Mutex::Guard> guard = co_await state_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  ReplicaState next = state_;
  Chain layers = layers_;
  const std::uint32_t parent = *next.layers[child].parent;
  next.layers[parent].snapshot = next.layers[child].snapshot;
  for (LayerState& layer : next.layers) {
    if (layer.parent == child) layer.parent = parent;
  }
  if (next.head == child) next.head = parent;
  drop_layer(next, layers, child);
  co_return co_await store_state(std::move(next), std::move(layers));
}

// --- export --------------------------------------------------------------------------------------

Task<Result<std::optional<ChunkView>>> Replica::view_of(const Chain& chain, ChunkIndex chunk) {
  ChunkView view{.chunk = chunk};
  std::array<bool, kBlocksPerChunk> known{};
  for (const std::shared_ptr<Layer>& layer : chain) {
    ASHLAR_CO_TRY_ASSIGN(const MappedChunk mapped, co_await layer->entry(chunk));
    view.last_lsn = newer(view.last_lsn, mapped.entry.last_lsn);
    for (unsigned i = 0; i < kBlocksPerChunk; ++i) {
      if (known[i]) continue;
      const BlockInfo info =
          mapped.is_damaged ? BlockInfo{BlockState::kDamaged, 0} : mapped.entry.block(i);
      known[i] = info.state != BlockState::kAbsent;
      // To a reader zeros are zeros.
      if (known[i] && info.state != BlockState::kDiscarded) view.blocks[i] = info;
    }
  }
  co_return view;
}

Task<Result<std::optional<ChunkView>>> Replica::next_changed(std::optional<SnapshotUuid> at,
                                                             Lsn since, ChunkIndex from) {
  ASHLAR_CO_TRY(usable());
  while (true) {
    ChainRef chain = head_chain_;
    const ChainRef head = chain;
    if (at) {
      const std::optional<std::uint32_t> layer = layer_of(*at);
      if (!layer) co_return Error::not_found("volume {} has no snapshot {} yet", volume(), *at);
      chain = chain_of(*layer);
    }
    std::optional<ChunkIndex> next;
    for (const std::shared_ptr<Layer>& layer : *chain) {
      ASHLAR_CO_TRY_ASSIGN(const std::optional<MappedChunk> chunk,
                           co_await layer->next_chunk(from));
      if (chunk && (!next || chunk->chunk < *next)) next = chunk->chunk;
    }
    std::optional<ChunkView> view;
    if (next) {
      ASHLAR_CO_TRY_ASSIGN(view, co_await view_of(*chain, *next));
    }
    // A layer that a merge has taken out of the chain shows again what others have hidden since.
    if (head_chain_ != head) continue;
    if (!next) co_return std::nullopt;
    const bool misses = shared_.has(PlantedBug::kExportMissesFirstChange) && from == ChunkIndex();
    if (view->last_lsn > since && !misses) co_return view;
    from = next->next();
  }
}

// --- scrub ---------------------------------------------------------------------------------------

// Whether the volume or a snapshot of it shows the layer's block. A pass or merge that did not come
// to its end, perhaps in an earlier life, may have left new bytes beside the old checksum where
// nobody looks: below a record that is flushed again, or a layer that moves down.
Task<Result<bool>> Replica::is_shown(std::uint32_t layer, BlockIndex block) {
  const std::optional<SnapshotState> snapshot = state_.layers[layer].snapshot;
  if (snapshot && !snapshot->deleted) co_return true;
  if (layer == state_.head) {
    bool has_record = false;
    index_.lookup({block, 1}, [&](const IndexRun& run) { has_record = !run.is_hole(); });
    co_return !has_record;
  }
  for (std::uint32_t child = 0; child < layers_.size(); ++child) {
    if (state_.layers[child].parent != layer) continue;
    std::array<BlockInfo, 1> info;
    ASHLAR_CO_TRY(co_await layers_[child]->look_up({block, 1}, info));
    if (info.front().state != BlockState::kAbsent) continue;
    ASHLAR_CO_TRY_ASSIGN(const bool shown, co_await is_shown(child, block));
    if (shown) co_return true;
  }
  co_return false;
}

Task<Result<std::vector<Replica::ScrubVerdict>>> Replica::scrub(ScrubCursor& cursor,
                                                                ByteCount budget) {
  ASHLAR_CO_TRY(usable());
  std::vector<ScrubVerdict> verdicts;
  std::uint64_t left = budget.value();
  cursor.at_end = false;
  while (left > 0) {
    if (cursor.layer >= layers_.size()) {
      cursor = {.at_end = true};
      break;
    }
    const Chain one{layers_[cursor.layer]};
    ASHLAR_CO_TRY_ASSIGN(const std::optional<MappedChunk> chunk,
                         co_await one.front()->next_chunk(cursor.chunk));
    if (!chunk) {
      cursor = {.layer = cursor.layer + 1};
      continue;
    }
    cursor.chunk = chunk->chunk.next();
    const BlockRange blocks{first_block_of(chunk->chunk), kBlocksPerChunk};
    ASHLAR_CO_TRY_ASSIGN(Buffer bytes,
                         shared_.pool.allocate(ByteCount(kBlocksPerChunk * kBlockSize)));
    ASHLAR_CO_TRY_ASSIGN(const bool good, co_await try_read_layers(one, blocks, bytes.bytes()));
    shared_.metrics.scrubbed_bytes.add(bytes.size());
    left -= std::min<std::uint64_t>(left, bytes.size());
    if (good) continue;
    // Once more with the flusher held: only what is wrong then is wrong.
    for (unsigned i = 0; i < kBlocksPerChunk; ++i) {
      const std::uint64_t damaged = shared_.metrics.damaged_blocks.value();
      const Result<> read = co_await read_held(one, {blocks.first + i, 1},
                                               bytes.bytes().first(kBlockSize), HeldFor::kScrub);
      if (!read.ok() && read.error().code() != ErrorCode::kDataLoss) co_return read.error();
      const bool repaired = read.ok() && shared_.metrics.damaged_blocks.value() > damaged;
      if (read.ok() && !repaired) continue;
      verdicts.push_back({one.front()->id(), blocks.first + i, repaired});
    }
  }
  co_return verdicts;
}

// --- installing a copy ---------------------------------------------------------------------------

Task<Result<>> Replica::begin_install(Epoch epoch, Lsn base) {
  const Result<Mutex::Guard> held = co_await flush_lock_.lock();
  if (!held.ok()) co_return held.error();
  const Result<Mutex::Guard> guard = co_await state_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  ASHLAR_CO_TRY(usable());
  if (state_.flushed != last_lsn || base < last_lsn || placing_ > 0) {
    co_return Error::failed_precondition(
        "replica {} has records up to {}, flushed are {}: a copy as of {} cannot begin", uuid(),
        last_lsn, state_.flushed, base);
  }
  ReplicaState next = state_;
  Chain layers = layers_;
  next.candidate = false;
  next.flushed = base;
  next.flushed_epoch = epoch;
  if (next.epochs.empty() || next.epochs.back().epoch < epoch) {
    if (next.epochs.size() == kMostEpochs) next.epochs.erase(next.epochs.begin());
    next.epochs.push_back({epoch, base});
  }
  ASHLAR_CO_TRY(co_await push_layer(next, layers, next.head, base));
  ASHLAR_CO_TRY(co_await store_state(std::move(next), std::move(layers)));
  epochs_ = state_.epochs;
  discarded_.clear();
  last_lsn = base;
  last_epoch = epoch;
  index_.advance_stable(base);
  for (LsnWatermark* watermark : {&written_, &durable_, &committed_, &stable_}) {
    watermark->advance(base);
  }
  co_return Result<>();
}

Task<Result<>> Replica::install_chunk(const ChunkView& view, ByteSpan bytes) {
  const Result<Mutex::Guard> held = co_await flush_lock_.lock();
  if (!held.ok()) co_return held.error();
  ASHLAR_CO_TRY(usable());
  if (state_.candidate) {
    co_return Error::failed_precondition("no copy is being installed into replica {}", uuid());
  }
  Layer& head = *layers_[state_.head];
  ASHLAR_CO_TRY_ASSIGN(const MappedChunk mapped, co_await head.entry(view.chunk));
  ChunkEntry entry = mapped.entry;
  const BlockIndex first = first_block_of(view.chunk);
  std::size_t at = 0;
  for (unsigned i = 0; i < kBlocksPerChunk; ++i) {
    const auto bit = static_cast<std::uint16_t>(1U << i);
    ByteSpan block;
    if (view.blocks[i].state == BlockState::kPresent) {
      if (bytes.size() - at < kBlockSize) {
        co_return Error::invalid_argument("chunk {} came with too few bytes", view.chunk);
      }
      block = bytes.subspan(at, kBlockSize);
      at += kBlockSize;
      if (checksum_.of(first + i, block) != view.blocks[i].checksum) {
        co_return Error::data_loss("block {} does not match the checksum it came with", first + i);
      }
    } else if (view.blocks[i].state != BlockState::kAbsent) {
      co_return Error::data_loss("block {} is damaged where it comes from", first + i);
    }
    // A live record was flushed before: it is newer.
    const bool is_taken = ((entry.present | entry.discarded) & bit) != 0;
    if (is_taken && !shared_.has(PlantedBug::kInstallOverwritesLive)) continue;
    if (block.empty() || was_discarded(first + i)) {
      entry.discarded = static_cast<std::uint16_t>(entry.discarded | bit);
      continue;
    }
    ASHLAR_CO_TRY_ASSIGN(Buffer copy, shared_.pool.allocate(ByteCount(kBlockSize)));
    std::memcpy(copy.data(), block.data(), kBlockSize);
    const ConstIoSlice slice(std::as_const(copy).bytes());
    ASHLAR_CO_TRY(co_await head.write_blocks({first + i, 1}, {&slice, 1}));
    entry.present = static_cast<std::uint16_t>(entry.present | bit);
    entry.checksums[i] = view.blocks[i].checksum;
  }
  entry.last_lsn = newer(entry.last_lsn, view.last_lsn);
  co_return co_await head.set_entry(view.chunk, entry);
}

Task<Result<>> Replica::finish_install(InstallKind kind) {
  const Result<Mutex::Guard> held = co_await flush_lock_.lock();
  if (!held.ok()) co_return held.error();
  const Result<Mutex::Guard> guard = co_await state_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  ASHLAR_CO_TRY(usable());
  Layer& head = *layers_[state_.head];
  ASHLAR_CO_TRY(co_await head.write_map());
  ASHLAR_CO_TRY(co_await head.sync());
  ReplicaState next = state_;
  Chain layers = layers_;
  next.candidate = true;
  next.repair_needed = false;
  if (kind == InstallKind::kReplace) {
    next.layers[next.head].parent.reset();
    while (next.layers.size() > 1) {
      for (std::uint32_t i = 0; i < next.layers.size(); ++i) {
        if (i == next.head || children_of(next, i) > 0) continue;
        drop_layer(next, layers, i);
        break;
      }
    }
  }
  ASHLAR_CO_TRY(co_await store_state(std::move(next), std::move(layers)));
  discarded_.clear();
  shared_.merge_wanted.set();
  co_return Result<>();
}

}  // namespace ashlar::engine
