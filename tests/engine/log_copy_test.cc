// Copies, truncations, the reserve they may use, and the checkpoints between which they are needed.
#include <gtest/gtest.h>

#include "engine/log_writer.h"
#include "tests/engine/log_test_support.h"
#include "tests/support/expect.h"

namespace ashlar::engine {
namespace {

// The lab keeps the body for as long as its coroutine runs, so here lambdas may capture.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

constexpr std::uint64_t kCapacity = 1 << 20;

// A write that stands in the log, with what it takes to append it again.
struct Kept {
  TestRecord record;
  LogPlace place;
};

Task<Result<Kept>> append_kept(LogLab& lab, LogWriter& writer, unsigned replica,
                               std::size_t blocks) {
  TestSequence& sequence = lab.sequences[replica];
  Kept kept{make_write(lab.pool, sequence.replica, BlockIndex(3), blocks, 77), {}};
  const Result<LogTicket> ticket = co_await writer.append(
      sequence, kept.record.header, kept.record.checksums, kept.record.payload);
  if (!ticket.ok()) co_return ticket.error();
  ASHLAR_CO_TRY_ASSIGN(kept.place, co_await writer.durable(*ticket));
  kept.record.header = sequence.written.back().record;
  co_return std::move(kept);
}

TestRecord start_of_epoch(Epoch epoch) {
  TestRecord record = make_plain(RecordType::kEpochStart, 0);
  record.header.epoch = epoch;
  return record;
}

Task<Result<LogPlace>> append_again(LogLab& lab, LogWriter& writer, unsigned replica,
                                    const TestRecord& record) {
  const Result<LogTicket> ticket = co_await writer.append_again(
      lab.sequences[replica], record.header, record.checksums, record.payload);
  if (!ticket.ok()) co_return ticket.error();
  co_return co_await writer.durable(*ticket);
}

Task<Result<LogPlace>> truncate(LogLab& lab, LogWriter& writer, unsigned replica, Lsn kept,
                                Epoch kept_epoch, Epoch ordered) {
  const Result<LogTicket> ticket =
      co_await writer.append_truncate(lab.sequences[replica], kept, kept_epoch, ordered);
  if (!ticket.ok()) co_return ticket.error();
  co_return co_await writer.durable(*ticket);
}

// Appends new records of replica 2 until one has to wait.
Task<void> fill_up(LogLab* lab, LogWriter* writer, TaskScope* scope) {
  while (writer->waiting() == 0) {
    scope->spawn([](LogLab* l, LogWriter* w) -> Task<void> {
      (void)co_await append_durably(*l, *w, 2, BlockIndex(1), 4, 1);
    }(lab, writer));
    (void)co_await sleep_for(lab->node.runtime().clock, 1us);
  }
}

TEST(LogCopy, ACopyIsTheSameRecordAndDoesNotMoveTheSequence) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const Kept first, co_await append_kept(l, writer, 1, 2));
    CO_ASSERT_OK(co_await append_kept(l, writer, 1, 1));
    CO_ASSERT_OK_ASSIGN(const LogPlace place, co_await append_again(l, writer, 1, first.record));
    EXPECT_GT(place.payload, first.place.payload);
    EXPECT_EQ(l.sequences[1].last_lsn, Lsn(2));
    EXPECT_EQ(l.sequences[1].written.at(2).place.payload, place.payload);
    CO_ASSERT_OK(co_await append_kept(l, writer, 1, 1));
  });
  lab.recover();
  ASSERT_EQ(lab.delivered.size(), 4u);
  EXPECT_EQ(lab.delivered[2].header, lab.delivered[0].header);
  EXPECT_EQ(lab.delivered[2].checksums, lab.delivered[0].checksums);
  EXPECT_EQ(lab.delivered[3].header.lsn, Lsn(3));
}

