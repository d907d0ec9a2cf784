#include "tests/e2e/storm/conversation.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ashlar::storm {
namespace {

constexpr std::size_t kMostBuffered = 128 << 10;
constexpr int kAnswerMs = 3000;  // what a healthy target needs at most for a login, storm and all

// CDBs that are worth asking: opcode and, where it has them, service action.
struct Cdb {
  std::uint8_t opcode;
  std::uint8_t action;
  int direction;  // 0 none, 1 read, 2 write
};
constexpr std::array kCdbs{
    Cdb{0x00, 0, 0},    Cdb{0x03, 0, 1},    Cdb{0x08, 0, 1}, Cdb{0x0a, 0, 2},    Cdb{0x12, 0, 1},
    Cdb{0x12, 1, 1},    Cdb{0x15, 0, 2},    Cdb{0x16, 0, 0}, Cdb{0x17, 0, 0},    Cdb{0x1a, 0, 1},
    Cdb{0x1b, 0, 0},    Cdb{0x1e, 0, 0},    Cdb{0x25, 0, 1}, Cdb{0x28, 0, 1},    Cdb{0x2a, 0, 2},
    Cdb{0x2e, 0, 2},    Cdb{0x2f, 0, 0},    Cdb{0x2f, 2, 2}, Cdb{0x34, 0, 0},    Cdb{0x35, 0, 0},
    Cdb{0x37, 0, 1},    Cdb{0x41, 0, 2},    Cdb{0x42, 0, 2}, Cdb{0x4d, 0, 1},    Cdb{0x55, 0, 2},
    Cdb{0x5a, 0, 1},    Cdb{0x5e, 0, 1},    Cdb{0x5e, 1, 1}, Cdb{0x5e, 2, 1},    Cdb{0x5e, 3, 1},
    Cdb{0x5f, 0, 2},    Cdb{0x5f, 1, 2},    Cdb{0x5f, 3, 2}, Cdb{0x83, 0, 2},    Cdb{0x84, 3, 1},
    Cdb{0x88, 0, 1},    Cdb{0x89, 0, 2},    Cdb{0x8a, 0, 2}, Cdb{0x8b, 0, 2},    Cdb{0x8e, 0, 2},
    Cdb{0x8f, 0, 0},    Cdb{0x90, 0, 0},    Cdb{0x91, 0, 0}, Cdb{0x93, 0, 2},    Cdb{0x9c, 0, 2},
    Cdb{0x9e, 0x10, 1}, Cdb{0x9e, 0x12, 1}, Cdb{0xa0, 0, 1}, Cdb{0xa3, 0x0a, 1}, Cdb{0xa3, 0x0c, 1},
    Cdb{0xa8, 0, 1},    Cdb{0xaa, 0, 2},    Cdb{0xb7, 0, 1},
};

}  // namespace

Conversation::Conversation(const StormTarget& target, std::uint64_t seed, StormCounts& counts)
    : target_(target), random_(seed), counts_(counts) {
  constexpr std::array<std::uint64_t, 6> kRates{0, 2, 10, 50, 200, 600};
  wrong_per_thousand_ = kRates[random_.below(kRates.size())];
}

Conversation::~Conversation() {
  if (fd_ >= 0) ::close(fd_);
}

