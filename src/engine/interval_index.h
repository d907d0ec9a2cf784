// IntervalIndex: which record of the log holds the newest contents of each block of one replica,
// until the flusher has moved them to the layers. A record covers one range of blocks; a discard of
// 10 TiB is one entry, as a write of 4 KiB is.
//
// Two maps of disjoint pieces, divided by the stable LSN:
//
//   base   for each block the newest record <= stable: all that the flusher sees, and the only part
//          that erase_up_to changes
//   tail   for each block the newest record > stable; it hides the base, but takes nothing from it
//
// So the tail beyond the stable LSN can be dropped without undo: truncate_after forgets records and
// lays what is left of the tail again, the base is as it was. Records > stable are all kept, hidden
// ones as well, because a truncation may uncover them, and because each has to be laid over the
// base when the stable LSN reaches it. A record <= stable goes with its last piece.
//
//   append, recovery    insert; set_position when the record's batch is written
//   a read              lookup: the tail, else the base, else a hole: ask the layers
//   stable moves on     advance_stable
//   the flusher         visit_stable; erase_up_to when what it wrote is synced
//   a tail is lost      truncate_after
//   memory runs short   drop_payloads
//   the tail comes near lowest_position says what is still needed, visit_records what to copy
//
// What the caller owes:
//   - advance_stable stays below a snapshot record until what came before it is flushed: the base
//     keeps one version of a block, and the old layer needs the one before the snapshot.
//   - A record that was flushed is not inserted again: it could hide newer blocks of a layer.
//   - Where a log holds one LSN of two epochs, truncate_after comes before the second.
//   - drop_payloads names a record only when its payload can be read back from the log.
//   - set_position is for a record that is here; what is told of a record that a cut has dropped
//     must not reach the one that took its LSN.
//
// Invariants (the cheap parts checked as they are used, all of them by check_invariants):
//   - the pieces of a map do not overlap, lie within their records, and two of one record never
//     touch; base <= stable < tail; erased <= stable
//   - a record is kept exactly while it has a piece or is > stable; payload_bytes is their sum
//   - n records make at most 2n - 1 pieces in a map, plus one for each erase inside a piece
//
// Payloads are held once per record, so cutting an entry copies and allocates nothing; a record
// keeps its whole payload while one block of it is visible. Its checksums stay with it to the end.
// Memory is node storage only: records come from slabs and pieces from a pool; both are reused, so
// that a steady load allocates nothing, and returned when the index is empty after a burst.
//
// Costs, with n pieces: insert, erase_up_to and lookup O(log n + pieces in the range); each record
// that becomes stable the same; truncate_after lays all that is left of the tail again.
// set_position is O(1) in the order of the LSNs; lowest_position is, while positions ascend with
// the LSNs, which a copy ends until the index finds them in order again.
//
// One thread. A visitor must not change the index, nor keep `record` beyond its call.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <absl/container/btree_map.h>

#include "common/base/buffer.h"
#include "common/base/strong.h"
#include "engine/block_range.h"
#include "engine/checksum_list.h"

namespace ashlar::engine {

enum class RecordKind : std::uint8_t { kWrite, kDiscard };

// What the index knows of one record.
struct IndexRecord {
  Lsn lsn;
  RecordKind kind = RecordKind::kWrite;
  BlockRange blocks;
  // LogPlace::payload: where the payload begins; for a discard, what of the log it needs. Nothing
  // until its batch is written.
  std::optional<LogPosition> payload_position;
  // All of the payload, or empty: a discard, or it has to be read from the log.
  Buffer payload;
  // One for each block of a write.
  ChecksumList checksums;
};

// Part of a range that one record covers, or that none does.
struct IndexRun {
  BlockRange blocks;
  const IndexRecord* record = nullptr;  // null for a hole

  bool is_hole() const { return record == nullptr; }
  bool is_discard() const { return record != nullptr && record->kind == RecordKind::kDiscard; }
  // How many blocks of the record lie before this run.
  std::uint64_t offset() const { return blocks.first - record->blocks.first; }
  // Where the first block of this run stands in the log. For a write whose place is known.
  LogPosition position() const {
    ASHLAR_CHECK(record->payload_position, "record {} has no place yet", record->lsn);
    return *record->payload_position + offset() * kBytesPerBlock.value();
  }
  // Of the blocks of this run. For a write.
  std::span<const std::uint32_t> checksums() const {
    ASHLAR_CHECK_EQ(record->checksums.size(), record->blocks.count);
    return record->checksums.values().subspan(offset(), blocks.count);
  }
  bool in_memory() const { return record != nullptr && !record->payload.empty(); }
  // The bytes of this run; in_memory() must be true.
  Buffer payload() const {
    return record->payload.slice(offset() * kBytesPerBlock.value(),
                                 blocks.count * kBytesPerBlock.value());
  }
};

class IntervalIndex {
 public:
  // Records <= stable are in the layers already: what a checkpoint says.
  explicit IntervalIndex(Lsn stable = Lsn()) : stable_(stable), erased_(stable) {}
  IntervalIndex(const IntervalIndex&) = delete;
  IntervalIndex& operator=(const IntervalIndex&) = delete;

  // Records may come in any order: per block the highest LSN wins, an older one fills what is
  // free; its cost grows with the number of records above it. The LSN of a record that is here
  // moves that record to its new place in the log (it was appended again); its range and kind must
  // be the same; no position, no payload leave it what it has, and its checksums stay anyway.
  void insert(IndexRecord record);

  // The record's batch is written, its first or that of a copy. What is not here any more is
  // ignored.
  void set_position(Lsn lsn, LogPosition position);

