// Replica: one copy of one volume in a store.
//
// Appending. Every change is a record of the store's log. append() gives it its LSN, its place and
// its entry in the index in one step (L6); then it is awaited:
//   written      in the log's file
//   durable      on stable media
//   committed    set_commit() has reached it: it may be acknowledged and read
// Which of them is right, the caller says: replication gives commit and stable LSN from outside
// (CommitRule::kGiven); a single copy commits by itself when its record is durable or written.
//
// Reading. The newest record of each block when read() was called, else the layers, else zeros;
// checksums are compared on the way out. A read that meets an uncommitted record waits for its
// commit, and one behind a revert until the flusher has passed it. A mismatch is looked up again,
// at last with the flusher held; then it is damage: the repair hook is asked for good bytes, which
// are written back; without them the read fails with kDataLoss and the replica remembers that it
// needs repair (P4).
//
// Flushing. flush_pass() moves what is <= the stable LSN to the layers: bytes, map, sync, state,
// and only then forgets it here (L7). The state's `flushed` is a contiguous watermark. A snapshot
// or revert is a point that a pass ends at: what is before it goes to the old head layer, then the
// new head begins.
//
// Tails. truncate_after() drops records that were never stable, durably, before it resolves.
//
// Faults are sticky (fault.h). Lack of space is none: the pass fails, and is tried again.
//
// Locks: `flush_lock_` is held by whoever changes layers (a pass, a merge, a repair); `state_lock_`
// by whoever stores the state. In this order.
//
// Belongs to its store's executor.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/result.h"
#include "common/runtime/sync.h"
#include "common/runtime/task.h"
#include "engine/block_checksum.h"
#include "engine/fault.h"
#include "engine/flush_pass.h"
#include "engine/interval_index.h"
#include "engine/layer.h"
#include "engine/log_reader.h"
#include "engine/log_scan.h"
#include "engine/log_writer.h"
#include "engine/lsn_watermark.h"
#include "engine/ring_queue.h"
#include "engine/slot_file.h"
#include "engine/store_format.h"
#include "engine/store_shared.h"

namespace ashlar::engine {

enum class CommitRule : std::uint8_t {
  kGiven,    // by set_commit() and set_stable(); records are durable when written
  kDurable,  // a single copy: committed and stable when durable
  kWritten,  // a single copy: committed when written; stable when durable, which is after flush(),
             // or at the latest when the flusher comes to it
};

// Good bytes for damaged blocks, from a peer. The answer holds them all or is an error; they are
// compared with the checksum that this replica still has, where it has one. Reads of these blocks
// wait for the answer: its owner bounds how long, and a peer that is asked must not ask back.
class RepairSource {
 public:
  virtual Task<Result<Buffer>> fetch(VolumeUuid volume, BlockRange blocks, Lsn at_most) = 0;

 protected:
  ~RepairSource() = default;
};

// Changes bytes of a volume between a read and a write that nothing comes between.
class Modifier {
 public:
  // Sees the newest bytes of the range and changes them. False: they stay as they are. Called once.
  virtual bool modify(MutableByteSpan bytes) = 0;

 protected:
  ~Modifier() = default;
};

// What a modifier gets to see of blocks that its range covers whole.
enum class OldBytes : std::uint8_t {
  kNeeded,
  kReplaced,  // nothing that means anything: it sets every byte
};

// A run of blocks that are alike.
struct ProvisionedBlocks {
  std::uint64_t count = 0;
  bool is_mapped = false;  // else they read as zeros and take no space
};

struct SnapshotStatus {
  SnapshotUuid uuid;
  Lsn lsn;
  WallTime created;
  bool materialized = false;  // readable without a flush
};

struct ReplicaStatus {
  ReplicaUuid replica;
  VolumeUuid volume;
  std::uint64_t size_blocks = 0;
  Epoch promised;
  Epoch last_epoch;
  Lsn last;
  Lsn written;
  Lsn durable;
  Lsn committed;
  Lsn stable;
  Lsn flushed;
  bool candidate = true;
  bool repair_needed = false;
  std::optional<Fault> fault;
  ByteCount unflushed;  // payload in memory
  std::uint64_t unflushed_records = 0;
  std::uint64_t layers = 0;
  std::uint64_t snapshots = 0;
};

// Of a chunk as one view of the volume shows it.
struct ChunkView {
  ChunkIndex chunk;
  Lsn last_lsn;
  std::array<BlockInfo, kBlocksPerChunk> blocks;  // kAbsent: zeros
};

class Replica final : public RecordSequence {
 public:
  ~Replica();

