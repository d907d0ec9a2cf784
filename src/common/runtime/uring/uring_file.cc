#include "common/runtime/uring/uring_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/runtime/uring/offload.h"
#include "common/runtime/uring/reactor.h"

namespace ashlar::uring {
namespace {

static_assert(sizeof(IoSlice) == sizeof(iovec) && offsetof(iovec, iov_base) == 0);

constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;

Result<> done_or_errno(int status, std::string_view verb, const std::string& path) {
  if (status == 0) return {};
  return Error::from_errno(errno, fmt::format("{} {}", verb, path));
}

Result<int> open_file(const std::string& path, OpenMode mode) {
  const bool may_create = mode == OpenMode::kCreateNew || mode == OpenMode::kCreate;
  int flags = (mode == OpenMode::kReadOnly ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC;
  if (may_create) flags |= O_CREAT;
  if (mode == OpenMode::kCreateNew) flags |= O_EXCL;
  const int fd = ::open(path.c_str(), flags, kFileMode);
  if (fd >= 0) return fd;
  const int error_number = errno;
  if (error_number == EINVAL) {
    return Error::unimplemented("{}: its file system cannot do O_DIRECT; use ext4, xfs or btrfs",
                                path);
  }
  return Error::from_errno(error_number, "opening " + path);
}

// The kernel takes what the disk's sectors allow, often 512 bytes: a store that relied on it would
// fail on the next disk, and in the simulator.
bool is_aligned(const FileOperation& operation) {
  std::uint64_t bits = operation.offset() | operation.length();
  for (const IoSlice& slice : operation.slices()) {
    bits |= slice.size | reinterpret_cast<std::uintptr_t>(slice.data);
  }
  return bits % kDiskAlignment == 0;
}

Result<std::vector<DirectoryEntry>> list_directory(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return Error::from_errno(errno, "listing " + path);
  std::vector<DirectoryEntry> entries;
  errno = 0;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_directory = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN) {
      struct stat status{};
      is_directory =
          ::fstatat(::dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
          S_ISDIR(status.st_mode);
    }
    entries.push_back({std::string(name), is_directory});
    errno = 0;
  }
  const int error_number = errno;
  ::closedir(directory);
  if (error_number != 0) return Error::from_errno(error_number, "listing " + path);
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<> sync_directory_now(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error::from_errno(errno, "opening directory " + path);
  Result<> outcome = done_or_errno(::fsync(fd), "syncing directory", path);
  ::close(fd);
  return outcome;
}

}  // namespace

Task<Result<std::unique_ptr<File>>> UringFileSystem::open(std::string path, OpenMode mode) {
  Result<int> fd = co_await reactor_.offload().run([&path, mode] { return open_file(path, mode); });
  if (!fd.ok()) co_return std::move(fd).error();
  co_return std::make_unique<UringFile>(reactor_, std::move(path), *fd, mode);
}

Task<Result<>> UringFileSystem::remove(std::string path) {
  co_return co_await reactor_.offload().run(
      [&path] { return done_or_errno(::unlink(path.c_str()), "removing", path); });
}

Task<Result<>> UringFileSystem::rename(std::string from, std::string to) {
  co_return co_await reactor_.offload().run([&from, &to] {
    return done_or_errno(::rename(from.c_str(), to.c_str()), "renaming to " + to, from);
  });
}

Task<Result<>> UringFileSystem::make_directory(std::string path) {
  co_return co_await reactor_.offload().run([&path] {
    return done_or_errno(::mkdir(path.c_str(), kDirectoryMode), "making directory", path);
  });
}

Task<Result<>> UringFileSystem::remove_directory(std::string path) {
  co_return co_await reactor_.offload().run(
      [&path] { return done_or_errno(::rmdir(path.c_str()), "removing directory", path); });
}

Task<Result<std::vector<DirectoryEntry>>> UringFileSystem::list(std::string path) {
  co_return co_await reactor_.offload().run([&path] { return list_directory(path); });
}

Task<Result<>> UringFileSystem::sync_directory(std::string path) {
  co_return co_await reactor_.offload().run([&path] { return sync_directory_now(path); });
}

Task<Result<FileSystemSpace>> UringFileSystem::space(std::string path) {
  co_return co_await reactor_.offload().run([&path]() -> Result<FileSystemSpace> {
    struct statvfs status{};
    if (::statvfs(path.c_str(), &status) != 0) {
      return Error::from_errno(errno, "asking for the space of " + path);
    }
    return FileSystemSpace{ByteCount(status.f_blocks) * status.f_frsize,
                           ByteCount(status.f_bavail) * status.f_frsize};
  });
}

UringFile::UringFile(Reactor& reactor, std::string path, int fd, OpenMode mode)
    : File(std::move(path)),
      ring_(reactor.ring()),
      offload_(reactor.offload()),
      fd_(fd),
      read_only_(mode == OpenMode::kReadOnly) {}

UringFile::~UringFile() {
  ASHLAR_CHECK(in_flight_ == 0, "{} closed with {} operations in flight", path(), in_flight_);
  ::close(fd_);
}

Task<Result<ByteCount>> UringFile::size() {
  co_return co_await offload_.run([this]() -> Result<ByteCount> {
    struct stat status{};
    if (::fstat(fd_, &status) != 0) return Error::from_errno(errno, "size of " + path());
    return ByteCount(static_cast<std::uint64_t>(status.st_size));
  });
}

Task<Result<>> UringFile::resize(ByteCount size) {
  ASHLAR_CHECK(!read_only_, "{} is only read", path());
  if (size.value() % kDiskAlignment != 0) {
    co_return Error::invalid_argument("resizing {} to {}, which is no multiple of {}", path(),
                                      size.value(), kDiskAlignment);
  }
  co_return co_await offload_.run([this, size] {
    return done_or_errno(::ftruncate(fd_, static_cast<off_t>(size.value())), "resizing", path());
  });
}

Task<Result<ByteCount>> UringFile::allocated() {
  co_return co_await offload_.run([this]() -> Result<ByteCount> {
    struct stat status{};
    if (::fstat(fd_, &status) != 0) return Error::from_errno(errno, "size of " + path());
    return ByteCount(static_cast<std::uint64_t>(status.st_blocks) * 512);  // POSIX's unit here
  });
}

Task<Result<>> UringFile::lock() {
  co_return co_await offload_.run([this]() -> Result<> {
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return {};
    if (errno == EWOULDBLOCK) {
      return Error::failed_precondition("{} is locked: another process uses it", path());
    }
    return Error::from_errno(errno, "locking " + path());
  });
}

void UringFile::submit(FileOperation& operation) {
  ASHLAR_CHECK(!read_only_ || operation.kind() == FileOperation::Kind::kRead, "{} is only read",
               path());
  operation.begin(*this);
  operation.backend_progress = 0;
  operation.backend_result = 0;
  ++in_flight_;
  if (!is_aligned(operation)) return fail(operation, EINVAL);
  const auto offset = static_cast<off_t>(operation.offset());
  const auto length = static_cast<off_t>(operation.length());
  switch (operation.kind()) {
    case FileOperation::Kind::kRead:
    case FileOperation::Kind::kWrite:
      submit_transfer(operation);
      if (operation.is_at_once()) ring_.submit_now();
      return;
    case FileOperation::Kind::kSync:
      submit_sync(operation);
      return;
    case FileOperation::Kind::kAllocate:
      ring_.submit(operation, [&](io_uring_sqe& entry) {
        io_uring_prep_fallocate(&entry, fd_, 0, offset, length);
      });
      return;
    case FileOperation::Kind::kPunch:
      ring_.submit(operation, [&](io_uring_sqe& entry) {
        io_uring_prep_fallocate(&entry, fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                                length);
      });
      return;
  }
}

void UringFile::submit_transfer(FileOperation& operation) {
  // Find the place reached so far. A continuation that starts inside a slice moves the rest of that
  // slice alone: it is rare, and needs no copy of the list.
  std::span<const IoSlice> rest = operation.slices();
  std::uint64_t skip = operation.backend_progress;
  while (!rest.empty() && skip >= rest.front().size) {
    skip -= rest.front().size;
    rest = rest.subspan(1);
  }
  const bool is_write = operation.kind() == FileOperation::Kind::kWrite;
  const bool then_sync = operation.durability() == Durability::kWriteThenSync;
  const std::uint64_t offset = operation.offset() + operation.backend_progress;
  if (then_sync) ring_.reserve(2);
  ring_.submit(
      operation,
      [&](io_uring_sqe& entry) {
        if (rest.empty()) {
          io_uring_prep_nop(&entry);
        } else if (rest.size() == 1 || skip > 0) {
          constexpr std::uint64_t kMostPerCall = 1U << 30;
          const auto size = static_cast<unsigned>(
              std::min<std::uint64_t>(rest.front().size - skip, kMostPerCall));
          std::byte* const data = rest.front().data + skip;
          if (is_write) {
            io_uring_prep_write(&entry, fd_, data, size, offset);
          } else {
            io_uring_prep_read(&entry, fd_, data, size, offset);
          }
        } else {
          const auto* vectors = reinterpret_cast<const iovec*>(rest.data());
          const auto count = static_cast<unsigned>(std::min<std::size_t>(rest.size(), IOV_MAX));
          if (is_write) {
            io_uring_prep_writev(&entry, fd_, vectors, count, offset);
          } else {
            io_uring_prep_readv(&entry, fd_, vectors, count, offset);
          }
        }
        // A NOP has flags of its own in the same place.
        if (operation.durability() == Durability::kDsync && !rest.empty()) {
          entry.rw_flags = RWF_DSYNC;
        }
        if (then_sync) entry.flags |= IOSQE_IO_LINK;
      },
      then_sync ? Part::kLinkedFirst : Part::kWhole);
  if (then_sync) submit_sync(operation);
}

void UringFile::submit_sync(FileOperation& operation) {
  ring_.submit(operation, [this](io_uring_sqe& entry) {
    io_uring_prep_fsync(&entry, fd_, IORING_FSYNC_DATASYNC);
  });
}

void UringFile::complete(Operation& completed, Part part, std::int32_t result, std::uint32_t) {
  auto& operation = static_cast<FileOperation&>(completed);
  if (part == Part::kLinkedFirst) {
    operation.backend_result = result;  // judged together with the sync that follows
    return;
  }
  const bool is_transfer = operation.kind() == FileOperation::Kind::kRead ||
                           operation.kind() == FileOperation::Kind::kWrite;
  if (!is_transfer) {
    if (result < 0) return fail(operation, -result);
    --in_flight_;
    return operation.finish();
  }
  if (operation.durability() != Durability::kWriteThenSync) {
    return continue_transfer(operation, result);
  }
  const std::int32_t written = operation.backend_result;
  const bool complete_write =
      written >= 0 &&
      operation.backend_progress + static_cast<std::uint64_t>(written) == operation.length();
  // A short or failed write breaks the link and the sync is cancelled: then the write decides. Any
  // other failed sync is final even when more of the write is to come (IOV_MAX): the kernel reports
  // it once, so the sync of the next part would not.
  const bool link_broken = result == -ECANCELED && !complete_write;
  if (written >= 0 && result < 0 && !link_broken) return fail(operation, -result);
  continue_transfer(operation, written);
}

void UringFile::continue_transfer(FileOperation& operation, std::int32_t result) {
  if (result == -EINTR || result == -EAGAIN) return submit_transfer(operation);
  if (result < 0) return fail(operation, -result);
  operation.backend_progress += static_cast<std::uint64_t>(result);
  if (operation.backend_progress == operation.length()) {
    --in_flight_;
    return operation.finish();
  }
  if (result == 0) {
    if (operation.kind() == FileOperation::Kind::kWrite) return fail(operation, EIO);
    operation.fail(Error::out_of_range("{}: the file ends within the read of {} bytes at {}",
                                       path(), operation.length(), operation.offset()));
    --in_flight_;
    return operation.finish();
  }
  submit_transfer(operation);
}

void UringFile::fail(FileOperation& operation, int error_number) {
  static constexpr const char* kVerbs[] = {"reading", "writing", "syncing", "allocating",
                                           "punching"};
  operation.fail(Error::from_errno(
      error_number,
      fmt::format("{} {} ({} bytes at {})", kVerbs[static_cast<int>(operation.kind())], path(),
                  operation.length(), operation.offset())));
  --in_flight_;
  operation.finish();
}

}  // namespace ashlar::uring
