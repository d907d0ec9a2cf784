// What only the real runtime has: other threads, signals, sleep in the kernel, a kernel that says
// no.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/runtime/channel.h"
#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "common/runtime/timeout.h"
#include "common/runtime/uring/call.h"
#include "common/runtime/uring/reactor.h"
#include "common/runtime/uring/signals.h"
#include "common/runtime/uring/uring_file.h"
#include "tests/support/aligned_bytes.h"
#include "tests/support/connected_pair.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar::uring {
namespace {

using test::outcome_of;
using testing::HasSubstr;

class UringTest : public testing::Test {
 protected:
  void SetUp() override {
    frames_before_ = live_frames();
    auto reactor = Reactor::create({});
    if (!reactor.ok()) GTEST_SKIP() << reactor.error().to_string();
    reactor_ = std::move(reactor).value();
  }
  void TearDown() override {
    reactor_.reset();
    EXPECT_EQ(live_frames(), frames_before_);
  }

  std::unique_ptr<Reactor> reactor_;

 private:
  std::int64_t frames_before_ = 0;
};

TEST_F(UringTest, RunGivesTheResultOfMain) {
  constexpr auto kMain = []() -> Task<std::unique_ptr<int>> {
    co_await yield();
    co_return std::make_unique<int>(3);
  };
  EXPECT_EQ(*reactor_->run(kMain()), 3);
  EXPECT_EQ(*reactor_->run(kMain()), 3) << "and runs again";
}

TEST_F(UringTest, AnIdleReactorDoesNotWakeUp) {
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    CO_ASSERT_OK(co_await sleep_for(reactor, 1ms));
    const ReactorStats before = reactor.stats();
    CO_ASSERT_OK(co_await sleep_for(reactor, 300ms));
    const ReactorStats after = reactor.stats();
    EXPECT_LE(after.iterations - before.iterations, 3u);
    EXPECT_LE(after.completions - before.completions, 1u);
  };
  reactor_->run(kMain(*reactor_));
}

TEST_F(UringTest, FarTimersDoNotWakeIt) {
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    Event never;
    TaskScope scope(co_await this_task());
    constexpr auto kWait = [](Reactor& here, Event& event) -> Task<Result<>> {
      constexpr auto kInner = [](Event& inner) -> Task<Result<>> {
        co_return co_await inner.wait();
      };
      co_return co_await with_timeout(here, 1h, kInner(event));
    };
    for (int i = 0; i < 1000; ++i) scope.spawn(kWait(reactor, never));
    CO_ASSERT_OK(co_await sleep_for(reactor, 1ms));
    const ReactorStats before = reactor.stats();
    CO_ASSERT_OK(co_await sleep_for(reactor, 100ms));
    EXPECT_LE(reactor.stats().iterations - before.iterations, 3u);
    scope.cancel();
    CO_ASSERT_OK(co_await scope.join());
  };
  reactor_->run(kMain(*reactor_));
}

TEST_F(UringTest, AnIdleReactorUsesNoProcessorTime) {
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    rusage before{};
    rusage after{};
    ::getrusage(RUSAGE_THREAD, &before);
    CO_ASSERT_OK(co_await sleep_for(reactor, 300ms));
    ::getrusage(RUSAGE_THREAD, &after);
    const auto micros = [](const timeval& time) { return time.tv_sec * 1'000'000 + time.tv_usec; };
    EXPECT_LT(micros(after.ru_utime) + micros(after.ru_stime) - micros(before.ru_utime) -
                  micros(before.ru_stime),
              30'000);
  };
  reactor_->run(kMain(*reactor_));
}

TEST_F(UringTest, PostFromAnotherThreadWakesASleepingReactor) {
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    const std::thread::id own = std::this_thread::get_id();
    Event posted;
    std::thread other([&] {
      std::this_thread::sleep_for(20ms);  // most likely the reactor sleeps by then
      reactor.post([&] {
        EXPECT_EQ(std::this_thread::get_id(), own);
        posted.set();
      });
    });
    CO_ASSERT_OK(co_await posted.wait());
    other.join();
  };
  reactor_->run(kMain(*reactor_));
}

