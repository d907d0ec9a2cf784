#include "volume/server/data_directory.h"

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/quote.h"
#include "common/base/random.h"

namespace ashlar::server {
namespace {

// Closes what it opened.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Result<> sync_directory(const std::string& path) {
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) {
    return Error::from_errno(errno, "syncing " + path);
  }
  return {};
}

std::string parent_of(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<> write_new(const std::string& path, std::string_view text) {
  const Descriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (file.get() < 0) return Error::from_errno(errno, "making " + path);
  const ssize_t written = ::write(file.get(), text.data(), text.size());
  if (written != static_cast<ssize_t>(text.size())) {
    return Error::from_errno(written < 0 ? errno : ENOSPC, "writing " + path);
  }
  if (::fsync(file.get()) != 0) return Error::from_errno(errno, "syncing " + path);
  return {};
}

// kNotFound when there is none.
Result<ServerUuid> read_identity(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return Error::from_errno(errno, "opening " + path);
  std::array<char, 64> bytes{};
  const ssize_t length = ::read(file.get(), bytes.data(), bytes.size());
  if (length < 0) return Error::from_errno(errno, "reading " + path);
  std::string_view text(bytes.data(), static_cast<std::size_t>(length));
  if (text.ends_with('\n')) text.remove_suffix(1);
  const Result<ServerUuid> server = ServerUuid::parse(text);
  if (server.ok() && !server->is_nil()) return *server;
  return Error::data_loss("{} holds {}, which is no server's uuid; it is left as it is", path,
                          quote(text));
}

Result<ServerUuid> make_identity(const std::string& directory, const std::string& path) {
  Random random = Random::from_os();
  const ServerUuid server = ServerUuid::generate(random);
  const std::string unfinished = path + ".new";
  ASHLAR_TRY(write_new(unfinished, server.to_string() + "\n"));
  if (::rename(unfinished.c_str(), path.c_str()) != 0) {
    return Error::from_errno(errno, "renaming " + unfinished);
  }
  ASHLAR_TRY(sync_directory(directory));
  return server;
}

}  // namespace

DataDirectory::DataDirectory(DataDirectory&& other) noexcept
    : lock_(std::exchange(other.lock_, -1)), server_(other.server_) {}

DataDirectory::~DataDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

Result<DataDirectory> DataDirectory::open(const std::string& path) {
  if (::mkdir(path.c_str(), 0750) == 0) {
    ASHLAR_TRY(sync_directory(parent_of(path)));
  } else if (errno != EEXIST) {
    return Error::from_errno(errno, "making the data directory " + path);
  }
  const std::string lock_path = path + "/lock";
  Descriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (lock.get() < 0) return Error::from_errno(errno, "opening " + lock_path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Error::from_errno(errno, "locking " + lock_path);
    return Error::failed_precondition("{} is the data directory of a server that is running", path);
  }
  DataDirectory directory(lock.release());
  const std::string identity = path + "/server_uuid";
  Result<ServerUuid> server = read_identity(identity);
  if (!server.ok() && server.error().code() == ErrorCode::kNotFound) {
    server = make_identity(path, identity);
  }
  if (!server.ok()) return server.error();
  directory.server_ = *server;
  return directory;
}

}  // namespace ashlar::server
