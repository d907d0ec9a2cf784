#include "engine/store.h"

#include <algorithm>
#include <utility>

#include "common/log/log.h"
#include "common/runtime/timeout.h"

namespace ashlar::engine {
namespace {

constexpr std::string_view kNewSuffix = ".new";
constexpr std::string_view kDeletingSuffix = ".deleting";
// So long after the last write the memory that a load left behind goes back.
constexpr Duration kPoolPatience = 30s;
// Between two attempts when the disk is full.
constexpr Duration kSpaceRetry = 1s;

std::string in(const StoreOptions& options, std::string_view name) {
  return fmt::format("{}/{}", options.directory, name);
}

Task<Result<>> wait_for(Event& event) {
  co_return co_await event.wait();
}

// What names the store: durable only when the directory above is synced, too.
std::string parent_of(const StoreOptions& options) {
  const std::size_t slash = options.directory.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : options.directory.substr(0, slash);
}

// A process that was killed may have given names that nobody has synced.
Task<Result<>> sync_names(FileSystem& files, const StoreOptions& options) {
  ASHLAR_CO_TRY(co_await files.sync_directory(parent_of(options)));
  ASHLAR_CO_TRY(co_await files.sync_directory(options.directory));
  co_return co_await files.sync_directory(in(options, "replicas"));
}

Task<Result<>> make_directories(FileSystem& files, const StoreOptions& options) {
  for (const char* name : {"", "replicas", "layers", "quarantine"}) {
    const std::string path = *name == 0 ? options.directory : in(options, name);
    const Result<> made = co_await files.make_directory(path);
    if (!made.ok() && made.error().code() != ErrorCode::kAlreadyExists) co_return made;
  }
  co_return Result<>();
}

Task<Result<>> check_empty(FileSystem& files, const StoreOptions& options) {
  ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> entries,
                       co_await files.list(options.directory));
  for (const DirectoryEntry& entry : entries) {
    if (entry.name == "superblock") {
      co_return Error::already_exists("{} is a store already", options.directory);
    }
    const bool ours = entry.name == "replicas" || entry.name == "layers" ||
                      entry.name == "quarantine" || entry.name == "owner" || entry.name == "log" ||
                      entry.name == "superblock.new" || entry.name == "lost+found";
    if (!ours) {
      co_return Error::failed_precondition(
          "{} holds {}: a store is made in an empty directory only", options.directory, entry.name);
    }
  }
  co_return Result<>();
}

}  // namespace

// --- making and opening --------------------------------------------------------------------------

// The superblock's name comes last: until it is there the directory is no store, and format() may
// be run again.
Task<Result<>> Store::format(Runtime runtime, StoreOptions options, StoreUuid uuid) {
  FileSystem& files = runtime.files;
  ASHLAR_CO_TRY(LogRing::check(options.log_capacity, options.smallest_log));
  if (options.server.is_nil() || uuid.is_nil()) {
    co_return Error::invalid_argument("a store needs a uuid and the uuid of its server");
  }
  // What can never fit is refused before anything is made.
  ASHLAR_CO_TRY_ASSIGN(const FileSystemSpace space, co_await files.space(parent_of(options)));
  if (options.log_capacity > space.total) {
    co_return Error::invalid_argument("a log of {} bytes on a file system of {}",
                                      options.log_capacity.value(), space.total.value());
  }
  // Nothing is made in a directory that holds anything else.
  const Result<> is_empty = co_await check_empty(files, options);
  if (!is_empty.ok() && is_empty.error().code() != ErrorCode::kNotFound) co_return is_empty;
  ASHLAR_CO_TRY(co_await make_directories(files, options));
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<File> owner_file,
                       co_await files.open(in(options, "owner"), OpenMode::kCreate));
  ASHLAR_CO_TRY(co_await owner_file->lock());
  const std::vector<std::byte> owner = encode_owner_record({options.server, 0});
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<SlotFile> owner_slots,
                       co_await SlotFile::format(std::move(owner_file), kOwnerFormat, owner));
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<File> log,
                       co_await files.open(in(options, "log"), OpenMode::kCreate));
  ASHLAR_CO_TRY(co_await prepare_log(*log, options.log_capacity));
  const StoreState state{
      .store = uuid, .server = options.server, .log_capacity = options.log_capacity};
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<File> superblock_file,
                       co_await files.open(in(options, "superblock.new"), OpenMode::kCreate));
  const std::vector<std::byte> body = encode_store_state(state);
  ASHLAR_CO_TRY_ASSIGN(
      const std::unique_ptr<SlotFile> superblock,
      co_await SlotFile::format(std::move(superblock_file), kSuperblockFormat, body));
  ASHLAR_CO_TRY(co_await files.sync_directory(options.directory));
  ASHLAR_CO_TRY(co_await files.rename(in(options, "superblock.new"), in(options, "superblock")));
  co_return co_await sync_names(files, options);
}

