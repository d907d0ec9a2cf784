// call_on: how other threads (gRPC, HTTP) ask a reactor something and wait for the answer.
//
//   Result<Status> status = call_on(reactor, [&] { return server.status(); });   //
//   Task<Result<Status>>
//
// make_task runs on the reactor's thread; the calling thread blocks until the task is over. When
// the reactor ends first the answer is kUnavailable or the task's kCancelled. Never call it on a
// reactor's own thread.
#pragma once

#include <future>
#include <memory>
#include <type_traits>
#include <utility>

#include "common/runtime/uring/reactor.h"

namespace ashlar::uring {

namespace detail {

// The answer on its way. A call that is dropped before it is over still answers.
template <class R>
class PendingCall {
 public:
  explicit PendingCall(std::promise<R>* answer) : answer_(answer) {}
  PendingCall(PendingCall&& other) noexcept : answer_(std::exchange(other.answer_, nullptr)) {}
  PendingCall& operator=(PendingCall&&) = delete;
  ~PendingCall() {
    if (answer_ != nullptr) answer_->set_value(Error::unavailable("the reactor has ended"));
  }
  void answer(R result) { std::exchange(answer_, nullptr)->set_value(std::move(result)); }

 private:
  std::promise<R>* answer_;
};

template <class R, class F>
Task<void> serve_call(PendingCall<R> call, F make_task) {
  R result = co_await make_task();
  call.answer(std::move(result));
}

}  // namespace detail

template <class F>
auto call_on(Reactor& reactor, F make_task) -> typename std::invoke_result_t<F>::value_type {
  using R = typename std::invoke_result_t<F>::value_type;
  std::promise<R> answer;
  std::future<R> future = answer.get_future();
  reactor.post([&reactor, call = detail::PendingCall<R>(&answer),
                make_task = std::move(make_task)]() mutable {
    reactor.calls().spawn(detail::serve_call(std::move(call), std::move(make_task)));
  });
  return future.get();
}

}  // namespace ashlar::uring
