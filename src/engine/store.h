// Store: one data directory on one disk: a log, the replicas that share it, and the background work
// (flusher, checkpoint, merges). docs/formats/store.md draws the directory.
//
//   ASHLAR_CO_TRY(co_await Store::format(runtime, options, uuid));       // once
//   auto store = co_await Store::open(runtime, pool, options, &registry);
//   Replica* replica = *co_await (*store)->create_replica({…});
//   …
//   co_await (*store)->close();
//
// Opening takes the directory's lock and writes the owner record: a second server, or one with
// another server uuid, is refused before anything is changed (L14). Then every replica's state, the
// log from the checkpoint to its first break, and a new generation of the log.
//
// What cannot be opened is left as it is, listed by unreadable(), and no layer file of the store is
// removed while there is any (P5, L11).
//
// The checkpoint: when a round of passes is over, the log's tail moves to the oldest record that a
// replica still needs, first in the superblock, then in the log (L7). A volume whose records stand
// still does not hold it: they are appended again; so are those of a replica that has stepped out
// or cannot be opened (stranded_records.h).
//
// Everything of a store belongs to one executor. close() before destruction, except in a simulated
// process that is killed.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/metrics/metrics.h"
#include "common/runtime/runtime.h"
#include "common/runtime/task_scope.h"
#include "engine/map_cache.h"
#include "engine/replica.h"
#include "engine/stranded_records.h"

namespace ashlar::engine {

struct ReplicaSpec {
  ReplicaUuid replica;
  VolumeUuid volume;
  std::uint64_t size_blocks = 0;
};

struct UnreadableReplica {
  std::string name;  // of its state file
  Error error;
};

class Store {
 public:
  // Makes an empty store; kAlreadyExists when the directory holds one. A directory that holds
  // anything else is refused.
  static Task<Result<>> format(Runtime runtime, StoreOptions options, StoreUuid uuid);
  // `registry` may be null; it outlives the store, as `pool` does.
  static Task<Result<std::unique_ptr<Store>>> open(Runtime runtime, BufferPool& pool,
                                                   StoreOptions options,
                                                   MetricRegistry* registry = nullptr);
  ~Store();

  // Flushes what may be flushed, writes a checkpoint, and lets go of the directory. Nothing of it
  // may be in use.
  Task<Result<>> close();

  Task<Result<Replica*>> create_replica(ReplicaSpec spec);
  Task<Result<Replica*>> clone_replica(Replica& parent, SnapshotUuid snapshot, ReplicaSpec spec);
  // Its files are gone for good when it resolves, as far as no clone needs them. Nothing of it may
  // be in use: no call, no scan. After an error it is there as before, or nobody's.
  Task<Result<>> delete_replica(ReplicaUuid uuid);
  Replica* find(ReplicaUuid uuid);
  std::vector<Replica*> replicas();
  const std::vector<UnreadableReplica>& unreadable() const { return unreadable_; }

  // Everything that may be flushed is in the layers, and the log's tail has moved, when it
  // resolves.
  Task<Result<>> checkpoint();

  const StoreUuid& uuid() const { return state_.store; }
  const LogRecovery& recovery() const { return recovery_; }
  StoreShared& shared() { return shared_; }
  MapCacheStatistics map_statistics() const { return cache_.statistics(); }

 private:
  struct Files {
    std::unique_ptr<SlotFile> owner;
    std::unique_ptr<SlotFile> superblock;
    std::unique_ptr<File> log;
    StoreState state;
  };

  Store(Runtime runtime, BufferPool& pool, StoreOptions options, MetricRegistry* registry,
        Files files);

  static Task<Result<Files>> open_files(Runtime runtime, StoreOptions options);
  Task<Result<>> open_replicas();
  Task<Result<>> remove_unfinished(std::string name);
  Task<Result<>> take_name(Replica& replica);
  Task<Result<>> open_replica(std::string name);
  Task<Result<>> finish_deletion(std::string name);
  Task<Result<>> recover();
  Task<Result<>> store_checkpoint(LogCheckpoint checkpoint);
  void start();
  Task<Result<>> run_log();
  Task<Result<>> flush_loop();
  Task<Result<>> wait_for_work();
  Task<Result<bool>> flush_round();
  Task<Result<>> sync_buffered();
  Task<Result<>> advance_tail();
  Task<Result<>> free_tail();
  Task<Result<bool>> move_oldest();
  Task<Result<bool>> move_stranded(ReplicaUuid uuid);
  Task<Result<>> merge_loop();
  Task<Result<bool>> merge_round();
  Result<> check_new(const ReplicaSpec& spec) const;
  Task<Result<>> finish_other_deletions();
  // Null when it is none of this store any more.
  Replica* find_pointer(const Replica* replica);
  std::string replica_path(const ReplicaUuid& uuid) const;
  std::string replica_directory() const { return options_.directory + "/replicas"; }

  Runtime runtime_;
  const StoreOptions options_;
  Files files_;
  StoreState state_;
  MapCache cache_;
  LayerTable layers_;
  SpaceGuard space_;
  EngineMetrics metrics_;
  StoreShared shared_;
  LogRecovery recovery_;
  std::map<ReplicaUuid, std::unique_ptr<Replica>> replicas_;
  // Being deleted: nobody finds it any more, but until its name is gone the log keeps its records.
  std::unique_ptr<Replica> leaving_;
  std::vector<UnreadableReplica> unreadable_;
  // Where the records of those begin, which the log keeps until they can be opened.
  std::map<ReplicaUuid, LogPosition> unreadable_floors_;
  std::map<ReplicaUuid, StrandedRecords> stranded_;
  std::set<std::string> deleting_;  // state files of deleted replicas whose layers a clone needs
  Mutex checkpoint_lock_;
  Mutex names_lock_;  // one creation or deletion at a time
  TaskScope log_scope_;
  TaskScope work_scope_;
  bool is_open_ = false;
};

}  // namespace ashlar::engine
