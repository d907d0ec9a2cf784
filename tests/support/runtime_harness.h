// One test body, both runtimes: a RuntimeHarness runs a coroutine on io_uring or in the simulator.
//
//   class TimerTest : public RuntimeTest {};
//   TEST_P(TimerTest, SleepLastsAtLeastAsLong) {
//     run([](Runtime runtime) -> Task<void> { … EXPECT_GE(…) … });
//   }
//   INSTANTIATE_ON_BOTH_RUNTIMES(TimerTest);
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "common/runtime/runtime.h"
#include "common/runtime/task.h"

namespace ashlar::test {

class RuntimeHarness {
 public:
  virtual ~RuntimeHarness() = default;

  virtual Runtime runtime() = 0;
  // Runs `main` to its end.
  virtual void run(Task<void> main) = 0;
  // An empty directory on a disk that takes O_DIRECT; gone with the harness.
  virtual std::string directory() = 0;
  // An address to listen at, port 0.
  virtual Endpoint address() = 0;
};

// Skips the test, saying why, where this machine has no io_uring.
std::unique_ptr<RuntimeHarness> make_uring_harness();
std::unique_ptr<RuntimeHarness> make_sim_harness(std::uint64_t seed);

enum class Backend { kUring, kSim };

class RuntimeTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override;
  void TearDown() override;

  // `body` is a captureless coroutine lambda or function: Task<void>(Runtime, arguments…).
  template <class Body, class... Args>
  void run(Body body, Args&&... args) {
    harness_->run(body(harness_->runtime(), std::forward<Args>(args)...));
  }

  std::unique_ptr<RuntimeHarness> harness_;

 private:
  std::int64_t frames_before_ = 0;
};

}  // namespace ashlar::test

#define INSTANTIATE_ON_BOTH_RUNTIMES(suite)                                            \
  INSTANTIATE_TEST_SUITE_P(                                                            \
      Runtimes, suite,                                                                 \
      testing::Values(::ashlar::test::Backend::kUring, ::ashlar::test::Backend::kSim), \
      [](const auto& backend) {                                                        \
        return backend.param == ::ashlar::test::Backend::kUring ? "Uring" : "Sim";     \
      })
