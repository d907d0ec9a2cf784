// EXTENDED COPY (LID1) and RECEIVE COPY RESULTS (SPC-4, 6.4 and 6.24): block to block, between the
// units of this device. What the source does not hold is unmapped at the destination instead of
// being written as zeros, so a copy of a thin volume is thin.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "volume/scsi/device.h"
#include "volume/scsi/opcodes.h"
#include "volume/scsi/sense.h"

namespace ashlar::scsi {

// What RECEIVE COPY RESULTS tells of the copies that came through one unit: those that go on, and
// the last ones that are over, by nexus and list identifier.
class CopyResults {
 public:
  // Of copies that are over; the oldest is forgotten for the next.
  static constexpr std::size_t kMostHeld = 64;

  struct Copy {
    bool is_running = true;
    std::uint16_t segments = 0;  // that are done
    std::uint64_t bytes = 0;     // that were written
    std::optional<Sense> failure;
    std::uint64_t ended = 0;  // a count of all such ends
  };

  // Null when there are too many, or one of this nexus and identifier goes on. What was held under
  // the identifier is forgotten. Without an identifier nobody can ask for it.
  Copy* begin(const NexusName& name, std::optional<std::uint8_t> list_id);
  bool is_running(const NexusName& name, std::uint8_t list_id) const;
  void end(Copy& copy, std::optional<Sense> failure);
  const Copy* find(const NexusName& name, std::uint8_t list_id) const;
  void on_nexus_loss(const NexusName& name);

 private:
  // Those without an identifier have numbers behind all identifiers.
  using Key = std::pair<NexusName, std::uint32_t>;

  void forget_oldest();

  std::map<Key, Copy> copies_;
  std::size_t running_ = 0;
  std::uint32_t next_nameless_ = 0x100;
  std::uint64_t ends_ = 0;
};

std::span<const Opcode> extended_copy_commands();

}  // namespace ashlar::scsi
