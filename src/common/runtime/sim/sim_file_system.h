// The files of one simulated process: FileSystem and File over the node's SimDisk. What is open
// here is closed, and its locks are released, when the process ends.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/runtime/file.h"
#include "common/runtime/sim/sim_disk.h"

namespace ashlar::sim {

class SimFileSystem final : public FileSystem {
 public:
  explicit SimFileSystem(SimDisk& disk) : disk_(disk) {}

  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override;
  Task<Result<>> remove(std::string path) override;
  Task<Result<>> rename(std::string from, std::string to) override;
  Task<Result<>> make_directory(std::string path) override;
  Task<Result<>> remove_directory(std::string path) override;
  Task<Result<std::vector<DirectoryEntry>>> list(std::string path) override;
  Task<Result<>> sync_directory(std::string path) override;
  Task<Result<FileSystemSpace>> space(std::string path) override;

 private:
  SimDisk& disk_;
};

}  // namespace ashlar::sim
