#include "engine/log_writer.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/engine/log_test_support.h"
#include "tests/support/expect.h"

namespace ashlar::engine {
namespace {

// The lab keeps the body for as long as its coroutine runs, so here lambdas may capture.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

constexpr std::uint64_t kCapacity = 1 << 20;

struct Appended {
  std::vector<Result<LogPlace>> places;  // in the order in which they became durable
  std::vector<Lsn> lsns;
};

Task<void> append_and_note(LogLab* lab, LogWriter* writer, unsigned replica, std::size_t blocks,
                           Appended* out) {
  RecordSequence& sequence = lab->sequences[replica];
  TestRecord record = make_write(lab->pool, sequence.replica, BlockIndex(1), blocks, 7);
  Result<LogTicket> ticket = co_await append(*writer, sequence, std::move(record));
  if (!ticket.ok()) {
    out->places.emplace_back(ticket.error());
    out->lsns.emplace_back(0);
    co_return;
  }
  const Lsn lsn = ticket->lsn();
  Result<LogPlace> place = co_await writer->durable(std::move(*ticket));
  out->places.push_back(std::move(place));
  out->lsns.push_back(lsn);
}

Task<void> append_many(LogLab& lab, LogWriter& writer, std::size_t count, std::size_t blocks,
                       Appended* out) {
  TaskScope scope(co_await this_task());
  for (std::size_t i = 0; i < count; ++i)
    scope.spawn(append_and_note(&lab, &writer, 1, blocks, out));
  (co_await scope.join()).value();
}

TEST(LogWriter, RecordsBecomeDurableInTheOrderOfTheirAppends) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    LogPosition last;
    for (std::uint64_t i = 1; i <= 20; ++i) {
      Result<LogPlace> place = co_await append_durably(l, writer, 1, BlockIndex(i), 1 + i % 3, i);
      CO_ASSERT_OK(place);
      EXPECT_GT(place->payload, last);
      EXPECT_EQ(writer.durable_end(), place->after.end);
      last = place->payload;
    }
  });
  EXPECT_TRUE(lab.outcome.ok());
  const LogRecovery recovery = lab.recover();
  EXPECT_EQ(recovery.verdict, LogVerdict::kClean);
  ASSERT_EQ(lab.delivered.size(), 20u);
  for (std::uint64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(lab.delivered[i].header.lsn, Lsn(i + 1));
    EXPECT_EQ(load_le64(lab.file.bytes, lab.delivered[i].payload.value()), i + 1);
  }
}

TEST(LogWriter, ABatchIsOneDsyncWriteAndCarriesAllThatWaited) {
  LogLab lab;
  Appended out;
  lab.file.hold = true;
  std::size_t writes = 0;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    TaskScope scope(co_await this_task());
    scope.spawn(append_and_note(&l, &writer, 1, 1, &out));
    co_await test::yield_until([&] { return l.file.held() == 1; });
    for (int i = 0; i < 31; ++i) scope.spawn(append_and_note(&l, &writer, 2, 1, &out));
    co_await test::yield_until([&] { return l.sequences[2].last_lsn == Lsn(31); });
    EXPECT_EQ(l.file.writes.size(), 1u);  // one in flight
    EXPECT_TRUE(out.places.empty());      // nothing is durable before its write is over
    l.file.release_one();
    co_await test::yield_until([&] { return out.places.size() == 1 && l.file.held() == 1; });
    l.file.release_one();
    (co_await scope.join()).value();
    writes = l.file.writes.size();
    l.file.hold = false;
  });
  EXPECT_EQ(out.places.size(), 32u);
  EXPECT_EQ(writes, 2u);
  EXPECT_EQ(lab.file.writes[1].length, batch_header_length(31, 31) + 31 * kBlockSize);
  EXPECT_EQ(lab.file.writes[1].durability, Durability::kDsync);
  EXPECT_EQ(lab.file.syncs, 0u);
}

