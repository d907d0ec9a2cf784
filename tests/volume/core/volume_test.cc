#include "volume/core/volume.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/runtime/task_scope.h"
#include "tests/engine/store_lab.h"

namespace ashlar::volume {
namespace {

using engine::kBlockSize;
using engine::StoreLab;
using test::outcome_of;

constexpr std::uint64_t kSector = Volume::kSector;
constexpr std::uint64_t kTestBlocks = 256;

// A volume on the lab's store, made or found again.
Task<std::unique_ptr<Volume>> volume_of(StoreLab& lab, VolumeSettings settings = {.name = "v"},
                                        std::uint64_t blocks = kTestBlocks) {
  engine::Replica* replica = lab.find(1);
  if (replica == nullptr) {
    const Result<engine::Replica*> made = co_await lab.make(1, blocks);
    replica = made.value();
  }
  co_return std::make_unique<Volume>(*replica, *lab.pool, lab.runtime->clock, std::move(settings));
}

Buffer bytes_of(StoreLab& lab, std::uint64_t length, std::uint64_t seed) {
  Buffer buffer = lab.pool->allocate(ByteCount(length)).value();
  Random(seed).fill(buffer.bytes());
  return buffer;
}

std::vector<std::byte> copy(const Buffer& buffer) {
  return {buffer.bytes().begin(), buffer.bytes().end()};
}

class Increment final : public Modifier {
 public:
  bool modify(MutableByteSpan bytes) override {
    store_le64(bytes, 0, load_le64(bytes) + 1);
    return true;
  }
};

class Expect final : public Modifier {
 public:
  explicit Expect(std::uint64_t value) : value_(value) {}
  bool modify(MutableByteSpan bytes) override {
    seen = load_le64(bytes);
    if (seen != value_) return false;
    store_le64(bytes, 0, value_ + 100);
    return true;
  }
  std::uint64_t seen = 0;

 private:
  const std::uint64_t value_;
};

TEST(VolumeTest, AWholeBlockTravelsToTheLogAndBackWithoutACopy) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l);
    Buffer payload = bytes_of(l, 3 * kBlockSize, 7);
    const std::byte* const where = payload.data();
    CO_ASSERT_OK(co_await volume->write(kBlockSize, std::move(payload)));
    CO_ASSERT_OK_ASSIGN(const Buffer all, co_await volume->read({kBlockSize, 3 * kBlockSize}));
    EXPECT_EQ(all.data(), where);
    CO_ASSERT_OK_ASSIGN(const Buffer sector,
                        co_await volume->read({kBlockSize + 3 * kSector, 2 * kSector}));
    EXPECT_EQ(sector.data(), where + 3 * kSector);
    EXPECT_EQ(sector.size(), 2 * kSector);
  });
}

// Random operations one after the other against bytes in memory, with flushes in between.
Task<void> compare_with_bytes(StoreLab& lab, Volume& volume, std::uint64_t seed) {
  Random random(seed);
  const std::uint64_t sectors = kTestBlocks * kBlockSize / kSector;
  std::vector<std::byte> model(kTestBlocks * kBlockSize);
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t first = random.below(sectors);
    const std::uint64_t most = random.chance(1, 4) ? 700 : 20;
    const std::uint64_t count = random.between(1, std::min(most, sectors - first));
    const ByteRange range{first * kSector, count * kSector};
    const auto at = model.begin() + static_cast<std::ptrdiff_t>(range.offset);
    const auto end = at + static_cast<std::ptrdiff_t>(range.length);
    const std::uint64_t kind = random.below(10);
    if (kind < 5) {
      Buffer payload = bytes_of(lab, range.length, random.next());
      std::copy(payload.bytes().begin(), payload.bytes().end(), at);
      CO_ASSERT_OK(co_await volume.write(range.offset, std::move(payload)));
    } else if (kind < 7) {
      std::fill(at, end, std::byte{0});
      if (kind == 5) CO_ASSERT_OK(co_await volume.discard(range));
      if (kind == 6) CO_ASSERT_OK(co_await volume.write_zeroes(range));
    } else if (kind == 7 && random.chance(1, 3)) {
      CO_ASSERT_OK(co_await lab.store->checkpoint());
    } else {
      CO_ASSERT_OK_ASSIGN(const Buffer bytes, co_await volume.read(range));
      EXPECT_TRUE(std::equal(at, end, bytes.bytes().begin(), bytes.bytes().end()))
          << "seed " << seed << ", step " << i << ", byte " << range.offset;
    }
  }
}

