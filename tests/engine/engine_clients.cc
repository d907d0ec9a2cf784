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
  made.model.descend_from(volume->model);
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

Task<void> do_checkpoint(EngineWorld* world) {
  const Result<> done = co_await world->store->checkpoint();
  if (!done.ok() && !world->lacks_space()) world->judge(nullptr, "checkpoint", done.error());
}

Task<void> do_rare(EngineWorld* world, Volume* volume) {
  switch (world->random.below(10)) {
    case 0:
    case 1:
      return do_create(world);
    case 2:
    case 3:
      return do_clone(world, volume);
    case 4:
      return do_delete(world, volume);
    case 5:
      return do_checkpoint(world);
    case 6:
      return do_start_epoch(world, volume);
    case 7:
      return do_promise(world, volume);
    default:
      return do_cut(world, volume);
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
      if (volume.replica != nullptr) co_await read_everything(world, &volume);
    }
  }
  TaskScope clients(co_await this_task());
  for (unsigned i = 0; i < world->clients; ++i) clients.spawn(client(world));
  (void)co_await clients.join();
  *done = true;
}

}  // namespace

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
