#include "common/runtime/sim/sim_link.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "common/runtime/sim/sim_network.h"

namespace ashlar::sim {
namespace {

constexpr std::size_t kLargestSegment = 64 * 1024;
// How much later than the first the second end may notice a lost connection.
constexpr Duration kLatestNotice = 5s;

Error connection_reset() {
  return Error::from_errno(ECONNRESET, "connection");
}

}  // namespace

SimLink::Half::Half(SimLink& link, const End& at, Side side)
    : end(at),
      deliver_event(EventKind::kDeliver, at.node, link, side, &SimLink::deliver),
      ack_event(EventKind::kAck, at.node, link, side, &SimLink::acknowledge),
      reset_event(EventKind::kReset, at.node, link, side, &SimLink::reset) {}

SimLink::SimLink(SimFabric& fabric, std::uint64_t number, const End& client, const End& server)
    : fabric_(fabric),
      number_(number),
      random_(fabric.world().split(fmt::format("link/{}", number))) {
  halves_[kClient] = std::make_unique<Half>(*this, client, kClient);
  halves_[kServer] = std::make_unique<Half>(*this, server, kServer);
  // Each direction of each connection has its own way through the network.
  const Duration base = fabric.timing.delay_base;
  for (auto& half : halves_) half->delay = random_.between(base / 2, base * 2);
}

Duration SimLink::one_way(const Half& from) {
  Duration delay = from.delay + random_.exponential(fabric_.timing.delay_tail);
  const std::uint32_t late = fabric_.faults.long_delay;
  if (late != 0 && random_.chance(late, 1'000'000)) {
    delay += random_.between(Duration(1ms), Duration(1s));
  }
  return delay;
}

void SimLink::receive(Side side, SocketOperation& operation) {
  Half& here = half(side);
  ASHLAR_CHECK(here.receiving == nullptr, "two receives at once on one connection");
  ASHLAR_CHECK_GT(operation.length(), 0u);
  operation.begin(*this);
  here.receiving = &operation;
  hand_over(side);
}

void SimLink::hand_over(Side to) {
  Half& here = half(to);
  if (here.receiving == nullptr) return;
  SocketOperation& operation = *here.receiving;
  if (const std::size_t available = unread(here); available > 0 && here.state == State::kOpen) {
    std::size_t count = std::min(available, operation.length());
    if (random_.chance(fabric_.timing.split_percent, 100)) count = 1 + random_.below(count);
    std::size_t copied = 0;
    for (const IoSlice& slice : operation.slices()) {
      const std::size_t part = std::min(slice.size, count - copied);
      if (part > 0) std::memcpy(slice.data, here.buffer.data() + here.read + copied, part);
      copied += part;
    }
    here.read += count;
    if (here.read == here.buffer.size()) {
      here.buffer.clear();
      here.read = 0;
    } else if (here.read >= kLargestSegment) {
      here.buffer.erase(here.buffer.begin(),
                        here.buffer.begin() + static_cast<std::ptrdiff_t>(here.read));
      here.read = 0;
    }
    Half& sender = half(other(to));
    sender.acknowledged += count;
    if (!sender.ack_event.is_armed()) {
      fabric_.world().arm(sender.ack_event, fabric_.world().now() + one_way(here), number_);
    }
    operation.succeed(count);
  } else if (here.error) {
    operation.fail(*here.error);
  } else if (here.at_end) {
    operation.succeed(0);
  } else {
    return;
  }
  here.receiving = nullptr;
  operation.finish();
}

void SimLink::send(Side side, SocketOperation& operation) {
  Half& here = half(side);
  ASHLAR_CHECK(here.sending == nullptr, "two sends at once on one connection");
  operation.begin(*this);
  if (here.error || here.send_is_shut || here.state != State::kOpen) {
    operation.fail(here.error ? *here.error : Error::from_errno(EPIPE, "send"));
    operation.finish();
    return;
  }
  operation.backend_progress = 0;
  here.sending = &operation;
  push(side);
}

void SimLink::push(Side from) {
  Half& here = half(from);
  if (here.sending == nullptr) return;
  SocketOperation& operation = *here.sending;
  const std::size_t window = fabric_.timing.window;
  while (operation.backend_progress < operation.length() && here.window_used < window) {
    const std::size_t count =
        std::min({window - here.window_used, operation.length() - operation.backend_progress,
                  kLargestSegment});
    std::vector<std::byte> bytes(count);
    std::size_t skip = operation.backend_progress;
    std::size_t filled = 0;
    for (const IoSlice& slice : operation.slices()) {
      const std::size_t skipped = std::min(skip, slice.size);
      skip -= skipped;
      const std::size_t part = std::min(slice.size - skipped, count - filled);
      if (part > 0) std::memcpy(bytes.data() + filled, slice.data + skipped, part);
      filled += part;
    }
    here.window_used += count;
    operation.backend_progress += count;
    enqueue(from, SegmentKind::kData, std::move(bytes));
  }
  if (operation.backend_progress < operation.length()) return;
  here.sending = nullptr;
  operation.succeed(operation.length());
  operation.finish();
}

void SimLink::enqueue(Side from, SegmentKind kind, std::vector<std::byte> bytes) {
  Half& here = half(from);
  if (lost_) return;
  const MonoTime arrival = fabric_.world().now() + one_way(here);
  here.under_way.push_back(
      {kind, here.under_way.empty() ? arrival : std::max(arrival, here.under_way.back().arrival),
       std::move(bytes)});
  arm_delivery(from);
}

void SimLink::arm_delivery(Side from) {
  Half& here = half(from);
  if (here.under_way.empty() || here.stalled || here.deliver_event.is_armed()) return;
  fabric_.world().arm(here.deliver_event, here.under_way.front().arrival, number_);
}

void SimLink::deliver(Side from) {
  Half& source = half(from);
  Half& target = half(other(from));
  // What was to arrive now may have been lost since, with its connection or its machine.
  if (source.under_way.empty() || source.under_way.front().arrival > fabric_.world().now()) {
    arm_delivery(from);
    return;
  }
  if (!fabric_.can_reach(source.end.node, target.end.node)) {
    source.stalled = true;
    return;
  }
  Segment segment = std::move(source.under_way.front());
  source.under_way.pop_front();
  const std::uint32_t loss = fabric_.faults.connection_loss;
  if (loss != 0 && random_.chance(loss, 1'000'000)) {
    lose();
    return;
  }
  if (target.state != State::kOpen) {
    // A socket that is closed in good order answers the peer's end of stream with nothing.
    const bool answered = segment.kind == SegmentKind::kData ||
                          (segment.kind == SegmentKind::kEnd && target.state == State::kSilent);
    if (answered) reset_later(from, one_way(target));
  } else if (!target.error) {
    switch (segment.kind) {
      case SegmentKind::kData:
        target.buffer.insert(target.buffer.end(), segment.bytes.begin(), segment.bytes.end());
        hand_over(other(from));
        break;
      case SegmentKind::kEnd:
        target.at_end = true;
        hand_over(other(from));
        break;
      case SegmentKind::kReset:
        fail(other(from), connection_reset());
        break;
    }
  }
  arm_delivery(from);
}

void SimLink::acknowledge(Side sender) {
  Half& here = half(sender);
  if (!fabric_.can_reach(half(other(sender)).end.node, here.end.node)) {
    fabric_.world().arm(here.ack_event, fabric_.world().now() + fabric_.timing.retransmit, number_);
    return;
  }
  here.window_used -= std::exchange(here.acknowledged, 0);
  push(sender);
}

void SimLink::fail(Side side, const Error& error) {
  Half& here = half(side);
  if (here.error) return;
  here.error = error;
  hand_over(side);
  if (here.sending == nullptr) return;
  SocketOperation& operation = *std::exchange(here.sending, nullptr);
  operation.fail(error);
  operation.finish();
}

void SimLink::reset_later(Side side, Duration delay) {
  Half& here = half(side);
  if (here.error || here.reset_event.is_armed()) return;
  fabric_.world().arm(here.reset_event, fabric_.world().now() + delay, number_);
}

void SimLink::reset(Side side) {
  Half& here = half(side);
  if (here.state != State::kOpen) return;
  // A reset that meets a cut is provoked again by the next segment sent again.
  if (!lost_ && !fabric_.can_reach(half(other(side)).end.node, here.end.node)) {
    reset_later(side, fabric_.timing.retransmit);
    return;
  }
  fail(side, connection_reset());
}

void SimLink::lose() {
  if (lost_) return;
  lost_ = true;
  for (auto& half : halves_) half->under_way.clear();
  const Side first = random_.chance(1, 2) ? kClient : kServer;
  reset_later(first, random_.exponential(fabric_.timing.delay_tail));
  reset_later(other(first), random_.between(Duration(0), kLatestNotice));
}

void SimLink::try_again() {
  for (const Side side : {kClient, kServer}) {
    Half& here = half(side);
    if (!here.stalled) continue;
    here.stalled = false;
    if (here.under_way.empty()) continue;
    fabric_.world().arm(
        here.deliver_event,
        fabric_.world().now() + random_.between(Duration(0), fabric_.timing.retransmit), number_);
  }
}

void SimLink::shutdown_send(Side side) {
  Half& here = half(side);
  if (here.state != State::kOpen || std::exchange(here.send_is_shut, true)) return;
  enqueue(side, SegmentKind::kEnd, {});
}

void SimLink::abort(Side side) {
  Half& here = half(side);
  if (here.state != State::kOpen) return;
  here.state = State::kClosed;
  here.buffer.clear();
  here.read = 0;
  fail(side, Error::from_errno(ECONNABORTED, "connection"));
  enqueue(side, SegmentKind::kReset, {});
}

void SimLink::close(Side side) {
  Half& here = half(side);
  if (here.state != State::kOpen) return;
  ASHLAR_CHECK(here.receiving == nullptr && here.sending == nullptr,
               "a connection was closed with an operation in flight");
  here.state = State::kClosed;
  // As in Linux: closing a socket with unread bytes tells the peer that they were lost.
  if (unread(here) > 0) {
    enqueue(side, SegmentKind::kReset, {});
  } else if (!std::exchange(here.send_is_shut, true)) {
    enqueue(side, SegmentKind::kEnd, {});
  }
}

void SimLink::process_died(std::uint32_t node) {
  for (const Side side : {kClient, kServer}) {
    Half& here = half(side);
    if (here.end.node != node || here.state != State::kOpen) continue;
    here.state = State::kClosed;
    // The reset may overtake what was sent before it, or come after it.
    if (random_.chance(1, 2)) here.under_way.clear();
    enqueue(side, SegmentKind::kReset, {});
  }
}

void SimLink::power_failed(std::uint32_t node) {
  for (const Side side : {kClient, kServer}) {
    Half& here = half(side);
    if (here.end.node != node || here.state == State::kSilent) continue;
    here.state = State::kSilent;
    // What had not left the machine is gone; a part may be on the wire.
    const std::size_t kept = random_.below(here.under_way.size() + 1);
    while (here.under_way.size() > kept) here.under_way.pop_back();
  }
}

bool SimLink::is_over() const {
  for (const auto& half : halves_) {
    if (half->state == State::kOpen) return false;
    if (!half->under_way.empty()) return false;
  }
  return true;
}

void SimLink::cancel(Operation& operation) {
  for (auto& half : halves_) {
    for (SocketOperation** slot : {&half->receiving, &half->sending}) {
      if (static_cast<Operation*>(*slot) != &operation) continue;
      SocketOperation& cancelled = *std::exchange(*slot, nullptr);
      cancelled.fail(Error::cancelled("the operation was cancelled while it waited"));
      cancelled.finish();
      return;
    }
  }
}

void SimLink::forget(Operation& operation) {
  for (auto& half : halves_) {
    for (SocketOperation** slot : {&half->receiving, &half->sending}) {
      if (static_cast<Operation*>(*slot) == &operation) *slot = nullptr;
    }
  }
}

}  // namespace ashlar::sim
