// An initiator's session over libiscsi, for tests and benches that need many commands under way and
// little cost: commands are made once and submitted again and again, nothing is allocated for one,
// and libiscsi never reconnects behind our back.
//
//   ASHLAR_TRY_ASSIGN(auto initiator, IscsiInitiator::connect({.url = url}));
//   IscsiCommand write(&on_done, this);            // lives as long as it is under way
//   write.set_write(lba, blocks, bytes, Fua::kYes);
//   initiator->submit(write);
//   while (…) ASHLAR_TRY(initiator->poll(100ms));  // runs on_done
//
// When the connection is lost poll() returns an error; commands under way are then done with
// kLost when the initiator is destroyed, and whether they had an effect is not known.
//
// One thread at a time. The URL is libiscsi's: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "common/base/result.h"
#include "common/base/time.h"

namespace ashlar::test {

enum class Fua : std::uint8_t { kNo, kYes };

enum class CommandStatus : std::uint8_t {
  kGood,
  kCheckCondition,  // IscsiCommand::sense says which
  kBusy,            // BUSY, TASK SET FULL, RESERVATION CONFLICT, TASK ABORTED
  kLost,            // the session ended before the answer
};

class IscsiInitiator;

class IscsiCommand {
 public:
  using Done = void (*)(IscsiCommand& command, CommandStatus status);

  explicit IscsiCommand(Done done, void* owner = nullptr);
  ~IscsiCommand();
  IscsiCommand(const IscsiCommand&) = delete;
  IscsiCommand& operator=(const IscsiCommand&) = delete;

  // `data` stays where it is until the command is done. READ(16), WRITE(16) and so on; block counts
  // are in logical blocks.
  void set_read(std::uint64_t lba, std::uint32_t blocks, std::span<std::byte> data);
  void set_write(std::uint64_t lba, std::uint32_t blocks, std::span<std::byte> data, Fua fua);
  void set_synchronize_cache();
  void set_unmap(std::uint64_t lba, std::uint32_t blocks);
  // `data` is one block, which is written `blocks` times.
  void set_write_same(std::uint64_t lba, std::uint32_t blocks, std::span<std::byte> data);
  // `data` is what must stand there and then what shall stand there, `blocks` blocks each.
  void set_compare_and_write(std::uint64_t lba, std::uint8_t blocks, std::span<std::byte> data);
  void set_test_unit_ready();

  void* owner() const { return owner_; }
  // Key, ASC and ASCQ of the last CHECK CONDITION: 0x0KAACC.
  std::uint32_t sense() const { return sense_; }

 private:
  friend class IscsiInitiator;
  static void completed(iscsi_context* context, int status, void* data, void* self);
  unsigned char* begin(int length, int direction, std::size_t bytes);
  void attach(std::span<std::byte> data, int direction);

  Done done_;
  void* owner_;
  IscsiInitiator* initiator_ = nullptr;  // that it is under way with
  scsi_task* task_;
  scsi_iovec vector_{};
  std::uint32_t sense_ = 0;
  unsigned char parameters_[24]{};  // of UNMAP
};

struct InitiatorOptions {
  std::string url;
  std::string name = "iqn.2026-01.example:initiator";
  Duration limit = 10s;  // for connecting, logging in and asking the unit's size
};

class IscsiInitiator {
 public:
  static Result<std::unique_ptr<IscsiInitiator>> connect(InitiatorOptions options);
  ~IscsiInitiator();
  IscsiInitiator(const IscsiInitiator&) = delete;
  IscsiInitiator& operator=(const IscsiInitiator&) = delete;

  std::uint32_t block_size() const { return block_size_; }
  std::uint64_t blocks() const { return blocks_; }
  int fd() const;
  // What poll(2) is to wait for at fd(), after flush().
  short events() const;

  Result<> submit(IscsiCommand& command);
  // Puts on the wire what was submitted, as far as the socket takes it.
  Result<> flush();
  // Handles what fd() is ready for.
  Result<> service(short events);
  // flush(), waits, service(): runs what is done.
  Result<> poll(Duration limit);
  // One command, until it is done.
  Result<CommandStatus> run(IscsiCommand& command, Duration limit);

 private:
  friend class IscsiCommand;
  explicit IscsiInitiator(iscsi_context* context) : context_(context) {}
  Error failure(std::string_view what) const;

  iscsi_context* context_;
  int lun_ = 0;
  std::uint32_t block_size_ = 0;
  std::uint64_t blocks_ = 0;
  bool is_open_ = false;  // logged in, and nothing was lost since
};

}  // namespace ashlar::test
