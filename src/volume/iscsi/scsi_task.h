// ScsiTask: one SCSI command of a session from its arrival until its answer is sent (SAM's task).
// It is the DataOut from which the device pulls the initiator's data, and what stands in the
// sender's queue for its R2Ts and for its Data-In and response PDUs. Objects are kept by the
// session and used again.
#pragma once

#include <array>
#include <cstdint>

#include "common/base/buffer.h"
#include "common/base/intrusive_list.h"
#include "common/base/time.h"
#include "common/runtime/sync.h"
#include "volume/iscsi/data_out_plan.h"
#include "volume/iscsi/pdu.h"
#include "volume/iscsi/pdu_sender.h"
#include "volume/scsi/command.h"

namespace ashlar::iscsi {

class Session;

class ScsiTask final : public scsi::DataOut,
                       public OutgoingPdus,
                       public ListHook<struct TaskListTag> {
 public:
  enum class State : std::uint8_t {
    kFree,
    kAhead,      // commands with smaller numbers have not come yet
    kWaiting,    // for memory, before the device has seen it
    kRunning,    // the device has it
    kExecuted,   // data that was asked for is still to come
    kAnswering,  // the answer is in the sender's queue
  };

  explicit ScsiTask(Session& session) : session_(session) {}

  State state = State::kFree;
  ScsiCommandPdu request;
  std::uint32_t tag = 0;
  std::uint32_t cmd_sn = 0;
  bool is_immediate = false;
  bool holds_room = false;    // of the command window
  bool is_abandoned = false;  // task management has taken it: there is no answer
  std::uint32_t concern = 0;  // the task management function that is about it
  MonoTime arrived;
  std::array<std::byte, scsi::Command::kLongestCdb> cdb;
  std::size_t cdb_length = 0;
  std::uint64_t data_in_limit = 0;
  ScsiTask* next_of_hash = nullptr;

  // Data-out.
  DataOutPlan plan;
  Buffer buffer;                 // with received() bytes in it
  std::uint64_t charged = 0;     // of the session's budget
  std::uint32_t admissions = 0;  // to it
  Duration silent{};             // since data came, while some is due

  scsi::Response response;

  bool is_read() const { return (request.flags & kFlagRead) != 0; }
  bool is_write() const { return (request.flags & kFlagWrite) != 0; }

  // The buffer has room for the first `bytes` bytes; false when the pool has none.
  bool reserve(std::size_t bytes);
  // More has come, or the last of it: fetch() goes on.
  void on_data();
  // The buffer that the data which is coming goes to has this size; at most what the device wants,
  // or, before it has said so, all of it when it is not much.
  std::uint32_t size_of_buffer() const;

  // Ready to be pushed into the sender's queue with the answer.
  void prepare_answer();
  void reset();

  // scsi::DataOut
  std::uint64_t expected() const override { return plan.expected(); }
  Task<Result<Buffer>> fetch(std::uint64_t length) override;

  // OutgoingPdus
  bool produce(SendBatch& batch) override;

 private:
  bool has_all() const { return plan.received() >= wanted_ && plan.is_quiet(); }
  void ask_for_more();
  bool produce_request(SendBatch& batch);
  bool produce_data_in(SendBatch& batch);
  void produce_response(SendBatch& batch);
  std::uint32_t residual_flags(std::uint32_t& residual) const;
  void add_data(SendBatch& batch, std::uint64_t length);

  Session& session_;
  bool is_fetching_ = false;
  std::uint32_t wanted_ = 0;
  Event data_event_;

  // The answer on its way out.
  std::uint64_t data_in_total_ = 0;   // of the response
  std::uint64_t data_in_length_ = 0;  // of it, what the initiator has room for
  std::uint64_t data_in_sent_ = 0;
  std::size_t piece_ = 0;  // where in response.data_in
  std::size_t piece_at_ = 0;
  std::uint32_t data_sn_ = 0;
  std::uint32_t burst_left_ = 0;
};

}  // namespace ashlar::iscsi
