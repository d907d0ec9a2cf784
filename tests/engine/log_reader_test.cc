#include "engine/log_reader.h"

#include <gtest/gtest.h>

#include "tests/engine/log_test_support.h"
#include "tests/support/expect.h"

namespace ashlar::engine {
namespace {

// The lab keeps the body for as long as its coroutine runs, so here lambdas may capture.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

constexpr std::uint64_t kCapacity = 1 << 20;

// `count` batches of one write each, of 1, 2, 1, 2, … blocks; returns where each begins.
std::vector<LogPosition> fill_log(LogLab& lab, std::uint64_t count, std::uint64_t content = 1000) {
  std::vector<LogPosition> begins;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    for (std::uint64_t i = 0; i < count; ++i) {
      Result<LogPlace> place =
          co_await append_durably(l, writer, 1, BlockIndex(i), 1 + i % 2, content + i);
      CO_ASSERT_OK(place);
      begins.push_back(place->after.batch);
    }
  });
  return begins;
}

// What was delivered is the first records of the log, and nothing else.
void expect_prefix(const LogLab& lab, const std::vector<Delivered>& all) {
  ASSERT_LE(lab.delivered.size(), all.size());
  for (std::size_t i = 0; i < lab.delivered.size(); ++i) {
    ASSERT_EQ(lab.delivered[i].header, all[i].header);
    ASSERT_EQ(lab.delivered[i].checksums, all[i].checksums);
  }
}

void flip(LogLab& lab, std::size_t byte, unsigned bit) {
  lab.file.bytes[byte] ^= static_cast<std::byte>(1u << bit);
}

TEST(LogReader, ANewLogIsCleanAndEmpty) {
  LogLab lab;
  const LogRecovery recovery = lab.recover();
  EXPECT_EQ(recovery.verdict, LogVerdict::kClean);
  EXPECT_EQ(recovery.chain, ChainPoint());
  EXPECT_EQ(recovery.next_generation, LogGeneration(1));
  EXPECT_EQ(lab.file.syncs, 1u);
}

TEST(LogReader, RecoveryTwiceGivesTheSame) {
  LogLab lab;
  fill_log(lab, 6);
  const LogRecovery once = lab.recover();
  const std::vector<Delivered> first = lab.delivered;
  const LogRecovery twice = lab.recover();
  EXPECT_EQ(once.chain, twice.chain);
  EXPECT_EQ(once.next_generation, LogGeneration(2));
  EXPECT_EQ(twice.next_generation, LogGeneration(2));
  ASSERT_EQ(lab.delivered.size(), first.size());
  expect_prefix(lab, first);
}

TEST(LogReader, ReadsInLargePieces) {
  LogLab lab;
  fill_log(lab, 40);
  lab.file.reads = 0;
  lab.recover();
  EXPECT_LE(lab.file.reads, 6u);
}

// L4. Every bit of the headers as far as they are used, and a bit of every 16th byte elsewhere.
TEST(LogReader, EveryFlippedBitInTheAcknowledgedPartIsDamageAndNeverAWrongRecord) {
  LogLab lab;
  const std::vector<LogPosition> begins = fill_log(lab, 4);
  const LogRecovery whole = lab.recover();
  ASSERT_EQ(whole.verdict, LogVerdict::kClean);
  ASSERT_EQ(whole.batches, 5u);  // with the seal
  const std::vector<Delivered> all = lab.delivered;
  const std::size_t used = kBatchHeaderSize + kRecordHeaderSize + 4;
  std::size_t flips = 0;
  for (std::size_t byte = 0; byte < whole.records_end.value(); ++byte) {
    std::size_t into = byte;
    for (const LogPosition begin : begins) {
      if (begin.value() <= byte) into = byte - begin.value();
    }
    for (unsigned bit = 0; bit < 8; ++bit) {
      if (into >= used && (byte % 16 != 0 || bit != byte / 16 % 8)) continue;
      ++flips;
      flip(lab, byte, bit);
      const LogRecovery recovery = lab.recover();
      ASSERT_EQ(recovery.verdict, LogVerdict::kDamage) << "byte " << byte << " bit " << bit;
      ASSERT_LE(recovery.chain.end.value(), byte);
      ASSERT_EQ(recovery.durable_bound, whole.records_end);
      expect_prefix(lab, all);
      flip(lab, byte, bit);
    }
  }
  EXPECT_GT(flips, 4 * used * 8);
  EXPECT_EQ(lab.recover().verdict, LogVerdict::kClean);
}