Task<Result<Store::Files>> Store::open_files(Runtime runtime, StoreOptions options) {
  FileSystem& fs = runtime.files;
  Result<std::unique_ptr<File>> superblock =
      co_await fs.open(in(options, "superblock"), OpenMode::kExisting);
  if (!superblock.ok()) {
    if (superblock.error().code() != ErrorCode::kNotFound) co_return superblock.error();
    co_return Error::not_found("{} is not a store", options.directory);
  }
  Files files;
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<File> owner_file,
                       co_await fs.open(in(options, "owner"), OpenMode::kExisting));
  if (const Result<> locked = co_await owner_file->lock(); !locked.ok()) {
    co_return locked.error().with_context(
        fmt::format("{} is open in another process", options.directory));
  }
  ASHLAR_CO_TRY_ASSIGN(files.owner, co_await SlotFile::open(std::move(owner_file), kOwnerFormat));
  ASHLAR_CO_TRY_ASSIGN(const OwnerRecord owner, decode_owner_record(files.owner->body()));
  ASHLAR_CO_TRY_ASSIGN(files.superblock,
                       co_await SlotFile::open(std::move(*superblock), kSuperblockFormat));
  ASHLAR_CO_TRY_ASSIGN(files.state, decode_store_state(files.superblock->body()));
  const bool is_ours = owner.server == options.server && files.state.server == options.server;
  if (!is_ours && !options.take_over) {
    co_return Error::failed_precondition(
        "{} belongs to server {}, this is server {}: it takes an explicit takeover to open it",
        options.directory, files.state.server, options.server);
  }
  ASHLAR_CO_TRY_ASSIGN(files.log, co_await fs.open(in(options, "log"), OpenMode::kExisting));
  ASHLAR_CO_TRY_ASSIGN(const ByteCount size, co_await files.log->size());
  if (size != files.state.log_capacity) {
    co_return Error::data_loss("the log of {} has {} bytes, the superblock says {}",
                               options.directory, size.value(), files.state.log_capacity.value());
  }
  // Only now is anything written.
  ASHLAR_CO_TRY(co_await sync_names(fs, options));
  ASHLAR_CO_TRY(
      co_await files.owner->store(encode_owner_record({options.server, owner.incarnation + 1})));
  if (!is_ours) {
    files.state.server = options.server;
    ASHLAR_CO_TRY(co_await files.superblock->store(encode_store_state(files.state)));
  }
  co_return files;
}

Store::Store(Runtime runtime, BufferPool& pool, StoreOptions options, MetricRegistry* registry,
             Files files)
    : runtime_(runtime),
      options_(std::move(options)),
      files_(std::move(files)),
      state_(files_.state),
      cache_(pool, options_.map_memory),
      layers_(runtime.files, cache_, in(options_, "layers")),
      space_(runtime.files, runtime.clock, options_.directory, options_.space_reserve),
      metrics_(registry, {{"store", state_.store.to_string()}}),
      shared_{.clock = runtime.clock,
              .pool = pool,
              .layers = layers_,
              .metrics = metrics_,
              .options = options_,
              .space = space_,
              .ring = LogRing(state_.log_capacity),
              .log_file = *files_.log},
      log_scope_(runtime.executor),
      work_scope_(runtime.executor) {}

Store::~Store() {
  ASHLAR_CHECK(!is_open_ || runtime_.executor.abandoned(), "a store must be closed");
}

