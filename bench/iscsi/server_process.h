// A program that a bench starts and ends, and what it costs while it runs.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace ashlar::bench {

// Starts it in `directory`, output to `log` there, `environment` (NAME=VALUE) added to ours. It
// dies with us.
class ServerProcess {
 public:
  ServerProcess(const std::vector<std::string>& command, const std::string& directory,
                const std::string& log, const std::vector<std::string>& environment = {});
  ~ServerProcess();  // SIGKILL, by the id we got
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  bool is_running() const;
  // Of all its threads so far, to the nanosecond.
  double cpu_seconds() const;

 private:
  pid_t pid_;
};

// Runs a command to its end; its exit code, output thrown away unless it fails and `must_succeed`.
int run_command(const std::vector<std::string>& command, const std::string& directory,
                const std::vector<std::string>& environment, bool must_succeed);

bool answers(int port);
int free_port();

}  // namespace ashlar::bench
