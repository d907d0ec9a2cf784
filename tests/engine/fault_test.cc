// Faults: each is named, sticky, and of one replica where that is possible (L4, L8, L57).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using Fate = test::DiskLog::Fate;
using Kind = FileOperation::Kind;
using test::outcome_of;
using testing::ElementsAre;

FaultCause cause_of(const Replica& replica) {
  const std::optional<Fault>& fault = replica.fault();
  EXPECT_TRUE(fault);
  return fault ? fault->cause : FaultCause::kLogWrite;
}

class FaultTest : public testing::Test {
 protected:
  FaultTest() { lab.options.flush_delay = 3600s; }

  // One life with two volumes that hold a block each, and nothing flushed.
  static Task<Result<>> make_two(StoreLab& l) {
    for (unsigned n : {1u, 2u}) {
      ASHLAR_CO_TRY_ASSIGN(Replica* const replica, co_await l.make(n, 1024));
      ASHLAR_CO_TRY(co_await l.write(*replica, 0, 1, 10 * n));
    }
    co_await l.sleep(1s);
    co_return Result<>();
  }
  static void fail(StoreLab& l, Kind kind, std::string part) {
    l.io.fate = [kind, part](const test::DiskIo& io) {
      return io.is(kind, part) ? Fate::kFails : Fate::kGoesOn;
    };
  }
  static std::string name_of(unsigned n) { return lab_uuid<ReplicaUuid>(n).to_string(); }
  // The last byte of what was written to the log at first.
  static std::uint64_t first_payload_end(const StoreLab& l, std::size_t batch) {
    std::vector<std::uint64_t> ends;
    for (const test::DiskIo& io : l.io.ios) {
      if (io.is(Kind::kWrite, "/log")) ends.push_back(io.offset + io.length);
    }
    return ends.at(batch) - 1;
  }

  StoreLab lab;
};

TEST_F(FaultTest, AFailedWriteOfTheLogFaultsEveryReplicaAndBurnsNoLsn) {
  EXPECT_FALSE(lab.live([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await make_two(l));
    fail(l, Kind::kWrite, "/log");
    Replica* first = l.find(1);
    EXPECT_EQ(outcome_of(co_await l.write(*first, 1, 1, 11)), "DATA_LOSS");
    EXPECT_EQ(cause_of(*first), FaultCause::kLogWrite);
    co_await l.sleep(1ms);
    EXPECT_EQ(cause_of(*l.find(2)), FaultCause::kLogWrite);
    EXPECT_FALSE(first->status().candidate);
    // The disk is well again: nobody believes it before the store was opened again.
    l.io.fate = {};
    EXPECT_EQ(outcome_of(co_await l.write(*first, 1, 1, 11)), "DATA_LOSS");
    EXPECT_EQ(outcome_of(co_await l.read(*first, 0, 1)), "DATA_LOSS");
    EXPECT_EQ(outcome_of(co_await first->flush()), "DATA_LOSS");
  }));
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* first = l.find(1);
    EXPECT_EQ(first->fault(), std::nullopt);
    EXPECT_THAT((co_await l.read(*first, 0, 2)).value(), ElementsAre(10, 0));
    EXPECT_EQ((co_await l.write(*first, 1, 1, 11)).value(), Lsn(2));
  });
}

TEST_F(FaultTest, ASyncNeverWaitsForAnAppendThatFailed) {
  EXPECT_FALSE(lab.live([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await make_two(l));
    fail(l, Kind::kWrite, "/log");
    TaskScope scope(co_await this_task());
    std::optional<Result<Lsn>> written;
    std::optional<Result<>> synced;
    const MonoTime begin = l.runtime->clock.now();
    scope.spawn(keep(l.write(*l.find(1), 1, 1, 11), &written));
    scope.spawn(keep(l.find(1)->flush(), &synced));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(outcome_of(*written), "DATA_LOSS");
    EXPECT_LT(l.runtime->clock.now() - begin, 1s);
    l.io.fate = {};
  }));
}

