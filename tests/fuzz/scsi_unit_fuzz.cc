// Feeds CDBs, parameter data and task management to a whole unit: Device, volume, store, in the
// simulator. What comes back must be an answer, every command must end, and the unit must go on
// serving.
//
// The input is a list of steps. One byte chooses the set-up of the unit; then each step has a byte
// of flags, and
//   command   a byte that chooses a row of the opcode table, a byte that chooses how much data
//   there
//             is, the 16 bytes of the CDB, and data as far as the input goes
//   other     task management, the end of a session, the end of waiting
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"
#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {
namespace {

constexpr std::size_t kMostSteps = 24;

enum Flag : std::uint8_t {
  kIsOther = 0x01,       // no command
  kOfSecondHost = 0x02,  //
  kRaw = 0x04,           // the CDB as it is: any opcode, any bit
  kHoldsData = 0x08,     // the data comes when all else is over
  kWaits = 0x10,         // for all that is under way, before the next step
  kOrdered = 0x20,
  kHead = 0x40,
  kOtherLun = 0x80,
};

struct Step {
  Step(BufferPool& pool, Bytes bytes) : out(pool, std::move(bytes)) { out.gate = &gate; }
  Event gate;
  TestDataOut out;
  std::optional<Answer> answer;
};

class Input {
 public:
  explicit Input(ByteSpan bytes) : reader_(bytes) {}
  bool is_over() const { return reader_.remaining() == 0; }
  std::uint8_t u8() { return is_over() ? 0 : reader_.u8(); }
  Bytes bytes(std::size_t most) {
    const ByteSpan taken = reader_.bytes(std::min(most, reader_.remaining()));
    return {taken.begin(), taken.end()};
  }

