// PlantedBug: mistakes that the engine makes on purpose, so that its tests show that they find
// them. Chosen by StoreOptions::bug, which only tests set; each stands at one place in the code,
// none on the way of a read or write that is answered from memory.
//
// `ashlar_sim --scenario engine --bug NAME` runs the model with one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ashlar::engine {

enum class PlantedBug : std::uint8_t {
  kNone,
  // the log
  kAckBeforeDurable,
  kPlainLogWrite,
  kDurableBehindPlain,
  kLogSyncErrorIgnored,
  // the tail of the log
  kReleaseBeforeCheckpoint,
  kCheckpointAtMaximum,
  kHiddenRecordsForgotten,
  kCopyCountsAtOnce,
  // commit, tails, epochs
  kReadUncommitted,
  kCutInMemoryOnly,
  kCutOneTooFew,
  kCutIgnoredByRecovery,
  kPromiseNotStored,
  // the flusher
  kFlushDoesNothing,
  kFlushAboveStable,
  kNoSyncOfLayers,
  kStateBeforeLayers,
  kStateNotStored,
  kDiscardsNotMapped,
  kResizeForgotten,
  kReservationsForgotten,
  // snapshots and layers
  kSnapshotOneTooLate,
  kRevertKeepsTheNew,
  kCloneOfTheHead,
  kMergeLosesDiscards,
  kMergeWithoutSync,
  // names
  kReplicaNameNotSynced,
  kDeletionNotSynced,
  // changes in place, copies, damage
  kModifyNotAtomic,
  kInstallOverwritesLive,
  kExportMissesFirstChange,
  kChecksumsNotCompared,
  kRepairWithAnyBytes,
};

struct PlantedBugName {
  PlantedBug bug;
  std::string_view name;
};
inline constexpr auto kPlantedBugs = std::to_array<PlantedBugName>({
    {PlantedBug::kAckBeforeDurable, "ack-before-durable"},
    {PlantedBug::kPlainLogWrite, "plain-log-write"},
    {PlantedBug::kDurableBehindPlain, "durable-behind-plain"},
    {PlantedBug::kLogSyncErrorIgnored, "log-sync-error-ignored"},
    {PlantedBug::kReleaseBeforeCheckpoint, "release-before-checkpoint"},
    {PlantedBug::kCheckpointAtMaximum, "checkpoint-at-maximum"},
    {PlantedBug::kHiddenRecordsForgotten, "hidden-records-forgotten"},
    {PlantedBug::kCopyCountsAtOnce, "copy-counts-at-once"},
    {PlantedBug::kReadUncommitted, "read-uncommitted"},
    {PlantedBug::kCutInMemoryOnly, "cut-in-memory-only"},
    {PlantedBug::kCutOneTooFew, "cut-one-too-few"},
    {PlantedBug::kCutIgnoredByRecovery, "cut-ignored-by-recovery"},
    {PlantedBug::kPromiseNotStored, "promise-not-stored"},
    {PlantedBug::kFlushDoesNothing, "flush-does-nothing"},
    {PlantedBug::kFlushAboveStable, "flush-above-stable"},
    {PlantedBug::kNoSyncOfLayers, "no-sync-of-layers"},
    {PlantedBug::kStateBeforeLayers, "state-before-layers"},
    {PlantedBug::kStateNotStored, "state-not-stored"},
    {PlantedBug::kDiscardsNotMapped, "discards-not-mapped"},
    {PlantedBug::kResizeForgotten, "resize-forgotten"},
    {PlantedBug::kReservationsForgotten, "reservations-forgotten"},
    {PlantedBug::kSnapshotOneTooLate, "snapshot-one-too-late"},
    {PlantedBug::kRevertKeepsTheNew, "revert-keeps-the-new"},
    {PlantedBug::kCloneOfTheHead, "clone-of-the-head"},
    {PlantedBug::kMergeLosesDiscards, "merge-loses-discards"},
    {PlantedBug::kMergeWithoutSync, "merge-without-sync"},
    {PlantedBug::kReplicaNameNotSynced, "replica-name-not-synced"},
    {PlantedBug::kDeletionNotSynced, "deletion-not-synced"},
    {PlantedBug::kModifyNotAtomic, "modify-not-atomic"},
    {PlantedBug::kInstallOverwritesLive, "install-overwrites-live"},
    {PlantedBug::kExportMissesFirstChange, "export-misses-first-change"},
    {PlantedBug::kChecksumsNotCompared, "checksums-not-compared"},
    {PlantedBug::kRepairWithAnyBytes, "repair-with-any-bytes"},
});

inline std::optional<PlantedBug> planted_bug(std::string_view name) {
  for (const PlantedBugName& one : kPlantedBugs) {
    if (one.name == name) return one.bug;
  }
  return std::nullopt;
}

}  // namespace ashlar::engine