TEST_F(UringTest, ManyThreadsPostAtOnceAndEachIsHeardInOrder) {
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    constexpr int kThreads = 8;
    constexpr int kEach = 5000;
    std::vector<int> next(kThreads, 0);
    int total = 0;
    Event all;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&reactor, &next, &total, &all, t] {
        for (int i = 0; i < kEach; ++i) {
          reactor.post([&next, &total, &all, t, i] {
            EXPECT_EQ(next[static_cast<std::size_t>(t)]++, i);
            if (++total == kThreads * kEach) all.set();
          });
          // Now and then long enough for the reactor to fall asleep.
          if (i % 500 == 0) std::this_thread::sleep_for(1ms);
        }
      });
    }
    EXPECT_TRUE((co_await all.wait()).ok());
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(total, kThreads * kEach);
  };
  reactor_->run(kMain(*reactor_));
}

TEST_F(UringTest, AFloodOfPostedWorkDoesNotHoldUpIo) {
  struct Flood {
    Reactor& reactor;
    bool stop = false;
    int rounds = 0;

    void post_again() {
      reactor.post([this] {
        if (!stop && ++rounds < 100'000) post_again();
      });
    }
  };
  constexpr auto kMain = [](Reactor& reactor, Flood& flood) -> Task<void> {
    flood.post_again();
    const int status =
        co_await RingCall(reactor.ring(), [](io_uring_sqe& entry) { io_uring_prep_nop(&entry); });
    EXPECT_EQ(status, 0);
    EXPECT_LT(flood.rounds, 10);
    flood.stop = true;
    // The one that is still posted refers to `flood`.
    Event last;
    reactor.post([&last] { last.set(); });
    EXPECT_TRUE((co_await last.wait()).ok());
  };
  Flood flood{*reactor_};
  reactor_->run(kMain(*reactor_, flood));
}

Task<Result<>> receive_a_byte(Connection& connection, bool& received) {
  std::byte byte{};
  ASHLAR_CO_TRY(co_await connection.receive(MutableByteSpan(&byte, 1)));
  received = true;
  co_return {};
}

TEST_F(UringTest, ALoneSendAndTheReceiveOfWhatIsThereGoPastTheRing) {
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(
        const test::ConnectedPair pair,
        co_await test::make_connected_pair(reactor.runtime(), Endpoint::ipv4(127, 0, 0, 1, 0)));
    std::byte bytes[4] = {};
    const std::uint64_t before = reactor.stats().completions;
    CO_ASSERT_OK(co_await pair.client->send(bytes));
    EXPECT_EQ(reactor.stats().completions, before);

    const MutableByteSpan one(bytes, 1);
    CO_ASSERT_OK(co_await pair.server->receive(one));
    CO_ASSERT_OK(co_await pair.server->receive(bytes));  // leaves nothing
    CO_ASSERT_OK(co_await pair.client->send(bytes));
    CO_ASSERT_OK(co_await pair.server->receive(bytes));
    EXPECT_EQ(reactor.stats().completions, before);
  };
  reactor_->run(kMain(*reactor_));
}

