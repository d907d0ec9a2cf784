// A session in its steady state allocates nothing: neither for 4 KiB writes nor for reads, with 32
// under way. A program of its own, because it counts in the global operator new.
#include <array>
#include <cstdlib>
#include <new>

#include "tests/volume/iscsi/target_lab.h"

namespace {
std::uint64_t g_allocations = 0;

void* allocate(std::size_t size, std::size_t alignment) {
  ++g_allocations;
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(std::size_t size) {
  return allocate(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}

namespace ashlar::iscsi {
namespace {

constexpr std::uint32_t kDepth = 32;
constexpr std::size_t kPayload = 4096;

// 32 commands in memory, sent again and again with new numbers.
struct Burst {
  std::vector<std::byte> bytes;
  std::size_t each = 0;
  std::size_t answer = 0;  // bytes that come back

  void renumber(TestInitiator& host) {
    for (std::uint32_t i = 0; i < kDepth; ++i) {
      const MutableByteSpan header = MutableByteSpan(bytes).subspan(i * each, kHeaderSize);
      store_be32(header, 16, host.next_tag++);
      store_be32(header, 24, host.cmd_sn++);
    }
  }
};

Task<Result<>> exchange(TestInitiator& host, Burst& burst, MutableByteSpan room, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    burst.renumber(host);
    ASHLAR_CO_TRY(co_await host.socket->send(ByteSpan(burst.bytes)));
    for (std::size_t received = 0; received < burst.answer;) {
      const MutableByteSpan rest = room.first(burst.answer - received);
      ASHLAR_CO_TRY_ASSIGN(const std::size_t count, co_await host.socket->receive(rest));
      if (count == 0) co_return Error::unavailable("closed");
      received += count;
    }
  }
  co_return {};
}

class SessionAllocationTest : public TargetTest {};

TEST_P(SessionAllocationTest, SteadyReadsAndWritesAllocateAndCopyNothing) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  GTEST_SKIP() << "coroutine frames come from the heap under a sanitizer";
#endif
#endif
  serve([](TargetLab& lab) -> Task<void> {
    lab.device->seen.reserve(1 << 20);
    CO_ASSERT_OK_ASSIGN(TestInitiator host, co_await lab.log_in());
    std::vector<std::byte> room(kDepth * (kHeaderSize + kPayload));
    Burst writes;
    Burst reads;
    for (std::uint32_t i = 0; i < kDepth; ++i) {
      const auto add = [](Burst& burst, const std::vector<std::byte>& pdu) {
        burst.each = pdu.size();
        burst.bytes.insert(burst.bytes.end(), pdu.begin(), pdu.end());
      };
      add(writes, host.encode(host.write_command(i * 8, 8), pattern(kPayload, i)));
      add(reads, host.encode(host.read_command(i * 8, 8)));
    }
    host.cmd_sn = 1;
    writes.answer = kDepth * kHeaderSize;
    reads.answer = room.size();
    for (Burst* burst : {&writes, &reads}) {
      CO_ASSERT_OK(co_await exchange(host, *burst, room, 50));
      const std::uint64_t before = g_allocations;
      CO_ASSERT_OK(co_await exchange(host, *burst, room, 500));
      EXPECT_EQ(g_allocations - before, 0u) << (burst == &writes ? "writes" : "reads");
    }
    EXPECT_EQ(lab.device->executed, 2 * 550 * kDepth);
    EXPECT_EQ(lab.device->fetched_in_place, 550 * kDepth);
    // One send for many answers; payload moved only while the guesses were learnt.
    EXPECT_LT(lab.metric("ashlar_iscsi_moved_bytes_total"), 200.0 * kPayload);
  });
}

TEST(AllocationCounterTest, TheCounterCounts) {
  const std::uint64_t before = g_allocations;
  const std::unique_ptr<int> one(new int(1));
  EXPECT_EQ(g_allocations, before + 1);
}

INSTANTIATE_TEST_SUITE_P(Uring, SessionAllocationTest, testing::Values(test::Backend::kUring));

}  // namespace
}  // namespace ashlar::iscsi
