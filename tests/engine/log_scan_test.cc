#include "engine/log_scan.h"

#include <gtest/gtest.h>

#include "tests/engine/log_test_support.h"
#include "tests/support/expect.h"

namespace ashlar::engine {
namespace {

// The lab keeps the body for as long as its coroutine runs, so here lambdas may capture.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

using Kind = LogScanStep::Kind;
constexpr std::uint64_t kCapacity = 1 << 20;

struct Scanned {
  std::string ending;  // "complete", "recycled" or an error's code
  std::vector<RecordHeader> records;
};

// Of replica 1, checking that each record has the bytes that its checksums stand for.
Task<Scanned> scan(
    LogLab& lab, LogWriter& writer, const ChainPoint& start, Lsn after, Lsn up_to,
    LogScan::EpochOf epoch_of = [](Lsn) { return Epoch(1); }) {
  Scanned scanned;
  LogScan log(writer, lab.file, lab.pool, writer.pin(start.end), start,
              {.replica = replica_of(1),
               .volume = *volume_of(replica_of(1)),
               .after = after,
               .up_to = up_to},
              std::move(epoch_of));
  while (scanned.ending.empty()) {
    const Result<LogScanStep> step = co_await log.next();
    if (!step.ok()) {
      scanned.ending = to_string(step.error().code());
    } else if (step->kind != Kind::kRecord) {
      scanned.ending = step->kind == Kind::kComplete ? "complete" : "recycled";
    } else {
      scanned.records.push_back(step->header);
      EXPECT_EQ(step->payload.size(), step->header.payload_length);
      const BlockChecksum checksum(*volume_of(replica_of(1)));
      for (std::size_t i = 0; i < step->checksums.size(); ++i) {
        EXPECT_EQ(checksum.of(step->header.first_block + i,
                              step->payload.bytes().subspan(i * kBlockSize, kBlockSize)),
                  step->checksums[i]);
      }
    }
  }
  co_return scanned;
}

std::vector<std::uint64_t> lsns_of(const Scanned& scanned) {
  std::vector<std::uint64_t> lsns;
  for (const RecordHeader& record : scanned.records) lsns.push_back(record.lsn.value());
  return lsns;
}

std::vector<std::uint64_t> from_to(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> lsns;
  for (std::uint64_t lsn = first; lsn <= last; ++lsn) lsns.push_back(lsn);
  return lsns;
}

// `count` records of replica 1, each with one of replica 2 in its batch.
Task<void> append_pairs(LogLab* lab, LogWriter* writer, int count, std::size_t blocks) {
  for (int i = 0; i < count; ++i) {
    TestRecord other = make_write(lab->pool, replica_of(2), BlockIndex(4), 1, 5);
    CO_ASSERT_OK(co_await append(*writer, lab->sequences[2], std::move(other)));
    CO_ASSERT_OK(co_await append_durably(*lab, *writer, 1, BlockIndex(9), blocks,
                                         static_cast<std::uint64_t>(i)));
  }
}

Task<void> append_of_epoch(LogLab* lab, LogWriter* writer, Epoch epoch) {
  TestRecord record = make_write(lab->pool, replica_of(1), BlockIndex(4), 1, epoch.value());
  record.header.epoch = epoch;
  CO_ASSERT_OK_ASSIGN(LogTicket ticket,
                      co_await append(*writer, lab->sequences[1], std::move(record)));
  CO_ASSERT_OK(co_await writer->durable(std::move(ticket)));
}

TEST(LogScan, GivesExactlyTheRangeOfOneReplica) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    co_await append_pairs(&l, &writer, 12, 3);
    const Scanned all = co_await scan(l, writer, {}, Lsn(0), Lsn(12));
    EXPECT_EQ(all.ending, "complete");
    EXPECT_EQ(lsns_of(all), from_to(1, 12));
    for (std::size_t i = 0; i < all.records.size(); ++i) {
      EXPECT_EQ(all.records[i], l.sequences[1].written.at(i).record);
    }
    const ChainPoint start = l.sequences[1].written.at(4).place.before;
    const Scanned part = co_await scan(l, writer, start, Lsn(4), Lsn(7));
    EXPECT_EQ(part.ending, "complete");
    EXPECT_EQ(lsns_of(part), from_to(5, 7));
    const Scanned none = co_await scan(l, writer, start, Lsn(4), Lsn(4));
    EXPECT_EQ(none.ending, "complete");
    EXPECT_TRUE(none.records.empty());
  });
}

