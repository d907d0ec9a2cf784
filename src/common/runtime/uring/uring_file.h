// Files on io_uring, opened with O_DIRECT, and the directory operations on the helper thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/runtime/file.h"
#include "common/runtime/uring/ring.h"

namespace ashlar::uring {

class Offload;
class Reactor;

class UringFileSystem final : public FileSystem {
 public:
  explicit UringFileSystem(Reactor& reactor) : reactor_(reactor) {}

  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override;
  Task<Result<>> remove(std::string path) override;
  Task<Result<>> rename(std::string from, std::string to) override;
  Task<Result<>> make_directory(std::string path) override;
  Task<Result<>> remove_directory(std::string path) override;
  Task<Result<std::vector<DirectoryEntry>>> list(std::string path) override;
  Task<Result<>> sync_directory(std::string path) override;
  Task<Result<FileSystemSpace>> space(std::string path) override;

 private:
  Reactor& reactor_;
};

class UringFile final : public File, private CompletionBackend {
 public:
  UringFile(Reactor& reactor, std::string path, int fd, OpenMode mode);
  ~UringFile() override;

  Task<Result<ByteCount>> size() override;
  Task<Result<>> resize(ByteCount size) override;
  Task<Result<ByteCount>> allocated() override;
  Task<Result<>> lock() override;

 private:
  void submit(FileOperation& operation) override;
  void cancel(Operation&) override {}
  void complete(Operation& operation, Part part, std::int32_t result, std::uint32_t flags) override;

  void submit_transfer(FileOperation& operation);
  void submit_sync(FileOperation& operation);
  void continue_transfer(FileOperation& operation, std::int32_t result);
  void fail(FileOperation& operation, int error_number);

  Ring& ring_;
  Offload& offload_;
  int fd_;
  const bool read_only_;
  unsigned in_flight_ = 0;
};

}  // namespace ashlar::uring
