// SignalWaiter: process signals as something a coroutine awaits. It blocks the signals in the
// calling thread, so make it before any other thread starts (they inherit the mask).
#pragma once

#include <initializer_list>
#include <memory>

#include "common/base/result.h"
#include "common/runtime/task.h"

namespace ashlar::uring {

class Reactor;

class SignalWaiter {
 public:
  static Result<std::unique_ptr<SignalWaiter>> create(Reactor& reactor,
                                                      std::initializer_list<int> signals);
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  // The number of the next signal. Cancellable.
  Task<Result<int>> wait();

 private:
  SignalWaiter(Reactor& reactor, int fd) : reactor_(reactor), fd_(fd) {}

  Reactor& reactor_;
  int fd_;
};

}  // namespace ashlar::uring
