// The commands of ashlar-store. Each reads one store directory and prints what it found on stdout;
// none writes, syncs or locks anything in it.
//
// The answer is false when damage was found; an error says that there was nothing to look at, or
// that the disk failed in another way.
#pragma once

#include <limits>
#include <optional>
#include <string>

#include "cli/store/document.h"
#include "common/base/result.h"
#include "common/base/uuid.h"
#include "common/runtime/runtime.h"

namespace ashlar::store_tool {

struct CommandOptions {
  std::string directory;
  OutputForm form = OutputForm::kTable;
  bool is_in_use = false;  // a server has it open

  // log dump, chunks
  std::optional<ReplicaUuid> replica;
  std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();  // of records
  // chunks
  std::optional<std::uint64_t> layer;  // its place in the replica's list; the head if not given
  std::uint64_t from = 0;
  std::uint64_t count = std::numeric_limits<std::uint64_t>::max();
};

enum class Finding : std::uint8_t { kFine, kDamage };

Task<Result<Finding>> show_info(Runtime runtime, CommandOptions options);
Task<Result<Finding>> dump_log(Runtime runtime, CommandOptions options);
Task<Result<Finding>> verify_store(Runtime runtime, CommandOptions options);
Task<Result<Finding>> show_chunks(Runtime runtime, CommandOptions options);

}  // namespace ashlar::store_tool
