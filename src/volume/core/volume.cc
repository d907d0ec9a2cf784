#include "volume/core/volume.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

namespace ashlar::volume {
namespace {

using engine::BlockRange;
using engine::CommitRule;
using engine::kBlockSize;
using engine::OldBytes;

bool is_whole_blocks(ByteRange range) {
  return is_aligned(range.offset, kBlockSize) && is_aligned(range.length, kBlockSize);
}

BlockRange blocks_of(ByteRange range) {
  return {BlockIndex(range.offset / kBlockSize), range.length / kBlockSize};
}

// The blocks that the range touches.
BlockRange blocks_around(ByteRange range) {
  const std::uint64_t begin = align_down(range.offset, kBlockSize);
  const std::uint64_t end = align_up(range.offset + range.length, kBlockSize);
  return blocks_of({begin, end - begin});
}

// The checksums of one write: some in itself, many in memory of the pool; never on the heap.
class ChecksumScratch {
 public:
  Result<std::span<std::uint32_t>> of(BufferPool& pool, std::size_t count) {
    if (count <= kInline) return std::span(near_.data(), count);
    ASHLAR_TRY_ASSIGN(far_, pool.allocate(ByteCount(count * sizeof(std::uint32_t))));
    return std::span(reinterpret_cast<std::uint32_t*>(far_.data()), count);
  }

