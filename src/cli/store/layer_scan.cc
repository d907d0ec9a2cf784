#include "cli/store/layer_scan.h"

#include <bit>
#include <memory>
#include <utility>
#include <vector>

#include "cli/store/map_scan.h"
#include "engine/block_checksum.h"
#include "engine/limits.h"

namespace ashlar::store_tool {
namespace {

using engine::kBlockSize;

bool is_damage(const Error& error) {
  return error.code() == ErrorCode::kDataLoss || error.code() == ErrorCode::kOutOfRange;
}

// Compares present blocks, given in order, with their checksums; reads neighbours together.
class BlockCheck {
 public:
  static constexpr std::size_t kMostBlocks = 256;

  BlockCheck(File& data, std::string name, const VolumeUuid& volume, Buffer buffer,
             DamageList& damages, Progress& progress)
      : data_(data),
        name_(std::move(name)),
        checksum_(volume),
        buffer_(std::move(buffer)),
        damages_(damages),
        progress_(progress) {}

  Task<Result<>> add(BlockIndex block, std::uint32_t checksum) {
    const bool continues = !sums_.empty() && first_ + sums_.size() == block;
    if (!continues || sums_.size() == kMostBlocks) {
      ASHLAR_CO_TRY(co_await finish());
      first_ = block;
    }
    sums_.push_back(checksum);
    co_return Result<>();
  }
  // Compares what is still to be compared.
  Task<Result<>> finish() {
    if (sums_.empty()) co_return Result<>();
    const std::size_t length = sums_.size() * kBlockSize;
    const Result<> read = co_await data_.read(offset_of(0), buffer_.bytes().first(length));
    if (!read.ok() && !is_damage(read.error())) co_return read.error();
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      if (read.ok()) {
        compare(i, std::as_const(buffer_).bytes().subspan(i * kBlockSize, kBlockSize));
      } else {
        ASHLAR_CO_TRY(co_await check_alone(i));
      }
    }
    checked_ += sums_.size();
    progress_.add(length);
    sums_.clear();
    co_return Result<>();
  }
  std::uint64_t checked() const { return checked_; }

 private:
  std::uint64_t offset_of(std::size_t i) const { return (first_ + i).value() * kBlockSize; }

  Task<Result<>> check_alone(std::size_t i) {
    const MutableByteSpan block = buffer_.bytes().first(kBlockSize);
    const Result<> read = co_await data_.read(offset_of(i), block);
    if (read.ok()) {
      compare(i, block);
    } else if (is_damage(read.error())) {
      const bool is_behind = read.error().code() == ErrorCode::kOutOfRange;
      report(i, is_behind ? "lies behind the end of the file" : "cannot be read");
    } else {
      co_return read.error();
    }
    co_return Result<>();
  }
  void compare(std::size_t i, ByteSpan block) {
    if (checksum_.of(first_ + i, block) != sums_[i]) report(i, "does not match its checksum");
  }
  void report(std::size_t i, std::string_view what) {
    damages_.add({name_, offset_of(i), fmt::format("block {} {}", first_ + i, what)});
  }

