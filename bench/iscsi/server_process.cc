#include "bench/iscsi/server_process.h"

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"

namespace ashlar::bench {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

pid_t start(const std::vector<std::string>& command, const std::string& directory,
            const std::string& log, const std::vector<std::string>& environment) {
  std::vector<std::string> whole = command;
  if (!environment.empty()) {
    whole.insert(whole.begin(), environment.begin(), environment.end());
    whole.insert(whole.begin(), "env");
  }
  std::vector<char*> arguments;
  arguments.reserve(whole.size() + 1);
  for (std::string& word : whole) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t pid = ::fork();
  ASHLAR_CHECK(pid >= 0);
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::chdir(directory.c_str()) != 0) ::_exit(126);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(out, 1);
  ::dup2(out, 2);
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, 0);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

ServerProcess::ServerProcess(const std::vector<std::string>& command, const std::string& directory,
                             const std::string& log, const std::vector<std::string>& environment)
    : pid_(start(command, directory, log, environment)) {}

ServerProcess::~ServerProcess() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

bool ServerProcess::is_running() const {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

double ServerProcess::cpu_seconds() const {
  std::uint64_t total = 0;
  std::error_code ignored;
  for (const auto& thread :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid_), ignored)) {
    std::ifstream file(thread.path() / "schedstat");
    std::uint64_t ns = 0;
    file >> ns;
    total += ns;
  }
  return static_cast<double>(total) / 1e9;
}

int run_command(const std::vector<std::string>& command, const std::string& directory,
                const std::vector<std::string>& environment, bool must_succeed) {
  const pid_t pid = start(command, directory, "commands.log", environment);
  int status = 0;
  ASHLAR_CHECK(::waitpid(pid, &status, 0) == pid);
  if (must_succeed && status != 0) {
    std::string words;
    for (const std::string& word : command) words += word + " ";
    fmt::print(stderr, "bench_iscsi: failed: {}\n", words);
    std::ifstream log(directory + "/commands.log");
    fmt::print(stderr, "{}\n", std::string(std::istreambuf_iterator<char>(log), {}));
    std::exit(1);
  }
  return status;
}

bool answers(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  const bool good = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return good;
}

int free_port() {
  // Below the range that the kernel gives to clients.
  static int next = 14000 + ::getpid() % 10'000;
  for (;; ++next) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(next);
    const bool good = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    if (good) return next++;
  }
}

}  // namespace ashlar::bench
