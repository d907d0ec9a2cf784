// What the tests of SCSI commands share: a store in the simulator, volumes on it, a device with
// units made of them, and hosts that send CDBs.
//
//   UnitLab lab;
//   lab.run([](UnitLab& l) -> Task<void> {
//     Host& host = l.host("iqn.a");                  // its unit attentions are cleared
//     const Answer answer = co_await host.send({0x12, 0, 0, 0, 96, 0});
//     EXPECT_EQ(answer.to_string(), "GOOD");
//   });
//
// run() is one life of the server: what it leaves in the store the next run() finds.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"
#include "tests/support/expect.h"
#include "volume/scsi/device.h"
#include "volume/scsi/logical_unit.h"
#include "volume/scsi/nexus.h"

namespace ashlar::scsi {

using Bytes = std::vector<std::uint8_t>;

inline ByteSpan span_of(const Bytes& bytes) {
  return std::as_bytes(std::span(bytes));
}

inline void put_be(Bytes& bytes, std::size_t at, std::uint64_t value, std::size_t size) {
  for (std::size_t i = size; i-- > 0; value >>= 8) bytes[at + i] = static_cast<std::uint8_t>(value);
}

struct Answer {
  Response response;
  Bytes data;

  // "GOOD", "RESERVATION CONFLICT", "5/24/00" for sense, "aborted".
  std::string to_string() const {
    if (response.is_aborted) return "aborted";
    switch (response.status) {
      case Status::kGood:
        return "GOOD";
      case Status::kCheckCondition:
        return fmt::format("{:x}/{:02x}/{:02x}", static_cast<unsigned>(response.sense.key),
                           response.sense.asc.code, response.sense.asc.qualifier);
      case Status::kReservationConflict:
        return "RESERVATION CONFLICT";
      case Status::kBusy:
        return "BUSY";
      case Status::kTaskAborted:
        return "TASK ABORTED";
      default:
        return fmt::format("status {:x}", static_cast<unsigned>(response.status));
    }
  }
  // The byte that the sense's field pointer names; -1 without one.
  int pointed_byte() const {
    if (!response.sense.specific) return -1;
    const auto& specific = *response.sense.specific;
    return specific[1] << 8 | specific[2];
  }
  std::uint64_t be(std::size_t at, std::size_t size) const {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value = value << 8 | data.at(at + i);
    return value;
  }
};

// Data that a host has ready, or gives only when it is let go.
class HeldDataOut final : public DataOut {
 public:
  HeldDataOut(BufferPool& pool, Bytes bytes) : pool_(pool), bytes_(std::move(bytes)) {}

  std::uint64_t expected() const override { return bytes_.size(); }
  Task<Result<Buffer>> fetch(std::uint64_t length) override {
    EXPECT_LE(length, bytes_.size());
    is_asked = true;
    if (is_held) ASHLAR_CO_TRY(co_await released.wait());
    ASHLAR_CO_TRY_ASSIGN(Buffer buffer, pool_.allocate(ByteCount(length)));
    if (length != 0) std::memcpy(buffer.data(), bytes_.data(), length);
    co_return buffer;
  }

  bool is_held = false;
  bool is_asked = false;
  Event released;

 private:
  BufferPool& pool_;
  Bytes bytes_;
};

class UnitLab;

// An initiator port's session.
class Host {
 public:
  Host(UnitLab& lab, NexusName name);
  ~Host();

  Task<Answer> send(Bytes cdb, Bytes data_out = {}, std::uint16_t lun = 0);
  Task<Answer> send_held(Bytes cdb, HeldDataOut& data_out, std::uint16_t lun = 0);
  Nexus& nexus() { return *nexus_; }
  // What a session's first commands do.
  void clear_attentions();
  // The unit attentions that wait, in their order: "2a/03 2a/05".
  std::string attentions(std::uint16_t lun = 0);

 private:
  UnitLab& lab_;
  std::unique_ptr<Nexus> nexus_;
  std::uint32_t next_tag_ = 1;
};

class UnitLab {
 public:
  using Body = std::function<Task<void>(UnitLab&)>;

  explicit UnitLab(std::uint64_t seed = 1) : store(seed) {}

  static constexpr const char* kTarget = "iqn.2026-11.dev.ashlar:lab";

