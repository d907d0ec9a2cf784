// Nexus: one initiator port at one target port (SAM's I_T nexus), for as long as its session lasts.
// What is to outlast the session, the unit attentions of a port that has gone and may come back,
// stands in the device's NexusMemory.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "volume/scsi/device.h"
#include "volume/scsi/unit_attention.h"

namespace ashlar::scsi {

struct NexusMemory {
  Nexus* live = nullptr;
  std::uint64_t left = 0;  // when the session ended: a count of all such ends
  std::map<std::uint16_t, UnitAttentions> attentions;  // by LUN
};

class Nexus {
 public:
  Nexus(NexusName name, NexusMemory& memory) : name_(std::move(name)), memory_(memory) {
    memory_.live = this;
  }
  // By Device::close_nexus; only a simulated process that is killed goes without it.
  ~Nexus() { memory_.live = nullptr; }
  Nexus(const Nexus&) = delete;
  Nexus& operator=(const Nexus&) = delete;

  const NexusName& name() const { return name_; }
  UnitAttentions& attentions(std::uint16_t lun) { return memory_.attentions[lun]; }

 private:
  const NexusName name_;
  NexusMemory& memory_;
};

}  // namespace ashlar::scsi
