#include "common/base/buffer.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "common/base/units.h"

namespace ashlar {
namespace {

constexpr ByteCount kMi{1 << 20};
constexpr ByteCount kBudget = kMi * 64;

bool starts_on_a_page(const Buffer& buffer) {
  return reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096 == 0;
}

ByteCount chunk_of(std::uint64_t size) {
  if (size > BufferPool::kRegionSize.value()) return ByteCount((size + 4095) / 4096 * 4096);
  return ByteCount(std::bit_ceil(std::max<std::uint64_t>(size, 4096)));
}

TEST(BufferTest, IsMoveOnlyAndAMovedFromBufferIsEmpty) {
  static_assert(!std::is_copy_constructible_v<Buffer> && !std::is_copy_assignable_v<Buffer>);
  static_assert(std::is_nothrow_move_constructible_v<Buffer>);
  BufferPool pool("test", kBudget);
  Buffer a = pool.allocate(ByteCount(100)).value();
  const Buffer b = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b.size(), 100u);
  EXPECT_EQ(pool.statistics().buffers, 1u);
}

TEST(BufferTest, AssigningOverABufferGivesItsMemoryBack) {
  BufferPool pool("test", kBudget);
  Buffer buffer = pool.allocate(ByteCount(100)).value();
  buffer = pool.allocate(ByteCount(200)).value();
  EXPECT_EQ(pool.statistics().buffers, 1u);
  buffer = Buffer();
  EXPECT_EQ(pool.statistics().buffers, 0u);
}

TEST(BufferTest, SharersSeeTheSameBytesAndTheLastOneFreesThem) {
  BufferPool pool("test", kBudget);
  Buffer first = pool.allocate(ByteCount(4096)).value();
  EXPECT_FALSE(first.is_shared());
  Buffer second = first.share();
  EXPECT_TRUE(first.is_shared());
  first.bytes()[7] = std::byte{42};
  first.reset();
  EXPECT_EQ(second.bytes()[7], std::byte{42});
  EXPECT_FALSE(second.is_shared());
  EXPECT_EQ(pool.statistics().buffers, 1u);
  second.reset();
  EXPECT_EQ(pool.statistics().buffers, 0u);
}

TEST(BufferTest, ASliceKeepsTheMemoryAlive) {
  BufferPool pool("test", kBudget);
  Buffer slice;
  {
    Buffer whole = pool.allocate(ByteCount(10'000)).value();
    std::memset(whole.data(), 1, whole.size());
    whole.bytes()[48] = std::byte{9};
    slice = whole.slice(48, 4096).slice(0, 10);
  }
  EXPECT_EQ(slice.size(), 10u);
  EXPECT_EQ(slice.bytes()[0], std::byte{9});
  EXPECT_EQ(pool.statistics().in_use, ByteCount(16'384));
}

TEST(BufferDeathTest, ASliceOutsideTheBufferIsFatal) {
  BufferPool pool("test", kBudget);
  const Buffer buffer = pool.allocate(ByteCount(100)).value();
  EXPECT_DEATH(buffer.slice(50, 51), "51 bytes at 50 of 100");
  EXPECT_DEATH(buffer.slice(101, 0), "0 bytes at 101 of 100");
  EXPECT_DEATH(buffer.slice(1, SIZE_MAX), "of 100");
}

TEST(BufferTest, EmptyBuffersHoldNothing) {
  BufferPool pool("test", kBudget);
  const Buffer none = pool.allocate(ByteCount(0)).value();
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(none.share().empty());
  EXPECT_FALSE(none.is_shared());
  EXPECT_EQ(pool.statistics().mapped, ByteCount(0));
}

TEST(BufferPoolTest, EverySizeStartsOnAPageAndCostsItsClass) {
  BufferPool pool("test", kBudget);
  for (const std::uint64_t size : {1u, 4095u, 4096u, 4097u, 8192u, 65'536u, 65'537u, 1u << 20,
                                   (1u << 20) + 1, 2u << 20, (2u << 20) + 1, 5'000'000u}) {
    Buffer buffer = pool.allocate(ByteCount(size)).value();
    ASSERT_EQ(buffer.size(), size);
    ASSERT_TRUE(starts_on_a_page(buffer));
    ASSERT_EQ(pool.statistics().in_use, chunk_of(size)) << size;
    std::memset(buffer.data(), 0xee, buffer.size());
  }
}

TEST(BufferPoolTest, FreedMemoryIsUsedAgain) {
  BufferPool pool("test", kBudget);
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(pool.allocate(kMi).ok());
  EXPECT_EQ(pool.statistics().regions, 1u);
  EXPECT_EQ(pool.statistics().high_water, kMi);
}

TEST(BufferPoolTest, BeyondTheBudgetAllocationIsRefusedByName) {
  BufferPool pool("reactor 0", kMi * 4);
  std::vector<Buffer> held;
  for (int i = 0; i < 4; ++i) held.push_back(pool.allocate(kMi).value());
  const auto more = pool.allocate(ByteCount(4096));
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().to_string(),
            "RESOURCE_EXHAUSTED: 4Ki more would exceed the budget of buffer pool reactor 0: 4Mi in "
            "use by 4 buffers, 4Mi mapped, budget 4Mi");
  EXPECT_FALSE(pool.allocate(kMi * 5).ok());
  EXPECT_FALSE(pool.allocate(ByteCount(UINT64_MAX)).ok());

  held.clear();
  EXPECT_TRUE(pool.allocate(ByteCount(4096)).ok());
}

TEST(BufferPoolTest, AnEmptiedRegionServesAnotherClass) {
  BufferPool pool("test", kMi * 2);
  for (const std::uint64_t size : {4096u, 1u << 20, 2u << 20, 65'536u}) {
    std::vector<Buffer> held;
    for (std::uint64_t used = 0; used < kMi.value() * 2; used += size) {
      held.push_back(pool.allocate(ByteCount(size)).value());
    }
    ASSERT_FALSE(pool.allocate(ByteCount(1)).ok());
  }
  EXPECT_EQ(pool.statistics().regions, 1u);
}

TEST(BufferPoolTest, IdleRegionsGoBackToTheSystemButForAReserve) {
  BufferPool pool("test", kMi * 128);
  std::vector<Buffer> held;
  for (int i = 0; i < 64; ++i) held.push_back(pool.allocate(kMi * 2).value());
  EXPECT_EQ(pool.statistics().mapped, kMi * 128);
  held.clear();
  EXPECT_EQ(pool.statistics().mapped, kMi * 32);
  EXPECT_EQ(pool.statistics().idle_regions, 16u);
  EXPECT_EQ(pool.statistics().high_water, kMi * 128);
}

TEST(BufferPoolTest, ALargeBufferMayTakeTheRoomOfIdleRegions) {
  BufferPool pool("test", kMi * 16);
  {
    std::vector<Buffer> held;
    for (int i = 0; i < 8; ++i) held.push_back(pool.allocate(kMi * 2).value());
  }
  EXPECT_EQ(pool.statistics().idle_regions, 8u);
  const Buffer large = pool.allocate(kMi * 13).value();
  EXPECT_TRUE(starts_on_a_page(large));
  EXPECT_LE(pool.statistics().mapped, kMi * 16);
}

TEST(BufferPoolDeathTest, DestroyingAPoolWithBuffersAliveIsFatal) {
  EXPECT_DEATH(
      {
        Buffer survivor;
        BufferPool pool("reactor 3", kBudget);
        survivor = pool.allocate(ByteCount(5000)).value();
      },
      "buffer pool reactor 3 is destroyed while 1 buffers of it are alive\n"
      "  buffer pool: reactor 3: 8Ki in use by 1 buffers, 2Mi mapped, budget 64Mi");
}

TEST(BufferPoolDeathTest, ABudgetBelowOneRegionIsFatal) {
  EXPECT_DEATH(BufferPool("tiny", ByteCount(4096)), "a budget of 4Ki is not between 2Mi and 64Ti");
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
TEST(BufferPoolDeathTest, TheSanitizerSeesUseAfterFreeAndOverrun) {
  BufferPool pool("test", kBudget);
  Buffer buffer = pool.allocate(ByteCount(5000)).value();
  volatile std::byte* data = buffer.data();
  EXPECT_DEATH(data[5000] = std::byte{1}, "use-after-poison");
  buffer.reset();
  EXPECT_DEATH(data[0] = std::byte{1}, "use-after-poison");
}
#endif
#endif

// The model: handles with the bytes they must show. Chunks are found by the number written into
// them, so overlapping or recycled memory shows as a wrong byte.
class PoolAgainstModel {
 public:
  explicit PoolAgainstModel(std::uint64_t seed) : random_(seed) {}

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      switch (random_.below(8)) {
        case 0:
        case 1:
        case 2:
          allocate();
          break;
        case 3:
          slice();
          break;
        case 4:
          if (random_.chance(1, 100)) drop_all();
          break;
        default:
          drop_one();
      }
      ASSERT_NO_FATAL_FAILURE(check());
    }
    ASSERT_NO_FATAL_FAILURE(drop_all());
    ASSERT_NO_FATAL_FAILURE(check());
  }

  int refusals() const { return refusals_; }

 private:
  struct Chunk {
    std::uint64_t size;
    int handles;
  };
  struct Handle {
    Buffer buffer;
    std::size_t chunk;
  };

  std::uint64_t any_size() {
    const std::uint64_t size = 1 + (random_.next() >> (42 + random_.below(21)));
    return random_.chance(1, 4) ? chunk_of(size).value() : size;
  }

  void allocate() {
    const std::uint64_t size = any_size();
    auto buffer = pool_.allocate(ByteCount(size));
    if (!buffer) {
      ASSERT_EQ(buffer.error().code(), ErrorCode::kResourceExhausted);
      ++refusals_;
      // Not while the pool could serve it from memory that nobody uses.
      const BufferPoolStatistics now = pool_.statistics();
      ASSERT_EQ(now.idle_regions, 0u);
      ASSERT_GT(now.mapped + std::max(chunk_of(size), BufferPool::kRegionSize), pool_.budget());
      return;
    }
    ASSERT_EQ(buffer->size(), size);
    ASSERT_TRUE(starts_on_a_page(*buffer));
    std::memset(buffer->data(), pattern(chunks_.size()), buffer->size());
    handles_.push_back({*std::move(buffer), chunks_.size()});
    chunks_.push_back({size, 1});
    in_use_ += chunk_of(size);
    high_water_ = std::max(high_water_, in_use_);
    ++alive_;
  }

  void slice() {
    if (handles_.empty()) return;
    const Handle& from = handles_[random_.below(handles_.size())];
    const std::size_t offset = random_.below(from.buffer.size() + 1);
    const std::size_t length = random_.below(from.buffer.size() - offset + 1);
    Handle made{random_.chance(1, 2) ? from.buffer.share() : from.buffer.slice(offset, length),
                from.chunk};
    ++chunks_[from.chunk].handles;
    handles_.push_back(std::move(made));
  }

  void drop_one() {
    if (handles_.empty()) return;
    std::swap(handles_[random_.below(handles_.size())], handles_.back());
    const Handle gone = std::move(handles_.back());
    handles_.pop_back();
    const auto want = static_cast<std::byte>(pattern(gone.chunk));
    for (std::size_t i = 0; i < gone.buffer.size(); i += 509) {
      ASSERT_EQ(gone.buffer.bytes()[i], want);
    }
    Chunk& chunk = chunks_[gone.chunk];
    ASSERT_EQ(gone.buffer.is_shared(), chunk.handles > 1);
    if (--chunk.handles == 0) {
      in_use_ -= chunk_of(chunk.size);
      --alive_;
    }
  }

  void drop_all() {
    while (!handles_.empty()) ASSERT_NO_FATAL_FAILURE(drop_one());
  }

  void check() {
    const BufferPoolStatistics now = pool_.statistics();
    ASSERT_EQ(now.buffers, alive_);
    ASSERT_EQ(now.in_use, in_use_);
    ASSERT_EQ(now.high_water, high_water_);
    ASSERT_LE(now.in_use, now.mapped);
    ASSERT_LE(now.mapped, pool_.budget());
    ASSERT_LE(now.idle_regions, 16u);
  }

  static unsigned char pattern(std::size_t chunk) {
    return static_cast<unsigned char>(chunk * 151 + 1);
  }

  Random random_;
  BufferPool pool_{"model", kMi * 48};
  std::vector<Chunk> chunks_;
  std::vector<Handle> handles_;
  ByteCount in_use_;
  ByteCount high_water_;
  std::uint64_t alive_ = 0;
  int refusals_ = 0;
};

TEST(BufferPoolTest, AnySequenceOfStepsAgreesWithTheModel) {
  int refusals = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    PoolAgainstModel model(seed);
    ASSERT_NO_FATAL_FAILURE(model.run(5'000));
    refusals += model.refusals();
  }
  EXPECT_GT(refusals, 0) << "the budget was never reached: the model tests less than it says";
}

}  // namespace
}  // namespace ashlar