TEST_F(UringTest, AReceiveThatFoundNothingMakesTheNextOnesWaitInTheRing) {
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(
        const test::ConnectedPair pair,
        co_await test::make_connected_pair(reactor.runtime(), Endpoint::ipv4(127, 0, 0, 1, 0)));
    std::byte bytes[4] = {};
    const MutableByteSpan one(bytes, 1);
    bool received = false;
    TaskScope scope(co_await this_task());
    scope.spawn(receive_a_byte(*pair.server, received));
    CO_ASSERT_OK(co_await sleep_for(reactor, 1ms));
    const std::uint64_t before = reactor.stats().completions;
    CO_ASSERT_OK(co_await pair.client->send(one));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(reactor.stats().completions, before + 1);

    for (const std::uint64_t in_the_ring : {2U, 3U, 3U}) {
      CO_ASSERT_OK(co_await pair.client->send(one));
      CO_ASSERT_OK(co_await pair.server->receive(bytes));
      EXPECT_EQ(reactor.stats().completions, before + in_the_ring);
    }
  };
  reactor_->run(kMain(*reactor_));
}

TEST_F(UringTest, AStreamThatGoesPastTheRingDoesNotHoldUpWhatCompletesInIt) {
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    const Endpoint address = Endpoint::ipv4(127, 0, 0, 1, 0);
    CO_ASSERT_OK_ASSIGN(const test::ConnectedPair quiet,
                        co_await test::make_connected_pair(reactor.runtime(), address));
    CO_ASSERT_OK_ASSIGN(const test::ConnectedPair stream,
                        co_await test::make_connected_pair(reactor.runtime(), address));
    bool received = false;
    TaskScope scope(co_await this_task());
    scope.spawn(receive_a_byte(*quiet.server, received));
    co_await yield();
    std::byte byte{};
    const MutableByteSpan one(&byte, 1);
    // A surplus, so that every receive is filled and the next one tried at once; the first one is
    // not.
    std::byte surplus[64] = {};
    CO_ASSERT_OK(co_await stream.client->send(surplus));
    CO_ASSERT_OK(co_await stream.server->receive(one));
    CO_ASSERT_OK(co_await quiet.client->send(one));
    int rounds = 0;
    for (; !received && rounds < 200; ++rounds) {
      CO_ASSERT_OK(co_await stream.client->send(one));
      CO_ASSERT_OK(co_await stream.server->receive(one));
    }
    EXPECT_LT(rounds, 20);
    CO_ASSERT_OK(co_await scope.join());
  };
  reactor_->run(kMain(*reactor_));
}

TEST_F(UringTest, WorkPostedTooLateIsDroppedAndItsMemoryFreed) {
  const auto held = std::make_shared<int>(1);
  constexpr auto kMain = []() -> Task<void> { co_return; };
  reactor_->run(kMain());
  bool ran = false;
  for (int i = 0; i < 100'000; ++i) reactor_->post([held, &ran] { ran = true; });
  reactor_.reset();
  EXPECT_FALSE(ran);
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(UringTest, CallOnRunsOnTheReactorAndGivesTheAnswer) {
  constexpr auto kAdd = [](Reactor& reactor, std::thread::id reactor_thread, int a,
                           int b) -> Task<Result<int>> {
    EXPECT_EQ(std::this_thread::get_id(), reactor_thread);
    ASHLAR_CO_TRY(co_await sleep_for(reactor, 1ms));
    if (b == 0) co_return Error::invalid_argument("zero");
    co_return a + b;
  };
  constexpr auto kMain = [](Event& done) -> Task<void> { (void)co_await done.wait(); };
  const std::thread::id reactor_thread = std::this_thread::get_id();
  Event done;
  std::vector<std::thread> callers;
  std::atomic<int> left = 4;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 1; i <= 20; ++i) {
        const Result<int> sum =
            call_on(*reactor_, [&] { return kAdd(*reactor_, reactor_thread, t * 100, i); });
        EXPECT_TRUE(sum.ok() && *sum == t * 100 + i);
      }
      const Result<int> error =
          call_on(*reactor_, [&] { return kAdd(*reactor_, reactor_thread, 1, 0); });
      EXPECT_EQ(outcome_of(error), "INVALID_ARGUMENT");
      if (--left == 0) reactor_->post([&] { done.set(); });
    });
  }
  reactor_->run(kMain(done));
  for (std::thread& caller : callers) caller.join();
}

