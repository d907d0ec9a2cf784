#include "common/runtime/uring/reactor.h"

#include <cerrno>
#include <thread>

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/runtime/uring/offload.h"
#include "common/runtime/uring/uring_file.h"
#include "common/runtime/uring/uring_network.h"

namespace ashlar::uring {
namespace {

// Coroutines resumed between two looks at the ring, so that a long queue does not starve I/O.
constexpr int kResumptionsPerTurn = 16;

Duration read_clock(clockid_t clock) {
  timespec time{};
  ASHLAR_CHECK(::clock_gettime(clock, &time) == 0);
  return std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec);
}

}  // namespace

// The eventfd by which other threads wake the reactor. Its read is always pending while run() runs.
class Reactor::Wake final : public Operation, private CompletionBackend {
 public:
  static Result<std::unique_ptr<Wake>> create() {
    const int fd = ::eventfd(0, EFD_CLOEXEC);
    if (fd < 0) return Error::from_errno(errno, "eventfd");
    return std::unique_ptr<Wake>(new Wake(fd));
  }
  ~Wake() { ::close(fd_); }

  void listen(Ring& ring) {
    ring_ = &ring;
    begin(*this);
    submit();
  }
  // The read has to be over before this object goes.
  void stop(Ring& ring) {
    if (!is_in_flight()) return;
    stopping_ = true;
    ring.cancel(*this);
    while (is_in_flight()) {
      ring.submit_and_wait(MonoTime(), MonoTime::kNever);
      ring.dispatch();
    }
  }
  void signal() {
    const std::uint64_t one = 1;
    while (::write(fd_, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
  }

 private:
  explicit Wake(int fd) : fd_(fd) {}

  void submit() {
    ring_->submit(*this, [this](io_uring_sqe& entry) {
      io_uring_prep_read(&entry, fd_, &count_, sizeof(count_), 0);
    });
  }
  void cancel(Operation&) override {}
  void complete(Operation& operation, Part, std::int32_t, std::uint32_t) override {
    if (stopping_) {
      operation.end_unawaited();
    } else {
      submit();
    }
  }

  int fd_;
  Ring* ring_ = nullptr;
  std::uint64_t count_ = 0;
  bool stopping_ = false;
};

Result<std::unique_ptr<Reactor>> Reactor::create(const ReactorOptions& options) {
  ASHLAR_TRY_ASSIGN(Ring ring, Ring::create(options.ring_entries));
  ASHLAR_TRY_ASSIGN(std::unique_ptr<Wake> wake, Wake::create());
  std::unique_ptr<Reactor> reactor(new Reactor(std::move(ring)));
  reactor->wake_ = std::move(wake);
  reactor->wake_->listen(reactor->ring_);
  return reactor;
}

Reactor::Reactor(Ring ring)
    : ring_(std::move(ring)),
      random_(Random::from_os()),
      offload_(std::make_unique<Offload>(*this)),
      files_(std::make_unique<UringFileSystem>(*this)),
      network_(std::make_unique<UringNetwork>(*this)) {
  calls_.emplace(static_cast<Executor&>(*this));
}

Reactor::~Reactor() {
  offload_.reset();
  closed_.store(true);
  // A thread whose call was answered may still be on its way out of post_work().
  while (posting_.load() != 0) std::this_thread::yield();
  // What came too late is dropped, not run: nothing would be there to finish it.
  std::unique_ptr<PostedWork> late(posted_.exchange(nullptr, std::memory_order_acquire));
  while (late != nullptr) late = std::move(late->next);  // one by one: a long chain would recurse
  wake_->stop(ring_);
}

Runtime Reactor::runtime() {
  return {*this, *this, *files_, *network_, random_};
}

MonoTime Reactor::now() const {
  return MonoTime(read_clock(CLOCK_MONOTONIC));
}
WallTime Reactor::wall_now() const {
  return WallTime(read_clock(CLOCK_REALTIME));
}

void Reactor::loop(TaskScope& main) {
  turn_until_over(main);
  calls_->cancel();
  turn_until_over(*calls_);
  // Cancelled is for good; a call that comes for the next run() starts afresh.
  calls_.emplace(static_cast<Executor&>(*this));
}

void Reactor::turn_until_over(const TaskScope& scope) {
  while (true) {
    for (int budget = kResumptionsPerTurn; budget > 0 && run_one_ready(); --budget) {
    }
    if (scope.running() == 0) return;
    turn();
  }
}

void Reactor::turn() {
  ++iterations_;
  // Posted work must not sleep, but neither may it keep the reactor away from the kernel.
  if (has_ready() || posted_.load(std::memory_order_acquire) != nullptr) {
    ring_.submit_and_poll();
  } else {
    wait();
  }
  ring_.dispatch();
  if (!timers_.empty()) timers_.fire_until(now());
  run_posted();
}

void Reactor::wait() {
  if (timers_.empty()) {
    ring_.submit_and_wait(MonoTime(), MonoTime::kNever);
  } else {
    ring_.submit_and_wait(now(), timers_.earliest());
  }
}

void Reactor::run_posted() {
  PostedWork* newest = posted_.exchange(nullptr, std::memory_order_acquire);
  // The stack is newest first; work runs in the order in which it was posted.
  std::unique_ptr<PostedWork> in_order;
  while (newest != nullptr) {
    std::unique_ptr<PostedWork> work(newest);
    newest = work->next.release();
    work->next = std::move(in_order);
    in_order = std::move(work);
  }
  while (in_order != nullptr) {
    const std::unique_ptr<PostedWork> work = std::move(in_order);
    in_order = std::move(work->next);
    work->run();
  }
}

void Reactor::post_work(std::unique_ptr<PostedWork> work) {
  // Both sequentially consistent, as in the destructor: it sees this thread, or we see it closed.
  posting_.fetch_add(1);
  if (!closed_.load()) push_posted(work.release());
  posting_.fetch_sub(1);  // the last this thread does with the reactor
}

void Reactor::push_posted(PostedWork* mine) {
  PostedWork* head = posted_.load(std::memory_order_relaxed);
  do {
    (void)mine->next.release();
    mine->next.reset(head);
  } while (!posted_.compare_exchange_weak(head, mine, std::memory_order_release,
                                          std::memory_order_relaxed));
  // Whoever makes the stack non-empty wakes the reactor; the others ride along.
  if (head == nullptr) wake_->signal();
}

}  // namespace ashlar::uring
