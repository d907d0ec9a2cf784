// CommandContext: what a handler gets. It lives in the frame of Device::execute() and outlives the
// handler.
//
// A handler runs out of reach of cancellation, so that what it has begun on the volume it ends. The
// one place where it is cancelled is fetch(): an aborted command gets kCancelled there, before it
// has had an effect. A handler that works in many steps asks is_aborted() between them.
#pragma once

#include <cstdint>
#include <utility>

#include "volume/scsi/logical_unit.h"
#include "volume/scsi/nexus.h"
#include "volume/scsi/opcodes.h"
#include "volume/scsi/response.h"
#include "volume/scsi/task_set.h"

namespace ashlar::scsi {

// `co_await`ed once: the first bytes that the initiator sends. kCancelled when the command was
// aborted, also when the bytes came all the same: it must not begin anything then.
class [[nodiscard]] Fetch {
  using Inner = Task<Result<Buffer>>::Awaiter;

 public:
  Fetch(Task<Result<Buffer>> bytes, ScsiTask& task) : bytes_(std::move(bytes)), task_(task) {}

  class Awaiter {
   public:
    Awaiter(Inner inner, const ScsiTask& task) : inner_(inner), task_(task) {}
    bool await_ready() const noexcept { return inner_.await_ready(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      return inner_.await_suspend(caller);
    }
    Result<Buffer> await_resume() {
      Result<Buffer> bytes = inner_.await_resume();
      if (task_.is_aborted()) return Error::cancelled("the command was aborted");
      return bytes;
    }

   private:
    Inner inner_;
    const ScsiTask& task_;
  };
  Awaiter operator co_await() && noexcept {
    return {std::move(bytes_).in_scope(&task_.fetching), task_};
  }

 private:
  Task<Result<Buffer>> bytes_;
  ScsiTask& task_;
};

struct CommandContext {
  Device& device;
  // Null when there is none by this LUN; then only rows with kWithoutUnit run.
  LogicalUnit* addressed;
  Nexus& nexus;
  const Command& command;
  const Opcode& opcode;
  ScsiTask* task;  // with a unit

  LogicalUnit& unit() const {
    ASHLAR_CHECK(addressed != nullptr);
    return *addressed;
  }
  volume::Volume& volume() const { return unit().volume(); }
  BufferPool& pool() const { return unit().volume().pool(); }

  ByteSpan cdb() const { return command.cdb; }
  std::uint8_t u8(std::size_t at) const { return std::to_integer<std::uint8_t>(command.cdb[at]); }
  std::uint16_t u16(std::size_t at) const { return load_be16(command.cdb, at); }
  std::uint32_t u24(std::size_t at) const { return load_be24(command.cdb, at); }
  std::uint32_t u32(std::size_t at) const { return load_be32(command.cdb, at); }
  std::uint64_t u64(std::size_t at) const { return load_be64(command.cdb, at); }
  bool has_bit(std::size_t at, unsigned bit) const { return (u8(at) >> bit & 1) != 0; }

  // At most what the initiator gives: command.data_out->expected().
  Fetch fetch(std::uint64_t length) const { return {command.data_out->fetch(length), *task}; }
  bool is_aborted() const { return task->is_aborted(); }
};

}  // namespace ashlar::scsi
