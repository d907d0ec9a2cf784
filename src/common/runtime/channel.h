// Channel<T>: a bounded queue between coroutines of one executor. send() waits while it is full,
// receive() while it is empty. close() lets receivers drain what is there and then ends them with
// kOutOfRange; senders are refused with kFailedPrecondition. Both waits are cancellable.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "common/base/result.h"
#include "common/runtime/task.h"
#include "common/runtime/wait_list.h"

namespace ashlar {

template <class T>
class Channel {
 public:
  // `capacity` ≥ 1.
  explicit Channel(std::size_t capacity) : capacity_(capacity) { ASHLAR_CHECK_GE(capacity, 1u); }

  std::size_t size() const { return items_.size(); }
  bool is_closed() const { return closed_; }

  // False when the channel is full or closed; `item` is then untouched.
  bool try_send(T&& item) {
    if (closed_ || items_.size() >= capacity_ || !senders_.empty()) return false;
    put(std::move(item));
    return true;
  }

  std::optional<T> try_receive() {
    if (items_.empty()) return std::nullopt;
    return take();
  }

  void close() {
    closed_ = true;
    while (!senders_.empty()) senders_.pop_front().grant();
    while (!receivers_.empty()) receivers_.pop_front().grant();
  }

  class [[nodiscard]] SendAwaiter final : public Waiter {
   public:
    SendAwaiter(Channel& channel, T item) : channel_(channel), item_(std::move(item)) {}
    bool await_ready() { return channel_.closed_ || sent_at_once(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      if (!prepare(caller.promise())) return false;
      channel_.senders_.push_back(*this);
      return true;
    }
    Result<> await_resume() {
      if (is_cancelled()) return outcome();
      if (item_) return Error::failed_precondition("the channel is closed");
      return {};
    }

   private:
    friend class Channel;
    bool sent_at_once() {
      if (!channel_.senders_.empty() || channel_.items_.size() >= channel_.capacity_) return false;
      channel_.put(std::move(*item_));
      item_.reset();
      return true;
    }

    Channel& channel_;
    std::optional<T> item_;
  };

  class [[nodiscard]] ReceiveAwaiter final : public Waiter {
   public:
    explicit ReceiveAwaiter(Channel& channel) : channel_(channel) {}
    bool await_ready() {
      if (!channel_.receivers_.empty()) return false;
      item_ = channel_.try_receive();
      return item_ || channel_.closed_;
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      if (!prepare(caller.promise())) return false;
      channel_.receivers_.push_back(*this);
      return true;
    }
    Result<T> await_resume() {
      if (item_) return std::move(*item_);
      if (is_cancelled()) return outcome().error();
      return Error::out_of_range("the channel is closed and empty");
    }

   private:
    friend class Channel;
    Channel& channel_;
    std::optional<T> item_;
  };

  SendAwaiter send(T item) { return SendAwaiter(*this, std::move(item)); }
  ReceiveAwaiter receive() { return ReceiveAwaiter(*this); }

 private:
  // An item goes straight to the receiver that waits longest, so a later one cannot steal it.
  void put(T&& item) {
    if (receivers_.empty()) {
      items_.push_back(std::move(item));
      return;
    }
    auto& receiver = static_cast<ReceiveAwaiter&>(receivers_.pop_front());
    receiver.item_ = std::move(item);
    receiver.grant();
  }

  T take() {
    T item = std::move(items_.front());
    items_.pop_front();
    if (!senders_.empty()) {
      auto& sender = static_cast<SendAwaiter&>(senders_.pop_front());
      items_.push_back(std::move(*sender.item_));
      sender.item_.reset();
      sender.grant();
    }
    return item;
  }

  std::deque<T> items_;
  WaitList senders_;
  WaitList receivers_;
  const std::size_t capacity_;
  bool closed_ = false;
};

}  // namespace ashlar
