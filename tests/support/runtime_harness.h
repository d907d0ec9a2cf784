// One test body, both runtimes: a RuntimeHarness runs a coroutine on io_uring or in the simulator.
//
//   class ClockTest : public RuntimeTest {};
//   TEST_P(ClockTest, SleepLastsAtLeastAsLong) {
//     run([](Runtime runtime) -> Task<void> { … EXPECT_GE(…) … });
//   }
//   INSTANTIATE_ON_BOTH_RUNTIMES(ClockTest);
//
// Bodies take what they need as arguments and never capture: a capture would live in the lambda,
// which is gone before the coroutine ends. ASSERT_… cannot be used in a coroutine; expect.h has
// what can.
//
// Every test prints its seed; ASHLAR_TEST_SEED=<number> repeats a run. It is all the randomness of
// the simulator, and what seed() gives to bodies that draw on either runtime.
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

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

// Null, and the test is skipped with the reason, where this machine has no io_uring.
std::unique_ptr<RuntimeHarness> make_uring_harness();
std::unique_ptr<RuntimeHarness> make_sim_harness(std::uint64_t seed);

enum class Backend { kUring, kSim };
inline void PrintTo(Backend backend, std::ostream* out) {
  *out << (backend == Backend::kUring ? "uring" : "sim");
}

// The runtimes this program was built with.
std::vector<Backend> available_backends();

// ASHLAR_TEST_SEED, or a new one for this test; printed.
std::uint64_t pick_seed();

class RuntimeTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override;
  // Fails the test when a coroutine frame outlived it.
  void TearDown() override;

  // `body` is a captureless coroutine lambda or function: Task<void>(Runtime, arguments…).
  // Arguments that it takes by reference live in the caller, which waits.
  template <class Body, class... Args>
  void run(Body body, Args&&... args) {
    harness_->run(body(harness_->runtime(), std::forward<Args>(args)...));
  }

  std::uint64_t seed() const { return seed_; }
  std::string directory() { return harness_->directory(); }
  Endpoint address() { return harness_->address(); }

  std::unique_ptr<RuntimeHarness> harness_;

 private:
  std::uint64_t seed_ = 0;
  std::int64_t frames_before_ = 0;
};

}  // namespace ashlar::test

#define INSTANTIATE_ON_BOTH_RUNTIMES(suite)                                     \
  INSTANTIATE_TEST_SUITE_P(                                                     \
      Runtimes, suite, testing::ValuesIn(::ashlar::test::available_backends()), \
      [](const auto& backend) { return testing::PrintToString(backend.param); })