TEST_F(UringTest, CallOnIsCancelledWhenMainEnds) {
  constexpr auto kSleep = [](Reactor& reactor, std::atomic<bool>& begun) -> Task<Result<int>> {
    begun = true;
    ASHLAR_CO_TRY(co_await sleep_for(reactor, 1h));
    co_return 1;
  };
  constexpr auto kMain = [](Reactor& reactor, std::atomic<bool>& begun) -> Task<void> {
    co_await test::poll_until(reactor, [&] { return begun.load(); });
  };
  std::atomic<bool> begun = false;
  std::string outcome;
  std::thread caller(
      [&] { outcome = outcome_of(call_on(*reactor_, [&] { return kSleep(*reactor_, begun); })); });
  reactor_->run(kMain(*reactor_, begun));
  caller.join();
  EXPECT_EQ(outcome, "CANCELLED");
}

TEST_F(UringTest, CallOnIsUnavailableWhenTheReactorHasEnded) {
  constexpr auto kMain = []() -> Task<void> { co_return; };
  constexpr auto kAnswer = []() -> Task<Result<int>> { co_return 1; };
  reactor_->run(kMain());
  std::string outcome;
  std::thread caller([&reactor = *reactor_, &outcome, answer = kAnswer] {
    outcome = outcome_of(call_on(reactor, [&] { return answer(); }));
  });
  // Nobody runs the loop: the call is answered by the reactor's end.
  std::this_thread::sleep_for(20ms);
  reactor_.reset();
  caller.join();
  EXPECT_EQ(outcome, "UNAVAILABLE");
}

// The caller may still be about to wake the reactor when its call has been served and all is over.
TEST_F(UringTest, TheReactorsEndWaitsForThreadsThatArePosting) {
  constexpr auto kAnswer = [](Event& served) -> Task<Result<int>> {
    served.set();
    co_return 1;
  };
  constexpr auto kMain = [](Event& served) -> Task<void> { (void)co_await served.wait(); };
  for (int i = 0; i < 300; ++i) {
    if (i > 0) {
      auto reactor = Reactor::create({});
      ASSERT_TRUE(reactor.ok()) << reactor.error().to_string();
      reactor_ = std::move(reactor).value();
    }
    Event served;
    std::string outcome;
    std::thread caller([&, &reactor = *reactor_] {
      outcome = outcome_of(call_on(reactor, [&] { return kAnswer(served); }));
    });
    reactor_->run(kMain(served));
    reactor_.reset();
    caller.join();
    EXPECT_EQ(outcome, "OK");
  }
}

TEST_F(UringTest, CallOnWorksInASecondRunToo) {
  constexpr auto kNothing = []() -> Task<void> { co_return; };
  constexpr auto kMain = [](Event& done) -> Task<void> { (void)co_await done.wait(); };
  constexpr auto kSleep = [](Reactor& reactor) -> Task<Result<int>> {
    ASHLAR_CO_TRY(co_await sleep_for(reactor, 1ms));
    co_return 1;
  };
  reactor_->run(kNothing());
  Event done;
  std::string outcome;
  std::thread caller([&] {
    outcome = outcome_of(call_on(*reactor_, [&] { return kSleep(*reactor_); }));
    reactor_->post([&] { done.set(); });
  });
  reactor_->run(kMain(done));
  caller.join();
  EXPECT_EQ(outcome, "OK");
}

