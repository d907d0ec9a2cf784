// Session: one session in full feature phase with its one connection (recovery level 0, one
// connection a session): the reader that takes PDUs from the socket, the tasks that they start, and
// the sender that takes the answers back.
//
//   reader ── commands in order of CmdSN ──► tasks (side by side) ──► sender
//
// The reader starts all commands that one receive has brought before any of them runs; their
// answers, ready together, leave together. Every task is a child of the session and over before
// run() returns.
//
// Bounds: tasks (the command window, and kImmediateMost), commands that are ahead of their turn
// (the window), payload (PayloadBudget), other answers (kAnswersMost: the reader then waits).
//
// How it ends: the peer closes or does not answer, logs out, breaks the protocol beyond repair; or
// end(): reinstated, revoked, its target removed, the server stops.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/runtime/runtime.h"
#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "volume/iscsi/command_window.h"
#include "volume/iscsi/login.h"
#include "volume/iscsi/metrics.h"
#include "volume/iscsi/payload_budget.h"
#include "volume/iscsi/pdu_receiver.h"
#include "volume/iscsi/pdu_sender.h"
#include "volume/iscsi/scsi_task.h"
#include "volume/iscsi/target_server.h"
#include "volume/iscsi/text_exchange.h"
#include "volume/scsi/nexus.h"

namespace ashlar::iscsi {

// What a session asks of the server that it belongs to.
class SessionHost {
 public:
  // Ends all sessions of the target, without waiting for it.
  virtual void reset_target(const std::string& iqn) = 0;
  virtual void send_targets(std::string_view value, const LoginIdentity& identity,
                            TextWriter& reply) = 0;

