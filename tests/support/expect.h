// What GoogleTest lacks for Results and coroutines: ASSERT_… returns, a coroutine must co_return.
//
//   EXPECT_EQ(outcome_of(co_await file.sync()), "OK");
//   CO_ASSERT_OK(co_await file.sync());
//   CO_ASSERT_OK_ASSIGN(auto file, co_await runtime.files.open(path, OpenMode::kCreate));
#pragma once

#include <string_view>

#include <gtest/gtest.h>

#include "common/base/result.h"
#include "common/runtime/clock.h"
#include "common/runtime/task.h"

namespace ashlar::test {

// "OK" or the name of the error's code, so that a failed expectation says what came instead.
template <class T>
std::string_view outcome_of(const Result<T>& result) {
  return result.ok() ? std::string_view("OK") : to_string(result.error().code());
}

// Lets others run until `condition()` holds, for what needs no I/O and no time.
template <class Condition>
Task<void> yield_until(Condition condition) {
  for (int i = 0; i < 100'000; ++i) {
    if (condition()) co_return;
    co_await yield();
  }
  ADD_FAILURE() << "the condition did not come true";
}

// The same for what I/O brings about.
template <class Condition>
Task<void> poll_until(Clock& clock, Condition condition) {
  const MonoTime give_up = clock.now() + 20s;
  while (!condition()) {
    if (clock.now() > give_up) {
      ADD_FAILURE() << "the condition did not come true";
      co_return;
    }
    (void)co_await sleep_for(clock, 1ms);
  }
}

}  // namespace ashlar::test

#define CO_ASSERT_TRUE(condition)  \
  do {                             \
    if (!(condition)) {            \
      ADD_FAILURE() << #condition; \
      co_return;                   \
    }                              \
  } while (false)

#define CO_ASSERT_OK(expression)                                                  \
  do {                                                                            \
    if (auto ashlar_result_ = (expression); !ashlar_result_.ok()) {               \
      ADD_FAILURE() << #expression << ": " << ashlar_result_.error().to_string(); \
      co_return;                                                                  \
    }                                                                             \
  } while (false)

#define CO_ASSERT_OK_ASSIGN_IMPL_(result, target, expression)           \
  auto result = (expression);                                           \
  if (!result.ok()) {                                                   \
    ADD_FAILURE() << #expression << ": " << result.error().to_string(); \
    co_return;                                                          \
  }                                                                     \
  target = std::move(result).value()

#define CO_ASSERT_OK_ASSIGN(target, expression) \
  CO_ASSERT_OK_ASSIGN_IMPL_(ASHLAR_CONCAT_(ashlar_result_, __COUNTER__), target, expression)
