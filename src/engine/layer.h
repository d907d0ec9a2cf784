// Layer: one sparse data file and its chunk map. The head layer takes what the flusher writes, the
// layers below are what snapshots left. docs/formats/layer.md draws the files.
//
//   <directory>/<creator uuid>-<number>.data   block b at byte b * 4096
//   <directory>/<creator uuid>-<number>.map    chunk_map.h
//
// Reading: look_up() says of each block whether the layer has it and with which checksum; then
// data().read(). A flush may go on at the same time: the caller that finds a checksum wrong looks
// up again before it believes in damage (L57).
//
// A block that is present may still end behind the data file's end, or not be readable, or not
// match: to its reader all three are the same damage.
//
// Changing, by one coroutine at a time (the replica's flush lock), in this order:
//   write_blocks / punch      bytes
//   mark_*                    the map, in memory: readers see it at once
//   write_map                 the map's dirty pages to the file
//   sync                      both files on stable media, and what write_map() had left
// Nothing here is atomic over a power failure: until sync() has resolved, the log must still hold
// every block that was changed (and only those are at risk: a map sector holds whole entries). To
// destroy a layer is to close it; what was not synced is then at risk too, as in a crash. A range
// that changes more of the map than the cache should hold is written in part before write_map().
//
// After an error of a write what was not written is still dirty, and another call tries again. A
// failed fdatasync is sticky: nobody knows what is on the disk until the layer is opened again.
//
// Space is taken by what is present; punch() gives it back.
//
// Belongs to its executor's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "common/base/result.h"
#include "common/base/uuid.h"
#include "common/runtime/file.h"
#include "common/runtime/task.h"
#include "engine/block_range.h"
#include "engine/chunk.h"
#include "engine/chunk_map.h"
#include "engine/map_cache.h"

namespace ashlar::engine {

struct LayerOptions {
  std::string directory;
  LayerId id;
  VolumeUuid volume;  // seeds the checksums of blocks and of map entries
};

class Layer {
 public:
  // New files, durable with their names when it resolves. What an unfinished create() left is
  // replaced.
  static Task<Result<std::unique_ptr<Layer>>> create(FileSystem& files, MapCache& cache,
                                                     LayerOptions options);
  static Task<Result<std::unique_ptr<Layer>>> open(FileSystem& files, MapCache& cache,
                                                   LayerOptions options);
  // Removes its files, as far as they are there; durable when it resolves.
  static Task<Result<>> remove(FileSystem& files, std::string directory, LayerId id);

  // Names of its two files.
  static std::string data_name(const LayerId& id);
  static std::string map_name(const LayerId& id);

  const LayerId& id() const { return options_.id; }
  const VolumeUuid& volume() const { return options_.volume; }
  File& data() { return *data_; }

  // For every block of `range`, in order; `out` has range.count entries. The first answers only
  // when all it needs is in memory, and says whether it did; it allocates nothing.
  bool try_look_up(BlockRange range, std::span<BlockInfo> out);
  Task<Result<>> look_up(BlockRange range, std::span<BlockInfo> out);

  // `pieces` hold range.count blocks. All or nothing is not promised.
  Task<Result<>> write_blocks(BlockRange range, std::span<const ConstIoSlice> pieces);
  // Gives the space of the range back, in the data file only.
  Task<Result<>> punch(BlockRange range);

  // The blocks are present with these checksums.
  Task<Result<>> mark_written(BlockRange range, std::span<const std::uint32_t> checksums, Lsn lsn);
  // The blocks are zeros: hidden where one of `below` knows a chunk, forgotten elsewhere. Costs by
  // the map pages that exist here or below, not by the length of the range (L59).
  Task<Result<>> mark_discarded(BlockRange range, Lsn lsn, std::span<Layer* const> below);
  // The layer knows nothing of the blocks any more (a merge has moved them).
  Task<Result<>> mark_absent(BlockRange range);
  // Sets an entry as it is: a merge, or a copy that is being installed.
  Task<Result<>> set_entry(ChunkIndex chunk, const ChunkEntry& entry);

  Task<Result<>> write_map();
  Task<Result<>> sync();
  // Pages of the map that a write_map() would write: to bound a pass.
  std::uint64_t dirty_pages() const;

  // What the map says of one chunk; an empty entry if nothing.
  Task<Result<MappedChunk>> entry(ChunkIndex chunk);
  // The first chunk at or behind `from` that has an entry; costs by the pages that exist.
  Task<Result<std::optional<MappedChunk>>> next_chunk(ChunkIndex from);

 private:
  struct Files {
    std::unique_ptr<File> data;
    std::unique_ptr<File> map;
  };

  static Task<Result<Files>> open_files(FileSystem& files, const LayerOptions& options,
                                        OpenMode mode);
  static Task<Result<>> empty_file(File& file);

  Layer(MapCache& cache, LayerOptions options, Files files, ByteCount data_size,
        ByteCount map_size);

  Task<Result<>> sync_file(File& file);

  const LayerOptions options_;
  const std::unique_ptr<File> data_;
  const std::unique_ptr<File> map_file_;
  ChunkMap map_;
  ByteCount data_size_;  // at least; others may write through data()
  std::optional<Error> sync_failure_;
};

}  // namespace ashlar::engine
