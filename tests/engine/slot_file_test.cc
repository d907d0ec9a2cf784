#include "engine/slot_file.h"

#include <functional>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "common/base/crc32c.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "tests/engine/memory_file.h"

namespace ashlar::engine {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kSlot = 12288;
constexpr std::size_t kSector = 512;
constexpr SlotFormat kFormat{
    .magic = 0x31545345544b4c53, .version = 3, .slot_size = kSlot, .what = "the test's state"};

Bytes body_of(std::uint64_t seed, std::size_t size) {
  Bytes body(size);
  Random(seed).fill(body);
  return body;
}
Bytes copy(ByteSpan bytes) {
  return {bytes.begin(), bytes.end()};
}

// A file of two slots whose bytes the test holds between the lives of its SlotFile.
class SlotFileTest : public testing::Test {
 protected:
  using Slots = std::unique_ptr<SlotFile>;

  std::unique_ptr<test::MemoryFile> file_with(Bytes bytes) {
    auto file = std::make_unique<test::MemoryFile>(0);
    file->bytes = std::move(bytes);
    return file;
  }
  Result<Slots> format(ByteSpan body) {
    Result<Slots> slots = Error::aborted("did not run");
    run([](Result<Slots>* out, std::unique_ptr<File> file, ByteSpan b) -> Task<void> {
      *out = co_await SlotFile::format(std::move(file), kFormat, b);
    }(&slots, file_with({}), body));
    return slots;
  }
  Result<Slots> open(std::unique_ptr<File> file, SlotFormat format = kFormat) {
    Result<Slots> slots = Error::aborted("did not run");
    run([](Result<Slots>* out, std::unique_ptr<File> f, SlotFormat kind) -> Task<void> {
      *out = co_await SlotFile::open(std::move(f), kind);
    }(&slots, std::move(file), format));
    return slots;
  }
  Result<Slots> open(Bytes bytes) { return open(file_with(std::move(bytes))); }
  Result<> store(SlotFile& slots, Bytes body) {
    Result<> stored;
    run([](Result<>* out, SlotFile* file, Bytes b) -> Task<void> {
      *out = co_await file->store(std::move(b));
    }(&stored, &slots, std::move(body)));
    return stored;
  }
  // The bytes after format(bodies[0]) and a store() of each other.
  Bytes file_after(std::vector<Bytes> bodies) {
    Slots slots = format(bodies[0]).value();
    for (std::size_t i = 1; i < bodies.size(); ++i) store(*slots, bodies[i]).value();
    return memory(*slots).bytes;
  }
  static test::MemoryFile& memory(SlotFile& slots) {
    return static_cast<test::MemoryFile&>(slots.file());
  }

  void run(Task<void> task) {
    if (!node.is_running()) node.boot();
    node.spawn(std::move(task));
    ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, 3600s));
  }

  sim::SimWorld world{1};
  sim::SimNode& node = world.add_node();
};

// Makes the CRC of a changed slot right again.
void seal(Bytes& file, std::size_t slot) {
  const MutableByteSpan bytes = MutableByteSpan(file).subspan(slot * kSlot, kSlot);
  const std::size_t used = kSlotHeaderSize + std::min<std::size_t>(load_le32(bytes, 24), 1000);
  const std::uint32_t front = crc32c(bytes.first(12));
  store_le32(bytes, 12, crc32c(bytes.first(used).subspan(16), front));
}

TEST_F(SlotFileTest, WhatIsFormattedIsThereWhenItIsOpened) {
  const Bytes body = body_of(1, 1000);
  const Slots slots = open(file_after({body})).value();
  EXPECT_EQ(copy(slots->body()), body);
  EXPECT_EQ(slots->generation(), 1u);
  EXPECT_FALSE(slots->is_degraded());
}

