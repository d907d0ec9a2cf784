// What the engine's scenario looks at when a store was opened, and when it was closed.
#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "tests/engine/engine_world.h"
#include "tests/engine/memory_file.h"

namespace ashlar::engine {
namespace {

// A file of the disk as a reader sees it now, without asking the disk for anything.
std::unique_ptr<test::MemoryFile> copy_of(sim::SimDisk& disk, const std::string& path) {
  const Result<sim::SimDisk::InodeRef> inode = disk.open(path, OpenMode::kExisting);
  if (!inode.ok()) return nullptr;
  auto copy = std::make_unique<test::MemoryFile>((*inode)->size());
  for (std::uint64_t at = 0; at + kBlockSize <= (*inode)->size(); at += kBlockSize) {
    const sim::PageRef page = (*inode)->page(at / kBlockSize);
    if (page != nullptr) std::memcpy(copy->bytes.data() + at, page->data(), kBlockSize);
  }
  return copy;
}

std::vector<SnapshotUuid> names(const std::map<SnapshotUuid, model::ModelSnapshot>& snapshots) {
  std::vector<SnapshotUuid> all;
  for (const auto& [uuid, snapshot] : snapshots) all.push_back(uuid);
  return all;
}

std::string compare_state(const Volume& volume, const Replica& replica) {
  const model::VolumeState& state = volume.model.base();
  if (replica.size_blocks() != state.size_blocks) {
    return fmt::format("the size is {} and should be {}", replica.size_blocks(), state.size_blocks);
  }
  std::vector<SnapshotUuid> found;
  for (const SnapshotStatus& one : replica.snapshots()) {
    found.push_back(one.uuid);
    const auto known = state.snapshots.find(one.uuid);
    if (known != state.snapshots.end() && known->second.lsn != one.lsn) {
      return fmt::format("snapshot {} is of {}, it was of {}", one.uuid, one.lsn,
                         known->second.lsn);
    }
  }
  std::sort(found.begin(), found.end());
  if (found != names(state.snapshots)) {
    return fmt::format("there are {} snapshots, {} should be there", found.size(),
                       state.snapshots.size());
  }
  const ByteSpan reservations = replica.reservations();
  const model::Tag reservation = reservations.size() < 8 ? 0 : load_le64(reservations);
  if (reservation != state.reservation) {
    return fmt::format("reservations {} and should be {}", reservation, state.reservation);
  }
  return {};
}

std::string compare_words(Volume& volume, const Replica& replica) {
  const ByteSpan attachment = replica.attachment();
  const auto is_it = [&](const std::vector<std::byte>& one) {
    return std::equal(one.begin(), one.end(), attachment.begin(), attachment.end());
  };
  if (std::none_of(volume.attachments.begin(), volume.attachments.end(), is_it)) {
    return "the attachment is none that was set";
  }
  volume.attachments = {{attachment.begin(), attachment.end()}};
  if (replica.promised() < volume.promised || replica.promised() > volume.promised_at_most) {
    return fmt::format("epoch {} is promised, {} was acknowledged, {} asked for",
                       replica.promised(), volume.promised, volume.promised_at_most);
  }
  volume.promised = replica.promised();
  volume.promised_at_most = replica.promised();
  return {};
}

std::string judge_volume(EngineWorld& world, Volume& volume,
                         const std::vector<model::LoggedRecord>& log) {
  Replica& replica = *volume.replica;
  if (volume.rule == CommitRule::kWritten && world.power_failed) {
    const Lsn must = std::max(volume.flushed, replica.state().flushed);
    if (replica.last() < volume.model.must_hold()) {
      world.counts.unflushed_lost += volume.model.must_hold() - replica.last();
    }
    volume.model.excuse_behind(must);
  }
  if (std::string wrong = volume.model.recover(replica.last(), log); !wrong.empty()) return wrong;
  volume.flushed = replica.last();
  if (world.loses_data()) return {};
  if (std::string wrong = compare_state(volume, replica); !wrong.empty()) return wrong;
  return compare_words(volume, replica);
}

}  // namespace

ReplicaUuid Volume::replica_uuid() const {
  std::array<std::byte, Uuid::kSize> bytes{};
  bytes[0] = std::byte{0x72};
  bytes[14] = static_cast<std::byte>(number >> 8);
  bytes[15] = static_cast<std::byte>(number);
  return ReplicaUuid(std::span<const std::byte, Uuid::kSize>(bytes));
}

VolumeUuid Volume::uuid() const {
  if (copy_of) return *copy_of;
  return VolumeUuid(replica_uuid().untyped());
}

// Reads the log as recovery will, from a copy, so that the judge knows which record each change
// became. The disk does not notice.
Task<Result<PeekedLog>> peek_log(EngineWorld* world) {
  PeekedLog peeked;
  sim::SimDisk& disk = world->node->disk();
  const std::string& directory = world->options.directory;
  std::unique_ptr<test::MemoryFile> superblock = copy_of(disk, directory + "/superblock");
  const std::unique_ptr<test::MemoryFile> log = copy_of(disk, directory + "/log");
  if (superblock == nullptr || log == nullptr) co_return peeked;
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<SlotFile> slots,
                       co_await SlotFile::open(std::move(superblock), kSuperblockFormat));
  ASHLAR_CO_TRY_ASSIGN(const StoreState state, decode_store_state(slots->body()));
  std::map<ReplicaUuid, VolumeUuid> there;
  for (const Volume& volume : world->volumes) {
    const std::string path = fmt::format("{}/replicas/{}", directory, volume.replica_uuid());
    if (disk.open(path, OpenMode::kExisting).ok()) there[volume.replica_uuid()] = volume.uuid();
  }
  const LogReader::VolumeOf volume_of =
      [&there](const ReplicaUuid& replica) -> std::optional<VolumeUuid> {
    const auto found = there.find(replica);
    return found == there.end() ? std::nullopt : std::optional(found->second);
  };
  const LogRing ring(state.log_capacity);
  const LogReader::Deliver deliver = [&](const RecoveredRecord& record) -> Result<> {
    std::vector<model::LoggedRecord>& all = peeked.records[record.header.replica];
    if (record.header.type == RecordType::kTruncate) {
      std::erase_if(all, [&](const auto& one) { return one.header.lsn > record.header.lsn; });
      return {};
    }
    const auto at = log->bytes.begin() + static_cast<std::ptrdiff_t>(ring.physical(record.payload));
    all.push_back({record.header, {at, at + record.header.payload_length}});
    return {};
  };
  LogReader reader(*log, {.store = state.store, .capacity = state.log_capacity});
  const Result<LogRecovery> recovered = co_await reader.recover(state.log, volume_of, deliver);
  if (!recovered.ok()) co_return recovered.error();
  co_return peeked;
}

