// A replica's records: who may see them when, tails, epochs, and what it keeps beside its data.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using test::outcome_of;
using testing::ElementsAre;

// A volume whose commit and stable LSN come from outside.
Task<Result<Replica*>> make_given(StoreLab& l, unsigned n) {
  Result<Replica*> made = co_await l.make(n, 1024);
  if (made.ok()) (*made)->set_commit_rule(CommitRule::kGiven);
  co_return made;
}
bool are(const std::vector<std::uint64_t>& contents, std::vector<std::uint64_t> expected) {
  return contents == expected;
}

// --- commit and stable LSN -----------------------------------------------------------------------

TEST(ReplicaTest, AReadThatMeetsAnUncommittedRecordWaitsForItsCommit) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_given(l, 1)).value();
    TaskScope scope(co_await this_task());
    std::optional<Result<Lsn>> written;
    std::optional<Result<std::vector<std::uint64_t>>> read;
    scope.spawn(keep(l.write(*replica, 4, 1, 9), &written));
    co_await l.sleep(100ms);
    CO_ASSERT_OK(co_await replica->durable(Lsn(1)));
    scope.spawn(keep(l.read(*replica, 3, 3), &read));
    co_await l.sleep(10s);
    EXPECT_FALSE(written);
    EXPECT_FALSE(read);
    replica->set_commit(Lsn(1));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(written->value(), Lsn(1));
    EXPECT_THAT(read->value(), ElementsAre(0, 9, 0));
  });
}

TEST(ReplicaTest, AReadBesideAnUncommittedRecordDoesNotWait) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_given(l, 1)).value();
    TaskScope scope(co_await this_task());
    std::optional<Result<Lsn>> written;
    scope.spawn(keep(l.write(*replica, 4, 1, 9), &written));
    co_await l.sleep(100ms);
    EXPECT_THAT((co_await l.read(*replica, 5, 1)).value(), ElementsAre(0));
    EXPECT_FALSE(written);
    replica->set_commit(Lsn(1));
    CO_ASSERT_OK(co_await scope.join());
  });
}

TEST(ReplicaTest, NothingAboveTheStableLsnIsFlushed) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_given(l, 1)).value();
    TaskScope scope(co_await this_task());
    std::optional<Result<Lsn>> first;
    std::optional<Result<Lsn>> second;
    scope.spawn(keep(l.write(*replica, 0, 1, 1), &first));
    co_await l.sleep(100ms);
    scope.spawn(keep(l.write(*replica, 0, 1, 2), &second));
    co_await l.sleep(100ms);
    CO_ASSERT_OK(co_await replica->durable(Lsn(2)));
    replica->set_commit(Lsn(2));
    CO_ASSERT_OK(co_await scope.join());
    replica->set_stable(Lsn(1));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(replica->status().flushed, Lsn(1));
    EXPECT_EQ(replica->status().unflushed_records, 1u);
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(2));
  });
}

TEST(ReplicaTest, AWaitForAnLsnResolvesWhenItHasComeSoFar) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_given(l, 1)).value();
    TaskScope scope(co_await this_task());
    std::optional<Result<Lsn>> written;
    scope.spawn(keep(l.write(*replica, 0, 1, 1), &written));
    CO_ASSERT_OK(co_await replica->written(Lsn(1)));
    EXPECT_EQ(replica->written_lsn(), Lsn(1));
    CO_ASSERT_OK(co_await replica->durable(Lsn(1)));
    EXPECT_EQ(replica->durable_lsn(), Lsn(1));
    EXPECT_EQ(replica->committed_lsn(), Lsn(0));
    replica->set_commit(Lsn(1));
    CO_ASSERT_OK(co_await replica->committed(Lsn(1)));
    EXPECT_EQ(replica->stable_lsn(), Lsn(0));
    replica->set_stable(Lsn(1));
    CO_ASSERT_OK(co_await replica->stable(Lsn(1)));
    CO_ASSERT_OK(co_await scope.join());
  });
}

TEST(ReplicaTest, AnLsnThatIsGivenMustBeTheNextOne) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_given(l, 1)).value();
    const RecordHeader discard{.type = RecordType::kDiscard,
                               .epoch = Epoch(1),
                               .lsn = Lsn(2),
                               .first_block = BlockIndex(0),
                               .block_count = 1};
    EXPECT_NE(outcome_of(co_await replica->append(discard, {}, Buffer())), "OK");
    RecordHeader next = discard;
    next.lsn = Lsn(1);
    EXPECT_EQ((co_await replica->append(next, {}, Buffer())).value(), Lsn(1));
  });
}

