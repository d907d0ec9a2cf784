// Disks as deciding code sees them: positioned I/O on files opened for O_DIRECT, and the directory
// operations a store needs.
//
// Alignment: offsets, lengths and memory of reads and writes are multiples of kDiskAlignment; the
// size of a file is any multiple of it. Reads and writes are all or nothing: a short transfer is
// continued inside, end of file within a read is kOutOfRange.
//
// Durability: a write is on stable media when it resolved with kDsync, or when a sync() that was
// started after the write resolved did resolve without error. After a failed sync nothing is known
// about any write since the last good one: the caller must not retry, it must fail stop
// (lessons.md).
//
// Disk operations are not cancellable. Everything belongs to the runtime's executor.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/strong.h"
#include "common/runtime/operation.h"
#include "common/runtime/task.h"

namespace ashlar {

inline constexpr std::size_t kDiskAlignment = 4096;

enum class Durability : std::uint8_t {
  kNone,           // on stable media after a later sync()
  kDsync,          // RWF_DSYNC: on stable media when it resolves
  kWriteThenSync,  // write and fdatasync as a linked pair: for disks where DSYNC costs more
};

class File;

class FileOperation : public Operation {
 public:
  enum class Kind : std::uint8_t { kRead, kWrite, kSync, kAllocate, kPunch };

  Kind kind() const { return kind_; }
  Durability durability() const { return durability_; }
  // Whether it is to reach the disk before others of this executor have their turn.
  bool is_at_once() const { return at_once_; }
  std::uint64_t offset() const { return offset_; }
  // Of the range (kAllocate, kPunch) or of all slices together (kRead, kWrite).
  std::uint64_t length() const { return length_; }
  // For kRead and kWrite. A write's slices are only read from.
  std::span<const IoSlice> slices() const { return slices_; }

  // Backend: the outcome; then finish().
  void fail(Error error) { outcome_ = std::move(error); }

 protected:
  FileOperation(File& file, Kind kind, std::uint64_t offset)
      : file_(file), kind_(kind), offset_(offset) {}
  ~FileOperation() = default;

  File& file_;
  Kind kind_;
  Durability durability_ = Durability::kNone;
  bool at_once_ = false;
  std::uint64_t offset_;
  std::uint64_t length_ = 0;
  IoSlice single_;
  std::span<const IoSlice> slices_;
  Result<> outcome_;
};

class [[nodiscard]] FileAwaiter final : public FileOperation {
 public:
  FileAwaiter(File& file, Kind kind, std::uint64_t offset, std::uint64_t length)
      : FileOperation(file, kind, offset) {
    length_ = length;
  }
  FileAwaiter(File& file, Kind kind, std::uint64_t offset, IoSlice slice, Durability durability)
      : FileOperation(file, kind, offset) {
    durability_ = durability;
    length_ = slice.size;
    single_ = slice;
    slices_ = {&single_, 1};
  }
  FileAwaiter(File& file, Kind kind, std::uint64_t offset, std::span<const IoSlice> slices,
              Durability durability)
      : FileOperation(file, kind, offset) {
    durability_ = durability;
    slices_ = slices;
    for (const IoSlice& slice : slices) length_ += slice.size;
  }

  // For an operation that much waits for: it costs a system call of its own, and the disk works
  // while this thread does.
  FileAwaiter& at_once() {
    at_once_ = true;
    return *this;
  }

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> caller);
  Result<> await_resume() { return std::move(outcome_); }
};

class File {
 public:
  // No operation may be in flight. Closes the file; see close() for the error it swallows.
  virtual ~File() = default;

  FileAwaiter read(std::uint64_t offset, MutableByteSpan into) {
    return {*this, FileOperation::Kind::kRead, offset, IoSlice(into), Durability::kNone};
  }
  FileAwaiter read(std::uint64_t offset, std::span<const IoSlice> into) {
    return {*this, FileOperation::Kind::kRead, offset, into, Durability::kNone};
  }
  // Both the bytes and, for the second form, the array of slices stay untouched until it resolves.
  FileAwaiter write(std::uint64_t offset, ByteSpan from, Durability durability) {
    return {*this, FileOperation::Kind::kWrite, offset, mutable_slice(from), durability};
  }
  FileAwaiter write(std::uint64_t offset, std::span<const ConstIoSlice> from,
                    Durability durability) {
    // One layout, and the backend only reads: this saves a second set of operations.
    return {*this, FileOperation::Kind::kWrite, offset,
            std::span(reinterpret_cast<const IoSlice*>(from.data()), from.size()), durability};
  }
  // fdatasync: every write that resolved before this call is on stable media when it resolves.
  FileAwaiter sync() { return {*this, FileOperation::Kind::kSync, 0, std::uint64_t{0}}; }
  // Reserves space for [offset, offset + length) and extends the file to its end if it is shorter.
  // What is there stays; what was a hole or beyond the end reads as zeros.
  FileAwaiter allocate(std::uint64_t offset, std::uint64_t length) {
    return {*this, FileOperation::Kind::kAllocate, offset, length};
  }
  // Gives the space of the range back; it reads as zeros, the size stays.
  FileAwaiter punch(std::uint64_t offset, std::uint64_t length) {
    return {*this, FileOperation::Kind::kPunch, offset, length};
  }

  virtual Task<Result<ByteCount>> size() = 0;
  // Truncates or extends (with zeros) to `size`, a multiple of kDiskAlignment.
  virtual Task<Result<>> resize(ByteCount size) = 0;
  // Bytes on disk that the file takes up: less than its size when it has holes.
  virtual Task<Result<ByteCount>> allocated() = 0;
  // Takes an exclusive lock for as long as the file is open; kFailedPrecondition when somebody else
  // (in this process too) has it.
  virtual Task<Result<>> lock() = 0;

  const std::string& path() const { return path_; }

 protected:
  explicit File(std::string path) : path_(std::move(path)) {}

  virtual void submit(FileOperation& operation) = 0;

 private:
  friend class FileAwaiter;

  static IoSlice mutable_slice(ByteSpan bytes) {
    return IoSlice(MutableByteSpan(const_cast<std::byte*>(bytes.data()), bytes.size()));
  }

  std::string path_;
};

template <class Promise>
void FileAwaiter::await_suspend(std::coroutine_handle<Promise> caller) {
  attach(caller.promise());
  file_.submit(*this);
}

enum class OpenMode : std::uint8_t {
  kReadOnly,   // as kExisting; it is only read (checked): for who looks at what others own
  kExisting,   // kNotFound when it is not there
  kCreateNew,  // kAlreadyExists when it is there
  kCreate,     // either
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;

  friend bool operator==(const DirectoryEntry&, const DirectoryEntry&) = default;
};

struct FileSystemSpace {
  ByteCount total;
  ByteCount available;  // to an unprivileged user
};

// Names are absolute or relative to the process's directory; '/' separates. A file that was
// created, renamed or removed is so for good only after sync_directory() of its directory.
class FileSystem {
 public:
  virtual Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) = 0;
  virtual Task<Result<>> remove(std::string path) = 0;
  // Replaces `to` if it is there; atomic.
  virtual Task<Result<>> rename(std::string from, std::string to) = 0;
  virtual Task<Result<>> make_directory(std::string path) = 0;
  virtual Task<Result<>> remove_directory(std::string path) = 0;
  // In order of name.
  virtual Task<Result<std::vector<DirectoryEntry>>> list(std::string path) = 0;
  virtual Task<Result<>> sync_directory(std::string path) = 0;
  virtual Task<Result<FileSystemSpace>> space(std::string path) = 0;

 protected:
  ~FileSystem() = default;
};

}  // namespace ashlar