TEST(LogScan, GoesFromLapToLapAndReadsInLargePieces) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    for (int lap = 0; lap < 20; ++lap) {
      co_await append_pairs(&l, &writer, 5, 13 + static_cast<std::size_t>(lap));
      const std::vector<TestSequence::Written>& written = l.sequences[1].written;
      const std::size_t first = written.size() - 5;
      const std::uint64_t reads = l.file.reads;
      const Scanned scanned = co_await scan(l, writer, written[first].place.before,
                                            written[first].record.lsn - 1, Lsn(written.size()));
      EXPECT_EQ(scanned.ending, "complete");
      EXPECT_EQ(lsns_of(scanned), from_to(first + 1, written.size()));
      EXPECT_LE(l.file.reads - reads, 3u);
      writer.release_up_to(writer.durable_end());
    }
    EXPECT_GT(writer.head(), LogPosition(3 * kCapacity));
  });
}

TEST(LogScan, EndsWhereTheLogIsWritten) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    co_await append_pairs(&l, &writer, 3, 1);
    l.file.hold = true;
    CO_ASSERT_OK(co_await append(writer, l.sequences[1],
                                 make_write(l.pool, replica_of(1), BlockIndex(1), 1, 1)));
    co_await test::yield_until([&] { return l.file.held() == 1; });
    const std::uint64_t reads = l.file.reads;
    const Scanned scanned = co_await scan(l, writer, {}, Lsn(0), Lsn(4));
    EXPECT_EQ(scanned.ending, "recycled");
    EXPECT_EQ(lsns_of(scanned), from_to(1, 3));
    EXPECT_GT(l.file.reads, reads);
    l.file.hold = false;
    l.file.release_one();
  });
}

TEST(LogScan, PassesOverADroppedTail) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    for (int i = 0; i < 4; ++i) co_await append_of_epoch(&l, &writer, Epoch(1));
    CO_ASSERT_OK(co_await writer.append_truncate(l.sequences[1], Lsn(2), Epoch(1), Epoch(3)));
    for (int i = 0; i < 3; ++i) co_await append_of_epoch(&l, &writer, Epoch(3));
    const Scanned scanned = co_await scan(
        l, writer, {}, Lsn(0), Lsn(5), [](Lsn lsn) { return lsn <= Lsn(2) ? Epoch(1) : Epoch(3); });
    EXPECT_EQ(scanned.ending, "complete");
    EXPECT_EQ(lsns_of(scanned), from_to(1, 5));
    EXPECT_EQ(scanned.records.at(2).epoch, Epoch(3));
  });
}

TEST(LogScan, PassesOverCopiesAndSaysWhenOnlyACopyIsLeft) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    TestRecord first = make_write(l.pool, replica_of(1), BlockIndex(4), 1, 5);
    CO_ASSERT_OK(
        co_await writer.append(l.sequences[1], first.header, first.checksums, first.payload));
    co_await append_pairs(&l, &writer, 2, 1);
    first.header = l.sequences[1].written.at(0).record;
    CO_ASSERT_OK(
        co_await writer.append_again(l.sequences[1], first.header, first.checksums, first.payload));
    co_await append_pairs(&l, &writer, 1, 1);
    const Scanned whole = co_await scan(l, writer, {}, Lsn(0), Lsn(4));
    EXPECT_EQ(whole.ending, "complete");
    EXPECT_EQ(lsns_of(whole), from_to(1, 4));
    const ChainPoint start = l.sequences[1].written.at(2).place.before;
    const Scanned rest = co_await scan(l, writer, start, Lsn(0), Lsn(4));
    EXPECT_EQ(rest.ending, "recycled");
    EXPECT_TRUE(rest.records.empty());
  });
}

