// Changes of parts of blocks, and of what was read just before; and what is mapped.
#include <algorithm>
#include <cstring>
#include <utility>

#include <absl/container/inlined_vector.h>

#include "engine/layer_read.h"
#include "engine/replica.h"

namespace ashlar::engine {
namespace {

constexpr std::uint64_t kSector = 512;
// A change whose blocks are written meanwhile is tried so often before it is made alone.
constexpr int kTries = 3;
// Steps of one look at what is mapped: each costs a lookup in every layer.
constexpr int kProvisioningSteps = 256;
// Blocks of which one look asks the index, where it has any.
constexpr std::uint64_t kProvisioningWindow = 16384;

// Closes the way to a place for everybody else while it lives.
class PlacingGate {
 public:
  PlacingGate(bool& open, Event& opened) : open_(open), opened_(opened) {
    open_ = false;
    opened_.reset();
  }
  PlacingGate(const PlacingGate&) = delete;
  PlacingGate& operator=(const PlacingGate&) = delete;
  ~PlacingGate() {
    open_ = true;
    opened_.set();
  }

 private:
  bool& open_;
  Event& opened_;
};

class Overwrite final : public Modifier {
 public:
  explicit Overwrite(ByteSpan bytes) : bytes_(bytes) {}
  bool modify(MutableByteSpan into) override {
    std::memcpy(into.data(), bytes_.data(), bytes_.size());
    return true;
  }

 private:
  const ByteSpan bytes_;
};

}  // namespace

struct Replica::Modification {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  BlockRange blocks;
  Modifier& modifier;
  OldBytes old = OldBytes::kNeeded;

  // The last record of which it has seen what it left.
  Lsn follows;
  Epoch follows_epoch;
  bool is_over = false;
  std::optional<Lsn> lsn;  // none: it was not wanted
  Epoch epoch;