  const ReplicaUuid& uuid() const { return state_.replica; }
  const VolumeUuid& volume() const { return state_.volume; }
  std::uint64_t size_blocks() const { return size_blocks_; }
  const std::optional<Fault>& fault() const { return fault_; }
  ReplicaStatus status() const;

  // --- changes; each resolves when it is committed
  // ------------------------------------------------

  // `checksums` are BlockChecksum's, one per block; the payload is not changed until the record is
  // flushed. At most kLargestRecordPayload.
  Task<Result<Lsn>> write(BlockRange blocks, Buffer payload,
                          std::span<const std::uint32_t> checksums);
  // Of one write, modify or read: what a record of this store's log can hold.
  std::uint64_t largest_transfer_blocks() const;
  // Reads whole sectors (512 bytes), lets the modifier change them, and writes the blocks that they
  // lie in: no record that touches these blocks gets its place in between. Nothing when the
  // modifier did not want it, as soon as what it saw is committed. kAborted when that was dropped
  // with a tail.
  Task<Result<std::optional<Lsn>>> modify(std::uint64_t offset, std::uint64_t length,
                                          Modifier& modifier, OldBytes old = OldBytes::kNeeded);
  // Any multiple of 512 bytes at any: blocks that it covers in part are read and written whole, in
  // the order of the appends.
  Task<Result<Lsn>> write_bytes(std::uint64_t offset, ByteSpan bytes);
  Task<Result<Lsn>> discard(BlockRange blocks);
  Task<Result<Lsn>> write_zeroes(BlockRange blocks);
  // Grows only.
  Task<Result<Lsn>> resize(std::uint64_t size_blocks);
  Task<Result<Lsn>> set_reservations(ByteSpan state);
  Task<Result<Lsn>> snapshot(SnapshotUuid uuid, WallTime created);
  Task<Result<Lsn>> delete_snapshot(SnapshotUuid uuid);
  // The volume's contents become those of the snapshot, by a record forward in time (L9).
  Task<Result<Lsn>> revert(SnapshotUuid uuid);
  Task<Result<Lsn>> start_epoch(Epoch epoch);

  // Everything appended before the call is durable when it resolves.
  Task<Result<>> flush();

  // --- records, for replication
  // -------------------------------------------------------------------

  // Resolves as soon as the record has its place. header.lsn 0 is the next one; an LSN that is
  // given must be it. `checksums` outlives the await.
  Task<Result<Lsn>> append(RecordHeader header, std::span<const std::uint32_t> checksums,
                           Buffer payload);
  LsnWatermark::WaitAwaiter written(Lsn lsn) { return written_.wait(lsn); }
  LsnWatermark::WaitAwaiter committed(Lsn lsn) { return committed_.wait(lsn); }
  LsnWatermark::WaitAwaiter stable(Lsn lsn) { return stable_.wait(lsn); }
  Task<Result<>> durable(Lsn lsn);

  void set_commit_rule(CommitRule rule);
  // Only forward; commit <= last, stable <= commit and <= durable (checked).
  void set_commit(Lsn lsn);
  void set_stable(Lsn lsn);

  Lsn last() const { return last_lsn; }
  Epoch epoch_of_last() const { return last_epoch; }
  Lsn written_lsn() const { return written_.value(); }
  Lsn durable_lsn() const { return durable_.value(); }
  Lsn committed_lsn() const { return committed_.value(); }
  Lsn stable_lsn() const { return stable_.value(); }
  // Oldest first.
  const std::vector<EpochStart>& epochs() const { return epochs_; }
  // Nothing for an LSN before the oldest epoch that is remembered, or behind the last.
  std::optional<Epoch> epoch_of(Lsn lsn) const;

