// The clients of the engine's scenario: each does one random operation after the other.
#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "common/runtime/task_scope.h"
#include "tests/engine/engine_world.h"

namespace ashlar::engine {
namespace {

using model::Change;
using model::ChangeRef;
using model::kSectorsPerBlock;
using model::Sectors;

constexpr std::size_t kMostTestSnapshots = 6;

// Somebody works on the volume: it must not be deleted.
class UseOf {
 public:
  explicit UseOf(Volume& volume) : volume_(volume) { ++volume_.users; }
  UseOf(const UseOf&) = delete;
  UseOf& operator=(const UseOf&) = delete;
  ~UseOf() { --volume_.users; }

 private:
  Volume& volume_;
};

// Sets a flag while it lives.
class Marked {
 public:
  explicit Marked(bool& flag) : flag_(flag) { flag_ = true; }
  Marked(const Marked&) = delete;
  Marked& operator=(const Marked&) = delete;
  ~Marked() { flag_ = false; }

 private:
  bool& flag_;
};

class Busy {
 public:
  Busy(Volume& volume, SnapshotUuid snapshot) : volume_(volume), snapshot_(snapshot) {
    volume_.busy.insert(snapshot_);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() { volume_.busy.erase(snapshot_); }

 private:
  Volume& volume_;
  const SnapshotUuid snapshot_;
};

Sectors sectors_of(BlockRange blocks) {
  return {blocks.first.value() * kSectorsPerBlock, blocks.count * kSectorsPerBlock};
}

// Half of the work is on few blocks, so that it meets.
BlockRange random_blocks(EngineWorld& world, const Volume& volume, std::uint64_t most) {
  Random& random = world.random;
  const std::uint64_t size = volume.model.size_blocks();
  const std::uint64_t area = random.chance(1, 2) ? std::min<std::uint64_t>(size, 40) : size;
  std::uint64_t count =
      random.between(1, random.chance(2, 3) ? std::min<std::uint64_t>(most, 4) : most);
  count = std::min(count, area);
  return {BlockIndex(random.below(area - count + 1)), count};
}

Task<void> pause(EngineWorld* world, Duration longest) {
  const Duration time = world->random.between(Duration(1us), longest);
  (void)co_await sleep_for(world->node->runtime().clock, time);
}

void settle_error(EngineWorld& world, Volume& volume, const ChangeRef& change,
                  std::string_view what, const Error& error) {
  switch (error.code()) {
    case ErrorCode::kAborted:
      // A cut has dropped it, or an epoch was promised before it had its place.
      if (volume.rule == CommitRule::kGiven) {
        volume.model.abort(change);
      } else {
        volume.model.refuse(change);
      }
      return;
    case ErrorCode::kResourceExhausted:
      if (!world.lacks_space() || change->type != RecordType::kWrite) break;
      volume.model.refuse(change);
      return;
    case ErrorCode::kOutOfRange:
      if (volume.rule != CommitRule::kGiven) break;  // else its resize was cut
      volume.model.refuse(change);
      return;
    default:
      break;
  }
  world.judge(&volume, what, error);
}

Task<void> settle(EngineWorld* world, Volume* volume, ChangeRef change, std::string_view what,
                  Task<Result<Lsn>> operation) {
  const Result<Lsn> lsn = co_await std::move(operation);
  if (!lsn.ok()) {
    settle_error(*world, *volume, change, what, lsn.error());
    if (world->lacks_space()) co_await pause(world, 20ms);
    co_return;
  }
  const std::string wrong = volume->model.acknowledge(change, *lsn);
  if (!wrong.empty()) world->fail(fmt::format("volume {}: {}: {}", volume->number, what, wrong));
  ++world->counts.acknowledged;
}

Task<void> do_write(EngineWorld* world, Volume* volume) {
  const BlockRange blocks = random_blocks(*world, *volume, world->longest_write);
  const Sectors sectors = sectors_of(blocks);
  const model::Tag tag = world->next_tag++;
  Result<Buffer> bytes = world->pool->allocate(ByteCount(blocks.count * kBlockSize));
  if (!bytes.ok()) {
    world->fail(fmt::format("no memory to write from: {}", bytes.error().message()));
    co_return;
  }
  model::fill_sectors(bytes->bytes(), sectors.first, tag);
  const BlockChecksum checksum(volume->uuid());
  std::vector<std::uint32_t> checksums;
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const ByteSpan block = bytes->bytes().subspan(i * kBlockSize, kBlockSize);
    checksums.push_back(checksum.of(blocks.first + i, block));
  }
  const ChangeRef change = volume->model.begin({.tag = tag, .sectors = sectors});
  co_await settle(world, volume, change, "write",
                  volume->replica->write(blocks, std::move(*bytes), checksums));
}

Task<void> do_write_bytes(EngineWorld* world, Volume* volume) {
  const BlockRange blocks = random_blocks(*world, *volume, 8);
  Sectors sectors = sectors_of(blocks);
  const std::uint64_t skipped = world->random.below(kSectorsPerBlock);
  sectors = {sectors.first + skipped, sectors.count - skipped};
  sectors.count -= world->random.below(std::min(sectors.count, kSectorsPerBlock));
  const model::Tag tag = world->next_tag++;
  std::vector<std::byte> bytes(sectors.count * model::kSector);
  model::fill_sectors(bytes, sectors.first, tag);
  const ChangeRef change = volume->model.begin({.tag = tag, .sectors = sectors});
  co_await settle(world, volume, change, "write_bytes",
                  volume->replica->write_bytes(sectors.first * model::kSector, bytes));
}

// Fills its part of the range, or declines; and keeps what it saw.
class TestModifier final : public Modifier {
 public:
  TestModifier(Sectors sectors, model::Tag tag, bool accepts)
      : sectors_(sectors), tag_(tag), accepts_(accepts) {}