TEST(LogCopy, WhatIsNoRecordOfTheSequenceIsNotCopied) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(Kept kept, co_await append_kept(l, writer, 1, 1));
    const RecordHeader good = kept.record.header;
    EXPECT_EQ(test::outcome_of(co_await append_again(l, writer, 2, kept.record)),
              "INVALID_ARGUMENT");  // another replica's
    kept.record.header.lsn = Lsn(2);
    EXPECT_EQ(test::outcome_of(co_await append_again(l, writer, 1, kept.record)),
              "FAILED_PRECONDITION");
    kept.record.header.lsn = Lsn(0);
    EXPECT_EQ(test::outcome_of(co_await append_again(l, writer, 1, kept.record)),
              "FAILED_PRECONDITION");
    kept.record.header = good;
    kept.record.header.epoch = Epoch(2);
    EXPECT_EQ(test::outcome_of(co_await append_again(l, writer, 1, kept.record)),
              "FAILED_PRECONDITION");
    kept.record.header = good;
    kept.record.checksums.clear();
    EXPECT_EQ(test::outcome_of(co_await append_again(l, writer, 1, kept.record)),
              "INVALID_ARGUMENT");
  });
  EXPECT_EQ(lab.recover().records, 1u);
}

TEST(LogTruncate, MovesTheSequenceBackInOneStepAndTheNextRecordFollowsTheKeptOne) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    for (int i = 0; i < 3; ++i) CO_ASSERT_OK(co_await append_kept(l, writer, 1, 1));
    CO_ASSERT_OK_ASSIGN(LogTicket ticket,
                        co_await append(writer, l.sequences[1], start_of_epoch(Epoch(4))));
    EXPECT_EQ(l.sequences[1].last_epoch, Epoch(4));
    CO_ASSERT_OK_ASSIGN(const LogTicket cut, co_await writer.append_truncate(l.sequences[1], Lsn(2),
                                                                             Epoch(1), Epoch(5)));
    EXPECT_EQ(cut.lsn(), Lsn(2));
    EXPECT_EQ(l.sequences[1].last_lsn, Lsn(2));
    EXPECT_EQ(l.sequences[1].last_epoch, Epoch(1));
    CO_ASSERT_OK_ASSIGN(LogTicket next,
                        co_await append(writer, l.sequences[1], start_of_epoch(Epoch(5))));
    EXPECT_EQ(next.lsn(), Lsn(3));
    CO_ASSERT_OK(co_await writer.durable(next));
  });
  const RecordHeader cut{.type = RecordType::kTruncate,
                         .replica = replica_of(1),
                         .epoch = Epoch(5),
                         .lsn = Lsn(2),
                         .previous_epoch = Epoch(1)};
  EXPECT_EQ(lab.sequences[1].written.at(4).record, cut);
  lab.recover();
  ASSERT_EQ(lab.delivered.size(), 6u);
  EXPECT_EQ(lab.delivered[4].header, cut);
  EXPECT_EQ(lab.delivered[5].header.lsn, Lsn(3));
  EXPECT_EQ(lab.delivered[5].header.previous_epoch, Epoch(1));
}

TEST(LogTruncate, MayDropEverything) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK(co_await append_kept(l, writer, 1, 1));
    CO_ASSERT_OK(co_await truncate(l, writer, 1, Lsn(0), Epoch(0), Epoch(2)));
    EXPECT_EQ(l.sequences[1].last_lsn, Lsn(0));
    CO_ASSERT_OK(co_await append_kept(l, writer, 1, 1));
    EXPECT_EQ(l.sequences[1].last_lsn, Lsn(1));
  });
}

TEST(LogTruncate, WhatDoesNotFitTheSequenceIsRefused) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK(co_await append(writer, l.sequences[1], start_of_epoch(Epoch(3))));
    const auto refused = [](const Result<LogPlace>& r) { return test::outcome_of(r); };
    EXPECT_EQ(refused(co_await truncate(l, writer, 1, Lsn(2), Epoch(3), Epoch(4))),
              "FAILED_PRECONDITION");
    EXPECT_EQ(refused(co_await truncate(l, writer, 1, Lsn(1), Epoch(4), Epoch(4))),
              "FAILED_PRECONDITION");
    EXPECT_EQ(refused(co_await truncate(l, writer, 1, Lsn(0), Epoch(0), Epoch(2))),
              "FAILED_PRECONDITION");
    TestRecord cut = make_plain(RecordType::kTruncate, 0);
    cut.header.epoch = Epoch(3);
    const Result<LogTicket> plain = co_await append(writer, l.sequences[1], std::move(cut));
    EXPECT_EQ(test::outcome_of(plain), "INVALID_ARGUMENT");
    EXPECT_EQ(l.sequences[1].last_lsn, Lsn(1));
    EXPECT_EQ(l.sequences[1].last_epoch, Epoch(3));
  });
}

