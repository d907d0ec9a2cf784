// DataDirectory: what a server keeps of itself, apart from its stores.
//
//   DIR/lock          held as long as the process lives: one server a directory
//   DIR/server_uuid   the server's identity for ever, as text; made once
//
// Read and written by plain system calls when the process starts, before any reactor runs.
#pragma once

#include <string>

#include "common/base/result.h"
#include "common/base/uuid.h"

namespace ashlar::server {

class DataDirectory {
 public:
  // Makes the directory (its parent exists) and the identity if they are not there. A file of
  // identity that cannot be read is left as it is, and an error.
  static Result<DataDirectory> open(const std::string& path);

  DataDirectory(DataDirectory&& other) noexcept;
  DataDirectory& operator=(DataDirectory&&) = delete;
  ~DataDirectory();

  const ServerUuid& server() const { return server_; }

 private:
  explicit DataDirectory(int lock) : lock_(lock) {}

  int lock_;
  ServerUuid server_;
};

}  // namespace ashlar::server
