// Device: a SCSI target device (SAM-5) as a transport sees it: logical units by LUN, the nexuses of
// its initiators, commands and task management.
//
//   std::unique_ptr<Nexus> nexus = device.open_nexus({…});         // a session begins
//   const Response response = co_await device.execute(*nexus, command);
//   const TaskManagementAnswer answer = co_await device.manage(*nexus, function, lun, tag);
//   device.close_nexus(std::move(nexus))                            // no command may be under way
//
// Commands run side by side; the task set orders them only where SAM says so (ORDERED, HEAD OF
// QUEUE). Checks come in SAM's order: LUN, unit attention, opcode, reservation, fields
// (LogicalUnit::refuse). A unit attention is reported once per nexus.
//
// Task management answers when what it concerns is over or can have no effect any more: commands
// that wait for data end at once, those that are in the log are waited for. Their execute() gives a
// response that says is_aborted (or status kTaskAborted for another nexus, as the control mode page
// says).
//
// Cancelling execute() ends it only where it waits for the initiator or for its turn; a command
// that has begun to change the volume is finished.
//
// Belongs to its executor. Volumes outlive the units made of them. Units are removed before the
// device is destroyed, for they may have work in the background.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/endpoint.h"
#include "common/base/random.h"
#include "common/runtime/clock.h"
#include "volume/core/volume.h"
#include "volume/scsi/command.h"
#include "volume/scsi/unit_attention.h"

namespace ashlar::scsi {

class LogicalUnit;
class OpcodeTable;
struct NexusMemory;

// Who speaks to the device, and through which port of it.
struct NexusName {
  std::string initiator;            // iSCSI name
  std::uint64_t isid = 0;           // 48 bits
  std::uint16_t relative_port = 1;  // of the target port, SPC-4 relative target port identifier
  std::uint16_t port_group = 1;     // target portal group tag, and target port group

  friend auto operator<=>(const NexusName&, const NexusName&) = default;
};

// A port of the target device.
struct TargetPort {
  std::uint16_t relative_port = 1;
  std::uint16_t port_group = 1;

  friend auto operator<=>(const TargetPort&, const TargetPort&) = default;
};

struct DeviceOptions {
  std::string name;  // iSCSI name of the target: designators of VPD 83, TransportIDs
  // All of this device, for VPD 88 and REPORT TARGET PORT GROUPS. With none given it has those that
  // initiators have come through.
  std::vector<TargetPort> ports{};
};

// RFC 7143, 11.5.1; the first six are SAM's.
enum class TaskManagementFunction : std::uint8_t {
  kAbortTask = 1,
  kAbortTaskSet = 2,
  kClearAca = 3,
  kClearTaskSet = 4,
  kLogicalUnitReset = 5,
  kTargetWarmReset = 6,
  kTargetColdReset = 7,
  kTaskReassign = 8,
};

enum class TaskManagementAnswer : std::uint8_t {
  kComplete = 0,
  kTaskDoesNotExist = 1,
  kLunDoesNotExist = 2,
  kReassignNotSupported = 4,
  kNotSupported = 5,
  kRejected = 255,
};

// SAM-5, 4.7: single-level LUNs, in peripheral or flat addressing. Nothing when `lun` is none.
std::optional<std::uint16_t> decode_lun(std::uint64_t lun);
std::uint64_t encode_lun(std::uint16_t lun);

class Nexus;  // one initiator port at one target port; its unit attentions; defined in nexus.h

class Device {
 public:
  static constexpr std::uint16_t kLargestLun = 0x3fff;
  // Initiator ports that have gone and whose unit attentions are kept for when they come back; who
  // is forgotten hears of a power on instead, which says more.
  static constexpr std::size_t kMostRemembered = 1024;

  // All outlive the device.
  Device(Clock& clock, Random& random, BufferPool& pool, DeviceOptions options);
  virtual ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceOptions& options() const { return options_; }
  Clock& clock() { return clock_; }
  Random& random() { return random_; }
  BufferPool& pool() { return pool_; }

  // REPORTED LUNS DATA HAS CHANGED to every nexus.
  Result<> add_unit(std::uint16_t lun, volume::Volume& volume);
  // Waits until its commands are over. What goes on in its background (SANITIZE) stops, and goes on
  // with the next unit that is made of the volume.
  Task<Result<>> remove_unit(std::uint16_t lun);
  LogicalUnit* find(std::uint16_t lun);
  // In ascending order.
  std::vector<std::uint16_t> luns() const;

  // In ascending order; the one that `name` speaks through is always among them.
  std::vector<TargetPort> ports(const NexusName& name) const;
  // Live or remembered.
  std::vector<NexusName> nexuses() const;

  // A new session of an initiator port that was here before gets the unit attentions that wait for
  // it. One nexus a name at a time (checked).
  std::unique_ptr<Nexus> open_nexus(NexusName name);
  // I_T nexus loss: no command of it may be under way.
  void close_nexus(std::unique_ptr<Nexus> nexus);

  // Virtual for the tests of transports, which need a device that does as they say.
  virtual Task<Response> execute(Nexus& nexus, const Command& command);
  // `tag` for kAbortTask. A cold reset ends sessions; that part is the transport's.
  virtual Task<TaskManagementAnswer> manage(Nexus& nexus, TaskManagementFunction function,
                                            std::uint64_t lun, std::uint32_t tag);

  // For units: to every nexus of that LUN, live or remembered, but not to `except`; or to one.
  void raise(std::uint16_t lun, UnitAttention attention, const Nexus* except);
  void raise_to(const NexusName& name, std::uint16_t lun, UnitAttention attention);

 private:
  void forget_oldest();
  Task<TaskManagementAnswer> reset(Nexus& by, std::vector<std::uint16_t> luns);

  Clock& clock_;
  Random& random_;
  BufferPool& pool_;
  const OpcodeTable& table_;
  DeviceOptions options_;
  std::map<std::uint16_t, std::unique_ptr<LogicalUnit>> units_;
  std::map<NexusName, std::unique_ptr<NexusMemory>> nexuses_;  // live or remembered
  std::uint64_t nexuses_left_ = 0;
};

}  // namespace ashlar::scsi