Task<Result<std::unique_ptr<Store>>> Store::open(Runtime runtime, BufferPool& pool,
                                                 StoreOptions options, MetricRegistry* registry) {
  const MonoTime begin = runtime.clock.now();
  ASHLAR_CO_TRY_ASSIGN(Files files, co_await open_files(runtime, options));
  std::unique_ptr<Store> store(
      new Store(runtime, pool, std::move(options), registry, std::move(files)));
  pool.keep_idle(store->options_.payload_memory);
  ASHLAR_CO_TRY(co_await store->space_.refresh());
  ASHLAR_CO_TRY(co_await store->open_replicas());
  ASHLAR_CO_TRY(co_await store->recover());
  store->start();
  store->metrics_.recovery_seconds.observe(runtime.clock.now() - begin);
  co_return store;
}

Task<Result<>> Store::open_replicas() {
  ASHLAR_CO_TRY_ASSIGN(const std::vector<DirectoryEntry> entries,
                       co_await runtime_.files.list(replica_directory()));
  std::vector<std::string> unfinished;
  std::vector<std::string> deleting;
  for (const DirectoryEntry& entry : entries) {
    if (entry.name.ends_with(kNewSuffix)) {
      unfinished.push_back(entry.name);
    } else if (entry.name.ends_with(kDeletingSuffix)) {
      deleting.push_back(entry.name);
    } else {
      ASHLAR_CO_TRY(co_await open_replica(entry.name));
    }
  }
  for (const std::string& name : unfinished) ASHLAR_CO_TRY(co_await remove_unfinished(name));
  for (const std::string& name : deleting) {
    const Result<> finished = co_await finish_deletion(name);
    if (!finished.ok()) unreadable_.push_back({name, finished.error()});
  }
  co_return Result<>();
}

// A replica that never had its name, so nobody was told of it, and its first layer. One that has
// its name keeps it: an attempt to make it once more was not finished.
Task<Result<>> Store::remove_unfinished(std::string name) {
  const Result<ReplicaUuid> uuid =
      ReplicaUuid::parse(std::string_view(name).substr(0, name.size() - kNewSuffix.size()));
  if (layers_.keeps_all()) co_return Result<>();
  if (uuid.ok() && layers_.may_remove({*uuid, 0})) {
    ASHLAR_CO_TRY(co_await layers_.remove({*uuid, 0}));
  }
  co_return co_await runtime_.files.remove(replica_directory() + "/" + name);
}

Task<Result<>> Store::open_replica(std::string name) {
  Result<std::unique_ptr<Replica>> replica =
      co_await Replica::open(shared_, replica_directory() + "/" + name);
  std::optional<Error> error;
  if (!replica.ok()) {
    error = replica.error();
  } else if ((*replica)->uuid().to_string() != name) {
    error = Error::data_loss("it holds the state of replica {}", (*replica)->uuid());
  }
  if (error) {
    ASHLAR_LOG_ERROR("replica {} cannot be opened and is left as it is: {}", name,
                     error->message());
    // Whatever it refers to must stay.
    layers_.keep_all();
    unreadable_.push_back({std::move(name), *error});
    co_return Result<>();
  }
  const ReplicaUuid uuid = (*replica)->uuid();
  replicas_.emplace(uuid, std::move(*replica));
  co_return Result<>();
}

