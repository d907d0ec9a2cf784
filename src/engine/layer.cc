#include "engine/layer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace ashlar::engine {
namespace {

// Offsets in files are below 2^63.
constexpr std::uint64_t kMostBlocks = (std::uint64_t{1} << 63) / kBytesPerBlock.value();

std::uint64_t offset_of(BlockIndex block) {
  return block.value() * kBytesPerBlock.value();
}

void check_range(BlockRange range) {
  ASHLAR_CHECK(range.end().value() <= kMostBlocks, "{} blocks at {}", range.count, range.first);
}

}  // namespace

std::string Layer::data_name(const LayerId& id) {
  return fmt::format("{}-{}.data", id.creator, id.number);
}

std::string Layer::map_name(const LayerId& id) {
  return fmt::format("{}-{}.map", id.creator, id.number);
}

Layer::Layer(MapCache& cache, LayerOptions options, Files files, ByteCount data_size,
             ByteCount map_size)
    : options_(std::move(options)),
      data_(std::move(files.data)),
      map_file_(std::move(files.map)),
      map_(cache, *map_file_, map_size, MapSeed(options_.volume, options_.id)),
      data_size_(data_size) {}

Task<Result<Layer::Files>> Layer::open_files(FileSystem& files, const LayerOptions& options,
                                             OpenMode mode) {
  Files opened;
  const std::string directory = options.directory + "/";
  ASHLAR_CO_TRY_ASSIGN(opened.data, co_await files.open(directory + data_name(options.id), mode));
  ASHLAR_CO_TRY_ASSIGN(opened.map, co_await files.open(directory + map_name(options.id), mode));
  co_return opened;
}

Task<Result<>> Layer::empty_file(File& file) {
  ASHLAR_CO_TRY(co_await file.resize(ByteCount(0)));
  co_return co_await file.sync();
}

Task<Result<std::unique_ptr<Layer>>> Layer::create(FileSystem& files, MapCache& cache,
                                                   LayerOptions options) {
  ASHLAR_CO_TRY_ASSIGN(Files opened, co_await open_files(files, options, OpenMode::kCreate));
  ASHLAR_CO_TRY(co_await empty_file(*opened.data));
  ASHLAR_CO_TRY(co_await empty_file(*opened.map));
  ASHLAR_CO_TRY(co_await files.sync_directory(options.directory));
  co_return std::unique_ptr<Layer>(
      new Layer(cache, std::move(options), std::move(opened), ByteCount(0), ByteCount(0)));
}

Task<Result<std::unique_ptr<Layer>>> Layer::open(FileSystem& files, MapCache& cache,
                                                 LayerOptions options) {
  ASHLAR_CO_TRY_ASSIGN(Files opened, co_await open_files(files, options, OpenMode::kExisting));
  ASHLAR_CO_TRY_ASSIGN(const ByteCount data_size, co_await opened.data->size());
  ASHLAR_CO_TRY_ASSIGN(const ByteCount map_size, co_await opened.map->size());
  co_return std::unique_ptr<Layer>(
      new Layer(cache, std::move(options), std::move(opened), data_size, map_size));
}

Task<Result<>> Layer::remove(FileSystem& files, std::string directory, LayerId id) {
  for (const std::string& name : {map_name(id), data_name(id)}) {
    const Result<> removed = co_await files.remove(fmt::format("{}/{}", directory, name));
    if (!removed.ok() && removed.error().code() != ErrorCode::kNotFound) co_return removed;
  }
  co_return co_await files.sync_directory(std::move(directory));
}

bool Layer::try_look_up(BlockRange range, std::span<BlockInfo> out) {
  check_range(range);
  return map_.try_look_up(range, out);
}

Task<Result<>> Layer::look_up(BlockRange range, std::span<BlockInfo> out) {
  check_range(range);
  return map_.look_up(range, out);
}

Task<Result<>> Layer::write_blocks(BlockRange range, std::span<const ConstIoSlice> pieces) {
  check_range(range);
  std::uint64_t length = 0;
  for (const ConstIoSlice& piece : pieces) length += piece.size;
  ASHLAR_CHECK_EQ(length, range.count * kBytesPerBlock.value());
  if (range.count == 0) co_return Result<>();
  const Result<> outcome = co_await data_->write(offset_of(range.first), pieces, Durability::kNone);
  // A write that failed may have made the file longer all the same.
  data_size_ = std::max(data_size_, ByteCount(offset_of(range.end())));
  co_return outcome;
}

Task<Result<>> Layer::punch(BlockRange range) {
  check_range(range);
  // Behind its end there is nothing to punch, and file systems refuse offsets above their limit.
  if (offset_of(range.end()) > data_size_.value()) {
    ASHLAR_CO_TRY_ASSIGN(const ByteCount size, co_await data_->size());
    data_size_ = size;
  }
  const std::uint64_t begin = offset_of(range.first);
  const std::uint64_t end = std::min(offset_of(range.end()), data_size_.value());
  if (begin >= end) co_return Result<>();
  co_return co_await data_->punch(begin, end - begin);
}

Task<Result<>> Layer::mark_written(BlockRange range, std::span<const std::uint32_t> checksums,
                                   Lsn lsn) {
  check_range(range);
  return map_.mark_written(range, checksums, lsn);
}

Task<Result<>> Layer::mark_discarded(BlockRange range, Lsn lsn, std::span<Layer* const> below) {
  check_range(range);
  std::vector<ChunkMap*> maps;
  maps.reserve(below.size());
  for (Layer* const layer : below) maps.push_back(&layer->map_);
  co_return co_await map_.mark_discarded(range, lsn, maps);
}

Task<Result<>> Layer::mark_absent(BlockRange range) {
  check_range(range);
  return map_.mark_absent(range);
}

Task<Result<>> Layer::set_entry(ChunkIndex chunk, const ChunkEntry& entry) {
  check_range({first_block_of(chunk), kBlocksPerChunk});
  return map_.set_entry(chunk, entry);
}

Task<Result<>> Layer::write_map() {
  return map_.write_pages();
}

Task<Result<>> Layer::sync() {
  if (sync_failure_) co_return *sync_failure_;
  // A bit in a summary stands for a page on the disk, so pages that are still dirty go first.
  if (map_.dirty_pages() > 0) ASHLAR_CO_TRY(co_await map_.write_pages());
  ASHLAR_CO_TRY(co_await sync_file(*data_));
  ASHLAR_CO_TRY(co_await sync_file(*map_file_));
  if (map_.dirty_summaries() == 0) co_return Result<>();
  ASHLAR_CO_TRY(co_await map_.write_summaries());
  co_return co_await sync_file(*map_file_);
}

Task<Result<>> Layer::sync_file(File& file) {
  const Result<> outcome = co_await file.sync();
  if (!outcome.ok()) sync_failure_ = outcome.error();
  co_return outcome;
}

std::uint64_t Layer::dirty_pages() const {
  return map_.dirty_pages();
}

Task<Result<MappedChunk>> Layer::entry(ChunkIndex chunk) {
  return map_.entry(chunk);
}

Task<Result<std::optional<MappedChunk>>> Layer::next_chunk(ChunkIndex from) {
  return map_.next_chunk(from);
}

}  // namespace ashlar::engine
