// The order of commands (SAM-5, 8) and task management that has an effect (L71).
#include "volume/scsi/task_set.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"

namespace ashlar::scsi {
namespace {

constexpr std::uint64_t kBlock = 512;
using Function = TaskManagementFunction;
using Management = TaskManagementAnswer;

// A write that waits for its data until it is let go.
struct HeldWrite {
  HeldWrite(BlockLab& lab, std::uint64_t seed, std::uint64_t blocks = 1)
      : out(*lab.store.pool, pattern(blocks * kBlock, seed)) {
    out.gate = &gate;
  }
  Event gate;
  TestDataOut out;
  std::optional<Answer> answer;
};

void start(BlockLab& lab, TaskScope& scope, Nexus* nexus, HeldWrite& write, std::uint64_t lba,
           std::uint32_t tag, TaskAttribute attribute = TaskAttribute::kSimple) {
  const Command command{.tag = tag, .attribute = attribute};
  const Cdb cdb = cdb16(0x8a, lba, write.out.expected() / kBlock);
  scope.spawn(engine::keep(lab.execute(nexus, cdb, command, &write.out), &write.answer));
}

TEST(TaskSetTest, SimpleCommandsRunSideBySide) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    TaskScope scope(co_await this_task());
    HeldWrite first(l, 1);
    HeldWrite second(l, 2);
    start(l, scope, &l.nexus(), first, 0, 1);
    start(l, scope, &l.nexus(), second, 1, 2);
    co_await test::yield_until([&] { return first.out.was_fetched && second.out.was_fetched; });
    second.gate.set();
    co_await test::poll_until(l.store.runtime->clock, [&] { return second.answer.has_value(); });
    EXPECT_FALSE(first.answer.has_value());
    first.gate.set();
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(told(*first.answer), "GOOD");
  });
}

TEST(TaskSetTest, AnOrderedCommandWaitsForThoseBeforeItAndHoldsThoseBehindIt) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    TaskScope scope(co_await this_task());
    HeldWrite before(l, 1);
    HeldWrite ordered(l, 2);
    HeldWrite behind(l, 3);
    HeldWrite ordered_too(l, 4);
    HeldWrite head(l, 5);
    Nexus* const a = &l.nexus("a");
    Nexus* const b = &l.nexus("b");
    start(l, scope, a, before, 0, 1);
    co_await l.store.sleep(1ms);
    start(l, scope, b, ordered, 0, 2, TaskAttribute::kOrdered);
    co_await l.store.sleep(1ms);
    start(l, scope, a, behind, 0, 3);
    co_await l.store.sleep(1ms);
    start(l, scope, a, ordered_too, 0, 4, TaskAttribute::kOrdered);
    co_await l.store.sleep(1ms);
    start(l, scope, b, head, 8, 5, TaskAttribute::kHeadOfQueue);
    co_await l.store.sleep(1ms);
    EXPECT_TRUE(before.out.was_fetched);
    EXPECT_TRUE(head.out.was_fetched);
    EXPECT_FALSE(ordered.out.was_fetched);
    EXPECT_FALSE(behind.out.was_fetched);

    before.gate.set();
    co_await l.store.sleep(10ms);
    EXPECT_TRUE(before.answer.has_value());
    EXPECT_FALSE(ordered.out.was_fetched) << "HEAD OF QUEUE is not over";
    head.gate.set();
    co_await l.store.sleep(10ms);
    EXPECT_TRUE(ordered.out.was_fetched);
    EXPECT_FALSE(behind.out.was_fetched);
    ordered.gate.set();
    co_await l.store.sleep(10ms);
    EXPECT_TRUE(behind.out.was_fetched);
    EXPECT_FALSE(ordered_too.out.was_fetched);
    behind.gate.set();
    co_await l.store.sleep(10ms);
    EXPECT_TRUE(ordered_too.out.was_fetched);
    ordered_too.gate.set();
    CO_ASSERT_OK(co_await scope.join());
    const Bytes now = co_await l.bytes_at(0, kBlock);
    EXPECT_TRUE(now == pattern(kBlock, 4));
  });
}