TEST_F(SlotFileTest, FormatWritesBothSlotsAndSyncs) {
  const Slots slots = format(body_of(1, 1000)).value();
  EXPECT_EQ(memory(*slots).bytes.size(), 2 * kSlot);
  EXPECT_EQ(memory(*slots).writes[0].length, 2 * kSlot);
  EXPECT_EQ(memory(*slots).syncs, 1u);
}

TEST_F(SlotFileTest, AnInspectionSaysWhatEachSlotIsAndSyncsNothing) {
  Bytes bytes = file_after({body_of(1, 100), body_of(2, 100), body_of(3, 100)});
  bytes[40] ^= std::byte{1};  // the newest
  const auto file = file_with(std::move(bytes));
  Result<SlotInspection> found = Error::aborted("did not run");
  run([](Result<SlotInspection>* out, File* f) -> Task<void> {
    *out = co_await SlotFile::inspect(*f, kFormat);
  }(&found, file.get()));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->slots[0].kind, SlotKind::kBroken);
  EXPECT_EQ(found->slots[0].why, "does not match its CRC");
  EXPECT_EQ(found->slots[1].kind, SlotKind::kWhole);
  EXPECT_EQ(found->slots[1].body, body_of(2, 100));
  EXPECT_EQ(found->newest.value(), 1u);
  EXPECT_EQ(file->syncs, 0u);
}

// Fixed for ever: a change of these bytes is a new format (L111).
TEST_F(SlotFileTest, TheHeaderStaysAsItIs) {
  const Bytes file = file_after({{}, {std::byte{0xaa}, std::byte{0xbb}}});
  std::string text;
  for (const std::byte b : ByteSpan(file).subspan(kSlot, 36)) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  EXPECT_EQ(text,
            "534c4b5445535431"
            "03000000"
            "726a3b41"
            "0200000000000000"
            "0200000000000000"
            "aabb0000");
}

TEST_F(SlotFileTest, EachStoreIsThereWhenItIsOpenedAgain) {
  Bytes file = file_after({body_of(0, 10)});
  for (std::uint64_t i = 1; i < 6; ++i) {
    const Slots slots = open(file).value();
    const Bytes body = body_of(i, i % 2 == 0 ? kFormat.largest_body() : 7 * i);
    EXPECT_TRUE(store(*slots, body).ok());
    EXPECT_EQ(copy(slots->body()), body);
    file = memory(*slots).bytes;
    const Slots again = open(file).value();
    EXPECT_EQ(copy(again->body()), body);
    EXPECT_EQ(again->generation(), i + 1);
    EXPECT_FALSE(again->is_degraded());
  }
}

TEST_F(SlotFileTest, StoreWritesOnlyTheBlocksItUsesDurably) {
  const Slots slots = format(body_of(1, 9000)).value();
  EXPECT_TRUE(store(*slots, body_of(2, 5000)).ok());
  ASSERT_EQ(memory(*slots).writes.size(), 2u);
  const test::MemoryFile::Write& write = memory(*slots).writes[1];
  EXPECT_EQ(write.offset, kSlot);
  EXPECT_EQ(write.length, 8192u);
  EXPECT_EQ(write.durability, Durability::kDsync);
}