  // Reads its records in (after, up_to] out of the log again; nothing of the log that it needs is
  // reused while the scan lives. The replica outlives it.
  Result<std::unique_ptr<LogScan>> scan(Lsn after, Lsn up_to);

  // Drops all records > kept, by the word of `epoch`, which is above theirs: an LSN and an epoch
  // name one record for ever. `kept` is not below the stable LSN, and no
  // append may be waiting. Durable when it resolves.
  Task<Result<>> truncate_after(Epoch epoch, Lsn kept);

  // Durable when it resolves. Never back.
  Task<Result<>> promise(Epoch epoch);
  Epoch promised() const { return state_.promised; }

  // The server's own words about this replica (its volume's config).
  ByteSpan attachment() const { return state_.attachment; }
  Task<Result<>> set_attachment(ByteSpan bytes);
  // Of the last record of that kind, committed or not.
  ByteSpan reservations() const;

  // --- reading
  // ------------------------------------------------------------------------------------

  // The bytes of the range, at most kLargestRecordPayload; shared with the record where one holds
  // them all, so they must not be changed.
  Task<Result<Buffer>> read(BlockRange blocks);
  // What the first block of the range is, and how far it goes on alike; a run may be cut short so
  // that one call does a bounded amount of work.
  Task<Result<ProvisionedBlocks>> provisioning(BlockRange blocks);
  // As the volume was at the snapshot. Waits until the flusher has reached it.
  Task<Result<Buffer>> read_snapshot(SnapshotUuid uuid, BlockRange blocks);
  // Resolves when it has.
  Task<Result<>> materialize(SnapshotUuid uuid);
  std::vector<SnapshotStatus> snapshots() const;

  // What the store could still take, for all its volumes; asks the file system unless it was asked
  // a moment ago. The second is what is known without asking.
  Task<Result<ByteCount>> available_space();
  ByteCount known_space() const;

  void set_repair_source(RepairSource* source) { repair_source_ = source; }

  // --- the layers: export, resync, scrub
  // ----------------------------------------------------------

  // The first chunk at or behind `from`, in a snapshot or (nothing given) in what is flushed, that
  // was changed by a record > since.
  Task<Result<std::optional<ChunkView>>> next_changed(std::optional<SnapshotUuid> at, Lsn since,
                                                      ChunkIndex from);

  // Reads blocks of the layers of this replica, from `cursor` on, at most `budget` bytes, and
  // compares them. Returns what did not match (after repair: what is still bad) and moves the
  // cursor; at the end it is back at the start.
  struct ScrubCursor {
    std::size_t layer = 0;
    ChunkIndex chunk;
    bool at_end = false;
  };
  struct ScrubVerdict {
    LayerId layer;
    BlockIndex block;
    bool repaired = false;
  };
  Task<Result<std::vector<ScrubVerdict>>> scrub(ScrubCursor& cursor, ByteCount budget);

  // Begins to install a copy that is complete up to `base`: marks the replica as no candidate,
  // starts a layer for it over what is here, and lets the stream go on behind `base`. What is here
  // must be flushed or dropped before (checked), and nothing be appended until it resolves.
  Task<Result<>> begin_install(Epoch epoch, Lsn base);
  // Blocks of `view` that no live record has taken are installed; kAbsent ones become zeros.
  // `bytes` holds the present blocks in order. After a restart the installation begins anew: what
  // live discards took is known in memory only.
  Task<Result<>> install_chunk(const ChunkView& view, ByteSpan bytes);
  // The copy is complete: a candidate again. With kReplace the old layers go.
  enum class InstallKind : std::uint8_t { kDelta, kReplace };
  Task<Result<>> finish_install(InstallKind kind);

  // --- for the store
  // ------------------------------------------------------------------------------

