// A whole unit under test: a simulated machine with a store, a replica, a Volume and a Device with
// that volume as LUN 0, and initiators that send it commands.
//
//   BlockLab lab;
//   lab.run([](BlockLab& l) -> Task<void> {
//     const Answer answer = co_await l.send(cdb10(0x28, 0, 1));
//     EXPECT_EQ(told(answer), "GOOD");
//   });
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"
#include "volume/core/volume.h"
#include "volume/scsi/device.h"
#include "volume/scsi/logical_unit.h"
#include "volume/scsi/nexus.h"
#include "volume/scsi/sense_codes.h"

namespace ashlar::scsi {

using Cdb = std::vector<std::uint8_t>;
using Bytes = std::vector<std::byte>;

inline void put(Cdb& cdb, std::size_t at, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    cdb[at + i] = static_cast<std::uint8_t>(value >> (8 * (size - 1 - i)));
  }
}

// CDBs of the commands that name an extent. `flags` is byte 1 (of 6-byte CDBs: none).
inline Cdb cdb6(std::uint8_t opcode, std::uint32_t lba = 0, std::uint8_t count = 0) {
  Cdb cdb(6);
  put(cdb, 1, lba, 3);
  cdb[0] = opcode;
  cdb[4] = count;
  return cdb;
}
inline Cdb cdb10(std::uint8_t opcode, std::uint64_t lba, std::uint64_t count,
                 std::uint8_t flags = 0) {
  Cdb cdb(10);
  cdb[0] = opcode;
  cdb[1] = flags;
  put(cdb, 2, lba, 4);
  put(cdb, 7, count, 2);
  return cdb;
}
inline Cdb cdb12(std::uint8_t opcode, std::uint64_t lba, std::uint64_t count,
                 std::uint8_t flags = 0) {
  Cdb cdb(12);
  cdb[0] = opcode;
  cdb[1] = flags;
  put(cdb, 2, lba, 4);
  put(cdb, 6, count, 4);
  return cdb;
}
inline Cdb cdb16(std::uint8_t opcode, std::uint64_t lba, std::uint64_t count,
                 std::uint8_t flags = 0) {
  Cdb cdb(16);
  cdb[0] = opcode;
  cdb[1] = flags;
  put(cdb, 2, lba, 8);
  put(cdb, 10, count, 4);
  return cdb;
}
inline Cdb compare_and_write_cdb(std::uint64_t lba, std::uint8_t count, std::uint8_t flags = 0) {
  Cdb cdb = cdb16(0x89, lba, 0, flags);
  cdb[13] = count;
  return cdb;
}

inline Bytes pattern(std::size_t size, std::uint64_t seed) {
  Bytes bytes(size);
  if (seed != 0) Random(seed).fill(bytes);
  return bytes;
}
inline Bytes joined(const Bytes& a, const Bytes& b) {
  Bytes both = a;
  both.insert(both.end(), b.begin(), b.end());
  return both;
}

// What a test initiator sends; it may hold it back.
class TestDataOut final : public DataOut {
 public:
  TestDataOut(BufferPool& pool, Bytes bytes) : pool_(pool), bytes_(std::move(bytes)) {}

  std::uint64_t expected() const override { return bytes_.size(); }
  Task<Result<Buffer>> fetch(std::uint64_t length) override {
    EXPECT_FALSE(was_fetched) << "data was fetched twice";
    EXPECT_LE(length, bytes_.size()) << "more was fetched than there is";
    was_fetched = true;
    if (gate != nullptr) ASHLAR_CO_TRY(co_await gate->wait());
    if (fails_with) co_return *fails_with;
    ASHLAR_CO_TRY_ASSIGN(Buffer buffer, pool_.allocate(ByteCount(length)));
    std::copy_n(bytes_.begin(), length, buffer.bytes().begin());
    co_return std::move(buffer);
  }

  Event* gate = nullptr;  // fetch() waits for it
  std::optional<Error> fails_with;
  bool was_fetched = false;

 private:
  BufferPool& pool_;
  Bytes bytes_;
};

struct Answer {
  Response response;
  Bytes data;
};

// "GOOD", "ABORTED", "BUSY" …, or key, code and qualifier: "5/24/00", and behind that what else the
// sense says: "5/24/00 cdb 1.7", "e/1d/00 info 512".
inline std::string told(const Response& response) {
  if (response.is_aborted) return "ABORTED";
  switch (response.status) {
    case Status::kGood:
      return "GOOD";
    case Status::kConditionMet:
      return "CONDITION MET";
    case Status::kBusy:
      return "BUSY";
    case Status::kReservationConflict:
      return "RESERVATION CONFLICT";
    case Status::kTaskSetFull:
      return "TASK SET FULL";
    case Status::kAcaActive:
      return "ACA ACTIVE";
    case Status::kTaskAborted:
      return "TASK ABORTED";
    case Status::kCheckCondition:
      break;
  }
  const Sense& sense = response.sense;
  std::string text = fmt::format("{:x}/{:02x}/{:02x}", static_cast<unsigned>(sense.key),
                                 sense.asc.code, sense.asc.qualifier);
  if (sense.information) text += fmt::format(" info {}", *sense.information);
  if (sense.specific && sense.key == SenseKey::kIllegalRequest) {
    const auto& bytes = *sense.specific;
    text +=
        fmt::format(" {} {}", (bytes[0] & 0x40) != 0 ? "cdb" : "list", bytes[1] << 8 | bytes[2]);
    if ((bytes[0] & 0x08) != 0) text += fmt::format(".{}", bytes[0] & 7);
  }
  return text;
}
inline std::string told(const Answer& answer) {
  return told(answer.response);
}

