// Volume: what a front end (SCSI) may do to one volume, in bytes. The one door to a replica: every
// call passes the serving gate first, reads included, and checksums are made here, once, where data
// enters.
//
//   gate → Volume → Replica → log
//
// Ranges are any whole sectors (512 bytes) within the volume; whole 4 KiB blocks are the quick way,
// parts of blocks are read, completed and written in the order of the appends. What is written is
// visible to every read that begins after the call resolved, and under AckPolicy::kDurable on
// stable media; under kBuffered it is in the log's file, and on stable media after flush() or with
// Force::kYes.
//
// Errors: kUnavailable when the gate is closed (retry), kOutOfRange, kResourceExhausted when the
// disk is full, kDataLoss for bytes that do not match their checksum, kAborted after a lost race,
// kPermissionDenied for a change of a volume that is read-only.
//
// Belongs to the executor of its store. Outlives every call.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/buffer.h"
#include "common/base/intrusive_list.h"
#include "common/base/result.h"
#include "common/base/uuid.h"
#include "common/runtime/clock.h"
#include "common/runtime/task.h"
#include "engine/block_checksum.h"
#include "engine/replica.h"
#include "volume/core/volume_settings.h"

namespace ashlar::volume {

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  friend constexpr bool operator==(const ByteRange&, const ByteRange&) = default;
};

enum class Force : std::uint8_t { kNo, kYes };

// A run of the volume that is alike: it holds data, or it is unmapped and reads as zeros.
struct ProvisionedRun {
  std::uint64_t length = 0;  // bytes from the offset that was asked for
  bool is_mapped = false;
};

// Changes bytes in place between a read and a write that nothing comes between.
using Modifier = engine::Modifier;

// Told on the volume's executor, outside of any call.
class VolumeObserver : public ListHook<struct VolumeObserverTag> {
 public:
  virtual void on_resized() = 0;
  virtual void on_settings_changed() = 0;

 protected:
  ~VolumeObserver() = default;
};

class Volume {
 public:
  static constexpr std::uint64_t kSector = 512;
  // Of one read, write or modify.
  static constexpr std::uint64_t kLargestTransfer = 4 << 20;

  // Both outlive the volume. Sets the replica's commit rule by the policy.
  Volume(engine::Replica& replica, BufferPool& pool, Clock& clock, VolumeSettings settings);
  ~Volume();
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  const VolumeUuid& uuid() const { return replica_.volume(); }
  const VolumeSettings& settings() const { return settings_; }
  ByteCount size() const;
  BufferPool& pool() { return pool_; }
  Clock& clock() { return clock_; }
  engine::Replica& replica() { return replica_; }
  const engine::Replica& replica() const { return replica_; }

  // The serving gate (DESIGN §6): open only when this replica may answer for the volume. For now:
  // it is recovered (else there were no Volume) and has not stepped out. kUnavailable with the
  // reason, kDataLoss when the replica has a fault.
  Result<> may_serve() const;

  // At most kLargestTransfer. The buffer may be shared with the log's memory: it is only read.
  Task<Result<Buffer>> read(ByteRange range);
  // The payload starts on a 4 KiB boundary of memory; it is not changed until it is dropped.
  Task<Result<>> write(std::uint64_t offset, Buffer payload, Force force = Force::kNo);
  // Reads, lets the modifier see and change the bytes, writes: nothing else is written to these
  // blocks in between. False when the modifier did not want it. At most largest_modify() bytes.
  Task<Result<bool>> modify(ByteRange range, Modifier& modifier, Force force = Force::kNo);
  // A modify is one record, as large as this store's log takes; it may begin in the midst of a
  // block.
  std::uint64_t largest_modify() const;
  // Any length. The range reads as zeros afterwards; whole blocks give their space back.
  Task<Result<>> discard(ByteRange range);
  // The same, for who wants zeros and no unmapping.
  Task<Result<>> write_zeroes(ByteRange range);
  // Everything that was acknowledged before the call is on stable media.
  Task<Result<>> flush();
  // What is at `offset`, and how far it goes on alike, at most `most` bytes.
  Task<Result<ProvisionedRun>> provisioning(std::uint64_t offset, std::uint64_t most);

  // What the store could still take: this volume's share of it is not set apart. known_space() asks
  // nobody.
  Task<Result<ByteCount>> available_space() { return replica_.available_space(); }
  ByteCount known_space() const { return replica_.known_space(); }

  // State of SCSI that rides in the log (persistent reservations), durable when it resolves.
  Task<Result<>> set_reservations(ByteSpan state);
  ByteSpan reservations() const { return replica_.reservations(); }

  // --- control ---

  // Grows only; tells the observers.
  Task<Result<>> resize(ByteCount size);
  Task<Result<>> change_settings(VolumeSettings settings);

  void add_observer(VolumeObserver& observer) { observers_.push_back(observer); }

 private:
  Result<> check(ByteRange range) const;
  Result<> check_write(ByteRange range) const;
  void apply_policy();
  void tell(void (VolumeObserver::*what)());
  Task<Result<Buffer>> read_pieces(ByteRange range);
  Task<Result<>> write_blocks(engine::BlockRange blocks, Buffer payload, Force force);
  Task<Result<>> write_parts(ByteRange range, ByteSpan bytes, Force force);
  enum class Zeros : std::uint8_t { kDiscard, kWriteZeroes };
  Task<Result<>> zero(ByteRange range, Zeros how);
  Task<Result<>> zero_part(ByteRange range);
  Task<Result<>> forced(Lsn lsn, Force force);

  engine::Replica& replica_;
  BufferPool& pool_;
  Clock& clock_;
  VolumeSettings settings_;
  engine::BlockChecksum checksum_;
  IntrusiveList<VolumeObserver, VolumeObserverTag> observers_;
};

}  // namespace ashlar::volume