TEST(ReplicaTest, ARefusedAppendBurnsNoLsn) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    EXPECT_EQ(outcome_of(co_await l.write(*replica, 1023, 2, 1)), "OUT_OF_RANGE");
    EXPECT_NE(outcome_of(co_await l.write(*replica, 0, 1025, 1)), "OK");
    EXPECT_EQ(outcome_of(co_await replica->discard({BlockIndex(0), 0})), "OUT_OF_RANGE");
    EXPECT_EQ(outcome_of(co_await replica->resize(1)), "INVALID_ARGUMENT");
    EXPECT_EQ((co_await l.write(*replica, 0, 1, 1)).value(), Lsn(1));
  });
}

TEST(ReplicaTest, AWriteOfTheLargestPayloadIsTakenAndALargerOneRefused) {
  StoreLab lab;
  lab.options.log_capacity = ByteCount(32 << 20);
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 4096)).value();
    const std::uint64_t most = kLargestRecordPayload / kBlockSize;
    EXPECT_EQ(outcome_of(co_await l.write(*replica, 0, most, 1)), "OK");
    EXPECT_EQ(outcome_of(co_await l.write(*replica, 0, most + 1, 1)), "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await l.read(*replica, 0, most + 1)), "INVALID_ARGUMENT");
    EXPECT_THAT((co_await l.read(*replica, most - 1, 2)).value(), ElementsAre(most, 0));
  });
}

// --- tails ---------------------------------------------------------------------------------------

// Three records of which the first is committed.
Task<Result<>> write_three(StoreLab& l, Replica& replica, TaskScope& scope,
                           std::array<std::optional<Result<Lsn>>, 3>& outcomes) {
  for (unsigned i = 0; i < 3; ++i) {
    scope.spawn(keep(l.write(replica, 0, 1, i + 1), &outcomes[i]));
    ASHLAR_CO_TRY(co_await replica.durable(Lsn(i)));
    co_await l.sleep(10ms);
  }
  ASHLAR_CO_TRY(co_await replica.durable(Lsn(3)));
  replica.set_commit(Lsn(1));
  co_return Result<>();
}

TEST(ReplicaTest, ADroppedTailIsAbortedShowsNothingAndItsLsnsAreTakenAgain) {
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_given(l, 1)).value();
    TaskScope scope(co_await this_task());
    std::array<std::optional<Result<Lsn>>, 3> outcomes;
    CO_ASSERT_OK(co_await write_three(l, *replica, scope, outcomes));
    CO_ASSERT_OK(co_await replica->truncate_after(Epoch(2), Lsn(1)));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(outcome_of(*outcomes[0]), "OK");
    EXPECT_EQ(outcome_of(*outcomes[1]), "ABORTED");
    EXPECT_EQ(outcome_of(*outcomes[2]), "ABORTED");
    EXPECT_EQ(replica->last(), Lsn(1));
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(1));
    const RecordHeader next{.type = RecordType::kDiscard,
                            .epoch = Epoch(2),
                            .first_block = BlockIndex(7),
                            .block_count = 1};
    EXPECT_EQ((co_await replica->append(next, {}, Buffer())).value(), Lsn(2));
    CO_ASSERT_OK(co_await replica->durable(Lsn(2)));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = l.find(1);
    EXPECT_EQ(replica->last(), Lsn(2));
    EXPECT_EQ(replica->epoch_of_last(), Epoch(2));
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(1));
  });
}

TEST(ReplicaTest, ATailIsNotDroppedBelowTheStableLsnNorBehindTheEnd) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 1));
    EXPECT_EQ(outcome_of(co_await replica->truncate_after(Epoch(2), Lsn(0))),
              "FAILED_PRECONDITION");
    EXPECT_EQ(outcome_of(co_await replica->truncate_after(Epoch(2), Lsn(2))),
              "FAILED_PRECONDITION");
    EXPECT_EQ(outcome_of(co_await replica->truncate_after(Epoch(2), Lsn(1))), "OK");
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(1));
  });
}

