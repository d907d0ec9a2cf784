// The reading half of Replica.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/log/log.h"
#include "engine/layer_read.h"
#include "engine/replica.h"

namespace ashlar::engine {
namespace {

// A checksum that does not match may mean that the flusher wrote the block between our look at the
// map and our read. It is looked up again so often before the flusher is held.
constexpr int kTries = 3;
// Between two passes when the disk is full.
constexpr Duration kSpaceRetry = 100ms;

}  // namespace

// Where a part of a read comes from.
struct Replica::ReadPiece {
  enum class From : std::uint8_t { kMemory, kLog, kZeros, kLayers };

  From from = From::kLayers;
  BlockRange blocks;
  Buffer payload;                        // kMemory
  LogPosition position;                  // kLog
  LogPin pin;                            // kLog
  std::vector<std::uint32_t> checksums;  // kLog
};

Result<> Replica::verify(BlockIndex first, ByteSpan bytes,
                         std::span<const std::uint32_t> checksums) const {
  for (std::size_t i = 0; i < checksums.size(); ++i) {
    if (checksum_.of(first + i, bytes.subspan(i * kBlockSize, kBlockSize)) != checksums[i]) {
      return Error::data_loss("block {} of volume {} does not match its checksum", first + i,
                              volume());
    }
  }
  return {};
}

// What the index knows of the range at this moment; the rest is the layers'. Memory is compared
// with its checksums here, once for every reader.
Result<std::vector<Replica::ReadPiece>> Replica::pieces_of(BlockRange blocks, Lsn& newest) {
  std::vector<ReadPiece> pieces;
  Result<> verified;
  index_.lookup(blocks, [&](const IndexRun& run) {
    ReadPiece piece{.blocks = run.blocks};
    if (!run.is_hole()) newest = std::max(newest, run.record->lsn);
    if (run.is_discard()) {
      piece.from = ReadPiece::From::kZeros;
    } else if (run.in_memory()) {
      piece.from = ReadPiece::From::kMemory;
      piece.payload = run.payload();
      if (verified.ok())
        verified = verify(run.blocks.first, piece.payload.bytes(), run.checksums());
    } else if (!run.is_hole()) {
      piece.from = ReadPiece::From::kLog;
      piece.position = run.position();
      piece.pin = shared_.log->pin(piece.position);
      const std::span<const std::uint32_t> checksums = run.checksums();
      piece.checksums.assign(checksums.begin(), checksums.end());
    }
    pieces.push_back(std::move(piece));
  });
  if (!verified.ok()) {
    fail(FaultCause::kMismatch, verified.error().with_context("a record in memory"));
    return verified.error();
  }
  return pieces;
}

Task<Result<Buffer>> Replica::read(BlockRange blocks) {
  const MonoTime begin = shared_.clock.now();
  ASHLAR_CO_TRY(usable());
  ASHLAR_CO_TRY(check_range(blocks));
  if (blocks.count > kLargestRecordPayload / kBlockSize) {
    co_return Error::invalid_argument("{} blocks are too many for one read", blocks.count);
  }
  while (true) {
    Result<Buffer> bytes = co_await read_range(blocks, ReadView::kCommitted);
    if (!bytes.ok()) {
      // The tail that it saw was dropped: what is there now is what it has to show.
      if (bytes.error().code() == ErrorCode::kAborted) continue;
      co_return bytes.error();
    }
    shared_.metrics.reads.add();
    shared_.metrics.read_bytes.add(blocks.count * kBlockSize);
    shared_.metrics.read_seconds.observe(shared_.clock.now() - begin);
    co_return std::move(*bytes);
  }
}

Task<Result<Buffer>> Replica::read_range(BlockRange blocks, ReadView view) {
  while (true) {
    // The index knows nothing of what a revert takes back: behind one, only the layers do.
    while (has_revert()) ASHLAR_CO_TRY(co_await flush_further());
    Lsn newest;
    const ChainRef chain = head_chain_;
    ASHLAR_CO_TRY_ASSIGN(std::vector<ReadPiece> pieces, pieces_of(blocks, newest));
    const bool is_committed = view == ReadView::kNewest || newest <= committed_.value() ||
                              shared_.has(PlantedBug::kReadUncommitted);
    const Epoch epoch = epoch_of(newest).value_or(Epoch());
    Buffer into;
    if (pieces.size() == 1 && pieces.front().from == ReadPiece::From::kMemory) {
      shared_.metrics.reads_from_memory.add();
      into = std::move(pieces.front().payload);
    } else {
      Result<Buffer> read = co_await read_pieces(blocks, pieces, chain);
      // A layer that a merge has taken out of the chain shows again what others have hidden since.
      if (head_chain_ != chain) continue;
      if (!read.ok()) co_return read.error();
      into = std::move(*read);
    }
    // What was read holds records up to `newest`, so nobody may see it before they are committed,
    // they and not what took their place.
    if (!is_committed) ASHLAR_CO_TRY(co_await commit_of(newest, epoch));
    co_return std::move(into);
  }
}

Task<Result<Buffer>> Replica::read_pieces(BlockRange blocks, const std::vector<ReadPiece>& pieces,
                                          ChainRef chain) {
  ASHLAR_CO_TRY_ASSIGN(Buffer into, shared_.pool.allocate(ByteCount(blocks.count * kBlockSize)));
  for (const ReadPiece& piece : pieces) {
    const MutableByteSpan part = into.bytes().subspan(
        (piece.blocks.first - blocks.first) * kBlockSize, piece.blocks.count * kBlockSize);
    switch (piece.from) {
      case ReadPiece::From::kMemory:
        std::memcpy(part.data(), piece.payload.data(), part.size());
        break;
      case ReadPiece::From::kZeros:
        std::memset(part.data(), 0, part.size());
        break;
      case ReadPiece::From::kLog:
        ASHLAR_CO_TRY(co_await read_from_log(piece, part));
        break;
      case ReadPiece::From::kLayers:
        ASHLAR_CO_TRY(co_await read_layers(chain, piece.blocks, part));
        break;
    }
  }
  co_return std::move(into);
}

Task<Result<>> Replica::read_from_log(const ReadPiece& piece, MutableByteSpan into) {
  shared_.metrics.reads_from_log.add();
  const Result<> read = co_await shared_.log_file.read(shared_.ring.physical(piece.position), into);
  Result<> good = read.ok() ? verify(piece.blocks.first, into, piece.checksums) : read;
  // The log holds the record for us: whatever is wrong is wrong for good (L57).
  if (!good.ok()) fail(FaultCause::kMismatch, good.error().with_context("a record of the log"));
  co_return good;
}

Task<Result<>> Replica::read_layers(ChainRef chain, BlockRange blocks, MutableByteSpan into) {
  for (std::uint64_t at = 0; at < blocks.count; at += kReadWindow) {
    const BlockRange window{blocks.first + at, std::min(kReadWindow, blocks.count - at)};
    const MutableByteSpan bytes = into.subspan(at * kBlockSize, window.count * kBlockSize);
    bool done = false;
    for (int i = 0; i < kTries && !done; ++i) {
      ASHLAR_CO_TRY_ASSIGN(done, co_await try_read_layers(*chain, window, bytes));
    }
    if (!done) ASHLAR_CO_TRY(co_await read_held(*chain, window, bytes));
  }
  co_return Result<>();
}

Task<Result<bool>> Replica::try_read_layers(const Chain& chain, BlockRange blocks,
                                            MutableByteSpan into) {
  std::array<ResolvedBlock, kReadWindow> resolved;
  const std::span<ResolvedBlock> some(resolved.data(), blocks.count);
  ASHLAR_CO_TRY(co_await resolve(chain, blocks, some));
  std::vector<std::uint32_t> bad;
  ASHLAR_CO_TRY(co_await read_resolved(chain, blocks, some, into, bad));
  if (shared_.has(PlantedBug::kChecksumsNotCompared)) bad.clear();
  if (!bad.empty()) shared_.metrics.read_retries.add();
  co_return bad.empty();
}

// With the flusher held nothing moves: what does not match now is damage. A peer is asked with the
// flusher going on; what is still damage when it has answered is made good.
Task<Result<>> Replica::read_held(const Chain& chain, BlockRange blocks, MutableByteSpan into,
                                  HeldFor whom) {
  std::map<BlockIndex, Buffer> good;
  while (true) {
    Result<> outcome;
    std::vector<BlockIndex> unknown;
    {
      const Result<Mutex::Guard> held = co_await flush_lock_.lock();
      if (!held.ok()) co_return held.error();
      std::array<ResolvedBlock, kReadWindow> resolved;
      const std::span<ResolvedBlock> some(resolved.data(), blocks.count);
      ASHLAR_CO_TRY(co_await resolve(chain, blocks, some));
      std::vector<std::uint32_t> bad;
      ASHLAR_CO_TRY(co_await read_resolved(chain, blocks, some, into, bad));
      for (const std::uint32_t place : bad) {
        const BlockIndex block = blocks.first + place;
        if (whom == HeldFor::kScrub) {
          ASHLAR_CO_TRY_ASSIGN(const bool shown, co_await shows(*chain.front(), block));
          if (!shown) continue;
        }
        const auto found = good.find(block);
        if (found == good.end() && repair_source_ != nullptr) {
          unknown.push_back(block);
          continue;
        }
        const Buffer bytes = found == good.end() ? Buffer() : found->second.share();
        const Result<> repaired =
            co_await repair_block(chain, some[place].layer, block, some[place].info, bytes,
                                  into.subspan(place * kBlockSize, kBlockSize));
        if (!repaired.ok()) outcome = repaired;
      }
    }
    if (unknown.empty()) co_return outcome;
    for (const BlockIndex block : unknown) {
      Result<Buffer> fetched = co_await repair_source_->fetch(volume(), {block, 1}, state_.flushed);
      good[block] = fetched.ok() ? std::move(*fetched) : Buffer();
    }
  }
}

Task<Result<bool>> Replica::shows(const Layer& layer, BlockIndex block) {
  for (std::uint32_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i].get() == &layer) co_return co_await is_shown(i, block);
  }
  co_return false;  // a merge has taken it out
}

