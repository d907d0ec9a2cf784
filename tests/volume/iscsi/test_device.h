// A SCSI device in memory for the tests of the iSCSI target: it does what a test says, when it says
// so. Commands: TEST UNIT READY, INQUIRY (36 bytes), READ(10), WRITE(10), and 0xc0: CHECK
// CONDITION.
#pragma once

#include <algorithm>
#include <vector>

#include "common/runtime/sync.h"
#include "common/runtime/task_scope.h"
#include "volume/scsi/device.h"
#include "volume/scsi/nexus.h"

namespace ashlar::iscsi {

class TestDevice final : public scsi::Device {
 public:
  static constexpr std::size_t kBlock = 512;

  TestDevice(Runtime runtime, BufferPool& pool, std::size_t size = 8 << 20)
      : Device(runtime.clock, runtime.random, pool, {"iqn.2026-01.io.ashlar:vol1"}), memory(size) {}

  std::vector<std::byte> memory;
  // While it is not set, commands stop before they have an effect.
  Event go;
  // The order in which commands reached the device, by tag.
  std::vector<std::uint32_t> seen;
  std::uint64_t executed = 0;
  std::uint64_t fetched_in_place = 0;  // data-out that begins on a 4 KiB boundary
  std::size_t read_pieces = 1;         // buffers that a read's data comes in

  std::size_t running() const { return running_count_; }

  Task<scsi::Response> execute(scsi::Nexus& nexus, const scsi::Command& command) override {
    const TaskContext here = co_await this_task();
    CancelScope scope(here.cancel_scope);
    Running running;
    running.lun = command.lun;
    running.tag = command.tag;
    running.nexus = &nexus;
    running.scope = &scope;
    running_.push_back(running);
    ++running_count_;
    seen.push_back(command.tag);
    scsi::Response response = co_await perform(command).in_scope(&scope);
    response.is_aborted = running.is_aborted;
    static_cast<ListHook<struct RunningTag>&>(running).unlink();
    --running_count_;
    one_left_.set();
    co_return response;
  }

  Task<scsi::TaskManagementAnswer> manage(scsi::Nexus& nexus, scsi::TaskManagementFunction function,
                                          std::uint64_t lun, std::uint32_t tag) override {
    using Function = scsi::TaskManagementFunction;
    if (lun != 0) co_return scsi::TaskManagementAnswer::kLunDoesNotExist;
    if (function == Function::kClearAca) co_return scsi::TaskManagementAnswer::kNotSupported;
    std::size_t matches = 0;
    running_.for_each([&](Running& running) {
      const bool mine = running.nexus == &nexus;
      const bool is_meant = function == Function::kAbortTask      ? mine && running.tag == tag
                            : function == Function::kAbortTaskSet ? mine
                                                                  : true;
      if (!is_meant) return;
      ++matches;
      running.is_aborted = true;
      running.scope->cancel();
    });
    if (function == Function::kAbortTask && matches == 0) {
      co_return scsi::TaskManagementAnswer::kTaskDoesNotExist;
    }
    while (has_aborted()) {
      one_left_.reset();
      (void)co_await one_left_.wait();
    }
    co_return scsi::TaskManagementAnswer::kComplete;
  }

 private:
  struct Running : ListHook<struct RunningTag> {
    std::uint64_t lun = 0;
    std::uint32_t tag = 0;
    scsi::Nexus* nexus = nullptr;
    CancelScope* scope = nullptr;
    bool is_aborted = false;
  };

  bool has_aborted() {
    bool has = false;
    running_.for_each([&](Running& running) { has |= running.is_aborted; });
    return has;
  }

  static scsi::Response check_condition() {
    scsi::Response response;
    response.status = scsi::Status::kCheckCondition;
    response.sense.key = scsi::SenseKey::kIllegalRequest;
    response.sense.asc = {0x20, 0};
    return response;
  }

  Task<scsi::Response> perform(const scsi::Command& command) {
    scsi::Response response;
    const auto opcode = std::to_integer<unsigned>(command.cdb[0]);
    const std::size_t offset = std::size_t{load_be32(command.cdb, 2)} * kBlock;
    const std::size_t length = std::size_t{load_be16(command.cdb, 7)} * kBlock;
    if (opcode == 0x2a) {
      response.data_out_wanted = length;
      const std::uint64_t given = std::min<std::uint64_t>(length, command.data_out->expected());
      Result<Buffer> data = co_await command.data_out->fetch(given);
      if (!data.ok()) co_return check_condition();
      if (reinterpret_cast<std::uintptr_t>(data->data()) % 4096 == 0) ++fetched_in_place;
      const Result<> gone = co_await go.wait();
      if (!gone.ok()) co_return check_condition();
      std::ranges::copy(data->bytes(), memory.begin() + static_cast<std::ptrdiff_t>(offset));
    } else {
      const Result<> gone = co_await go.wait();
      if (!gone.ok()) co_return check_condition();
      if (opcode == 0x28) {
        for (std::size_t at = 0; at < length;) {
          const std::size_t part =
              std::min(length - at, (length / read_pieces + kBlock - 1) / kBlock * kBlock);
          Buffer piece = pool().allocate(ByteCount(part)).value();
          std::copy_n(memory.begin() + static_cast<std::ptrdiff_t>(offset + at), part,
                      piece.data());
          response.data_in.push_back(std::move(piece));
          at += part;
        }
      } else if (opcode == 0x12) {
        Buffer data = pool().allocate(ByteCount(36)).value();
        std::ranges::fill(data.bytes(), std::byte{0x41});
        response.data_in.push_back(std::move(data));
      } else if (opcode != 0) {
        co_return check_condition();
      }
    }
    ++executed;
    co_return response;
  }

  IntrusiveList<Running, RunningTag> running_;
  std::size_t running_count_ = 0;
  Event one_left_;
};

}  // namespace ashlar::iscsi
