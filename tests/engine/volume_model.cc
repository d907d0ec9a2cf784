#include "tests/engine/volume_model.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "engine/store_format.h"

namespace ashlar::engine::model {
namespace {

constexpr std::uint64_t kMix = 0x9e3779b97f4a7c15;

std::uint64_t word_of(Tag tag, std::uint64_t sector, std::size_t word) {
  return word == 0 ? tag : (tag * kMix) ^ (sector << 16) ^ word;
}

bool is_zero(ByteSpan sector) {
  return load_le64(sector) == 0 &&
         std::memcmp(sector.data(), sector.data() + 8, sector.size() - 8) == 0;
}

Tag at(const Contents& contents, std::uint64_t sector) {
  return sector < contents.size() ? contents[sector] : 0;
}

void set(Contents& contents, Sectors range, Tag tag) {
  if (contents.size() < range.end()) contents.resize(range.end());
  std::fill_n(contents.begin() + static_cast<std::ptrdiff_t>(range.first), range.count, tag);
}

// Whether the record may be that change.
bool is_record_of(const LoggedRecord& record, const Change& change) {
  const RecordHeader& header = record.header;
  if (header.type != change.type) return false;
  switch (header.type) {
    case RecordType::kWrite: {
      const std::uint64_t first = header.first_block.value() * kSectorsPerBlock;
      if (change.sectors.first < first ||
          change.sectors.end() > first + header.block_count * kSectorsPerBlock) {
        return false;
      }
      const ByteSpan sector =
          ByteSpan(record.payload).subspan((change.sectors.first - first) * kSector, kSector);
      return load_le64(sector) == change.tag;
    }
    case RecordType::kDiscard:
    case RecordType::kWriteZeroes:
      return header.first_block.value() * kSectorsPerBlock == change.sectors.first &&
             header.block_count * kSectorsPerBlock == change.sectors.count;
    case RecordType::kResize:
      return header.block_count == change.value;
    case RecordType::kEpochStart:
      return header.epoch.value() == change.value;
    case RecordType::kReservationState:
      return load_le64(record.payload, 8) == change.tag;
    case RecordType::kSnapshot:
    case RecordType::kSnapshotDelete:
    case RecordType::kRevert: {
      const auto named = decode_snapshot_payload(ByteSpan(record.payload).first(kBlockSize));
      return named.ok() && named->uuid == change.snapshot;
    }
    default:
      return false;
  }
}

}  // namespace

void fill_sectors(MutableByteSpan bytes, std::uint64_t first, Tag tag) {
  for (std::size_t i = 0; i < bytes.size() / 8; ++i) {
    const std::uint64_t sector = first + i / (kSector / 8);
    store_le64(bytes, i * 8, word_of(tag, sector, i % (kSector / 8)));
  }
}

std::optional<Tag> tag_of(ByteSpan sector, std::uint64_t number) {
  const Tag tag = load_le64(sector);
  if (tag == 0) return is_zero(sector) ? std::optional<Tag>(0) : std::nullopt;
  for (std::size_t i = 1; i < kSector / 8; ++i) {
    if (load_le64(sector, i * 8) != word_of(tag, number, i)) return std::nullopt;
  }
  return tag;
}

bool Change::covers(std::uint64_t sector) const {
  if (type == RecordType::kRevert) return true;
  return sector >= sectors.first && sector < sectors.end();
}

Tag Change::tag_at(std::uint64_t sector) const {
  return type == RecordType::kRevert ? at(*reverts_to, sector) : tag;
}

void VolumeState::apply(const Change& change) {
  switch (change.type) {
    case RecordType::kWrite:
    case RecordType::kDiscard:
    case RecordType::kWriteZeroes:
      set(contents, change.sectors, change.tag);
      break;
    case RecordType::kResize:
      size_blocks = change.value;
      break;
    case RecordType::kReservationState:
      reservation = change.tag;
      break;
    case RecordType::kSnapshot:
      snapshots[change.snapshot] = {change.lsn, std::make_shared<const Contents>(contents)};
      break;
    case RecordType::kSnapshotDelete:
      snapshots.erase(change.snapshot);
      break;
    case RecordType::kRevert:
      if (const auto found = snapshots.find(change.snapshot); found != snapshots.end()) {
        contents = *found->second.contents;
      }
      break;
    default:
      break;
  }
}

VolumeModel::VolumeModel(std::uint64_t size_blocks, Contents contents)
    : base_{.contents = std::move(contents), .size_blocks = size_blocks},
      size_blocks_(size_blocks) {
  for (const Tag tag : base_.contents) floors_.emplace_back(Lsn(), tag);
}

void VolumeModel::begin_at(Lsn lsn) {
  start_from(lsn);
}

ChangeRef VolumeModel::begin(Change change) {
  change.begun_after = acknowledged_;
  changes_.push_back(std::make_shared<Change>(std::move(change)));
  const ChangeRef& begun = changes_.back();
  if (begun->type == RecordType::kWrite) history_[begun->tag] = begun->sectors;
  return begun;
}

void VolumeModel::grow_floors(std::uint64_t sectors) {
  if (floors_.size() < sectors) floors_.resize(sectors, {reverted_, 0});
}

void VolumeModel::raise_floors(const Change& change) {
  Sectors range = change.sectors;
  if (change.type == RecordType::kRevert) {
    range = {0, std::max<std::uint64_t>(floors_.size(), change.reverts_to->size())};
  }
  grow_floors(range.end());
  if (change.type == RecordType::kRevert) reverted_ = std::max(reverted_, change.lsn);
  for (std::uint64_t s = range.first; s < range.end(); ++s) {
    if (floors_[s].first < change.lsn) floors_[s] = {change.lsn, change.tag_at(s)};
  }
}

std::string VolumeModel::acknowledge(const ChangeRef& change, Lsn lsn) {
  change->acknowledged = true;
  if (lsn <= change->begun_after) {
    return fmt::format("record {} began after record {} was acknowledged", lsn,
                       change->begun_after);
  }
  if (change->lsn != Lsn() && change->lsn != lsn) {
    return fmt::format("record {} is acknowledged as {}", change->lsn, lsn);
  }
  for (const ChangeRef& other : changes_) {
    if (other != change && other->lsn == lsn && !other->dropped) {
      return fmt::format("two records {}", lsn);
    }
  }
  change->lsn = lsn;
  acknowledged_ = std::max(acknowledged_, lsn);
  raise_floors(*change);
  if (change->type == RecordType::kResize) {
    size_blocks_ = std::max(size_blocks_, change->value);
  } else if (change->type == RecordType::kSnapshot) {
    snapshots_[change->snapshot] = {lsn, nullptr};
  } else if (change->type == RecordType::kSnapshotDelete) {
    snapshots_.erase(change->snapshot);
  }
  return {};
}

void VolumeModel::cut(Lsn kept) {
  for (const ChangeRef& change : changes_) {
    if (change->aborted || change->lsn > kept) change->dropped = true;
  }
}

VolumeModel::Reading VolumeModel::begin_read(Sectors sectors) {
  Reading reading{.sectors = sectors, .floors = {}};
  grow_floors(sectors.end());
  const auto begin = floors_.begin() + static_cast<std::ptrdiff_t>(sectors.first);
  reading.floors.assign(begin, begin + static_cast<std::ptrdiff_t>(sectors.count));
  while (reading.first_change < changes_.size() && (changes_[reading.first_change]->acknowledged ||
                                                    changes_[reading.first_change]->dropped)) {
    ++reading.first_change;
  }
  return reading;
}

bool VolumeModel::was_ever_there(std::uint64_t sector, Tag tag) const {
  if (tag == 0 || at(base_.contents, sector) == tag) return true;
  const auto found = history_.find(tag);
  return found != history_.end() && sector >= found->second.first && sector < found->second.end();
}

// What happened to a sector in this life.
std::string VolumeModel::describe(std::uint64_t sector) const {
  std::string text = fmt::format("; {:x} at {}", at(base_.contents, sector), base_lsn_);
  for (const ChangeRef& change : changes_) {
    if (!change->covers(sector)) continue;
    fmt::format_to(std::back_inserter(text), ", {:x} by record {} (type {}){}{}{}",
                   change->tag_at(sector), change->lsn, static_cast<int>(change->type),
                   change->acknowledged ? "" : " not acknowledged", change->seen ? " seen" : "",
                   change->dropped ? " dropped" : "");
  }
  return text;
}

std::string VolumeModel::end_read(const Reading& reading, ByteSpan bytes) {
  for (std::uint64_t i = 0; i < reading.sectors.count; ++i) {
    const std::uint64_t sector = reading.sectors.first + i;
    const std::optional<Tag> tag = tag_of(bytes.subspan(i * kSector, kSector), sector);
    const auto& [floor, floor_tag] = reading.floors[i];
    if (!tag) {
      return fmt::format("sector {} holds what nobody wrote there (it says {:x})", sector,
                         load_le64(bytes.subspan(i * kSector, kSector)));
    }
    if (*tag == floor_tag) continue;
    std::size_t candidates = 0;
    Change* shown = nullptr;
    for (std::size_t c = reading.first_change; c < changes_.size(); ++c) {
      Change& change = *changes_[c];
      const bool may_show = !change.dropped && (change.lsn == Lsn() || change.lsn > floor);
      if (!may_show || !change.covers(sector) || change.tag_at(sector) != *tag) continue;
      ++candidates;
      shown = &change;
    }
    if (shown == nullptr) {
      if (allows_old && was_ever_there(sector, *tag)) continue;
      return fmt::format(
          "sector {} (block {}) shows {:x}; record {} had written {:x} there before{}", sector,
          sector / kSectorsPerBlock, *tag, floor, floor_tag, describe(sector));
    }
    if (candidates > 1) continue;  // zeros: nobody knows whose
    shown->seen = true;
    if (shown->lsn > floors_[sector].first) floors_[sector] = {shown->lsn, *tag};
  }
  return {};
}

std::optional<VolumeState> VolumeModel::state_at(Lsn lsn) const {
  std::vector<ChangeRef> known;
  for (const ChangeRef& change : changes_) {
    if (!change->dropped && change->lsn > base_lsn_ && change->lsn <= lsn) known.push_back(change);
  }
  std::sort(known.begin(), known.end(),
            [](const ChangeRef& a, const ChangeRef& b) { return a->lsn < b->lsn; });
  if (lsn < base_lsn_ || known.size() != lsn - base_lsn_) return std::nullopt;
  VolumeState state = base_;
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (known[i]->lsn != base_lsn_ + (i + 1)) return std::nullopt;
    state.apply(*known[i]);
  }
  return state;
}

