#include "common/runtime/sim/sim_file_system.h"

#include <cerrno>
#include <utility>

namespace ashlar::sim {
namespace {

// A crash needs nothing from it: the event dies with the frame.
class NothingToForget final : public OperationBackend {
  void cancel(Operation&) override {}
  void forget(Operation&) override {}
};
NothingToForget nothing_to_forget;

// Waits for as long as an operation on names takes. Like everything of a disk it is not
// cancellable. Its event lives in the frame that waits and dies with it.
class DiskDelay final : public Operation, private SimEvent {
 public:
  DiskDelay(SimDisk& disk, Duration time)
      : SimEvent(EventKind::kDisk, disk.node()), disk_(disk), time_(time) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> caller) {
    attach(caller.promise());
    begin(nothing_to_forget);
    disk_.world().arm(*this, disk_.world().now() + time_);
  }
  void await_resume() const noexcept {}

 private:
  void fire() override {
    if (const auto later = disk_.hung_until()) {
      disk_.world().arm(*this, *later);
    } else {
      finish();
    }
  }

  SimDisk& disk_;
  const Duration time_;
};

class SimFile final : public File {
 public:
  SimFile(SimDisk& disk, std::string path, SimDisk::InodeRef inode, OpenMode mode)
      : File(std::move(path)),
        disk_(disk),
        inode_(std::move(inode)),
        read_only_(mode == OpenMode::kReadOnly) {}
  ~SimFile() override {
    if (has_lock_) inode_->locked = false;
  }

  Task<Result<ByteCount>> size() override {
    co_await DiskDelay(disk_, disk_.name_latency());
    if (disk_.is_destroyed()) co_return lost();
    co_return ByteCount(inode_->size());
  }

  Task<Result<>> resize(ByteCount size) override {
    ASHLAR_CHECK(!read_only_, "{} is only read", path());
    co_await DiskDelay(disk_, disk_.name_latency());
    if (disk_.is_destroyed()) co_return lost();
    if (size.value() % kDiskAlignment != 0) {
      co_return Error::invalid_argument("a file of {} bytes: not a multiple of {}", size.value(),
                                        kDiskAlignment);
    }
    inode_->resize(size.value());
    co_return Result<>();
  }

  Task<Result<ByteCount>> allocated() override {
    co_await DiskDelay(disk_, disk_.name_latency());
    if (disk_.is_destroyed()) co_return lost();
    co_return ByteCount(inode_->allocated_pages() * kSimPage);
  }

  Task<Result<>> lock() override {
    co_await DiskDelay(disk_, disk_.name_latency());
    if (disk_.is_destroyed()) co_return lost();
    if (inode_->locked && !has_lock_) {
      co_return Error::failed_precondition("{} is locked by somebody else", path());
    }
    inode_->locked = has_lock_ = true;
    co_return Result<>();
  }

 protected:
  void submit(FileOperation& operation) override {
    ASHLAR_CHECK(!read_only_ || operation.kind() == FileOperation::Kind::kRead, "{} is only read",
                 path());
    disk_.submit(operation, inode_);
  }

 private:
  Error lost() const { return Error::from_errno(EIO, path()); }

  SimDisk& disk_;
  const SimDisk::InodeRef inode_;
  const bool read_only_;
  bool has_lock_ = false;
};

}  // namespace

Task<Result<std::unique_ptr<File>>> SimFileSystem::open(std::string path, OpenMode mode) {
  co_await DiskDelay(disk_, disk_.name_latency());
  ASHLAR_CO_TRY_ASSIGN(SimDisk::InodeRef inode, disk_.open(path, mode));
  co_return std::make_unique<SimFile>(disk_, std::move(path), std::move(inode), mode);
}

Task<Result<>> SimFileSystem::remove(std::string path) {
  co_await DiskDelay(disk_, disk_.name_latency());
  co_return disk_.remove(path);
}

Task<Result<>> SimFileSystem::rename(std::string from, std::string to) {
  co_await DiskDelay(disk_, disk_.name_latency());
  co_return disk_.rename(from, to);
}

Task<Result<>> SimFileSystem::make_directory(std::string path) {
  co_await DiskDelay(disk_, disk_.name_latency());
  co_return disk_.make_directory(path);
}

Task<Result<>> SimFileSystem::remove_directory(std::string path) {
  co_await DiskDelay(disk_, disk_.name_latency());
  co_return disk_.remove_directory(path);
}

Task<Result<std::vector<DirectoryEntry>>> SimFileSystem::list(std::string path) {
  co_await DiskDelay(disk_, disk_.name_latency());
  co_return disk_.list(path);
}

Task<Result<>> SimFileSystem::sync_directory(std::string path) {
  ASHLAR_CO_TRY_ASSIGN(const std::uint64_t upto, disk_.begin_sync_directory(path));
  co_await DiskDelay(disk_, disk_.sync_latency());
  co_return disk_.sync_directory(path, upto);
}

Task<Result<FileSystemSpace>> SimFileSystem::space(std::string path) {
  co_await DiskDelay(disk_, disk_.name_latency());
  ASHLAR_CO_TRY(disk_.list(path));
  co_return disk_.space();
}

}  // namespace ashlar::sim