  static Task<Result<std::unique_ptr<Replica>>> create(StoreShared& shared, std::string path,
                                                       ReplicaState state);
  static Task<Result<std::unique_ptr<Replica>>> open(StoreShared& shared, std::string path);
  // A new volume whose contents are the snapshot's: it shares the layers below.
  Task<Result<std::unique_ptr<Replica>>> clone(SnapshotUuid snapshot, std::string path,
                                               ReplicaUuid replica, VolumeUuid volume);
  // Held by background work while it is at this replica.
  class Use {
   public:
    explicit Use(Replica& replica) : replica_(replica) { ++replica_.uses_; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() {
      if (--replica_.uses_ == 0) replica_.unused_.set();
    }

   private:
    Replica& replica_;
  };
  // Waits until no background work is at it and nothing of it is on its way to the log, so that it
  // may be destroyed. Nobody may begin anything new.
  Task<Result<>> quiesce();
  // The log has lost something that was acknowledged: durably no candidate.
  Task<Result<>> condemn(const Error& error);

  // Recovery: each record of this replica in the order of the log, then once finish_recovery(). A
  // hole in the history is a fault of the replica, not an error.
  Result<> recover(const RecoveredRecord& record);
  Task<Result<>> finish_recovery();
  bool has_unflushed() const { return state_.flushed < last_lsn; }
  // The log was synced when records up to `lsn`, which is of `epoch`, were written.
  void note_durable(Lsn lsn, std::optional<Epoch> epoch);

  bool has_work() const;
  // Flushes up to the stable LSN or the next snapshot.
  Task<Result<>> flush_pass();
  // Passes until everything <= the stable LSN is in the layers.
  Task<Result<>> flush_all();
  // Where the oldest record stands that the log must keep.
  std::optional<LogPosition> oldest_position() const;
  // Of one that has stepped out, so that it takes no more records: all that it has were appended
  // again by somebody else.
  void keep_log_from(LogPosition position) { frozen_floor_ = position; }
  // False while a pass is under way, or has failed: then the index has forgotten records that
  // others hide, which the log must keep all the same.
  bool can_move_pending() const { return !has_work() && !pass_floor_; }
  // Appends pending records again that stand before `position`.
  Task<Result<>> move_pending(LogPosition position);
  // Lets go of payloads in memory down to `down_to`.
  void drop_payloads(ByteCount down_to);
  ByteCount payload_bytes() const { return index_.payload_bytes(); }

  // One piece of background work on the layers; false when there is none.
  Task<Result<bool>> merge_step();
  const ReplicaState& state() const { return state_; }
  void fail(FaultCause cause, const Error& error);

  // RecordSequence
  void on_placed(const RecordHeader& record, std::span<const std::uint32_t> checksums,
                 std::span<const Buffer> payload) override;
  void on_written(const RecordHeader& record, const LogPlace& place) override;
  void on_failed(const RecordHeader& record, const Error& error) override;

 private:
  using Chain = std::vector<std::shared_ptr<Layer>>;  // newest first
  using ChainRef = std::shared_ptr<const Chain>;

  // A record that changes state, not data; applied to the state when it is flushed.
  struct Control {
    RecordHeader header;
    std::vector<std::byte> payload;
    std::optional<LogPosition> position;
    std::vector<std::uint32_t> checksums;  // until recovery has read the payload
  };
  // A record that is appended again.
  struct Copy {
    RecordHeader header;
    Buffer payload;
    LogPosition position;
    std::vector<std::uint32_t> checksums;
  };
  struct RecoveredLsn {
    Lsn lsn;
    Epoch epoch;
    Epoch previous;
    ByteCount need;
    ByteCount payload;
  };
  struct ReadPiece;

  Replica(StoreShared& shared, std::string path, std::unique_ptr<SlotFile> slots,
          ReplicaState state);

