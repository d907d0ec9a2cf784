#include "tests/sim/mini_log.h"

#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "common/base/crc32c.h"
#include "common/base/random.h"

namespace ashlar::sim {
namespace {

constexpr std::size_t kPage = kDiskAlignment;
constexpr std::uint64_t kMagic = 0x676f6c696e696d21;

struct Header {
  std::uint64_t magic;
  std::uint64_t number;
  std::uint32_t pages;
  std::uint32_t previous_checksum;
  std::uint32_t digest;    // of the bytes behind the header
  std::uint32_t checksum;  // of the header before this field, and so of everything
};
static_assert(sizeof(Header) == 32);

struct alignas(kPage) Image {
  std::array<std::byte, kLongestRecordPages * kPage> bytes{};

  std::span<const std::byte> body(std::size_t pages) const {
    return std::span(bytes).subspan(sizeof(Header), pages * kPage - sizeof(Header));
  }
};

std::uint32_t header_checksum(const Header& header) {
  return crc32c(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, checksum)));
}

void fill_body(Image& image, std::uint64_t content_seed, std::size_t pages) {
  Random content(content_seed);
  content.fill(std::span(image.bytes).subspan(sizeof(Header), pages * kPage - sizeof(Header)));
}

std::string file_name(std::uint64_t file) {
  return fmt::format("/data/log.{}", file);
}

std::uint64_t file_of(std::uint64_t number) {
  return (number - 1) / kRecordsPerFile;
}

}  // namespace

std::uint32_t MiniLog::digest_of(std::uint64_t content_seed, std::size_t pages) {
  auto image = std::make_unique<Image>();
  fill_body(*image, content_seed, pages);
  return crc32c(image->body(pages));
}

Task<Result<>> MiniLog::open_file(std::uint64_t file, OpenMode mode) {
  ASHLAR_CO_TRY_ASSIGN(file_, co_await runtime_.files.open(file_name(file), mode));
  if (mode != OpenMode::kExisting && !bugs_.no_directory_sync) {
    ASHLAR_CO_TRY(co_await runtime_.files.sync_directory("/data"));
  }
  co_return Result<>();
}

Task<Result<std::vector<MiniLogRecord>>> MiniLog::open() {
  std::vector<MiniLogRecord> records;
  auto image = std::make_unique<Image>();
  while (true) {
    const std::uint64_t file = file_of(next_number_);
    if ((next_number_ - 1) % kRecordsPerFile == 0) {
      // A file found here may be one whose name is not durable yet.
      ASHLAR_CO_TRY(co_await open_file(file, OpenMode::kCreate));
      offset_ = 0;
    }
    ASHLAR_CO_TRY_ASSIGN(const ByteCount size, co_await file_->size());
    if (offset_ + kPage > size.value()) break;
    ASHLAR_CO_TRY(co_await file_->read(offset_, std::span(image->bytes).first(kPage)));
    Header header;
    std::memcpy(&header, image->bytes.data(), sizeof header);
    const bool plausible = header.magic == kMagic && header.number == next_number_ &&
                           header.pages >= 1 && header.pages <= kLongestRecordPages &&
                           header.previous_checksum == last_checksum_ &&
                           header.checksum == header_checksum(header);
    if (!plausible) break;
    const std::uint64_t end = offset_ + header.pages * kPage;
    if (end > size.value()) {
      found_torn_tail_ = true;
      break;
    }
    ASHLAR_CO_TRY(
        co_await file_->read(offset_, std::span(image->bytes).first(header.pages * kPage)));
    const std::uint32_t digest = crc32c(image->body(header.pages));
    if (digest != header.digest && !bugs_.trust_torn_tail) {
      found_torn_tail_ = true;
      break;
    }
    records.push_back({next_number_, digest});
    last_checksum_ = header.checksum;
    offset_ = end;
    ++next_number_;
    if ((next_number_ - 1) % kRecordsPerFile == 0 && !bugs_.no_sync) {
      ASHLAR_CO_TRY(co_await file_->sync());
    }
  }
  if (!bugs_.no_sync) ASHLAR_CO_TRY(co_await file_->sync());
  co_return records;
}

Task<Result<>> MiniLog::append(std::uint64_t content_seed, std::size_t pages,
                               const Acknowledge& done) {
  if ((next_number_ - 1) % kRecordsPerFile == 0 && offset_ > 0) {
    ASHLAR_CO_TRY(co_await open_file(file_of(next_number_), OpenMode::kCreate));
    offset_ = 0;
  }
  auto image = std::make_unique<Image>();
  fill_body(*image, content_seed, pages);
  Header header{.magic = kMagic,
                .number = next_number_,
                .pages = static_cast<std::uint32_t>(pages),
                .previous_checksum = last_checksum_,
                .digest = crc32c(image->body(pages)),
                .checksum = 0};
  header.checksum = header_checksum(header);
  std::memcpy(image->bytes.data(), &header, sizeof header);
  const MiniLogRecord record{next_number_, header.digest};

  ASHLAR_CO_TRY(co_await file_->write(offset_, std::span(image->bytes).first(pages * kPage),
                                      Durability::kNone));
  if (bugs_.ack_early) done(record);
  if (!bugs_.no_sync) ASHLAR_CO_TRY(co_await file_->sync());
  offset_ += pages * kPage;
  last_checksum_ = header.checksum;
  ++next_number_;
  if (!bugs_.ack_early) done(record);
  co_return Result<>();
}

}  // namespace ashlar::sim