TEST(TaskSetTest, AnAbortedCommandEndsAtOnceAndWritesNothing) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    TaskScope scope(co_await this_task());
    Nexus* const a = &l.nexus("a");
    HeldWrite write(l, 1, 8);
    start(l, scope, a, write, 0, 77);
    co_await test::yield_until([&] { return write.out.was_fetched; });
    Management answer = co_await l.device->manage(*a, Function::kAbortTask, 0, 76);
    EXPECT_EQ(answer, Management::kTaskDoesNotExist);
    answer = co_await l.device->manage(l.nexus("b"), Function::kAbortTask, 0, 77);
    EXPECT_EQ(answer, Management::kTaskDoesNotExist) << "a tag is a nexus's own";
    answer = co_await l.device->manage(*a, Function::kAbortTask, encode_lun(1), 77);
    EXPECT_EQ(answer, Management::kLunDoesNotExist);
    EXPECT_FALSE(write.answer.has_value());
    answer = co_await l.device->manage(*a, Function::kAbortTask, 0, 77);
    EXPECT_EQ(answer, Management::kComplete);
    write.gate.set();
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(told(*write.answer), "ABORTED");
    const Bytes now = co_await l.bytes_at(0, 8 * kBlock);
    EXPECT_TRUE(now == Bytes(8 * kBlock));
    answer = co_await l.device->manage(*a, Function::kAbortTask, 0, 77);
    EXPECT_EQ(answer, Management::kTaskDoesNotExist);
  });
}

TEST(TaskSetTest, DataThatComesWithTheAbortIsNotWritten) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    TaskScope scope(co_await this_task());
    Nexus* const a = &l.nexus("a");
    HeldWrite write(l, 1, 8);
    start(l, scope, a, write, 0, 1);
    co_await test::yield_until([&] { return write.out.was_fetched; });
    // The fetch is granted, but has not gone on yet.
    write.gate.set();
    const Management answer = co_await l.device->manage(*a, Function::kAbortTask, 0, 1);
    EXPECT_EQ(answer, Management::kComplete);
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(told(*write.answer), "ABORTED");
    const Bytes now = co_await l.bytes_at(0, 8 * kBlock);
    EXPECT_TRUE(now == Bytes(8 * kBlock));
  });
}

TEST(TaskSetTest, ACommandThatHasNotBegunIsAbortedToo) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    TaskScope scope(co_await this_task());
    Nexus* const a = &l.nexus("a");
    HeldWrite before(l, 1);
    HeldWrite ordered(l, 2);
    HeldWrite behind(l, 3);
    start(l, scope, a, before, 0, 1);
    co_await test::yield_until([&] { return before.out.was_fetched; });
    start(l, scope, a, ordered, 0, 2, TaskAttribute::kOrdered);
    co_await l.store.sleep(1ms);
    start(l, scope, a, behind, 1, 3);
    co_await l.store.sleep(1ms);
    const Management answer = co_await l.device->manage(*a, Function::kAbortTask, 0, 2);
    EXPECT_EQ(answer, Management::kComplete);
    co_await l.store.sleep(1ms);
    EXPECT_EQ(told(*ordered.answer), "ABORTED");
    EXPECT_FALSE(ordered.out.was_fetched);
    EXPECT_TRUE(behind.out.was_fetched) << "nothing holds it any more";
    before.gate.set();
    behind.gate.set();
    CO_ASSERT_OK(co_await scope.join());
  });
}

