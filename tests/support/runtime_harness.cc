#include "tests/support/runtime_harness.h"

#include <cstdio>
#include <cstdlib>

namespace ashlar::test {

std::vector<Backend> available_backends() {
#ifdef ASHLAR_TEST_WITH_SIM
  return {Backend::kUring, Backend::kSim};
#else
  return {Backend::kUring};
#endif
}

#ifndef ASHLAR_TEST_WITH_SIM
std::unique_ptr<RuntimeHarness> make_sim_harness(std::uint64_t) {
  ASHLAR_UNREACHABLE("this program was built without the simulator");
}
#endif

std::uint64_t pick_seed() {
  const char* given = std::getenv("ASHLAR_TEST_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 0) : Random::from_os().next();
  std::printf("[     SEED ] ASHLAR_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

void RuntimeTest::SetUp() {
  frames_before_ = live_frames();
  seed_ = pick_seed();
  harness_ = GetParam() == Backend::kUring ? make_uring_harness() : make_sim_harness(seed_);
}

void RuntimeTest::TearDown() {
  harness_.reset();
  EXPECT_EQ(live_frames(), frames_before_) << "coroutine frames leaked (or died twice)";
}

}  // namespace ashlar::test
