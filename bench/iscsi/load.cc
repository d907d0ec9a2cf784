#include "bench/iscsi/load.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <time.h>

#include "bench/iscsi/latency_histogram.h"
#include "common/base/random.h"
#include "tests/support/iscsi_initiator.h"

namespace ashlar::bench {
namespace {

using test::CommandStatus;
using test::Fua;
using test::IscsiCommand;
using test::IscsiInitiator;

std::uint64_t now_ns(clockid_t clock = CLOCK_MONOTONIC) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

class Worker;
struct Session;

// One command under way at a time: what takes its turn at a depth.
struct Slot {
  Slot(Session& of, std::uint32_t bytes);
  Session& session;
  IscsiCommand command;
  std::vector<std::byte> data;
  std::uint64_t began = 0;
  int writes_since_sync = 0;
  bool is_syncing = false;
};

struct Session {
  Worker* worker = nullptr;
  std::unique_ptr<IscsiInitiator> initiator;
  std::vector<std::unique_ptr<Slot>> slots;
  std::uint64_t first = 0;  // its part of the unit, in commands' sizes
  std::uint64_t count = 0;
  std::uint64_t next = 0;  // sequential: the next of its part
};

class Worker {
 public:
  Worker(const IscsiLoad& load, int number)
      : load_(load), random_(load.seed * 1000 + static_cast<std::uint64_t>(number)) {}

  Result<> open(int first_session, int sessions, int depth);
  void run(std::uint64_t measure_from, std::uint64_t end);
  void done(Slot& slot, CommandStatus status);

  LatencyHistogram latencies;
  std::uint64_t failed = 0;
  std::uint64_t cpu_ns = 0;
  std::uint64_t finished = 0;
  std::string failure;

 private:
  void start(Slot& slot);
  void submit(Slot& slot);
  void stop(const Error& error);

  const IscsiLoad& load_;
  Random random_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<pollfd> waiting_;
  std::uint64_t measure_from_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t started_ = 0;
  std::uint64_t limit_ = ~std::uint64_t{0};
  std::size_t under_way_ = 0;
  bool is_broken_ = false;
};

Slot::Slot(Session& of, std::uint32_t bytes)
    : session(of),
      command(
          [](IscsiCommand& command, CommandStatus status) {
            auto& slot = *static_cast<Slot*>(command.owner());
            slot.session.worker->done(slot, status);
          },
          this),
      data(bytes) {}

Result<> Worker::open(int first_session, int sessions, int depth) {
  if (load_.limit != 0) limit_ = load_.limit / static_cast<std::uint64_t>(load_.threads);
  for (int i = 0; i < sessions; ++i) {
    const std::uint64_t number =
        static_cast<std::uint64_t>(first_session) + static_cast<std::uint64_t>(i);
    auto session = std::make_unique<Session>();
    session->worker = this;
    ASHLAR_TRY_ASSIGN(
        session->initiator,
        IscsiInitiator::connect(
            {.url = load_.url, .name = fmt::format("iqn.2026-01.example:load-{}", number)}));
    const std::uint64_t size = session->initiator->blocks() * session->initiator->block_size();
    const std::uint64_t range = load_.range == 0 ? size : std::min(load_.range, size);
    const std::uint64_t all = range / load_.bytes;
    const auto parts = static_cast<std::uint64_t>(load_.sessions);
    session->count = load_.sequential ? all / parts : all;
    session->first = load_.sequential ? number * session->count : 0;
    if (session->count == 0) return Error::invalid_argument("the unit is too small");
    for (int d = i; d < depth; d += sessions) {
      session->slots.push_back(std::make_unique<Slot>(*session, load_.bytes));
      random_.fill(session->slots.back()->data);
    }
    sessions_.push_back(std::move(session));
  }
  for (const auto& session : sessions_) {
    waiting_.push_back({.fd = session->initiator->fd(), .events = POLLIN, .revents = 0});
  }
  return {};
}

void Worker::start(Slot& slot) {
  Session& session = slot.session;
  const std::uint64_t place =
      session.first + (load_.sequential ? session.next : random_.below(session.count));
  session.next = session.next + 1 == session.count ? 0 : session.next + 1;
  const std::uint32_t blocks = load_.bytes / session.initiator->block_size();
  if (load_.read_percent == 100 ||
      (load_.read_percent > 0 &&
       random_.below(100) < static_cast<std::uint64_t>(load_.read_percent))) {
    slot.command.set_read(place * blocks, blocks, slot.data);
  } else {
    ++started_;
    std::memcpy(slot.data.data(), &started_, sizeof started_);
    slot.command.set_write(place * blocks, blocks, slot.data,
                           load_.durability == Durability::kFua ? Fua::kYes : Fua::kNo);
    if (load_.durability == Durability::kSyncEvery) ++slot.writes_since_sync;
  }
  slot.is_syncing = false;
  slot.began = now_ns();
  submit(slot);
}

void Worker::submit(Slot& slot) {
  if (auto going = slot.session.initiator->submit(slot.command); !going.ok()) {
    stop(going.error());
    return;
  }
  ++under_way_;
}

void Worker::stop(const Error& error) {
  is_broken_ = true;
  ++failed;
  if (failure.empty()) failure = std::string(error.message());
}

void Worker::done(Slot& slot, CommandStatus status) {
  --under_way_;
  if (is_broken_) return;
  const std::uint64_t now = now_ns();
  if (status != CommandStatus::kGood) {
    ++failed;
    if (failure.empty()) {
      failure =
          fmt::format("status {}, sense {:06x}", static_cast<int>(status), slot.command.sense());
    }
    if (status == CommandStatus::kLost) return;
  }
  if (slot.writes_since_sync >= load_.sync_every && !slot.is_syncing) {
    slot.writes_since_sync = 0;
    slot.is_syncing = true;
    slot.command.set_synchronize_cache();
    submit(slot);
    return;
  }
  if (now >= end_) return;
  if (slot.began >= measure_from_) latencies.add(now - slot.began);
  if (latencies.total() < limit_) start(slot);
}

void Worker::run(std::uint64_t measure_from, std::uint64_t end) {
  measure_from_ = measure_from;
  end_ = end;
  for (const auto& session : sessions_) {
    for (const auto& slot : session->slots) start(*slot);
  }
  std::uint64_t cpu_began = 0;
  const std::uint64_t give_up = end + 20'000'000'000;
  while (under_way_ > 0 && !is_broken_) {
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      if (auto going = sessions_[i]->initiator->flush(); !going.ok()) return stop(going.error());
      waiting_[i].events = sessions_[i]->initiator->events();
    }
    const int ready = ::poll(waiting_.data(), waiting_.size(), 1000);
    if (cpu_began == 0 && now_ns() >= measure_from) cpu_began = now_ns(CLOCK_THREAD_CPUTIME_ID);
    if (ready == 0 && now_ns() > give_up) return stop(Error::deadline_exceeded("no answers"));
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      if (waiting_[i].revents == 0) continue;
      if (auto going = sessions_[i]->initiator->service(waiting_[i].revents); !going.ok()) {
        return stop(going.error());
      }
    }
  }
  if (cpu_began != 0) cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_began;
}