TEST(VolumeTest, AnySectorsAreWhatWasWrittenLast) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    StoreLab lab(seed);
    lab.run([seed](StoreLab& l) -> Task<void> {
      const std::unique_ptr<Volume> volume = co_await volume_of(l);
      co_await compare_with_bytes(l, *volume, seed);
    });
  }
}

TEST(VolumeTest, TheLargestTransferMayBeginAnywhere) {
  StoreLab lab;
  lab.options.log_capacity = ByteCount(64 << 20);
  lab.run([](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l, {.name = "v"}, 4096);
    for (const std::uint64_t offset : {0UL, 512UL, 4096UL + 3584UL}) {
      Buffer payload = bytes_of(l, Volume::kLargestTransfer, offset + 1);
      const std::vector<std::byte> expected = copy(payload);
      CO_ASSERT_OK(co_await volume->write(offset, std::move(payload)));
      CO_ASSERT_OK_ASSIGN(const Buffer bytes,
                          co_await volume->read({offset, Volume::kLargestTransfer}));
      EXPECT_TRUE(copy(bytes) == expected) << offset;
    }
    EXPECT_EQ(outcome_of(co_await volume->read({0, Volume::kLargestTransfer + kSector})),
              "INVALID_ARGUMENT");
  });
}

TEST(VolumeTest, AWriteThatIsTooLargeForTheLogIsSeveralRecords) {
  StoreLab lab;
  lab.options.log_capacity = ByteCount(1 << 20);
  lab.run([](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l);
    for (const std::uint64_t offset : {0UL, 512UL}) {
      Buffer payload = bytes_of(l, kTestBlocks * kBlockSize - 4096, offset + 1);
      const std::vector<std::byte> expected = copy(payload);
      CO_ASSERT_OK(co_await volume->write(offset, std::move(payload)));
      CO_ASSERT_OK_ASSIGN(const Buffer bytes, co_await volume->read({offset, expected.size()}));
      EXPECT_TRUE(copy(bytes) == expected) << offset;
    }
  });
}

Task<void> increment(Volume* volume, std::uint64_t offset, int times) {
  for (int i = 0; i < times; ++i) {
    Increment one;
    CO_ASSERT_OK_ASSIGN(const bool done, co_await volume->modify({offset, kSector}, one));
    EXPECT_TRUE(done);
  }
}

Task<void> write_around(StoreLab* lab, Volume* volume, int times) {
  for (int i = 0; i < times; ++i) {
    CO_ASSERT_OK(co_await volume->write(2 * kSector, bytes_of(*lab, 3 * kSector, 5)));
    CO_ASSERT_OK(co_await volume->discard({6 * kSector, 12 * kSector}));
  }
}

TEST(VolumeTest, ManyWhoChangeOneSectorAtOnceLoseNothing) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    StoreLab lab(seed);
    lab.run([](StoreLab& l) -> Task<void> {
      const std::unique_ptr<Volume> volume = co_await volume_of(l);
      // Two sectors of one block, and neighbours that are written and discarded meanwhile.
      TaskScope clients(co_await this_task());
      for (int i = 0; i < 12; ++i) {
        clients.spawn(increment(volume.get(), i % 2 == 0 ? 0 : kSector, 20));
      }
      clients.spawn(write_around(&l, volume.get(), 20));
      (void)co_await clients.join();
      CO_ASSERT_OK_ASSIGN(const Buffer bytes, co_await volume->read({0, 8 * kSector}));
      EXPECT_EQ(load_le64(bytes.bytes()), 120u);
      EXPECT_EQ(load_le64(bytes.bytes(), kSector), 120u);
      EXPECT_EQ(load_le64(bytes.bytes(), 6 * kSector), 0u);
    });
  }
}

TEST(VolumeTest, AModifierThatDeclinesChangesNothing) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l);
    const Lsn before = volume->replica().last();
    Expect five(5);
    CO_ASSERT_OK_ASSIGN(const bool done, co_await volume->modify({0, kSector}, five));
    EXPECT_FALSE(done);
    EXPECT_EQ(five.seen, 0u);
    EXPECT_EQ(volume->replica().last(), before);
    Expect zero(0);
    CO_ASSERT_OK_ASSIGN(const bool swapped, co_await volume->modify({0, kSector}, zero));
    EXPECT_TRUE(swapped);
    Expect hundred(100);
    CO_ASSERT_OK_ASSIGN(const bool again, co_await volume->modify({0, kSector}, hundred));
    EXPECT_TRUE(again);
  });
}

