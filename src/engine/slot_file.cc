#include "engine/slot_file.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include <fmt/format.h>

#include "common/base/crc32c.h"
#include "common/base/quote.h"
#include "engine/format_fields.h"
#include "engine/limits.h"

namespace ashlar::engine {
namespace {

struct SlotHeaderLayout {
  std::uint64_t magic;
  std::uint16_t version;
  std::uint16_t reserved0;
  std::uint32_t crc;
  std::uint64_t generation;
  std::uint32_t body_length;
  std::uint32_t reserved1;
};
static_assert(sizeof(SlotHeaderLayout) == kSlotHeaderSize);
constexpr std::size_t kCrcOffset = offsetof(SlotHeaderLayout, crc);
constexpr std::size_t kLengthOffset = offsetof(SlotHeaderLayout, body_length);
static_assert(kCrcOffset == 12 && offsetof(SlotHeaderLayout, generation) == 16);
static_assert(kLengthOffset == 24);

struct Free {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
// Zeros, aligned for the disk. The frame of a coroutine is not.
class Blocks {
 public:
  explicit Blocks(std::size_t size)
      : bytes_(static_cast<std::byte*>(std::aligned_alloc(kBlockSize, size))), size_(size) {
    ASHLAR_CHECK(bytes_ != nullptr, "no memory for {} bytes", size);
    std::memset(bytes_.get(), 0, size);
  }
  MutableByteSpan span() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[], Free> bytes_;
  std::size_t size_;
};

std::size_t written_length(std::size_t body_length) {
  return align_up(kSlotHeaderSize + body_length, kBlockSize);
}

// Of header and body, without its own four bytes.
std::uint32_t slot_crc(ByteSpan used) {
  const std::uint32_t front = crc32c(used.first(kCrcOffset));
  return crc32c(used.subspan(kCrcOffset + 4), front);
}

void encode_slot(const SlotFormat& format, std::uint64_t generation, ByteSpan body,
                 MutableByteSpan out) {
  ByteWriter writer(out);
  writer.u64_le(format.magic);
  writer.u16_le(format.version);
  writer.u16_le(0);
  writer.u32_le(0);  // the CRC, below
  writer.u64_le(generation);
  writer.u32_le(static_cast<std::uint32_t>(body.size()));
  writer.u32_le(0);
  ASHLAR_CHECK_EQ(writer.position(), kSlotHeaderSize);
  writer.bytes(body);
  ASHLAR_CHECK(!writer.failed());
  store_le32(out, kCrcOffset, slot_crc(writer.written()));
}

// How much of the slot that begins with `block` is used; one block when that cannot be said.
std::size_t used_blocks(const SlotFormat& format, ByteSpan block) {
  const std::size_t body = load_le32(block, kLengthOffset);
  if (load_le64(block) != format.magic || body > format.largest_body()) return kBlockSize;
  return written_length(body);
}

// `bytes` are the slot, or as much of it as used_blocks() gave.
Slot judge(const SlotFormat& format, ByteSpan bytes) {
  ByteReader in(bytes);
  const std::uint64_t magic = in.u64_le();
  const std::uint16_t version = in.u16_le();
  const bool sound = in.u16_le() == 0;
  const std::uint32_t crc = in.u32_le();
  const std::uint64_t generation = in.u64_le();
  const std::uint32_t length = in.u32_le();
  const bool sound_end = in.u32_le() == 0;
  const ByteSpan body = in.bytes(length);
  if (magic != format.magic) {
    if (is_zero(bytes)) return {.kind = SlotKind::kZeros, .why = "was never written"};
    return {.kind = SlotKind::kForeign,
            .why = fmt::format("begins with {}", quote(text_of(bytes.first(8))))};
  }
  const bool matches = !in.failed() && slot_crc(bytes.first(in.position())) == crc;
  // The header has the same form in every version, so that its CRC tells damage from progress.
  if (version > format.version) {
    return {.kind = SlotKind::kLater,
            .generation = matches ? generation : 0,
            .why = fmt::format("is of format version {}", version)};
  }
  const auto broken = [](std::string why) -> Slot {
    return {.kind = SlotKind::kBroken, .why = std::move(why)};
  };
  if (in.failed()) return broken(fmt::format("claims a body of {} bytes", length));
  if (!matches) return broken("does not match its CRC");
  if (version != format.version || !sound || !sound_end || generation == 0 ||
      generation > kLargestNumber) {
    return broken("has a header whose fields make no sense");
  }
  return {.kind = SlotKind::kWhole, .generation = generation, .body = {body.begin(), body.end()}};
}

// What the device may say of one slot while the other one serves: a sector is lost, or the file has
// been cut.
bool is_survivable(const Error& error) {
  return error.code() == ErrorCode::kDataLoss || error.code() == ErrorCode::kOutOfRange;
}

Task<Result<Slot>> read_slot(File& file, SlotFormat format, std::uint64_t offset) {
  const Blocks blocks(format.slot_size);
  Result<> read = co_await file.read(offset, blocks.span());
  if (read.ok()) co_return judge(format, blocks.span());
  // What is unreadable may be in the part that is not used.
  std::size_t used = kBlockSize;
  if (is_survivable(read.error())) read = co_await file.read(offset, blocks.span().first(used));
  if (read.ok()) {
    used = used_blocks(format, blocks.span());
    read = co_await file.read(offset, blocks.span().first(used));
  }
  if (!read.ok() && !is_survivable(read.error())) co_return read.error();
  Slot slot;
  if (read.ok()) slot = judge(format, blocks.span().first(used));
  // Zeros in front of what cannot be read say nothing.
  if (slot.kind == SlotKind::kZeros) {
    slot.kind = SlotKind::kUnreadable;
    slot.why = "cannot be read";
  }
  co_return slot;
}

Error refusal(const SlotFormat& format, const std::string& path, std::span<const Slot, 2> slots) {
  const auto any = [&](SlotKind kind) { return slots[0].kind == kind || slots[1].kind == kind; };
  const bool foreign = any(SlotKind::kForeign) && !any(SlotKind::kBroken);
  return {foreign ? ErrorCode::kInvalidArgument : ErrorCode::kDataLoss,
          fmt::format("{} is not {} that can be used: its first slot {}, its second slot {}", path,
                      format.what, slots[0].why, slots[1].why)};
}

// Which slot counts.
Result<std::size_t> newest_of(const SlotFormat& format, const std::string& path,
                              std::span<const Slot, 2> slots) {
  const auto counts = [&](std::size_t i) {
    return slots[i].kind == SlotKind::kWhole || slots[i].kind == SlotKind::kLater;
  };
  if (!counts(0) && !counts(1)) return refusal(format, path, slots);
  if (counts(0) && counts(1) && slots[0].generation == slots[1].generation &&
      slots[0].body != slots[1].body) {
    return Error::data_loss("{}: both slots of {} say that they are generation {}", path,
                            format.what, slots[0].generation);
  }
  const bool second = counts(1) && (!counts(0) || slots[1].generation > slots[0].generation);
  const std::size_t newest = second ? 1 : 0;
  if (slots[newest].kind == SlotKind::kLater) {
    return Error::unimplemented("{}: {} was made by a later version of Ashlar: it {}, known is {}",
                                path, format.what, slots[newest].why, format.version);
  }
  return newest;
}

void check_format(const SlotFormat& format) {
  ASHLAR_CHECK(format.slot_size >= kBlockSize && is_aligned(format.slot_size, kBlockSize),
               "a slot of {} bytes", format.slot_size);
}

Result<> check_body(const SlotFormat& format, const File& file, std::size_t size) {
  if (size <= format.largest_body()) return {};
  return Error::resource_exhausted("{}: {} bytes for {}, which holds at most {}", file.path(), size,
                                   format.what, format.largest_body());
}

}  // namespace

Task<Result<std::unique_ptr<SlotFile>>> SlotFile::format(std::unique_ptr<File> file,
                                                         SlotFormat format, ByteSpan body) {
  check_format(format);
  ASHLAR_CO_TRY(check_body(format, *file, body.size()));
  std::unique_ptr<SlotFile> slots(new SlotFile(std::move(file), format));
  slots->generation_ = 1;
  slots->body_.assign(body.begin(), body.end());
  const Blocks blocks(2 * format.slot_size);
  encode_slot(format, slots->generation_, body, blocks.span());
  ASHLAR_CO_TRY(co_await slots->file_->resize(ByteCount(blocks.span().size())));
  ASHLAR_CO_TRY(co_await slots->file_->write(0, blocks.span(), Durability::kNone));
  ASHLAR_CO_TRY(co_await slots->file_->sync());
  co_return slots;
}

Task<Result<SlotInspection>> SlotFile::inspect(File& file, SlotFormat format) {
  check_format(format);
  SlotInspection found;
  for (std::size_t i = 0; i < 2; ++i) {
    ASHLAR_CO_TRY_ASSIGN(found.slots[i], co_await read_slot(file, format, i * format.slot_size));
  }
  found.newest = newest_of(format, file.path(), found.slots);
  co_return found;
}

Task<Result<std::unique_ptr<SlotFile>>> SlotFile::open(std::unique_ptr<File> file,
                                                       SlotFormat format) {
  std::unique_ptr<SlotFile> opened(new SlotFile(std::move(file), format));
  File& disk = *opened->file_;
  ASHLAR_CO_TRY_ASSIGN(SlotInspection found, co_await inspect(disk, format));
  ASHLAR_CO_TRY_ASSIGN(const std::size_t newest, std::move(found.newest));
  ASHLAR_CO_TRY(co_await disk.sync());
  const SlotKind other = found.slots[1 - newest].kind;
  opened->newest_ = newest;
  opened->generation_ = found.slots[newest].generation;
  opened->body_ = std::move(found.slots[newest].body);
  opened->degraded_ = other != SlotKind::kWhole && other != SlotKind::kZeros;
  co_return opened;
}

Task<Result<>> SlotFile::write_other(ByteSpan body) {
  const std::uint64_t offset = (1 - newest_) * format_.slot_size;
  const Blocks blocks(written_length(body.size()));
  if (degraded_) {
    ASHLAR_CO_TRY(
        co_await file_->write(offset, blocks.span().first(kBlockSize), Durability::kDsync));
  }
  encode_slot(format_, generation_ + 1, body, blocks.span());
  co_return co_await file_->write(offset, blocks.span(), Durability::kDsync);
}

Task<Result<>> SlotFile::store(std::vector<std::byte> body) {
  ASHLAR_CHECK(!storing_, "{}: a second store() at the same time", file_->path());
  if (failure_) co_return *failure_;
  ASHLAR_CO_TRY(check_body(format_, *file_, body.size()));
  ASHLAR_CHECK_LT(generation_, kLargestNumber);
  storing_ = true;
  const Result<> written = co_await write_other(body);
  storing_ = false;
  if (!written.ok()) {
    failure_ = written.error();
    co_return *failure_;
  }
  newest_ = 1 - newest_;
  ++generation_;
  body_ = std::move(body);
  degraded_ = false;
  co_return Result<>();
}

}  // namespace ashlar::engine