// Depth 32 on a disk that takes its time: the number of device writes is far below the appends.
Task<void> append_in_a_row(LogLab* lab, LogWriter* writer, unsigned replica, int count,
                           std::size_t blocks) {
  for (int i = 0; i < count; ++i) {
    Result<LogPlace> place =
        co_await append_durably(*lab, *writer, replica, BlockIndex(1), blocks, 3);
    CO_ASSERT_OK(place);
    writer->release_up_to(place->after.end);
  }
}

TEST(LogWriter, GroupCommitGroupsAtDepth32) {
  LogLab lab;
  bool over = false;
  lab.file.hold = true;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    TaskScope scope(co_await this_task());
    for (unsigned n = 0; n < 32; ++n) scope.spawn(append_in_a_row(&l, &writer, n % 8, 50, 1));
    scope.spawn([](LogLab* held, bool* stop) -> Task<void> {
      while (!*stop) {
        (void)co_await sleep_for(held->node.runtime().clock, 100us);
        if (held->file.held() > 0) held->file.release_one();
      }
    }(&l, &over));
    co_await test::poll_until(l.node.runtime().clock, [&] { return scope.running() == 1; });
    over = true;
    l.file.hold = false;
    while (l.file.held() > 0) l.file.release_one();
    (co_await scope.join()).value();
  });
  EXPECT_LE(lab.file.writes.size(), 1600u / 10);
}

TEST(LogWriter, ABatchAtDepthOneWaitsForNoTimer) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    const MonoTime begin = l.node.runtime().clock.now();
    CO_ASSERT_OK(co_await append_durably(l, writer, 1, BlockIndex(1), 1, 1));
    EXPECT_LT(l.node.runtime().clock.now() - begin, 1ms);
  });
}

TEST(LogWriter, AnIdleLogWritesOneSealAndThenNothing) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    Result<LogPlace> place = co_await append_durably(l, writer, 1, BlockIndex(1), 1, 1);
    CO_ASSERT_OK(place);
    (void)co_await sleep_for(l.node.runtime().clock, 5ms);
    EXPECT_EQ(l.file.writes.size(), 1u);
    (void)co_await sleep_for(l.node.runtime().clock, 20min);
    EXPECT_EQ(l.file.writes.size(), 2u);
  });
  ASSERT_EQ(lab.file.writes.size(), 2u);
  EXPECT_EQ(lab.file.writes[1].length, kBlockSize);
  const LogRecovery recovery = lab.reopen();
  EXPECT_EQ(recovery.batches, 2u);
  EXPECT_EQ(recovery.records, 1u);
  EXPECT_EQ(recovery.durable_bound, recovery.records_end);
  // A log that was sealed and recovered has nothing to say either.
  lab.write([](LogLab& l, LogWriter&) -> Task<void> {
    (void)co_await sleep_for(l.node.runtime().clock, 20min);
  });
  EXPECT_EQ(lab.file.writes.size(), 2u);
}

TEST(LogWriter, BufferedBatchesAreDurableAfterOneSharedSync) {
  LogLab lab;
  lab.set_durability(LogDurability::kBuffered);
  Appended out;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    RecordSequence& sequence = l.sequences[1];
    TestRecord record = make_write(l.pool, sequence.replica, BlockIndex(1), 1, 1);
    CO_ASSERT_OK_ASSIGN(LogTicket ticket, co_await append(writer, sequence, std::move(record)));
    CO_ASSERT_OK(co_await writer.written(ticket));
    EXPECT_EQ(l.file.syncs, 0u);
    EXPECT_EQ(writer.durable_end(), LogPosition(0));
    CO_ASSERT_OK(co_await writer.durable(ticket));
    EXPECT_EQ(l.file.syncs, 1u);
    EXPECT_EQ(writer.durable_end(), writer.written_end());
    co_await append_many(l, writer, 16, 1, &out);
    EXPECT_LE(l.file.syncs, 5u);  // they come in a few batches
    (void)co_await sleep_for(l.node.runtime().clock, 1s);
  });
  EXPECT_EQ(lab.file.writes[0].durability, Durability::kNone);
  EXPECT_EQ(lab.file.writes.back().durability, Durability::kDsync);  // the seal
  EXPECT_EQ(lab.recover().records, 17u);
}