void sleep_until(std::uint64_t ns) {
  const timespec until{.tv_sec = static_cast<time_t>(ns / 1'000'000'000),
                       .tv_nsec = static_cast<long>(ns % 1'000'000'000)};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

}  // namespace

Result<IscsiLoadResult> run_iscsi_load(const IscsiLoad& load, IscsiLoadHooks hooks) {
  if (load.threads < 1 || load.sessions < load.threads || load.depth < load.sessions) {
    return Error::invalid_argument("wants depth >= sessions >= threads >= 1");
  }
  std::vector<std::unique_ptr<Worker>> workers;
  int first_session = 0;
  int first_slot = 0;
  for (int i = 0; i < load.threads; ++i) {
    const int next_session = load.sessions * (i + 1) / load.threads;
    const int next_slot = load.depth * next_session / load.sessions;
    workers.push_back(std::make_unique<Worker>(load, i));
    ASHLAR_TRY(
        workers.back()->open(first_session, next_session - first_session, next_slot - first_slot));
    first_session = next_session;
    first_slot = next_slot;
  }
  const std::uint64_t began = now_ns();
  const std::uint64_t measure_from = began + static_cast<std::uint64_t>(load.warm_up.count());
  const std::uint64_t end = measure_from + static_cast<std::uint64_t>(load.duration.count());
  std::vector<std::jthread> threads;
  threads.reserve(workers.size());
  for (const auto& worker : workers) {
    threads.emplace_back([&, measuring = worker.get()] {
      measuring->run(measure_from, end);
      measuring->finished = now_ns();
    });
  }
  // This thread only looks at the clock, and at the server's for the caller.
  if (load.limit == 0) {
    sleep_until(measure_from);
    if (hooks.begun != nullptr) hooks.begun(hooks.owner);
    sleep_until(end);
    if (hooks.ended != nullptr) hooks.ended(hooks.owner);
  }
  threads.clear();

  IscsiLoadResult result;
  LatencyHistogram all;
  std::uint64_t cpu_ns = 0;
  std::uint64_t finished = 0;
  for (const auto& worker : workers) {
    all.add(worker->latencies);
    cpu_ns += worker->cpu_ns;
    result.failed += worker->failed;
    finished = std::max(finished, worker->finished);
    if (result.failure.empty()) result.failure = worker->failure;
  }
  result.commands = all.total();
  result.seconds = static_cast<double>((load.limit == 0 ? end : finished) - measure_from) / 1e9;
  result.per_second = static_cast<double>(result.commands) / result.seconds;
  if (result.commands > 0) {
    result.client_cpu_us = static_cast<double>(cpu_ns) / static_cast<double>(result.commands) / 1e3;
  }
  result.mean_us = all.mean_us();
  result.p50_us = all.quantile_us(0.5);
  result.p99_us = all.quantile_us(0.99);
  result.p999_us = all.quantile_us(0.999);
  result.max_us = all.longest_us();
  return result;
}

}  // namespace ashlar::bench