std::shared_ptr<const Contents> VolumeModel::snapshot_contents(SnapshotUuid uuid) {
  const auto found = snapshots_.find(uuid);
  if (found == snapshots_.end()) return nullptr;
  if (found->second.contents == nullptr) {
    if (const std::optional<VolumeState> state = state_at(found->second.lsn)) {
      found->second.contents = state->snapshots.at(uuid).contents;
    }
  }
  return found->second.contents;
}

Lsn VolumeModel::must_hold() const {
  Lsn must = base_lsn_;
  for (const ChangeRef& change : changes_) {
    if (change->acknowledged || change->seen) must = std::max(must, change->lsn);
  }
  return must;
}

void VolumeModel::excuse_behind(Lsn lsn) {
  for (const ChangeRef& change : changes_) {
    if (change->lsn != Lsn() && change->lsn <= lsn) continue;
    change->acknowledged = false;
    change->seen = false;
  }
}

void VolumeModel::resolve(const LoggedRecord& record) {
  for (const ChangeRef& change : changes_) {
    if (change->lsn == record.header.lsn && !change->dropped) return;
  }
  for (const ChangeRef& change : changes_) {
    if (change->lsn != Lsn() || change->dropped || !is_record_of(record, *change)) continue;
    change->lsn = record.header.lsn;
    return;
  }
}