TEST(LogReserve, IsLeftFreeByNewRecordsAndOpenToCopiesAndTruncationsThatOvertakeThem) {
  LogLab lab;
  lab.options.reserve = ByteCount(kCapacity / 4);
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const Kept first, co_await append_kept(l, writer, 1, 10));
    TaskScope scope(co_await this_task());
    co_await fill_up(&l, &writer, &scope);
    EXPECT_LE(writer.head() - writer.tail(), kCapacity * 3 / 4);
    EXPECT_GT(writer.head() - writer.tail(), kCapacity * 2 / 3);
    EXPECT_GT(writer.fill_ratio(), 0.9);
    const Lsn placed = l.sequences[2].last_lsn;
    CO_ASSERT_OK_ASSIGN(const LogPlace copy, co_await append_again(l, writer, 1, first.record));
    CO_ASSERT_OK(co_await truncate(l, writer, 1, Lsn(1), Epoch(1), Epoch(1)));
    EXPECT_GT(writer.head() - writer.tail(), kCapacity * 3 / 4);
    EXPECT_EQ(writer.fill_ratio(), 1.0);
    EXPECT_EQ(writer.waiting(), 1u);  // the new record waits on
    EXPECT_EQ(l.sequences[2].last_lsn, placed);
    writer.release_up_to(copy.before.end);
    (co_await scope.join()).value();
    EXPECT_EQ(l.sequences[2].last_lsn, placed.next());
  });
}

// One batch is in flight, the next one is full, new records wait: the copy is in the third batch,
// and they are in later ones.
TEST(LogReserve, ACopyGoesBeforeNewRecordsThatWaitForTheBatch) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const Kept first, co_await append_kept(l, writer, 1, 30));
    l.file.hold = true;
    TaskScope scope(co_await this_task());
    for (int i = 0; i < 8; ++i) {
      scope.spawn([](LogLab* lab, LogWriter* w) -> Task<void> {
        CO_ASSERT_OK(co_await append_durably(*lab, *w, 2, BlockIndex(1), 40, 1));
      }(&l, &writer));
    }
    co_await test::yield_until([&] { return l.file.held() == 1 && writer.waiting() == 6; });
    scope.spawn([](LogLab* lab, LogWriter* w, const TestRecord* record) -> Task<void> {
      CO_ASSERT_OK(co_await append_again(*lab, *w, 1, *record));
    }(&l, &writer, &first.record));
    co_await test::yield_until([&] { return writer.waiting() == 7; });
    l.file.hold = false;
    l.file.release_one();
    co_await test::yield_until([&] { return l.sequences[2].written.size() == 4; });
    writer.release_up_to(writer.durable_end());
    (co_await scope.join()).value();
    EXPECT_LT(l.sequences[1].written.at(1).place.payload,
              l.sequences[2].written.at(2).place.payload);
  });
}

TEST(LogReserve, ACopyThatFindsTheWholeLogFullGoesFirstWhenSpaceIsReleased) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const Kept first, co_await append_kept(l, writer, 1, 40));
    TaskScope scope(co_await this_task());
    co_await fill_up(&l, &writer, &scope);
    const std::size_t waiting = writer.waiting();
    scope.spawn([](LogLab* lab, LogWriter* w, const TestRecord* record) -> Task<void> {
      CO_ASSERT_OK(co_await append_again(*lab, *w, 1, *record));
    }(&l, &writer, &first.record));
    co_await test::yield_until([&] { return writer.waiting() == waiting + 1; });
    writer.release_up_to(first.place.after.end);
    co_await test::yield_until([&] { return l.sequences[1].written.size() == 2; });
    writer.release_up_to(writer.durable_end());
    (co_await scope.join()).value();
    EXPECT_LE(l.sequences[1].written.at(1).place.payload,
              l.sequences[2].written.back().place.payload);
  });
}