// Writes good bytes, when the peer had them, over the bad ones. The flush lock is held.
Task<Result<>> Replica::repair_block(const Chain& chain, std::size_t layer, BlockIndex block,
                                     BlockInfo info, const Buffer& good, MutableByteSpan into) {
  Layer& owner = *chain[layer];
  shared_.metrics.damaged_blocks.add();
  const Error damage = Error::data_loss("block {} of volume {} is damaged in layer {} of {}", block,
                                        volume(), owner.id().number, owner.id().creator);
  ASHLAR_LOG_ERROR_EVERY(1s, LogFields{}.volume(volume().to_string()), "{}", damage.message());
  const BlockChecksum checksum(owner.volume());
  // Without a checksum only the newest contents can be asked for, and only the head has them.
  const bool trusts = info.state == BlockState::kDamaged && &owner == layers_[state_.head].get();
  const bool matches =
      good.size() == kBlockSize &&
      (trusts || shared_.has(PlantedBug::kRepairWithAnyBytes) ||
       (info.state == BlockState::kPresent && checksum.of(block, good.bytes()) == info.checksum));
  if (!matches) {
    if (!state_.repair_needed) {
      ASHLAR_CO_TRY(co_await change_state([](ReplicaState& state) { state.repair_needed = true; }));
    }
    co_return damage;
  }
  const ConstIoSlice slice(std::as_const(good).bytes());
  const std::uint32_t sum = checksum.of(block, good.bytes());
  ASHLAR_CO_TRY(co_await owner.write_blocks({block, 1}, {&slice, 1}));
  ASHLAR_CO_TRY(co_await owner.mark_written({block, 1}, {&sum, 1}, Lsn()));
  ASHLAR_CO_TRY(co_await owner.write_map());
  ASHLAR_CO_TRY(co_await owner.sync());
  std::memcpy(into.data(), good.data(), kBlockSize);
  shared_.metrics.repaired_blocks.add();
  co_return Result<>();
}