TEST(LogWriter, ADurableRecordBehindABufferedOneCountsWhenBothAreDurable) {
  LogLab lab;
  lab.sequences[1].durability = LogDurability::kBuffered;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    const ReplicaUuid buffered = l.sequences[1].replica;
    const ReplicaUuid durable = l.sequences[2].replica;
    for (int round = 0; round < 3; ++round) {
      CO_ASSERT_OK_ASSIGN(LogTicket plain,
                          co_await append(writer, l.sequences[1],
                                          make_write(l.pool, buffered, BlockIndex(1), 1, 1)));
      CO_ASSERT_OK(co_await writer.written(plain));
      EXPECT_LT(writer.durable_end(), writer.written_end());
      CO_ASSERT_OK_ASSIGN(LogTicket firm,
                          co_await append(writer, l.sequences[2],
                                          make_write(l.pool, durable, BlockIndex(1), 1, 1)));
      CO_ASSERT_OK_ASSIGN(const LogPlace place, co_await writer.written(firm));
      // Nobody asked for a sync: a chain that breaks before it would lose it.
      EXPECT_EQ(writer.durable_end(), place.after.end);
      EXPECT_EQ(l.file.syncs, static_cast<std::uint64_t>(round + 1));
    }
    // Behind what is durable one of its own suffices again.
    CO_ASSERT_OK_ASSIGN(
        LogTicket firm,
        co_await append(writer, l.sequences[2], make_write(l.pool, durable, BlockIndex(1), 1, 1)));
    CO_ASSERT_OK(co_await writer.written(firm));
    EXPECT_EQ(writer.durable_end(), writer.written_end());
    EXPECT_EQ(l.file.syncs, 3u);
  });
  EXPECT_EQ(lab.file.writes[0].durability, Durability::kNone);
  EXPECT_EQ(lab.file.writes[1].durability, Durability::kNone);
  EXPECT_EQ(lab.file.writes[6].durability, Durability::kDsync);
}

TEST(LogWriter, OneBatchOfBothKindsIsWrittenOnceAndDurably) {
  LogLab lab;
  lab.sequences[1].durability = LogDurability::kBuffered;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(LogTicket plain, co_await append(writer, l.sequences[1],
                                                         make_plain(RecordType::kDiscard, 1)));
    CO_ASSERT_OK_ASSIGN(LogTicket firm, co_await append(writer, l.sequences[2],
                                                        make_plain(RecordType::kDiscard, 1)));
    CO_ASSERT_OK(co_await writer.written(plain));
    CO_ASSERT_OK(co_await writer.written(firm));
    EXPECT_EQ(writer.durable_end(), writer.written_end());
    EXPECT_EQ(l.file.writes.size(), 1u);
    EXPECT_EQ(l.file.syncs, 0u);
  });
  EXPECT_EQ(lab.file.writes[0].durability, Durability::kDsync);
}

TEST(LogWriter, ASyncThatFailsBehindADurableBatchIsSticky) {
  LogLab lab;
  lab.options.batches_in_flight = 2;
  lab.sequences[1].durability = LogDurability::kBuffered;
  lab.file.fail_sync_in = 1;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(LogTicket plain, co_await append(writer, l.sequences[1],
                                                         make_plain(RecordType::kDiscard, 1)));
    CO_ASSERT_OK(co_await writer.written(plain));
    CO_ASSERT_OK_ASSIGN(LogTicket firm, co_await append(writer, l.sequences[2],
                                                        make_plain(RecordType::kDiscard, 1)));
    EXPECT_EQ(test::outcome_of(co_await writer.written(firm)), "DATA_LOSS");
    EXPECT_EQ(writer.durable_end(), LogPosition(0));
    EXPECT_EQ(l.sequences[2].failed.size(), 1u);
  });
  EXPECT_EQ(test::outcome_of(lab.outcome), "DATA_LOSS");
}