TEST(TaskSetTest, AbortTaskSetTakesOnesOwnAndClearTaskSetTakesAll) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    Nexus* const a = &l.nexus("a");
    Nexus* const b = &l.nexus("b");
    for (const Function function : {Function::kAbortTaskSet, Function::kClearTaskSet}) {
      TaskScope scope(co_await this_task());
      std::vector<std::unique_ptr<HeldWrite>> writes;
      for (std::uint32_t i = 0; i < 6; ++i) {
        writes.push_back(std::make_unique<HeldWrite>(l, i + 1));
        start(l, scope, i % 2 == 0 ? a : b, *writes.back(), i, i);
      }
      co_await test::yield_until([&] {
        return std::ranges::all_of(writes, [](const auto& w) { return w->out.was_fetched; });
      });
      const Management answer = co_await l.device->manage(*a, function, 0, 0);
      EXPECT_EQ(answer, Management::kComplete);
      co_await l.store.sleep(1ms);
      for (std::uint32_t i = 0; i < 6; ++i) {
        const bool is_taken = i % 2 == 0 || function == Function::kClearTaskSet;
        EXPECT_EQ(writes[i]->answer.has_value(), is_taken) << i;
        writes[i]->gate.set();
      }
      CO_ASSERT_OK(co_await scope.join());
      const Answer own = co_await l.send_as(a, cdb6(0x00));
      EXPECT_EQ(told(own), "GOOD");
      // Whose commands another has cleared is told of it.
      const Answer other = co_await l.send_as(b, cdb6(0x00));
      EXPECT_EQ(told(other), function == Function::kClearTaskSet ? "6/2f/00" : "GOOD");
    }
  });
}

TEST(TaskSetTest, AResetEndsEverythingAndEverybodyIsTold) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    Nexus* const a = &l.nexus("a");
    Nexus* const b = &l.nexus("b");
    for (const Function function :
         {Function::kLogicalUnitReset, Function::kTargetWarmReset, Function::kTargetColdReset}) {
      TaskScope scope(co_await this_task());
      HeldWrite of_a(l, 1);
      HeldWrite of_b(l, 2);
      start(l, scope, a, of_a, 0, 1);
      start(l, scope, b, of_b, 1, 1);
      co_await test::yield_until([&] { return of_a.out.was_fetched && of_b.out.was_fetched; });
      const Management answer = co_await l.device->manage(*a, function, 0, 0);
      EXPECT_EQ(answer, Management::kComplete);
      of_a.gate.set();
      of_b.gate.set();
      CO_ASSERT_OK(co_await scope.join());
      EXPECT_EQ(told(*of_a.answer), "ABORTED");
      EXPECT_EQ(told(*of_b.answer), "ABORTED");
      const Bytes now = co_await l.bytes_at(0, 2 * kBlock);
      EXPECT_TRUE(now == Bytes(2 * kBlock));
      for (Nexus* nexus : {a, b}) {
        const Answer told_first = co_await l.send_as(nexus, cdb6(0x00));
        EXPECT_EQ(told(told_first), "6/29/03");
        const Answer then = co_await l.send_as(nexus, cdb6(0x00));
        EXPECT_EQ(told(then), "GOOD");
      }
    }
    const Management aca = co_await l.device->manage(*a, Function::kClearAca, 0, 0);
    EXPECT_EQ(aca, Management::kNotSupported);
    const Management reassign = co_await l.device->manage(*a, Function::kTaskReassign, 0, 0);
    EXPECT_EQ(reassign, Management::kReassignNotSupported);
  });
}

TEST(TaskSetTest, TooManyCommandsAreToldSo) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    TaskScope scope(co_await this_task());
    Nexus* const a = &l.nexus("a");
    std::vector<std::unique_ptr<HeldWrite>> writes;
    for (std::uint32_t i = 0; i < TaskSet::kMostTasks; ++i) {
      writes.push_back(std::make_unique<HeldWrite>(l, 0));
      start(l, scope, a, *writes.back(), 0, i);
    }
    co_await test::yield_until([&] { return l.unit().tasks().size() == TaskSet::kMostTasks; });
    const Answer answer = co_await l.send_as(a, cdb6(0x00));
    EXPECT_EQ(told(answer), "TASK SET FULL");
    const Management cleared = co_await l.device->manage(*a, Function::kAbortTaskSet, 0, 0);
    EXPECT_EQ(cleared, Management::kComplete);
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(l.unit().tasks().size(), 0u);
    const Answer now = co_await l.send_as(a, cdb6(0x00));
    EXPECT_EQ(told(now), "GOOD");
  });
}

