#include "common/runtime/uring/offload.h"

#include <csignal>

#include <pthread.h>

namespace ashlar::uring {

Offload::~Offload() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Offload::forget(Operation&) {
  ASHLAR_UNREACHABLE("a coroutine died while the helper thread worked for it");
}

void Offload::enqueue(std::unique_ptr<PostedWork> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  if (!thread_.joinable()) {
    // Signals are the main thread's business: the helper inherits a mask that blocks them all.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { serve(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  changed_.notify_one();
}

void Offload::serve() {
  pthread_setname_np(pthread_self(), "ashlar-offload");
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::unique_ptr<PostedWork> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work->run();
    lock.lock();
  }
}

}  // namespace ashlar::uring