TEST(LogWriter, ASequenceHearsOfItsRecordsInOrderBeforeAnyWaiterRuns) {
  LogLab lab;
  Appended out;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    l.file.hold = true;
    TaskScope scope(co_await this_task());
    scope.spawn(append_and_note(&l, &writer, 2, 1, &out));
    co_await test::yield_until([&] { return l.file.held() == 1; });
    for (int i = 0; i < 5; ++i) scope.spawn(append_and_note(&l, &writer, 1, 2, &out));
    co_await test::yield_until([&] { return l.sequences[1].last_lsn == Lsn(5); });
    l.file.release_one();
    co_await test::yield_until([&] { return l.file.held() == 1; });
    EXPECT_TRUE(l.sequences[1].written.empty());  // its batch is on the way
    const std::size_t resumed = out.places.size();
    l.file.release_one();
    co_await test::yield_until([&] { return !l.sequences[1].written.empty(); });
    EXPECT_EQ(out.places.size(), resumed);
    l.file.hold = false;
    (co_await scope.join()).value();
  });
  const std::vector<TestSequence::Written>& written = lab.sequences[1].written;
  ASSERT_EQ(written.size(), 5u);
  const ChainPoint before = lab.sequences[2].written.at(0).place.after;
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(written[i].record.lsn, Lsn(i + 1));
    EXPECT_EQ(written[i].place.before, before);
    EXPECT_EQ(written[i].place.payload, before.end + (1 + 2 * i) * kBlockSize);
    EXPECT_EQ(written[i].place.after, written[0].place.after);
  }
}

TEST(LogWriter, TheRecordOfACancelledWaiterIsToldOfAllTheSame) {
  LogLab lab;
  Appended out;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    l.file.hold = true;
    TaskScope scope(co_await this_task());
    scope.spawn(append_and_note(&l, &writer, 1, 1, &out));
    co_await test::yield_until([&] { return l.file.held() == 1; });
    scope.cancel();
    (co_await scope.join()).value();
    EXPECT_EQ(test::outcome_of(out.places.at(0)), "CANCELLED");
    EXPECT_TRUE(l.sequences[1].written.empty());
    l.file.hold = false;
    l.file.release_one();
    co_await test::yield_until([&] { return l.sequences[1].written.size() == 1; });
  });
}

TEST(LogWriter, ARecordIsFoundByRecoveryFromThePointBeforeItAndNotFromTheOneAfter) {
  LogLab lab;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    for (std::uint64_t i = 1; i <= 6; ++i) {
      CO_ASSERT_OK(co_await append_durably(l, writer, 1, BlockIndex(i), 1, i));
    }
  });
  const std::vector<TestSequence::Written> written = lab.sequences[1].written;
  ASSERT_EQ(written.size(), 6u);
  lab.recover({.chain = written[2].place.before});
  EXPECT_EQ(lab.delivered.at(0).header.lsn, Lsn(3));
  EXPECT_EQ(lab.delivered.at(0).payload, written[2].place.payload);
  lab.recover({.chain = written[2].place.after});
  EXPECT_EQ(lab.delivered.at(0).header.lsn, Lsn(4));
}

// Else space up to its place could be released, and the record with it.
TEST(LogWriter, TheLastRecordOfABatchHasItsPlaceInTheBatchAlsoWithoutPayload) {
  LogLab lab;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(LogTicket ticket, co_await append(writer, l.sequences[1],
                                                          make_plain(RecordType::kDiscard, 9)));
    CO_ASSERT_OK_ASSIGN(const LogPlace place, co_await writer.durable(std::move(ticket)));
    EXPECT_EQ(place.payload, l.sequences[1].written.at(0).place.payload);
    EXPECT_EQ(place.payload, place.after.batch);
    EXPECT_LT(place.payload, place.after.end);
  });
  lab.recover();
  EXPECT_EQ(lab.delivered.at(0).payload, lab.sequences[1].written.at(0).place.payload);
}

class FailedWrite : public testing::TestWithParam<std::uint64_t> {};

