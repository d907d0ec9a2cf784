// What survives every crash in the engine's scenario: the model of each volume, the knobs of the
// run, and the verdict.
#pragma once

#include <list>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/runtime/sim/sim_node.h"
#include "engine/store.h"
#include "tests/engine/engine_scenario.h"
#include "tests/engine/volume_model.h"

namespace ashlar::engine {

inline constexpr std::uint64_t kLargestTestVolume = 2048;  // blocks

struct Volume {
  enum class Being : std::uint8_t { kCreating, kThere, kDeleting, kGone };

  Volume(unsigned n, std::uint64_t size_blocks, model::Contents contents)
      : number(n), model(size_blocks, std::move(contents)) {}

  ReplicaUuid replica_uuid() const;
  VolumeUuid uuid() const;

  const unsigned number;
  model::VolumeModel model;
  Being being = Being::kCreating;
  CommitRule rule = CommitRule::kDurable;
  // The first is acknowledged; others were under way.
  std::vector<std::vector<std::byte>> attachments{{}};
  Epoch promised;                     // acknowledged
  Epoch promised_at_most;             // was asked for
  std::optional<VolumeUuid> copy_of;  // it is a second replica of a volume
  bool installing = false;            // and not complete: nobody asks what is in it
  bool is_clone = false;
  Lsn flushed;  // what flush() has promised, of a buffered volume

  // Of this life.
  Replica* replica = nullptr;
  std::uint64_t users = 0;
  bool exclusive = false;  // nothing new may begin
  bool cutting = false;    // its commit LSN must stand still
  bool resizing = false;
  bool wording = false;  // its attachment is being set
  bool scrubbing = false;
  MonoTime steady_until;  // its stable LSN stands still
  std::set<SnapshotUuid> busy;
  std::size_t layers = 0;
};

struct EngineWorld;

// A peer that has every volume as the model has it.
class ModelPeer final : public RepairSource {
 public:
  explicit ModelPeer(EngineWorld& world) : world_(world) {}
  Task<Result<Buffer>> fetch(VolumeUuid volume, BlockRange blocks, Lsn at_most) override;

 private:
  EngineWorld& world_;
};

struct EngineWorld {
  explicit EngineWorld(Random r) : random(std::move(r)) {}
  EngineWorld(const EngineWorld&) = delete;
  EngineWorld& operator=(const EngineWorld&) = delete;

  bool loses_data() const { return trouble >= Trouble::kReadError; }
  bool may_show_old() const { return trouble >= Trouble::kMisdirected; }
  bool breaks_lives() const {
    return trouble == Trouble::kWriteError || trouble == Trouble::kSyncError || loses_data();
  }
  bool lacks_space() const { return trouble == Trouble::kNoSpace || trouble == Trouble::kFullDisk; }

  void fail(std::string why) {
    if (failure.empty()) failure = std::move(why);
  }
  // An error that the run's trouble explains ends this life; any other is a failure.
  void judge(const Volume* volume, std::string_view what, const Error& error);
  bool over() const { return !failure.empty() || is_broken || budget == 0; }
  // A volume that is there and takes operations; null when there is none.
  Volume* any_volume();
  Volume& add_volume(std::uint64_t size_blocks, model::Contents contents);
  void absorb(const Store& store);

  Random random;
  Trouble trouble = Trouble::kNone;
  StoreOptions options;
  unsigned most_volumes = 4;
  unsigned clients = 3;
  std::uint64_t longest_write = 64;
  std::uint64_t buffered_percent = 0;  // of the volumes
  bool repairs = false;                // there is a peer to ask
  ModelPeer peer{*this};
  bool formatted = false;
  std::list<Volume> volumes;
  unsigned next_volume = 1;
  model::Tag next_tag = 1;
  EngineCounts counts;
  EngineCounts life_counts;  // of the store that is open
  std::string failure;

  // Of this life.
  sim::SimNode* node = nullptr;
  Store* store = nullptr;
  BufferPool* pool = nullptr;
  std::uint64_t budget = 0;  // operations left
  bool is_broken = false;    // the disk has failed us
  bool opened = false;
  bool power_failed = false;  // before it
  bool power_fails_next = false;
};

// One life of the process.
Task<void> live(EngineWorld* world, Runtime runtime);

// engine_clients.cc
Task<void> run_clients(EngineWorld* world);

// engine_recovery.cc
struct PeekedLog {
  std::map<ReplicaUuid, std::vector<model::LoggedRecord>> records;
};
Task<Result<PeekedLog>> peek_log(EngineWorld* world);
Task<Result<>> judge_recovery(EngineWorld* world, const PeekedLog& log);
Task<Result<>> judge_directory(EngineWorld* world, Runtime runtime);

}  // namespace ashlar::engine