 private:
  ByteReader reader_;
};

Cdb read_cdb(Input& input, std::uint8_t flags, std::uint8_t choice) {
  const Bytes raw = input.bytes(16);
  Cdb cdb(16);
  std::ranges::transform(raw, cdb.begin(),
                         [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  if ((flags & kRaw) != 0) return cdb;
  const auto rows = opcode_table().rows();
  const Opcode& row = *rows[choice % rows.size()];
  for (std::size_t i = 0; i < cdb.size(); ++i) cdb[i] &= row.usage[i];
  cdb[0] = row.code;
  if (row.service_action) cdb[1] = static_cast<std::uint8_t>(cdb[1] | *row.service_action);
  return cdb;
}

Bytes read_data(Input& input, std::uint8_t choice) {
  constexpr std::array<std::size_t, 12> kSizes{0, 4, 8, 12, 16, 24, 28, 32, 512, 1024, 4096, 8192};
  Bytes bytes = input.bytes(std::size_t{choice} >> 4 << 3);
  bytes.resize(kSizes[(choice & 0x0f) % kSizes.size()]);
  return bytes;
}

void judge(const Answer& answer) {
  const Response& response = answer.response;
  EXPECT_NE(told(answer), "");
  EXPECT_LE(answer.data.size(), volume::Volume::kLargestTransfer);
  if (response.status == Status::kCheckCondition) {
    EXPECT_NE(response.sense.key, SenseKey::kNoSense);
    // Nothing is wrong with the disk here.
    EXPECT_NE(response.sense.key, SenseKey::kMediumError);
    EXPECT_NE(response.sense.key, SenseKey::kHardwareError);
    std::array<std::byte, kLongestSense> sense;
    EXPECT_LE(encode_sense(response.sense, response.sense_format, sense), sense.size());
  }
}

class Run {
 public:
  Run(BlockLab& lab, Input input, TaskContext here) : lab_(lab), input_(input), scope_(here) {}

  static Task<void> all(BlockLab* lab, Input input) {
    Run run(*lab, input, co_await this_task());
    for (std::size_t i = 0; i < kMostSteps && !run.input_.is_over(); ++i) co_await run.step();
    co_await run.wait();
    co_await run.still_serves();
  }

 private:
  Task<void> step() {
    const std::uint8_t flags = input_.u8();
    const std::uint8_t choice = input_.u8();
    if ((flags & kIsOther) != 0) {
      co_await other(flags, choice);
    } else {
      start_command(flags, choice);
      if ((flags & kWaits) != 0) co_await wait();
    }
  }

  void start_command(std::uint8_t flags, std::uint8_t choice) {
    const std::uint8_t size = input_.u8();
    Cdb cdb = read_cdb(input_, flags, choice);
    Step& step = steps_.emplace_back(*lab_.store.pool, read_data(input_, size));
    if ((flags & kHoldsData) == 0) step.gate.set();
    Command command{.tag = next_tag_++, .data_in_limit = UINT32_MAX};
    if ((flags & kOrdered) != 0) command.attribute = TaskAttribute::kOrdered;
    if ((flags & kHead) != 0) command.attribute = TaskAttribute::kHeadOfQueue;
    if ((flags & kOtherLun) != 0) command.lun = encode_lun(1);
    scope_.spawn(
        engine::keep(lab_.execute(&host(flags), std::move(cdb), command, &step.out), &step.answer));
  }

  Task<void> other(std::uint8_t flags, std::uint8_t choice) {
    if ((choice & 0x0f) == 0x0f) {
      co_await wait();
      (void)host(flags);
      lab_.close((flags & kOfSecondHost) != 0 ? "b" : "a");
    } else if ((choice & 0x0f) == 0x0e) {
      co_await lab_.store.sleep(Duration(choice >> 4 << 20));
    } else {
      const auto function = static_cast<TaskManagementFunction>(1 + choice % 8);
      const std::uint32_t tag = next_tag_ - 1 - (choice >> 4) % 4;
      (void)co_await lab_.device->manage(host(flags), function, 0, tag);
    }
  }

  Nexus& host(std::uint8_t flags) { return lab_.nexus((flags & kOfSecondHost) != 0 ? "b" : "a"); }

  // Everything ends once its data is there.
  Task<void> wait() {
    for (Step& step : steps_) step.gate.set();
    CO_ASSERT_OK(co_await scope_.join());
    for (const Step& step : steps_) judge(*step.answer);
    steps_.clear();
    EXPECT_EQ(lab_.unit().tasks().size(), 0u);
  }

  // A third host is answered; what it hears may be a reservation, or a sanitize operation.
  Task<void> still_serves() {
    const Answer answer = co_await lab_.send_as(&lab_.nexus("c"), cdb6(0x12, 0, 96));
    EXPECT_EQ(told(answer), "GOOD");
    EXPECT_EQ(answer.data.size(), 96u);
    co_await lab_.store.sleep(10s);
    const Answer ready = co_await lab_.send_as(&lab_.nexus("c"), cdb6(0x00));
    judge(ready);
  }

  BlockLab& lab_;
  Input input_;
  TaskScope scope_;
  std::list<Step> steps_;
  std::uint32_t next_tag_ = 100;
};

void run_input(ByteSpan bytes) {
  if (bytes.empty()) return;
  Input input(bytes);
  const std::uint8_t setup = input.u8();
  BlockLab lab;
  lab.store.options.log_capacity = ByteCount(4 << 20);
  lab.size_blocks = 32;
  lab.settings.logical_block_size = (setup & 1) != 0 ? 4096 : 512;
  lab.settings.removable = (setup & 2) != 0;
  lab.settings.read_only = (setup & 4) != 0;
  if ((setup & 8) != 0) lab.settings.ack_policy = volume::AckPolicy::kBuffered;
  lab.run([input](BlockLab& l) { return Run::all(&l, input); });
}

}  // namespace
}  // namespace ashlar::scsi

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

// Now and then an input is made anew out of whole steps, with the small numbers that units of this
// size take; libFuzzer changes bytes of it and crosses it with others.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  constexpr std::size_t kStep = 3 + 16;
  ashlar::Random random(seed);
  if (size > 1 && !random.chance(1, 6)) return LLVMFuzzerMutate(data, size, most);
  std::size_t at = 0;
  data[at++] = static_cast<std::uint8_t>(random.below(16));
  for (std::uint64_t steps = random.between(1, 12); steps > 0 && most - at > 2 * kStep; --steps) {
    data[at++] = static_cast<std::uint8_t>(random.chance(1, 2) ? 0x10 : random.next());
    data[at++] = static_cast<std::uint8_t>(random.next());
    const std::uint64_t prefix = random.chance(1, 2) ? 0 : random.below(4);
    data[at++] = static_cast<std::uint8_t>(prefix << 4 | random.below(12));
    for (int i = 0; i < 16; ++i) {
      data[at++] = static_cast<std::uint8_t>(random.chance(1, 3)   ? random.below(9)
                                             : random.chance(1, 8) ? random.next()
                                                                   : 0);
    }
    for (std::uint64_t i = 0; i < prefix * 8 && at < most; ++i) {
      data[at++] = static_cast<std::uint8_t>(random.chance(1, 2) ? random.below(33) : 0);
    }
  }
  return at;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A failed expectation is a crash, which libFuzzer keeps the input of.
  testing::FLAGS_gtest_break_on_failure = true;
  ashlar::scsi::run_input(std::as_bytes(std::span(data, size)));
  return 0;
}