TEST_P(FailedWrite, IsStickyReachesEverybodyAndBurnsNoLsn) {
  LogLab lab;
  Appended out;
  lab.file.fail_write_in = GetParam();
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    for (std::uint64_t i = 1; i < GetParam(); ++i) {
      CO_ASSERT_OK(co_await append_durably(l, writer, 1, BlockIndex(1), 1, i));
    }
    l.file.hold = true;
    TaskScope scope(co_await this_task());
    for (int i = 0; i < 4; ++i) scope.spawn(append_and_note(&l, &writer, 1, 1, &out));
    co_await test::yield_until([&] { return l.file.held() == 1; });
    // These gather, and the last ones wait for room.
    for (int i = 0; i < 8; ++i) scope.spawn(append_and_note(&l, &writer, 2, 24, &out));
    co_await test::yield_until([&] { return writer.waiting() > 0; });
    const Lsn placed = l.sequences[2].last_lsn;
    EXPECT_LT(placed, Lsn(8));
    l.file.hold = false;
    l.file.release_one();
    (co_await scope.join()).value();
    EXPECT_EQ(out.places.size(), 12u);
    for (const Result<LogPlace>& place : out.places) {
      EXPECT_EQ(test::outcome_of(place), "DATA_LOSS");
    }
    EXPECT_EQ(l.sequences[2].last_lsn, placed);
    // Each that had a ticket was told, once; the good ones of before were not.
    EXPECT_EQ(l.sequences[1].failed.size(), l.sequences[1].last_lsn.value() - (GetParam() - 1));
    EXPECT_EQ(l.sequences[1].written.size(), GetParam() - 1);
    EXPECT_EQ(l.sequences[2].failed.size(), placed.value());
    EXPECT_TRUE(l.sequences[2].written.empty());
    Result<LogPlace> later = co_await append_durably(l, writer, 3, BlockIndex(1), 1, 1);
    EXPECT_EQ(test::outcome_of(later), "DATA_LOSS");
    EXPECT_EQ(l.sequences[3].last_lsn, Lsn(0));
    EXPECT_EQ(test::outcome_of(co_await writer.sync()), "DATA_LOSS");
  });
  EXPECT_EQ(test::outcome_of(lab.outcome), "DATA_LOSS");
  EXPECT_EQ(lab.file.writes.size(), GetParam());  // never retried
}

INSTANTIATE_TEST_SUITE_P(LogWriter, FailedWrite, testing::Values(1, 2, 5));

TEST(LogWriter, AFailedSyncIsStickyToo) {
  LogLab lab;
  lab.set_durability(LogDurability::kBuffered);
  lab.file.fail_sync_in = 1;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    Result<LogPlace> place = co_await append_durably(l, writer, 1, BlockIndex(1), 1, 1);
    EXPECT_EQ(test::outcome_of(place), "DATA_LOSS");
    EXPECT_EQ(test::outcome_of(co_await writer.sync()), "DATA_LOSS");
    EXPECT_EQ(l.file.syncs, 1u);
    EXPECT_EQ(writer.durable_end(), LogPosition(0));
  });
}

TEST(LogWriter, WhatCannotBePlacedIsRefusedBeforeAnythingIsTaken) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    RecordSequence& sequence = l.sequences[1];
    const auto refused = [](const Result<LogTicket>& t) { return test::outcome_of(t); };
    // Larger than a quarter of the ring.
    Result<LogTicket> large = co_await append(
        writer, sequence, make_write(l.pool, sequence.replica, BlockIndex(0), 64, 1));
    EXPECT_EQ(refused(large), "INVALID_ARGUMENT");
    TestRecord gap = make_write(l.pool, sequence.replica, BlockIndex(0), 1, 1);
    gap.header.lsn = Lsn(2);
    Result<LogTicket> hole = co_await append(writer, sequence, std::move(gap));
    EXPECT_EQ(refused(hole), "FAILED_PRECONDITION");
    TestRecord no_sum = make_write(l.pool, sequence.replica, BlockIndex(0), 1, 1);
    no_sum.checksums.clear();
    Result<LogTicket> bare = co_await append(writer, sequence, std::move(no_sum));
    EXPECT_EQ(refused(bare), "INVALID_ARGUMENT");
    TestRecord odd = make_write(l.pool, sequence.replica, BlockIndex(0), 2, 1);
    odd.payload[0] = odd.payload[0].slice(512, kBlockSize);
    Result<LogTicket> skewed = co_await append(writer, sequence, std::move(odd));
    EXPECT_EQ(refused(skewed), "INVALID_ARGUMENT");
    Result<LogTicket> seal = co_await append(writer, sequence, make_plain(RecordType::kSeal, 0));
    EXPECT_EQ(refused(seal), "INVALID_ARGUMENT");
    EXPECT_EQ(sequence.last_lsn, Lsn(0));
    TestRecord first = make_write(l.pool, sequence.replica, BlockIndex(0), 1, 1);
    first.header.lsn = Lsn(1);
    CO_ASSERT_OK_ASSIGN(const LogTicket ticket,
                        co_await append(writer, sequence, std::move(first)));
    EXPECT_EQ(ticket.lsn(), Lsn(1));
    writer.close();
    Result<LogTicket> late = co_await append(
        writer, sequence, make_write(l.pool, sequence.replica, BlockIndex(0), 1, 1));
    EXPECT_EQ(refused(late), "FAILED_PRECONDITION");
  });
}

