// VolumeModel: what a volume must say, kept in memory beside the engine that is judged.
//
// Every write has a tag of its own, and each sector of 512 bytes says which write it comes from and
// where it belongs. A volume's contents are one tag a sector; 0 is a sector of zeros.
//
// A change begins before the engine hears of it, and is acknowledged with its LSN when the engine
// says so. In between it may show or not. What a reader may see of a sector: the newest change that
// was acknowledged before he began, or one that was under way meanwhile; and what one reader has
// seen, later ones see too.
//
// After a crash the engine says which record was its last. It must hold all that was acknowledged
// or seen, and no record may be missing before it. Which LSN an unacknowledged change has is known
// from the log, which the judge has read before the engine did.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/strong.h"
#include "common/base/uuid.h"
#include "engine/log_format.h"

namespace ashlar::engine::model {

inline constexpr std::uint64_t kSector = 512;
inline constexpr std::uint64_t kSectorsPerBlock = kBlockSize / kSector;

using Tag = std::uint64_t;
using Contents = std::vector<Tag>;  // sectors behind its end are zeros

struct Sectors {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::uint64_t end() const { return first + count; }
};

// `bytes` are whole sectors from sector `first` of a volume on.
void fill_sectors(MutableByteSpan bytes, std::uint64_t first, Tag tag);
// Nothing when these bytes are what no write puts there.
std::optional<Tag> tag_of(ByteSpan sector, std::uint64_t number);

struct Change {
  RecordType type = RecordType::kWrite;
  Tag tag = 0;              // of a write or reservation; else 0
  Sectors sectors;          // write, discard, zeroes
  std::uint64_t value = 0;  // size in blocks, epoch
  SnapshotUuid snapshot;    // created, deleted, reverted to
  std::shared_ptr<const Contents> reverts_to;

  Lsn lsn;          // 0: not known
  Lsn begun_after;  // the highest that was acknowledged when it began
  bool acknowledged = false;
  bool seen = false;     // by a reader, before it was acknowledged
  bool aborted = false;  // the engine says that it is dropped
  bool dropped = false;  // durably

  bool covers(std::uint64_t sector) const;
  Tag tag_at(std::uint64_t sector) const;
};
using ChangeRef = std::shared_ptr<Change>;

// A record as the log has it, before the engine opens it.
struct LoggedRecord {
  RecordHeader header;
  std::vector<std::byte> payload;
};

struct ModelSnapshot {
  Lsn lsn;
  std::shared_ptr<const Contents> contents;
};

// A volume at one LSN.
struct VolumeState {
  Contents contents;
  std::uint64_t size_blocks = 0;
  std::map<SnapshotUuid, ModelSnapshot> snapshots;
  Tag reservation = 0;

  void apply(const Change& change);
};

class VolumeModel {
 public:
  VolumeModel(std::uint64_t size_blocks, Contents contents);
  // Its history begins at `lsn`: a copy of another replica.
  void begin_at(Lsn lsn);
  // A clone shares its parent's layers: where old contents may show, its parent's may.
  void share_history(const VolumeModel& parent) { history_ = parent.history_; }

  // A clone shares layers with its parent: where old data may show, the parent's may.
  void descend_from(const VolumeModel& parent) {
    history_ = parent.history_;
    allows_old = allows_old || parent.allows_old;
  }

  ChangeRef begin(Change change);
  // Each returns what is wrong, or nothing.
  [[nodiscard]] std::string acknowledge(const ChangeRef& change, Lsn lsn);
  // The engine refused it: it has no LSN and will never show.
  void refuse(const ChangeRef& change) { change->dropped = true; }
  // The engine dropped it with a tail; that is certain when the cut is durable.
  void abort(const ChangeRef& change) { change->aborted = true; }
  void cut(Lsn kept);

  struct Reading {
    Sectors sectors;
    std::vector<std::pair<Lsn, Tag>> floors;
    std::size_t first_change = 0;
  };
  Reading begin_read(Sectors sectors);
  [[nodiscard]] std::string end_read(const Reading& reading, ByteSpan bytes);

  // All of it at `lsn`, if every change up to there is known.
  std::optional<VolumeState> state_at(Lsn lsn) const;
  // A snapshot's contents, if all that came before is known.
  std::shared_ptr<const Contents> snapshot_contents(SnapshotUuid uuid);
  // The acknowledged ones.
  const std::map<SnapshotUuid, ModelSnapshot>& snapshots() const { return snapshots_; }
  void forget_snapshot(SnapshotUuid uuid) { snapshots_.erase(uuid); }

  // The greatest LSN that must survive whatever happens to the process.
  Lsn must_hold() const;
  // Nothing but what is <= lsn has to be there: a buffered volume whose power failed.
  void excuse_behind(Lsn lsn);
  // After a crash, or a close: the engine has the records up to `last`.
  [[nodiscard]] std::string recover(Lsn last, const std::vector<LoggedRecord>& log);

  std::uint64_t size_blocks() const { return size_blocks_; }  // acknowledged
  const VolumeState& base() const { return base_; }
  Lsn base_lsn() const { return base_lsn_; }
  Lsn acknowledged() const { return acknowledged_; }

  // Wrong data is found out, old data is not: a disk that loses writes and says nothing.
  bool allows_old = false;
  // The end of a history may be lost with the sectors it stood in; then this volume allows old data
  // from then on, for its layers may be ahead of its records.
  bool may_lose = false;

 private:
  void resolve(const LoggedRecord& record);
  std::string missing_after(Lsn last) const;
  void start_from(Lsn last);
  void grow_floors(std::uint64_t sectors);
  void raise_floors(const Change& change);
  std::string describe(std::uint64_t sector) const;
  bool was_ever_there(std::uint64_t sector, Tag tag) const;

  VolumeState base_;
  Lsn base_lsn_;
  std::vector<ChangeRef> changes_;  // since base_
  std::vector<std::pair<Lsn, Tag>> floors_;
  Lsn reverted_;  // of the last change of all sectors, also those behind floors_
  std::map<SnapshotUuid, ModelSnapshot> snapshots_;
  std::map<Tag, Sectors> history_;  // all writes there ever were
  std::uint64_t size_blocks_;
  Lsn acknowledged_;
};

}  // namespace ashlar::engine::model
