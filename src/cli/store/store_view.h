// StoreView: what the small files of a store say, read and changed by nobody. The log, the maps and
// the data are read through what is found here.
//
//   Result<StoreView> store = co_await StoreView::read(runtime, directory, damages);
//
// An error means that there is nothing to look at: no store, no permission, a later version, a disk
// that fails otherwise than by damage. Everything else is in the view, and what is not as it must
// be in the list of damages: of each small file both slots, and whether their bodies make sense.
//
// When a server has the store open, the files were read one after the other and need not fit
// together.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/store/damage.h"
#include "common/base/result.h"
#include "common/runtime/runtime.h"
#include "engine/slot_file.h"
#include "engine/store_format.h"

namespace ashlar::store_tool {

struct ReplicaView {
  std::string file;  // relative to the directory
  bool is_being_deleted = false;
  std::optional<engine::ReplicaState> state;
  std::uint64_t generation = 0;  // of the slot that holds the state
  std::string why_unreadable;    // when there is no state
};

// A slot that is neither whole nor unused. Half a write by a process that was killed looks like
// this, and so does damage.
struct BrokenSlot {
  std::string file;
  std::size_t slot = 0;
  std::uint64_t offset = 0;
  std::string why;
};

// A layer that some replica names.
struct LayerUse {
  VolumeUuid volume;
  // Only a replica that is being deleted names it: its files may be gone already.
  bool may_be_missing = true;
};

struct StoreView {
  std::string directory;
  std::optional<engine::StoreState> state;
  std::uint64_t generation = 0;  // of the superblock
  std::optional<engine::OwnerRecord> owner;
  std::vector<ReplicaView> replicas;
  std::map<engine::LayerId, LayerUse> layers;
  std::vector<std::string> unnamed;      // files that nobody names
  std::vector<std::string> quarantined;  // set aside by a server or an operator
  std::vector<BrokenSlot> broken_slots;
  std::uint64_t slots = 0;  // that were looked at

  static Task<Result<StoreView>> read(Runtime runtime, std::string directory, DamageList& damages);

  std::string path(std::string_view file) const { return directory + "/" + std::string(file); }
  // Nothing for a replica that is not here, or not readable.
  const ReplicaView* find(const ReplicaUuid& replica) const;
};

// Of a named layer, relative to the store's directory.
std::string data_file(const engine::LayerId& id);
std::string map_file(const engine::LayerId& id);

}  // namespace ashlar::store_tool
