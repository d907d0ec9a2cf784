// What the simulator's own tests share: a world with one node, and a way to run a body in it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "common/runtime/sim/sim_network.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"

namespace ashlar::sim {

struct alignas(kDiskAlignment) TestPage {
  std::array<std::byte, kDiskAlignment> bytes{};

  TestPage() = default;
  explicit TestPage(unsigned fill) { bytes.fill(static_cast<std::byte>(fill)); }

  // The byte all of it consists of; 256 when it is mixed.
  unsigned fill() const {
    for (const std::byte byte : bytes) {
      if (byte != bytes[0]) return 256;
    }
    return std::to_integer<unsigned>(bytes[0]);
  }
};

// Runs `body(runtime, arguments…)` on `node` and expects it to end; starts a process if need be.
template <class Body, class... Args>
void run_on(SimNode& node, Body body, Args... args) {
  if (!node.is_running()) node.boot();
  node.spawn(body(node.runtime(), args...));
  ASSERT_TRUE(node.world().run_until([&] { return !node.is_running(); }, 3600s))
      << "seed " << node.world().seed();
}

inline Task<Result<>> write_page(File& file, std::uint64_t index, unsigned fill,
                                 Durability durability = Durability::kNone) {
  const auto page = std::make_unique<TestPage>(fill);
  co_return co_await file.write(index * kDiskAlignment, page->bytes, durability);
}

// The fill of the page, or the error.
inline Task<Result<unsigned>> read_page(File& file, std::uint64_t index) {
  const auto page = std::make_unique<TestPage>();
  ASHLAR_CO_TRY(co_await file.read(index * kDiskAlignment, page->bytes));
  co_return page->fill();
}

}  // namespace ashlar::sim
