// A writer that outlives the server it writes to. It keeps several sessions busy with every kind of
// write, remembers what was acknowledged (ledger.h), and when a session ends, by a kill of the
// server as a rule, it drops all of them, connects again, reads the whole range and compares, then
// goes on.
//
//   Writer writer(options);
//   Result<> ended = writer.run(stop);    // until stop() says so; then verifies a last time
//   writer.report()
//
// Reads go on between the writes and are compared at once. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "tests/e2e/crash/ledger.h"
#include "tests/support/iscsi_initiator.h"

namespace ashlar::crash {

enum class Operation : std::uint8_t {
  kWrite,
  kWriteFua,
  kUnmap,
  kWriteSame,
  kCompareAndWrite,
  kSynchronizeCache,
  kRead,
};
inline constexpr std::size_t kOperations = 7;
std::string_view to_string(Operation operation);

struct WriterOptions {
  std::vector<std::string> urls;  // portals of one unit; sessions take turns
  int sessions = 3;
  int depth = 8;                  // of each
  std::uint64_t range = 8 << 20;  // bytes from the start of the unit, which must be zeros
  std::uint64_t seed = 1;
  Duration reconnect_limit = 25s;
  std::uint32_t synchronize_every = 64;  // commands; 0: never
};

struct WriterReport {
  std::array<std::uint64_t, kOperations> acknowledged{};
  std::uint64_t in_doubt = 0;  // commands that were lost with their session
  std::uint64_t retried = 0;   // BUSY, unit attention, not ready
  std::uint64_t reconnects = 0;
  std::uint64_t verified_cells = 0;
  std::vector<double> away_seconds;  // from the loss of a session to the first answer in a new one
  bool knows_compare_and_write = true;
};

class Writer {
 public:
  explicit Writer(WriterOptions options);
  ~Writer();

  // Fails when the server does not come back, or answers what it must not.
  Result<> run(bool (*stop)());

  const WriterReport& report() const { return report_; }
  const Ledger& ledger() const { return *ledger_; }

 private:
  struct Session;
  struct Slot;

  Result<> connect();
  Result<> verify();
  Result<> work(bool (*stop)());
  void drop_sessions();
  void start(Slot& slot);
  bool choose(Slot& slot);
  void prepare(Slot& slot);
  void done(Slot& slot, test::CommandStatus status);
  void settle_good(Slot& slot);
  std::span<std::byte> cell(Slot& slot, std::uint64_t index) const;

  WriterOptions options_;
  Random random_;
  std::unique_ptr<Ledger> ledger_;
  std::vector<std::unique_ptr<Session>> sessions_;
  WriterReport report_;
  std::uint64_t sequence_ = 0;
  std::uint64_t commands_ = 0;
  std::uint32_t cell_bytes_ = 0;
  std::size_t under_way_ = 0;
  bool is_stopping_ = false;
  bool is_dropping_ = false;
  Result<> verdict_;  // the first answer that must not be
  std::int64_t lost_at_ns_ = 0;
};

}  // namespace ashlar::crash