TEST(ReplicaTest, AReadThatWaitsForARecordThatIsDroppedShowsWhatIsLeft) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await make_given(l, 1)).value();
    TaskScope scope(co_await this_task());
    std::array<std::optional<Result<Lsn>>, 3> outcomes;
    CO_ASSERT_OK(co_await write_three(l, *replica, scope, outcomes));
    std::optional<Result<std::vector<std::uint64_t>>> read;
    scope.spawn(keep(l.read(*replica, 0, 1), &read));
    co_await l.sleep(100ms);
    EXPECT_FALSE(read);
    CO_ASSERT_OK(co_await replica->truncate_after(Epoch(2), Lsn(1)));
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_THAT(read->value(), ElementsAre(1));
  });
}

// --- epochs --------------------------------------------------------------------------------------

TEST(ReplicaTest, APromiseRefusesOlderEpochsAlsoInTheNextLife) {
  static const RecordHeader older{.type = RecordType::kDiscard,
                                  .epoch = Epoch(4),
                                  .first_block = BlockIndex(0),
                                  .block_count = 1};
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await replica->promise(Epoch(5)));
    EXPECT_EQ(outcome_of(co_await replica->promise(Epoch(4))), "ABORTED");
    EXPECT_EQ(outcome_of(co_await replica->append(older, {}, Buffer())), "ABORTED");
  });
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = l.find(1);
    EXPECT_EQ(replica->promised(), Epoch(5));
    EXPECT_EQ(outcome_of(co_await replica->append(older, {}, Buffer())), "ABORTED");
    EXPECT_EQ((co_await l.write(*replica, 0, 1, 1)).value(), Lsn(1));
    EXPECT_EQ(replica->epoch_of_last(), Epoch(5));
  });
}

TEST(ReplicaTest, TheEpochOfEachRecordIsRememberedAlsoInTheNextLife) {
  static const auto check = [](const Replica& replica) {
    EXPECT_EQ(replica.epoch_of(Lsn(1)), Epoch(1));
    EXPECT_EQ(replica.epoch_of(Lsn(2)), Epoch(3));
    EXPECT_EQ(replica.epoch_of(Lsn(3)), Epoch(3));
    EXPECT_EQ(replica.epoch_of(Lsn(4)), std::nullopt);
    EXPECT_EQ(replica.epochs().size(), 2u);
  };
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 1));
    EXPECT_EQ((co_await replica->start_epoch(Epoch(3))).value(), Lsn(2));
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 2));
    check(*replica);
  });
  lab.run([](StoreLab& l) -> Task<void> {
    check(*l.find(1));
    co_return;
  });
}

// --- size, reservations, attachment --------------------------------------------------------------

TEST(ReplicaTest, AVolumeGrowsOnlyAndHasItsSizeInTheNextLife) {
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    EXPECT_EQ(outcome_of(co_await replica->resize(99)), "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await l.write(*replica, 100, 1, 1)), "OUT_OF_RANGE");
    CO_ASSERT_OK(co_await replica->resize(200));
    EXPECT_EQ(outcome_of(co_await l.write(*replica, 199, 1, 1)), "OK");
    EXPECT_EQ(outcome_of(co_await replica->resize(kLargestVolumeBlocks + 1)), "INVALID_ARGUMENT");
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(l.find(1)->size_blocks(), 200u);
    EXPECT_THAT((co_await l.read(*l.find(1), 198, 2)).value(), ElementsAre(0, 1));
  });
  // From the state file.
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(l.store->recovery().records, 0u);
    EXPECT_EQ(l.find(1)->size_blocks(), 200u);
    co_return;
  });
}

TEST(ReplicaTest, TheLastReservationsAreKeptBeforeAndAfterTheyAreFlushed) {
  static const std::vector<std::byte> first(5000, std::byte{1});
  static const std::vector<std::byte> last(17, std::byte{2});
  static const auto kept = [](const Replica& replica) {
    const ByteSpan bytes = replica.reservations();
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    EXPECT_TRUE(kept(*replica).empty());
    CO_ASSERT_OK(co_await replica->set_reservations(first));
    EXPECT_EQ(kept(*replica), first);
    CO_ASSERT_OK(co_await replica->set_reservations(last));
    EXPECT_EQ(kept(*replica), last);
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(kept(*l.find(1)), last);
    co_return;
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_EQ(kept(*l.find(1)), last);
    const std::vector<std::byte> large(kLargestReservationState);
    EXPECT_EQ(outcome_of(co_await l.find(1)->set_reservations(large)), "INVALID_ARGUMENT");
  });
}