  // Visits all of `range` in block order as maximal runs, holes included:
  // visitor(const IndexRun&). A run whose LSN is above the commit LSN is not to be read yet.
  template <class Visitor>
  void lookup(BlockRange range, Visitor visitor) const {
    Cursor cursor{range.first, range.end(), first_ending_after(tail_, range.first),
                  first_ending_after(base_, range.first)};
    while (cursor.at < cursor.end) visitor(next_run(cursor));
  }

  // Visits what may be flushed, from the piece that holds `from` or follows it, in block order and
  // without holes: bool visitor(const IndexRun&), false to stop.
  template <class Visitor>
  void visit_stable(BlockIndex from, Visitor visitor) const {
    for (auto piece = first_ending_after(base_, from); piece != base_.end(); ++piece) {
      if (!visitor(IndexRun{range_of(*piece), &piece->second.slot->record})) return;
    }
  }

  // Visits the records from LSN `from` on, in order, hidden ones included:
  // bool visitor(const IndexRecord&), false to stop.
  template <class Visitor>
  void visit_records(Lsn from, Visitor visitor) const {
    for (const Slot* slot = oldest_from(from); slot != nullptr; slot = slot->newer) {
      if (!visitor(slot->record)) return;
    }
  }

  // Forgets in `range` what was flushed from a visit of when the stable LSN was `lsn`. Blocks that
  // a newer record has taken since stay.
  void erase_up_to(Lsn lsn, BlockRange range);

  // Every in-sync replica holds all records <= lsn on stable media. Never moves back.
  void advance_stable(Lsn lsn);
  // The records > lsn are lost. Fatal below the stable LSN.
  void truncate_after(Lsn lsn);

  // Lets go of payloads of records <= up_to, oldest first, until `down_to` bytes or fewer are left
  // or there are no more, or none whose place in the log is known. Returns the bytes let go.
  ByteCount drop_payloads(ByteCount down_to, Lsn up_to);

  Lsn stable_lsn() const { return stable_; }
  // The oldest record that is still needed from the log or memory; none when all is flushed.
  std::optional<Lsn> oldest_lsn() const {
    return oldest_ == nullptr ? std::nullopt : std::optional(oldest_->record.lsn);
  }
  // The lowest place in the log that a record here has; none when none has one.
  std::optional<LogPosition> lowest_position() const;
  std::uint64_t entry_count() const { return base_.size() + tail_.size(); }
  std::uint64_t record_count() const { return record_count_; }
  ByteCount payload_bytes() const { return payload_bytes_; }

  // Reads everything; fatal if an invariant does not hold. For tests.
  void check_invariants() const;

 private:
  struct Slot {
    IndexRecord record;
    std::uint64_t holds = 0;  // its pieces, and one more while it is > stable
    Slot* older = nullptr;
    Slot* newer = nullptr;  // of a free one: the next that is free
  };
  // Keyed by its first block.
  struct Piece {
    std::uint64_t count;
    Slot* slot;
  };
  using Pieces =
      absl::btree_map<BlockIndex, Piece, std::less<BlockIndex>,
                      std::pmr::polymorphic_allocator<std::pair<const BlockIndex, Piece>>>;
  using Iterator = Pieces::iterator;
  using ConstIterator = Pieces::const_iterator;

  struct Cursor {
    BlockIndex at;
    BlockIndex end;
    ConstIterator tail;  // the first pieces that end after `at`
    ConstIterator base;
  };

  // Some 11 KiB: what an idle index keeps.
  static constexpr std::size_t kSlotsPerSlab = 128;

  static BlockRange range_of(const Pieces::value_type& piece) {
    return {piece.first, piece.second.count};
  }
  static ConstIterator first_ending_after(const Pieces& pieces, BlockIndex block);
  static Iterator first_ending_after(Pieces& pieces, BlockIndex block);
  static void seek(const Pieces& pieces, ConstIterator& piece, BlockIndex at);
  IndexRun next_run(Cursor& cursor) const;

  void lay(Pieces& pieces, Slot& slot);
  Iterator clear(Pieces& pieces, Iterator piece, BlockRange range, Lsn newest);
  void take_back(Slot& slot);
  void move_to_base(Slot& slot);
  void change_payload(Slot& slot, Buffer payload);
  void check_pieces(const Pieces& pieces) const;

  Slot* newest_up_to(Lsn lsn) const;
  const Slot* oldest_from(Lsn lsn) const;
  void place(Slot& slot, std::optional<LogPosition> position);
  static bool ascends(const Slot* older, const Slot* newer);
  Slot* first_without_place(Slot* from) const;
  Slot& new_slot(IndexRecord record, Slot* older);
  void add_free_slots(Slot* slab);
  void hold(Slot& slot) { ++slot.holds; }
  void let_go(Slot& slot);
  void link(Slot& slot, Slot* older);
  void unlink(Slot& slot);

  std::pmr::unsynchronized_pool_resource nodes_;
  Pieces base_{&nodes_};
  Pieces tail_{&nodes_};
  // The records, linked in the order of their LSNs: appends come at the end of it, and what comes
  // late belongs to the few that are not committed.
  Slot* oldest_ = nullptr;
  Slot* newest_ = nullptr;
  Slot* tail_begin_ = nullptr;      // the oldest > stable
  Slot* payloads_begin_ = nullptr;  // no older one has a payload: where drop_payloads goes on
  Slot* unplaced_begin_ = nullptr;  // the oldest without a position
  // From record to record positions do not go back, and those without one are the newest.
  mutable bool positions_ascend_ = true;
  std::uint64_t record_count_ = 0;
  Lsn stable_;
  // The highest LSN that erase_up_to was given: records up to it may be gone on purpose.
  Lsn erased_;
  ByteCount payload_bytes_;
  std::vector<std::unique_ptr<Slot[]>> slabs_;
  Slot* free_ = nullptr;
};

}  // namespace ashlar::engine
