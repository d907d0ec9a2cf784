// A layer on real files too: alignment, sparse files and their ends are the kernel's business
// there.
#include <vector>

#include "engine/layer.h"
#include "tests/engine/layer_test_support.h"
#include "tests/support/aligned_bytes.h"
#include "tests/support/runtime_harness.h"

namespace ashlar::engine {
namespace {

using test::AlignedBytes;

constexpr std::uint64_t kTebibyte = std::uint64_t{1} << (40 - 12);  // in blocks

class LayerRuntimeTest : public test::RuntimeTest {};

TEST_P(LayerRuntimeTest, BlocksAndTheirMapAreThereAfterReopening) {
  run(
      [](Runtime runtime, std::string directory, std::uint64_t seed) -> Task<void> {
        BufferPool pool("test", ByteCount(8 << 20));
        MapCache cache(pool, ByteCount(8 * kMapPageSize));
        const LayerOptions options{
            .directory = directory, .id = layer_of(1), .volume = uuid_of<VolumeUuid>(1)};
        const BlockRange range{BlockIndex(kTebibyte - 20), 40};
        const AlignedBytes bytes(range.count * kBytesPerBlock.value(), seed);
        {
          CO_ASSERT_OK_ASSIGN(auto layer, co_await Layer::create(runtime.files, cache, options));
          const ConstIoSlice piece(bytes.span());
          CO_ASSERT_OK(co_await layer->write_blocks(range, {&piece, 1}));
          CO_ASSERT_OK(co_await layer->mark_written(range, sums(40, 1), Lsn(1)));
          // Behind the end, and over it.
          CO_ASSERT_OK(co_await layer->punch({range.end() + 5, kTebibyte}));
          CO_ASSERT_OK(co_await layer->punch({range.end() - 1, 10 * kTebibyte}));
          CO_ASSERT_OK(
              co_await layer->mark_discarded({range.end() - 1, 10 * kTebibyte}, Lsn(2), {}));
          CO_ASSERT_OK(co_await layer->write_map());
          CO_ASSERT_OK(co_await layer->sync());
        }
        CO_ASSERT_OK_ASSIGN(auto layer, co_await Layer::open(runtime.files, cache, options));
        std::vector<BlockInfo> infos(range.count);
        CO_ASSERT_OK(co_await layer->look_up(range, infos));
        for (unsigned i = 0; i < 39; ++i) EXPECT_EQ(infos[i].checksum, sums(40, 1)[i]) << i;
        EXPECT_EQ(infos[39].state, BlockState::kAbsent);
        AlignedBytes back(39 * kBytesPerBlock.value());
        const std::uint64_t offset = range.first.value() * kBytesPerBlock.value();
        CO_ASSERT_OK(co_await layer->data().read(offset, back.span()));
        EXPECT_TRUE(std::ranges::equal(back.span(), bytes.span().first(back.size())));
        CO_ASSERT_OK_ASSIGN(const ByteCount taken, co_await layer->data().allocated());
        EXPECT_LE(taken, ByteCount(1 << 20));
      },
      directory(), seed());
}

INSTANTIATE_ON_BOTH_RUNTIMES(LayerRuntimeTest);

}  // namespace
}  // namespace ashlar::engine
