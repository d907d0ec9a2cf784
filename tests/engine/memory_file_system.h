// MemoryFileSystem: files in memory that tell what was asked of them, for tests that count; its
// operations allocate nothing once a file has its size.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/engine/memory_file.h"

namespace ashlar::test {

class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFile& file(const std::string& path) { return *files_.at(path); }

  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override {
    const bool creates = mode == OpenMode::kCreate || mode == OpenMode::kCreateNew;
    auto found = files_.find(path);
    if (found == files_.end()) {
      if (!creates) co_return Error::not_found("no file {}", path);
      auto made = std::make_shared<MemoryFile>(0);
      made->grows = true;
      made->counts_writes = false;
      found = files_.emplace(path, std::move(made)).first;
    }
    co_return std::make_unique<Handle>(path, found->second);
  }
  Task<Result<>> remove(std::string path) override {
    files_.erase(path);
    co_return Result<>();
  }
  Task<Result<>> rename(std::string from, std::string to) override {
    files_[to] = files_.at(from);
    files_.erase(from);
    co_return Result<>();
  }
  Task<Result<>> make_directory(std::string /*path*/) override { co_return Result<>(); }
  Task<Result<>> remove_directory(std::string /*path*/) override { co_return Result<>(); }
  Task<Result<std::vector<DirectoryEntry>>> list(std::string path) override {
    std::vector<DirectoryEntry> entries;
    for (const auto& [name, file] : files_) {
      if (name.starts_with(path + "/") && name.find('/', path.size() + 1) == std::string::npos) {
        entries.push_back({name.substr(path.size() + 1)});
      }
    }
    co_return entries;
  }
  Task<Result<>> sync_directory(std::string /*path*/) override { co_return Result<>(); }
  Task<Result<FileSystemSpace>> space(std::string /*path*/) override {
    const ByteCount much(std::uint64_t{1} << 40);
    co_return FileSystemSpace{much, much};
  }

 private:
  class Handle final : public File {
   public:
    Handle(std::string path, std::shared_ptr<MemoryFile> file)
        : File(std::move(path)), file_(std::move(file)) {}
    Task<Result<ByteCount>> size() override { return file_->size(); }
    Task<Result<>> resize(ByteCount size) override { return file_->resize(size); }
    Task<Result<ByteCount>> allocated() override { return file_->allocated(); }
    Task<Result<>> lock() override { return file_->lock(); }

   private:
    // Names what File keeps from all but its own.
    struct Submit : File {
      using File::submit;
    };
    void submit(FileOperation& operation) override {
      File& inner = *file_;
      (inner.*&Submit::submit)(operation);
    }
    const std::shared_ptr<MemoryFile> file_;
  };

  std::map<std::string, std::shared_ptr<MemoryFile>> files_;
};

}  // namespace ashlar::test
