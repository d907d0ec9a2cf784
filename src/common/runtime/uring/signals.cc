#include "common/runtime/uring/signals.h"

#include <cerrno>
#include <csignal>

#include <sys/signalfd.h>
#include <unistd.h>

#include "common/runtime/uring/reactor.h"

namespace ashlar::uring {

Result<std::unique_ptr<SignalWaiter>> SignalWaiter::create(Reactor& reactor,
                                                           std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (const int error_number = pthread_sigmask(SIG_BLOCK, &set, nullptr); error_number != 0) {
    return Error::from_errno(error_number, "blocking signals");
  }
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC);
  if (fd < 0) return Error::from_errno(errno, "signalfd");
  return std::unique_ptr<SignalWaiter>(new SignalWaiter(reactor, fd));
}

SignalWaiter::~SignalWaiter() {
  ::close(fd_);
}

Task<Result<int>> SignalWaiter::wait() {
  signalfd_siginfo info{};
  const int status = co_await RingCall(reactor_.ring(), [this, &info](io_uring_sqe& entry) {
    io_uring_prep_read(&entry, fd_, &info, sizeof(info), 0);
  });
  if (status < 0) co_return Error::from_errno(-status, "waiting for a signal");
  co_return static_cast<int>(info.ssi_signo);
}

}  // namespace ashlar::uring
