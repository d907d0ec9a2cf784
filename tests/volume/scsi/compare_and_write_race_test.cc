// COMPARE AND WRITE among others, many at once and in any order the seed likes.
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"

namespace ashlar::scsi {
namespace {

constexpr std::uint64_t kBlock = 512;

// A sector that says a number and who has written it; 0 is a sector of zeros.
Bytes sector(std::uint64_t number, std::uint64_t writer) {
  Bytes bytes = pattern(kBlock, number == 0 ? 0 : number * 1000 + writer);
  store_le64(bytes, 0, number);
  return bytes;
}

struct Race {
  BlockLab* lab;
  std::uint64_t seed;
  std::uint64_t clients = 6;
  std::uint64_t rounds = 40;
  std::uint64_t shared_lba = 8;
  std::uint64_t won = 0;      // of the shared sector
  std::uint64_t lost = 0;     // told a miscompare there
  std::uint64_t running = 0;  // clients

  void fail(const std::string& what) { ADD_FAILURE() << "seed " << seed << ": " << what; }
};

// Counts up a sector of its own, which lies in one block of the engine with those of the others.
// Nobody else writes it: it can never miscompare, whatever goes on beside it.
Task<void> count_alone(Race* race, std::uint64_t client) {
  Nexus* const nexus = &race->lab->nexus(client % 2 == 0 ? "a" : "b");
  for (std::uint64_t number = 1; number <= race->rounds; ++number) {
    Bytes data = joined(sector(number - 1, client), sector(number, client));
    const Answer answer =
        co_await race->lab->send_as(nexus, compare_and_write_cdb(client, 1), std::move(data));
    if (told(answer) != "GOOD")
      race->fail(fmt::format("{} of {}: {}", number, client, told(answer)));
    // What was acknowledged is what is read.
    const Answer read = co_await race->lab->send_as(nexus, cdb16(0x88, client, 1));
    if (read.data != sector(number, client)) race->fail("a read does not see the last write");
  }
  --race->running;
}

// All count up one sector: each step is taken by exactly one.
Task<void> count_together(Race* race, std::uint64_t client) {
  Nexus* const nexus = &race->lab->nexus(client % 2 == 0 ? "a" : "b");
  std::uint64_t seen = 0;
  for (std::uint64_t round = 0; round < race->rounds; ++round) {
    const Answer read = co_await race->lab->send_as(nexus, cdb16(0x88, race->shared_lba, 1));
    const std::uint64_t number = load_le64(read.data);
    if (number < seen) race->fail(fmt::format("{} after {}", number, seen));
    seen = number;
    const std::uint64_t won_before = race->won;
    Bytes data = joined(read.data, sector(number + 1, client));
    const Answer answer = co_await race->lab->send_as(
        nexus, compare_and_write_cdb(race->shared_lba, 1), std::move(data));
    if (told(answer) == "GOOD") {
      ++race->won;
      seen = number + 1;
    } else if (answer.response.sense.key == SenseKey::kMiscompare) {
      ++race->lost;
      // Somebody has taken the step: the number is another now.
      const Answer again = co_await race->lab->send_as(nexus, cdb16(0x88, race->shared_lba, 1));
      if (load_le64(again.data) <= number) {
        race->fail(fmt::format("a miscompare at {}, and nobody has changed it ({} won before)",
                               number, won_before));
      }
    } else {
      race->fail(told(answer));
    }
  }
  --race->running;
}

// Writes beside them, in the same block: with WRITE, ORWRITE, WRITE SAME and UNMAP of a sector.
Task<void> disturb(Race* race, std::uint64_t lba) {
  Random random(race->seed * 7 + lba);
  Nexus* const nexus = &race->lab->nexus("c");
  while (race->running > 1) {
    const std::uint64_t kind = random.below(4);
    Cdb cdb = cdb16(0x8a, lba, 1);
    if (kind == 1) cdb = cdb16(0x8b, lba, 1);
    if (kind == 2) cdb = cdb16(0x93, lba, 1, 0x08);
    if (kind == 3) cdb = cdb10(0x2e, lba, 1);
    const Answer answer = co_await race->lab->send_as(nexus, cdb, pattern(kBlock, random.below(3)));
    if (told(answer) != "GOOD") race->fail(told(answer));
    if (random.chance(1, 30)) {
      const Result<> flushed = co_await race->lab->store.store->checkpoint();
      if (!flushed.ok()) race->fail(flushed.error().to_string());
    }
  }
  --race->running;
}

Task<void> run_race(BlockLab* lab, Race* race) {
  race->lab = lab;
  for (const char* name : {"a", "b", "c"}) (void)lab->nexus(name);
  TaskScope scope(co_await this_task());
  race->running = 2 * race->clients + 1;
  for (std::uint64_t client = 0; client < race->clients; ++client) {
    scope.spawn(count_alone(race, client));
    scope.spawn(count_together(race, client));
  }
  scope.spawn(disturb(race, race->clients));
  CO_ASSERT_OK(co_await scope.join());
  const Answer last = co_await lab->send(cdb16(0x88, race->shared_lba, 1));
  EXPECT_EQ(load_le64(last.data), race->won) << "seed " << race->seed;
}

TEST(CompareAndWriteRaceTest, EveryStepIsTakenByOneAndNoneIsLost) {
  std::uint64_t lost = 0;
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    BlockLab lab(seed);
    if (seed % 3 == 0) lab.settings.ack_policy = volume::AckPolicy::kBuffered;
    Race race{.lab = nullptr, .seed = seed};
    // Beside the others' in one block of the engine, or in the next.
    race.shared_lba = seed % 2 == 0 ? 7 : 8;
    lab.run([&race](BlockLab& l) { return run_race(&l, &race); });
    EXPECT_GT(race.won, 0u);
    lost += race.lost;
  }
  EXPECT_GT(lost, 0u) << "no race has taken place";
}

}  // namespace
}  // namespace ashlar::scsi