TEST(LogWriter, AFullLogLetsAppendsWaitInOrderUntilSpaceIsReleased) {
  LogLab lab;
  Appended out;
  lab.options.most_waiting = 3;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    LogPlace last;
    std::uint64_t written = 0;
    while (writer.fill_ratio() < 0.9) {
      Result<LogPlace> place = co_await append_durably(l, writer, 2, BlockIndex(1), 20, 1);
      CO_ASSERT_OK(place);
      last = *place;
      ++written;
    }
    TaskScope scope(co_await this_task());
    for (int i = 0; i < 6; ++i) scope.spawn(append_and_note(&l, &writer, 1, 40, &out));
    co_await test::yield_until([&] { return out.places.size() == 3; });
    for (const Result<LogPlace>& place : out.places) {
      EXPECT_EQ(test::outcome_of(place), "RESOURCE_EXHAUSTED");
    }
    EXPECT_EQ(writer.waiting(), 3u);
    EXPECT_EQ(l.sequences[1].last_lsn, Lsn(0));
    writer.release_up_to(last.after.end);
    (co_await scope.join()).value();
    EXPECT_EQ(out.lsns, (std::vector<Lsn>{Lsn(0), Lsn(0), Lsn(0), Lsn(1), Lsn(2), Lsn(3)}));
    EXPECT_GT(written, 0u);
    writer.release_up_to(LogPosition(0));  // only forward
    EXPECT_EQ(writer.tail(), last.after.end);
  });
}

TEST(LogWriter, ACancelledWaiterLeavesTheQueueAndTheNextOneGoes) {
  LogLab lab;
  Appended large, small;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    while (writer.fill_ratio() < 0.9) {
      CO_ASSERT_OK(co_await append_durably(l, writer, 2, BlockIndex(1), 20, 1));
    }
    TaskScope first(co_await this_task());
    first.spawn(append_and_note(&l, &writer, 1, 40, &large));
    co_await test::yield_until([&] { return writer.waiting() == 1; });
    TaskScope second(co_await this_task());
    second.spawn(append_and_note(&l, &writer, 1, 1, &small));
    co_await test::yield_until([&] { return writer.waiting() == 2; });
    first.cancel();
    (co_await first.join()).value();
    EXPECT_EQ(writer.waiting(), 0u);  // at once, not with the next batch
    (co_await second.join()).value();
    EXPECT_EQ(test::outcome_of(large.places.at(0)), "CANCELLED");
    EXPECT_EQ(small.lsns.at(0), Lsn(1));
    EXPECT_EQ(writer.waiting(), 0u);
  });
}