  File& data_;
  const std::string name_;
  const engine::BlockChecksum checksum_;
  Buffer buffer_;
  DamageList& damages_;
  Progress& progress_;
  BlockIndex first_;
  std::vector<std::uint32_t> sums_;  // of the blocks from first_ on
  std::uint64_t checked_ = 0;
};

struct LayerFiles {
  std::unique_ptr<File> data;
  std::unique_ptr<File> map;
};

// Null when it is missing.
Task<Result<std::unique_ptr<File>>> open_file(Runtime runtime, const StoreView& store,
                                              std::string file, bool may_be_missing,
                                              DamageList& damages) {
  Result<std::unique_ptr<File>> opened =
      co_await runtime.files.open(store.path(file), OpenMode::kReadOnly);
  if (opened.ok() || opened.error().code() != ErrorCode::kNotFound) co_return opened;
  if (!may_be_missing) damages.add({file, 0, "the file is missing"});
  co_return nullptr;
}

// Both, or none.
Task<Result<std::optional<LayerFiles>>> open_files(Runtime runtime, const StoreView& store,
                                                   engine::LayerId id, bool may_be_missing,
                                                   DamageList& damages) {
  LayerFiles files;
  ASHLAR_CO_TRY_ASSIGN(files.data,
                       co_await open_file(runtime, store, data_file(id), may_be_missing, damages));
  ASHLAR_CO_TRY_ASSIGN(files.map,
                       co_await open_file(runtime, store, map_file(id), may_be_missing, damages));
  if (!files.data || !files.map) co_return std::nullopt;
  co_return std::optional<LayerFiles>(std::move(files));
}

// One layer on its way through.
struct LayerWork {
  const std::string data_name;
  const LayerDepth depth;
  BlockCheck check;
  DamageList& damages;
  LayerFigures figures;
};

std::uint64_t count_bits(unsigned bits) {
  return static_cast<std::uint64_t>(std::popcount(bits));
}

void count_entry(LayerWork& work, engine::ChunkIndex chunk, const engine::ChunkEntry& entry) {
  const unsigned present = entry.present;
  const unsigned discarded = entry.discarded;
  const unsigned lost = present & discarded;
  ++work.figures.chunks;
  work.figures.present_blocks += count_bits(present & ~lost);
  work.figures.discarded_blocks += count_bits(discarded & ~lost);
  work.figures.damaged_blocks += count_bits(lost);
  for (unsigned place = 0; place < engine::kBlocksPerChunk; ++place) {
    if ((lost >> place & 1) == 0) continue;
    const BlockIndex block = engine::first_block_of(chunk) + place;
    work.damages.add({work.data_name, block.value() * kBlockSize,
                      fmt::format("block {} is marked as damaged in the map", block)});
  }
}

Task<Result<>> look_at_page(LayerWork& work, const MapPageView& page) {
  ++work.figures.map_pages;
  const auto damaged = static_cast<std::uint64_t>(std::popcount(page.damaged));
  work.figures.damaged_entries += damaged;
  work.figures.chunks += damaged;
  work.figures.damaged_blocks += damaged * engine::kBlocksPerChunk;
  for (unsigned slot = 0; slot < engine::kEntriesPerPage; ++slot) {
    if (!page.is_known(slot)) continue;
    const engine::ChunkEntry entry = engine::read_entry(page.bytes, slot);
    count_entry(work, page.chunk(slot), entry);
    if (work.depth == LayerDepth::kMap) continue;
    for (unsigned place = 0; place < engine::kBlocksPerChunk; ++place) {
      const engine::BlockInfo info = entry.block(place);
      if (info.state != engine::BlockState::kPresent) continue;
      ASHLAR_CO_TRY(
          co_await work.check.add(engine::first_block_of(page.chunk(slot)) + place, info.checksum));
    }
  }
  co_return Result<>();
}

}  // namespace

Task<Result<std::optional<LayerFigures>>> scan_layer(Runtime runtime, BufferPool& pool,
                                                     const StoreView& store, engine::LayerId id,
                                                     LayerDepth depth, DamageList& damages,
                                                     Progress& progress) {
  const LayerUse& use = store.layers.at(id);
  ASHLAR_CO_TRY_ASSIGN(std::optional<LayerFiles> files,
                       co_await open_files(runtime, store, id, use.may_be_missing, damages));
  if (!files) co_return std::nullopt;
  ASHLAR_CO_TRY_ASSIGN(Buffer buffer,
                       pool.allocate(ByteCount(BlockCheck::kMostBlocks * kBlockSize)));
  const std::string data_name = data_file(id);
  LayerWork work{.data_name = data_name,
                 .depth = depth,
                 .check = BlockCheck(*files->data, data_name, use.volume, std::move(buffer),
                                     damages, progress),
                 .damages = damages};
  LayerFigures& figures = work.figures;
  ASHLAR_CO_TRY_ASSIGN(figures.data_size, co_await files->data->size());
  ASHLAR_CO_TRY_ASSIGN(figures.data_allocated, co_await files->data->allocated());
  ASHLAR_CO_TRY_ASSIGN(figures.map_allocated, co_await files->map->allocated());
  progress.begin(data_name);
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<MapScan> scan,
                       co_await MapScan::open(std::move(files->map), map_file(id), pool,
                                              engine::MapSeed(use.volume, id), damages));
  figures.map_size = scan->size();
  for (engine::MapPageIndex at;;) {
    ASHLAR_CO_TRY_ASSIGN(const std::optional<MapPageView> page, co_await scan->next(at));
    if (!page) break;
    ASHLAR_CO_TRY(co_await look_at_page(work, *page));
    progress.add(engine::kMapPageSize);
    at = page->index.next();
  }
  ASHLAR_CO_TRY(co_await work.check.finish());
  figures.checked_blocks = work.check.checked();
  co_return std::optional<LayerFigures>(figures);
}

}  // namespace ashlar::store_tool
