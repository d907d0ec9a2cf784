// LogicalUnit: one volume as a disk: what a unit remembers between commands, and the checks that
// every command passes before its handler runs.
//
// Belongs to its device.
#pragma once

#include <cstdint>
#include <optional>

#include "common/runtime/sync.h"
#include "common/runtime/task.h"
#include "volume/core/volume.h"
#include "volume/scsi/command.h"
#include "volume/scsi/extended_copy.h"
#include "volume/scsi/medium.h"
#include "volume/scsi/mode_pages.h"
#include "volume/scsi/reservations.h"
#include "volume/scsi/sanitize.h"
#include "volume/scsi/task_set.h"
#include "volume/scsi/unit_attention.h"
#include "volume/scsi/unit_memory.h"

namespace ashlar::scsi {

class Device;
struct CommandContext;
struct NexusName;

// Of a target port group towards this unit (SPC-4, 5.15.2.4); values as in REPORT TARGET PORT
// GROUPS.
enum class AccessState : std::uint8_t {
  kActiveOptimized = 0x0,
  kActiveNonOptimized = 0x1,
  kStandby = 0x2,
  kUnavailable = 0x3,
  kTransitioning = 0xf,
};

class LogicalUnit final : public volume::VolumeObserver {
 public:
  LogicalUnit(Device& device, std::uint16_t lun, volume::Volume& volume,
              UnitStart start = UnitStart::kPowerOn);
  LogicalUnit(const LogicalUnit&) = delete;
  LogicalUnit& operator=(const LogicalUnit&) = delete;
  ~LogicalUnit() = default;

  Device& device() { return device_; }
  std::uint16_t lun() const { return lun_; }
  volume::Volume& volume() { return volume_; }
  const volume::VolumeSettings& settings() const { return volume_.settings(); }
  std::uint32_t block_size() const { return volume_.settings().logical_block_size; }
  // Logical blocks.
  std::uint64_t capacity() const { return volume_.size().value() / block_size(); }
  // The one state today: a volume has one copy, and who reaches us reaches it.
  AccessState access_state() const { return AccessState::kActiveOptimized; }

  TaskSet& tasks() { return tasks_; }
  UnitMemory& memory() { return memory_; }
  Medium& medium() { return medium_; }
  ModePages& mode_pages() { return mode_pages_; }
  Reservations& reservations() { return reservations_; }
  SanitizeOperation& sanitize() { return sanitize_; }
  CopyResults& copy_results() { return copy_results_; }

  // Held by a command of another unit that works on this one (EXTENDED COPY): no task of this unit
  // says that it is there.
  class Use {
   public:
    explicit Use(LogicalUnit& unit) : unit_(unit) { ++unit_.uses_; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() {
      if (--unit_.uses_ != 0) return;
      unit_.unused_.set();
      unit_.unused_.reset();
    }

   private:
    LogicalUnit& unit_;
  };
  Task<Result<>> wait_until_unused();
  // It is being removed: nobody begins anything new.
  void leave() { is_leaving_ = true; }
  bool is_leaving() const { return is_leaving_; }

  // What stops this command before its handler, in SAM's order: unit attention, opcode, sanitize,
  // reservation, port group, fields, gate, medium, write protection. `row` may be null.
  std::optional<Response> refuse(Nexus& nexus, const Command& command, const Opcode* row,
                                 bool knows_code);

  // To every nexus, also those whose session is gone for now, but not to `except`.
  void raise(UnitAttention attention, const Nexus* except = nullptr);
  void raise_to(const NexusName& name, UnitAttention attention);

  // Logical unit reset (SAM-5, 6.3.3), when all commands are over: what does not outlast a reset
  // goes, and every nexus is told.
  void reset();
  // Of a nexus that has gone: its SPC-2 reservation and its prevention of medium removal.
  void on_nexus_loss(const Nexus& nexus);

  void on_resized() override;
  void on_settings_changed() override;

 private:
  Device& device_;
  const std::uint16_t lun_;
  volume::Volume& volume_;
  TaskSet tasks_;
  UnitMemory memory_;
  Medium medium_;
  ModePages mode_pages_;
  Reservations reservations_;
  SanitizeOperation sanitize_;
  CopyResults copy_results_;
  std::uint32_t uses_ = 0;
  Event unused_;
  bool is_leaving_ = false;
};

}  // namespace ashlar::scsi