Task<Result<>> Store::recover() {
  const LogReader::VolumeOf volume_of =
      [this](const ReplicaUuid& uuid) -> std::optional<VolumeUuid> {
    const auto found = replicas_.find(uuid);
    if (found == replicas_.end()) return std::nullopt;
    return found->second->volume();
  };
  const LogReader::Deliver deliver = [this](const RecoveredRecord& record) -> Result<> {
    const auto found = replicas_.find(record.header.replica);
    if (found != replicas_.end()) return found->second->recover(record);
    const std::string name = record.header.replica.to_string();
    const bool unreadable =
        std::any_of(unreadable_.begin(), unreadable_.end(),
                    [&](const UnreadableReplica& one) { return one.name == name; });
    if (unreadable) unreadable_floors_.emplace(record.header.replica, record.payload);
    return {};
  };
  LogReader reader(*files_.log, {.store = state_.store, .capacity = state_.log_capacity});
  ASHLAR_CO_TRY_ASSIGN(recovery_, co_await reader.recover(state_.log, volume_of, deliver));
  for (const auto& [uuid, replica] : replicas_) {
    ASHLAR_CO_TRY(co_await replica->finish_recovery());
    if (recovery_.verdict != LogVerdict::kDamage) continue;
    ASHLAR_CO_TRY(
        co_await replica->condemn(Error::data_loss("the log breaks at {}, it was durable up to {}",
                                                   recovery_.chain.end, recovery_.durable_bound)));
  }
  const LogPosition tail = state_.log.chain.end;
  ASHLAR_CO_TRY(co_await store_checkpoint(recovery_.checkpoint_of(state_.log.chain)));
  shared_.tail = state_.log.chain;
  shared_.log =
      std::make_unique<LogWriter>(runtime_.clock, *files_.log,
                                  LogWriterOptions{.store = state_.store,
                                                   .capacity = state_.log_capacity,
                                                   .reserve = shared_.log_reserve(),
                                                   .seal_delay = options_.seal_delay,
                                                   .batches_in_flight = options_.batches_in_flight,
                                                   .metrics = &metrics_,
                                                   .bug = options_.bug},
                                  recovery_.start_of(tail));
  co_return Result<>();
}

Task<Result<>> Store::store_checkpoint(LogCheckpoint checkpoint) {
  StoreState next = state_;
  next.log = checkpoint;
  ASHLAR_CO_TRY(co_await files_.superblock->store(encode_store_state(next)));
  state_ = next;
  co_return Result<>();
}

void Store::start() {
  is_open_ = true;
  log_scope_.spawn(run_log());
  work_scope_.spawn(flush_loop());
  work_scope_.spawn(merge_loop());
}

Task<Result<>> Store::run_log() {
  const Result<> ended = co_await shared_.log->run();
  if (ended.ok()) co_return Result<>();
  for (const auto& [uuid, replica] : replicas_) replica->fail(FaultCause::kLogWrite, ended.error());
  co_return Result<>();
}

Task<Result<>> Store::close() {
  ASHLAR_CHECK(is_open_);
  work_scope_.cancel();
  (void)co_await work_scope_.join();
  Result<> outcome = co_await checkpoint();
  shared_.log->close();
  (void)co_await log_scope_.join();
  is_open_ = false;
  if (outcome.ok() && shared_.log->failure()) outcome = *shared_.log->failure();
  replicas_.clear();
  co_return outcome;
}

// --- replicas ------------------------------------------------------------------------------------

std::string Store::replica_path(const ReplicaUuid& uuid) const {
  return fmt::format("{}/{}", replica_directory(), uuid);
}

Replica* Store::find(ReplicaUuid uuid) {
  const auto found = replicas_.find(uuid);
  return found == replicas_.end() ? nullptr : found->second.get();
}

std::vector<Replica*> Store::replicas() {
  std::vector<Replica*> all;
  all.reserve(replicas_.size());
  for (const auto& [uuid, replica] : replicas_) all.push_back(replica.get());
  return all;
}

Task<Result<Replica*>> Store::create_replica(ReplicaSpec spec) {
  const Result<Mutex::Guard> guard = co_await names_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  ASHLAR_CO_TRY(check_new(spec));
  ReplicaState state{.replica = spec.replica,
                     .volume = spec.volume,
                     .size_blocks = spec.size_blocks,
                     .next_layer = 1};
  state.layers.push_back({.id = {spec.replica, 0}, .volume = spec.volume});
  ASHLAR_CO_TRY_ASSIGN(
      std::unique_ptr<Replica> replica,
      co_await Replica::create(shared_, replica_path(spec.replica), std::move(state)));
  Replica* made = replica.get();
  replicas_.emplace(spec.replica, std::move(replica));
  co_return made;
}

Task<Result<Replica*>> Store::clone_replica(Replica& parent, SnapshotUuid snapshot,
                                            ReplicaSpec spec) {
  // It may take long: nobody else's creation or deletion should wait for it.
  ASHLAR_CO_TRY(co_await parent.materialize(snapshot));
  const Result<Mutex::Guard> guard = co_await names_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  spec.size_blocks = parent.size_blocks();
  ASHLAR_CO_TRY(check_new(spec));
  ASHLAR_CO_TRY_ASSIGN(
      std::unique_ptr<Replica> replica,
      co_await parent.clone(snapshot, replica_path(spec.replica), spec.replica, spec.volume));
  Replica* made = replica.get();
  replicas_.emplace(spec.replica, std::move(replica));
  co_return made;
}

