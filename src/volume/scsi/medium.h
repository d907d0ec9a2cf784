// Medium: whether the unit's medium is loaded and locked (SBC-3, START STOP UNIT and PREVENT ALLOW
// MEDIUM REMOVAL). Only a unit that is declared removable can lose it. Nothing spins here: a STOP
// writes the cache down and changes nothing else.
#pragma once

#include <optional>
#include <set>

#include "volume/scsi/device.h"
#include "volume/scsi/sense.h"

namespace ashlar::scsi {

class Medium {
 public:
  bool is_loaded() const { return is_loaded_; }
  bool is_prevented() const { return !preventing_.empty(); }
  // Why a command that needs the medium cannot have it.
  std::optional<Sense> refusal() const;

  void load() { is_loaded_ = true; }
  void eject() { is_loaded_ = false; }

  void prevent(const NexusName& name) { preventing_.insert(name); }
  void allow(const NexusName& name) { preventing_.erase(name); }
  void on_nexus_loss(const NexusName& name) { allow(name); }
  // What is ejected stays so.
  void reset() { preventing_.clear(); }

 private:
  bool is_loaded_ = true;
  std::set<NexusName> preventing_;
};

}  // namespace ashlar::scsi