TEST_F(FaultTest, AFailedWriteOfALayerFaultsItsReplicaAlone) {
  lab.run([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await make_two(l));
    fail(l, Kind::kWrite, name_of(1) + "-0.data");
    EXPECT_NE(outcome_of(co_await l.store->checkpoint()), "OK");
    EXPECT_EQ(cause_of(*l.find(1)), FaultCause::kLayerWrite);
    EXPECT_EQ(l.find(1)->status().flushed, Lsn(0));
    EXPECT_EQ(l.find(2)->fault(), std::nullopt);
    EXPECT_EQ(l.find(2)->status().flushed, Lsn(1));
    l.io.fate = {};
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_THAT((co_await l.read(*l.find(1), 0, 1)).value(), ElementsAre(10));
  });
}

TEST_F(FaultTest, AFailedSyncOfALayerFaultsItsReplicaAlone) {
  lab.run([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await make_two(l));
    fail(l, Kind::kSync, name_of(1) + "-0.map");
    EXPECT_NE(outcome_of(co_await l.store->checkpoint()), "OK");
    EXPECT_EQ(cause_of(*l.find(1)), FaultCause::kLayerWrite);
    EXPECT_EQ(l.find(2)->fault(), std::nullopt);
    l.io.fate = {};
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_THAT((co_await l.read(*l.find(1), 0, 1)).value(), ElementsAre(10));
  });
}

TEST_F(FaultTest, AFailedWriteOfTheStateFaultsItsReplicaAlone) {
  lab.run([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await make_two(l));
    fail(l, Kind::kWrite, "replicas/" + name_of(1));
    EXPECT_EQ(outcome_of(co_await l.find(1)->promise(Epoch(3))), "DATA_LOSS");
    EXPECT_EQ(cause_of(*l.find(1)), FaultCause::kStateWrite);
    EXPECT_EQ(l.find(2)->fault(), std::nullopt);
    l.io.fate = {};
  });
}

TEST_F(FaultTest, AFaultNamesItsCauseInEveryAnswer) {
  lab.run([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await make_two(l));
    fail(l, Kind::kWrite, "replicas/" + name_of(1));
    CO_ASSERT_TRUE(!(co_await l.find(1)->promise(Epoch(3))).ok());
    l.io.fate = {};
    Replica* replica = l.find(1);
    for (const Error& error :
         {(co_await l.read(*replica, 0, 1)).error(), (co_await l.write(*replica, 0, 1, 1)).error(),
          (co_await replica->promise(Epoch(9))).error(),
          (co_await replica->truncate_after(Epoch(9), Lsn(1))).error(),
          replica->scan(Lsn(0), Lsn(1)).error()}) {
      EXPECT_NE(error.message().find("state write"), std::string::npos) << error.message();
    }
  });
}

// --- damage of what is not flushed (L57)
// ----------------------------------------------------------

TEST_F(FaultTest, ADamagedRecordOfTheLogIsNotFlushedAndFaultsItsReplicaAlone) {
  lab.run([](StoreLab& l) -> Task<void> {
    l.io.clear();
    CO_ASSERT_OK(co_await make_two(l));
    l.find(1)->drop_payloads(ByteCount(0));
    l.node.disk().rot("/store/log", first_payload_end(l, 0));
    EXPECT_NE(outcome_of(co_await l.store->checkpoint()), "OK");
    EXPECT_EQ(cause_of(*l.find(1)), FaultCause::kMismatch);
    EXPECT_EQ(l.find(1)->status().flushed, Lsn(0));
    EXPECT_FALSE(l.find(1)->status().candidate);
    EXPECT_EQ(l.find(2)->status().flushed, Lsn(1));
  });
}

TEST_F(FaultTest, AReaderOfADamagedRecordNeverGetsWhatIsBelow) {
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    co_await l.sleep(1s);
    l.io.clear();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 2));
    co_await l.sleep(1s);
    replica->drop_payloads(ByteCount(0));
    l.node.disk().rot("/store/log", first_payload_end(l, 0));
    EXPECT_EQ(outcome_of(co_await l.read(*replica, 0, 1)), "DATA_LOSS");
    EXPECT_EQ(cause_of(*replica), FaultCause::kMismatch);
  });
}

