#include "cli/store/map_scan.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace ashlar::store_tool {

using engine::ChunkIndex;
using engine::kAllEntries;
using engine::kAllSectors;
using engine::kEntriesPerPage;
using engine::kMapPageSize;
using engine::MapGroupIndex;
using engine::MapPageIndex;
using engine::PageExists;
using engine::PageNumber;

MapScan::MapScan(std::unique_ptr<File> file, std::string name, ByteCount size, Buffer summary,
                 Buffer window, engine::MapSeed seed, DamageList& damages)
    : file_(std::move(file)),
      name_(std::move(name)),
      size_(size),
      pages_(size.value() / kMapPageSize),
      summary_(std::move(summary)),
      window_(std::move(window)),
      seed_(seed),
      damages_(damages) {}

Task<Result<std::unique_ptr<MapScan>>> MapScan::open(std::unique_ptr<File> file, std::string name,
                                                     BufferPool& pool, engine::MapSeed seed,
                                                     DamageList& damages) {
  ASHLAR_CO_TRY_ASSIGN(const ByteCount size, co_await file->size());
  if (size.value() % kMapPageSize != 0) {
    damages.add({name, size.value() / kMapPageSize * kMapPageSize,
                 fmt::format("the file has {} bytes, which are no whole pages", size.value())});
  }
  ASHLAR_CO_TRY_ASSIGN(Buffer summary, pool.allocate(ByteCount(kMapPageSize)));
  ASHLAR_CO_TRY_ASSIGN(Buffer window, pool.allocate(ByteCount(kWindowPages * kMapPageSize)));
  co_return std::unique_ptr<MapScan>(new MapScan(std::move(file), std::move(name), size,
                                                 std::move(summary), std::move(window), seed,
                                                 damages));
}

Task<Result<>> MapScan::load_summary(MapGroupIndex group) {
  if (group_ == group) co_return Result<>();
  ASHLAR_CO_TRY_ASSIGN(const std::optional<ByteSpan> bytes,
                       co_await read_page(engine::number_of(group)));
  if (bytes) {
    std::ranges::copy(*bytes, summary_.data());
    damaged_sectors_ = engine::damaged_sectors(*bytes, group, seed_);
  } else {
    std::ranges::fill(summary_.bytes(), std::byte{0});
    damaged_sectors_ = kAllSectors;
  }
  group_ = group;
  const std::uint64_t offset = engine::number_of(group).value() * kMapPageSize;
  for (unsigned sector = 0; sector < engine::kSectorsPerMapPage; ++sector) {
    if ((damaged_sectors_ >> sector & 1) == 0) continue;
    damages_.add({name_, offset + sector * engine::kMapSectorSize,
                  bytes ? "a sector of the summary does not match its checksum"
                        : "a sector of the summary cannot be read"});
  }
  co_return Result<>();
}

Task<Result<bool>> MapScan::fill(std::uint64_t first, std::uint64_t count) {
  window_count_ = 0;
  const Result<> read =
      co_await file_->read(first * kMapPageSize, window_.bytes().first(count * kMapPageSize));
  if (!read.ok()) {
    const ErrorCode code = read.error().code();
    // Somebody may have cut it meanwhile.
    if (code == ErrorCode::kDataLoss || code == ErrorCode::kOutOfRange) co_return false;
    co_return read.error();
  }
  window_first_ = first;
  window_count_ = count;
  co_return true;
}

Task<Result<std::optional<ByteSpan>>> MapScan::read_page(PageNumber number) {
  const std::uint64_t page = number.value();
  if (page >= pages_) {
    window_count_ = 0;
    std::ranges::fill(window_.bytes().first(kMapPageSize), std::byte{0});
    co_return std::as_const(window_).bytes().first(kMapPageSize);
  }
  if (page < window_first_ || page >= window_first_ + window_count_) {
    const std::uint64_t ahead = std::min(kWindowPages, pages_ - page);
    ASHLAR_CO_TRY_ASSIGN(bool filled, co_await fill(page, ahead));
    if (!filled) {
      ASHLAR_CO_TRY_ASSIGN(filled, co_await fill(page, 1));
    }
    if (!filled) co_return std::nullopt;
  }
  co_return std::as_const(window_).bytes().subspan((page - window_first_) * kMapPageSize,
                                                   kMapPageSize);
}

MapPageView MapScan::judge(MapPageIndex index, std::optional<ByteSpan> bytes, PageExists exists) {
  const std::uint64_t offset = engine::number_of(index).value() * kMapPageSize;
  MapPageView page{.index = index, .offset = offset};
  const ChunkIndex first = engine::first_chunk_of(index);
  const bool is_lost =
      !bytes || (exists == PageExists::kYes && engine::blank_entries(*bytes) == kAllEntries);
  if (is_lost) {
    page.damaged = kAllEntries;
    damages_.add(
        {name_, offset,
         fmt::format("the map page of chunks {} to {} is lost: it {}", first,
                     first + (kEntriesPerPage - 1), bytes ? "is all zeros" : "cannot be read")});
    return page;
  }
  page.bytes = *bytes;
  page.damaged = engine::damaged_entries(*bytes, index, seed_);
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    if (!page.is_damaged(slot)) continue;
    const BlockIndex block = engine::first_block_of(first + slot);
    damages_.add({name_, page.offset_of(slot),
                  fmt::format("the entry of chunk {} (blocks {} to {}) does not match its checksum",
                              first + slot, block, block + (engine::kBlocksPerChunk - 1))});
  }
  return page;
}

Task<Result<std::optional<MapPageView>>> MapScan::next(MapPageIndex from) {
  while (engine::number_of(engine::group_of(from)).value() < pages_) {
    const MapGroupIndex group = engine::group_of(from);
    ASHLAR_CO_TRY(co_await load_summary(group));
    const MapPageIndex begin = from - engine::place_in_group(from);
    const std::optional<unsigned> place = engine::next_place(
        std::as_const(summary_).bytes(), damaged_sectors_, engine::place_in_group(from));
    if (!place) {
      from = begin + engine::kPagesPerSummary;
      continue;
    }
    const MapPageIndex index = begin + *place;
    const PageExists exists =
        engine::page_exists(std::as_const(summary_).bytes(), damaged_sectors_, *place);
    // Nobody knows whether it was ever written: behind the end it was not.
    if (exists == PageExists::kUnknown && engine::number_of(index).value() >= pages_) {
      from = index.next();
      continue;
    }
    ASHLAR_CO_TRY_ASSIGN(const std::optional<ByteSpan> bytes,
                         co_await read_page(engine::number_of(index)));
    co_return judge(index, bytes, exists);
  }
  co_return std::nullopt;
}

}  // namespace ashlar::store_tool
