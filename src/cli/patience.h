// Patience: while it lives and has lasted two seconds, standard error says that the command is
// still waiting: a line that counts on a terminal, one line every ten seconds elsewhere.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>

#include <fmt/core.h>
#include <unistd.h>

namespace ashlar::cli {

class Patience {
 public:
  explicit Patience(std::string what)
      : what_(std::move(what)),
        is_terminal_(::isatty(STDERR_FILENO) == 1),
        thread_([this] { wait(); }) {}
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;
  ~Patience() {
    {
      const std::lock_guard guard(lock_);
      is_over_ = true;
    }
    over_.notify_all();
    thread_.join();
  }

 private:
  void wait() {
    std::unique_lock guard(lock_);
    bool has_spoken = false;
    for (int seconds = 2;; seconds += is_terminal_ ? 1 : 10) {
      const auto next = start_ + std::chrono::seconds(seconds);
      if (over_.wait_until(guard, next, [this] { return is_over_; })) break;
      fmt::print(stderr, "{}{}: {} s{}", is_terminal_ ? "\r" : "ashlar: ", what_, seconds,
                 is_terminal_ ? "" : "\n");
      has_spoken = true;
    }
    if (has_spoken && is_terminal_) fmt::print(stderr, "\r\033[K");
  }

  const std::string what_;
  const bool is_terminal_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::mutex lock_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace ashlar::cli