Result<> Store::check_new(const ReplicaSpec& spec) const {
  if (spec.replica.is_nil() || spec.volume.is_nil()) {
    return Error::invalid_argument("a replica needs a uuid and its volume's uuid");
  }
  if (spec.size_blocks == 0 || spec.size_blocks > kLargestVolumeBlocks) {
    return Error::invalid_argument("a volume of {} blocks: 1 to {} are possible", spec.size_blocks,
                                   kLargestVolumeBlocks);
  }
  const std::string name = spec.replica.to_string();
  const bool unreadable =
      std::any_of(unreadable_.begin(), unreadable_.end(),
                  [&](const UnreadableReplica& one) { return one.name.starts_with(name); });
  // Layers of one that was deleted may live on below a clone.
  const bool deleting = deleting_.contains(name + std::string(kDeletingSuffix));
  if (replicas_.contains(spec.replica) || unreadable || deleting) {
    return Error::already_exists("replica {} is in {} already", spec.replica, options_.directory);
  }
  return {};
}

Task<Result<>> Store::delete_replica(ReplicaUuid uuid) {
  const Result<Mutex::Guard> guard = co_await names_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  const auto found = replicas_.find(uuid);
  if (found == replicas_.end()) {
    co_return Error::not_found("there is no replica {} in {}", uuid, options_.directory);
  }
  // Out of the flusher's sight first.
  leaving_ = std::move(found->second);
  replicas_.erase(found);
  const Result<> left = co_await take_name(*leaving_);
  if (!left.ok()) {
    replicas_.emplace(uuid, std::move(leaving_));
    co_return left;
  }
  leaving_.reset();
  stranded_.erase(uuid);
  // Appends may wait for the space in the log that it held.
  shared_.dirty.set();
  shared_.urgent.set();
  ASHLAR_CO_TRY(co_await finish_deletion(uuid.to_string() + std::string(kDeletingSuffix)));
  // Layers it shared may have been waited for by those who made them.
  shared_.merge_wanted.set();
  co_return co_await finish_other_deletions();
}

// The name says that it is deleted, for good, when it resolves; else it has the one that it had, as
// far as the file system lets us.
Task<Result<>> Store::take_name(Replica& replica) {
  ASHLAR_CO_TRY(co_await replica.quiesce());
  const std::string path = replica_path(replica.uuid());
  const std::string deleting = path + std::string(kDeletingSuffix);
  ASHLAR_CO_TRY(co_await runtime_.files.rename(path, deleting));
  if (shared_.has(PlantedBug::kDeletionNotSynced)) co_return Result<>();
  const Result<> synced = co_await runtime_.files.sync_directory(replica_directory());
  if (!synced.ok()) (void)co_await runtime_.files.rename(deleting, path);
  co_return synced;
}

// Removes the layers that a deleted replica made, and then its state; what a clone still needs
// stays, and the state with it.
Task<Result<>> Store::finish_deletion(std::string name) {
  const std::string path = replica_directory() + "/" + name;
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<File> file,
                       co_await runtime_.files.open(path, OpenMode::kExisting));
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<SlotFile> slots,
                       co_await SlotFile::open(std::move(file), kReplicaFormat));
  ASHLAR_CO_TRY_ASSIGN(const ReplicaState state, decode_replica_state(slots->body()));
  std::vector<LayerId> own;
  for (const LayerState& layer : state.layers) {
    if (layer.id.creator == state.replica) own.push_back(layer.id);
  }
  for (const std::uint64_t number : state.dropped) own.push_back({state.replica, number});
  // One that was begun when the process died.
  own.push_back({state.replica, state.next_layer});
  bool all = true;
  for (const LayerId& id : own) {
    if (!layers_.may_remove(id)) {
      all = false;
    } else {
      ASHLAR_CO_TRY(co_await layers_.remove(id));
    }
  }
  if (!all) {
    deleting_.insert(name);
    co_return Result<>();
  }
  deleting_.erase(name);
  ASHLAR_CO_TRY(co_await runtime_.files.remove(path));
  co_return co_await runtime_.files.sync_directory(replica_directory());
}

