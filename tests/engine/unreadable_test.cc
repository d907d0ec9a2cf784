// What cannot be opened is left as it is, named, and hinders nobody else (L10, L11).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using test::outcome_of;
using testing::ElementsAre;

enum class Damage { kMagic, kVersion, kTornSlots, kUnreadable };

struct Case {
  const char* name;
  Damage damage;
  std::string_view code;
};

std::string path_of(std::string_view name) {
  return std::string(kStoreDirectory) + "/" + std::string(name);
}
std::string replica_file(unsigned n) {
  return path_of("replicas/" + lab_uuid<ReplicaUuid>(n).to_string());
}

// Does something to the first block of each slot, and makes its CRC right where that is the point.
Task<Result<>> spoil(StoreLab& l, std::string path, std::uint64_t slot_size, Damage damage) {
  BufferPool pool("spoil", ByteCount(8 << 20));
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<File> file,
                       co_await l.runtime->files.open(path, OpenMode::kExisting));
  ASHLAR_CO_TRY_ASSIGN(Buffer slot, pool.allocate(ByteCount(slot_size)));
  for (const std::uint64_t at : {std::uint64_t{0}, slot_size}) {
    if (damage == Damage::kUnreadable) {
      l.node.disk().make_unreadable(path, at);
      continue;
    }
    ASHLAR_CO_TRY(co_await file->read(at, slot.bytes()));
    const MutableByteSpan bytes = slot.bytes();
    if (damage == Damage::kMagic) bytes[0] ^= std::byte{1};
    if (damage == Damage::kTornSlots) bytes[40] ^= std::byte{1};
    if (damage == Damage::kVersion) {
      store_le16(bytes, 8, 77);
      const std::size_t used = kSlotHeaderSize + load_le32(bytes, 24);
      const std::uint32_t front = crc32c(bytes.first(12));
      store_le32(bytes, 12, crc32c(bytes.subspan(16, align_up(used, kBlockSize) - 16), front));
    }
    ASHLAR_CO_TRY(co_await file->write(at, bytes, Durability::kDsync));
  }
  co_return Result<>();
}

class UnreadableTest : public testing::TestWithParam<Case> {
 protected:
  // Two volumes, one of them with a record that is not flushed.
  void make_two() {
    lab.options.flush_delay = 3600s;
    lab.crash(sim::CrashKind::kKill, [](StoreLab& l) -> Task<void> {
      for (unsigned n : {1u, 2u}) {
        Replica* replica = (co_await l.make(n, 1024)).value();
        CO_ASSERT_OK(co_await l.write(*replica, 0, 2, 10 * n));
      }
      CO_ASSERT_OK(co_await l.store->checkpoint());
      CO_ASSERT_OK(co_await l.write(*l.find(1), 1, 1, 77));
      co_await l.sleep(1s);
    });
  }
  struct Lab : StoreLab {
    std::map<std::string, std::uint32_t> before;
    Damage damage = Damage::kMagic;
    std::string_view code;
  };
  Lab lab;
};

TEST_P(UnreadableTest, AReplicaIsListedLeftAsItIsAndTheOthersServe) {
  make_two();
  lab.damage = GetParam().damage;
  lab.code = GetParam().code;
  lab.outside([](StoreLab& base) -> Task<void> {
    auto& l = static_cast<Lab&>(base);
    CO_ASSERT_OK(co_await spoil(l, replica_file(1), kReplicaFormat.slot_size, l.damage));
    l.before = (co_await l.files()).value();
  });
  lab.run([](StoreLab& base) -> Task<void> {
    auto& l = static_cast<Lab&>(base);
    EXPECT_TRUE(l.find(1) == nullptr);
    CO_ASSERT_TRUE(l.store->unreadable().size() == 1);
    EXPECT_EQ(l.store->unreadable()[0].name, lab_uuid<ReplicaUuid>(1).to_string());
    EXPECT_EQ(to_string(l.store->unreadable()[0].error.code()), l.code);
    EXPECT_THAT((co_await l.read(*l.find(2), 0, 2)).value(), ElementsAre(20, 21));
    CO_ASSERT_OK(co_await l.write(*l.find(2), 5, 1, 5));
    // Its place is taken: neither made again nor deleted.
    EXPECT_EQ(outcome_of(co_await l.make(1, 1024)), "ALREADY_EXISTS");
    EXPECT_EQ(outcome_of(co_await l.store->delete_replica(lab_uuid<ReplicaUuid>(1))), "NOT_FOUND");
  });
  lab.outside([](StoreLab& base) -> Task<void> {
    auto& l = static_cast<Lab&>(base);
    const auto after = (co_await l.files()).value();
    for (const auto& [path, sum] : l.before) {
      if (path.find(lab_uuid<ReplicaUuid>(1).to_string()) == std::string::npos) continue;
      CO_ASSERT_TRUE(after.contains(path));
      EXPECT_EQ(after.at(path), sum) << path;
    }
  });
}

