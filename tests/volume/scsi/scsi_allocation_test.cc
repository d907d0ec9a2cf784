// A command on its way allocates nothing that the volume would not have allocated: the table, the
// checks, the task set and the answer cost no memory. A program of its own, because it counts in
// the global operator new.
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"

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

namespace ashlar::scsi {
namespace {

constexpr std::uint64_t kBytes = 4096;
constexpr int kRounds = 200;

class OneBuffer final : public DataOut {
 public:
  explicit OneBuffer(Buffer buffer) : buffer_(std::move(buffer)) {}
  std::uint64_t expected() const override { return buffer_.size(); }
  Task<Result<Buffer>> fetch(std::uint64_t length) override { co_return buffer_.slice(0, length); }

 private:
  Buffer buffer_;
};

Task<void> execute(BlockLab* lab, Nexus* nexus, Cdb* cdb, OneBuffer* out) {
  const Command command{
      .tag = 1, .cdb = std::as_bytes(std::span(*cdb)), .data_out = out, .data_in_limit = kBytes};
  const Response response = co_await lab->device->execute(*nexus, command);
  EXPECT_EQ(response.status, Status::kGood);
}

TEST(ScsiAllocationTest, AReadCostsWhatTheVolumesReadCosts) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    Nexus* const nexus = &l.nexus();
    (void)co_await l.send(cdb16(0x8a, 0, 8), pattern(kBytes, 1));
    OneBuffer out(l.store.pool->allocate(ByteCount(kBytes)).value());
    for (const std::uint8_t opcode : {std::uint8_t{0x28}, std::uint8_t{0x88}}) {
      Cdb cdb = opcode == 0x28 ? cdb10(opcode, 0, 8) : cdb16(opcode, 0, 8);
      cdb.resize(16);
      co_await execute(&l, nexus, &cdb, &out);  // what is made once
      std::uint64_t before = g_allocations;
      for (int i = 0; i < kRounds; ++i) {
        const Result<Buffer> bytes = co_await l.volume->read({0, kBytes});
        EXPECT_TRUE(bytes.ok());
      }
      const std::uint64_t of_volume = g_allocations - before;
      before = g_allocations;
      for (int i = 0; i < kRounds; ++i) co_await execute(&l, nexus, &cdb, &out);
      EXPECT_EQ(g_allocations - before, of_volume) << int{opcode};
    }
  });
}

TEST(ScsiAllocationTest, AWriteCostsWhatTheVolumesWriteCosts) {
  BlockLab lab;
  // Nothing is flushed meanwhile.
  lab.store.options.flush_threshold = ByteCount(32 << 20);
  lab.store.options.payload_memory = ByteCount(48 << 20);
  lab.store.options.flush_delay = 1h;
  lab.run([](BlockLab& l) -> Task<void> {
    Nexus* const nexus = &l.nexus();
    OneBuffer out(l.store.pool->allocate(ByteCount(kBytes)).value());
    const Buffer payload = l.store.pool->allocate(ByteCount(kBytes)).value();
    Cdb cdb = cdb16(0x8a, 0, 8);
    for (int i = 0; i < kRounds; ++i) co_await execute(&l, nexus, &cdb, &out);
    std::uint64_t before = g_allocations;
    for (int i = 0; i < kRounds; ++i) CO_ASSERT_OK(co_await l.volume->write(0, payload.share()));
    const std::uint64_t of_volume = g_allocations - before;
    before = g_allocations;
    for (int i = 0; i < kRounds; ++i) co_await execute(&l, nexus, &cdb, &out);
    // The simulated disk draws its own times and allocates by them.
    EXPECT_LE(g_allocations - before, of_volume + kRounds / 4);
  });
}

}  // namespace
}  // namespace ashlar::scsi