Task<Result<>> Store::finish_other_deletions() {
  for (const std::string& name : std::set<std::string>(deleting_)) {
    ASHLAR_CO_TRY(co_await finish_deletion(name));
  }
  co_return Result<>();
}

// --- background ----------------------------------------------------------------------------------

Task<Result<>> Store::flush_loop() {
  while (true) {
    ASHLAR_CO_TRY(co_await wait_for_work());
    const Result<bool> flushed = co_await flush_round();
    if (!flushed.ok()) co_return flushed.error();
    if (*flushed) continue;
    // The disk is full. What was accepted is in the log; it is tried again.
    ASHLAR_CO_TRY(co_await sleep_for(runtime_.clock, kSpaceRetry));
    // Not knowing is no reason to stop flushing for good.
    (void)co_await space_.refresh();
    shared_.dirty.set();
    shared_.urgent.set();
  }
}

Task<Result<>> Store::wait_for_work() {
  const Result<> soon =
      co_await with_timeout(runtime_.clock, kPoolPatience, wait_for(shared_.dirty));
  if (!soon.ok()) {
    if (soon.error().code() != ErrorCode::kDeadlineExceeded) co_return soon;
    shared_.pool.trim();
    ASHLAR_CO_TRY(co_await shared_.dirty.wait());
  }
  const Result<> urgent =
      co_await with_timeout(runtime_.clock, options_.flush_delay, wait_for(shared_.urgent));
  if (!urgent.ok() && urgent.error().code() != ErrorCode::kDeadlineExceeded) co_return urgent;
  shared_.dirty.reset();
  shared_.urgent.reset();
  co_return Result<>();
}

// One pass over every replica that has something to flush, then the checkpoint. False when there
// was no space. A replica's own trouble is its own: the others go on.
Task<Result<bool>> Store::flush_round() {
  ASHLAR_CO_TRY(co_await sync_buffered());
  bool has_space = true;
  for (Replica* replica : replicas()) {
    // It may have been deleted while others were flushed.
    if (find_pointer(replica) == nullptr || !replica->has_work()) continue;
    const Replica::Use use(*replica);
    const Result<> passed = co_await replica->flush_pass();
    if (passed.ok()) continue;
    if (passed.error().code() == ErrorCode::kCancelled) co_return passed.error();
    if (passed.error().code() == ErrorCode::kResourceExhausted) has_space = false;
  }
  ASHLAR_CO_TRY(co_await advance_tail());
  ASHLAR_CO_TRY(co_await free_tail());
  (void)co_await space_.refresh();
  metrics_.log_fill.set(shared_.log->fill_ratio());
  metrics_.payload_bytes.set(shared_.payload_bytes);
  const MapCacheStatistics maps = cache_.statistics();
  metrics_.map_hits.add(maps.hits - metrics_.map_hits.value());
  metrics_.map_misses.add(maps.misses - metrics_.map_misses.value());
  // A pass ends at a snapshot: the rest is next.
  for (Replica* replica : replicas()) {
    if (replica->has_work()) shared_.dirty.set();
  }
  co_return has_space;
}

// Buffered records become durable, and may be flushed, at the latest now.
Task<Result<>> Store::sync_buffered() {
  if (shared_.log->failure()) co_return Result<>();
  struct Written {
    ReplicaUuid replica;
    Lsn lsn;
    std::optional<Epoch> epoch;
  };
  std::vector<Written> written;
  for (Replica* replica : replicas()) {
    if (!replica->fault() && replica->durable_lsn() < replica->written_lsn()) {
      const Lsn lsn = replica->written_lsn();
      written.push_back({replica->uuid(), lsn, replica->epoch_of(lsn)});
    }
  }
  if (written.empty()) co_return Result<>();
  const Result<> synced = co_await shared_.log->sync();
  if (!synced.ok()) co_return Result<>();  // the log's own failure tells the replicas
  for (const auto& [uuid, lsn, epoch] : written) {
    if (Replica* replica = find(uuid); replica != nullptr) replica->note_durable(lsn, epoch);
  }
  co_return Result<>();
}

