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

std::optional<Lsn> IntervalIndex::oldest_lsn() const {
  if (by_lsn_.empty()) return std::nullopt;
  return by_lsn_.begin()->first;
}

// --- changing ------------------------------------------------------------------------------------

void IntervalIndex::insert(IndexRecord record) {
  const BlockRange blocks = record.blocks;
  ASHLAR_CHECK(record.lsn > erased_, "record {} is not above {}, up to which was flushed",
               record.lsn, erased_);
  ASHLAR_CHECK(blocks.count > 0, "record {} covers nothing", record.lsn);
  if (!record.payload.empty()) {
    ASHLAR_CHECK(record.kind == RecordKind::kWrite, "discard {} has a payload", record.lsn);
    ASHLAR_CHECK_EQ(record.payload.size() / kBlockSize.value(), blocks.count);
    ASHLAR_CHECK_EQ(record.payload.size() % kBlockSize.value(), 0u);
  }

  // Appends come in order, and one look at the end shows that the LSN is new.
  if (!by_lsn_.empty() && by_lsn_.rbegin()->first >= record.lsn) {
    if (const auto known = by_lsn_.find(record.lsn); known != by_lsn_.end()) {
      Slot& slot = *known->second;
      ASHLAR_CHECK(slot.record.blocks == blocks && slot.record.kind == record.kind,
                   "record {} came again and covers other blocks", record.lsn);
      slot.record.payload_position = record.payload_position;
      if (!record.payload.empty()) change_payload(slot, std::move(record.payload));
      return;
    }
  }

  Slot& slot = new_slot(std::move(record));
  const bool stable = slot.record.lsn <= stable_;
  hold(slot);
  lay(stable ? base_ : tail_, slot);
  if (stable) let_go(slot);
}

void IntervalIndex::erase_up_to(Lsn lsn, BlockRange range) {
  ASHLAR_CHECK(lsn <= stable_, "flushed up to {}, stable is {}", lsn, stable_);
  if (range.count == 0) return;
  erased_ = std::max(erased_, lsn);
  clear(base_, range, lsn);
}

void IntervalIndex::advance_stable(Lsn lsn) {
  ASHLAR_CHECK(lsn >= stable_, "stable moves from {} back to {}", stable_, lsn);
  // Laying over the base lets go of older records, so the place in by_lsn_ is looked up each time.
  for (auto next = by_lsn_.upper_bound(stable_); next != by_lsn_.end() && next->first <= lsn;
       next = by_lsn_.upper_bound(stable_)) {
    stable_ = next->first;
    move_to_base(*next->second);
  }
  stable_ = lsn;
}

void IntervalIndex::truncate_after(Lsn lsn) {
  ASHLAR_CHECK(lsn >= stable_, "record {} is stable, {} would be the last one left", stable_, lsn);
  if (by_lsn_.upper_bound(lsn) == by_lsn_.end()) return;
  for (const auto& [first, piece] : tail_) let_go(*piece.slot);
  tail_.clear();
  for (auto lost = by_lsn_.upper_bound(lsn); lost != by_lsn_.end();
       lost = by_lsn_.upper_bound(lsn)) {
    let_go(*lost->second);
  }
  for (auto kept = by_lsn_.upper_bound(stable_); kept != by_lsn_.end(); ++kept) {
    lay(tail_, *kept->second);
  }
}

ByteCount IntervalIndex::drop_payloads(ByteCount down_to, Lsn up_to) {
  const ByteCount before = payload_bytes_;
  auto oldest = by_lsn_.lower_bound(payloads_from_);
  for (; oldest != by_lsn_.end() && oldest->first <= up_to && payload_bytes_ > down_to; ++oldest) {
    change_payload(*oldest->second, Buffer());
    payloads_from_ = oldest->first.next();
  }
  return before - payload_bytes_;
}

// --- pieces --------------------------------------------------------------------------------------

// Puts the record where nothing newer is.
void IntervalIndex::lay(Pieces& pieces, Slot& slot) {
  const auto [first, count] = slot.record.blocks;
  const Lsn lsn = slot.record.lsn;
  // A block that is written over and over: the piece is there, only its record changes.
  if (const auto same = pieces.find(first);
      same != pieces.end() && same->second.count == count && same->second.slot->record.lsn < lsn) {
    hold(slot);
    let_go(*std::exchange(same->second.slot, &slot));
    return;
  }
  const BlockIndex end = slot.record.blocks.end();
  auto newer = clear(pieces, slot.record.blocks, lsn);
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

// Takes from `range` all pieces of records <= newest, cutting those that reach beyond it. Returns
// the first piece left that ends after the start of the range.
IntervalIndex::Iterator IntervalIndex::clear(Pieces& pieces, BlockRange range, Lsn newest) {
  const BlockIndex end = range.end();
  auto piece = first_ending_after(pieces, range.first);
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
  const BlockRange blocks = slot.record.blocks;
  auto piece = first_ending_after(tail_, blocks.first);
  while (piece != tail_.end() && piece->first < blocks.end()) {
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

IntervalIndex::Slot& IntervalIndex::new_slot(IndexRecord record) {
  if (free_ == nullptr) {
    add_free_slots(slabs_.emplace_back(std::make_unique<Slot[]>(kSlotsPerSlab)).get());
  }
  Slot& slot = *std::exchange(free_, free_->next_free);
  Buffer payload = std::move(record.payload);
  slot.record = std::move(record);
  slot.holds = 0;
  by_lsn_.emplace_hint(by_lsn_.end(), slot.record.lsn, &slot);
  change_payload(slot, std::move(payload));
  return slot;
}

void IntervalIndex::add_free_slots(Slot* slab) {
  for (std::size_t i = kSlotsPerSlab; i-- > 0;) slab[i].next_free = std::exchange(free_, &slab[i]);
}

void IntervalIndex::let_go(Slot& slot) {
  ASHLAR_CHECK(slot.holds > 0, "record {} is gone", slot.record.lsn);
  if (--slot.holds > 0) return;
  change_payload(slot, Buffer());
  ASHLAR_CHECK_EQ(by_lsn_.erase(slot.record.lsn), 1u);
  slot.next_free = std::exchange(free_, &slot);
  if (by_lsn_.empty() && slabs_.size() > 1) {
    // All is flushed: what a burst needed goes back.
    slabs_.resize(1);
    slabs_.shrink_to_fit();
    free_ = nullptr;
    add_free_slots(slabs_.front().get());
  }
}

void IntervalIndex::change_payload(Slot& slot, Buffer payload) {
  payload_bytes_ -= ByteCount(slot.record.payload.size());
  slot.record.payload = std::move(payload);
  if (slot.record.payload.empty()) return;
  payload_bytes_ += ByteCount(slot.record.payload.size());
  payloads_from_ = std::min(payloads_from_, slot.record.lsn);
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
  for (const auto& [lsn, slot] : by_lsn_) {
    const IndexRecord& record = slot->record;
    ASHLAR_CHECK_EQ(record.lsn, lsn);
    ASHLAR_CHECK(record.payload.empty() || lsn >= payloads_from_, "record {} has a payload", lsn);
    payload_bytes += ByteCount(record.payload.size());
    const std::uint64_t expected = holds[lsn] + (lsn > stable_ ? 1 : 0);
    ASHLAR_CHECK(expected > 0 && slot->holds == expected, "record {} is held {} times, not {}", lsn,
                 slot->holds, expected);
  }
  ASHLAR_CHECK_EQ(holds.size(), by_lsn_.size());
  ASHLAR_CHECK_EQ(payload_bytes.value(), payload_bytes_.value());
}

}  // namespace ashlar::engine