TEST(TaskSetTest, AcaIsRefused) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    TestDataOut out(*l.store.pool, {});
    const Answer answer = co_await l.execute(&l.nexus(), cdb6(0x00),
                                             {.tag = 1, .attribute = TaskAttribute::kAca}, &out);
    EXPECT_EQ(told(answer), "5/49/00");
  });
}

constexpr std::uint64_t kPlace = 16;  // sectors: two blocks of the engine

// Writes are aborted at any moment of their way; as soon as the answer is there something else is
// written to the same place. That stays, also after a crash. The first covers its blocks in part
// and has to read them, from the disk if they are flushed; the second covers them and is quicker.
Task<void> abort_at_random(BlockLab* lab, std::uint64_t seed, std::vector<std::uint64_t>* last) {
  BlockLab& l = *lab;
  Random random(seed);
  Nexus* const a = &l.nexus("a");
  int aborted = 0;
  int finished = 0;
  for (std::size_t place = 0; place < last->size(); ++place) {
    (*last)[place] = place + 1;
    const Answer answer = co_await l.send_as(a, cdb16(0x8a, place * kPlace, kPlace),
                                             pattern(kPlace * kBlock, place + 1));
    EXPECT_EQ(told(answer), "GOOD");
  }
  for (std::uint32_t round = 1; round <= 60; ++round) {
    if (random.chance(1, 2)) CO_ASSERT_OK(co_await l.store.store->checkpoint());
    TaskScope scope(co_await this_task());
    const std::uint64_t place = random.below(last->size());
    const std::uint64_t lba = place * kPlace;
    const std::uint64_t skipped = random.chance(1, 4) ? 0 : 3;
    HeldWrite write(l, 1000 + round, kPlace - 2 * skipped);
    start(l, scope, a, write, lba + skipped, round);
    if (random.chance(7, 8)) write.gate.set();
    co_await l.store.sleep(random.between(Duration(0), Duration(1500us)));
    const Function function = random.chance(1, 2)   ? Function::kAbortTask
                              : random.chance(1, 2) ? Function::kAbortTaskSet
                                                    : Function::kLogicalUnitReset;
    const Management answer = co_await l.device->manage(*a, function, 0, round);
    EXPECT_TRUE(answer == Management::kComplete || answer == Management::kTaskDoesNotExist);
    while (a->attentions(0).take_first()) continue;
    const std::uint64_t content = 2000 + round;
    (*last)[place] = content;
    const Answer over =
        co_await l.send_as(a, cdb16(0x8a, lba, kPlace), pattern(kPlace * kBlock, content));
    EXPECT_EQ(told(over), "GOOD");
    write.gate.set();
    CO_ASSERT_OK(co_await scope.join());
    told(*write.answer) == "ABORTED" ? ++aborted : ++finished;
    const Answer read = co_await l.send_as(a, cdb16(0x88, lba, kPlace));
    EXPECT_TRUE(read.data == pattern(kPlace * kBlock, content)) << "seed " << seed << " " << round;
  }
  EXPECT_GT(aborted, 0);
  EXPECT_GT(finished, 0);
}

Task<void> compare_places(BlockLab* lab, std::uint64_t seed,
                          const std::vector<std::uint64_t>* last) {
  for (std::size_t place = 0; place < last->size(); ++place) {
    const Answer read = co_await lab->send(cdb16(0x88, place * kPlace, kPlace));
    EXPECT_TRUE(read.data == pattern(kPlace * kBlock, (*last)[place])) << "seed " << seed;
  }
}

TEST(TaskSetTest, NothingLateIsWritten) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    BlockLab lab(seed);
    std::vector<std::uint64_t> last(8);
    lab.crash(seed % 2 == 0 ? sim::CrashKind::kKill : sim::CrashKind::kPowerFail,
              [seed, &last](BlockLab& l) { return abort_at_random(&l, seed, &last); });
    lab.run([seed, &last](BlockLab& l) { return compare_places(&l, seed, &last); });
  }
}

}  // namespace
}  // namespace ashlar::scsi
