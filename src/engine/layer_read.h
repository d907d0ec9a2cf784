// Reading blocks through a chain of layers, newest first: for each block the first layer that knows
// it, zeros where none does; checksums compared.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/runtime/task.h"
#include "engine/layer.h"

namespace ashlar::engine {

using LayerChain = std::vector<std::shared_ptr<Layer>>;

// So many blocks are resolved at a time.
inline constexpr std::uint64_t kReadWindow = 64;

// Where one block is.
struct ResolvedBlock {
  BlockInfo info;           // kAbsent: no layer knows it
  std::uint32_t layer = 0;  // place in the chain
};

// For each block of `range`, at most kReadWindow of them.
Task<Result<>> resolve(const LayerChain& chain, BlockRange range, std::span<ResolvedBlock> out);

// Reads what was resolved into `into`, zeros included. Blocks that are damaged or do not match are
// reported in `bad` (their places in the range); their bytes in `into` mean nothing. An unreadable
// sector counts as a block that does not match; other device errors end it.
Task<Result<>> read_resolved(const LayerChain& chain, BlockRange range,
                             std::span<const ResolvedBlock> blocks, MutableByteSpan into,
                             std::vector<std::uint32_t>& bad);

}  // namespace ashlar::engine
