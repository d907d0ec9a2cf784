// The replica's state on disk, and the passes that move it forward.
#include <algorithm>
#include <utility>

#include "engine/replica.h"

namespace ashlar::engine {
namespace {

// Records that become flushable in one go, before others get their turn.
constexpr std::uint64_t kAdvanceRecords = 2048;

bool is_rotation(RecordType type) {
  return type == RecordType::kSnapshot || type == RecordType::kRevert;
}

class RevertMark {
 public:
  RevertMark(bool& mark, bool value) : mark_(mark) { mark_ = value; }
  RevertMark(const RevertMark&) = delete;
  RevertMark& operator=(const RevertMark&) = delete;
  ~RevertMark() { mark_ = false; }

 private:
  bool& mark_;
};

}  // namespace

Task<Result<std::unique_ptr<Replica>>> Replica::create(StoreShared& shared, std::string path,
                                                       ReplicaState state) {
  FileSystem& files = shared.layers.files();
  const std::string directory = path.substr(0, path.rfind('/'));
  // Under its own name only when it is whole. Before it has layers it is known that they may be
  // there: an attempt that was not finished leaves nothing behind.
  const std::string unfinished = path + ".new";
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<File> file,
                       co_await files.open(unfinished, OpenMode::kCreate));
  ASHLAR_CO_TRY(co_await files.sync_directory(directory));
  Chain layers;
  for (const LayerState& layer : state.layers) {
    // A clone's lower layers are there already.
    Result<std::shared_ptr<Layer>> opened = Error::internal("not opened");
    if (layer.id.creator == state.replica) {
      opened = co_await shared.layers.create(layer.id, layer.volume);
    } else {
      opened = co_await shared.layers.open(layer.id, layer.volume);
    }
    if (!opened.ok()) co_return opened.error();
    layers.push_back(std::move(*opened));
  }
  const std::vector<std::byte> body = encode_replica_state(state);
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<SlotFile> slots,
                       co_await SlotFile::format(std::move(file), kReplicaFormat, body));
  ASHLAR_CO_TRY(co_await files.rename(unfinished, path));
  if (!shared.has(PlantedBug::kReplicaNameNotSynced)) {
    ASHLAR_CO_TRY(co_await files.sync_directory(directory));
  }
  for (const LayerState& layer : state.layers) shared.layers.add_reference(layer.id);
  std::unique_ptr<Replica> replica(
      new Replica(shared, std::move(path), std::move(slots), std::move(state)));
  replica->layers_ = std::move(layers);
  replica->head_chain_ = replica->chain_of(replica->state_.head);
  co_return replica;
}

Task<Result<std::unique_ptr<Replica>>> Replica::open(StoreShared& shared, std::string path) {
  FileSystem& files = shared.layers.files();
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<File> file, co_await files.open(path, OpenMode::kExisting));
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<SlotFile> slots,
                       co_await SlotFile::open(std::move(file), kReplicaFormat));
  ASHLAR_CO_TRY_ASSIGN(ReplicaState state, decode_replica_state(slots->body()));
  Chain layers;
  for (const LayerState& layer : state.layers) {
    Result<std::shared_ptr<Layer>> opened = co_await shared.layers.open(layer.id, layer.volume);
    if (!opened.ok()) {
      co_return opened.error().with_context(
          fmt::format("layer {} of {}", layer.id.number, layer.id.creator));
    }
    layers.push_back(std::move(*opened));
  }
  for (const LayerState& layer : state.layers) shared.layers.add_reference(layer.id);
  std::unique_ptr<Replica> replica(
      new Replica(shared, std::move(path), std::move(slots), std::move(state)));
  replica->layers_ = std::move(layers);
  replica->head_chain_ = replica->chain_of(replica->state_.head);
  co_return replica;
}

// --- the state -----------------------------------------------------------------------------------

Task<Result<>> Replica::change_state(std::function<void(ReplicaState&)> change) {
  const Result<Mutex::Guard> guard = co_await state_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  ReplicaState next = state_;
  change(next);
  if (next == state_) co_return Result<>();
  co_return co_await store_state(std::move(next), layers_);
}

// The state lock is held. What readers and later passes see changes only when it is durable.
Task<Result<>> Replica::store_state(ReplicaState next, Chain layers) {
  ASHLAR_CHECK_EQ(next.layers.size(), layers.size());
  ASHLAR_CHECK_GE(next.flushed, state_.flushed);
  ASHLAR_CHECK_GE(next.promised, state_.promised);
  Result<> stored;
  if (!shared_.has(PlantedBug::kStateNotStored)) {
    stored = co_await slots_->store(encode_replica_state(next));
  }
  if (!stored.ok()) {
    // Too large is refused before anything is touched.
    if (stored.error().code() != ErrorCode::kResourceExhausted) {
      fail(FaultCause::kStateWrite, stored.error());
    }
    co_return stored;
  }
  for (const LayerState& layer : next.layers) shared_.layers.add_reference(layer.id);
  for (const LayerState& layer : state_.layers) shared_.layers.drop_reference(layer.id);
  state_ = std::move(next);
  layers_ = std::move(layers);
  least_epoch = state_.promised;
  // The same chain stays the same object: reads go by it.
  ChainRef head = chain_of(state_.head);
  if (*head != *head_chain_) head_chain_ = std::move(head);
  refresh_size();
  co_return Result<>();
}

