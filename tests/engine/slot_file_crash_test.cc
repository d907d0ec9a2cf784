// A SlotFile judged by crashes: whatever a power failure or a kill leaves, the next open() gives
// the body of the last store() that resolved, or of the one that was under way; and what open() has
// given once does not go back.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "engine/slot_file.h"

namespace ashlar::engine {
namespace {

using sim::CrashKind;
using sim::SimNode;
using sim::SimWorld;

constexpr const char* kPath = "/data/state";
constexpr SlotFormat kFormat{
    .magic = 0x31545345544b4c53, .version = 1, .slot_size = 20480, .what = "the test's state"};
constexpr int kCrashes = 10;

// What the world outside knows.
struct Outside {
  std::uint64_t least = 0;   // stored for good
  std::uint64_t newest = 0;  // may have been stored
  std::uint64_t begun = 0;   // no number is used twice, so that one that was given up is known
  bool formatted = false;
  std::uint64_t stores = 0;
  std::uint64_t degraded = 0;  // opens that found a torn slot
  std::uint64_t ahead = 0;     // opens that found what nobody was told is stored
  std::uint64_t failed = 0;    // stores that ended a life
  std::string failure;
};

// Body `number` of a run; its length and each of its bytes follow from that. Half of the sectors
// are the same in all bodies, as in states that change a little.
std::vector<std::byte> body_of(std::uint64_t seed, std::uint64_t number) {
  Random random(seed * 1'000'003 + number);
  std::vector<std::byte> body(random.between(8, kFormat.largest_body()));
  Random(seed).fill(body);
  const std::uint64_t cut = random.below(body.size());
  random.fill(MutableByteSpan(body).first(cut));
  store_le64(body, 0, number);
  return body;
}

void judge(Outside& outside, std::uint64_t seed, const SlotFile& slots) {
  const std::uint64_t number = load_le64(slots.body());
  const std::vector<std::byte> expected = body_of(seed, number);
  const bool same =
      std::equal(expected.begin(), expected.end(), slots.body().begin(), slots.body().end());
  if (!same || (number != outside.least && number != outside.newest)) {
    outside.failure = fmt::format("body {} was found, {} was stored, {} may have been", number,
                                  outside.least, outside.newest);
  }
  outside.degraded += slots.is_degraded() ? 1 : 0;
  outside.ahead += number > outside.least ? 1 : 0;
  // It is stored, and an attempt that was not found is given up.
  outside.least = number;
  outside.newest = number;
}

Task<Result<>> live(Runtime runtime, Outside* outside, std::uint64_t seed) {
  ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<File> file,
                       co_await runtime.files.open(kPath, OpenMode::kCreate));
  std::unique_ptr<SlotFile> slots;
  if (!outside->formatted) {
    const std::vector<std::byte> body = body_of(seed, 0);
    ASHLAR_CO_TRY_ASSIGN(slots, co_await SlotFile::format(std::move(file), kFormat, body));
    ASHLAR_CO_TRY(co_await runtime.files.sync_directory("/data"));
    outside->formatted = true;
  } else {
    ASHLAR_CO_TRY_ASSIGN(slots, co_await SlotFile::open(std::move(file), kFormat));
    judge(*outside, seed, *slots);
  }
  while (outside->failure.empty()) {
    const std::uint64_t number = ++outside->begun;
    outside->newest = number;
    const Result<> stored = co_await slots->store(body_of(seed, number));
    if (!stored.ok()) {
      ++outside->failed;
      break;
    }
    outside->least = number;
    ++outside->stores;
  }
  co_return Result<>();
}

Task<void> keep_living(Runtime runtime, Outside* outside, std::uint64_t seed) {
  const Result<> ended = co_await live(runtime, outside, seed);
  if (!ended.ok() && outside->failure.empty()) outside->failure = ended.error().to_string();
}

Outside run_crashes(std::uint64_t seed) {
  SimWorld world(seed);
  world.set_event_limit(1'000'000);
  Random random = world.split("scenario");
  SimNode& node = world.add_node();
  Outside outside;
  node.start([&outside, seed](Runtime runtime) { return keep_living(runtime, &outside, seed); });
  world.run_until([&] { return outside.formatted || !outside.failure.empty(); }, 1s);
  // A write that fails may have left any part of itself.
  if (random.chance(1, 3)) node.disk().faults.write_error = 50'000;
  for (int crash = 0; crash < kCrashes && outside.failure.empty(); ++crash) {
    world.run_for(random.between(Duration(0), Duration(3ms)));
    node.crash(random.chance(1, 5) ? CrashKind::kKill : CrashKind::kPowerFail);
    // A killed process's write arrives, and holds the file's lock until then.
    world.run_for(1ms);
    node.restart();
  }
  world.run_for(2ms);
  return outside;
}

TEST(SlotFileCrash, OpenGivesTheOldOrTheNewBodyOver300Seeds) {
  Outside sum;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Outside outside = run_crashes(seed);
    ASSERT_EQ(outside.failure, "") << "seed " << seed;
    sum.stores += outside.stores;
    sum.degraded += outside.degraded;
    sum.ahead += outside.ahead;
    sum.failed += outside.failed;
  }
  const std::string seen = fmt::format("stores {} degraded {} ahead {} failed {}", sum.stores,
                                       sum.degraded, sum.ahead, sum.failed);
  RecordProperty("seen", seen);
  // Floors under what was measured, to notice when a path is no longer taken.
  EXPECT_GT(sum.stores, 3000u) << seen;
  EXPECT_GT(sum.degraded, 300u) << seen;
  EXPECT_GT(sum.ahead, 100u) << seen;
}

}  // namespace
}  // namespace ashlar::engine
