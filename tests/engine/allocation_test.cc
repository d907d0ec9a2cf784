// What the engine does in its steady state allocates nothing. A program of its own, because it
// counts in the global operator new.
#include <array>
#include <memory>

#include <gtest/gtest.h>

#include "engine/interval_index.h"
#include "engine/log_writer.h"
#include "tests/engine/log_test_support.h"
#include "tests/support/allocation_count.h"
#include "tests/support/expect.h"

namespace ashlar::engine {
namespace {

// A volume of 1 GiB under random writes of 1 to 16 blocks: records come, get their place, become
// stable, and are flushed.
class SteadyIndex {
 public:
  // A flush comes after each `flush_size` records and leaves half as many.
  void round(std::uint64_t flush_size) {
    const std::uint64_t count = 1 + random() % 16;
    const Lsn lsn = ++newest_;
    index_.insert({lsn,
                   RecordKind::kWrite,
                   {BlockIndex(random() % (kBlocks - count)), count},
                   std::nullopt,
                   {},
                   ChecksumList(sums_, std::span(values_).first(count))});
    index_.set_position(lsn, LogPosition(lsn.value() << 20));
    if (lsn.value() % flush_size != 0) return;
    index_.advance_stable(Lsn(lsn.value() - flush_size / 2));
    std::uint64_t seen = 0;
    index_.visit_stable(BlockIndex(0), [&](const IndexRun& run) {
      seen += run.checksums().size();
      return true;
    });
    ASSERT_GT(seen, 0u);
    index_.erase_up_to(index_.stable_lsn(), {BlockIndex(0), kBlocks});
  }
  const IntervalIndex& index() const { return index_; }

 private:
  static constexpr std::uint64_t kBlocks = 1 << 18;

  std::uint64_t random() {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    return state_ >> 33;
  }

  std::uint64_t state_ = 7;
  Lsn newest_;
  std::array<std::uint32_t, 16> values_{};
  ChecksumPool sums_;
  IntervalIndex index_;
};

// Appends one write after the other, each a batch of its own, and gives the space back.
Task<void> append_steadily(LogLab* lab, LogWriter* writer, const TestRecord* record, int count) {
  for (int i = 0; i < count; ++i) {
    const Result<LogTicket> ticket = co_await writer->append(lab->sequences[1], record->header,
                                                             record->checksums, record->payload);
    CO_ASSERT_OK(ticket);
    const Result<LogPlace> place = co_await writer->durable(*ticket);
    CO_ASSERT_OK(place);
    writer->release_up_to(place->after.end);
  }
}

TEST(Allocation, ALogUnderSteadyLoadAllocatesNothingIn10000Batches) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  GTEST_SKIP() << "coroutine frames come from the heap under a sanitizer";
#endif
#endif
  LogLab lab;
  lab.file.writes.reserve(20'000);
  lab.sequences[1].written.reserve(20'000);
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    const TestRecord record = make_write(l.pool, replica_of(1), BlockIndex(1), 6, 1);
    co_await append_steadily(&l, &writer, &record, 1000);
    const std::uint64_t before = test::g_allocations;
    co_await append_steadily(&l, &writer, &record, 10'000);
    EXPECT_EQ(test::g_allocations - before, 0u);
  });
}

TEST(Allocation, TheCounterCounts) {
  const std::uint64_t before = test::g_allocations;
  const std::unique_ptr<int> one(new int(1));
  EXPECT_EQ(test::g_allocations, before + 1);
}

TEST(Allocation, AnIndexUnderSteadyLoadAllocatesNothingIn100000Rounds) {
  SteadyIndex steady;
  // The most that was ever needed stays: twice the later load, so that chance makes no new maximum.
  for (int i = 0; i < 20'000; ++i) steady.round(128);
  const std::uint64_t before = test::g_allocations;
  for (int i = 0; i < 100'000; ++i) steady.round(64);
  EXPECT_EQ(test::g_allocations - before, 0u);
  EXPECT_GT(steady.index().record_count(), 31u);
}

}  // namespace
}  // namespace ashlar::engine