// What must be there and is not.
std::string VolumeModel::missing_after(Lsn last) const {
  if (last < base_lsn_) {
    return fmt::format("the last record is {}, an earlier recovery gave {}", last, base_lsn_);
  }
  for (const ChangeRef& change : changes_) {
    const bool must = (change->acknowledged || change->seen) && !change->dropped;
    if (!must || (change->lsn != Lsn() && change->lsn <= last)) continue;
    return fmt::format("record {} ({}) was {} and is gone: the last one is {}", change->lsn,
                       static_cast<int>(change->type),
                       change->acknowledged ? "acknowledged" : "seen", last);
  }
  std::string unknown;
  for (Lsn lsn = base_lsn_.next(); lsn <= last; lsn = lsn.next()) {
    const auto is = [&](const ChangeRef& one) { return one->lsn == lsn && !one->dropped; };
    if (std::none_of(changes_.begin(), changes_.end(), is)) unknown += fmt::format(" {}", lsn);
  }
  if (unknown.empty()) return {};
  return fmt::format("records{} of {} (from {}) are nobody's", unknown, last, base_lsn_);
}

void VolumeModel::start_from(Lsn last) {
  base_lsn_ = last;
  changes_.clear();
  snapshots_ = base_.snapshots;
  size_blocks_ = base_.size_blocks;
  acknowledged_ = last;
  reverted_ = last;
  floors_.assign(base_.contents.size(), {last, 0});
  for (std::size_t s = 0; s < floors_.size(); ++s) floors_[s].second = base_.contents[s];
}

std::string VolumeModel::recover(Lsn last, const std::vector<LoggedRecord>& log) {
  for (const LoggedRecord& record : log) {
    if (record.header.lsn > base_lsn_ && record.header.lsn <= last) resolve(record);
  }
  const std::string missing = missing_after(last);
  if (!missing.empty() && !may_lose) return missing;
  std::optional<VolumeState> state = state_at(last);
  if (missing.empty() && !state) return "the model lost a record";  // or this file has a bug
  if (!missing.empty()) {
    allows_old = true;
    state = std::move(base_);
  }
  base_ = std::move(*state);
  start_from(last);
  return {};
}

}  // namespace ashlar::engine::model
