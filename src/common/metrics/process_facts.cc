#include "common/metrics/process_facts.h"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

namespace ashlar {
namespace {

Result<std::string> read_all(const char* path) {
  std::ifstream in(path);
  if (!in) return Error::unavailable("cannot read {}", path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Seconds since the epoch at which the machine started: the line "btime N".
Result<double> boot_time() {
  ASHLAR_TRY_ASSIGN(const std::string stat, read_all("/proc/stat"));
  const std::size_t at = stat.find("\nbtime ");
  if (at == std::string::npos) return Error::unavailable("/proc/stat has no btime");
  double seconds = 0;
  std::istringstream(stat.substr(at + 7)) >> seconds;
  return seconds;
}

Result<std::uint64_t> count_open_fds() {
  const auto close = [](DIR* dir) { ::closedir(dir); };
  const std::unique_ptr<DIR, decltype(close)> dir(::opendir("/proc/self/fd"), close);
  if (!dir) return Error::from_errno(errno, "opening /proc/self/fd");
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count - 1;  // the one we look through
}

}  // namespace

Result<ProcessFacts> read_process_facts() {
  ASHLAR_TRY_ASSIGN(const std::string stat, read_all("/proc/self/stat"));
  // The second field is the program's name in parentheses, which may hold blanks and parentheses
  // itself: fields are counted after its end (proc(5)).
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return Error::unavailable("/proc/self/stat has no name");
  std::istringstream in(stat.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field <= 13; ++field) in >> skipped;
  double user_ticks = 0;
  double system_ticks = 0;
  in >> user_ticks >> system_ticks;  // 14, 15
  for (int field = 16; field <= 21; ++field) in >> skipped;
  double start_ticks = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t resident_pages = 0;
  in >> start_ticks >> virtual_bytes >> resident_pages;  // 22, 23, 24
  if (!in) return Error::unavailable("/proc/self/stat is cut short");

  const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  ProcessFacts facts;
  facts.cpu_seconds = (user_ticks + system_ticks) / ticks_per_second;
  facts.virtual_bytes = virtual_bytes;
  facts.resident_bytes = resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  ASHLAR_TRY_ASSIGN(const double boot_seconds, boot_time());
  facts.start_time_seconds = boot_seconds + start_ticks / ticks_per_second;
  ASHLAR_TRY_ASSIGN(facts.open_fds, count_open_fds());
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) facts.max_fds = limit.rlim_cur;
  return facts;
}

}  // namespace ashlar