TEST_F(SlotFileTest, ABodyThatIsTooLargeIsRefusedAndChangesNothing) {
  const Bytes body = body_of(1, 100);
  const Slots slots = format(body).value();
  const Bytes large(kFormat.largest_body() + 1);
  EXPECT_EQ(store(*slots, large).error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(memory(*slots).writes.size(), 1u);
  EXPECT_EQ(copy(slots->body()), body);
  EXPECT_TRUE(store(*slots, body).ok());
  EXPECT_EQ(format(large).error().code(), ErrorCode::kResourceExhausted);
}

TEST_F(SlotFileTest, AFailedStoreIsSticky) {
  const Bytes body = body_of(1, 100);
  const Slots slots = format(body).value();
  memory(*slots).fail_write_in = 1;
  EXPECT_FALSE(store(*slots, body_of(2, 100)).ok());
  const std::size_t writes = memory(*slots).writes.size();
  EXPECT_FALSE(store(*slots, body_of(3, 100)).ok());
  EXPECT_EQ(memory(*slots).writes.size(), writes);
  EXPECT_EQ(copy(slots->body()), body);
}

TEST_F(SlotFileTest, OpenSyncsWhatItReadBeforeItAnswers) {
  const Bytes file = file_after({body_of(1, 100)});
  EXPECT_EQ(memory(*open(file).value()).syncs, 1u);
  std::unique_ptr<test::MemoryFile> failing = file_with(file);
  failing->fail_sync_in = 1;
  EXPECT_FALSE(open(std::move(failing)).ok());
}

TEST_F(SlotFileTest, TheNewBodyIsNotShownBeforeItIsStored) {
  const Bytes old = body_of(1, 100);
  const Slots slots = format(old).value();
  memory(*slots).hold = true;
  node.boot();
  node.spawn([](SlotFile* file) -> Task<void> {
    (void)co_await file->store(body_of(2, 100));
  }(slots.get()));
  ASSERT_TRUE(world.run_until([&] { return memory(*slots).held() == 1; }, 1s));
  EXPECT_EQ(copy(slots->body()), old);
  memory(*slots).release_one();
  ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, 1s));
  EXPECT_EQ(copy(slots->body()), body_of(2, 100));
}

using SlotFileDeathTest = SlotFileTest;

TEST_F(SlotFileDeathTest, ASecondStoreAtTheSameTimeIsFatal) {
  const Slots slots = format(body_of(1, 100)).value();
  memory(*slots).hold = true;
  node.boot();
  node.spawn([](SlotFile* file) -> Task<void> { (void)co_await file->store({}); }(slots.get()));
  ASSERT_TRUE(world.run_until([&] { return memory(*slots).held() == 1; }, 1s));
  EXPECT_DEATH((void)store(*slots, {}), "a second store");
  memory(*slots).release_one();
  ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, 1s));
}

// --- torn and damaged ----------------------------------------------------------------------------

// Of `length` bytes at `offset` only the sectors that `is_written` says come from `after`.
Bytes torn(const Bytes& before, const Bytes& after, std::size_t offset, std::size_t length,
           const std::function<bool(std::size_t)>& is_written) {
  Bytes mixed = before;
  for (std::size_t at = 0; at < length; at += kSector) {
    if (!is_written(at / kSector)) continue;
    std::memcpy(mixed.data() + offset + at, after.data() + offset + at, kSector);
  }
  return mixed;
}

// Tears the last store() at every sector boundary, from the front and from the back.
class TornStore : public SlotFileTest, public testing::WithParamInterface<std::size_t> {};

TEST_P(TornStore, IsTheOldOrTheNewBodyAtEverySectorBoundary) {
  const std::vector<Bytes> bodies = {body_of(1, 5000), body_of(2, 9000), body_of(3, 7000),
                                     body_of(4, 11000), body_of(5, 300)};
  const std::size_t stores = GetParam();
  const Bytes& old = bodies[stores - 1];
  const Bytes& fresh = bodies[stores];
  const Bytes before = file_after({bodies.begin(), bodies.begin() + static_cast<long>(stores)});
  const Bytes after = file_after({bodies.begin(), bodies.begin() + static_cast<long>(stores) + 1});
  const std::size_t offset = stores % 2 * kSlot;
  const std::size_t sectors = align_up(kSlotHeaderSize + fresh.size(), 4096) / kSector;
  const auto expect_atomic = [&](const Bytes& file, std::size_t written) {
    Result<Slots> slots = open(file);
    ASSERT_TRUE(slots.ok()) << slots.error().to_string();
    const Bytes found = copy((*slots)->body());
    EXPECT_TRUE(found == old || found == fresh);
    // What was not written at all or wholly is no matter of luck.
    EXPECT_TRUE(written != 0 || (found == old && !(*slots)->is_degraded()));
    EXPECT_TRUE(written != sectors || (found == fresh && !(*slots)->is_degraded()));
    const Bytes next = body_of(9, 2000);
    ASSERT_TRUE(store(**slots, next).ok());
    EXPECT_FALSE((*slots)->is_degraded());
    const Slots again = open(memory(**slots).bytes).value();
    EXPECT_EQ(copy(again->body()), next);
    EXPECT_FALSE(again->is_degraded());
  };
  for (std::size_t cut = 0; cut <= sectors; ++cut) {
    const auto length = sectors * kSector;
    SCOPED_TRACE(fmt::format("sector {} of {}", cut, sectors));
    expect_atomic(torn(before, after, offset, length, [&](std::size_t s) { return s < cut; }), cut);
    expect_atomic(torn(before, after, offset, length, [&](std::size_t s) { return s >= cut; }),
                  sectors - cut);
  }
}

