// DataOutPlan: what an initiator has sent of one command's data, what it may send, and what was
// asked for (RFC 7143, 11.7, 11.8). Pure.
//
// Data comes in order: unsolicited first (with the command, then Data-Out PDUs up to F), then one
// sequence for each R2T. Each Data-Out must be the exact continuation: tag, DataSN, offset, within
// its sequence, F on its last PDU and only there. The first that is not is a fault, which sticks:
// nothing more is taken and the command fails (L68). The sequences that are open are still waited
// for, so that no data of a command comes after its answer.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "volume/iscsi/pdu.h"

namespace ashlar::iscsi {

// Why the data is worth nothing; the first four are iSCSI conditions of RFC 7143, 11.4.7.2.
enum class DataOutFault : std::uint8_t {
  kNone,
  kUnexpected,  // unsolicited where none was agreed
  kAmount,      // too little, too much, out of order
  kDigest,      // a data digest did not match
  kNoMemory,
};

class DataOutPlan {
 public:
  static constexpr std::size_t kOutstandingMost = 8;

  struct Request {
    std::uint32_t tag = kReservedTag;
    std::uint32_t number = 0;  // R2TSN
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
  };

  // `unsolicited_most`: how much may come without being asked for; `follows`: Data-Out PDUs of it
  // come after the command.
  void begin(std::uint32_t expected, std::uint32_t unsolicited_most, bool follows);
  void take_immediate(std::uint32_t length);
  void fail(DataOutFault fault) {
    if (fault_ == DataOutFault::kNone) fault_ = fault;
  }

  // Whether the payload of `pdu` is the next piece, to be put at received().
  bool is_next(const DataOutPdu& pdu) const;
  // Takes it into account, or fails. `is_whole`: the payload has come unharmed.
  void take(const DataOutPdu& pdu);

  // Asks for the next part of the first `wanted` bytes.
  bool may_request(std::uint32_t wanted, std::uint32_t outstanding_most) const {
    return fault_ == DataOutFault::kNone && !unsolicited_is_open_ && requested_ < wanted &&
           outstanding_ < outstanding_most;
  }
  Request request(std::uint32_t tag, std::uint32_t wanted, std::uint32_t burst);

  std::uint32_t expected() const { return expected_; }
  std::uint32_t received() const { return received_; }
  DataOutFault fault() const { return fault_; }
  // Nothing is to come.
  bool is_quiet() const { return !unsolicited_is_open_ && outstanding_ == 0; }
  std::uint32_t requests() const { return next_number_; }
  // Where what is coming ends; while it is not quiet.
  std::uint32_t sequence_end() const;

 private:
  bool belongs(const DataOutPdu& pdu) const;
  void close_sequence();

  std::uint32_t expected_ = 0;
  std::uint32_t received_ = 0;
  std::uint32_t requested_ = 0;  // received or asked for
  std::uint32_t unsolicited_most_ = 0;
  bool unsolicited_is_open_ = false;
  DataOutFault fault_ = DataOutFault::kNone;
  std::uint32_t next_data_sn_ = 0;
  std::uint32_t next_number_ = 0;
  std::array<Request, kOutstandingMost> requests_;
  std::uint32_t first_request_ = 0;
  std::uint32_t outstanding_ = 0;
};

}  // namespace ashlar::iscsi
