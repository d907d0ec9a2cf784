#include "tests/support/iscsi_initiator.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include <poll.h>

namespace ashlar::test {
namespace {

template <class Number>
void store_big_endian(unsigned char* out, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    out[i] = static_cast<unsigned char>(number >> (8 * (sizeof(Number) - 1 - i)));
  }
}

struct ContextDeleter {
  void operator()(iscsi_context* context) const { iscsi_destroy_context(context); }
};
struct UrlDeleter {
  void operator()(iscsi_url* url) const { iscsi_destroy_url(url); }
};

std::chrono::milliseconds whole_milliseconds(Duration duration) {
  return std::chrono::ceil<std::chrono::milliseconds>(duration);
}

}  // namespace

IscsiCommand::IscsiCommand(Done done, void* owner) : done_(done), owner_(owner) {
  unsigned char cdb[16]{};
  task_ = scsi_create_task(sizeof cdb, cdb, SCSI_XFER_NONE, 0);
  ASHLAR_CHECK(task_ != nullptr);
}

IscsiCommand::~IscsiCommand() {
  scsi_free_scsi_task(task_);
}

unsigned char* IscsiCommand::begin(int length, int direction, std::size_t bytes) {
  std::memset(task_->cdb, 0, sizeof task_->cdb);
  task_->cdb_size = length;
  task_->xfer_dir = direction;
  task_->expxferlen = static_cast<int>(bytes);
  // What the last run left: libiscsi allocates it for sense data.
  std::free(task_->datain.data);
  task_->datain.data = nullptr;
  task_->datain.size = 0;
  scsi_task_set_iov_in(task_, nullptr, 0);
  scsi_task_set_iov_out(task_, nullptr, 0);
  return task_->cdb;
}

void IscsiCommand::attach(std::span<std::byte> data, int direction) {
  vector_.iov_base = data.data();
  vector_.iov_len = data.size();
  if (direction == SCSI_XFER_READ) {
    scsi_task_set_iov_in(task_, &vector_, 1);
  } else {
    scsi_task_set_iov_out(task_, &vector_, 1);
  }
}

void IscsiCommand::set_read(std::uint64_t lba, std::uint32_t blocks, std::span<std::byte> data) {
  unsigned char* cdb = begin(16, SCSI_XFER_READ, data.size());
  cdb[0] = SCSI_OPCODE_READ16;
  store_big_endian(cdb + 2, lba);
  store_big_endian(cdb + 10, blocks);
  attach(data, SCSI_XFER_READ);
}

void IscsiCommand::set_write(std::uint64_t lba, std::uint32_t blocks, std::span<std::byte> data,
                             Fua fua) {
  unsigned char* cdb = begin(16, SCSI_XFER_WRITE, data.size());
  cdb[0] = SCSI_OPCODE_WRITE16;
  cdb[1] = fua == Fua::kYes ? 0x08 : 0;
  store_big_endian(cdb + 2, lba);
  store_big_endian(cdb + 10, blocks);
  attach(data, SCSI_XFER_WRITE);
}

void IscsiCommand::set_synchronize_cache() {
  begin(10, SCSI_XFER_NONE, 0)[0] = SCSI_OPCODE_SYNCHRONIZECACHE10;
}

void IscsiCommand::set_unmap(std::uint64_t lba, std::uint32_t blocks) {
  unsigned char* cdb = begin(10, SCSI_XFER_WRITE, sizeof parameters_);
  cdb[0] = SCSI_OPCODE_UNMAP;
  store_big_endian(cdb + 7, static_cast<std::uint16_t>(sizeof parameters_));
  store_big_endian(parameters_, static_cast<std::uint16_t>(sizeof parameters_ - 2));
  store_big_endian(parameters_ + 2, std::uint16_t{16});  // one block descriptor
  store_big_endian(parameters_ + 8, lba);
  store_big_endian(parameters_ + 16, blocks);
  attach(std::as_writable_bytes(std::span(parameters_)), SCSI_XFER_WRITE);
}

void IscsiCommand::set_write_same(std::uint64_t lba, std::uint32_t blocks,
                                  std::span<std::byte> data) {
  unsigned char* cdb = begin(16, SCSI_XFER_WRITE, data.size());
  cdb[0] = SCSI_OPCODE_WRITE_SAME16;
  store_big_endian(cdb + 2, lba);
  store_big_endian(cdb + 10, blocks);
  attach(data, SCSI_XFER_WRITE);
}

