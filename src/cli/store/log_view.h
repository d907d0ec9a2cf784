// LogView: the log as recovery would find it: the chain from the checkpoint to its end, what that
// end means, and where each replica stands with the records of the log.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cli/store/damage.h"
#include "cli/store/progress.h"
#include "cli/store/replica_history.h"
#include "cli/store/store_view.h"
#include "engine/log_reader.h"

namespace ashlar::store_tool {

struct LogView {
  engine::LogRecovery recovery;
  std::string why_it_ends;
  std::uint64_t end_offset = 0;  // of the end of the chain, in the file
  std::map<ReplicaUuid, ReplicaHistory> histories;
  // Of replicas that are not in the store or not readable: their payloads cannot be compared.
  std::uint64_t unchecked_records = 0;
};

// Nothing when there is no log to scan: the list of damages says why. `see` gets each batch.
Task<Result<std::optional<LogView>>> view_log(Runtime runtime, const StoreView& store,
                                              const engine::LogReader::SeeBatch& see,
                                              DamageList& damages, Progress& progress);

}  // namespace ashlar::store_tool
