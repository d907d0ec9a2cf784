#include "cli/store/in_use.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace ashlar::store_tool {

Result<bool> is_in_use(const std::string& directory) {
  const std::string path = directory + "/owner";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return false;
    return Error::from_errno(errno, "opening " + path);
  }
  const int locked = ::flock(fd, LOCK_SH | LOCK_NB);
  const int error_number = errno;
  ::close(fd);  // and with it the lock
  if (locked == 0) return false;
  if (error_number == EWOULDBLOCK) return true;
  return Error::from_errno(error_number, "asking for the lock of " + path);
}

}  // namespace ashlar::store_tool
