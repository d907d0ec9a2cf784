// UnitMemory: a unit's UnitState and its copy in the log. Who changes it holds the lock, makes the
// next state out of state(), and stores it; state() is the next one only when that is durable.
//
//   const Result<Mutex::Guard> guard = co_await memory.lock();
//   UnitState next = memory.state();
//   …
//   const Result<> stored = co_await memory.store(std::move(next));
#pragma once

#include <optional>

#include "common/base/result.h"
#include "common/runtime/sync.h"
#include "common/runtime/task.h"
#include "volume/core/volume.h"
#include "volume/scsi/unit_state.h"

namespace ashlar::scsi {

// How a unit begins: with the server's process, which is a power on; or by taking a volume over
// from another server, which is none.
enum class UnitStart : std::uint8_t { kPowerOn, kTakeover };

class UnitMemory {
 public:
  UnitMemory(volume::Volume& volume, UnitStart start);

  const UnitState& state() const { return state_; }
  // Why the state could not be read. Then the unit serves nothing: it cannot know whom it may
  // serve.
  const std::optional<Error>& fault() const { return fault_; }

  auto lock() { return mutex_.lock(); }
  Task<Result<>> store(UnitState next);

 private:
  volume::Volume& volume_;
  UnitState state_;
  std::optional<Error> fault_;
  Mutex mutex_;
};

}  // namespace ashlar::scsi
