// The simulated side of runtime_harness.h: one world, one node.
#include <utility>

#include <gtest/gtest.h>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "tests/support/runtime_harness.h"

namespace ashlar::test {
namespace {

constexpr Duration kLongestRun = 3600s;

class SimHarness final : public RuntimeHarness {
 public:
  explicit SimHarness(std::uint64_t seed) : world_(seed), node_(world_.add_node()) {
    world_.set_event_limit(50'000'000);
    node_.boot();
  }

  Runtime runtime() override { return node_.runtime(); }

  void run(Task<void> main) override {
    node_.spawn(std::move(main));
    const bool over = world_.run_until([&] { return !node_.is_running(); }, kLongestRun);
    EXPECT_TRUE(over) << "seed " << world_.seed() << " is not over after an hour of virtual time\n"
                      << world_.recent_events();
  }

  std::string directory() override { return "/data"; }
  Endpoint address() override { return node_.endpoint(0); }

 private:
  sim::SimWorld world_;
  sim::SimNode& node_;
};

}  // namespace

std::unique_ptr<RuntimeHarness> make_sim_harness(std::uint64_t seed) {
  return std::make_unique<SimHarness>(seed);
}

}  // namespace ashlar::test
