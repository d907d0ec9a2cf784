// DiskWatch: a file system that tells what was asked of the one below it, and lets single
// operations fail or vanish on purpose. For tests that count I/O; what crashes do is the simulated
// disk's business.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/file.h"

namespace ashlar::test {

struct DiskIo {
  FileOperation::Kind kind;
  std::string path;
  std::uint64_t offset;
  std::uint64_t length;
  Durability durability = Durability::kNone;

  bool is(FileOperation::Kind wanted, std::string_view part) const {
    return kind == wanted && path.find(part) != std::string::npos;
  }
};

// What was asked, over all processes of a test; and what is to go wrong.
struct DiskLog {
  enum class Fate : std::uint8_t { kGoesOn, kFails, kVanishes };

  std::vector<DiskIo> ios;
  std::uint64_t names = 0;  // files made, renamed, removed, cut
  std::function<Fate(const DiskIo&)> fate;

  std::uint64_t count(FileOperation::Kind kind, std::string_view part) const {
    std::uint64_t found = 0;
    for (const DiskIo& io : ios) found += io.is(kind, part) ? 1 : 0;
    return found;
  }
  std::uint64_t bytes(FileOperation::Kind kind, std::string_view part) const {
    std::uint64_t found = 0;
    for (const DiskIo& io : ios) found += io.is(kind, part) ? io.length : 0;
    return found;
  }
  // Syncs, and writes that are durable by themselves.
  std::uint64_t syncs(std::string_view part) const {
    std::uint64_t found = count(FileOperation::Kind::kSync, part);
    for (const DiskIo& io : ios) {
      const bool is_write = io.is(FileOperation::Kind::kWrite, part);
      found += is_write && io.durability != Durability::kNone ? 1 : 0;
    }
    return found;
  }
  // Whatever changes a file or a name.
  std::uint64_t changes() const {
    std::uint64_t found = names;
    for (const DiskIo& io : ios) {
      const bool reads =
          io.kind == FileOperation::Kind::kRead || io.kind == FileOperation::Kind::kSync;
      found += reads ? 0 : 1;
    }
    return found;
  }
  void clear() {
    ios.clear();
    names = 0;
  }
};

class WatchedFile final : public File, private OperationBackend {
 public:
  WatchedFile(std::unique_ptr<File> inner, DiskLog& log)
      : File(inner->path()), inner_(std::move(inner)), log_(log) {}

  Task<Result<ByteCount>> size() override { return inner_->size(); }
  Task<Result<>> resize(ByteCount size) override {
    ++log_.names;
    return inner_->resize(size);
  }
  Task<Result<ByteCount>> allocated() override { return inner_->allocated(); }
  Task<Result<>> lock() override { return inner_->lock(); }

 private:
  // Names what File keeps from all but its own.
  struct Submit : File {
    using File::submit;
  };

  void submit(FileOperation& operation) override {
    const DiskIo io{operation.kind(), path(), operation.offset(), operation.length(),
                    operation.durability()};
    log_.ios.push_back(io);
    const DiskLog::Fate fate = log_.fate ? log_.fate(io) : DiskLog::Fate::kGoesOn;
    if (fate == DiskLog::Fate::kGoesOn) {
      (inner_.get()->*&Submit::submit)(operation);
      return;
    }
    operation.begin(*this);
    if (fate == DiskLog::Fate::kFails) operation.fail(Error::data_loss("planned to fail"));
    operation.finish();
  }
  void cancel(Operation&) override {}
  void forget(Operation&) override {}

  const std::unique_ptr<File> inner_;
  DiskLog& log_;
};

class DiskWatch final : public FileSystem {
 public:
  DiskWatch(FileSystem& inner, DiskLog& log) : inner_(inner), log_(log) {}

  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override {
    const bool may_create = mode == OpenMode::kCreate || mode == OpenMode::kCreateNew;
    log_.names += may_create ? 1 : 0;
    Result<std::unique_ptr<File>> file = co_await inner_.open(std::move(path), mode);
    if (!file.ok()) co_return file.error();
    co_return std::make_unique<WatchedFile>(std::move(*file), log_);
  }
  Task<Result<>> remove(std::string path) override {
    ++log_.names;
    return inner_.remove(std::move(path));
  }
  Task<Result<>> rename(std::string from, std::string to) override {
    ++log_.names;
    return inner_.rename(std::move(from), std::move(to));
  }
  Task<Result<>> make_directory(std::string path) override {
    ++log_.names;
    return inner_.make_directory(std::move(path));
  }
  Task<Result<>> remove_directory(std::string path) override {
    ++log_.names;
    return inner_.remove_directory(std::move(path));
  }
  Task<Result<std::vector<DirectoryEntry>>> list(std::string path) override {
    return inner_.list(std::move(path));
  }
  Task<Result<>> sync_directory(std::string path) override {
    return inner_.sync_directory(std::move(path));
  }
  Task<Result<FileSystemSpace>> space(std::string path) override {
    return inner_.space(std::move(path));
  }

 private:
  FileSystem& inner_;
  DiskLog& log_;
};

}  // namespace ashlar::test