 protected:
  ~SessionHost() = default;
};

class Session final : public ListHook<struct SessionTag>,
                      private PayloadPlacer,
                      private TextAnswerer,
                      private Timer {
 public:
  static constexpr std::uint32_t kImmediateMost = 16;
  static constexpr std::uint32_t kManagingMost = 16;
  static constexpr std::size_t kAnswersMost = 64;

  struct Setting {
    Runtime runtime;
    BufferPool& pool;
    const TargetServerOptions& options;
    TargetMetrics& metrics;
    SessionHost& host;
    scsi::Device* device;  // null in a discovery session
    std::unique_ptr<scsi::Nexus> nexus;
    std::uint16_t tsih;
    std::uint16_t group_tag;
  };

  Session(Setting setting, const LoginResult& login, Connection& socket, PduReceiver& receiver);
  ~Session();

  // Until the session is over; the nexus is then free of commands, and closed.
  Task<void> run();

  // Ends it soon, with `why` in the log. No command that has not been answered has an effect after
  // `over`.
  void end(std::string_view why);
  // As end(), after what stands in the sender's queue.
  void end_politely(std::string_view why) {
    is_polite_ = true;
    end(why);
  }
  // Tells the initiator to log out within `within` (Async Message, event 1).
  void request_logout(Duration within);
  // Set when run() has ended, by the server.
  Event over;

  const LoginIdentity& identity() const { return identity_; }
  std::uint16_t tsih() const { return tsih_; }
  std::uint16_t group_tag() const { return group_tag_; }
  // For messages.
  std::string_view name() const {
    return identity_.is_discovery ? std::string_view("discovery") : identity_.target;
  }
  const std::string& end_reason() const { return end_reason_; }
  bool is_idle() const { return tasks_in_use_ == 0; }
  SessionInfo info() const;

  // --- for its tasks ---

  BufferPool& pool() { return pool_; }
  PduSender& sender() { return sender_; }
  PayloadBudget& budget() { return budget_; }
  const SessionParameters& parameters() const { return parameters_; }
  std::uint32_t send_segment_max() const { return send_segment_max_; }
  std::uint32_t outstanding_requests_most() const { return outstanding_requests_most_; }
  std::uint32_t take_transfer_tag();
  void note_moved(std::uint64_t bytes) { metrics_.moved_bytes.add(bytes); }
  void note_data_out(std::uint64_t bytes) { metrics_.data_out_bytes.add(bytes); }
  void note_data_in(std::uint64_t bytes) { metrics_.data_in_bytes.add(bytes); }
  // Gives back the task's place in the window and its memory, so that its own answer tells of it.
  void vacate(ScsiTask& task);
  void release(ScsiTask& task);
  // Fills in the sequence numbers of a PDU to the initiator; an answer takes a StatSN.
  template <class Header>
  void stamp(Header& header) {
    header.stat_sn = stat_sn_;
    stamp_window(header);
  }
  template <class Header>
  void stamp_answer(Header& header) {
    header.stat_sn = stat_sn_++;
    stamp_window(header);
  }

 private:
  // An answer that is no SCSI response: one PDU.
  class Answer final : public OutgoingPdus {
   public:
    explicit Answer(Session& owner) : session_(owner) {}
    bool produce(SendBatch& batch) override;

    BasicHeader header;
    Buffer payload;
    std::array<std::byte, kHeaderSize> rejected;  // instead of a payload
    bool has_rejected = false;
    bool takes_stat_sn = true;
    bool is_free = true;

   private:
    Session& session_;
  };

  // A PDU whose turn has not come.
  struct Ahead {
    std::uint32_t cmd_sn;
    ScsiTask* task;  // or, when null, the PDU
    ReceivedPdu pdu;
  };

  template <class Header>
  void stamp_window(Header& header) {
    window_.open(room());
    header.exp_cmd_sn = window_.exp_cmd_sn();
    header.max_cmd_sn = window_.max_cmd_sn();
  }
  std::uint32_t room() const;

  // --- session.cc: life ---
  Task<Result<>> receive_all();
  Task<void> send_all();
  Task<void> say_goodbye();
  void on_timer() override;
  void arm_timer(Duration after);
  bool check_silent_tasks();
  void handle(ReceivedPdu& pdu);
  void handle_bad_payload(ReceivedPdu& pdu);

  // --- session_commands.cc: SCSI commands and their data ---
  Place place(const ReceivedPdu& pdu) override;
  Place place_immediate(const ScsiCommandPdu& pdu);
  Place place_data_out(const DataOutPdu& pdu);
  void on_command(ReceivedPdu& pdu);
  ScsiTask* make_task(ReceivedPdu& pdu);
  bool take_cdb(ScsiTask& task, const ReceivedPdu& pdu);
  void take_immediate_data(ScsiTask& task, ReceivedPdu& pdu);
  void start(ScsiTask& task);
  Task<void> run_task(ScsiTask& task, std::uint64_t start);
  Task<bool> begin(ScsiTask& task, std::uint64_t start);
  // Tasks and task management reach the device in the order in which they came.
  Task<Result<>> wait_for_start(std::uint64_t start);
  void next_start() {
    ++started_;
    start_moved_.set();
  }
  void finish(ScsiTask& task);
  void answer(ScsiTask& task);
  void on_data_out(ReceivedPdu& pdu);
  ScsiTask* find(std::uint32_t tag);
  void insert(ScsiTask& task);
  void remove(ScsiTask& task);

  // --- session_control.cc: everything else ---
  // Performs the request now, later, or never, by its CmdSN.
  void in_order(ReceivedPdu& pdu);
  void perform(ReceivedPdu& pdu);
  void perform_ahead();
  void put_ahead(Ahead ahead);
  bool is_ahead(std::uint32_t cmd_sn) const;
  void on_nop_out(ReceivedPdu& pdu);
  void on_text(ReceivedPdu& pdu);
  void on_logout(const ReceivedPdu& pdu);
  void on_task_management(const ReceivedPdu& pdu);
  void use_up(std::uint32_t cmd_sn);
  void answer_management(std::uint32_t tag, TaskFunctionResponse response);
  Task<void> manage(TaskManagementRequestPdu request, std::uint32_t management,
                    std::uint64_t start);
  Task<TaskFunctionResponse> perform_management(TaskManagementRequestPdu request,
                                                std::uint32_t management);
  void abandon(std::uint32_t management);
  void reject(const ReceivedPdu& pdu, RejectReason reason);
  void send_targets(std::string_view value, TextWriter& reply) override;
  Answer& new_answer();
  template <class Header>
  void push(Answer& answer, const Header& header);
  void ping();

  Runtime runtime_;
  BufferPool& pool_;
  const TargetServerOptions& options_;
  TargetMetrics& metrics_;
  SessionHost& host_;
  scsi::Device* const device_;
  std::unique_ptr<scsi::Nexus> nexus_;
  const std::uint16_t tsih_;
  const std::uint16_t group_tag_;

  LoginIdentity identity_;
  SessionParameters parameters_;
  std::uint32_t send_segment_max_;
  std::uint32_t outstanding_requests_most_;
  Connection& socket_;
  const Endpoint peer_;
  PduReceiver& receiver_;
  PduSender sender_;

  CommandWindow window_;
  std::uint32_t stat_sn_;
  std::uint32_t next_transfer_tag_ = 0;
  PayloadBudget budget_;

  std::vector<std::unique_ptr<ScsiTask>> task_pool_;
  IntrusiveList<ScsiTask, TaskListTag> free_tasks_;
  IntrusiveList<ScsiTask, TaskListTag> tasks_;  // in order of arrival
  std::array<ScsiTask*, 256> hash_{};
  std::uint32_t tasks_in_use_ = 0;  // that hold room of the window
  std::uint32_t immediate_in_use_ = 0;
  std::vector<Ahead> ahead_;   // in order of CmdSN
  std::uint64_t starts_ = 0;   // tasks and task management functions so far
  std::uint64_t started_ = 0;  // of them, how many have reached the device
  Event start_moved_;
  std::uint32_t managements_ = 0;
  std::uint32_t managing_ = 0;
  MonoTime burst_began_;

  std::vector<std::unique_ptr<Answer>> answers_;
  std::size_t answers_in_use_ = 0;
  Event answer_is_free_;
  TextExchange text_;

  TaskScope* commands_ = nullptr;
  CancelScope* reading_ = nullptr;
  Event sent_;  // the sender has ended
  std::optional<LogoutRequestPdu> logout_;
  std::string end_reason_;
  bool is_polite_ = false;  // what is to be said is said before the socket is closed
  bool is_ending_ = false;

  // Keep-alive.
  bool was_heard_ = false;
  bool ping_is_out_ = false;
  bool reader_waits_ = false;  // for us, not for the peer
  std::uint32_t ping_tag_ = 0;
  std::uint64_t commands_seen_ = 0;
};

}  // namespace ashlar::iscsi