class BlockLab {
 public:
  using Body = std::function<Task<void>(BlockLab&)>;

  explicit BlockLab(std::uint64_t seed = 1) : store(seed) {
    store.options.log_capacity = ByteCount(64 << 20);
  }

  // One life of the server, on the store as the one before left it.
  void run(Body body) {
    store.run([this, body](engine::StoreLab&) { return life(this, body); });
  }
  // The same, and it ends with a crash.
  void crash(sim::CrashKind kind, Body body) {
    store.crash(kind, [this, body](engine::StoreLab&) { return life(this, body); });
  }

  // The session of an initiator, opened when it is first asked for; what waits for a new one (power
  // on) is heard already.
  Nexus& nexus(const std::string& name = "a") {
    auto [place, is_new] = nexuses_.try_emplace(name);
    if (is_new) {
      place->second = device->open_nexus(name_of(name));
      for (const std::uint16_t lun : device->luns()) {
        while (place->second->attentions(lun).take_first()) continue;
      }
    }
    return *place->second;
  }
  void close(const std::string& name) {
    device->close_nexus(std::move(nexuses_.at(name)));
    nexuses_.erase(name);
  }
  static NexusName name_of(const std::string& name) {
    return {.initiator = "iqn.2026-11.test:" + name, .isid = 0x800000000001};
  }

  Task<Answer> send(Cdb cdb, Bytes data_out = {}) {
    return send_as(&nexus(), std::move(cdb), std::move(data_out));
  }
  Task<Answer> send_as(Nexus* from, Cdb cdb, Bytes data_out = {}) {
    TestDataOut out(*store.pool, std::move(data_out));
    Command command{.tag = next_tag_++, .data_in_limit = UINT32_MAX};
    Answer answer = co_await execute(from, std::move(cdb), command, &out);
    co_return answer;
  }
  // With all that a command has.
  Task<Answer> execute(Nexus* from, Cdb cdb, Command command, TestDataOut* out) {
    cdb.resize(16);
    command.cdb = std::as_bytes(std::span(cdb));
    command.data_out = out;
    Answer answer{co_await device->execute(*from, command), {}};
    for (const Buffer& piece : answer.response.data_in) {
      answer.data.insert(answer.data.end(), piece.bytes().begin(), piece.bytes().end());
    }
    answer.response.data_in.clear();
    co_return answer;
  }

  // Straight from the volume.
  Task<Bytes> bytes_at(std::uint64_t offset, std::uint64_t length) {
    const Result<Buffer> bytes = co_await volume->read({offset, length});
    EXPECT_TRUE(bytes.ok()) << bytes.error().to_string();
    if (!bytes.ok()) co_return Bytes();
    co_return Bytes(bytes->bytes().begin(), bytes->bytes().end());
  }

  LogicalUnit& unit() { return *device->find(0); }
  std::uint64_t capacity() { return unit().capacity(); }

  engine::StoreLab store;
  volume::VolumeSettings settings{.name = "v"};
  std::uint64_t size_blocks = 4096;  // of 4 KiB, when it is made
  // Of the life that goes on.
  volume::Volume* volume = nullptr;
  Device* device = nullptr;

 private:
  static Task<void> life(BlockLab* lab, Body body) {
    engine::Replica* replica = lab->store.find(1);
    if (replica == nullptr) {
      CO_ASSERT_OK_ASSIGN(replica, co_await lab->store.make(1, lab->size_blocks));
    }
    const Runtime& runtime = *lab->store.runtime;
    volume::Volume volume(*replica, *lab->store.pool, runtime.clock, lab->settings);
    Device device(runtime.clock, runtime.random, *lab->store.pool,
                  {.name = "iqn.2026-11.test:target"});
    CO_ASSERT_OK(device.add_unit(0, volume));
    lab->volume = &volume;
    lab->device = &device;
    co_await body(*lab);
    for (auto& [name, nexus] : lab->nexuses_) device.close_nexus(std::move(nexus));
    lab->nexuses_.clear();
    for (const std::uint16_t lun : device.luns()) {
      CO_ASSERT_OK(co_await device.remove_unit(lun));
    }
  }

  std::map<std::string, std::unique_ptr<Nexus>> nexuses_;
  std::uint32_t next_tag_ = 1;
};

}  // namespace ashlar::scsi