INSTANTIATE_TEST_SUITE_P(SlotFile, TornStore, testing::Values(1, 2, 3, 4));

// The first attempt lacks its last sector. The second one has the same there, and of it only this
// sector arrives: the first must not come back.
TEST_F(SlotFileTest, AnAttemptThatWasFoundTornIsNotCompletedByALaterOne) {
  const Bytes old = body_of(1, 4000);
  const Bytes first = body_of(2, 8000);
  Bytes second = first;
  second[0] ^= std::byte{1};
  const Bytes before = file_after({old});
  const std::size_t last = (kSlotHeaderSize + first.size()) / kSector;
  const Bytes found =
      torn(before, file_after({old, first}), kSlot, 8192, [&](std::size_t s) { return s != last; });
  const Slots slots = open(found).value();
  ASSERT_TRUE(slots->is_degraded());
  ASSERT_TRUE(store(*slots, second).ok());
  // The writes of this store, one after the other: each is torn so that only that sector is there,
  // after those before it were durable.
  const std::vector<test::MemoryFile::Write> writes = memory(*slots).writes;
  ASSERT_GE(writes.size(), 1u);
  const bool erased = writes.size() == 2 && writes[0].length == 4096 &&
                      writes[0].durability == Durability::kDsync && writes[0].offset == kSlot;
  Bytes middle = found;
  if (erased) std::fill_n(middle.begin() + kSlot, 4096, std::byte{0});
  const Bytes crashed =
      torn(middle, memory(*slots).bytes, kSlot, 8192, [&](std::size_t s) { return s == last; });
  EXPECT_EQ(copy(open(crashed).value()->body()), old);
}