  bool modify(MutableByteSpan bytes) override {
    seen.assign(bytes.begin(), bytes.end());
    if (accepts_) model::fill_sectors(bytes, sectors_.first, tag_);
    return accepts_;
  }
  std::vector<std::byte> seen;

 private:
  const Sectors sectors_;
  const model::Tag tag_;
  const bool accepts_;
};

Task<void> do_modify(EngineWorld* world, Volume* volume) {
  const BlockRange blocks = random_blocks(*world, *volume, 4);
  Sectors sectors = sectors_of(blocks);
  const std::uint64_t skipped = world->random.below(kSectorsPerBlock);
  sectors = {sectors.first + skipped, sectors.count - skipped};
  sectors.count -= world->random.below(std::min(sectors.count, kSectorsPerBlock));
  const bool accepts = world->random.chance(3, 4);
  const model::Tag tag = world->next_tag++;
  TestModifier modifier(sectors, tag, accepts);
  const std::uint64_t offset = sectors.first * model::kSector;
  const std::uint64_t length = sectors.count * model::kSector;
  if (!accepts) {
    // It has read what it declined, as any reader.
    const model::VolumeModel::Reading reading = volume->model.begin_read(sectors);
    const Result<std::optional<Lsn>> lsn =
        co_await volume->replica->modify(offset, length, modifier);
    if (lsn.ok()) {
      const std::string wrong = volume->model.end_read(reading, modifier.seen);
      if (!wrong.empty()) world->fail(fmt::format("volume {}: {}", volume->number, wrong));
      if (*lsn) world->fail("what was declined was written");
    } else if (lsn.error().code() != ErrorCode::kAborted &&
               !(world->lacks_space() && lsn.error().code() == ErrorCode::kResourceExhausted)) {
      world->judge(volume, "modify", lsn.error());
    }
    co_return;
  }
  const ChangeRef change = volume->model.begin({.tag = tag, .sectors = sectors});
  const Result<std::optional<Lsn>> lsn = co_await volume->replica->modify(offset, length, modifier);
  if (!lsn.ok()) {
    settle_error(*world, *volume, change, "modify", lsn.error());
    if (world->lacks_space()) co_await pause(world, 20ms);
    co_return;
  }
  const std::string wrong = volume->model.acknowledge(change, **lsn);
  if (!wrong.empty()) world->fail(fmt::format("volume {}: modify: {}", volume->number, wrong));
  ++world->counts.acknowledged;
  ++world->counts.modified;
  if (world->may_show_old() || volume->model.allows_old) co_return;
  // Nothing came between what it saw and what it wrote.
  const std::optional<model::VolumeState> before = volume->model.state_at(Lsn((*lsn)->value() - 1));
  if (!before) co_return;
  for (std::uint64_t i = 0; i < sectors.count; ++i) {
    const std::uint64_t sector = sectors.first + i;
    const auto saw =
        model::tag_of(ByteSpan(modifier.seen).subspan(i * model::kSector, model::kSector), sector);
    const model::Tag expected = sector < before->contents.size() ? before->contents[sector] : 0;
    if (saw == expected) continue;
    world->fail(fmt::format("volume {}: a change of sector {} by record {} saw {:x}, it was {:x}",
                            volume->number, sector, **lsn, saw.value_or(~0ULL), expected));
    co_return;
  }
}

Task<void> do_zeroes(EngineWorld* world, Volume* volume, RecordType type) {
  const BlockRange blocks = random_blocks(*world, *volume, world->random.chance(1, 8) ? 512 : 40);
  const ChangeRef change = volume->model.begin({.type = type, .sectors = sectors_of(blocks)});
  const bool discards = type == RecordType::kDiscard;
  co_await settle(
      world, volume, change, "discard",
      discards ? volume->replica->discard(blocks) : volume->replica->write_zeroes(blocks));
}

Task<void> do_flush(EngineWorld* world, Volume* volume) {
  const Lsn promised = volume->model.acknowledged();
  const Result<> flushed = co_await volume->replica->flush();
  if (flushed.ok()) {
    volume->flushed = std::max(volume->flushed, promised);
  } else if (flushed.error().code() != ErrorCode::kAborted) {
    world->judge(volume, "flush", flushed.error());
  }
}

// A snapshot that nobody is changing and whose contents are known; nil when there is none.
SnapshotUuid any_snapshot(EngineWorld& world, Volume& volume) {
  std::vector<SnapshotUuid> ready;
  for (const auto& [uuid, snapshot] : volume.model.snapshots()) {
    if (!volume.busy.contains(uuid)) ready.push_back(uuid);
  }
  if (ready.empty()) return {};
  const SnapshotUuid chosen = ready[world.random.below(ready.size())];
  return volume.model.snapshot_contents(chosen) == nullptr ? SnapshotUuid() : chosen;
}

Task<void> do_snapshot(EngineWorld* world, Volume* volume) {
  if (volume->model.snapshots().size() >= kMostTestSnapshots) co_return;
  const auto uuid = SnapshotUuid::generate(world->random);
  const ChangeRef change = volume->model.begin({.type = RecordType::kSnapshot, .snapshot = uuid});
  co_await settle(world, volume, change, "snapshot", volume->replica->snapshot(uuid, WallTime()));
  ++world->counts.snapshots;
}

Task<void> do_delete_snapshot(EngineWorld* world, Volume* volume) {
  const SnapshotUuid uuid = any_snapshot(*world, *volume);
  if (uuid.is_nil()) co_return;
  const Busy busy(*volume, uuid);
  const ChangeRef change =
      volume->model.begin({.type = RecordType::kSnapshotDelete, .snapshot = uuid});
  co_await settle(world, volume, change, "delete_snapshot", volume->replica->delete_snapshot(uuid));
}

Task<void> do_revert(EngineWorld* world, Volume* volume) {
  const SnapshotUuid uuid = any_snapshot(*world, *volume);
  if (uuid.is_nil()) co_return;
  const Busy busy(*volume, uuid);
  const ChangeRef change =
      volume->model.begin({.type = RecordType::kRevert,
                           .snapshot = uuid,
                           .reverts_to = volume->model.snapshot_contents(uuid)});
  co_await settle(world, volume, change, "revert", volume->replica->revert(uuid));
  ++world->counts.reverts;
}

Task<void> do_read_snapshot(EngineWorld* world, Volume* volume) {
  const SnapshotUuid uuid = any_snapshot(*world, *volume);
  if (uuid.is_nil()) co_return;
  const Busy busy(*volume, uuid);
  const std::shared_ptr<const model::Contents> contents = volume->model.snapshot_contents(uuid);
  const BlockRange blocks = random_blocks(*world, *volume, 64);
  const Result<Buffer> bytes = co_await volume->replica->read_snapshot(uuid, blocks);
  if (!bytes.ok()) {
    world->judge(volume, "read_snapshot", bytes.error());
    co_return;
  }
  ++world->counts.snapshot_reads;
  const Sectors sectors = sectors_of(blocks);
  for (std::uint64_t i = 0; i < sectors.count; ++i) {
    const std::uint64_t sector = sectors.first + i;
    const auto tag =
        model::tag_of(bytes->bytes().subspan(i * model::kSector, model::kSector), sector);
    const model::Tag expected = sector < contents->size() ? (*contents)[sector] : 0;
    if (tag == expected || (tag && world->loses_data())) continue;
    world->fail(fmt::format("volume {}: sector {} of snapshot {} shows {:x}, it was {:x}",
                            volume->number, sector, uuid, tag.value_or(~0ULL), expected));
    co_return;
  }
}

Task<void> do_resize(EngineWorld* world, Volume* volume) {
  if (volume->resizing) co_return;
  const Marked resizing(volume->resizing);
  const std::uint64_t size =
      std::min(kLargestTestVolume, volume->model.size_blocks() + world->random.below(100));
  const ChangeRef change = volume->model.begin({.type = RecordType::kResize, .value = size});
  co_await settle(world, volume, change, "resize", volume->replica->resize(size));
}

Task<void> do_reservations(EngineWorld* world, Volume* volume) {
  std::vector<std::byte> bytes(8 + world->random.below(9000));
  const model::Tag tag = world->next_tag++;
  store_le64(bytes, 0, tag);
  const ChangeRef change = volume->model.begin({.type = RecordType::kReservationState, .tag = tag});
  co_await settle(world, volume, change, "set_reservations",
                  volume->replica->set_reservations(bytes));
}

Task<void> do_attachment(EngineWorld* world, Volume* volume) {
  if (volume->wording) co_return;
  const Marked wording(volume->wording);
  std::vector<std::byte> bytes(world->random.below(500));
  world->random.fill(bytes);
  volume->attachments.push_back(bytes);
  const Result<> set = co_await volume->replica->set_attachment(bytes);
  if (set.ok()) {
    volume->attachments = {bytes};
  } else if (!world->lacks_space()) {
    world->judge(volume, "set_attachment", set.error());
  }
}

Task<void> do_promise(EngineWorld* world, Volume* volume) {
  const Epoch epoch = volume->promised_at_most.next();
  volume->promised_at_most = epoch;
  const Result<> promised = co_await volume->replica->promise(epoch);
  if (promised.ok()) {
    volume->promised = std::max(volume->promised, epoch);
  } else if (promised.error().code() != ErrorCode::kAborted && !world->lacks_space()) {
    world->judge(volume, "promise", promised.error());
  }
}

Task<Result<>> read_some(EngineWorld* world, Volume* volume, BlockRange blocks) {
  const model::VolumeModel::Reading reading = volume->model.begin_read(sectors_of(blocks));
  const Result<Buffer> bytes = co_await volume->replica->read(blocks);
  if (!bytes.ok()) co_return bytes.error();
  ++world->counts.reads;
  const std::string wrong = volume->model.end_read(reading, bytes->bytes());
  if (!wrong.empty()) world->fail(fmt::format("volume {}: {}", volume->number, wrong));
  co_return Result<>();
}

// All layers of a volume; damage is there only where the disk makes it.
Task<void> do_scrub(EngineWorld* world, Volume* volume) {
  if (volume->scrubbing) co_return;
  const Marked scrubbing(volume->scrubbing);
  Replica::ScrubCursor cursor;
  while (!cursor.at_end && !world->over()) {
    const Result<std::vector<Replica::ScrubVerdict>> found =
        co_await volume->replica->scrub(cursor, ByteCount(256 << 10));
    if (!found.ok()) {
      world->judge(volume, "scrub", found.error());
      co_return;
    }
    world->counts.scrubbed += found->size();
    for (const Replica::ScrubVerdict& one : *found) world->counts.repaired += one.repaired ? 1 : 0;
    if (found->empty() || world->loses_data()) continue;
    world->fail(fmt::format("volume {}: block {} is damaged on a disk that damages nothing",
                            volume->number, found->front().block));
    co_return;
  }
}

Task<void> do_read(EngineWorld* world, Volume* volume) {
  const BlockRange blocks = random_blocks(*world, *volume, 64);
  const Result<> read = co_await read_some(world, volume, blocks);
  if (!read.ok()) world->judge(volume, "read", read.error());
}

// --- operations that want a volume for themselves ------------------------------------------------

Task<bool> wait_until_alone(EngineWorld* world, Volume* volume) {
  while (volume->users > 1) {
    if (world->is_broken || !world->failure.empty()) co_return false;
    co_await pause(world, 200us);
  }
  co_return true;
}

Task<void> do_cut(EngineWorld* world, Volume* volume) {
  if (volume->rule != CommitRule::kGiven) co_return;
  const Marked exclusive(volume->exclusive);
  const Marked cutting(volume->cutting);
  Replica& replica = *volume->replica;
  // What comes behind the cut has another epoch than what was dropped.
  co_await do_promise(world, volume);
  if (volume->promised <= replica.epoch_of_last()) co_return;
  const Lsn kept =
      replica.committed_lsn() + world->random.below(replica.last() - replica.committed_lsn() + 1);
  const Epoch epoch = replica.promised();
  const Result<> cut = co_await replica.truncate_after(epoch, kept);
  if (cut.ok()) {
    volume->model.cut(kept);
    ++world->counts.cuts;
  } else if (cut.error().code() != ErrorCode::kFailedPrecondition) {
    world->judge(volume, "truncate_after", cut.error());
  }
}

Task<void> do_start_epoch(EngineWorld* world, Volume* volume) {
  const Marked exclusive(volume->exclusive);
  const bool alone = co_await wait_until_alone(world, volume);
  if (!alone) co_return;
  co_await do_promise(world, volume);
  const Epoch epoch = volume->promised;
  if (epoch != volume->promised_at_most || epoch <= volume->replica->epoch_of_last()) co_return;
  const ChangeRef change =
      volume->model.begin({.type = RecordType::kEpochStart, .value = epoch.value()});
  co_await settle(world, volume, change, "start_epoch", volume->replica->start_epoch(epoch));
}

std::uint64_t volumes_there(const EngineWorld& world) {
  return static_cast<std::uint64_t>(
      std::count_if(world.volumes.begin(), world.volumes.end(),
                    [](const Volume& one) { return one.being != Volume::Being::kGone; }));
}

void has_come(EngineWorld& world, Volume& made, const Result<Replica*>& replica,
              std::string_view what) {
  if (!replica.ok()) {
    // Nothing may be there; what may is seen after the next start.
    if (!world.lacks_space()) world.judge(&made, what, replica.error());
    return;
  }
  made.replica = *replica;
  made.being = Volume::Being::kThere;
  made.replica->set_repair_source(world.repairs ? &world.peer : nullptr);
  made.replica->set_commit_rule(made.rule);
}

Task<void> do_create(EngineWorld* world) {
  if (volumes_there(*world) >= world->most_volumes) co_return;
  Volume& made = world->add_volume(world->random.between(64, 1024), {});
  const ReplicaSpec spec{made.replica_uuid(), made.uuid(), made.model.size_blocks()};
  const Result<Replica*> replica = co_await world->store->create_replica(spec);
  has_come(*world, made, replica, "create_replica");
}

Task<void> do_clone(EngineWorld* world, Volume* volume) {
  if (volumes_there(*world) >= world->most_volumes || volume->resizing) co_return;
  const SnapshotUuid uuid = any_snapshot(*world, *volume);
  if (uuid.is_nil()) co_return;
  const Busy busy(*volume, uuid);
  const Marked resizing(volume->resizing);
  Volume& made =
      world->add_volume(volume->model.size_blocks(), *volume->model.snapshot_contents(uuid));
  made.model.share_history(volume->model);
  made.is_clone = true;
  const ReplicaSpec spec{made.replica_uuid(), made.uuid(), made.model.size_blocks()};
  const Result<Replica*> replica =
      co_await world->store->clone_replica(*volume->replica, uuid, spec);
  has_come(*world, made, replica, "clone_replica");
  if (replica.ok()) ++world->counts.clones;
}

Task<void> do_delete(EngineWorld* world, Volume* volume) {
  if (volumes_there(*world) < 2) co_return;
  volume->exclusive = true;
  const bool alone = co_await wait_until_alone(world, volume);
  if (!alone) co_return;
  volume->being = Volume::Being::kDeleting;
  volume->replica = nullptr;
  const Result<> deleted = co_await world->store->delete_replica(volume->replica_uuid());
  if (deleted.ok()) {
    volume->being = Volume::Being::kGone;
    ++world->counts.deletions;
  } else {
    world->judge(volume, "delete_replica", deleted.error());
  }
}

// The blocks of one chunk of a snapshot, as a peer would send them.
Task<Result<>> install_one(Replica* from, SnapshotUuid snapshot, Replica* to, ChunkView view) {
  std::vector<std::byte> bytes;
  for (unsigned i = 0; i < kBlocksPerChunk; ++i) {
    if (view.blocks[i].state != BlockState::kPresent) continue;
    ASHLAR_CO_TRY_ASSIGN(const Buffer block, co_await from->read_snapshot(
                                                 snapshot, {first_block_of(view.chunk) + i, 1}));
    bytes.insert(bytes.end(), block.bytes().begin(), block.bytes().end());
  }
  co_return co_await to->install_chunk(view, bytes);
}

Task<void> install_all(EngineWorld* world, Volume* source, SnapshotUuid snapshot, Volume* target,
                       Result<>* outcome) {
  ChunkIndex at;
  while (!world->over()) {
    Result<std::optional<ChunkView>> view =
        co_await source->replica->next_changed(snapshot, Lsn(), at);
    if (view.ok() && !*view) co_return;
    if (view.ok()) {
      at = (*view)->chunk.next();
      *outcome = co_await install_one(source->replica, snapshot, target->replica, **view);
    } else {
      *outcome = view.error();
    }
    if (!outcome->ok()) co_return;
    co_await pause(world, 100us);
  }
  *outcome = Error::cancelled("the run is over");
}

// What comes in live while the copy is installed.
Task<void> write_live(EngineWorld* world, Volume* target) {
  for (std::uint64_t i = world->random.below(20); i > 0 && !world->over(); --i) {
    const std::uint64_t kind = world->random.below(4);
    if (kind < 3) co_await do_write(world, target);
    if (kind == 3) co_await do_zeroes(world, target, RecordType::kDiscard);
    co_await pause(world, 1ms);
  }
}

// A second replica of a volume, made from a snapshot of it; then it goes its own way.
Task<void> do_copy(EngineWorld* world, Volume* volume) {
  // A clone's lower layers have the checksums of its parent.
  if (volumes_there(*world) >= world->most_volumes || volume->is_clone || volume->copy_of ||
      world->loses_data() || world->lacks_space()) {
    co_return;
  }
  const SnapshotUuid uuid = any_snapshot(*world, *volume);
  if (uuid.is_nil()) co_return;
  const Busy busy(*volume, uuid);
  const Result<> reached = co_await volume->replica->materialize(uuid);
  if (!reached.ok()) {
    world->judge(volume, "materialize", reached.error());
    co_return;
  }
  const Lsn base = volume->model.snapshots().at(uuid).lsn;
  Volume& made =
      world->add_volume(volume->model.size_blocks(), *volume->model.snapshot_contents(uuid));
  made.copy_of = volume->uuid();
  made.installing = true;
  made.exclusive = true;
  made.rule = CommitRule::kDurable;
  const UseOf use(made);
  const ReplicaSpec spec{made.replica_uuid(), made.uuid(), made.model.size_blocks()};
  const Result<Replica*> replica = co_await world->store->create_replica(spec);
  has_come(*world, made, replica, "create_replica");
  if (!replica.ok()) co_return;
  const Epoch epoch = std::max(volume->replica->epoch_of_last(), Epoch(1));
  Result<> outcome = co_await made.replica->begin_install(epoch, base);
  if (outcome.ok()) {
    made.model.begin_at(base);
    TaskScope both(co_await this_task());
    both.spawn(install_all(world, volume, uuid, &made, &outcome));
    both.spawn(write_live(world, &made));
    (void)co_await both.join();
  }
  if (outcome.ok()) outcome = co_await made.replica->flush();
  if (outcome.ok()) {
    const bool replaces = world->random.chance(1, 2);
    outcome = co_await made.replica->finish_install(replaces ? Replica::InstallKind::kReplace
                                                             : Replica::InstallKind::kDelta);
  }
  if (!outcome.ok()) {
    if (!world->over()) world->judge(&made, "install", outcome.error());
    co_return;
  }
  made.installing = false;
  made.exclusive = false;
  ++world->counts.copies;
}

Task<void> do_checkpoint(EngineWorld* world) {
  const Result<> done = co_await world->store->checkpoint();
  if (!done.ok() && !world->lacks_space()) world->judge(nullptr, "checkpoint", done.error());
}

Task<void> do_rare(EngineWorld* world, Volume* volume) {
  // What a crash left half installed.
  for (Volume& one : world->volumes) {
    const bool is_left = one.installing && one.users == 0 && one.replica != nullptr;
    if (is_left && one.being == Volume::Being::kThere) co_return co_await do_delete(world, &one);
  }
  switch (world->random.below(13)) {
    case 10:
    case 11:
      co_return co_await do_copy(world, volume);
    case 12:
      co_return co_await do_scrub(world, volume);
    case 0:
    case 1:
      co_return co_await do_create(world);
    case 2:
    case 3:
      co_return co_await do_clone(world, volume);
    case 4:
      co_return co_await do_delete(world, volume);
    case 5:
      co_return co_await do_checkpoint(world);
    case 6:
      co_return co_await do_start_epoch(world, volume);
    case 7:
      co_return co_await do_promise(world, volume);
    default:
      co_return co_await do_cut(world, volume);
  }
}

struct Choice {
  std::uint64_t weight;
  Task<void> (*operation)(EngineWorld*, Volume*);
};
constexpr Choice kChoices[] = {
    {36, [](EngineWorld* w, Volume* v) { return do_write(w, v); }},
    {14, [](EngineWorld* w, Volume* v) { return do_write_bytes(w, v); }},
    {5, [](EngineWorld* w, Volume* v) { return do_zeroes(w, v, RecordType::kDiscard); }},
    {4, [](EngineWorld* w, Volume* v) { return do_zeroes(w, v, RecordType::kWriteZeroes); }},
    {7, [](EngineWorld* w, Volume* v) { return do_modify(w, v); }},
    {22, [](EngineWorld* w, Volume* v) { return do_read(w, v); }},
    {3, [](EngineWorld* w, Volume* v) { return do_flush(w, v); }},
    {4, [](EngineWorld* w, Volume* v) { return do_snapshot(w, v); }},
    {3, [](EngineWorld* w, Volume* v) { return do_delete_snapshot(w, v); }},
    {1, [](EngineWorld* w, Volume* v) { return do_revert(w, v); }},
    {4, [](EngineWorld* w, Volume* v) { return do_read_snapshot(w, v); }},
    {2, [](EngineWorld* w, Volume* v) { return do_resize(w, v); }},
    {1, [](EngineWorld* w, Volume* v) { return do_reservations(w, v); }},
    {1, [](EngineWorld* w, Volume* v) { return do_attachment(w, v); }},
    {4, [](EngineWorld* w, Volume* v) { return do_rare(w, v); }},
};

Task<void> client(EngineWorld* world) {
  std::uint64_t weights = 0;
  for (const Choice& choice : kChoices) weights += choice.weight;
  while (!world->over()) {
    --world->budget;
    Volume* volume = world->any_volume();
    if (volume == nullptr) {
      if (volumes_there(*world) == 0) co_await do_create(world);
      co_await pause(world, 500us);
      continue;
    }
    const UseOf use(*volume);
    std::uint64_t drawn = world->random.below(weights);
    for (const Choice& choice : kChoices) {
      if (drawn < choice.weight) {
        co_await choice.operation(world, volume);
        break;
      }
      drawn -= choice.weight;
    }
    world->absorb(*world->store);
    if (world->random.chance(1, 4)) co_await pause(world, 300us);
    if (world->random.chance(1, 300)) co_await pause(world, 60ms);
  }
}

// Replication's part: says what is committed and stable. Some volumes stand still for a while, so
// that their records are in the log's way.
void commit_some(EngineWorld& world, Volume& volume, MonoTime now) {
  if (volume.rule != CommitRule::kGiven || volume.replica == nullptr || volume.cutting) return;
  Replica& replica = *volume.replica;
  if (replica.fault()) return;
  Random& random = world.random;
  if (volume.steady_until < now && random.chance(1, 40)) {
    volume.steady_until = now + random.between(Duration(1ms), Duration(300ms));
  }
  const Lsn durable = replica.durable_lsn();
  if (durable > replica.committed_lsn()) {
    replica.set_commit(replica.committed_lsn() +
                       random.below(durable - replica.committed_lsn() + 1));
  }
  if (volume.steady_until >= now) return;
  const Lsn stable = replica.stable_lsn();
  const Lsn most = std::min(replica.committed_lsn(), durable);
  if (most > stable) replica.set_stable(stable + random.below(most - stable + 1));
}

Task<void> committer(EngineWorld* world, const bool* done) {
  Clock& clock = world->node->runtime().clock;
  while (!*done) {
    for (Volume& volume : world->volumes) commit_some(*world, volume, clock.now());
    co_await pause(world, 1ms);
  }
}

// The file system fills up, for others use it too, and is emptied again.
Task<void> filler(EngineWorld* world, const bool* done) {
  sim::SimDisk& disk = world->node->disk();
  while (!*done) {
    co_await pause(world, 40ms);
    if (*done) break;
    const FileSystemSpace space = disk.space();
    const ByteCount used = space.total - space.available;
    disk.set_capacity(used + ByteCount(world->random.below(3 << 20)));
    co_await pause(world, 60ms);
    disk.set_capacity(ByteCount(std::uint64_t{1} << 40));
    ++world->counts.space_came_back;
  }
}

Task<void> read_everything(EngineWorld* world, Volume* volume) {
  const std::uint64_t size = volume->model.size_blocks();
  for (std::uint64_t at = 0; at < size && world->failure.empty(); at += 64) {
    const Result<> read =
        co_await read_some(world, volume, {BlockIndex(at), std::min<std::uint64_t>(64, size - at)});
    if (!read.ok()) world->judge(volume, "read", read.error());
    if (world->is_broken) break;
  }
}

Task<void> all_clients(EngineWorld* world, bool* done) {
  if (world->random.chance(1, 2)) {
    for (Volume& volume : world->volumes) {
      const bool is_whole = volume.replica != nullptr && !volume.installing;
      if (is_whole) co_await read_everything(world, &volume);
    }
  }
  TaskScope clients(co_await this_task());
  for (unsigned i = 0; i < world->clients; ++i) clients.spawn(client(world));
  (void)co_await clients.join();
  *done = true;
}

}  // namespace

Task<Result<Buffer>> ModelPeer::fetch(VolumeUuid volume, BlockRange blocks, Lsn at_most) {
  for (Volume& one : world_.volumes) {
    if (one.uuid() != volume || one.copy_of || one.being != Volume::Being::kThere) continue;
    const std::optional<model::VolumeState> state = one.model.state_at(at_most);
    if (!state) co_return Error::unavailable("the peer does not know");
    ASHLAR_CO_TRY_ASSIGN(Buffer bytes, world_.pool->allocate(ByteCount(blocks.count * kBlockSize)));
    std::memset(bytes.data(), 0, bytes.size());
    const Sectors sectors = sectors_of(blocks);
    for (std::uint64_t i = 0; i < sectors.count; ++i) {
      const std::uint64_t sector = sectors.first + i;
      const model::Tag tag = sector < state->contents.size() ? state->contents[sector] : 0;
      const MutableByteSpan into = bytes.bytes().subspan(i * model::kSector, model::kSector);
      if (tag != 0) model::fill_sectors(into, sector, tag);
    }
    co_await yield();
    co_return std::move(bytes);
  }
  co_return Error::not_found("no such volume");
}

Task<void> run_clients(EngineWorld* world) {
  bool done = false;
  TaskScope scope(co_await this_task());
  scope.spawn(all_clients(world, &done));
  scope.spawn(committer(world, &done));
  if (world->trouble == Trouble::kFullDisk) scope.spawn(filler(world, &done));
  (void)co_await scope.join();
  world->node->disk().set_capacity(ByteCount(std::uint64_t{1} << 40));
}

}  // namespace ashlar::engine