void IscsiCommand::set_compare_and_write(std::uint64_t lba, std::uint8_t blocks,
                                         std::span<std::byte> data) {
  unsigned char* cdb = begin(16, SCSI_XFER_WRITE, data.size());
  cdb[0] = SCSI_OPCODE_COMPARE_AND_WRITE;
  store_big_endian(cdb + 2, lba);
  cdb[13] = blocks;
  attach(data, SCSI_XFER_WRITE);
}

void IscsiCommand::set_test_unit_ready() {
  begin(6, SCSI_XFER_NONE, 0)[0] = SCSI_OPCODE_TESTUNITREADY;
}

void IscsiCommand::completed(iscsi_context*, int status, void*, void* self) {
  auto& command = *static_cast<IscsiCommand*>(self);
  CommandStatus outcome = CommandStatus::kLost;
  switch (status) {
    case SCSI_STATUS_GOOD:
      outcome = CommandStatus::kGood;
      break;
    case SCSI_STATUS_CHECK_CONDITION: {
      const scsi_sense& sense = command.task_->sense;
      command.sense_ = static_cast<std::uint32_t>(sense.key) << 16 |
                       static_cast<std::uint32_t>(sense.ascq & 0xffff);
      outcome = CommandStatus::kCheckCondition;
      break;
    }
    case SCSI_STATUS_BUSY:
    case SCSI_STATUS_TASK_SET_FULL:
    case SCSI_STATUS_RESERVATION_CONFLICT:
    case SCSI_STATUS_TASK_ABORTED:
      outcome = CommandStatus::kBusy;
      break;
    default:
      break;  // cancelled, timed out or an error of the transport
  }
  // libiscsi cancels what is under way and then waits to be told to reconnect, which we never do.
  if (outcome == CommandStatus::kLost) command.initiator_->is_open_ = false;
  command.done_(command, outcome);
}

Error IscsiInitiator::failure(std::string_view what) const {
  return Error::unavailable("{}: {}", what, iscsi_get_error(context_));
}

Result<std::unique_ptr<IscsiInitiator>> IscsiInitiator::connect(InitiatorOptions options) {
  iscsi_context* context = iscsi_create_context(options.name.c_str());
  if (context == nullptr) return Error::internal("no context of libiscsi");
  std::unique_ptr<IscsiInitiator> self(new IscsiInitiator(context));
  const std::unique_ptr<iscsi_url, UrlDeleter> url(
      iscsi_parse_full_url(context, options.url.c_str()));
  if (url == nullptr) return self->failure("the URL");
  self->lun_ = url->lun;
  iscsi_set_targetname(context, url->target);
  iscsi_set_session_type(context, ISCSI_SESSION_NORMAL);
  if (url->user[0] != '\0') iscsi_set_initiator_username_pwd(context, url->user, url->passwd);
  if (url->target_user[0] != '\0') {
    iscsi_set_target_username_pwd(context, url->target_user, url->target_passwd);
  }
  iscsi_set_noautoreconnect(context, 1);

  struct Login {
    bool done = false;
    int status = 0;
  } login;
  const auto on_login = [](iscsi_context*, int status, void*, void* data) {
    auto& result = *static_cast<Login*>(data);
    result.done = true;
    result.status = status;
  };
  // The LUN -1: libiscsi sends no TEST UNIT READY of its own.
  if (iscsi_full_connect_async(context, url->portal, -1, on_login, &login) != 0) {
    return self->failure("connecting");
  }
  const auto deadline = std::chrono::steady_clock::now() + options.limit;
  while (!login.done) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= 0s) {
      return Error::deadline_exceeded("logging in took longer than {} ms",
                                      whole_milliseconds(options.limit).count());
    }
    ASHLAR_TRY(self->poll(std::chrono::duration_cast<Duration>(left)));
  }
  if (login.status != SCSI_STATUS_GOOD) return self->failure("logging in");
  self->is_open_ = true;

  // A new nexus first hears why it is new; ask until it is quiet.
  bool done = false;
  CommandStatus status{};
  std::byte capacity[32]{};
  struct Waiter {
    bool* done;
    CommandStatus* status;
  } waiter{&done, &status};
  IscsiCommand command(
      [](IscsiCommand& finished, CommandStatus outcome) {
        auto& waiting = *static_cast<Waiter*>(finished.owner());
        *waiting.done = true;
        *waiting.status = outcome;
      },
      &waiter);
  for (int attempt = 0; attempt < 16; ++attempt) {
    done = false;
    unsigned char* cdb = command.begin(16, SCSI_XFER_READ, sizeof capacity);
    cdb[0] = SCSI_OPCODE_SERVICE_ACTION_IN;
    cdb[1] = SCSI_READCAPACITY16;
    store_big_endian(cdb + 10, static_cast<std::uint32_t>(sizeof capacity));
    command.attach(capacity, SCSI_XFER_READ);
    ASHLAR_TRY(self->submit(command));
    while (!done) {
      if (std::chrono::steady_clock::now() > deadline) {
        return Error::deadline_exceeded("no answer to READ CAPACITY(16)");
      }
      ASHLAR_TRY(self->poll(100ms));
    }
    if (status == CommandStatus::kGood) break;
  }
  if (status != CommandStatus::kGood) return Error::unavailable("READ CAPACITY(16) fails");
  std::uint64_t last = 0;
  for (int i = 0; i < 8; ++i) last = last << 8 | static_cast<std::uint8_t>(capacity[i]);
  for (int i = 8; i < 12; ++i) {
    self->block_size_ = self->block_size_ << 8 | static_cast<std::uint8_t>(capacity[i]);
  }
  self->blocks_ = last + 1;
  return self;
}