// Gives the thread back the signals that a SignalWaiter blocked.
class SignalMask {
 public:
  SignalMask() { ::pthread_sigmask(SIG_SETMASK, nullptr, &before_); }
  ~SignalMask() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

TEST_F(UringTest, SignalsAreAwaited) {
  const SignalMask restore;
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto signals, SignalWaiter::create(reactor, {SIGUSR1, SIGUSR2}));
    ::kill(::getpid(), SIGUSR1);
    CO_ASSERT_OK_ASSIGN(const int first, co_await signals->wait());
    EXPECT_EQ(first, SIGUSR1);
    constexpr auto kSender = [](Reactor& here) -> Task<Result<>> {
      ASHLAR_CO_TRY(co_await sleep_for(here, 5ms));
      ::kill(::getpid(), SIGUSR2);
      co_return Result<>();
    };
    TaskScope scope(co_await this_task());
    scope.spawn(kSender(reactor));
    CO_ASSERT_OK_ASSIGN(const int second, co_await signals->wait());
    EXPECT_EQ(second, SIGUSR2);
    CO_ASSERT_OK(co_await scope.join());
  };
  reactor_->run(kMain(*reactor_));
}

TEST_F(UringTest, AWaitForASignalIsCancellable) {
  const SignalMask restore;
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(auto signals, SignalWaiter::create(reactor, {SIGUSR1}));
    EXPECT_EQ(outcome_of(co_await with_timeout(reactor, 5ms, signals->wait())),
              "DEADLINE_EXCEEDED");
    ::kill(::getpid(), SIGUSR1);
    EXPECT_EQ(outcome_of(co_await signals->wait()), "OK");
  };
  reactor_->run(kMain(*reactor_));
}

// io_uring_submit is wrapped (CMakeLists.txt), as nothing makes a healthy kernel refuse a
// submission.
bool refuse_next_submission = false;

// Makes `count` NOPs when its own is over, in the middle of dispatch().
class NopsAfterNop final : public Operation, private CompletionBackend {
 public:
  NopsAfterNop(Ring& ring, std::vector<std::unique_ptr<NopsAfterNop>> followers)
      : ring_(ring), followers_(std::move(followers)) {}

  void start() {
    begin(*this);
    ring_.submit(*this, [](io_uring_sqe& entry) { io_uring_prep_nop(&entry); });
  }
  // Of this one and its followers.
  int completions() const {
    int sum = completions_;
    for (const auto& follower : followers_) sum += follower->completions();
    return sum;
  }
  bool all_over() const {
    return !is_in_flight() &&
           std::ranges::all_of(followers_, [](const auto& f) { return f->completions() > 0; });
  }

 private:
  void cancel(Operation&) override {}
  void complete(Operation& operation, Part, std::int32_t, std::uint32_t) override {
    ++completions_;
    operation.end_unawaited();
    if (completions_ > 1) return;  // told twice: the test sees it by the count
    for (const auto& follower : followers_) follower->start();
  }

  Ring& ring_;
  std::vector<std::unique_ptr<NopsAfterNop>> followers_;
  int completions_ = 0;
};

TEST(RingTest, ASubmissionRefusedWithinDispatchCompletesNothingTwice) {
  Result<Ring> ring = Ring::create(4);
  if (!ring.ok()) GTEST_SKIP() << ring.error().to_string();
  std::vector<std::unique_ptr<NopsAfterNop>> followers;
  for (int i = 0; i < 6; ++i) {  // more than the submission queue takes
    followers.push_back(
        std::make_unique<NopsAfterNop>(*ring, std::vector<std::unique_ptr<NopsAfterNop>>()));
  }
  NopsAfterNop first(*ring, std::move(followers));
  NopsAfterNop beside(*ring, {});
  first.start();
  beside.start();
  ring->submit_and_wait(MonoTime(), MonoTime::kNever);
  refuse_next_submission = true;
  for (int i = 0; i < 100 && !(first.all_over() && beside.all_over()); ++i) {
    ring->dispatch();
    ring->submit_and_poll();
  }
  EXPECT_FALSE(refuse_next_submission) << "the submission queue was never full";
  EXPECT_EQ(first.completions(), 7);
  EXPECT_EQ(beside.completions(), 1);
}