TEST(LogScan, FollowsTheLogAcrossARestartWithACutTail) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    co_await append_pairs(&l, &writer, 4, 2);
    // Near the end of the lap, so that the next life's first batch does not fit where this one is.
    while (writer.head() < LogPosition(kCapacity - 20 * kBlockSize)) {
      CO_ASSERT_OK(co_await append_durably(l, writer, 1, BlockIndex(1), 3, 3));
    }
    CO_ASSERT_OK(co_await append_durably(l, writer, 2, BlockIndex(1), 2, 3));
  });
  // The seal and the batch of replica 2 are torn; their headers stay.
  const LogPlace torn = lab.sequences[2].written.back().place;
  lab.file.bytes[torn.payload.value()] ^= std::byte{1};
  std::fill_n(lab.file.bytes.begin() + static_cast<std::ptrdiff_t>(torn.after.end.value()),
              kBlockSize, std::byte{0});
  const LogRecovery recovery = lab.reopen();
  ASSERT_EQ(recovery.chain, torn.before);
  const Lsn last = lab.sequences[1].last_lsn;
  lab.start.tail = lab.sequences[1].written.at(12).place.before.end;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK(co_await append_durably(l, writer, 1, BlockIndex(1), 20, 3));
    EXPECT_EQ(writer.written_end().value() / kCapacity, 1u);
    const ChainPoint start = l.sequences[1].written.at(12).place.before;
    const Scanned scanned = co_await scan(l, writer, start, Lsn(12), last.next());
    EXPECT_EQ(scanned.ending, "complete");
    EXPECT_EQ(lsns_of(scanned), from_to(13, last.value() + 1));
  });
}

TEST(LogScan, AFlippedBitOfWhatItReadsIsDataLoss) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    co_await append_pairs(&l, &writer, 3, 2);
    const LogPlace place = l.sequences[1].written.at(1).place;
    for (const LogPosition at : {place.payload + 7, place.payload + 2 * kBlockSize - 1,
                                 place.after.batch, place.after.batch + 60}) {
      l.file.bytes[at.value()] ^= std::byte{16};
      const Scanned scanned = co_await scan(l, writer, {}, Lsn(0), Lsn(3));
      EXPECT_EQ(scanned.ending, "DATA_LOSS") << at.value();
      EXPECT_EQ(lsns_of(scanned), from_to(1, 1));
      l.file.bytes[at.value()] ^= std::byte{16};
    }
  });
}

TEST(LogScan, APointOfAnotherHistoryIsDataLoss) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    co_await append_pairs(&l, &writer, 3, 2);
    ChainPoint forged = l.sequences[1].written.at(1).place.before;
    forged.crc ^= 1;
    const Scanned scanned = co_await scan(l, writer, forged, Lsn(1), Lsn(3));
    EXPECT_EQ(scanned.ending, "DATA_LOSS");
  });
}

TEST(LogPin, KeepsTheTailUntilItMovesOrDies) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    co_await append_pairs(&l, &writer, 3, 1);
    const std::vector<TestSequence::Written>& written = l.sequences[1].written;
    {
      LogPin low = writer.pin(written[0].place.after.end);
      LogPin high = writer.pin(written[1].place.after.end);
      writer.release_up_to(written[2].place.after.end);
      EXPECT_EQ(writer.tail(), written[0].place.after.end);
      low.move_to(written[2].place.after.end);
      EXPECT_EQ(writer.tail(), written[1].place.after.end);
      LogPin moved = std::move(high);
      EXPECT_EQ(writer.tail(), written[1].place.after.end);
      moved.release();
      EXPECT_EQ(writer.tail(), written[2].place.after.end);
    }
    EXPECT_EQ(writer.pin(LogPosition(0)).position(), written[2].place.after.end);
  });
}