Task<Result<>> judge_recovery(EngineWorld* world, const PeekedLog& log) {
  std::size_t known = 0;
  for (Volume& volume : world->volumes) {
    if (volume.being == Volume::Being::kGone) continue;
    volume.replica = world->store->find(volume.replica_uuid());
    if (volume.replica == nullptr) {
      const bool may_be_gone = volume.being != Volume::Being::kThere;
      // A sync of its state can fail when it is opened.
      const bool unopened = world->breaks_lives() && !world->store->unreadable().empty();
      world->is_broken = world->is_broken || unopened;
      if (!may_be_gone && !unopened) {
        const std::vector<UnreadableReplica>& unreadable = world->store->unreadable();
        world->fail(fmt::format(
            "volume {} is gone; {}", volume.number,
            unreadable.empty() ? "all could be read" : unreadable.front().error.to_string()));
      }
      if (may_be_gone && world->store->unreadable().empty()) volume.being = Volume::Being::kGone;
      world->counts.faulted += may_be_gone ? 0 : 1;
      continue;
    }
    ++known;
    volume.being = Volume::Being::kThere;
    volume.layers = volume.replica->state().layers.size();
    if (volume.installing) {
      volume.exclusive = true;  // until it is deleted
      continue;
    }
    if (volume.replica->fault()) {
      ++world->counts.faulted;
      if (!world->loses_data()) {
        world->fail(fmt::format("volume {} has stepped out: {}", volume.number,
                                volume.replica->fault()->error.message()));
      }
      volume.replica = nullptr;
      continue;
    }
    const auto records = log.records.find(volume.replica_uuid());
    static const std::vector<model::LoggedRecord> kNone;
    const std::string wrong =
        judge_volume(*world, volume, records == log.records.end() ? kNone : records->second);
    if (!wrong.empty()) world->fail(fmt::format("volume {}: {}", volume.number, wrong));
  }
  if (known != world->store->replicas().size()) {
    world->fail("a replica is there that nobody made, or that was deleted");
  }
  if (!world->store->unreadable().empty() && !world->breaks_lives()) {
    world->fail(fmt::format("{} cannot be opened: {}", world->store->unreadable().front().name,
                            world->store->unreadable().front().error.message()));
  }
  co_return Result<>();
}

// After a close every file has somebody who names it.
Task<Result<>> judge_directory(EngineWorld* world, Runtime runtime) {
  const std::string& directory = world->options.directory;
  ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> states,
                       co_await runtime.files.list(directory + "/replicas"));
  ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> layers,
                       co_await runtime.files.list(directory + "/layers"));
  std::set<std::string> named;
  std::set<std::string> needed;
  const auto name_both = [](std::set<std::string>& into, const LayerId& id) {
    for (const char* suffix : {"data", "map"}) {
      into.insert(fmt::format("{}-{}.{}", id.creator, id.number, suffix));
    }
  };
  for (const DirectoryEntry& entry : states) {
    if (entry.name.ends_with(".new")) {
      if (world->lacks_space()) co_return Result<>();  // the next start will remove it
      world->fail(fmt::format("{} was left behind", entry.name));
      continue;
    }
    std::unique_ptr<test::MemoryFile> copy =
        copy_of(world->node->disk(), directory + "/replicas/" + entry.name);
    ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<SlotFile> slots,
                         co_await SlotFile::open(std::move(copy), kReplicaFormat));
    ASHLAR_CO_TRY_ASSIGN(const ReplicaState state, decode_replica_state(slots->body()));
    const bool is_deleted = entry.name.ends_with(".deleting");
    for (const LayerState& layer : state.layers) {
      if (!is_deleted) name_both(needed, layer.id);
      name_both(named, layer.id);
    }
    for (const std::uint64_t number : state.dropped) name_both(named, {state.replica, number});
    // A layer that was begun when the process died: the next one takes its place.
    name_both(named, {state.replica, state.next_layer});
  }
  for (const DirectoryEntry& entry : layers) {
    if (!named.contains(entry.name)) {
      world->fail(fmt::format("layer file {} was left behind", entry.name));
    }
    needed.erase(entry.name);
  }
  if (!needed.empty()) world->fail(fmt::format("layer file {} is missing", *needed.begin()));
  co_return Result<>();
}

}  // namespace ashlar::engine