TEST(LogReader, AFlippedBitInTheSealAloneCostsNothing) {
  LogLab lab;
  fill_log(lab, 4);
  const LogRecovery whole = lab.recover();
  for (std::size_t bit = 0; bit < kBatchHeaderSize * 8; ++bit) {
    flip(lab, whole.records_end.value() + bit / 8, bit % 8);
    const LogRecovery recovery = lab.recover();
    ASSERT_NE(recovery.verdict, LogVerdict::kDamage);
    ASSERT_EQ(recovery.records, 4u);
    flip(lab, whole.records_end.value() + bit / 8, bit % 8);
  }
}

TEST(LogReader, ACheckpointsBoundMakesTheLossOfEverythingDamage) {
  LogLab lab;
  fill_log(lab, 3);
  const LogRecovery whole = lab.recover();
  std::fill(lab.file.bytes.begin(), lab.file.bytes.end(), std::byte{0});
  EXPECT_EQ(lab.recover().verdict, LogVerdict::kClean);  // nothing tells that there was anything
  const LogRecovery recovery = lab.recover({.durable_bound = whole.chain.end});
  EXPECT_EQ(recovery.verdict, LogVerdict::kDamage);
  EXPECT_EQ(recovery.chain.end, LogPosition(0));
}

// L1, L3. The last batch is there up to any sector; what is behind is old or zero.
TEST(LogReader, ATornTailAtEverySectorGivesAPrefix) {
  LogLab lab;
  lab.options.seal_delay = 1h;
  const std::vector<LogPosition> begins = fill_log(lab, 5);
  const std::vector<std::byte> image = lab.file.bytes;
  const LogRecovery whole = lab.recover();
  const std::vector<Delivered> all = lab.delivered;
  for (const bool garbage : {false, true}) {
    for (std::size_t batch = 0; batch < begins.size(); ++batch) {
      const std::uint64_t begin = begins[batch].value();
      const std::uint64_t end =
          batch + 1 < begins.size() ? begins[batch + 1].value() : whole.records_end.value();
      for (std::uint64_t cut = begin; cut < end; cut += 512) {
        lab.file.bytes = image;
        for (std::uint64_t at = cut; at < kCapacity; ++at) {
          lab.file.bytes[at] = static_cast<std::byte>(garbage ? at * 7 : 0);
        }
        const LogRecovery recovery = lab.recover();
        // Padding that was cut off is whole again when there are zeros in its place.
        const bool only_padding = !garbage && cut >= begin + 512 && end - begin == kBlockSize;
        ASSERT_FALSE(only_padding);
        ASSERT_NE(recovery.verdict, LogVerdict::kDamage);
        ASSERT_EQ(recovery.records, batch) << "cut at " << cut;
        ASSERT_EQ(recovery.chain.end, begins[batch]);
        if (cut > begin) ASSERT_EQ(recovery.verdict, LogVerdict::kTornTail);
        expect_prefix(lab, all);
      }
    }
  }
}

TEST(LogReader, AHoleInTheMiddleIsNotJumped) {
  LogLab lab;
  const std::vector<LogPosition> begins = fill_log(lab, 6);
  std::fill_n(lab.file.bytes.begin() + static_cast<std::ptrdiff_t>(begins[2].value()), kBlockSize,
              std::byte{0});
  const LogRecovery recovery = lab.recover();
  EXPECT_EQ(recovery.verdict, LogVerdict::kDamage);
  EXPECT_EQ(recovery.chain.end, begins[2]);
  EXPECT_EQ(lab.delivered.size(), 2u);
}

TEST(LogReader, TheNextGenerationIsAboveEveryOneInTheRing) {
  LogLab lab;
  fill_log(lab, 2);
  ASSERT_EQ(lab.reopen().next_generation, LogGeneration(2));
  fill_log(lab, 2);
  lab.file.bytes[0] ^= std::byte{1};
  const LogRecovery recovery = lab.recover();
  EXPECT_EQ(recovery.chain.end, LogPosition(0));
  EXPECT_EQ(recovery.next_generation, LogGeneration(3));
}

