#include "engine/layer_read.h"

#include <array>
#include <cstring>

#include "engine/block_checksum.h"
#include "engine/limits.h"

namespace ashlar::engine {
namespace {

void take(std::span<const BlockInfo> infos, std::uint32_t layer, std::span<ResolvedBlock> out,
          bool& complete) {
  complete = true;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i].info.state != BlockState::kAbsent) continue;
    out[i] = {infos[i], layer};
    complete = complete && infos[i].state != BlockState::kAbsent;
  }
}

bool is_unreadable(const Result<>& read) {
  return !read.ok() && read.error().code() == ErrorCode::kDataLoss;
}

// Present blocks of one layer that follow each other.
std::size_t run_length(std::span<const ResolvedBlock> blocks, std::size_t begin) {
  std::size_t end = begin;
  while (end < blocks.size() && blocks[end].info.state == BlockState::kPresent &&
         blocks[end].layer == blocks[begin].layer) {
    ++end;
  }
  return end - begin;
}

}  // namespace

Task<Result<>> resolve(const LayerChain& chain, BlockRange range, std::span<ResolvedBlock> out) {
  ASHLAR_CHECK(range.count <= kReadWindow && out.size() == range.count);
  for (ResolvedBlock& block : out) block = {};
  std::array<BlockInfo, kReadWindow> infos;
  const std::span<BlockInfo> some(infos.data(), range.count);
  for (std::uint32_t i = 0; i < chain.size(); ++i) {
    if (!chain[i]->try_look_up(range, some)) {
      ASHLAR_CO_TRY(co_await chain[i]->look_up(range, some));
    }
    bool complete = false;
    take(some, i, out, complete);
    if (complete) break;
  }
  co_return Result<>();
}

Task<Result<>> read_resolved(const LayerChain& chain, BlockRange range,
                             std::span<const ResolvedBlock> blocks, MutableByteSpan into,
                             std::vector<std::uint32_t>& bad) {
  std::size_t at = 0;
  while (at < blocks.size()) {
    const BlockState state = blocks[at].info.state;
    if (state != BlockState::kPresent) {
      if (state == BlockState::kDamaged) bad.push_back(static_cast<std::uint32_t>(at));
      std::memset(into.data() + at * kBlockSize, 0, kBlockSize);
      ++at;
      continue;
    }
    const std::size_t count = run_length(blocks, at);
    Layer& layer = *chain[blocks[at].layer];
    const std::uint64_t offset = (range.first + at).value() * kBlockSize;
    const MutableByteSpan bytes = into.subspan(at * kBlockSize, count * kBlockSize);
    const Result<> read = co_await layer.data().read(offset, bytes);
    if (!read.ok() && !is_unreadable(read)) co_return read.error();
    const BlockChecksum checksum(layer.volume());
    for (std::size_t i = at; i < at + count; ++i) {
      const MutableByteSpan block = into.subspan(i * kBlockSize, kBlockSize);
      if (is_unreadable(read)) {
        // One bad sector must not condemn its neighbours.
        const Result<> alone =
            co_await layer.data().read((range.first + i).value() * kBlockSize, block);
        if (!alone.ok() && !is_unreadable(alone)) co_return alone.error();
        if (!alone.ok()) std::memset(block.data(), 0, kBlockSize);
      }
      if (checksum.of(range.first + i, block) != blocks[i].info.checksum) {
        bad.push_back(static_cast<std::uint32_t>(i));
      }
    }
    at += count;
  }
  co_return Result<>();
}

}  // namespace ashlar::engine
