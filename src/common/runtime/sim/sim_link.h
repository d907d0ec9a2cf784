// SimLink: one stream connection as the kernels of its two ends see it.
//
// Each direction is a queue of segments that arrive in order, each after a delay of its own; a
// window bounds the bytes that are under way or unread, so a sender waits for a reader who does not
// read. While the way is cut, or the receiver's machine is without power, segments wait as if TCP
// were sending them again and again.
//
// An end is open, closed (its socket is gone: what arrives is answered with a reset), or silent
// (its machine lost power: the same, once the machine is back). A reset is an error only after the
// bytes that arrived before it were read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/random.h"
#include "common/runtime/network.h"
#include "common/runtime/sim/sim_world.h"

namespace ashlar::sim {

class SimFabric;

class SimLink final : public OperationBackend {
 public:
  enum Side : std::uint8_t { kClient = 0, kServer = 1 };

  struct End {
    std::uint32_t node;
    Endpoint endpoint;
  };

  SimLink(SimFabric& fabric, std::uint64_t number, const End& client, const End& server);
  SimLink(const SimLink&) = delete;
  SimLink& operator=(const SimLink&) = delete;

  const End& end(Side side) const { return half(side).end; }
  std::uint64_t number() const { return number_; }

  // What a process does with its end.
  void receive(Side side, SocketOperation& operation);
  void send(Side side, SocketOperation& operation);
  void shutdown_send(Side side);
  void abort(Side side);
  void close(Side side);
  // An operation of this end is in flight.
  bool is_busy(Side side) const {
    return half(side).receiving != nullptr || half(side).sending != nullptr;
  }

  // What happens to it.
  void process_died(std::uint32_t node);
  void power_failed(std::uint32_t node);
  // The way from `from` to `to` may be open again, or the machine at its end is back.
  void try_again();
  // The connection is lost; the ends notice at different times.
  void lose();

  // Nothing can happen on it any more.
  bool is_over() const;

  // OperationBackend
  void cancel(Operation& operation) override;
  void forget(Operation& operation) override;

 private:
  enum class State : std::uint8_t { kOpen, kClosed, kSilent };
  enum class SegmentKind : std::uint8_t { kData, kEnd, kReset };

  struct Segment {
    SegmentKind kind;
    MonoTime arrival;
    std::vector<std::byte> bytes;
  };

  class LinkEvent final : public SimEvent {
   public:
    using Action = void (SimLink::*)(Side);
    LinkEvent(EventKind kind, std::uint32_t node, SimLink& link, Side side, Action action)
        : SimEvent(kind, node), link_(link), side_(side), action_(action) {}
    void fire() override { (link_.*action_)(side_); }

   private:
    SimLink& link_;
    const Side side_;
    const Action action_;
  };

  // One end and the direction that starts at it.
  struct Half {
    Half(SimLink& link, const End& at, Side side);

    End end;
    State state = State::kOpen;
    // Receiving
    std::vector<std::byte> buffer;
    std::size_t read = 0;  // of the buffer
    bool at_end = false;   // the peer has shut down its sending
    std::optional<Error> error;
    SocketOperation* receiving = nullptr;
    // Sending
    bool send_is_shut = false;
    SocketOperation* sending = nullptr;
    std::deque<Segment> under_way;
    std::size_t window_used = 0;   // under way or unread by the peer
    std::size_t acknowledged = 0;  // read by the peer, not yet known here
    Duration delay{};
    bool stalled = false;
    LinkEvent deliver_event;  // at the peer
    LinkEvent ack_event;      // here
    LinkEvent reset_event;    // here
  };

  static Side other(Side side) { return side == kClient ? kServer : kClient; }
  Half& half(Side side) { return *halves_[side]; }
  const Half& half(Side side) const { return *halves_[side]; }
  std::size_t unread(const Half& half) const { return half.buffer.size() - half.read; }

  Duration one_way(const Half& from);
  void push(Side from);
  void enqueue(Side from, SegmentKind kind, std::vector<std::byte> bytes);
  void arm_delivery(Side from);
  void deliver(Side from);
  void hand_over(Side to);
  void acknowledge(Side sender);
  void reset(Side side);
  void reset_later(Side side, Duration delay);
  void fail(Side side, const Error& error);

  SimFabric& fabric_;
  const std::uint64_t number_;
  Random random_;
  bool lost_ = false;
  std::array<std::unique_ptr<Half>, 2> halves_;
};

class SimDetachedConnection final : public DetachedConnection {
 public:
  SimDetachedConnection(std::shared_ptr<SimLink> link, SimLink::Side side)
      : link_(std::move(link)), side_(side) {}
  ~SimDetachedConnection() override {
    if (link_ != nullptr) link_->close(side_);
  }

  const std::shared_ptr<SimLink>& link() const { return link_; }
  SimLink::Side side() const { return side_; }
  std::shared_ptr<SimLink> take() { return std::exchange(link_, nullptr); }

 private:
  std::shared_ptr<SimLink> link_;
  const SimLink::Side side_;
};

// One end in the hands of a process.
class SimConnection final : public Connection {
 public:
  SimConnection(std::shared_ptr<SimLink> link, SimLink::Side side)
      : link_(std::move(link)), side_(side) {}
  ~SimConnection() override {
    if (link_ != nullptr) link_->close(side_);
  }

  void shutdown_send() override { link_->shutdown_send(side_); }
  void abort() override { link_->abort(side_); }
  std::unique_ptr<DetachedConnection> detach() override {
    ASHLAR_CHECK(!link_->is_busy(side_), "a connection was detached with I/O in flight");
    return std::make_unique<SimDetachedConnection>(std::exchange(link_, nullptr), side_);
  }
  Endpoint local() const override { return link_->end(side_).endpoint; }
  Endpoint peer() const override {
    return link_->end(side_ == SimLink::kClient ? SimLink::kServer : SimLink::kClient).endpoint;
  }

 protected:
  void submit(SocketOperation& operation) override {
    if (operation.kind() == SocketOperation::Kind::kReceive) {
      link_->receive(side_, operation);
    } else {
      link_->send(side_, operation);
    }
  }

 private:
  std::shared_ptr<SimLink> link_;  // null when it was detached
  const SimLink::Side side_;
};

}  // namespace ashlar::sim