TEST(VolumeTest, WhatIsMappedFollowsWritesAndDiscardsBeforeAndAfterAFlush) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l, {.name = "v"}, 1 << 30);
    const std::uint64_t far = std::uint64_t{40} << 30;
    CO_ASSERT_OK(co_await volume->write(8 * kBlockSize, bytes_of(l, 8 * kBlockSize, 1)));
    CO_ASSERT_OK(co_await volume->write(far, bytes_of(l, kBlockSize, 1)));
    CO_ASSERT_OK(co_await volume->discard({10 * kBlockSize, 2 * kBlockSize}));
    for (int round = 0; round < 2; ++round) {
      struct Run {
        std::uint64_t offset;
        std::uint64_t end;
        bool is_mapped;
      };
      const Run runs[] = {{0, 8 * kBlockSize, false},
                          {8 * kBlockSize + kSector, 10 * kBlockSize, true},
                          {10 * kBlockSize, 12 * kBlockSize, false},
                          {12 * kBlockSize, 16 * kBlockSize, true},
                          {far, far + kBlockSize, true}};
      for (const Run& run : runs) {
        CO_ASSERT_OK_ASSIGN(const ProvisionedRun found,
                            co_await volume->provisioning(run.offset, std::uint64_t{1} << 42));
        EXPECT_EQ(found.is_mapped, run.is_mapped) << run.offset << " in round " << round;
        EXPECT_EQ(run.offset + found.length, run.end) << run.offset << " in round " << round;
      }
      // A hole is passed in few steps, however long it is.
      std::uint64_t at = 16 * kBlockSize;
      int calls = 0;
      while (at < far && calls < 1000) {
        CO_ASSERT_OK_ASSIGN(const ProvisionedRun found, co_await volume->provisioning(at, far));
        EXPECT_FALSE(found.is_mapped);
        at += found.length;
        ++calls;
      }
      EXPECT_EQ(at, far);
      if (round == 1) {
        EXPECT_EQ(calls, 1);
      }
      CO_ASSERT_OK(co_await l.store->checkpoint());
    }
    CO_ASSERT_OK_ASSIGN(const ProvisionedRun some, co_await volume->provisioning(0, kBlockSize));
    EXPECT_EQ(some.length, kBlockSize);
  });
}

TEST(VolumeTest, OfABufferedVolumeAPowerFailureTakesOnlyWhatWasNotFlushedOrForced) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  const VolumeSettings buffered{.name = "v", .ack_policy = AckPolicy::kBuffered};
  lab.crash(sim::CrashKind::kPowerFail, [buffered](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l, buffered);
    CO_ASSERT_OK(co_await volume->write(0, bytes_of(l, kBlockSize, 1)));
    CO_ASSERT_OK(co_await volume->flush());
    CO_ASSERT_OK(co_await volume->write(kBlockSize, bytes_of(l, kBlockSize, 2), Force::kYes));
    CO_ASSERT_OK(co_await volume->write(2 * kBlockSize, bytes_of(l, kSector, 3), Force::kYes));
    EXPECT_EQ(volume->replica().durable_lsn(), Lsn(3));
    CO_ASSERT_OK(co_await volume->write(3 * kBlockSize, bytes_of(l, kBlockSize, 4)));
    EXPECT_EQ(volume->replica().durable_lsn(), Lsn(3));
  });
  lab.run([buffered](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l, buffered);
    for (std::uint64_t i = 0; i < 3; ++i) {
      const std::uint64_t length = i < 2 ? kBlockSize : kSector;
      CO_ASSERT_OK_ASSIGN(const Buffer bytes, co_await volume->read({i * kBlockSize, length}));
      EXPECT_TRUE(copy(bytes) == copy(bytes_of(l, length, i + 1))) << i;
    }
  });
}

struct Observer final : VolumeObserver {
  void on_resized() override { ++resized; }
  void on_settings_changed() override { ++changed; }
  int resized = 0;
  int changed = 0;
};