IscsiInitiator::~IscsiInitiator() {
  ContextDeleter{}(context_);
}

int IscsiInitiator::fd() const {
  return iscsi_get_fd(context_);
}

short IscsiInitiator::events() const {
  return static_cast<short>(iscsi_which_events(context_));
}

Result<> IscsiInitiator::submit(IscsiCommand& command) {
  if (!is_open_) return Error::unavailable("the session has ended");
  command.initiator_ = this;
  if (iscsi_scsi_command_async(context_, lun_, command.task_, &IscsiCommand::completed, nullptr,
                               &command) != 0) {
    return failure("submitting");
  }
  return {};
}

Result<> IscsiInitiator::flush() {
  return (events() & POLLOUT) != 0 ? service(POLLOUT) : Result<>{};
}

Result<> IscsiInitiator::service(short events) {
  const bool was_open = is_open_;
  if (iscsi_service(context_, events) != 0) return failure("the session");
  if (was_open && (!is_open_ || iscsi_is_logged_in(context_) == 0)) {
    is_open_ = false;
    return Error::unavailable("the session has ended");
  }
  return {};
}

Result<> IscsiInitiator::poll(Duration limit) {
  if (is_open_) ASHLAR_TRY(flush());
  pollfd waiting{.fd = fd(), .events = events(), .revents = 0};
  if (::poll(&waiting, 1, static_cast<int>(whole_milliseconds(limit).count())) <= 0) return {};
  return service(waiting.revents);
}

Result<CommandStatus> IscsiInitiator::run(IscsiCommand& command, Duration limit) {
  struct Waiter {
    bool done = false;
    CommandStatus status{};
  } waiter;
  const IscsiCommand::Done done = command.done_;
  void* const owner = command.owner_;
  command.owner_ = &waiter;
  command.done_ = [](IscsiCommand& finished, CommandStatus status) {
    auto& waiting = *static_cast<Waiter*>(finished.owner());
    waiting.done = true;
    waiting.status = status;
  };
  const auto deadline = std::chrono::steady_clock::now() + limit;
  Result<> going = submit(command);
  while (going.ok() && !waiter.done) {
    if (std::chrono::steady_clock::now() > deadline) {
      going = Error::deadline_exceeded("no answer");
      break;
    }
    going = poll(100ms);
  }
  if (!going.ok()) {
    // It may still be done when the session is destroyed, when nobody waits any more.
    command.done_ = [](IscsiCommand&, CommandStatus) {};
    return going.error();
  }
  command.done_ = done;
  command.owner_ = owner;
  return waiter.status;
}

}  // namespace ashlar::test