// The kernel reports a failed sync once: the sync of a later part of the same write would not see
// it.
TEST_F(UringTest, AFailedSyncOfPartOfAWriteFailsTheWrite) {
  constexpr auto kMain = [](Reactor& reactor) -> Task<void> {
    // /dev/null takes every write and knows no fsync.
    UringFile file(reactor, "/dev/null", ::open("/dev/null", O_RDWR | O_CLOEXEC),
                   OpenMode::kExisting);
    test::AlignedBytes bytes(kDiskAlignment);
    // More slices than one call takes (IOV_MAX is 1024), so two linked pairs.
    const std::vector<ConstIoSlice> slices(1500, ConstIoSlice(bytes.span()));
    const std::uint64_t before = reactor.stats().completions;
    EXPECT_EQ(outcome_of(co_await file.write(0, slices, Durability::kWriteThenSync)),
              "INVALID_ARGUMENT");
    EXPECT_EQ(reactor.stats().completions - before, 2u) << "it went on after the failed sync";
  };
  reactor_->run(kMain(*reactor_));
}

// What Reactor::create says in a process that may not call io_uring_setup.
std::string create_where_setup_fails_with(int error_number) {
  int pipe_fds[2];
  ASHLAR_CHECK(::pipe(pipe_fds) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K,
                 SECCOMP_RET_ERRNO | (static_cast<unsigned>(error_number) & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{.len = 4, .filter = filter};
    std::string message = "cannot install a seccomp filter";
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) {
      auto reactor = Reactor::create({});
      message = reactor.ok() ? "OK" : reactor.error().to_string();
    }
    (void)!::write(pipe_fds[1], message.data(), message.size());
    // Not _exit(), in which ThreadSanitizer changes the code when it had anything to report before
    // the fork.
    ::syscall(SYS_exit_group, 0);
  }
  ::close(pipe_fds[1]);
  std::string message;
  char buffer[1024];
  ssize_t count = 0;
  while ((count = ::read(pipe_fds[0], buffer, sizeof(buffer))) > 0) {
    message.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(pipe_fds[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return message;
}

TEST(UringProbeTest, AForbiddenRingIsExplained) {
  const std::string message = create_where_setup_fails_with(EPERM);
  EXPECT_THAT(message, HasSubstr("PERMISSION_DENIED"));
  EXPECT_THAT(message, HasSubstr("seccomp"));
  EXPECT_THAT(message, HasSubstr("io_uring_setup"));
}

TEST(UringProbeTest, AHiddenRingIsExplained) {
  const std::string message = create_where_setup_fails_with(ENOSYS);
  EXPECT_THAT(message, HasSubstr("UNIMPLEMENTED"));
  EXPECT_THAT(message, HasSubstr("seccomp"));
  EXPECT_THAT(message, HasSubstr("Linux 6.1 or newer"));
}

TEST(UringProbeTest, AnOldRingIsExplained) {
  const std::string message = create_where_setup_fails_with(EINVAL);
  EXPECT_THAT(message, HasSubstr("UNIMPLEMENTED"));
  EXPECT_THAT(message, HasSubstr("too old"));
  EXPECT_THAT(message, HasSubstr("Linux 6.1 or newer"));
}

TEST(UringProbeTest, ALackOfMemoryIsExplained) {
  const std::string message = create_where_setup_fails_with(ENOMEM);
  EXPECT_THAT(message, HasSubstr("RESOURCE_EXHAUSTED"));
  EXPECT_THAT(message, HasSubstr("ulimit -l"));
}

}  // namespace
}  // namespace ashlar::uring

extern "C" {

// The linker gives both names their meaning (--wrap).
// NOLINTBEGIN(readability-identifier-naming)
int __real_io_uring_submit(io_uring* ring);

int __wrap_io_uring_submit(io_uring* ring) {
  if (std::exchange(ashlar::uring::refuse_next_submission, false)) return -EBUSY;
  return __real_io_uring_submit(ring);
}
// NOLINTEND(readability-identifier-naming)
}
