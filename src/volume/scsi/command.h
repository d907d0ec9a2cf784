// A SCSI command as a transport hands it to a device, and the answer.
//
// Data-out is pulled: the unit first decides from the CDB alone what it wants (nothing is fetched
// for a command that is refused), then fetches as much, then acts. Data-in is a list of buffers
// that the transport sends without copying.
//
// Belongs to the device's executor.
#pragma once

#include <array>
#include <cstdint>

#include <absl/container/inlined_vector.h>

#include "common/base/buffer.h"
#include "common/base/result.h"
#include "common/runtime/task.h"
#include "volume/scsi/sense.h"

namespace ashlar::scsi {

// SAM-5, 5.3.1.
enum class Status : std::uint8_t {
  kGood = 0x00,
  kCheckCondition = 0x02,
  kConditionMet = 0x04,
  kBusy = 0x08,
  kReservationConflict = 0x18,
  kTaskSetFull = 0x28,
  kAcaActive = 0x30,
  kTaskAborted = 0x40,
};

// SAM-5, 8.6. Numbers are those of the ATTR field of iSCSI (RFC 7143, 11.3.1).
enum class TaskAttribute : std::uint8_t {
  kUntagged = 0,
  kSimple = 1,
  kOrdered = 2,
  kHeadOfQueue = 3,
  kAca = 4,
};

// What the initiator is going to send; implemented by the transport.
class DataOut {
 public:
  // Bytes that the initiator has to give at most (iSCSI: Expected Data Transfer Length).
  virtual std::uint64_t expected() const = 0;
  // The first `length` bytes, at most expected(); they start on a 4 KiB boundary of memory. Called
  // at most once. kCancelled when the command was aborted meanwhile, kDataLoss when what came was
  // not what was promised: the command then has no effect.
  virtual Task<Result<Buffer>> fetch(std::uint64_t length) = 0;

 protected:
  ~DataOut() = default;
};

struct Command {
  static constexpr std::size_t kLongestCdb = 260;

  std::uint64_t lun = 0;  // as the eight bytes of SAM-5, big-endian
  // The initiator's tag (iSCSI: ITT): names the task within its nexus, for task management.
  std::uint32_t tag = 0;
  TaskAttribute attribute = TaskAttribute::kSimple;
  ByteSpan cdb;                     // at least 16 bytes, padded with zeros; outlives the command
  DataOut* data_out = nullptr;      // never null; expected() is 0 when there is none
  std::uint64_t data_in_limit = 0;  // what the initiator has room for; for residual counts only
};

struct Response {
  Status status = Status::kGood;
  Sense sense;  // with kCheckCondition
  // In which the initiator wants it (control mode page, D_SENSE).
  SenseFormat sense_format = SenseFormat::kFixed;
  // What the command gives; the transport cuts it to the initiator's room and reports the rest as
  // residual.
  absl::InlinedVector<Buffer, 2> data_in;
  // Bytes of data-out that the command wanted, for residual counts.
  std::uint64_t data_out_wanted = 0;
  // Task management has taken the command: it gets no answer at all.
  bool is_aborted = false;
};

}  // namespace ashlar::scsi
