// The kernel closes what an io_uring had under way a moment after its process has ended, and so a
// port or a lock of a server that was killed may still be taken when the next one starts. For that
// moment the start tries again; whoever holds them longer is alive.
#pragma once

#include <functional>

#include "common/base/result.h"
#include "common/runtime/clock.h"
#include "common/runtime/task.h"

namespace ashlar::server {

inline constexpr Duration kAfterlife = 3s;
inline constexpr Duration kAfterlifeRetry = 20ms;

// Tries until the answer is another than `taken`, for kAfterlife at most; gives the last one.
template <class T>
Task<Result<T>> outlast(Clock& clock, ErrorCode taken, std::function<Task<Result<T>>()> attempt) {
  const MonoTime deadline = clock.now() + kAfterlife;
  for (;;) {
    Result<T> outcome = co_await attempt();
    if (outcome.ok() || outcome.error().code() != taken || clock.now() >= deadline) {
      co_return outcome;
    }
    ASHLAR_CO_TRY(co_await sleep_for(clock, kAfterlifeRetry));
  }
}

}  // namespace ashlar::server