  std::uint64_t begin() const { return blocks.first.value() * kBlockSize; }
  std::uint64_t end() const { return blocks.end().value() * kBlockSize; }
  bool first_is_partial() const { return offset > begin(); }
  bool last_is_partial() const { return offset + length < end(); }
};

std::uint64_t Replica::largest_transfer_blocks() const {
  // Each block's checksum stands in the batch's header, with the record's own header.
  const std::uint64_t batch = shared_.ring.largest_batch() - 2 * kBlockSize;
  return std::min<std::uint64_t>(kLargestRecordPayload / kBlockSize, batch / (kBlockSize + 4));
}

Result<> Replica::check_bytes(std::uint64_t offset, std::uint64_t length) const {
  if (length == 0 || !is_aligned(offset, kSector) || !is_aligned(length, kSector)) {
    return Error::invalid_argument("{} bytes at byte {} are not whole sectors of {} bytes", length,
                                   offset, kSector);
  }
  const std::uint64_t size = size_blocks_ * kBlockSize;
  if (offset > size || length > size - offset) {
    return Error::out_of_range("{} bytes at byte {} are not within the volume's {} bytes", length,
                               offset, size);
  }
  const std::uint64_t blocks =
      (align_up(offset + length, kBlockSize) - align_down(offset, kBlockSize)) / kBlockSize;
  if (blocks > largest_transfer_blocks()) {
    return Error::invalid_argument("{} bytes are too many for one write", length);
  }
  return {};
}

Task<Result<Lsn>> Replica::write_bytes(std::uint64_t offset, ByteSpan bytes) {
  Overwrite overwrite(bytes);
  const Result<std::optional<Lsn>> lsn =
      co_await modify(offset, bytes.size(), overwrite, OldBytes::kReplaced);
  if (!lsn.ok()) co_return lsn.error();
  co_return **lsn;
}

// First beside all others; when others keep coming in between, with the way to a place closed.
Task<Result<std::optional<Lsn>>> Replica::modify(std::uint64_t offset, std::uint64_t length,
                                                 Modifier& modifier, OldBytes old) {
  const MonoTime begin = shared_.clock.now();
  ASHLAR_CO_TRY(check_bytes(offset, length));
  const std::uint64_t first = align_down(offset, kBlockSize) / kBlockSize;
  const std::uint64_t end = align_up(offset + length, kBlockSize) / kBlockSize;
  Modification one{.offset = offset,
                   .length = length,
                   .blocks = {BlockIndex(first), end - first},
                   .modifier = modifier,
                   .old = old};
  const RecordHeader header{
      .type = RecordType::kWrite, .first_block = one.blocks.first, .block_count = one.blocks.count};
  if (!admits_at_once(header)) ASHLAR_CO_TRY(co_await admit(header));
  for (int i = 0; i < kTries && !one.is_over; ++i) ASHLAR_CO_TRY(co_await try_modify(one));
  if (!one.is_over) ASHLAR_CO_TRY(co_await modify_alone(one));
  // Who learns why it was not wanted has read what the last record left.
  const Lsn shown = one.lsn.value_or(one.follows);
  const Epoch epoch = one.lsn ? one.epoch : one.follows_epoch;
  if (one.lsn && rule_ == CommitRule::kDurable) ASHLAR_CO_TRY(co_await durable(shown));
  ASHLAR_CO_TRY(co_await commit_of(shown, epoch));
  if (one.lsn) {
    shared_.metrics.append_seconds.observe(shared_.clock.now() - begin);
    shared_.metrics.append_bytes.observe(ByteCount(length));
  }
  co_return one.lsn;
}

// Whether the blocks are still as record `follows` left them. What came later is in the index, or
// flushed; a revert is in neither.
bool Replica::follows_still(BlockRange blocks, Lsn follows, Epoch epoch) const {
  if (has_revert() || state_.flushed > follows || last_lsn < follows) return false;
  if (epoch_of(follows).value_or(epoch) != epoch) return false;
  if (last_lsn == follows) return true;
  bool is_same = true;
  index_.lookup(blocks, [&](const IndexRun& run) {
    is_same = is_same && (run.is_hole() || run.record->lsn <= follows);
  });
  return is_same;
}

// What the modifier has to see, and what the blocks at both ends hold beside its range.
Task<Result<>> Replica::read_old(const Modification& modification, MutableByteSpan into) {
  BlockRange blocks = modification.blocks;
  const bool only_edges = modification.old == OldBytes::kReplaced;
  if (only_edges) {
    const bool both = modification.first_is_partial() && modification.last_is_partial();
    if (blocks.count > 2 || !both) {
      if (modification.last_is_partial() && blocks.count > 1) {
        const BlockRange edge{blocks.end() - 1, 1};
        ASHLAR_CO_TRY_ASSIGN(const Buffer last, co_await read_range(edge, ReadView::kNewest));
        std::memcpy(into.data() + into.size() - kBlockSize, last.data(), kBlockSize);
      }
      const bool reads_first =
          modification.first_is_partial() || (modification.last_is_partial() && blocks.count == 1);
      if (!reads_first) co_return Result<>();
      blocks.count = 1;
    }
  }
  ASHLAR_CO_TRY_ASSIGN(const Buffer bytes, co_await read_range(blocks, ReadView::kNewest));
  std::memcpy(into.data(), bytes.data(), bytes.size());
  co_return Result<>();
}

// Reads, and when nobody has touched the blocks meanwhile, changes them and takes the place in the
// same step. Over or not, as the modification says.
Task<Result<>> Replica::try_modify(Modification& modification) {
  while (!placing_is_open_) ASHLAR_CO_TRY(co_await placing_opened_.wait());
  while (has_revert()) ASHLAR_CO_TRY(co_await flush_further());
  modification.follows = last_lsn;
  modification.follows_epoch = last_epoch;
  const ByteCount size(modification.blocks.count * kBlockSize);
  ASHLAR_CO_TRY_ASSIGN(Buffer payload, shared_.pool.allocate(size));
  ASHLAR_CO_TRY(co_await read_old(modification, payload.bytes()));
  // An append that waits for its place may be anything.
  const bool is_next = placing_is_open_ && placing_ == 0;
  const bool follows =
      follows_still(modification.blocks, modification.follows, modification.follows_epoch);
  const bool ignores = shared_.has(PlantedBug::kModifyNotAtomic);
  if (!ignores && (!is_next || !follows)) co_return Result<>();
  co_return co_await place_modified(modification, std::move(payload));
}

// Nothing else is placed meanwhile, so what was read is what the record follows.
Task<Result<>> Replica::modify_alone(Modification& modification) {
  const Result<Mutex::Guard> turn = co_await whole_blocks_.lock();
  if (!turn.ok()) co_return turn.error();
  std::optional<PlacingGate> gate;
  do {
    // With the gate open: what makes a revert stable may have to be appended first.
    gate.reset();
    while (has_revert()) ASHLAR_CO_TRY(co_await flush_further());
    gate.emplace(placing_is_open_, placing_opened_);
    while (placing_ > 0) {
      none_placing_.reset();
      ASHLAR_CO_TRY(co_await none_placing_.wait());
    }
  } while (has_revert());
  modification.follows = last_lsn;
  modification.follows_epoch = last_epoch;
  const ByteCount size(modification.blocks.count * kBlockSize);
  ASHLAR_CO_TRY_ASSIGN(Buffer payload, shared_.pool.allocate(size));
  ASHLAR_CO_TRY(co_await read_old(modification, payload.bytes()));
  if (last_lsn != modification.follows || last_epoch != modification.follows_epoch) {
    co_return Error::aborted("what the write of a part of a block followed was dropped");
  }
  co_return co_await place_modified(modification, std::move(payload));
}

Task<Result<>> Replica::place_modified(Modification& modification, Buffer payload) {
  ASHLAR_CO_TRY(check_range(modification.blocks));
  modification.is_over = true;
  const MutableByteSpan range =
      payload.bytes().subspan(modification.offset - modification.begin(), modification.length);
  if (!modification.modifier.modify(range)) co_return Result<>();
  absl::InlinedVector<std::uint32_t, 16> checksums;
  for (std::uint64_t i = 0; i < modification.blocks.count; ++i) {
    const ByteSpan block = ByteSpan(payload.bytes()).subspan(i * kBlockSize, kBlockSize);
    checksums.push_back(checksum_.of(modification.blocks.first + i, block));
  }
  modification.epoch = current_epoch();
  const RecordHeader header{.type = RecordType::kWrite,
                            .epoch = modification.epoch,
                            .first_block = modification.blocks.first,
                            .block_count = modification.blocks.count,
                            .payload_length = static_cast<std::uint32_t>(payload.size())};
  const Result<Lsn> lsn = co_await place(header, checksums, std::move(payload));
  if (!lsn.ok()) co_return lsn.error();
  modification.lsn = *lsn;
  co_return Result<>();
}

// --- what is mapped ------------------------------------------------------------------------------

// How many blocks no layer knows, from the first on; nothing when one may know it.
Task<Result<std::optional<std::uint64_t>>> Replica::absent_blocks(const Chain& chain,
                                                                  BlockRange blocks) {
  BlockIndex known = blocks.end();
  for (const std::shared_ptr<Layer>& layer : chain) {
    ASHLAR_CO_TRY_ASSIGN(const std::optional<MappedChunk> next,
                         co_await layer->next_chunk(chunk_of(blocks.first)));
    if (next) known = std::min(known, first_block_of(next->chunk));
  }
  if (known <= blocks.first) co_return std::optional<std::uint64_t>();
  co_return std::optional<std::uint64_t>(known - blocks.first);
}

// Of blocks that the index does not know.
Task<Result<ProvisionedBlocks>> Replica::provisioned_in(const Chain& chain, BlockRange blocks) {
  ProvisionedBlocks run;
  for (int i = 0; i < kProvisioningSteps && run.count < blocks.count; ++i) {
    const BlockRange rest{blocks.first + run.count, blocks.count - run.count};
    ASHLAR_CO_TRY_ASSIGN(const std::optional<std::uint64_t> absent,
                         co_await absent_blocks(chain, rest));
    if (absent) {
      if (run.count > 0 && run.is_mapped) break;
      run.is_mapped = false;
      run.count += *absent;
      continue;
    }
    const BlockRange window{rest.first, std::min(kReadWindow, rest.count)};
    std::array<ResolvedBlock, kReadWindow> resolved;
    const std::span<ResolvedBlock> some(resolved.data(), window.count);
    ASHLAR_CO_TRY(co_await resolve(chain, window, some));
    for (const ResolvedBlock& block : some) {
      const bool is_mapped =
          block.info.state == BlockState::kPresent || block.info.state == BlockState::kDamaged;
      if (run.count > 0 && is_mapped != run.is_mapped) co_return run;
      run.is_mapped = is_mapped;
      ++run.count;
    }
  }
  co_return run;
}

Task<Result<ProvisionedBlocks>> Replica::provisioning(BlockRange blocks) {
  ASHLAR_CO_TRY(usable());
  ASHLAR_CO_TRY(check_range(blocks));
  while (true) {
    while (has_revert()) ASHLAR_CO_TRY(co_await flush_further());
    // The run that the index knows first; behind it the next call goes on.
    std::optional<ProvisionedBlocks> known;
    BlockRange hole = blocks;
    const bool is_empty = index_.entry_count() == 0;
    if (!is_empty) hole.count = std::min(hole.count, kProvisioningWindow);
    const BlockRange window = hole;
    if (!is_empty)
      index_.lookup(window, [&](const IndexRun& run) {
        if (run.is_hole()) {
          if (run.blocks.first == blocks.first) hole = run.blocks;
          return;
        }
        const ProvisionedBlocks part{run.blocks.count, !run.is_discard()};
        if (run.blocks.first == blocks.first) {
          known = part;
        } else if (known && blocks.first + known->count == run.blocks.first &&
                   known->is_mapped == part.is_mapped) {
          known->count += part.count;
        }
      });
    if (known) co_return *known;
    const ChainRef chain = head_chain_;
    const Result<ProvisionedBlocks> run = co_await provisioned_in(*chain, hole);
    // As for reads: a layer that has left the chain may show again what others have hidden.
    if (head_chain_ == chain) co_return run;
  }
}

}  // namespace ashlar::engine