TEST(ReplicaTest, AnAttachmentIsDurableWhenItWasSet) {
  static const std::vector<std::byte> words(300, std::byte{7});
  StoreLab lab;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    CO_ASSERT_OK(co_await replica->set_attachment(words));
    const std::vector<std::byte> large(kLargestAttachment + 1);
    EXPECT_EQ(outcome_of(co_await replica->set_attachment(large)), "INVALID_ARGUMENT");
  });
  lab.run([](StoreLab& l) -> Task<void> {
    const ByteSpan kept = l.find(1)->attachment();
    EXPECT_EQ(std::vector<std::byte>(kept.begin(), kept.end()), words);
    co_return;
  });
}

// --- bytes ---------------------------------------------------------------------------------------

TEST(ReplicaTest, WritesOfPartsOfOneBlockAtTheSameTimeAllShow) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 42));
    TaskScope scope(co_await this_task());
    std::array<std::optional<Result<Lsn>>, 6> outcomes;
    std::array<std::vector<std::byte>, 6> parts;
    for (unsigned i = 0; i < 6; ++i) {
      parts[i].assign(512, static_cast<std::byte>(i + 1));
      scope.spawn(keep(replica->write_bytes(512 * (i + 1), parts[i]), &outcomes[i]));
    }
    CO_ASSERT_OK(co_await scope.join());
    const Buffer block = (co_await replica->read({BlockIndex(0), 1})).value();
    EXPECT_EQ(content_of(block.bytes()), 42u);
    for (unsigned i = 0; i < 6; ++i) {
      EXPECT_EQ(outcome_of(*outcomes[i]), "OK");
      EXPECT_EQ(block.bytes()[512 * (i + 1)], static_cast<std::byte>(i + 1));
    }
  });
}

TEST(ReplicaTest, AWriteOfBytesOverBlockEdgesKeepsWhatIsBesideIt) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 4, 50));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    const std::vector<std::byte> bytes(2 * kBlockSize, std::byte{9});
    CO_ASSERT_OK(co_await replica->write_bytes(3 * 512, bytes));
    const Buffer now = (co_await replica->read({BlockIndex(0), 4})).value();
    EXPECT_EQ(content_of(now.bytes()), 50u);
    EXPECT_EQ(now.bytes()[3 * 512 - 1], [] {
      std::vector<std::byte> block(kBlockSize);
      fill_block(block, 50);
      return block[3 * 512 - 1];
    }());
    EXPECT_EQ(now.bytes()[3 * 512], std::byte{9});
    EXPECT_EQ(now.bytes()[2 * kBlockSize + 3 * 512 - 1], std::byte{9});
    std::vector<std::byte> third(kBlockSize);
    fill_block(third, 52);
    EXPECT_EQ(now.bytes()[2 * kBlockSize + 3 * 512], third[3 * 512]);
    EXPECT_EQ(content_of(now.bytes().subspan(3 * kBlockSize)), 53u);
  });
}

TEST(ReplicaTest, BytesThatAreNoWholeSectorsOrNotInTheVolumeAreRefused) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 2)).value();
    const std::vector<std::byte> bytes(1024);
    const ByteSpan all(bytes);
    EXPECT_EQ(outcome_of(co_await replica->write_bytes(1, all)), "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await replica->write_bytes(0, all.first(511))), "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await replica->write_bytes(0, all.first(0))), "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await replica->write_bytes(8192 - 512, all)), "OUT_OF_RANGE");
    EXPECT_EQ(outcome_of(co_await replica->write_bytes(8192 - 1024, all)), "OK");
  });
}

TEST(ReplicaTest, ZeroesAndDiscardsReadAsZerosBeforeAndAfterAFlush) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 0, 5, 50));
    CO_ASSERT_OK(co_await replica->write_zeroes({BlockIndex(1), 1}));
    CO_ASSERT_OK(co_await replica->discard({BlockIndex(3), 1}));
    for (int round = 0; round < 2; ++round) {
      EXPECT_TRUE(are((co_await l.read(*replica, 0, 5)).value(), {50, 0, 52, 0, 54})) << round;
      CO_ASSERT_OK(co_await l.store->checkpoint());
    }
  });
}

// --- buffered volumes ----------------------------------------------------------------------------

TEST(ReplicaTest, ABufferedRecordIsCommittedWhenItIsWrittenAndDurableAfterAFlush) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    replica->set_commit_rule(CommitRule::kWritten);
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 50));
    EXPECT_EQ(replica->committed_lsn(), Lsn(1));
    EXPECT_EQ(replica->durable_lsn(), Lsn(0));
    CO_ASSERT_OK(co_await replica->flush());
    EXPECT_EQ(replica->durable_lsn(), Lsn(1));
    EXPECT_EQ(replica->stable_lsn(), Lsn(1));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_THAT((co_await l.read(*l.find(1), 0, 1)).value(), ElementsAre(50));
  });
}

