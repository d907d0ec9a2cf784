// HostSession: one session of a host with the target: an initiator that keeps to RFC 7143 and
// checks that the target does. Commands run side by side; each is answered, taken by task
// management, or left open when the session is lost.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "tests/volume/iscsi/sim/iscsi_world.h"
#include "tests/volume/iscsi/test_initiator.h"
#include "volume/iscsi/parameters.h"

namespace ashlar::iscsi {

struct HostCommand {
  enum class End : std::uint8_t {
    kOpen,
    kAnswered,
    kAborted,  // by task management, which has said so
  };

  std::array<std::byte, 16> cdb{};
  std::uint64_t lba = 0;
  std::vector<std::byte> out;
  std::vector<std::byte> in;  // as long as what is expected
  bool is_immediate = false;

  std::uint32_t tag = 0;
  std::uint64_t sent_as = 0;  // which of the session's requests it was
  Moment begin = 0;
  End end = End::kOpen;
  Moment ended = 0;
  Event over;
  std::uint8_t status = 0;
  std::uint8_t sense_key = 0;
  std::uint8_t asc = 0;

  // Data-In and R2T so far.
  std::uint32_t data_sn = 0;
  std::uint64_t received = 0;
  std::uint64_t burst = 0;
  std::uint32_t r2t_sn = 0;
  std::uint64_t asked = 0;  // bytes of `out` that were sent unasked or asked for
  std::uint32_t outstanding_r2t = 0;
  // R2Ts that wait for their data, which goes out in their order (DataSequenceInOrder).
  struct Burst {
    std::uint32_t transfer_tag;
    std::uint64_t offset;
    std::uint64_t length;
  };
  std::vector<Burst> bursts;
  bool is_sending = false;
};

class HostSession {
 public:
  HostSession(IscsiWorld& world, unsigned number, Runtime runtime, Random random)
      : world_(world), number_(number), runtime_(runtime), random_(std::move(random)) {}

  // From connecting to the end of the session: its work is done, or an error.
  Task<Result<>> run();
  // Became a session at all.
  bool was_logged_in() const { return is_logged_in_; }

 private:
  using Command = std::shared_ptr<HostCommand>;

  // --- login ---
  Task<Result<>> log_in();
  std::string draw_keys();
  void take_keys(std::string_view text);

  // --- the wire ---
  Task<Result<>> send_bytes(std::vector<std::byte> bytes);
  template <class Header>
  Task<Result<>> send_pdu(Header header, std::vector<std::byte> data = {}) {
    header.exp_stat_sn = link_->exp_stat_sn;
    co_return co_await send_bytes(link_->encode(header, data));
  }
  Task<Result<>> receive_all();
  Result<> handle(const ReplyPdu& pdu);
  Result<> check_numbers(const ReplyPdu& pdu, std::uint32_t expected_stat_sn);
  Result<> on_response(const ReplyPdu& pdu);
  Result<> on_data_in(const ReplyPdu& pdu);
  Result<> on_ready_to_transfer(const ReplyPdu& pdu);
  Result<> on_management_response(const ReplyPdu& pdu);
  Task<Result<>> send_bursts(Command command);
  Task<Result<>> send_burst(Command command, std::uint32_t transfer_tag, std::uint64_t offset,
                            std::uint64_t length);
  Task<Result<>> lose_at_random();
  Error broken(std::string why);

  // --- work ---
  Task<Result<>> work();
  Task<Result<>> work_one();
  Task<Result<>> perform_one();
  Task<Result<>> read(std::uint64_t lba, std::uint64_t count);
  Task<Result<>> write(std::uint64_t lba, std::uint64_t count);
  Task<Result<>> swap(std::uint64_t lba, std::uint64_t count);
  Task<Result<>> ping();
  Task<Result<>> keep_alive();
  Task<Result<>> log_out();
  // Sends it and waits until it is over, one way or the other.
  Task<Result<>> perform(Command command);
  Task<Result<>> send_command(Command command);
  Task<Result<Mutex::Guard>> lock_for_request(bool is_immediate);
  Task<Result<>> manage(TaskFunction function, std::uint32_t referenced, std::uint32_t ref_cmd_sn);
  // Whether the command has done what it was for; else what it says goes to the oracle.
  bool has_succeeded(const HostCommand& command, Stamp stamp);
  bool was_reset(HostCommand& command);
  Command new_command();
  std::uint64_t draw_lba(std::uint64_t count);

  IscsiWorld& world_;
  const unsigned number_;
  Runtime runtime_;
  Random random_;
  std::optional<TestInitiator> link_;
  bool is_logged_in_ = false;
  SessionParameters parameters_;
  std::uint32_t receive_segment_max_ = 8192;
  std::uint32_t send_segment_max_ = 8192;
  std::uint64_t bytes_until_loss_ = ~std::uint64_t{0};
  std::uint64_t commands_left_ = 0;

  Mutex sending_;
  Event window_moved_;
  Event logged_out_;
  TaskScope* scope_ = nullptr;
  std::map<std::uint32_t, Command> outstanding_;
  std::map<std::uint32_t, std::uint32_t> cmd_sns_;
  std::map<std::uint32_t, std::string> over_;  // how it went with those that are over
  struct Management {
    TaskFunction function;
    std::uint32_t referenced;
    std::uint64_t sent_as;
    bool is_answered = false;
    std::uint8_t response = 0;
    Event over;
  };
  std::map<std::uint32_t, std::shared_ptr<Management>> managements_;
  std::map<std::uint32_t, std::vector<std::byte>> pings_;
  std::uint64_t requests_sent_ = 0;
};

}  // namespace ashlar::iscsi