// L5 and L104: a hundred laps with odd sizes; positions only grow, no sector is written twice in a
// lap, and whenever one looks, what is behind the tail is what recovery finds.
TEST(LogWriter, AHundredLapsKeepToTheRing) {
  LogLab lab;
  std::uint64_t exact_ends = 0;
  LogCheckpoint checkpoint;
  std::uint64_t released = 0;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    Random random(5);
    for (std::uint64_t i = 1; writer.head() < LogPosition(100 * kCapacity); ++i) {
      std::size_t blocks = random.between(1, 60);
      const std::uint64_t left = (kCapacity - writer.head().value() % kCapacity) / kBlockSize;
      if (left >= 2 && left <= 60 && random.chance(1, 2)) blocks = left - 1;
      Result<LogPlace> place = co_await append_durably(l, writer, 1, BlockIndex(i), blocks, i);
      CO_ASSERT_OK(place);
      exact_ends += place->after.end.value() % kCapacity == 0;
      EXPECT_LE(writer.head() - writer.tail(), kCapacity);
      if (random.chance(1, 3) || writer.fill_ratio() > 0.7) {
        writer.release_up_to(place->after.end);
        checkpoint.chain = place->after;
        released = i;
      }
    }
  });
  EXPECT_GT(exact_ends, 10u);
  std::map<std::uint64_t, std::uint64_t> lap_of_sector;
  std::uint64_t position = 0;
  for (const test::MemoryFile::Write& write : lab.file.writes) {
    if (write.offset < position % kCapacity) position += kCapacity - position % kCapacity;
    for (std::uint64_t at = 0; at < write.length; at += kBlockSize) {
      const std::uint64_t lap = (position + at) / kCapacity + 1;
      std::uint64_t& last = lap_of_sector[write.offset + at];
      ASSERT_LT(last, lap) << "sector " << write.offset + at << " twice in lap " << lap;
      last = lap;
    }
    position += write.length;
  }
  EXPECT_GE(position, 99 * kCapacity);
  EXPECT_NE(lab.recover(checkpoint).verdict, LogVerdict::kDamage);
  const std::uint64_t total = lab.sequences[1].last_lsn.value();
  ASSERT_EQ(lab.delivered.size(), total - released);
  for (std::size_t i = 0; i < lab.delivered.size(); ++i) {
    EXPECT_EQ(lab.delivered[i].header.lsn, Lsn(released + 1 + i));
  }
}

TEST(LogWriter, SixteenWritersGoAroundTheRingManyTimes) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    TaskScope scope(co_await this_task());
    for (unsigned n = 0; n < 16; ++n) {
      scope.spawn(append_in_a_row(&l, &writer, n % 8, 40, 1 + n * 3 % 17));
    }
    (co_await scope.join()).value();
    EXPECT_GT(writer.head(), LogPosition(10 * kCapacity));
  });
}

TEST(LogWriter, APreparedFileIsOfItsSizeWrittenAndSynced) {
  LogLab lab;
  lab.file.bytes.assign(4096, std::byte{1});
  lab.run([](LogLab* l) -> Task<void> {
    CO_ASSERT_OK(co_await prepare_log(l->file, ByteCount(2 << 20)));
    EXPECT_FALSE((co_await prepare_log(l->file, ByteCount(4096))).ok());
  }(&lab));
  EXPECT_EQ(lab.file.bytes, std::vector<std::byte>(2 << 20));
  EXPECT_EQ(lab.file.writes.size(), 2u);
  EXPECT_EQ(lab.file.syncs, 1u);
}

TEST(LogWriter, RecordsAndCutsOfAnEpochThatIsOverAreRefused) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    RecordSequence& sequence = l.sequences[1];
    CO_ASSERT_OK(co_await append_durably(l, writer, 1, BlockIndex(1), 1, 7));
    sequence.least_epoch = Epoch(2);
    TestRecord record = make_write(l.pool, sequence.replica, BlockIndex(1), 1, 7);
    const Result<LogTicket> ticket = co_await append(writer, sequence, std::move(record));
    EXPECT_EQ(ticket.error().code(), ErrorCode::kAborted);
    const Result<LogTicket> cut =
        co_await writer.append_truncate(sequence, Lsn(0), Epoch(0), Epoch(1));
    EXPECT_EQ(cut.error().code(), ErrorCode::kAborted);
    EXPECT_EQ(sequence.last_lsn, Lsn(1));
  });
  EXPECT_TRUE(lab.outcome.ok());
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::engine