TEST(VolumeTest, ObserversHearOfANewSizeAndNewSettings) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l);
    Observer stays;
    volume->add_observer(stays);
    {
      Observer leaves;
      volume->add_observer(leaves);
    }
    CO_ASSERT_OK(co_await volume->resize(ByteCount(2 * kTestBlocks * kBlockSize)));
    EXPECT_EQ(stays.resized, 1);
    EXPECT_EQ(volume->size(), ByteCount(2 * kTestBlocks * kBlockSize));
    EXPECT_EQ(outcome_of(co_await volume->resize(ByteCount(kBlockSize + 1))), "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await volume->resize(ByteCount(kBlockSize))), "INVALID_ARGUMENT");
    CO_ASSERT_OK(co_await volume->change_settings({.name = "w", .read_only = true}));
    EXPECT_EQ(stays.changed, 1);
    EXPECT_EQ(volume->settings().name, "w");
    EXPECT_EQ(outcome_of(co_await volume->write(0, bytes_of(l, kSector, 1))), "PERMISSION_DENIED");
    EXPECT_EQ(outcome_of(co_await volume->discard({0, kBlockSize})), "PERMISSION_DENIED");
    CO_ASSERT_OK_ASSIGN(const VolumeSettings kept, decode_settings(volume->replica().attachment()));
    EXPECT_EQ(kept, volume->settings());
  });
}

TEST(VolumeTest, ABufferedVolumeThatBecomesDurableIsDurableWhenTheChangeResolves) {
  StoreLab lab;
  lab.options.flush_delay = 3600s;
  lab.run([](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume =
        co_await volume_of(l, {.name = "v", .ack_policy = AckPolicy::kBuffered});
    CO_ASSERT_OK(co_await volume->write(0, bytes_of(l, kBlockSize, 1)));
    EXPECT_EQ(volume->replica().durable_lsn(), Lsn(0));
    CO_ASSERT_OK(co_await volume->change_settings({.name = "v"}));
    EXPECT_EQ(volume->replica().durable_lsn(), Lsn(1));
  });
}

TEST(VolumeTest, ReservationsAreDurableUnderEitherPolicy) {
  for (const AckPolicy policy : {AckPolicy::kDurable, AckPolicy::kBuffered}) {
    StoreLab lab;
    lab.options.flush_delay = 3600s;
    lab.crash(sim::CrashKind::kPowerFail, [policy](StoreLab& l) -> Task<void> {
      const std::unique_ptr<Volume> volume =
          co_await volume_of(l, {.name = "v", .ack_policy = policy});
      CO_ASSERT_OK(co_await volume->set_reservations(ashlar::bytes_of("held by none")));
    });
    lab.run([](StoreLab& l) -> Task<void> {
      const std::unique_ptr<Volume> volume = co_await volume_of(l);
      EXPECT_EQ(text_of(volume->reservations()), "held by none");
    });
  }
}

TEST(VolumeTest, WhatIsNoSectorOrNotInTheVolumeIsRefused) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l);
    const std::uint64_t size = volume->size().value();
    EXPECT_EQ(outcome_of(co_await volume->read({1, kSector})), "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await volume->read({0, 0})), "INVALID_ARGUMENT");
    EXPECT_EQ(outcome_of(co_await volume->read({size, kSector})), "OUT_OF_RANGE");
    EXPECT_EQ(outcome_of(co_await volume->discard({0, size + kSector})), "OUT_OF_RANGE");
    EXPECT_EQ(outcome_of(co_await volume->discard({~std::uint64_t{0} - 511, 1024})),
              "OUT_OF_RANGE");
    EXPECT_EQ(outcome_of(co_await volume->provisioning(size, kSector)), "OUT_OF_RANGE");
    Increment one;
    EXPECT_EQ(outcome_of(co_await volume->modify({size - kSector, 2 * kSector}, one)),
              "OUT_OF_RANGE");
  });
}

TEST(VolumeTest, AReplicaThatSteppedOutIsNotServed) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    const std::unique_ptr<Volume> volume = co_await volume_of(l);
    EXPECT_TRUE(volume->may_serve().ok());
    volume->replica().fail(engine::FaultCause::kMismatch, Error::data_loss("a test"));
    EXPECT_EQ(outcome_of(volume->may_serve()), "DATA_LOSS");
    EXPECT_EQ(outcome_of(co_await volume->read({0, kSector})), "DATA_LOSS");
    EXPECT_EQ(outcome_of(co_await volume->flush()), "DATA_LOSS");
  });
}

}  // namespace
}  // namespace ashlar::volume
