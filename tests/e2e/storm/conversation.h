// One connection of the storm, from connect to close. It speaks iSCSI well enough to get deep: it
// logs in, keeps CmdSN and tags, answers R2T; and at a rate that it draws for itself it says
// something wrong. All that it says follows from its seed and from what the target answers.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "tests/e2e/storm/pdu_bytes.h"

namespace ashlar::storm {

struct StormTarget {
  std::uint16_t port = 0;  // of 127.0.0.1
  std::string iqn;
  int lun = 0;
};

struct StormCounts {
  std::atomic<std::uint64_t> sent{0};  // PDUs
  std::atomic<std::uint64_t> conversations{0};
  std::atomic<std::uint64_t> logins{0};           // that reached full feature
  std::atomic<std::uint64_t> in_full_feature{0};  // PDUs sent there
  std::atomic<std::uint64_t> wrong{0};            // PDUs sent that were mutated or damaged
  std::atomic<std::uint64_t> no_connection{0};    // connect() refused
  std::atomic<std::uint64_t> silences{0};         // login or a ping that got no answer in time
  std::atomic<std::uint64_t> answers[64]{};       // by opcode
};

class Conversation {
 public:
  Conversation(const StormTarget& target, std::uint64_t seed, StormCounts& counts);
  ~Conversation();
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  void run();

 private:
  bool connect();
  bool log_in();
  void full_feature();
  void end();

  Pdu next_request();
  Pdu login_request(int stage, int next_stage, const std::vector<std::string>& pairs);
  Pdu scsi_command();
  Pdu data_out_for(const std::uint8_t* ready_to_transfer);
  Pdu unsolicited_data();
  void say(Pdu pdu);  // maybe wrong
  bool flush();
  // Reads what has come, waiting at most so long for the first byte. False: the connection is over.
  bool listen(int wait_ms);
  void hear(const std::uint8_t* header, std::size_t data_bytes);

  const StormTarget& target_;
  Random random_;
  StormCounts& counts_;
  int fd_ = -1;
  std::uint64_t wrong_per_thousand_ = 0;
  std::vector<std::uint8_t> out_;
  std::vector<std::uint8_t> in_;
  Digests digests_;  // in force
  Digests offered_;
  bool immediate_data_ = false;  // as we offered; the target may only want less
  bool initial_r2t_ = true;
  std::uint32_t first_burst_ = 0;
  struct Range {
    std::uint32_t offset = 0;
    std::uint32_t end = 0;
  } unsolicited_;  // still to be sent for the last command
  bool is_discovery_ = false;
  bool is_full_feature_ = false;
  bool login_answered_ = false;
  bool login_refused_ = false;
  std::uint32_t command_number_ = 1;
  std::uint32_t expected_status_ = 0;
  std::uint32_t most_command_number_ = 1;
  std::uint32_t tag_ = 1;
  std::map<std::uint32_t, std::uint32_t> writes_;  // tag to bytes, of the last few
};

}  // namespace ashlar::storm
