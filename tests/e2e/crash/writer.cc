#include "tests/e2e/crash/writer.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <poll.h>

namespace ashlar::crash {
namespace {

using test::CommandStatus;
using test::Fua;
using test::IscsiCommand;
using test::IscsiInitiator;

constexpr std::uint64_t kMostCells = 128;          // of one command
constexpr std::uint64_t kMostCompared = 8;         // of COMPARE AND WRITE
constexpr std::uint64_t kUnmapGranularity = 4096;  // bytes: smaller pieces need not be unmapped
constexpr std::uint32_t kInvalidOpcode = 0x052000;
constexpr std::uint32_t kMiscompare = 0x0e1d00;

std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

// Not done, and may be asked for again: busy, not ready, unit attention.
bool may_retry(CommandStatus status, std::uint32_t sense) {
  const std::uint32_t key = sense >> 16;
  return status == CommandStatus::kBusy ||
         (status == CommandStatus::kCheckCondition && (key == 0x2 || key == 0x6));
}

}  // namespace

std::string_view to_string(Operation operation) {
  constexpr std::array<std::string_view, kOperations> kNames{
      "write", "write_fua", "unmap", "write_same", "compare_and_write", "synchronize_cache",
      "read"};
  return kNames[static_cast<std::size_t>(operation)];
}

struct Writer::Slot {
  Slot(Writer& of, Session& in, std::size_t bytes)
      : writer(of),
        session(in),
        command(
            [](IscsiCommand& finished, CommandStatus status) {
              auto& slot = *static_cast<Slot*>(finished.owner());
              slot.writer.done(slot, status);
            },
            this),
        data(bytes) {}