TEST_F(SlotFileTest, AFlippedBitInTheNewestSlotGivesTheOneBefore) {
  const Bytes old = body_of(1, 60), fresh = body_of(2, 50);
  Bytes file = file_after({old, fresh});
  for (std::size_t bit = 0; bit < (kSlotHeaderSize + fresh.size()) * 8; ++bit) {
    file[kSlot + bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    const Slots slots = open(file).value();
    ASSERT_EQ(copy(slots->body()), old) << "bit " << bit;
    ASSERT_TRUE(slots->is_degraded()) << "bit " << bit;
    file[kSlot + bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
  }
}

TEST_F(SlotFileTest, AFlippedBitInTheOlderSlotIsNoticed) {
  const Bytes old = body_of(1, 60), fresh = body_of(2, 50);
  Bytes file = file_after({old, fresh});
  for (std::size_t bit = 0; bit < (kSlotHeaderSize + old.size()) * 8; ++bit) {
    file[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    const Slots slots = open(file).value();
    ASSERT_EQ(copy(slots->body()), fresh) << "bit " << bit;
    ASSERT_TRUE(slots->is_degraded()) << "bit " << bit;
    file[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
  }
}

TEST_F(SlotFileTest, BothSlotsDamagedIsDataLossAndTheFileStaysAsItIs) {
  Bytes file = file_after({body_of(1, 60), body_of(2, 50)});
  file[40] ^= std::byte{1};
  file[kSlot + 40] ^= std::byte{1};
  std::unique_ptr<test::MemoryFile> damaged = file_with(file);
  const Result<Slots> slots = open(std::move(damaged));
  EXPECT_EQ(slots.error().code(), ErrorCode::kDataLoss);
  EXPECT_NE(slots.error().message().find("the test's state"), std::string::npos);
}

TEST_F(SlotFileTest, HeadersThatContradictThemselvesAreNotWhole) {
  const Bytes good = file_after({body_of(1, 60)});
  const auto refused = [&](auto change) {
    Bytes file = good;
    change(file);
    seal(file, 0);
    const Result<Slots> slots = open(file);
    return !slots.ok() && slots.error().code() == ErrorCode::kDataLoss;
  };
  EXPECT_FALSE(refused([](Bytes&) {}));
  EXPECT_TRUE(refused([](Bytes& file) { store_le16(file, 8, 0); }));
  EXPECT_TRUE(refused([](Bytes& file) { store_le16(file, 8, 2); }));
  EXPECT_TRUE(refused([](Bytes& file) { store_le16(file, 10, 1); }));
  EXPECT_TRUE(refused([](Bytes& file) { store_le64(file, 16, 0); }));
  EXPECT_TRUE(refused([](Bytes& file) { store_le64(file, 16, std::uint64_t{1} << 63); }));
  EXPECT_TRUE(refused([](Bytes& file) { store_le32(file, 24, 0xffffffff); }));
  EXPECT_TRUE(refused([](Bytes& file) { store_le32(file, 24, kSlot - kSlotHeaderSize + 1); }));
  EXPECT_TRUE(refused([](Bytes& file) { store_le32(file, 28, 1); }));
}

TEST_F(SlotFileTest, TwoBodiesOfOneGenerationAreRefused) {
  Bytes file = file_after({body_of(1, 60), body_of(2, 50)});
  store_le64(file, kSlot + 16, 1);
  seal(file, 1);
  EXPECT_EQ(open(file).error().code(), ErrorCode::kDataLoss);
}

// --- foreign files and other versions ------------------------------------------------------------

TEST_F(SlotFileTest, AFileOfAnotherKindIsRefusedByName) {
  const Result<Slots> slots = open(body_of(7, 2 * kSlot));
  EXPECT_EQ(slots.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(slots.error().message().find("the test's state"), std::string::npos);
  SlotFormat other = kFormat;
  other.magic += 1;
  const Bytes file = file_after({body_of(1, 60)});
  EXPECT_EQ(open(file_with(file), other).error().code(), ErrorCode::kInvalidArgument);
  // Also when its slots have another size.
  other.slot_size = 4 * kSlot;
  EXPECT_EQ(open(file_with(file), other).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(SlotFileTest, AFileThatWasNeverFormattedIsDataLoss) {
  EXPECT_EQ(open(Bytes(2 * kSlot)).error().code(), ErrorCode::kDataLoss);
  EXPECT_EQ(open(Bytes()).error().code(), ErrorCode::kDataLoss);
}

TEST_F(SlotFileTest, ALaterVersionIsRefusedWhenItIsTheNewest) {
  Bytes file = file_after({body_of(1, 60), body_of(2, 50)});
  store_le16(file, kSlot + 8, 4);
  seal(file, 1);
  EXPECT_EQ(open(file).error().code(), ErrorCode::kUnimplemented);
}

TEST_F(SlotFileTest, ALaterVersionIsRefusedWhenNothingElseIsWhole) {
  Bytes file = file_after({body_of(1, 60)});
  store_le16(file, 8, 4);
  EXPECT_EQ(open(file).error().code(), ErrorCode::kUnimplemented);
}

TEST_F(SlotFileTest, AnOlderSlotOfALaterVersionIsNoHindrance) {
  const Bytes fresh = body_of(2, 50);
  Bytes file = file_after({body_of(1, 60), fresh});
  store_le16(file, 8, 4);
  seal(file, 0);
  EXPECT_EQ(copy(open(file).value()->body()), fresh);
}

// --- a disk that cannot read ---------------------------------------------------------------------

class UnreadableSlot : public SlotFileTest {
 protected:
  static constexpr const char* kPath = "/data/state";

  // On the simulated disk: format and store.
  void prepare(Bytes old, Bytes fresh) {
    Result<> done = Error::aborted("did not run");
    run([](sim::SimNode* node, Result<>* out, Bytes a, Bytes b) -> Task<void> {
      *out = co_await write_both(node->runtime(), std::move(a), std::move(b));
    }(&node, &done, std::move(old), std::move(fresh)));
    ASSERT_TRUE(done.ok());
  }
  Result<Slots> reopen() {
    Result<Slots> slots = Error::aborted("did not run");
    run([](sim::SimNode* node, Result<Slots>* out) -> Task<void> {
      Result<std::unique_ptr<File>> file =
          co_await node->runtime().files.open(kPath, OpenMode::kExisting);
      *out = co_await SlotFile::open(std::move(*file), kFormat);
    }(&node, &slots));
    return slots;
  }

 private:
  static Task<Result<>> write_both(Runtime runtime, Bytes old, Bytes fresh) {
    ASHLAR_CO_TRY_ASSIGN(std::unique_ptr<File> file,
                         co_await runtime.files.open(kPath, OpenMode::kCreateNew));
    ASHLAR_CO_TRY_ASSIGN(Slots slots, co_await SlotFile::format(std::move(file), kFormat, old));
    co_return co_await slots->store(std::move(fresh));
  }
};

TEST_F(UnreadableSlot, LeavesTheOtherOne) {
  prepare(body_of(1, 60), body_of(2, 50));
  node.disk().make_unreadable(kPath, kSlot);
  const Slots slots = reopen().value();
  EXPECT_EQ(copy(slots->body()), body_of(1, 60));
  EXPECT_TRUE(slots->is_degraded());
}

TEST_F(UnreadableSlot, IsMendedByTheNextStore) {
  prepare(body_of(1, 60), body_of(2, 50));
  node.disk().make_unreadable(kPath, 0);
  {
    const Slots slots = reopen().value();
    EXPECT_EQ(copy(slots->body()), body_of(2, 50));
    EXPECT_TRUE(store(*slots, body_of(3, 10)).ok());
  }
  const Slots slots = reopen().value();
  EXPECT_EQ(copy(slots->body()), body_of(3, 10));
  EXPECT_FALSE(slots->is_degraded());
}

TEST_F(UnreadableSlot, IsStillWholeWhenOnlyItsUnusedPartIsLost) {
  prepare(body_of(1, 5000), body_of(2, 5000));
  node.disk().make_unreadable(kPath, kSlot + 8192);
  const Slots slots = reopen().value();
  EXPECT_EQ(copy(slots->body()), body_of(2, 5000));
  EXPECT_FALSE(slots->is_degraded());
}

TEST_F(UnreadableSlot, AndAnUnreadableSecondIsDataLoss) {
  prepare(body_of(1, 60), body_of(2, 50));
  node.disk().make_unreadable(kPath, 0);
  node.disk().make_unreadable(kPath, kSlot);
  EXPECT_EQ(reopen().error().code(), ErrorCode::kDataLoss);
}

TEST_F(UnreadableSlot, IsNotAssumedWhenTheDiskIsGone) {
  prepare(body_of(1, 60), body_of(2, 50));
  node.disk().fail_next_read(ENODEV);
  const Result<Slots> slots = reopen();
  EXPECT_FALSE(slots.ok());
  EXPECT_NE(slots.error().code(), ErrorCode::kDataLoss);
}

}  // namespace
}  // namespace ashlar::engine