bool Conversation::connect() {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(target_.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ++counts_.no_connection;
    return false;
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // A target that does not read is allowed to: back-pressure. The conversation then ends.
  const timeval limit{.tv_sec = 0, .tv_usec = 300'000};
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return true;
}

void Conversation::say(Pdu pdu) {
  const bool wrong = random_.below(1000) < wrong_per_thousand_;
  if (wrong) {
    for (std::uint64_t i = random_.between(1, 2); i > 0; --i) mutate(pdu, random_);
  }
  const std::size_t from = out_.size();
  append(out_, pdu, digests_);
  if (wrong && random_.chance(1, 5)) damage(out_, from, random_);
  ++counts_.sent;
  if (wrong) ++counts_.wrong;
  if (is_full_feature_) ++counts_.in_full_feature;
}

bool Conversation::flush() {
  std::size_t done = 0;
  while (done < out_.size()) {
    // Sometimes in pieces, so that headers and data are split anywhere.
    std::size_t piece = out_.size() - done;
    if (random_.chance(1, 20)) piece = random_.between(1, piece);
    const ssize_t sent = ::send(fd_, out_.data() + done, piece, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    done += static_cast<std::size_t>(sent);
  }
  out_.clear();
  return true;
}

bool Conversation::listen(int wait_ms) {
  pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
  std::array<std::uint8_t, 64 << 10> buffer;
  for (int round = 0; round < 64; ++round) {
    if (::poll(&waiting, 1, round == 0 ? wait_ms : 0) <= 0) break;
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got <= 0) return false;
    in_.insert(in_.end(), buffer.begin(), buffer.begin() + got);
    std::size_t at = 0;
    while (in_.size() - at >= kHeader) {
      const std::uint8_t* header = in_.data() + at;
      const std::size_t data = static_cast<std::size_t>(header[5]) << 16 |
                               static_cast<std::size_t>(header[6]) << 8 | header[7];
      const std::size_t padded = (data + 3) / 4 * 4;
      const bool is_login = (header[0] & 0x3f) == kLoginResponse;
      const Digests digests = is_login ? Digests{} : digests_;
      const std::size_t whole = kHeader + static_cast<std::size_t>(header[4]) * 4 +
                                (digests.header ? 4 : 0) + padded +
                                (digests.data && data > 0 ? 4 : 0);
      if (in_.size() - at < whole) break;
      hear(header, data);
      at += whole;
    }
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(at));
    if (in_.size() > (20U << 20)) return false;
  }
  return true;
}

void Conversation::hear(const std::uint8_t* header, std::size_t) {
  const auto opcode = static_cast<std::uint8_t>(header[0] & 0x3f);
  ++counts_.answers[opcode];
  if (opcode == kReadyToTransfer) {
    const std::uint32_t tag = read32(header + 16);
    if (writes_.contains(tag) && out_.size() < kMostBuffered && !random_.chance(1, 10)) {
      say(data_out_for(header));
    }
    return;
  }
  expected_status_ = read32(header + 24) + 1;
  most_command_number_ = read32(header + 32);
  if (opcode == kLoginResponse) {
    login_answered_ = true;
    login_refused_ = header[36] != 0;
    if (!login_refused_ && (header[1] & 0x83) == 0x83) is_full_feature_ = true;
  } else if (opcode == kScsiResponse) {
    writes_.erase(read32(header + 16));
  }
}

Pdu Conversation::login_request(int stage, int next_stage, const std::vector<std::string>& pairs) {
  Pdu pdu;
  pdu.header[0] = 0x40 | kLogin;
  pdu.header[1] = static_cast<std::uint8_t>(0x80 | stage << 2 | next_stage);
  pdu.set32(8, 0x80000000U | static_cast<std::uint32_t>(random_.below(1 << 24)));  // random ISID
  pdu.set32(16, tag_++);
  pdu.set32(24, command_number_);
  pdu.set32(28, expected_status_);
  pdu.data = text_of(pairs);
  pdu.set_lengths();
  return pdu;
}

bool Conversation::log_in() {
  is_discovery_ = random_.chance(1, 12);
  offered_ = {.header = random_.chance(1, 4), .data = random_.chance(1, 4)};
  std::vector<std::string> names{
      fmt::format("InitiatorName=iqn.2026-01.example:storm-{}", random_.below(6)),
      is_discovery_ ? "SessionType=Discovery" : "SessionType=Normal"};
  if (!is_discovery_) names.push_back("TargetName=" + target_.iqn);
  constexpr std::array<std::uint32_t, 6> kLengths{512, 4096, 8192, 65536, 262144, 16777215};
  const auto length = [&] { return kLengths[random_.below(kLengths.size())]; };
  immediate_data_ = random_.chance(2, 3);
  initial_r2t_ = random_.chance(1, 2);
  const std::uint32_t most_burst = length();
  first_burst_ = std::min(length(), most_burst);
  const std::vector<std::string> operational{
      offered_.header ? "HeaderDigest=CRC32C" : "HeaderDigest=None",
      offered_.data ? "DataDigest=CRC32C" : "DataDigest=None",
      initial_r2t_ ? "InitialR2T=Yes" : "InitialR2T=No",
      immediate_data_ ? "ImmediateData=Yes" : "ImmediateData=No",
      fmt::format("MaxRecvDataSegmentLength={}", length()),
      fmt::format("MaxBurstLength={}", most_burst),
      fmt::format("FirstBurstLength={}", first_burst_),
      fmt::format("MaxOutstandingR2T={}", random_.between(1, 8)),
      "DefaultTime2Wait=0",
      "DefaultTime2Retain=0",
      "ErrorRecoveryLevel=0",
      "MaxConnections=1",
      "X-org.example.storm=" + std::string(random_.below(40), 'x')};
  std::vector<Pdu> steps;
  if (random_.chance(1, 3)) {
    names.push_back("AuthMethod=None,CHAP");
    steps.push_back(login_request(0, 1, names));
    steps.push_back(login_request(1, 3, operational));
  } else {
    names.insert(names.end(), operational.begin(), operational.end());
    steps.push_back(login_request(1, 3, names));
  }
  const Pdu first = steps.front();
  for (Pdu& step : steps) {
    std::memcpy(step.header.data() + 8, first.header.data() + 8, 12);  // ISID, TSIH, tag
    step.set32(28, expected_status_);
    login_answered_ = false;
    const std::uint64_t wrong_before = counts_.wrong;
    say(step);
    const bool may_be_silent = wrong_per_thousand_ > 0 || counts_.wrong != wrong_before;
    if (!flush()) return false;
    if (!listen(may_be_silent ? 100 : kAnswerMs)) return false;
    if (!login_answered_ && !may_be_silent) {
      ++counts_.silences;
      return false;
    }
    if (login_refused_ && !random_.chance(1, 4)) return false;
  }
  if (is_full_feature_) {
    ++counts_.logins;
    digests_ = offered_;
  }
  // One that was not let in says its commands all the same, now and then.
  return is_full_feature_ || random_.chance(1, 3);
}

Pdu Conversation::scsi_command() {
  const Cdb cdb = kCdbs[random_.below(kCdbs.size())];
  Pdu pdu;
  pdu.header[0] = kScsiCommand;
  std::uint8_t* bytes = pdu.header.data() + 32;
  bytes[0] = cdb.opcode;
  bytes[1] = cdb.action;
  const std::uint32_t blocks = static_cast<std::uint32_t>(
      random_.chance(1, 8) ? random_.between(1, 512) : random_.between(0, 16));
  const auto lba = static_cast<std::uint32_t>(random_.below(1 << 14));
  std::uint32_t transfer = blocks * 512;
  switch (cdb.opcode >> 5) {
    case 0:  // 6 bytes
      bytes[4] = static_cast<std::uint8_t>(random_.below(256));
      if (cdb.opcode == 0x08 || cdb.opcode == 0x0a) {
        bytes[2] = static_cast<std::uint8_t>(lba >> 8);
        bytes[3] = static_cast<std::uint8_t>(lba);
        transfer = (bytes[4] == 0 ? 256U : bytes[4]) * 512U;
      } else {
        transfer = bytes[4];
      }
      break;
    case 1:
    case 2:  // 10 bytes
      pdu.set32(32 + 2, lba);
      pdu.set16(32 + 7, blocks);
      break;
    case 4:  // 16 bytes
      pdu.set32(32 + 6, lba);
      pdu.set32(32 + 10, blocks);
      break;
    default:  // 12 bytes
      pdu.set32(32 + 2, lba);
      pdu.set32(32 + 6, blocks);
      break;
  }
  if (cdb.opcode == 0x93 || cdb.opcode == 0x41) transfer = 512;
  if (cdb.opcode == 0x42 || cdb.opcode == 0x5f) transfer = 24;
  if (random_.chance(1, 12)) transfer = static_cast<std::uint32_t>(random_.below(70'000));
  pdu.set32(20, cdb.direction == 0 ? 0 : transfer);
  pdu.header[1] = static_cast<std::uint8_t>(0x80 | random_.below(4));
  if (cdb.direction == 1) pdu.header[1] |= 0x40;
  if (cdb.direction == 2) {
    pdu.header[1] |= 0x20;
    const std::uint32_t most = std::min({transfer, first_burst_, std::uint32_t{16} << 10});
    if (immediate_data_ && random_.chance(2, 3)) {
      pdu.data.resize(random_.chance(1, 4) ? random_.between(0, most) : most);
      random_.fill(std::as_writable_bytes(std::span(pdu.data)));
    }
    if (!initial_r2t_ && pdu.data.size() < most && random_.chance(1, 3)) {
      pdu.header[1] &= 0x7f;  // unsolicited data follows
      unsolicited_ = {.offset = static_cast<std::uint32_t>(pdu.data.size()), .end = most};
    }
    if (writes_.size() > 64) writes_.erase(writes_.begin());
    writes_[tag_] = transfer;
  }
  return pdu;
}

// Of the write that was said last.
Pdu Conversation::unsolicited_data() {
  Pdu pdu;
  pdu.header[0] = kDataOut;
  pdu.header[1] = 0x80;
  pdu.header[9] = static_cast<std::uint8_t>(target_.lun);
  pdu.set32(16, tag_ - 1);
  pdu.set32(20, 0xffffffff);
  pdu.set32(28, expected_status_);
  pdu.set32(40, unsolicited_.offset);
  pdu.data.resize(unsolicited_.end - unsolicited_.offset);
  pdu.set_lengths();
  unsolicited_ = {};
  return pdu;
}

Pdu Conversation::data_out_for(const std::uint8_t* ready) {
  Pdu pdu;
  pdu.header[0] = kDataOut;
  pdu.header[1] = 0x80;
  std::memcpy(pdu.header.data() + 8, ready + 8, 16);  // LUN, tag, transfer tag
  pdu.set32(28, expected_status_);
  pdu.set32(40, read32(ready + 40));
  pdu.data.resize(std::min<std::size_t>(read32(ready + 44), 64 << 10));
  pdu.set_lengths();
  return pdu;
}

// What may be said at any time, or, at the rate of the conversation, what may not.
Pdu Conversation::next_request() {
  Pdu pdu;
  bool takes_number = true;
  if (random_.below(1000) < wrong_per_thousand_) {
    takes_number = false;
    switch (random_.below(6)) {
      case 0:
      case 1:  // data that nobody asked for
        pdu.header[0] = kDataOut;
        pdu.header[1] = random_.chance(1, 2) ? 0x80 : 0;
        pdu.set32(
            20, random_.chance(1, 2) ? 0xffffffff : static_cast<std::uint32_t>(random_.below(64)));
        pdu.set32(36, static_cast<std::uint32_t>(random_.below(4)));
        pdu.set32(40, static_cast<std::uint32_t>(random_.below(16)) * 512);
        pdu.data.resize(random_.below(4096));
        break;
      case 2:
        pdu.header[0] = kSnack;
        pdu.header[1] = static_cast<std::uint8_t>(0x80 | random_.below(4));
        break;
      case 3:
        pdu = login_request(static_cast<int>(random_.below(4)), static_cast<int>(random_.below(4)),
                            {"TargetName=" + target_.iqn});
        break;
      case 4:
        pdu.header[0] = kLogout;
        pdu.header[1] = static_cast<std::uint8_t>(0x80 | random_.below(3));
        takes_number = true;
        break;
      default:  // an opcode that nobody has
        pdu.header[0] = static_cast<std::uint8_t>(random_.between(0x07, 0x1f));
        break;
    }
  } else if (const std::uint64_t drawn = random_.below(100); is_discovery_ || drawn >= 95) {
    pdu.header[0] = kText;
    pdu.header[1] = 0x80;
    pdu.set32(20, 0xffffffff);
    pdu.data = text_of({is_discovery_ ? "SendTargets=All" : "SendTargets="});
  } else if (drawn < 80) {
    pdu = scsi_command();
  } else if (drawn < 90) {
    pdu.header[0] = kNopOut;
    pdu.header[1] = 0x80;
    pdu.set32(20, 0xffffffff);
    pdu.data.resize(random_.below(200), 'n');
  } else {
    // Abort task, abort task set, clear task set; seldom a reset of the unit, more seldom of all.
    pdu.header[0] = kTaskManagement;
    const std::uint64_t most = random_.chance(1, 40) ? 8 : random_.chance(1, 8) ? 5 : 4;
    pdu.header[1] = static_cast<std::uint8_t>(0x80 | random_.between(1, most));
    pdu.set32(20, tag_ - static_cast<std::uint32_t>(random_.below(8)));  // the task it means
    pdu.set32(32, command_number_ - static_cast<std::uint32_t>(random_.below(8)));
  }
  const std::uint8_t opcode = pdu.header[0] & 0x3f;
  if (opcode != kLogin) {
    const bool other_unit = random_.chance(1, 30);
    pdu.header[9] = other_unit ? static_cast<std::uint8_t>(random_.next())
                               : static_cast<std::uint8_t>(target_.lun);
    const bool known_tag = opcode == kDataOut && !writes_.empty() && random_.chance(3, 4);
    const std::uint32_t tag = known_tag ? writes_.rbegin()->first : tag_++;
    pdu.set32(16, tag);
    if (opcode != kDataOut) pdu.set32(24, command_number_);
    pdu.set32(28, expected_status_);
    pdu.set_lengths();
  }
  if (takes_number) {
    if (random_.chance(1, 25)) {
      pdu.header[0] |= 0x40;  // immediate: it takes no number
    } else {
      ++command_number_;
    }
  }
  return pdu;
}

void Conversation::full_feature() {
  for (std::uint64_t bursts = random_.between(1, 60); bursts > 0; --bursts) {
    for (std::uint64_t i = random_.between(1, random_.chance(1, 6) ? 64 : 12);
         i > 0 && out_.size() < kMostBuffered; --i) {
      const auto ahead = static_cast<std::int32_t>(command_number_ - most_command_number_);
      if (ahead > 0 && !random_.chance(1, 50)) break;  // the window is closed
      say(next_request());
      if (unsolicited_.end > unsolicited_.offset) say(unsolicited_data());
    }
    if (!flush()) return;
    // As a rule it waits for an answer; sometimes it does not read for a while.
    const auto ahead = static_cast<std::int32_t>(command_number_ - most_command_number_);
    if (!listen(ahead > 0 ? 50 : random_.chance(1, 6) ? 0 : 5)) return;
    if (!flush()) return;  // the answers to R2T
  }
}

void Conversation::end() {
  // Every way to go: a logout, an orderly end, a reset.
  if (random_.chance(1, 4)) {
    Pdu logout;
    logout.header[0] = 0x40 | kLogout;
    logout.header[1] = 0x80;
    logout.set32(16, tag_++);
    logout.set32(24, command_number_);
    logout.set32(28, expected_status_);
    say(logout);
    if (flush()) listen(20);
  } else if (random_.chance(1, 2)) {
    const linger reset{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
}

void Conversation::run() {
  ++counts_.conversations;
  if (!connect()) return;
  if (log_in()) full_feature();
  end();
}

}  // namespace ashlar::storm