TEST(LogCopy, OneThatWaitedIsRefusedWhenItsRecordWasDroppedMeanwhile) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const Kept first, co_await append_kept(l, writer, 1, 40));
    TaskScope scope(co_await this_task());
    co_await fill_up(&l, &writer, &scope);
    const std::size_t waiting = writer.waiting();
    std::string outcome;
    scope.spawn(
        [](LogLab* lab, LogWriter* w, const TestRecord* record, std::string* out) -> Task<void> {
          *out = test::outcome_of(co_await append_again(*lab, *w, 1, *record));
        }(&l, &writer, &first.record, &outcome));
    co_await test::yield_until([&] { return writer.waiting() == waiting + 1; });
    l.sequences[1].last_lsn = Lsn(0);  // what a cut that went before it leaves
    writer.release_up_to(first.place.after.end);
    (co_await scope.join()).value();
    EXPECT_EQ(outcome, "FAILED_PRECONDITION");
  });
}

// L103. The record of a stuck volume is carried on for thirty laps, each time when the tail comes
// near it.
TEST(LogReserve, AStuckRecordDoesNotStopTheLog) {
  LogLab lab;
  lab.options.reserve = ByteCount(kCapacity / 4);
  LogCheckpoint checkpoint;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(const Kept stuck, co_await append_kept(l, writer, 1, 5));
    while (writer.head() < LogPosition(30 * kCapacity)) {
      CO_ASSERT_OK(co_await append_durably(l, writer, 2, BlockIndex(1), 7, 1));
      if (writer.fill_ratio() < 0.6) continue;
      CO_ASSERT_OK_ASSIGN(const LogPlace place, co_await append_again(l, writer, 1, stuck.record));
      const std::optional<ChainPoint> point = writer.checkpoint_at(place.payload);
      CO_ASSERT_TRUE(point.has_value());
      checkpoint.chain = *point;
      writer.release_up_to(point->end);
    }
  });
  lab.recover(checkpoint);
  EXPECT_EQ(lab.delivered.at(0).header, lab.sequences[1].written.at(0).record);
}

TEST(LogCheckpoint, IsTheLastEndOfABatchUpToWhatIsNeededAndNotBeforeTheTail) {
  LogLab lab;
  std::vector<ChainPoint> ends;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    for (std::uint64_t i = 0; i < 10; ++i) {
      CO_ASSERT_OK_ASSIGN(const LogPlace place,
                          co_await append_durably(l, writer, 1, BlockIndex(1), 2, i));
      EXPECT_EQ(writer.checkpoint_at(place.payload), place.before);
      EXPECT_EQ(writer.checkpoint_at(place.after.end), place.after);
      ends.push_back(place.after);
    }
    EXPECT_EQ(writer.checkpoint_at(ends[3].end), ends[3]);
    writer.release_up_to(ends[4].end);
    EXPECT_EQ(writer.checkpoint_at(ends[3].end), std::nullopt);
    EXPECT_EQ(writer.checkpoint_at(ends[4].end), ends[4]);
  });
  // A life later the ends from the checkpoint on are known again.
  const LogRecovery recovery = lab.recover({.chain = ends[4]});
  lab.start = recovery.start_of(ends[4].end);
  lab.write([&](LogLab&, LogWriter& writer) -> Task<void> {
    EXPECT_EQ(writer.checkpoint_at(ends[3].end), std::nullopt);
    EXPECT_EQ(writer.checkpoint_at(ends[4].end), ends[4]);
    EXPECT_EQ(writer.checkpoint_at(ends[7].end), ends[7]);
    EXPECT_EQ(writer.checkpoint_at(recovery.chain.end), recovery.chain);
    co_return;
  });
}

TEST(LogCheckpoint, IsDurable) {
  LogLab lab;
  lab.set_durability(LogDurability::kBuffered);
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    TestRecord record = make_plain(RecordType::kDiscard, 3);
    CO_ASSERT_OK_ASSIGN(LogTicket ticket,
                        co_await append(writer, l.sequences[1], std::move(record)));
    CO_ASSERT_OK_ASSIGN(const LogPlace place, co_await writer.written(ticket));
    EXPECT_EQ(writer.checkpoint_at(place.after.end), ChainPoint());
    CO_ASSERT_OK(co_await writer.sync());
    EXPECT_EQ(writer.checkpoint_at(place.after.end), place.after);
  });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::engine