  Writer& writer;
  Session& session;
  IscsiCommand command;
  std::vector<std::byte> data;
  Operation operation = Operation::kRead;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  Written written;
  bool is_under_way = false;
  bool is_claimed = false;  // it has its cells, with or without a command under way
  std::int64_t not_before_ns = 0;
};

struct Writer::Session {
  std::unique_ptr<IscsiInitiator> initiator;
  std::vector<std::unique_ptr<Slot>> slots;
};

Writer::Writer(WriterOptions options) : options_(std::move(options)), random_(options_.seed) {}

Writer::~Writer() {
  drop_sessions();
}

void Writer::drop_sessions() {
  is_dropping_ = true;
  // libiscsi says of every command under way that it was cancelled.
  for (const auto& session : sessions_) session->initiator.reset();
  for (const auto& session : sessions_) {
    for (const auto& slot : session->slots) {
      if (slot->is_claimed) ledger_->release(slot->first, slot->count);
    }
  }
  sessions_.clear();
  is_dropping_ = false;
  ASHLAR_CHECK(under_way_ == 0);
}

Result<> Writer::connect() {
  const std::int64_t deadline = now_ns() + options_.reconnect_limit.count();
  for (int i = 0; i < options_.sessions; ++i) {
    const auto number = static_cast<std::size_t>(i);
    for (;;) {
      auto connected =
          IscsiInitiator::connect({.url = options_.urls[number % options_.urls.size()],
                                   .name = fmt::format("iqn.2026-01.example:writer-{}", i),
                                   .limit = 5s});
      if (connected.ok()) {
        sessions_.push_back(std::make_unique<Session>());
        sessions_.back()->initiator = std::move(*connected);
        break;
      }
      if (now_ns() > deadline) {
        return Error::deadline_exceeded(
            "no session after {} s: {}",
            std::chrono::duration_cast<std::chrono::seconds>(options_.reconnect_limit).count(),
            connected.error().message());
      }
      std::this_thread::sleep_for(20ms);
    }
  }
  const IscsiInitiator& unit = *sessions_.front()->initiator;
  cell_bytes_ = unit.block_size();
  if (ledger_ == nullptr) {
    const std::uint64_t cells = std::min(options_.range / cell_bytes_, unit.blocks());
    ledger_ = std::make_unique<Ledger>(random_.next(), cells);
  }
  for (const auto& session : sessions_) {
    for (int d = 0; d < options_.depth; ++d) {
      session->slots.push_back(std::make_unique<Slot>(*this, *session, kMostCells * cell_bytes_));
    }
  }
  return {};
}

Result<> Writer::verify() {
  Slot& slot = *sessions_.front()->slots.front();
  IscsiInitiator& initiator = *sessions_.front()->initiator;
  for (std::uint64_t first = 0; first < ledger_->cells(); first += kMostCells) {
    const std::uint64_t count = std::min(kMostCells, ledger_->cells() - first);
    for (int attempt = 0;; ++attempt) {
      slot.command.set_read(first, static_cast<std::uint32_t>(count),
                            std::span(slot.data).first(count * cell_bytes_));
      ASHLAR_TRY_ASSIGN(const CommandStatus status, initiator.run(slot.command, 20s));
      if (status == CommandStatus::kGood) break;
      if (status == CommandStatus::kLost) return Error::unavailable("the session ended");
      if (!may_retry(status, slot.command.sense()) || attempt == 200) {
        return Error::data_loss("READ of block {} fails with sense {:06x}", first,
                                slot.command.sense());
      }
      std::this_thread::sleep_for(10ms);
    }
    if (lost_at_ns_ != 0) {
      report_.away_seconds.push_back(static_cast<double>(now_ns() - lost_at_ns_) / 1e9);
      lost_at_ns_ = 0;
    }
    for (std::uint64_t i = 0; i < count; ++i) ledger_->look(first + i, cell(slot, i));
    report_.verified_cells += count;
  }
  return {};
}

std::span<std::byte> Writer::cell(Slot& slot, std::uint64_t index) const {
  return std::span(slot.data).subspan(index * cell_bytes_, cell_bytes_);
}

// Draws a command whose cells nobody is at work on.
bool Writer::choose(Slot& slot) {
  ++commands_;
  if (options_.synchronize_every != 0 && commands_ % options_.synchronize_every == 0) {
    slot.operation = Operation::kSynchronizeCache;
    slot.first = slot.count = 0;
    return true;
  }
  const std::uint64_t drawn = random_.below(100);
  slot.operation = drawn < 50   ? Operation::kWrite
                   : drawn < 58 ? Operation::kWriteFua
                   : drawn < 66 ? Operation::kUnmap
                   : drawn < 72 ? Operation::kWriteSame
                   : drawn < 80 ? Operation::kCompareAndWrite
                                : Operation::kRead;
  if (slot.operation == Operation::kCompareAndWrite && !report_.knows_compare_and_write) {
    slot.operation = Operation::kWrite;
  }
  for (int attempt = 0; attempt < 16; ++attempt) {
    std::uint64_t granularity = 1;
    std::uint64_t most = std::min(kMostCells, ledger_->cells());
    if (slot.operation == Operation::kUnmap) {
      granularity = std::max<std::uint64_t>(1, kUnmapGranularity / cell_bytes_);
    } else if (slot.operation == Operation::kCompareAndWrite) {
      most = kMostCompared;
    }
    // Mostly small, some large; half of them on 4 KiB boundaries, as file systems do.
    const std::uint64_t limit = random_.chance(1, 8) ? most : std::min<std::uint64_t>(most, 16);
    slot.count = random_.between(1, limit);
    if (random_.chance(1, 2)) {
      granularity =
          std::max<std::uint64_t>(granularity, std::max<std::uint64_t>(1, 4096 / cell_bytes_));
    }
    if (slot.operation != Operation::kCompareAndWrite) {
      slot.count = (slot.count + granularity - 1) / granularity * granularity;
    }
    slot.first = random_.below((ledger_->cells() - slot.count) / granularity + 1) * granularity;
    if (ledger_->claim(slot.first, slot.count)) {
      slot.is_claimed = true;
      return true;
    }
  }
  return false;
}

void Writer::prepare(Slot& slot) {
  const auto count = static_cast<std::uint32_t>(slot.count);
  const std::span<std::byte> data = std::span(slot.data).first(slot.count * cell_bytes_);
  slot.written = {.sequence = ++sequence_, .pattern = Pattern::kStamps, .first = slot.first};
  const auto stamp_cells = [&](std::uint64_t at) {
    for (std::uint64_t i = 0; i < slot.count; ++i) {
      fill_cell(cell(slot, at + i), slot.written.stamp(ledger_->run(), slot.first + i));
    }
  };
  switch (slot.operation) {
    case Operation::kWrite:
    case Operation::kWriteFua:
      stamp_cells(0);
      slot.command.set_write(slot.first, count, data,
                             slot.operation == Operation::kWriteFua ? Fua::kYes : Fua::kNo);
      break;
    case Operation::kUnmap:
      slot.written.pattern = Pattern::kZeros;
      slot.command.set_unmap(slot.first, count);
      break;
    case Operation::kWriteSame:
      slot.written.pattern = Pattern::kSame;
      fill_cell(cell(slot, 0), slot.written.stamp(ledger_->run(), slot.first));
      slot.command.set_write_same(slot.first, count, cell(slot, 0));
      break;
    case Operation::kCompareAndWrite:
      for (std::uint64_t i = 0; i < slot.count; ++i) {
        ledger_->fill_known(slot.first + i, cell(slot, i));
      }
      stamp_cells(slot.count);
      slot.command.set_compare_and_write(slot.first, static_cast<std::uint8_t>(count),
                                         std::span(slot.data).first(2 * slot.count * cell_bytes_));
      break;
    case Operation::kSynchronizeCache:
      slot.command.set_synchronize_cache();
      break;
    case Operation::kRead:
      slot.command.set_read(slot.first, count, data);
      break;
  }
}

void Writer::start(Slot& slot) {
  if (!slot.is_claimed) {
    if (!choose(slot)) return;
    prepare(slot);
  }
  if (!slot.session.initiator->submit(slot.command).ok()) return;
  slot.is_under_way = true;
  ++under_way_;
}

void Writer::settle_good(Slot& slot) {
  ++report_.acknowledged[static_cast<std::size_t>(slot.operation)];
  switch (slot.operation) {
    case Operation::kSynchronizeCache:
      return;
    case Operation::kRead:
      for (std::uint64_t i = 0; i < slot.count; ++i) ledger_->look(slot.first + i, cell(slot, i));
      ledger_->release(slot.first, slot.count);
      return;
    default:
      ledger_->acknowledged(slot.first, slot.count, slot.written);
  }
}

void Writer::done(Slot& slot, CommandStatus status) {
  slot.is_under_way = false;
  --under_way_;
  const bool has_cells = slot.is_claimed;
  const bool is_write = has_cells && slot.operation != Operation::kRead;
  if (status == CommandStatus::kGood) {
    slot.is_claimed = false;
    settle_good(slot);
    return;
  }
  if (status == CommandStatus::kLost) {
    slot.is_claimed = false;
    if (is_write) {
      ++report_.in_doubt;
      ledger_->lost(slot.first, slot.count, slot.written);
    } else if (has_cells) {
      ledger_->release(slot.first, slot.count);
    }
    return;
  }
  const std::uint32_t sense = slot.command.sense();
  if (may_retry(status, sense)) {
    ++report_.retried;
    slot.not_before_ns = now_ns() + 10'000'000;
    if (has_cells) prepare(slot);  // it keeps its cells; its stamp is a new one
    return;
  }
  if (slot.operation == Operation::kCompareAndWrite && sense == kInvalidOpcode) {
    report_.knows_compare_and_write = false;
    slot.is_claimed = false;
    ledger_->release(slot.first, slot.count);
    return;
  }
  if (verdict_.ok()) {
    verdict_ = Error::data_loss(
        "{} of {} blocks at {}: status {}, sense {:06x}{}", to_string(slot.operation), slot.count,
        slot.first, static_cast<int>(status), sense,
        sense == kMiscompare ? ": what was acknowledged does not stand there" : "");
  }
}

Result<> Writer::work(bool (*stop)()) {
  std::vector<pollfd> waiting(sessions_.size());
  std::int64_t last_answer = now_ns();
  for (;;) {
    is_stopping_ = is_stopping_ || stop();
    const std::int64_t now = now_ns();
    std::size_t claimed = 0;
    for (const auto& session : sessions_) {
      for (const auto& slot : session->slots) {
        claimed += slot->is_claimed ? 1 : 0;
        if (slot->is_under_way || slot->not_before_ns > now) continue;
        if (!is_stopping_ || slot->is_claimed) start(*slot);
      }
    }
    if (is_stopping_ && under_way_ == 0 && claimed == 0) return {};
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      IscsiInitiator& initiator = *sessions_[i]->initiator;
      ASHLAR_TRY(initiator.flush());
      waiting[i] = {.fd = initiator.fd(), .events = initiator.events(), .revents = 0};
    }
    if (::poll(waiting.data(), waiting.size(), 20) > 0) {
      last_answer = now_ns();
      for (std::size_t i = 0; i < sessions_.size(); ++i) {
        if (waiting[i].revents == 0) continue;
        ASHLAR_TRY(sessions_[i]->initiator->service(waiting[i].revents));
      }
    } else if (under_way_ > 0 && now_ns() - last_answer > options_.reconnect_limit.count()) {
      verdict_ = Error::deadline_exceeded("{} commands got no answer", under_way_);
    }
    ASHLAR_TRY(verdict_);
  }
}

Result<> Writer::run(bool (*stop)()) {
  for (;;) {
    ASHLAR_TRY(connect());
    auto going = verify();
    if (going.ok()) going = work(stop);
    if (going.ok()) going = verify();
    const bool is_over =
        going.ok() || going.error().code() == ErrorCode::kDataLoss || !verdict_.ok();
    if (!is_over) ++report_.reconnects;
    if (!is_over && lost_at_ns_ == 0) lost_at_ns_ = now_ns();
    drop_sessions();
    if (is_over) return going;
  }
}

}  // namespace ashlar::crash