// L3. Three batches of a life that ended in a torn one; the next life writes the very same record
// where the torn one stood. What lay behind it must not follow.
TEST(LogReader, ADeadSuccessorDoesNotJoinAnIdenticalBatch) {
  LogLab lab;
  lab.options.seal_delay = 1h;
  const std::vector<LogPosition> begins = fill_log(lab, 4);
  const std::uint64_t payload = begins[2].value() + kBlockSize;
  const std::vector<std::byte> image = lab.file.bytes;
  // Without the seal that close() wrote, which would call this damage.
  const std::uint64_t seal = lab.recover().records_end.value();
  std::fill_n(lab.file.bytes.begin() + static_cast<std::ptrdiff_t>(seal), kBlockSize, std::byte{0});
  // The fourth batch knows that the third was durable; this disk lied, so only look at the chain.
  std::fill_n(lab.file.bytes.begin() + static_cast<std::ptrdiff_t>(payload), 512, std::byte{0});
  const LogRecovery recovery = lab.reopen();
  ASSERT_EQ(recovery.chain.end, begins[2]);
  lab.sequences[1].last_lsn = Lsn(2);
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK(co_await append_durably(l, writer, 1, BlockIndex(2), 1, 1002));
  });
  EXPECT_TRUE(std::equal(image.begin() + static_cast<std::ptrdiff_t>(payload),
                         image.begin() + static_cast<std::ptrdiff_t>(payload + kBlockSize),
                         lab.file.bytes.begin() + static_cast<std::ptrdiff_t>(payload)));
  const LogRecovery again = lab.recover(recovery.checkpoint_of({}));
  EXPECT_EQ(again.records, 3u);
  EXPECT_EQ(again.next_generation, LogGeneration(3));
}

// The new life's batch lost its header and kept its payload, which is what the torn batch of the
// old life lacked: the old batch is whole now and still dead.
TEST(LogReader, ATornBatchThatIsMadeWholeByALaterLifeStaysDead) {
  LogLab lab;
  lab.options.seal_delay = 1h;
  const std::vector<LogPosition> begins = fill_log(lab, 3);
  const std::vector<std::byte> image = lab.file.bytes;
  lab.file.bytes[begins[2].value() + kBlockSize] ^= std::byte{1};
  const LogRecovery recovery = lab.recover();
  lab.file.bytes = image;
  const LogRecovery again = lab.recover(recovery.checkpoint_of({}));
  EXPECT_EQ(again.records, 2u);
  EXPECT_EQ(again.chain.end, begins[2]);
}

// Found in simulation: the torn batch stands at the ring's end, and the next life skips to the lap.
TEST(LogReader, ATornBatchAtTheRingsEndDoesNotHideTheOneAtTheLapStart) {
  LogLab lab;
  lab.options.seal_delay = 1h;
  ChainPoint before;
  lab.write([&](LogLab& l, LogWriter& writer) -> Task<void> {
    for (int i = 0; i < 6; ++i) {
      Result<LogPlace> place = co_await append_durably(l, writer, 1, BlockIndex(1), 40, 1);
      CO_ASSERT_OK(place);
      before = place->after;
      writer.release_up_to(before.end);
    }
    Result<LogPlace> torn = co_await append_durably(l, writer, 1, BlockIndex(1), 2, 1);
    CO_ASSERT_OK(torn);
    l.file.bytes[torn->payload.value()] ^= std::byte{1};
  });
  ASSERT_EQ(kCapacity - before.end.value(), 10 * kBlockSize);
  // The seal of close() would call it damage.
  std::fill_n(
      lab.file.bytes.begin() + static_cast<std::ptrdiff_t>(before.end.value()) + 3 * kBlockSize,
      kBlockSize, std::byte{0});
  LogRecovery recovery = lab.recover({.chain = before});
  ASSERT_EQ(recovery.verdict, LogVerdict::kTornTail);
  lab.start = recovery.start_of(before.end);
  lab.write([](LogLab& l, LogWriter& writer) -> Task<void> {
    CO_ASSERT_OK(co_await append_durably(l, writer, 1, BlockIndex(1), 20, 1));
  });
  // Whether the owner remembers the cut or not.
  EXPECT_EQ(lab.recover(recovery.checkpoint_of(before)).records, 1u);
  EXPECT_EQ(lab.recover({.chain = before}).records, 1u);
  EXPECT_EQ(lab.delivered.at(0).payload, LogPosition(kCapacity + kBlockSize));
}

