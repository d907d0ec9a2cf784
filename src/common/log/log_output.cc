// The only file that sees spdlog. Of it we use the queue and its thread; records are formatted
// before they get here.
#include "common/log/log_output.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>
#include <unistd.h>

namespace ashlar {
namespace {

constexpr int kPollMs = 50;

// Writes all of `data` unless `gave_up` turns true meanwhile or the kernel refuses. At most
// PIPE_BUF bytes at once: after poll said "writable" that many never block on a pipe, and up to
// that many stay in one piece between the records of other processes.
bool write_all(int fd, std::string_view data, const std::atomic<bool>& gave_up) {
  while (!data.empty()) {
    pollfd wanted{.fd = fd, .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&wanted, 1, kPollMs);
    if (gave_up.load(std::memory_order_relaxed)) return false;
    if (ready <= 0) continue;
    const ssize_t written = ::write(fd, data.data(), std::min<std::size_t>(data.size(), PIPE_BUF));
    if (written > 0) {
      data.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      return false;
    }
  }
  return true;
}

// Runs on the writer thread.
class DescriptorSink final : public spdlog::sinks::sink {
 public:
  DescriptorSink(int fd, LogFormat format) : fd_(fd), format_(format) {}
  ~DescriptorSink() override {
    if (fd_ != STDERR_FILENO) ::close(fd_);
  }

  void log(const spdlog::details::log_msg& message) override {
    confess_losses();
    if (!write_all(fd_, {message.payload.data(), message.payload.size()}, gave_up_)) ++refused_;
    {
      const std::lock_guard lock(mutex_);
      ++processed_;
    }
    progressed_.notify_all();
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

  void watch_overruns(std::weak_ptr<spdlog::details::thread_pool> pool) { pool_ = std::move(pool); }
  void give_up() { gave_up_ = true; }
  std::uint64_t refused() const { return refused_; }

  // Until `submitted` records were either written or pushed out of the queue.
  bool wait_for(std::uint64_t submitted, Duration patience) {
    std::unique_lock lock(mutex_);
    return progressed_.wait_for(lock, patience,
                                [&] { return processed_ + overruns() >= submitted; });
  }
  std::uint64_t overruns() const {
    const auto pool = pool_.lock();
    return pool ? pool->overrun_counter() : 0;
  }

 private:
  void confess_losses() {
    const std::uint64_t lost = overruns() + refused_;
    if (lost == confessed_) return;
    LogRecord record{.time = WallTime(std::chrono::system_clock::now().time_since_epoch()),
                     .level = LogLevel::kWarn,
                     .message = "log records were lost because the log could not keep up",
                     .fields = LogFields{}.with("lost", lost - confessed_)};
    if (write_all(fd_, format_record(record, format_) + '\n', gave_up_)) confessed_ = lost;
  }

  const int fd_;
  const LogFormat format_;
  std::weak_ptr<spdlog::details::thread_pool> pool_;
  std::uint64_t confessed_ = 0;
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<bool> gave_up_{false};
  std::mutex mutex_;
  std::condition_variable progressed_;
  std::uint64_t processed_ = 0;
};

// Signals belong to the threads that wait for them; a broken pipe must give EPIPE, not SIGPIPE.
void block_signals() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  ::pthread_setname_np(::pthread_self(), "log");
}

}  // namespace

struct LogOutput::Impl {
  LogFormat format;
  std::shared_ptr<DescriptorSink> sink;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
  std::atomic<std::uint64_t> submitted{0};
};

Result<std::shared_ptr<LogOutput>> LogOutput::open(const std::string& file, LogFormat format,
                                                   std::size_t queue_records) {
  int fd = STDERR_FILENO;
  if (!file.empty()) {
    fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) return Error::from_errno(errno, fmt::format("opening the log file {}", file));
  }
  auto impl = std::make_unique<Impl>();
  impl->format = format;
  impl->sink = std::make_shared<DescriptorSink>(fd, format);
  impl->pool = std::make_shared<spdlog::details::thread_pool>(queue_records, 1, block_signals);
  impl->sink->watch_overruns(impl->pool);
  impl->logger = std::make_shared<spdlog::async_logger>(
      "ashlar", impl->sink, impl->pool, spdlog::async_overflow_policy::overrun_oldest);
  impl->logger->set_level(spdlog::level::trace);
  return std::shared_ptr<LogOutput>(new LogOutput(std::move(impl)));
}

LogOutput::LogOutput(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LogOutput::~LogOutput() {
  // The pool's destructor waits for its thread, which now passes over whatever is queued.
  impl_->sink->give_up();
}

void LogOutput::write(const LogRecord& record) {
  const std::string line = format_record(record, impl_->format) + '\n';
  ++impl_->submitted;
  impl_->logger->log(spdlog::level::info, spdlog::string_view_t(line));
}

bool LogOutput::flush(Duration patience) {
  return impl_->sink->wait_for(impl_->submitted, patience);
}

std::uint64_t LogOutput::dropped() const {
  return impl_->sink->overruns() + impl_->sink->refused();
}

void write_log_line(int fd, std::string line) {
  static const std::atomic<bool> never{false};
  line += '\n';
  write_all(fd, line, never);
}

}  // namespace ashlar