TEST_P(UnreadableTest, ASuperblockRefusesTheStoreAndEveryByteStays) {
  make_two();
  lab.damage = GetParam().damage;
  lab.outside([](StoreLab& base) -> Task<void> {
    auto& l = static_cast<Lab&>(base);
    CO_ASSERT_OK(co_await spoil(l, path_of("superblock"), kSuperblockFormat.slot_size, l.damage));
    l.before = (co_await l.files()).value();
  });
  EXPECT_FALSE(lab.live([](StoreLab&) -> Task<void> { co_return; }));
  ASSERT_TRUE(lab.error);
  EXPECT_EQ(to_string(lab.error->code()), GetParam().code);
  lab.outside([](StoreLab& base) -> Task<void> {
    auto& l = static_cast<Lab&>(base);
    EXPECT_EQ((co_await l.files()).value(), l.before);
  });
}

INSTANTIATE_TEST_SUITE_P(Each, UnreadableTest,
                         testing::Values(Case{"Magic", Damage::kMagic, "INVALID_ARGUMENT"},
                                         Case{"Version", Damage::kVersion, "UNIMPLEMENTED"},
                                         Case{"TornSlots", Damage::kTornSlots, "DATA_LOSS"},
                                         Case{"Unreadable", Damage::kUnreadable, "DATA_LOSS"}),
                         [](const auto& test) { return test.param.name; });

TEST_F(UnreadableTest, AReplicaThatCanBeReadAgainHasItsRecordsThatWereNotFlushed) {
  make_two();
  lab.outside([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await l.runtime->files.rename(
        path_of("layers/" + Layer::map_name({lab_uuid<ReplicaUuid>(1), 0})), "/aside"));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    CO_ASSERT_TRUE(l.store->unreadable().size() == 1);
    EXPECT_EQ(l.store->unreadable()[0].error.code(), ErrorCode::kNotFound);
    CO_ASSERT_OK(co_await l.write(*l.find(2), 5, 1, 5));
  });
  lab.outside([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await l.runtime->files.rename(
        "/aside", path_of("layers/" + Layer::map_name({lab_uuid<ReplicaUuid>(1), 0}))));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_THAT(l.store->unreadable(), testing::IsEmpty());
    EXPECT_THAT((co_await l.read(*l.find(1), 0, 2)).value(), ElementsAre(10, 77));
  });
}

TEST_F(UnreadableTest, OthersGoRoundTheLogAndItsRecordsAreKept) {
  make_two();
  lab.outside([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await l.runtime->files.rename(
        path_of("layers/" + Layer::map_name({lab_uuid<ReplicaUuid>(1), 0})), "/aside"));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    CO_ASSERT_TRUE(l.store->unreadable().size() == 1);
    for (std::uint64_t i = 0; i < 900; ++i) {
      CO_ASSERT_OK(co_await l.write(*l.find(2), i % 64, 4, 1000 + 8 * i));
    }
    EXPECT_GT(l.store->shared().log->head().value(), std::uint64_t{3} * (4 << 20));
  });
  lab.outside([](StoreLab& l) -> Task<void> {
    CO_ASSERT_OK(co_await l.runtime->files.rename(
        "/aside", path_of("layers/" + Layer::map_name({lab_uuid<ReplicaUuid>(1), 0}))));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    EXPECT_THAT(l.store->unreadable(), testing::IsEmpty());
    EXPECT_THAT((co_await l.read(*l.find(1), 0, 2)).value(), ElementsAre(10, 77));
  });
}

TEST_F(UnreadableTest, OneTornSlotOfTheSuperblockIsNoHindrance) {
  make_two();
  for (const std::uint64_t slot : {0u, 1u}) {
    lab.node.disk().rot(path_of("superblock"), slot * kSuperblockFormat.slot_size + 40);
    lab.run([](StoreLab& l) -> Task<void> {
      EXPECT_THAT((co_await l.read(*l.find(1), 0, 2)).value(), ElementsAre(10, 77));
    });
  }
}

TEST_F(UnreadableTest, ALogOfAnotherSizeThanTheSuperblockSaysRefusesTheStore) {
  make_two();
  lab.outside([](StoreLab& l) -> Task<void> {
    const auto log = (co_await l.runtime->files.open(path_of("log"), OpenMode::kExisting)).value();
    CO_ASSERT_OK(co_await log->resize(ByteCount(2 << 20)));
  });
  EXPECT_FALSE(lab.live([](StoreLab&) -> Task<void> { co_return; }));
  ASSERT_TRUE(lab.error);
  EXPECT_EQ(lab.error->code(), ErrorCode::kDataLoss);
}

}  // namespace
}  // namespace ashlar::engine
