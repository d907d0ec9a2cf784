#include "engine/interval_index.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/check.h"

namespace ashlar::engine {

// --- reading -------------------------------------------------------------------------------------

IntervalIndex::ConstIterator IntervalIndex::first_ending_after(const Pieces& pieces,
                                                               BlockIndex block) {
  auto piece = pieces.upper_bound(block);
  if (piece == pieces.begin()) return piece;
  const auto before = std::prev(piece);
  return range_of(*before).end() > block ? before : piece;
}

IntervalIndex::Iterator IntervalIndex::first_ending_after(Pieces& pieces, BlockIndex block) {
  auto piece = pieces.upper_bound(block);
  if (piece == pieces.begin()) return piece;
  const auto before = std::prev(piece);
  return range_of(*before).end() > block ? before : piece;
}

// One step forward is the common case; a piece of the tail that hides many of the base is passed
// by a search.
void IntervalIndex::seek(const Pieces& pieces, ConstIterator& piece, BlockIndex at) {
  if (piece != pieces.end() && range_of(*piece).end() <= at) ++piece;
  if (piece != pieces.end() && range_of(*piece).end() <= at) piece = first_ending_after(pieces, at);
}

IndexRun IntervalIndex::next_run(Cursor& cursor) const {
  const BlockIndex at = cursor.at;
  BlockIndex end = cursor.end;
  const IndexRecord* record = nullptr;
  // The tail decides where it has a piece, and else ends the run where its next one begins.
  const auto look = [&](const Pieces& pieces, ConstIterator piece) {
    if (record != nullptr || piece == pieces.end()) return;
    const bool covers = piece->first <= at;
    if (covers) record = &piece->second.slot->record;
    end = std::min(end, covers ? range_of(*piece).end() : piece->first);
  };
  look(tail_, cursor.tail);
  look(base_, cursor.base);
  cursor.at = end;
  seek(tail_, cursor.tail, end);
  seek(base_, cursor.base, end);
  return {{at, end - at}, record};
}

// --- changing ------------------------------------------------------------------------------------

void IntervalIndex::insert(IndexRecord record) {
  const BlockRange blocks = record.blocks;
  ASHLAR_CHECK(record.lsn > erased_, "record {} is not above {}, up to which was flushed",
               record.lsn, erased_);
  ASHLAR_CHECK(blocks.count > 0, "record {} covers nothing", record.lsn);
  if (!record.payload.empty()) {
    ASHLAR_CHECK(record.kind == RecordKind::kWrite, "discard {} has a payload", record.lsn);
    ASHLAR_CHECK_EQ(record.payload.size() / kBytesPerBlock.value(), blocks.count);
    ASHLAR_CHECK_EQ(record.payload.size() % kBytesPerBlock.value(), 0u);
  }
  if (!record.checksums.empty()) {
    ASHLAR_CHECK(record.kind == RecordKind::kWrite, "discard {} has checksums", record.lsn);
    ASHLAR_CHECK_EQ(record.checksums.size(), blocks.count);
  }

  Slot* const before = newest_up_to(record.lsn);
  if (before != nullptr && before->record.lsn == record.lsn) {
    ASHLAR_CHECK(before->record.blocks == blocks && before->record.kind == record.kind,
                 "record {} came again and covers other blocks", record.lsn);
    if (record.payload_position) place(*before, record.payload_position);
    if (!record.payload.empty()) change_payload(*before, std::move(record.payload));
    return;
  }
  Slot& slot = new_slot(std::move(record), before);
  const bool stable = slot.record.lsn <= stable_;
  hold(slot);
  lay(stable ? base_ : tail_, slot);
  if (stable) let_go(slot);
}

void IntervalIndex::set_position(Lsn lsn, LogPosition position) {
  Slot* slot = unplaced_begin_;
  if (slot == nullptr || slot->record.lsn != lsn) slot = newest_up_to(lsn);
  if (slot != nullptr && slot->record.lsn == lsn) place(*slot, position);
}

void IntervalIndex::erase_up_to(Lsn lsn, BlockRange range) {
  ASHLAR_CHECK(lsn <= stable_, "flushed up to {}, stable is {}", lsn, stable_);
  if (range.count == 0) return;
  erased_ = std::max(erased_, lsn);
  clear(base_, first_ending_after(base_, range.first), range, lsn);
}

void IntervalIndex::advance_stable(Lsn lsn) {
  ASHLAR_CHECK(lsn >= stable_, "stable moves from {} back to {}", stable_, lsn);
  while (tail_begin_ != nullptr && tail_begin_->record.lsn <= lsn) {
    Slot& slot = *std::exchange(tail_begin_, tail_begin_->newer);
    stable_ = slot.record.lsn;
    move_to_base(slot);
  }
  stable_ = lsn;
}

void IntervalIndex::truncate_after(Lsn lsn) {
  ASHLAR_CHECK(lsn >= stable_, "record {} is stable, {} would be the last one left", stable_, lsn);
  if (newest_ == nullptr || newest_->record.lsn <= lsn) return;
  for (const auto& [first, piece] : tail_) let_go(*piece.slot);
  tail_.clear();
  while (newest_ != nullptr && newest_->record.lsn > lsn) let_go(*newest_);
  for (Slot* kept = tail_begin_; kept != nullptr; kept = kept->newer) lay(tail_, *kept);
}

ByteCount IntervalIndex::drop_payloads(ByteCount down_to, Lsn up_to) {
  const ByteCount before = payload_bytes_;
  while (payloads_begin_ != nullptr && payloads_begin_->record.lsn <= up_to &&
         payloads_begin_->record.payload_position && payload_bytes_ > down_to) {
    Slot& oldest = *std::exchange(payloads_begin_, payloads_begin_->newer);
    change_payload(oldest, Buffer());
  }
  return before - payload_bytes_;
}

// --- pieces --------------------------------------------------------------------------------------

// Puts the record where nothing newer is.
void IntervalIndex::lay(Pieces& pieces, Slot& slot) {
  const BlockIndex first = slot.record.blocks.first;
  const Lsn lsn = slot.record.lsn;
  const auto piece = first_ending_after(pieces, first);
  // A block that is written over and over: the piece is there, only its record changes.
  if (piece != pieces.end() && range_of(*piece) == slot.record.blocks &&
      piece->second.slot->record.lsn < lsn) {
    hold(slot);
    let_go(*std::exchange(piece->second.slot, &slot));
    return;
  }
  const BlockIndex end = slot.record.blocks.end();
  auto newer = clear(pieces, piece, slot.record.blocks, lsn);
  for (BlockIndex at = first; at < end;) {
    const BlockIndex gap_end = newer == pieces.end() ? end : std::min(end, newer->first);
    if (at < gap_end) {
      hold(slot);
      newer = std::next(pieces.emplace_hint(newer, at, Piece{gap_end - at, &slot}));
      if (gap_end == end) return;
    }
    at = range_of(*newer).end();
    ++newer;
  }
}

// Takes from `range` all pieces of records <= newest, cutting those that reach beyond it. Is given
// the first piece that ends after the start of the range, and returns the one that does then.
IntervalIndex::Iterator IntervalIndex::clear(Pieces& pieces, Iterator piece, BlockRange range,
                                             Lsn newest) {
  const BlockIndex end = range.end();
  bool any_left = false;
  while (piece != pieces.end() && piece->first < end) {
    Slot& slot = *piece->second.slot;
    if (slot.record.lsn > newest) {
      any_left = true;
      ++piece;
      continue;
    }
    const BlockIndex piece_end = range_of(*piece).end();
    const bool keeps_left = piece->first < range.first;
    const bool keeps_right = piece_end > end;
    if (keeps_left) {
      piece->second.count = range.first - piece->first;
      ++piece;
    } else {
      piece = pieces.erase(piece);
    }
    if (keeps_right) piece = pieces.emplace_hint(piece, end, Piece{piece_end - end, &slot});
    if (keeps_left && keeps_right) hold(slot);
    if (!keeps_left && !keeps_right) let_go(slot);
  }
  return any_left ? first_ending_after(pieces, range.first) : piece;
}

// The tail shows this record no longer; what it hid there was older, and is in the base already.
void IntervalIndex::take_back(Slot& slot) {
  // One hold is for being > stable, the others are its pieces: without any there is no search.
  if (slot.holds == 1) return;
  auto piece = first_ending_after(tail_, slot.record.blocks.first);
  while (slot.holds > 1) {
    ASHLAR_CHECK(piece != tail_.end(), "record {} has lost a piece", slot.record.lsn);
    if (piece->second.slot == &slot) {
      piece = tail_.erase(piece);
      let_go(slot);
    } else {
      ++piece;
    }
  }
}

// The record has just become stable: it is the newest of the base and the oldest of the tail.
void IntervalIndex::move_to_base(Slot& slot) {
  take_back(slot);
  lay(base_, slot);
  let_go(slot);
}

// --- records -------------------------------------------------------------------------------------

IntervalIndex::Slot* IntervalIndex::newest_up_to(Lsn lsn) const {
  Slot* slot = newest_;
  while (slot != nullptr && slot->record.lsn > lsn) slot = slot->older;
  return slot;
}

const IntervalIndex::Slot* IntervalIndex::oldest_from(Lsn lsn) const {
  if (oldest_ == nullptr || oldest_->record.lsn >= lsn) return oldest_;
  const Slot* before = newest_up_to(lsn);
  return before->record.lsn == lsn ? before : before->newer;
}

// A record without a position counts as the highest.
bool IntervalIndex::ascends(const Slot* older, const Slot* newer) {
  if (older == nullptr || newer == nullptr || !newer->record.payload_position) return true;
  const std::optional<LogPosition>& low = older->record.payload_position;
  return low && *low <= *newer->record.payload_position;
}

IntervalIndex::Slot* IntervalIndex::first_without_place(Slot* from) const {
  while (from != nullptr && from->record.payload_position) from = from->newer;
  return from;
}

void IntervalIndex::place(Slot& slot, std::optional<LogPosition> position) {
  slot.record.payload_position = position;
  if (!ascends(slot.older, &slot) || !ascends(&slot, slot.newer)) positions_ascend_ = false;
  if (!position && (unplaced_begin_ == nullptr || slot.record.lsn < unplaced_begin_->record.lsn)) {
    unplaced_begin_ = &slot;
  }
  if (position && unplaced_begin_ == &slot) unplaced_begin_ = first_without_place(slot.newer);
}

std::optional<LogPosition> IntervalIndex::lowest_position() const {
  if (oldest_ == nullptr) return std::nullopt;
  if (positions_ascend_) return oldest_->record.payload_position;
  std::optional<LogPosition> lowest;
  positions_ascend_ = true;
  for (const Slot* slot = oldest_; slot != nullptr; slot = slot->newer) {
    const std::optional<LogPosition>& position = slot->record.payload_position;
    if (position && (!lowest || *position < *lowest)) lowest = position;
    positions_ascend_ = positions_ascend_ && ascends(slot->older, slot);
  }
  return lowest;
}

IntervalIndex::Slot& IntervalIndex::new_slot(IndexRecord record, Slot* older) {
  if (free_ == nullptr) {
    add_free_slots(slabs_.emplace_back(std::make_unique<Slot[]>(kSlotsPerSlab)).get());
  }
  Slot& slot = *std::exchange(free_, free_->newer);
  Buffer payload = std::move(record.payload);
  slot.record = std::move(record);
  link(slot, older);
  place(slot, slot.record.payload_position);
  change_payload(slot, std::move(payload));
  return slot;
}

void IntervalIndex::add_free_slots(Slot* slab) {
  for (std::size_t i = kSlotsPerSlab; i-- > 0;) slab[i].newer = std::exchange(free_, &slab[i]);
}

void IntervalIndex::let_go(Slot& slot) {
  ASHLAR_CHECK(slot.holds > 0, "record {} is gone", slot.record.lsn);
  if (--slot.holds > 0) return;
  change_payload(slot, Buffer());
  slot.record.checksums = ChecksumList();
  unlink(slot);
  slot.newer = std::exchange(free_, &slot);
  if (record_count_ > 0) return;
  positions_ascend_ = true;
  if (slabs_.size() > 1) {
    // All is flushed: what a burst needed goes back.
    ASHLAR_CHECK(base_.empty() && tail_.empty());
    nodes_.release();
    slabs_.resize(1);
    slabs_.shrink_to_fit();
    free_ = nullptr;
    add_free_slots(slabs_.front().get());
  }
}

void IntervalIndex::link(Slot& slot, Slot* older) {
  slot.older = older;
  slot.newer = std::exchange(older == nullptr ? oldest_ : older->newer, &slot);
  (slot.newer == nullptr ? newest_ : slot.newer->older) = &slot;
  if (slot.record.lsn > stable_ && slot.newer == tail_begin_) tail_begin_ = &slot;
  ++record_count_;
}

void IntervalIndex::unlink(Slot& slot) {
  if (tail_begin_ == &slot) tail_begin_ = slot.newer;
  if (payloads_begin_ == &slot) payloads_begin_ = slot.newer;
  if (unplaced_begin_ == &slot) unplaced_begin_ = first_without_place(slot.newer);
  (slot.older == nullptr ? oldest_ : slot.older->newer) = slot.newer;
  (slot.newer == nullptr ? newest_ : slot.newer->older) = slot.older;
  --record_count_;
}

void IntervalIndex::change_payload(Slot& slot, Buffer payload) {
  payload_bytes_ -= ByteCount(slot.record.payload.size());
  slot.record.payload = std::move(payload);
  if (slot.record.payload.empty()) return;
  payload_bytes_ += ByteCount(slot.record.payload.size());
  if (payloads_begin_ == nullptr || slot.record.lsn < payloads_begin_->record.lsn) {
    payloads_begin_ = &slot;
  }
}

// --- checking ------------------------------------------------------------------------------------

void IntervalIndex::check_pieces(const Pieces& pieces) const {
  const Slot* before = nullptr;
  BlockIndex free_from;
  for (const auto& piece : pieces) {
    const BlockRange range = range_of(piece);
    const Slot* slot = piece.second.slot;
    const BlockRange whole = slot->record.blocks;
    ASHLAR_CHECK(range.count > 0, "empty piece at {}", range.first);
    ASHLAR_CHECK_GE(range.first, free_from);
    ASHLAR_CHECK(slot != before || range.first > free_from, "record {} is cut at {}",
                 slot->record.lsn, range.first);
    ASHLAR_CHECK(range.first >= whole.first && range.end() <= whole.end(),
                 "record {} reaches to block {}", slot->record.lsn, range.end());
    ASHLAR_CHECK((slot->record.lsn > stable_) == (&pieces == &tail_), "record {}, stable {}",
                 slot->record.lsn, stable_);
    before = slot;
    free_from = range.end();
  }
}

void IntervalIndex::check_invariants() const {
  ASHLAR_CHECK_LE(erased_, stable_);
  check_pieces(base_);
  check_pieces(tail_);

  absl::btree_map<Lsn, std::uint64_t> holds;
  for (const Pieces* pieces : {&base_, &tail_}) {
    for (const auto& [first, piece] : *pieces) ++holds[piece.slot->record.lsn];
  }
  ByteCount payload_bytes;
  std::uint64_t records = 0;
  const Slot* older = nullptr;
  const Slot* tail_begin = nullptr;
  std::optional<LogPosition> lowest;
  for (const Slot* slot = oldest_; slot != nullptr; older = std::exchange(slot, slot->newer)) {
    const Lsn lsn = slot->record.lsn;
    ASHLAR_CHECK(slot->older == older && (older == nullptr || older->record.lsn < lsn),
                 "record {} is not in order", lsn);
    ASHLAR_CHECK(slot->record.payload.empty() ||
                     (payloads_begin_ != nullptr && lsn >= payloads_begin_->record.lsn),
                 "record {} has a payload", lsn);
    const std::uint64_t expected = holds[lsn] + (lsn > stable_ ? 1 : 0);
    ASHLAR_CHECK(expected > 0 && slot->holds == expected, "record {} is held {} times, not {}", lsn,
                 slot->holds, expected);
    if (lsn > stable_ && tail_begin == nullptr) tail_begin = slot;
    const std::optional<LogPosition>& position = slot->record.payload_position;
    if (position && (!lowest || *position < *lowest)) lowest = position;
    ASHLAR_CHECK(!positions_ascend_ || ascends(older, slot), "record {} stands before {}", lsn,
                 older->record.lsn);
    payload_bytes += ByteCount(slot->record.payload.size());
    ++records;
  }
  ASHLAR_CHECK(newest_ == older && tail_begin_ == tail_begin);
  ASHLAR_CHECK(unplaced_begin_ == first_without_place(oldest_));
  ASHLAR_CHECK(lowest_position() == lowest, "positions ascend: {}", positions_ascend_);
  ASHLAR_CHECK_EQ(records, record_count_);
  ASHLAR_CHECK_EQ(holds.size(), records);
  ASHLAR_CHECK_EQ(payload_bytes.value(), payload_bytes_.value());
}

}  // namespace ashlar::engine