TEST(LogPin, WhenItGoesAppendsThatWaitedForItsSpaceGoOn) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    LogPin pin = writer.pin(LogPosition(0));
    while (writer.fill_ratio() < 0.9) {
      CO_ASSERT_OK(co_await append_durably(l, writer, 2, BlockIndex(1), 20, 1));
      writer.release_up_to(writer.durable_end());
    }
    TaskScope scope(co_await this_task());
    scope.spawn([](LogLab* lab, LogWriter* w) -> Task<void> {
      CO_ASSERT_OK(co_await append_durably(*lab, *w, 1, BlockIndex(1), 40, 1));
    }(&l, &writer));
    co_await test::yield_until([&] { return writer.waiting() == 1; });
    pin.release();
    (co_await scope.join()).value();
  });
}

TEST(LogScan, WhatWasReleasedBeforeThePinIsRecycled) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    co_await append_pairs(&l, &writer, 3, 1);
    writer.release_up_to(l.sequences[1].written.at(0).place.after.end);
    const std::uint64_t reads = l.file.reads;
    const Scanned scanned = co_await scan(l, writer, {}, Lsn(0), Lsn(3));
    EXPECT_EQ(scanned.ending, "recycled");
    EXPECT_EQ(l.file.reads, reads);
  });
}

TEST(LogScan, SeesWhatIsWrittenMeanwhileAndItsPinMovesOn) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    co_await append_pairs(&l, &writer, 1, 2);
    LogScan log(writer, l.file, l.pool, writer.pin(LogPosition(0)), {},
                {.replica = replica_of(1),
                 .volume = *volume_of(replica_of(1)),
                 .after = Lsn(0),
                 .up_to = Lsn(4)},
                [](Lsn) { return Epoch(1); });
    for (std::uint64_t lsn = 1; lsn <= 4; ++lsn) {
      CO_ASSERT_OK_ASSIGN(const LogScanStep step, co_await log.next());
      EXPECT_EQ(step.kind, Kind::kRecord);
      EXPECT_EQ(step.header.lsn, Lsn(lsn));
      writer.release_up_to(writer.durable_end());
      EXPECT_EQ(writer.tail(), l.sequences[1].written.at(lsn - 1).place.after.batch);
      co_await append_pairs(&l, &writer, 1, 2);
    }
    CO_ASSERT_OK_ASSIGN(const LogScanStep end, co_await log.next());
    EXPECT_EQ(end.kind, Kind::kComplete);
  });
}

// The writer goes on all the time, and the space behind the scan is used again.
TEST(LogScan, RunsBesideTheWriterForManyLaps) {
  LogLab lab;
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    LogPin pin = writer.pin(LogPosition(0));
    ChainPoint start;
    Lsn after;
    TaskScope scope(co_await this_task());
    bool over = false;
    scope.spawn([](LogLab* lab, LogWriter* w, const bool* stop) -> Task<void> {
      while (!*stop) {
        co_await append_pairs(lab, w, 1, 1 + lab->sequences[1].written.size() % 17);
        w->release_up_to(w->durable_end());
        (void)co_await sleep_for(lab->node.runtime().clock, 1us);
      }
    }(&l, &writer, &over));
    co_await test::yield_until([&] { return !l.sequences[1].written.empty(); });
    while (writer.head() < LogPosition(30 * kCapacity)) {
      const TestSequence::Written last = l.sequences[1].written.back();
      const Scanned scanned = co_await scan(l, writer, start, after, last.record.lsn);
      EXPECT_EQ(scanned.ending, "complete");
      EXPECT_EQ(lsns_of(scanned), from_to(after.value() + 1, last.record.lsn.value()));
      if (scanned.ending != "complete") break;
      start = last.place.after;
      after = last.record.lsn;
      pin.move_to(start.end);
      (void)co_await sleep_for(l.node.runtime().clock, 20us);
    }
    pin.release();
    over = true;
    (co_await scope.join()).value();
    EXPECT_LE(l.pool.statistics().high_water, ByteCount(8 << 20));
  });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::engine