TEST(ReplicaTest, BesideABufferedVolumeADurableOneKeepsWhatItAcknowledged) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.crash(sim::CrashKind::kPowerFail, [](StoreLab& l) -> Task<void> {
    Replica* buffered = (co_await l.make(1, 100)).value();
    Replica* durable = (co_await l.make(2, 100)).value();
    buffered->set_commit_rule(CommitRule::kWritten);
    for (std::uint64_t i = 0; i < 8; ++i) {
      CO_ASSERT_OK(co_await l.write(*buffered, i, 1, 50 + i));
      EXPECT_LT(buffered->durable_lsn(), buffered->last());
      if (i % 2 == 0) CO_ASSERT_OK(co_await l.write(*durable, i, 1, 70 + i));
    }
    EXPECT_EQ(durable->durable_lsn(), Lsn(4));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_THAT((co_await l.read(*l.find(2), 0, 7)).value(), ElementsAre(70, 0, 72, 0, 74, 0, 76));
    // All that stands before the last durable record came back with it.
    EXPECT_GE(l.find(1)->last(), Lsn(7));
    EXPECT_THAT((co_await l.read(*l.find(1), 0, 7)).value(),
                ElementsAre(50, 51, 52, 53, 54, 55, 56));
  });
}

TEST(ReplicaTest, ABufferedRecordThatAFlushCameTooEarlyForIsMadeDurableByTheNext) {
  StoreLab lab;
  lab.options.flush_delay = 1ms;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    replica->set_commit_rule(CommitRule::kWritten);
    // The write of the log takes longer than the flusher waits.
    l.node.disk().timing.write_base = 20ms;
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 50));
    l.node.disk().timing.write_base = 20us;
    co_await l.sleep(1s);
    EXPECT_EQ(replica->durable_lsn(), Lsn(1));
    EXPECT_EQ(replica->status().flushed, Lsn(1));
  });
}

TEST(ReplicaTest, ASnapshotThatIsAppendedTwiceIsTakenOnce) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    const auto uuid = lab_uuid<SnapshotUuid>(1);
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 50));
    CO_ASSERT_OK(co_await replica->snapshot(uuid, WallTime()));
    // As a primary might send it; the call of its own refuses it.
    CO_ASSERT_OK_ASSIGN(Buffer bytes, l.pool->allocate(ByteCount(kBlockSize)));
    encode_snapshot_payload({uuid, WallTime()}, bytes.bytes());
    const std::uint32_t sum = BlockChecksum(replica->volume()).of(BlockIndex(0), bytes.bytes());
    const RecordHeader header{
        .type = RecordType::kSnapshot, .epoch = Epoch(1), .payload_length = kBlockSize};
    CO_ASSERT_OK(co_await replica->append(header, {&sum, 1}, std::move(bytes)));
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 60));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(replica->fault(), std::nullopt);
    EXPECT_EQ(replica->snapshots().size(), 1u);
    EXPECT_THAT((co_await l.read_snapshot(*replica, uuid, 0, 1)).value(), ElementsAre(50));
    EXPECT_THAT((co_await l.read(*replica, 0, 1)).value(), ElementsAre(60));
  });
}

TEST(ReplicaTest, AWriteOfABufferedVolumeCostsTheDiskNoSync) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    replica->set_commit_rule(CommitRule::kWritten);
    l.io.clear();
    for (std::uint64_t i = 0; i < 50; ++i) CO_ASSERT_OK(co_await l.write(*replica, i, 1, 50 + i));
    EXPECT_EQ(l.io.count(FileOperation::Kind::kWrite, "/log"), 50u);
    EXPECT_EQ(l.io.syncs(""), 0u);
    CO_ASSERT_OK(co_await replica->flush());
    EXPECT_EQ(l.io.syncs(""), 1u);
  });
}

TEST(ReplicaTest, ABufferedRecordBecomesDurableByItselfAfterTheFlushDelay) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 100)).value();
    replica->set_commit_rule(CommitRule::kWritten);
    CO_ASSERT_OK(co_await l.write(*replica, 0, 1, 50));
    co_await l.sleep(1s);
    EXPECT_EQ(replica->durable_lsn(), Lsn(1));
    EXPECT_EQ(replica->status().flushed, Lsn(1));
  });
}

}  // namespace
}  // namespace ashlar::engine