  // replica.cc
  Result<> usable() const;
  Result<> check_range(BlockRange blocks) const;
  Result<> check_append(const RecordHeader& header) const;
  bool admits_at_once(const RecordHeader& header) const;
  Duration delay_of(const RecordHeader& header) const;
  bool holds_too_much() const;
  Task<Result<>> admit(RecordHeader header);
  Task<Result<Lsn>> place(RecordHeader header, std::span<const std::uint32_t> checksums,
                          Buffer payload);
  Task<Result<Lsn>> append_and_commit(RecordHeader header, std::span<const std::uint32_t> checksums,
                                      Buffer payload);
  Task<Result<Lsn>> append_control(RecordType type, ByteSpan payload, std::uint64_t block_count);
  Task<Result<Lsn>> append_snapshot_record(RecordType type, SnapshotPayload payload);
  Task<Result<>> commit_of(Lsn lsn, Epoch epoch);
  Epoch current_epoch() const;
  void insert_record(const RecordHeader& record, std::span<const std::uint32_t> checksums,
                     Buffer payload);
  void note_epoch(Epoch epoch, Lsn lsn);
  void drop_tail(Lsn kept);
  RecordHeader header_of(RecordType type, Lsn lsn, BlockRange blocks) const;
  std::vector<Copy> copies_before(LogPosition position) const;
  struct Moved {
    LogTicket ticket;
    RecordHeader header;
  };
  Task<Result<>> append_copy(Copy& copy, std::vector<Moved>& moved);
  void note_place(const RecordHeader& record, LogPosition position);
  void note_mark(Lsn lsn, const ChainPoint& before);
  void apply_rule();
  void refresh_size();
  void promise_space(Lsn lsn, ByteCount need, ByteCount payload);
  void note_stable_bytes(ByteCount payload);
  void settle_space(Lsn up_to);

  // replica_modify.cc
  struct Modification;
  Result<> check_bytes(std::uint64_t offset, std::uint64_t length) const;
  bool follows_still(BlockRange blocks, Lsn follows, Epoch epoch) const;
  Task<Result<>> read_old(const Modification& modification, MutableByteSpan into);
  Task<Result<>> try_modify(Modification& modification);
  Task<Result<>> modify_alone(Modification& modification);
  Task<Result<>> place_modified(Modification& modification, Buffer payload);
  Task<Result<std::optional<std::uint64_t>>> absent_blocks(const Chain& chain, BlockRange blocks);
  Task<Result<ProvisionedBlocks>> provisioned_in(const Chain& chain, BlockRange blocks);

  // replica_read.cc
  enum class ReadView : std::uint8_t { kCommitted, kNewest };
  Task<Result<Buffer>> read_range(BlockRange blocks, ReadView view);
  Task<Result<Buffer>> read_pieces(BlockRange blocks, const std::vector<ReadPiece>& pieces,
                                   ChainRef chain);
  Result<std::vector<ReadPiece>> pieces_of(BlockRange blocks, Lsn& newest);
  Result<> verify(BlockIndex first, ByteSpan bytes, std::span<const std::uint32_t> checksums) const;
  Task<Result<>> read_from_log(const ReadPiece& piece, MutableByteSpan into);
  Task<Result<>> read_layers(ChainRef chain, BlockRange blocks, MutableByteSpan into);
  Task<Result<bool>> try_read_layers(const Chain& chain, BlockRange blocks, MutableByteSpan into);
  enum class HeldFor : std::uint8_t { kReader, kScrub };
  Task<Result<>> read_held(const Chain& chain, BlockRange blocks, MutableByteSpan into,
                           HeldFor whom = HeldFor::kReader);
  Task<Result<bool>> shows(const Layer& layer, BlockIndex block);
  Task<Result<>> repair_block(const Chain& chain, std::size_t layer, BlockIndex block,
                              BlockInfo info, const Buffer& good, MutableByteSpan into);

  // replica_state.cc
  Task<Result<>> change_state(std::function<void(ReplicaState&)> change);
  Task<Result<>> store_state(ReplicaState next, Chain layers);
  const Control* next_rotation() const;
  Task<Result<>> advance_index(Lsn target);
  FlushPass::Target flush_target() const;
  Task<Result<>> flush_to(Lsn target);
  Task<Result<>> finish_pass(Lsn target);
  void apply_controls(ReplicaState& state, Lsn up_to) const;
  void forget_flushed(Lsn up_to);
  void note_discards();
  bool was_discarded(BlockIndex block) const;
  void fail_pass(const FlushPass& pass, const Error& error);
  Task<Result<>> load_controls();
  Task<Result<>> flush_further();
  bool has_revert() const;