Task<Result<>> Replica::promise(Epoch epoch) {
  ASHLAR_CO_TRY(usable());
  if (epoch < state_.promised) {
    co_return Error::aborted("replica {} has promised epoch {} already", uuid(), state_.promised);
  }
  if (shared_.has(PlantedBug::kPromiseNotStored)) {
    state_.promised = std::max(state_.promised, epoch);
    co_return Result<>();
  }
  co_return co_await change_state(
      [epoch](ReplicaState& state) { state.promised = std::max(state.promised, epoch); });
}

Task<Result<>> Replica::set_attachment(ByteSpan bytes) {
  if (bytes.size() > kLargestAttachment) {
    co_return Error::invalid_argument("an attachment of {} bytes: at most {} are kept",
                                      bytes.size(), kLargestAttachment);
  }
  const std::vector<std::byte> copy(bytes.begin(), bytes.end());
  co_return co_await change_state([copy](ReplicaState& state) { state.attachment = copy; });
}

// --- passes --------------------------------------------------------------------------------------

bool Replica::has_work() const {
  return !fault_ && state_.flushed < stable_.value();
}

std::optional<LogPosition> Replica::oldest_position() const {
  if (frozen_floor_) return frozen_floor_;
  const bool keeps_hidden = !shared_.has(PlantedBug::kHiddenRecordsForgotten);
  std::optional<LogPosition> oldest = index_.lowest_position();
  for (const Control& control : controls_) {
    if (control.position && (!oldest || *control.position < *oldest)) oldest = control.position;
  }
  if (keeps_hidden && pass_floor_ && (!oldest || *pass_floor_ < *oldest)) oldest = pass_floor_;
  return oldest;
}

const Replica::Control* Replica::next_rotation() const {
  for (const Control& control : controls_) {
    if (is_rotation(control.header.type)) return &control;
  }
  return nullptr;
}

Task<Result<>> Replica::flush_pass() {
  const Result<Mutex::Guard> guard = co_await flush_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  ASHLAR_CO_TRY(usable());
  Lsn target = stable_.value();
  if (shared_.has(PlantedBug::kFlushAboveStable)) target = durable_.value();
  if (const Control* rotation = next_rotation(); rotation != nullptr) {
    const bool is_late = shared_.has(PlantedBug::kSnapshotOneTooLate);
    target = std::min(target, rotation->header.lsn + (is_late ? 1 : 0));
  }
  if (target <= state_.flushed) co_return Result<>();
  const MonoTime begin = shared_.clock.now();
  ASHLAR_CO_TRY(co_await flush_to(target));
  shared_.metrics.flush_passes.add();
  shared_.metrics.flush_seconds.observe(shared_.clock.now() - begin);
  co_return Result<>();
}

Task<Result<>> Replica::flush_all() {
  while (has_work()) ASHLAR_CO_TRY(co_await flush_pass());
  co_return Result<>();
}

Task<Result<>> Replica::advance_index(Lsn target) {
  if (!pass_floor_) pass_floor_ = oldest_position();
  while (index_.stable_lsn() < target) {
    const std::uint64_t left = target - index_.stable_lsn();
    const ByteCount before = index_.payload_bytes();
    index_.advance_stable(index_.stable_lsn() + std::min(left, kAdvanceRecords));
    shared_.payload_bytes -= before - index_.payload_bytes();
    if (left > kAdvanceRecords) co_await yield();
  }
  co_return Result<>();
}

FlushPass::Target Replica::flush_target() const {
  std::uint32_t into = state_.head;
  Layer* emptied = nullptr;
  if (state_.layers[into].merging) {
    emptied = layers_[into].get();
    into = *state_.layers[into].parent;
  }
  std::vector<Layer*> below;
  std::optional<std::uint32_t> parent = state_.layers[into].parent;
  while (parent) {
    below.push_back(layers_[*parent].get());
    parent = state_.layers[*parent].parent;
  }
  return {.layer = *layers_[into], .emptied = emptied, .below = std::move(below)};
}