Task<Result<>> Store::advance_tail() {
  const Result<Mutex::Guard> guard = co_await checkpoint_lock_.lock();
  if (!guard.ok()) co_return guard.error();
  LogWriter& log = *shared_.log;
  if (log.failure()) co_return Result<>();
  // What is not written yet has no position; it comes behind this.
  LogPosition needed = log.durable_end();
  for (const auto& [uuid, floor] : unreadable_floors_) needed = std::min(needed, floor);
  const auto keep = [&needed](const Replica& replica) {
    const std::optional<LogPosition> oldest = replica.oldest_position();
    if (oldest) needed = std::min(needed, *oldest);
  };
  for (const auto& [uuid, replica] : replicas_) keep(*replica);
  if (leaving_ != nullptr) keep(*leaving_);
  if (shared_.has(PlantedBug::kCheckpointAtMaximum)) needed = log.durable_end();
  const std::optional<ChainPoint> point = log.checkpoint_at(needed);
  if (!point || point->end <= state_.log.chain.end) co_return Result<>();
  LogCheckpoint checkpoint = state_.log;
  checkpoint.chain = *point;
  checkpoint.durable_bound = log.durable_end();
  if (shared_.has(PlantedBug::kReleaseBeforeCheckpoint)) {
    log.release_up_to(point->end);
    ASHLAR_CO_TRY(co_await sleep_for(runtime_.clock, 1ms));
  }
  const Result<> stored = co_await store_checkpoint(checkpoint);
  if (!stored.ok()) {
    // The log cannot reuse anything any more; it fills, and its writers learn why.
    for (const auto& [uuid, replica] : replicas_) {
      replica->fail(FaultCause::kStateWrite, stored.error().with_context("the superblock"));
    }
    co_return Result<>();
  }
  shared_.tail = *point;
  log.release_up_to(point->end);
  co_return Result<>();
}

// Records of volumes that stand still are appended again when they hold the tail of a log that is
// half full.
Task<Result<>> Store::free_tail() {
  constexpr int kMostSteps = 16;
  bool moved = true;
  for (int i = 0; i < kMostSteps && moved; ++i) {
    if (shared_.log->failure() || shared_.fill() < 0.5) co_return Result<>();
    ASHLAR_CO_TRY_ASSIGN(moved, co_await move_oldest());
    if (moved) ASHLAR_CO_TRY(co_await advance_tail());
  }
  co_return Result<>();
}

// A small step: what is appended again has to fit into the log's reserve until the tail has moved.
// Nothing when a replica that can flush holds the tail itself: copies would not free anything.
Task<Result<bool>> Store::move_oldest() {
  std::optional<LogPosition> first;
  std::optional<ReplicaUuid> stranded;
  Replica* holder = nullptr;
  for (const auto& [uuid, replica] : replicas_) {
    const std::optional<LogPosition> oldest = replica->oldest_position();
    if (!oldest || (first && *first <= *oldest)) continue;
    first = oldest;
    holder = replica.get();
  }
  if (holder != nullptr && holder->fault()) stranded = holder->uuid();
  for (const auto& [uuid, floor] : unreadable_floors_) {
    if (first && *first <= floor) continue;
    first = floor;
    stranded = uuid;
  }
  if (!first || *first >= shared_.log->tail() + shared_.ring.capacity() / 4) co_return false;
  if (stranded) co_return co_await move_stranded(*stranded);
  if (!holder->can_move_pending()) co_return false;
  const LogPosition before = *first + shared_.ring.capacity() / 64;
  bool any = false;
  for (Replica* replica : replicas()) {
    const bool moves = find_pointer(replica) != nullptr && !replica->fault();
    if (!moves || !replica->can_move_pending()) continue;
    const std::optional<LogPosition> oldest = replica->oldest_position();
    if (!oldest || *oldest >= before) continue;
    const Replica::Use use(*replica);
    const Result<> moved = co_await replica->move_pending(before);
    if (!moved.ok() && moved.error().code() == ErrorCode::kCancelled) co_return moved.error();
    any = any || moved.ok();
  }
  co_return any;
}