TEST_F(FaultTest, APayloadThatChangedInMemoryIsNotShown) {
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    Buffer bytes = l.pool->allocate(ByteCount(kBlockSize)).value();
    fill_block(bytes.bytes(), 1);
    const std::uint32_t sum = BlockChecksum(replica->volume()).of(BlockIndex(0), bytes.bytes());
    CO_ASSERT_OK(co_await replica->write({BlockIndex(0), 1}, bytes.share(), {&sum, 1}));
    bytes.data()[100] ^= std::byte{1};
    EXPECT_EQ(outcome_of(co_await l.read(*replica, 0, 1)), "DATA_LOSS");
    EXPECT_EQ(cause_of(*replica), FaultCause::kMismatch);
  });
}

// --- damage of what was acknowledged (L4)
// ---------------------------------------------------------

TEST_F(FaultTest, AReplicaWhoseAcknowledgedRecordsAreLostIsNoCandidateForGood) {
  lab.crash(sim::CrashKind::kKill, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    l.io.clear();
    for (unsigned i = 0; i < 4; ++i) CO_ASSERT_OK(co_await l.write(*replica, i, 1, i + 1));
    co_await l.sleep(1s);
  });
  lab.node.disk().rot("/store/log", first_payload_end(lab, 1));
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = l.find(1);
    EXPECT_EQ(l.store->recovery().verdict, LogVerdict::kDamage);
    EXPECT_EQ(cause_of(*replica), FaultCause::kLogDamage);
    EXPECT_EQ(outcome_of(co_await l.read(*replica, 0, 1)), "DATA_LOSS");
    EXPECT_EQ(outcome_of(co_await l.write(*replica, 0, 1, 9)), "DATA_LOSS");
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_FALSE(l.find(1)->status().candidate);
    EXPECT_TRUE(l.find(1)->status().repair_needed);
    co_return;
  });
}

// Whoever else writes goes round the log several times; what the other one had is there when the
// store is opened again, also what its own later records had hidden.
TEST_F(FaultTest, AReplicaThatHasSteppedOutHoldsUpNobodyAndLosesNothing) {
  lab.options.log_capacity = ByteCount(1 << 20);
  EXPECT_TRUE(lab.live([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await make_two(l));
    Replica* first = l.find(1);
    for (std::uint64_t i = 1; i < 8; ++i) CO_ASSERT_OK(co_await l.write(*first, 5, 1, 100 + i));
    CO_ASSERT_OK(co_await first->discard({BlockIndex(0), 1}));
    // The pass has forgotten what others hide when it fails.
    fail(l, Kind::kSync, "layers/" + name_of(1));
    EXPECT_FALSE((co_await l.store->checkpoint()).ok());
    EXPECT_EQ(cause_of(*first), FaultCause::kLayerWrite);
    l.io.fate = {};
    const LogPosition begin = l.store->shared().log->head();
    for (std::uint64_t i = 0; i < 600; ++i) {
      CO_ASSERT_OK(co_await l.write(*l.find(2), i % 64, 4, 1000 + 8 * i));
    }
    EXPECT_GT(l.store->shared().log->head() - begin, std::uint64_t{4} << 20);
    EXPECT_GT(l.store->shared().metrics.moved_records.value(), 0u);
  }));
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(l.find(1)->fault(), std::nullopt);
    EXPECT_EQ(l.find(1)->last(), Lsn(9));
    EXPECT_THAT((co_await l.read(*l.find(1), 0, 1)).value(), ElementsAre(0));
    EXPECT_THAT((co_await l.read(*l.find(1), 5, 1)).value(), ElementsAre(107));
  });
}

// An append that waited for its place must not keep the log from being cleared.
TEST_F(FaultTest, AppendsThatWaitWhenTheirReplicaStepsOutAreRefused) {
  lab.options.log_capacity = ByteCount(1 << 20);
  lab.live([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await make_two(l));
    Replica* first = l.find(1);
    TaskScope scope(co_await this_task());
    std::vector<std::optional<Result<Lsn>>> outcomes(16);
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      scope.spawn(keep(l.write(*first, i, 12, 100), &outcomes[i]));
    }
    co_await yield();
    first->fail(FaultCause::kMismatch, Error::data_loss("a test"));
    (void)co_await scope.join();
    for (const std::optional<Result<Lsn>>& one : outcomes) EXPECT_FALSE(one->ok());
    for (std::uint64_t i = 0; i < 100; ++i) {
      CO_ASSERT_OK(co_await l.write(*l.find(2), i % 64, 4, 1000 + 8 * i));
    }
  });
}

}  // namespace
}  // namespace ashlar::engine