// One pass, or, when nothing can be flushed, a wait until something may be.
Task<Result<>> Replica::flush_further() {
  const Lsn before = state_.flushed;
  // The pass under way may have moved that already; then its end is all there is to wait for.
  const bool was_reverting = reverting_;
  const Result<> passed = co_await flush_pass();
  if (!passed.ok()) {
    if (passed.error().code() != ErrorCode::kResourceExhausted) co_return passed;
    co_return co_await sleep_for(shared_.clock, kSpaceRetry);
  }
  if (state_.flushed != before || was_reverting) co_return Result<>();
  const Result<> stable = co_await stable_.wait(stable_.value().next());
  // A tail was dropped, perhaps with what we wait for.
  if (!stable.ok() && stable.error().code() == ErrorCode::kAborted) co_return Result<>();
  co_return stable;
}

bool Replica::has_revert() const {
  return reverting_ || std::any_of(controls_.begin(), controls_.end(), [](const Control& control) {
           return control.header.type == RecordType::kRevert;
         });
}

// Resolves when the flusher has reached the snapshot's record, so that its layer is complete.
Task<Result<>> Replica::materialize(SnapshotUuid uuid) {
  while (!layer_of(uuid)) {
    if (!knows_snapshot(uuid)) {
      co_return Error::not_found("volume {} has no snapshot {}", volume(), uuid);
    }
    ASHLAR_CO_TRY(co_await flush_further());
  }
  co_return Result<>();
}

Task<Result<Buffer>> Replica::read_snapshot(SnapshotUuid uuid, BlockRange blocks) {
  ASHLAR_CO_TRY(usable());
  ASHLAR_CO_TRY(check_range(blocks));
  ASHLAR_CO_TRY(co_await materialize(uuid));
  const std::optional<std::uint32_t> layer = layer_of(uuid);
  if (!layer) co_return Error::not_found("snapshot {} has been deleted", uuid);
  const ChainRef chain = chain_of(*layer);
  ASHLAR_CO_TRY_ASSIGN(Buffer into, shared_.pool.allocate(ByteCount(blocks.count * kBlockSize)));
  ASHLAR_CO_TRY(co_await read_layers(chain, blocks, into.bytes()));
  // Nothing keeps its layers as they are any more.
  if (!layer_of(uuid)) co_return Error::not_found("snapshot {} has been deleted", uuid);
  co_return std::move(into);
}

}  // namespace ashlar::engine