// Records of a replica that nobody flushes until the store is opened again. When they take up most
// of the log there is no use in moving them: it stands still then.
Task<Result<bool>> Store::move_stranded(ReplicaUuid uuid) {
  Replica* const replica = find(uuid);
  std::optional<Replica::Use> use;
  if (replica != nullptr) use.emplace(*replica);
  ASHLAR_CO_TRY(co_await shared_.log->settle());
  if (shared_.log->failure()) co_return false;
  const std::optional<VolumeUuid> volume =
      replica == nullptr ? std::nullopt : std::optional(replica->volume());
  StrandedRecords& records = stranded_.try_emplace(uuid, uuid, volume).first->second;
  const Lsn flushed = replica == nullptr ? Lsn() : replica->state().flushed;
  const std::uint64_t capacity = shared_.ring.capacity();
  Result<> outcome = co_await records.find(shared_, state_.log, flushed);
  if (outcome.ok() && records.payload_bytes().value() > capacity / 2) {
    outcome = Error::resource_exhausted("they take up {} bytes of a log of {}",
                                        records.payload_bytes().value(), capacity);
  }
  const LogPosition begin = shared_.log->tail();
  bool any = false;
  std::optional<LogPosition> lowest_copy;
  while (outcome.ok() && records.first() && *records.first() < begin + capacity / 4) {
    const LogPosition before = *records.first() + capacity / 64;
    const Result<std::vector<StrandedRecords::Moved>> moved =
        co_await records.move_before(shared_, before);
    if (!moved.ok()) {
      outcome = moved.error();
      break;
    }
    for (const StrandedRecords::Moved& one : *moved) {
      lowest_copy = std::min(one.place, lowest_copy.value_or(one.place));
    }
    any = true;
    const LogPosition floor = records.first().value_or(*lowest_copy);
    if (replica != nullptr) {
      replica->keep_log_from(floor);
    } else {
      unreadable_floors_[uuid] = floor;
    }
    ASHLAR_CO_TRY(co_await advance_tail());
  }
  if (outcome.ok()) co_return any;
  if (outcome.error().code() == ErrorCode::kCancelled) co_return outcome.error();
  ASHLAR_LOG_WARN_EVERY(10s, LogFields{}.with("replica", uuid),
                        "the log keeps the records of a replica that is not in use: {}",
                        outcome.error().message());
  co_return false;
}

Task<Result<>> Store::checkpoint() {
  ASHLAR_CO_TRY(co_await sync_buffered());
  Result<> outcome;
  for (Replica* replica : replicas()) {
    // It may have been deleted while others were flushed, and must not be while it is.
    if (find_pointer(replica) == nullptr || replica->fault()) continue;
    const Replica::Use use(*replica);
    const Result<> flushed = co_await replica->flush_all();
    if (!flushed.ok()) outcome = flushed;
  }
  ASHLAR_CO_TRY(co_await advance_tail());
  co_return outcome;
}

Task<Result<>> Store::merge_loop() {
  shared_.merge_wanted.set();
  while (true) {
    ASHLAR_CO_TRY(co_await shared_.merge_wanted.wait());
    shared_.merge_wanted.reset();
    bool more = true;
    while (more) {
      ASHLAR_CO_TRY_ASSIGN(more, co_await merge_round());
      co_await yield();
    }
  }
}

Task<Result<bool>> Store::merge_round() {
  bool more = false;
  for (Replica* replica : replicas()) {
    if (find_pointer(replica) == nullptr) continue;
    const Replica::Use use(*replica);
    const Result<bool> step = co_await replica->merge_step();
    if (step.ok()) {
      more = more || *step;
    } else if (step.error().code() == ErrorCode::kCancelled) {
      co_return step.error();
    } else {
      // Without space, or with a fault of its own: somebody else may go on, this one later.
      ASHLAR_LOG_WARN_EVERY(10s, LogFields{}.with("replica", replica->uuid()),
                            "a merge of layers has to wait: {}", step.error().message());
    }
  }
  co_return more;
}

Replica* Store::find_pointer(const Replica* replica) {
  for (const auto& [uuid, one] : replicas_) {
    if (one.get() == replica) return one.get();
  }
  return nullptr;
}

}  // namespace ashlar::engine