Task<Result<>> Replica::flush_to(Lsn target) {
  const Control* rotation = next_rotation();
  const RevertMark mark(reverting_, rotation != nullptr && rotation->header.lsn == target &&
                                        rotation->header.type == RecordType::kRevert);
  ASHLAR_CO_TRY(co_await advance_index(target));
  if (!state_.candidate) note_discards();
  FlushPass pass(shared_, index_, checksum_, flush_target());
  if (shared_.has(PlantedBug::kStateBeforeLayers)) ASHLAR_CO_TRY(co_await finish_pass(target));
  const Result<> flushed = co_await pass.run();
  if (!flushed.ok()) {
    fail_pass(pass, flushed.error());
    co_return flushed;
  }
  if (!shared_.has(PlantedBug::kStateBeforeLayers)) ASHLAR_CO_TRY(co_await finish_pass(target));
  // In steps: a large index forgotten at once would hold up everybody else.
  for (const BlockRange& step : pass.steps()) {
    const ByteCount before = index_.payload_bytes();
    index_.erase_up_to(target, step);
    shared_.payload_bytes -= before - index_.payload_bytes();
    co_await yield();
  }
  co_return Result<>();
}

// What the pass is about to forget of discards, for install_chunk().
void Replica::note_discards() {
  index_.visit_stable(BlockIndex(), [this](const IndexRun& run) {
    if (!run.is_discard()) return true;
    BlockIndex first = run.blocks.first;
    BlockIndex end = run.blocks.end();
    auto next = discarded_.upper_bound(first);
    if (next != discarded_.begin() && std::prev(next)->second >= first) --next;
    while (next != discarded_.end() && next->first <= end) {
      first = std::min(first, next->first);
      end = std::max(end, next->second);
      next = discarded_.erase(next);
    }
    discarded_.emplace(first, end);
    return true;
  });
}

bool Replica::was_discarded(BlockIndex block) const {
  const auto behind = discarded_.upper_bound(block);
  return behind != discarded_.begin() && std::prev(behind)->second > block;
}

void Replica::fail_pass(const FlushPass& pass, const Error& error) {
  // Without space nothing is lost: the log has it, and the pass is made again.
  const bool passes =
      error.code() == ErrorCode::kResourceExhausted || error.code() == ErrorCode::kCancelled;
  if (passes) return;
  fail(pass.mismatched() ? FaultCause::kMismatch : FaultCause::kLayerWrite, error);
}

Task<Result<>> Replica::finish_pass(Lsn target) {
  const Result<Mutex::Guard> guard = co_await state_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  ReplicaState next = state_;
  Chain layers = layers_;
  apply_controls(next, target);
  next.flushed_epoch = epoch_of(target).value_or(next.flushed_epoch);
  next.flushed = target;
  const Control* rotation = next_rotation();
  const bool is_late = shared_.has(PlantedBug::kSnapshotOneTooLate);
  if (rotation != nullptr &&
      (rotation->header.lsn == target || (is_late && rotation->header.lsn < target))) {
    Control copy = *rotation;
    ASHLAR_CO_TRY(co_await rotate(next, layers, std::move(copy)));
  }
  ASHLAR_CO_TRY(co_await store_state(std::move(next), std::move(layers)));
  pass_floor_.reset();
  forget_flushed(target);
  co_return Result<>();
}

void Replica::apply_controls(ReplicaState& state, Lsn up_to) const {
  for (const Control& control : controls_) {
    if (control.header.lsn > up_to) break;
    const bool resizes =
        control.header.type == RecordType::kResize && !shared_.has(PlantedBug::kResizeForgotten);
    const bool reserves = control.header.type == RecordType::kReservationState &&
                          !shared_.has(PlantedBug::kReservationsForgotten);
    if (resizes) state.size_blocks = control.header.block_count;
    if (reserves) state.reservations = control.payload;
    if (control.header.type != RecordType::kSnapshotDelete) continue;
    const Result<SnapshotPayload> named = decode_snapshot_payload(control.payload);
    for (LayerState& layer : state.layers) {
      if (named.ok() && layer.snapshot && layer.snapshot->uuid == named->uuid) {
        layer.snapshot->deleted = true;
      }
    }
  }
  state.epochs.clear();
  for (const EpochStart& start : epochs_) {
    if (start.first_lsn <= up_to) state.epochs.push_back(start);
  }
}

void Replica::forget_flushed(Lsn up_to) {
  std::erase_if(controls_, [up_to](const Control& control) { return control.header.lsn <= up_to; });
  settle_space(up_to);
  refresh_size();
  shared_.merge_wanted.set();
}

void Replica::drop_payloads(ByteCount down_to) {
  const ByteCount before = index_.payload_bytes();
  index_.drop_payloads(down_to, written_.value());
  shared_.payload_bytes -= before - index_.payload_bytes();
}

}  // namespace ashlar::engine