  // replica_layers.cc
  Task<Result<>> rotate(ReplicaState& state, Chain& layers, Control control);
  Task<Result<>> push_layer(ReplicaState& state, Chain& layers, std::optional<std::uint32_t> parent,
                            Lsn begins);
  void drop_layer(ReplicaState& state, Chain& layers, std::uint32_t layer) const;
  std::uint32_t children_of(const ReplicaState& state, std::uint32_t layer) const;
  ChainRef chain_of(std::uint32_t layer) const;
  std::optional<std::uint32_t> layer_of(SnapshotUuid uuid) const;
  bool knows_snapshot(SnapshotUuid uuid) const;
  Task<Result<bool>> remove_dropped();
  std::optional<std::uint32_t> find_mergeable() const;
  Task<Result<>> merge_some(std::uint32_t child);
  Task<Result<>> merge_chunk(Layer& from, Layer& to, bool hides, const MappedChunk& chunk);
  Task<Result<>> finish_merge(std::uint32_t child);
  Task<Result<bool>> is_shown(std::uint32_t layer, BlockIndex block);
  Task<Result<std::optional<ChunkView>>> view_of(const Chain& chain, ChunkIndex chunk);

  StoreShared& shared_;
  const std::string path_;
  std::unique_ptr<SlotFile> slots_;
  ReplicaState state_;
  const BlockChecksum checksum_;
  std::optional<Fault> fault_;

  IntervalIndex index_;
  std::vector<Control> controls_;  // > flushed, in the order of their LSNs; few
  std::vector<EpochStart> epochs_;
  std::uint64_t size_blocks_ = 0;
  LsnWatermark written_;
  LsnWatermark durable_;
  LsnWatermark committed_;
  LsnWatermark stable_;
  CommitRule rule_ = CommitRule::kGiven;
  // What unflushed records may take up on disk, in the order of their LSNs; the first
  // `stable_promises_` of them are stable.
  struct Promise {
    Lsn lsn;
    ByteCount need;     // on disk
    ByteCount payload;  // in the log
  };
  RingQueue<Promise> promises_;
  std::size_t stable_promises_ = 0;
  ByteCount unstable_bytes_;  // the payloads of the others

  // A write of parts of blocks must see every record that is placed before its own: while one
  // reads what it completes, no other append is placed.
  Mutex whole_blocks_;
  bool placing_is_open_ = true;
  std::uint64_t placing_ = 0;  // appends between their check and their place
  Event placing_opened_;
  Event none_placing_;

  std::vector<std::shared_ptr<Layer>> layers_;  // as state_.layers
  ChainRef head_chain_;
  Mutex flush_lock_;
  Mutex state_lock_;
  // A snapshot is looked for and its record committed before the next one is looked for (L62).
  Mutex snapshot_lock_;
  // Where the records begin that the index was told to flush and the state does not have yet.
  std::optional<LogPosition> pass_floor_;
  std::optional<LogPosition> frozen_floor_;  // what it needs since it was frozen
  // The pass under way ends with a revert: the index holds what it takes back until it is over.
  bool reverting_ = false;
  // Where a scan for the records from an LSN on may begin; thinned, oldest first.
  struct Mark {
    Lsn lsn;
    ChainPoint before;
  };
  RingQueue<Mark> marks_;
  // Ranges that live discards have taken since begin_install, by their first block: a layer keeps
  // no trace of a discard where nothing is below, and an old copy must not fill it again.
  std::map<BlockIndex, BlockIndex> discarded_;
  std::uint64_t uses_ = 0;
  Event unused_;
  RepairSource* repair_source_ = nullptr;
  // How far the merge that is going on has come.
  LayerId merging_;
  ChunkIndex merged_up_to_;

  std::vector<RecoveredLsn> recovered_;  // only during recovery
};

}  // namespace ashlar::engine