 private:
  static constexpr std::size_t kInline = 16;
  std::array<std::uint32_t, kInline> near_{};
  Buffer far_;
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

class Zeroing final : public Modifier {
 public:
  bool modify(MutableByteSpan into) override {
    std::memset(into.data(), 0, into.size());
    return true;
  }
};

}  // namespace

Volume::Volume(engine::Replica& replica, BufferPool& pool, Clock& clock, VolumeSettings settings)
    : replica_(replica),
      pool_(pool),
      clock_(clock),
      settings_(std::move(settings)),
      checksum_(replica.volume()) {
  apply_policy();
}

Volume::~Volume() = default;

void Volume::apply_policy() {
  const bool is_durable = settings_.ack_policy == AckPolicy::kDurable;
  replica_.set_commit_rule(is_durable ? CommitRule::kDurable : CommitRule::kWritten);
}

ByteCount Volume::size() const {
  return ByteCount(replica_.size_blocks() * kBlockSize);
}

std::uint64_t Volume::largest_modify() const {
  return (replica_.largest_transfer_blocks() - 1) * kBlockSize;
}

Result<> Volume::may_serve() const {
  const std::optional<engine::Fault>& fault = replica_.fault();
  if (!fault) return {};
  return Error::data_loss("volume {} cannot be served: its replica has stepped out ({}): {}",
                          settings_.name, to_string(fault->cause), fault->error.message());
}

Result<> Volume::check(ByteRange range) const {
  ASHLAR_TRY(may_serve());
  if (range.length == 0 || !is_aligned(range.offset, kSector) ||
      !is_aligned(range.length, kSector)) {
    return Error::invalid_argument("{} bytes at byte {} are not whole sectors of {} bytes",
                                   range.length, range.offset, kSector);
  }
  const std::uint64_t size = replica_.size_blocks() * kBlockSize;
  if (range.offset > size || range.length > size - range.offset) {
    return Error::out_of_range("{} bytes at byte {} are not within the volume's {} bytes",
                               range.length, range.offset, size);
  }
  return {};
}

Result<> Volume::check_write(ByteRange range) const {
  ASHLAR_TRY(check(range));
  if (!settings_.read_only) return {};
  return Error::permission_denied("volume {} is read-only", settings_.name);
}

// --- data ----------------------------------------------------------------------------------------

Task<Result<Buffer>> Volume::read(ByteRange range) {
  ASHLAR_CO_TRY(check(range));
  if (range.length > kLargestTransfer) {
    co_return Error::invalid_argument("{} bytes are too many for one read", range.length);
  }
  const BlockRange blocks = blocks_around(range);
  if (blocks.count > kLargestTransfer / kBlockSize) co_return co_await read_pieces(range);
  Result<Buffer> bytes = co_await replica_.read(blocks);
  if (!bytes.ok() || is_whole_blocks(range)) co_return bytes;
  co_return bytes->slice(range.offset % kBlockSize, range.length);
}

// The largest read, from the midst of a block to the midst of another.
Task<Result<Buffer>> Volume::read_pieces(ByteRange range) {
  ASHLAR_CO_TRY_ASSIGN(Buffer into, pool_.allocate(ByteCount(range.length)));
  const std::uint64_t middle = align_down(range.offset + range.length / 2, kBlockSize);
  const ByteRange halves[] = {{range.offset, middle - range.offset},
                              {middle, range.offset + range.length - middle}};
  for (const ByteRange& half : halves) {
    ASHLAR_CO_TRY_ASSIGN(const Buffer bytes, co_await replica_.read(blocks_around(half)));
    std::memcpy(into.data() + (half.offset - range.offset), bytes.data() + half.offset % kBlockSize,
                half.length);
  }
  co_return std::move(into);
}

Task<Result<>> Volume::forced(Lsn lsn, Force force) {
  // Under the durable policy the write has waited for it already.
  if (force == Force::kNo || settings_.ack_policy == AckPolicy::kDurable) co_return Result<>();
  co_return co_await replica_.durable(lsn);
}

Task<Result<>> Volume::write(std::uint64_t offset, Buffer payload, Force force) {
  const ByteRange range{offset, payload.size()};
  ASHLAR_CO_TRY(check_write(range));
  if (range.length > kLargestTransfer) {
    co_return Error::invalid_argument("{} bytes are too many for one write", range.length);
  }
  if (!is_whole_blocks(range)) co_return co_await write_parts(range, payload.bytes(), force);
  const BlockRange blocks = blocks_of(range);
  const std::uint64_t most = replica_.largest_transfer_blocks();
  if (blocks.count <= most) co_return co_await write_blocks(blocks, std::move(payload), force);
  for (std::uint64_t at = 0; at < blocks.count; at += most) {
    const BlockRange some{blocks.first + at, std::min(most, blocks.count - at)};
    Buffer piece = payload.slice(at * kBlockSize, some.count * kBlockSize);
    ASHLAR_CO_TRY(co_await write_blocks(some, std::move(piece), force));
  }
  co_return Result<>();
}

Task<Result<>> Volume::write_blocks(BlockRange blocks, Buffer payload, Force force) {
  ChecksumScratch scratch;
  ASHLAR_CO_TRY_ASSIGN(const std::span<std::uint32_t> checksums, scratch.of(pool_, blocks.count));
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const ByteSpan block = ByteSpan(payload.bytes()).subspan(i * kBlockSize, kBlockSize);
    checksums[i] = checksum_.of(blocks.first + i, block);
  }
  const Result<Lsn> lsn = co_await replica_.write(blocks, std::move(payload), checksums);
  if (!lsn.ok()) co_return lsn.error();
  co_return co_await forced(*lsn, force);
}

// Parts of blocks: what is beside them comes from the volume.
Task<Result<>> Volume::write_parts(ByteRange range, ByteSpan bytes, Force force) {
  const std::uint64_t most = largest_modify();
  for (std::uint64_t at = 0; at < range.length;) {
    // Pieces end on a block, so that only the first and the last hold parts of one.
    std::uint64_t length = range.length - at;
    if (length > most) length = most - (range.offset + at) % kBlockSize;
    Overwrite overwrite(bytes.subspan(at, length));
    const Result<std::optional<Lsn>> lsn =
        co_await replica_.modify(range.offset + at, length, overwrite, OldBytes::kReplaced);
    if (!lsn.ok()) co_return lsn.error();
    ASHLAR_CO_TRY(co_await forced(**lsn, force));
    at += length;
  }
  co_return Result<>();
}

Task<Result<bool>> Volume::modify(ByteRange range, Modifier& modifier, Force force) {
  ASHLAR_CO_TRY(check_write(range));
  if (range.length > largest_modify()) {
    co_return Error::invalid_argument("{} bytes are too many for one change, at most {}",
                                      range.length, largest_modify());
  }
  const Result<std::optional<Lsn>> lsn =
      co_await replica_.modify(range.offset, range.length, modifier);
  if (!lsn.ok()) co_return lsn.error();
  if (!*lsn) co_return false;
  ASHLAR_CO_TRY(co_await forced(**lsn, force));
  co_return true;
}

Task<Result<>> Volume::discard(ByteRange range) {
  return zero(range, Zeros::kDiscard);
}

Task<Result<>> Volume::write_zeroes(ByteRange range) {
  return zero(range, Zeros::kWriteZeroes);
}

Task<Result<>> Volume::zero(ByteRange range, Zeros how) {
  ASHLAR_CO_TRY(check_write(range));
  const std::uint64_t end = range.offset + range.length;
  const std::uint64_t inner_begin = align_up(range.offset, kBlockSize);
  const std::uint64_t inner_end = align_down(end, kBlockSize);
  if (inner_begin > inner_end) co_return co_await zero_part(range);
  if (range.offset < inner_begin) {
    ASHLAR_CO_TRY(co_await zero_part({range.offset, inner_begin - range.offset}));
  }
  if (inner_end < end) ASHLAR_CO_TRY(co_await zero_part({inner_end, end - inner_end}));
  if (inner_begin == inner_end) co_return Result<>();
  const BlockRange inner = blocks_of({inner_begin, inner_end - inner_begin});
  Result<Lsn> lsn = Lsn();
  if (how == Zeros::kDiscard) {
    lsn = co_await replica_.discard(inner);
  } else {
    lsn = co_await replica_.write_zeroes(inner);
  }
  if (!lsn.ok()) co_return lsn.error();
  co_return Result<>();
}

// Within one block.
Task<Result<>> Volume::zero_part(ByteRange range) {
  Zeroing zeroing;
  const Result<std::optional<Lsn>> lsn =
      co_await replica_.modify(range.offset, range.length, zeroing, OldBytes::kReplaced);
  if (!lsn.ok()) co_return lsn.error();
  co_return Result<>();
}

Task<Result<>> Volume::flush() {
  ASHLAR_CO_TRY(may_serve());
  co_return co_await replica_.flush();
}

Task<Result<ProvisionedRun>> Volume::provisioning(std::uint64_t offset, std::uint64_t most) {
  ASHLAR_CO_TRY(may_serve());
  const std::uint64_t size = replica_.size_blocks() * kBlockSize;
  if (offset >= size || most == 0) {
    co_return Error::out_of_range("byte {} is not within the volume's {} bytes", offset, size);
  }
  const ByteRange range{offset, std::min(most, size - offset)};
  const BlockRange blocks = blocks_around(range);
  ASHLAR_CO_TRY_ASSIGN(const engine::ProvisionedBlocks run, co_await replica_.provisioning(blocks));
  const std::uint64_t end = (blocks.first + run.count).value() * kBlockSize;
  co_return ProvisionedRun{std::min(end - offset, range.length), run.is_mapped};
}

Task<Result<>> Volume::set_reservations(ByteSpan state) {
  ASHLAR_CO_TRY(may_serve());
  const Result<Lsn> lsn = co_await replica_.set_reservations(state);
  if (!lsn.ok()) co_return lsn.error();
  co_return co_await replica_.durable(*lsn);
}

// --- control -------------------------------------------------------------------------------------

// One that is told may leave, or die.
void Volume::tell(void (VolumeObserver::*what)()) {
  IntrusiveList<VolumeObserver, VolumeObserverTag> told;
  while (!observers_.empty()) {
    VolumeObserver& observer = observers_.pop_front();
    told.push_back(observer);
    (observer.*what)();
  }
  while (!told.empty()) observers_.push_back(told.pop_front());
}

Task<Result<>> Volume::resize(ByteCount size) {
  ASHLAR_CO_TRY(may_serve());
  if (!is_aligned(size.value(), kBlockSize)) {
    co_return Error::invalid_argument("a volume of {} bytes: it takes a multiple of {}",
                                      size.value(), kBlockSize);
  }
  const Result<Lsn> lsn = co_await replica_.resize(size.value() / kBlockSize);
  if (!lsn.ok()) co_return lsn.error();
  ASHLAR_CO_TRY(co_await replica_.durable(*lsn));
  tell(&VolumeObserver::on_resized);
  co_return Result<>();
}

Task<Result<>> Volume::change_settings(VolumeSettings settings) {
  ASHLAR_CO_TRY(check_settings(settings));
  ASHLAR_CO_TRY(co_await replica_.set_attachment(encode_settings(settings)));
  const bool hardens =
      settings_.ack_policy == AckPolicy::kBuffered && settings.ack_policy == AckPolicy::kDurable;
  settings_ = std::move(settings);
  apply_policy();
  // What was acknowledged before is promised now.
  if (hardens) ASHLAR_CO_TRY(co_await replica_.flush());
  tell(&VolumeObserver::on_settings_changed);
  co_return Result<>();
}

}  // namespace ashlar::volume
