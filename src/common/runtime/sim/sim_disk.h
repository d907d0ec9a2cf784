// SimDisk: the disk of one machine with its file system. It outlives the processes that use it.
//
// Three layers of truth: what a reader sees now, what is on stable media, and what a power failure
// makes of the difference (see sim_inode.h for file content). Names follow the same idea: a create,
// rename or remove is seen at once and is durable after a sync of its directory; at a power failure
// a prefix of the others survives, in the order in which they were made.
//
// Operations take virtual time (sim_faults.h: DiskTiming) and finish out of order. A write takes
// effect when it finishes; its bytes are looked at when it is submitted, and a check fails if they
// were changed while it was in flight. A write of a killed process goes on without it.
//
// Faults happen at the rates of DiskFaults, or once and on purpose through the calls below.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/random.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/runtime/file.h"
#include "common/runtime/sim/sim_faults.h"
#include "common/runtime/sim/sim_inode.h"
#include "common/runtime/sim/sim_world.h"

namespace ashlar::sim {

enum class SyncFailure : std::uint8_t {
  kDropped,    // what was to be synced is gone at once; reads see the old content
  kForgotten,  // it stays readable, later syncs succeed, and the next power failure takes it
};

class SimDisk final : private OperationBackend {
 public:
  using InodeRef = std::shared_ptr<SimInode>;

  SimDisk(SimWorld& world, std::uint32_t node);
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;
  ~SimDisk();

  // Knobs.
  DiskFaults faults;
  DiskTiming timing;
  void set_capacity(ByteCount capacity) { capacity_pages_ = capacity.value() / kSimPage; }

  // Once, at the next operation of that kind.
  void fail_next_read(int error_number) { next_read_error_ = error_number; }
  void fail_next_write(int error_number) { next_write_error_ = error_number; }
  void fail_next_sync(SyncFailure how) { next_sync_failure_ = how; }
  void drop_next_write() { drop_next_write_ = true; }
  void misdirect_next_write(std::uint64_t to_offset) { misdirect_next_write_ = to_offset; }

  // Flips one bit of the byte at `offset`, on stable media and in what is written but not synced.
  void rot(std::string_view path, std::uint64_t offset);
  // The page at `offset` cannot be read until it is written again.
  void make_unreadable(std::string_view path, std::uint64_t offset);
  // Operations take a thousand times as long for this long.
  void slow_down(Duration duration);
  // Nothing finishes for this long (what was submitted goes on afterwards).
  void hang(Duration duration);
  // The disk is gone for good, with everything on it. Every operation fails.
  void destroy();
  // A new, empty disk in its place.
  void replace();
  bool is_destroyed() const { return destroyed_; }

  // For the file system: names take effect at once; the caller adds the time they take.
  Result<InodeRef> open(std::string_view path, OpenMode mode);
  Result<> remove(std::string_view path);
  Result<> rename(std::string_view from, std::string_view to);
  Result<> make_directory(std::string_view path);
  Result<> remove_directory(std::string_view path);
  Result<std::vector<DirectoryEntry>> list(std::string_view path) const;
  // A sync of a directory covers the changes made up to when it was submitted.
  Result<std::uint64_t> begin_sync_directory(std::string_view path) const;
  Result<> sync_directory(std::string_view path, std::uint64_t upto);
  FileSystemSpace space() const;
  Duration name_latency();
  Duration sync_latency();
  // When an operation due now ends instead because nothing answers; nothing when it may end now.
  std::optional<MonoTime> hung_until() const;

  void submit(FileOperation& operation, InodeRef inode);

  void power_fail();

  SimWorld& world() const { return world_; }
  std::uint32_t node() const { return node_; }
  std::size_t in_flight() const { return requests_.size(); }

 private:
  class Request;

  struct NameChange {
    std::uint64_t number;
    // One change, or the two of a rename; the second directory may be null.
    InodeRef directory;
    std::string name;
    InodeRef target;  // null: removed
    InodeRef second_directory;
    std::string second_name;
    InodeRef second_target;
  };
  struct Place {
    InodeRef directory;
    std::string name;
  };

  // OperationBackend
  void cancel(Operation&) override {}
  void forget(Operation& operation) override;

  static void apply(const NameChange& change);
  void record(NameChange change);
  Result<Place> locate(std::string_view path) const;
  Result<InodeRef> find(std::string_view path) const;
  InodeRef file_at(std::string_view path) const;
  InodeRef make_inode(bool is_directory);
  void format();
  void visit(const InodeRef& inode, std::vector<InodeRef>& seen) const;

  Result<> check(const FileOperation& operation) const;
  Duration latency(const FileOperation& operation);
  Duration drawn(Duration base, Duration tail);
  bool strikes(std::uint32_t rate_per_million);
  void finish(Request& request);
  Result<> finish_read(Request& request);
  Result<> finish_write(Request& request);
  Result<> finish_sync(SimInode& inode, ChangeNumber upto);
  void store(SimInode& inode, std::uint64_t page, std::vector<PageRef>& bytes);
  Result<> make_room(const SimInode& inode, std::uint64_t first, std::uint64_t end);
  Error gone() const;

  SimWorld& world_;
  const std::uint32_t node_;
  Random random_;
  std::shared_ptr<std::uint64_t> pages_used_ = std::make_shared<std::uint64_t>(0);
  std::uint64_t capacity_pages_ = (std::uint64_t{1} << 40) / kSimPage;
  InodeRef root_;
  std::uint64_t next_inode_ = 1;
  std::vector<NameChange> journal_;  // not yet durable, oldest first
  std::uint64_t last_name_change_ = 0;
  std::map<std::uint64_t, Request*> requests_;  // in flight, in the order of submission
  std::uint64_t next_request_ = 1;
  MonoTime slow_until_;
  MonoTime hung_until_;
  bool destroyed_ = false;

  int next_read_error_ = 0;
  int next_write_error_ = 0;
  std::optional<SyncFailure> next_sync_failure_;
  bool drop_next_write_ = false;
  std::optional<std::uint64_t> misdirect_next_write_;
};

}  // namespace ashlar::sim