  void run(Body body) {
    store.run([this, body](engine::StoreLab&) { return life(this, body); });
  }
  // The same, ending in a crash of the machine.
  void crash(sim::CrashKind kind, Body body) {
    store.crash(kind, [this, body](engine::StoreLab&) { return life(this, body); });
  }

  // Within a body. A session of the host, made when it is first asked for; its attentions are gone.
  Host& host(const std::string& name, std::uint16_t port = 1, std::uint16_t group = 1) {
    auto& place = hosts_[{name, port}];
    if (place == nullptr) {
      place = std::make_unique<Host>(*this, NexusName{name, 0x4000'0001, port, group});
      place->clear_attentions();
    }
    return *place;
  }
  // Ends the session.
  void drop(const std::string& name, std::uint16_t port = 1) { hosts_.erase({name, port}); }
  LogicalUnit& unit(std::uint16_t lun = 0) { return *device->find(lun); }
  BufferPool& pool() { return *store.pool; }
  Clock& clock() { return store.runtime->clock; }

  engine::StoreLab store;
  // Before a life begins. A unit for each, LUN 0 first.
  std::vector<volume::VolumeSettings> settings{{.name = "lab"}};
  std::uint64_t blocks = 1024;  // of 4 KiB
  // Within a life.
  std::unique_ptr<Device> device;
  std::vector<std::unique_ptr<volume::Volume>> volumes;

 private:
  static Task<void> life(UnitLab* lab, Body body) {
    lab->device = std::make_unique<Device>(lab->clock(), lab->random_, lab->pool(),
                                           DeviceOptions{.name = kTarget});
    for (unsigned lun = 0; lun < lab->settings.size(); ++lun) {
      engine::Replica* replica = lab->store.find(lun + 1);
      if (replica == nullptr) {
        CO_ASSERT_OK_ASSIGN(replica, co_await lab->store.make(lun + 1, lab->blocks));
      }
      lab->volumes.push_back(std::make_unique<volume::Volume>(*replica, lab->pool(), lab->clock(),
                                                              lab->settings[lun]));
      CO_ASSERT_OK(lab->device->add_unit(static_cast<std::uint16_t>(lun), *lab->volumes.back()));
    }
    co_await body(*lab);
    lab->hosts_.clear();
    for (unsigned lun = 0; lun < lab->settings.size(); ++lun) {
      CO_ASSERT_OK(co_await lab->device->remove_unit(static_cast<std::uint16_t>(lun)));
    }
    lab->device.reset();
    lab->volumes.clear();
  }

  std::map<std::pair<std::string, std::uint16_t>, std::unique_ptr<Host>> hosts_;
  Random random_{7};
};

inline Host::Host(UnitLab& lab, NexusName name)
    : lab_(lab), nexus_(lab.device->open_nexus(std::move(name))) {}

inline Host::~Host() {
  lab_.device->close_nexus(std::move(nexus_));
}

inline void Host::clear_attentions() {
  for (const std::uint16_t lun : lab_.device->luns()) {
    while (nexus_->attentions(lun).take_first()) {
    }
  }
}

inline std::string Host::attentions(std::uint16_t lun) {
  std::string all;
  while (const std::optional<UnitAttention> attention = nexus_->attentions(lun).take_first()) {
    const Asc asc = asc_of(*attention);
    if (!all.empty()) all += ' ';
    all += fmt::format("{:02x}/{:02x}", asc.code, asc.qualifier);
  }
  return all;
}

inline Task<Answer> Host::send_held(Bytes cdb, HeldDataOut& data_out, std::uint16_t lun) {
  cdb.resize(std::max<std::size_t>(cdb.size(), 16));
  Command command{.lun = encode_lun(lun),
                  .tag = next_tag_++,
                  .cdb = span_of(cdb),
                  .data_out = &data_out,
                  .data_in_limit = 1 << 20};
  Answer answer;
  answer.response = co_await lab_.device->execute(*nexus_, command);
  for (const Buffer& buffer : answer.response.data_in) {
    const auto* const begin = reinterpret_cast<const std::uint8_t*>(buffer.data());
    answer.data.insert(answer.data.end(), begin, begin + buffer.size());
  }
  co_return answer;
}

inline Task<Answer> Host::send(Bytes cdb, Bytes data_out, std::uint16_t lun) {
  HeldDataOut data(lab_.pool(), std::move(data_out));
  co_return co_await send_held(std::move(cdb), data, lun);
}

}  // namespace ashlar::scsi