TEST(LogReader, AnUnreadableSectorIsABreakAndNoError) {
  for (const bool sealed : {true, false}) {
    sim::SimWorld world(3);
    sim::SimNode& node = world.add_node();
    LogLab lab;
    const std::vector<LogPosition> begins = fill_log(lab, 4);
    const std::uint64_t seal = lab.recover().records_end.value();
    node.boot();
    LogRecovery recovery;
    std::size_t delivered = 0;
    const auto write_image = [](Runtime runtime, LogLab* from) -> Task<void> {
      auto file = (co_await runtime.files.open("/data/log", OpenMode::kCreate)).value();
      (co_await prepare_log(*file, ByteCount(kCapacity))).value();
      Buffer copy = from->pool.allocate(ByteCount(kCapacity)).value();
      std::memcpy(copy.data(), from->file.bytes.data(), kCapacity);
      (co_await file->write(0, copy.bytes(), Durability::kDsync)).value();
      (co_await runtime.files.sync_directory("/data")).value();
    };
    const auto read_image = [](Runtime runtime, LogLab* from, LogRecovery* out,
                               std::size_t* count) -> Task<void> {
      auto file = (co_await runtime.files.open("/data/log", OpenMode::kExisting)).value();
      LogReader reader(*file, {.store = from->options.store, .capacity = ByteCount(kCapacity)});
      const LogReader::VolumeOf volumes = [](const ReplicaUuid& r) { return volume_of(r); };
      const LogReader::Deliver deliver = [count](const RecoveredRecord&) -> Result<> {
        ++*count;
        return {};
      };
      *out = (co_await reader.recover({}, volumes, deliver)).value();
    };
    node.spawn(write_image(node.runtime(), &lab));
    ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, 60s));
    node.disk().make_unreadable("/data/log", sealed ? begins[2].value() : seal);
    node.spawn(read_image(node.runtime(), &lab, &recovery, &delivered));
    ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, 60s));
    EXPECT_EQ(delivered, sealed ? 2u : 4u);
    EXPECT_EQ(recovery.verdict, sealed ? LogVerdict::kDamage : LogVerdict::kTornTail);
  }
}

TEST(LogReader, ThePayloadOfAForgottenReplicaIsNotLookedAt) {
  LogLab lab;
  const std::vector<LogPosition> begins = fill_log(lab, 3);
  flip(lab, begins[1].value() + kBlockSize, 3);
  LogRecovery recovery;
  lab.run([](LogLab* l, LogRecovery* out) -> Task<void> {
    LogReader reader(l->file, {.store = l->options.store, .capacity = l->options.capacity});
    const LogReader::VolumeOf none = [](const ReplicaUuid&) -> std::optional<VolumeUuid> {
      return std::nullopt;
    };
    const LogReader::Deliver deliver = [](const RecoveredRecord&) { return Result<>(); };
    *out = (co_await reader.recover({}, none, deliver)).value();
  }(&lab, &recovery));
  EXPECT_EQ(recovery.records, 3u);
}

TEST(LogReader, AScanFindsWhatARecoveryFindsAndSyncsNothing) {
  LogLab lab;
  const std::vector<LogPosition> begins = fill_log(lab, 3);
  flip(lab, begins[2].value() + kBlockSize, 3);
  const LogRecovery recovered = lab.recover();
  const std::uint64_t syncs = lab.file.syncs;
  std::vector<LogPosition> seen;
  LogRecovery scanned;
  lab.run([](LogLab* l, LogRecovery* out, std::vector<LogPosition>* positions) -> Task<void> {
    LogReader reader(l->file, {.store = l->options.store, .capacity = l->options.capacity});
    const LogReader::VolumeOf volumes = [](const ReplicaUuid& r) { return volume_of(r); };
    const LogReader::SeeBatch see = [positions](const Batch& batch) -> Result<> {
      positions->push_back(batch.header.position);
      return {};
    };
    *out = (co_await reader.scan({}, volumes, see)).value();
  }(&lab, &scanned, &seen));
  EXPECT_EQ(seen, std::vector(begins.begin(), begins.begin() + 2));
  EXPECT_EQ(scanned.chain, recovered.chain);
  EXPECT_EQ(scanned.verdict, recovered.verdict);
  EXPECT_EQ(scanned.durable_bound, recovered.durable_bound);
  EXPECT_EQ(scanned.bad_block, begins[2] + kBlockSize);
  EXPECT_EQ(lab.file.syncs, syncs);
}

TEST(LogReader, AnotherStoresLogIsNotOurs) {
  LogLab lab;
  fill_log(lab, 3);
  lab.options.store = test_uuid<StoreUuid>(201);
  EXPECT_EQ(lab.recover().records, 0u);
}

TEST(LogReader, ARefusalOfTheReceiverEndsTheRecovery) {
  LogLab lab;
  fill_log(lab, 3);
  lab.run([](LogLab* l) -> Task<void> {
    LogReader reader(l->file, {.store = l->options.store, .capacity = l->options.capacity});
    const LogReader::VolumeOf volumes = [](const ReplicaUuid& r) { return volume_of(r); };
    const LogReader::Deliver refuse = [](const RecoveredRecord&) -> Result<> {
      return Error::internal("no");
    };
    Result<LogRecovery> recovery = co_await reader.recover({}, volumes, refuse);
    EXPECT_EQ(test::outcome_of(recovery), "INTERNAL");
  }(&lab));
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace ashlar::engine
