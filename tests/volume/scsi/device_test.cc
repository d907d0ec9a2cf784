// LUNs, sessions and what they are told.
#include "volume/scsi/device.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"

namespace ashlar::scsi {
namespace {

constexpr std::uint64_t kBlock = 512;
const Cdb kReady = cdb6(0x00);

// A session that has heard nothing yet.
Task<std::string> ready(BlockLab& lab, Nexus* nexus, std::uint16_t lun = 0) {
  TestDataOut out(*lab.store.pool, {});
  Command command{.lun = encode_lun(lun), .tag = 1};
  const Answer answer = co_await lab.execute(nexus, kReady, command, &out);
  co_return told(answer);
}

TEST(DeviceTest, TheFirstCommandOfASessionHearsOfThePowerOnOnce) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    std::unique_ptr<Nexus> a = l.device->open_nexus(BlockLab::name_of("first"));
    // REPORT LUNS and REQUEST SENSE are answered all the same; the latter tells and forgets.
    const Answer luns = co_await l.send_as(a.get(), cdb12(0xa0, 0, 64));
    EXPECT_EQ(told(luns), "GOOD");
    std::string answer = co_await ready(l, a.get());
    EXPECT_EQ(answer, "6/29/00");
    answer = co_await ready(l, a.get());
    EXPECT_EQ(answer, "GOOD");
    std::unique_ptr<Nexus> b = l.device->open_nexus(BlockLab::name_of("second"));
    const Answer sense = co_await l.send_as(b.get(), cdb6(0x03, 0, 252));
    EXPECT_EQ(sense.data.size(), 18u);
    EXPECT_EQ(sense.data[2], std::byte{6});
    EXPECT_EQ(sense.data[12], std::byte{0x29});
    answer = co_await ready(l, b.get());
    EXPECT_EQ(answer, "GOOD");
    const Answer nothing = co_await l.send_as(b.get(), cdb6(0x03, 0, 252));
    EXPECT_EQ(nothing.data[2], std::byte{0});
    l.device->close_nexus(std::move(a));
    l.device->close_nexus(std::move(b));
  });
}

TEST(DeviceTest, AUnitAttentionComesBeforeEveryOtherComplaint) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    for (const Cdb& cdb :
         {cdb10(0x28, ~0u, 1), cdb10(0x28, 0, 1, 0xe0), Cdb{0xff}, cdb16(0x9e, 0, 0, 0x1f)}) {
      l.nexus().attentions(0).add(UnitAttention::kCapacityChanged);
      const Answer answer = co_await l.send(cdb);
      EXPECT_EQ(told(answer), "6/2a/09");
      const Answer again = co_await l.send(cdb);
      EXPECT_EQ(again.response.sense.key, SenseKey::kIllegalRequest);
    }
  });
}

TEST(DeviceTest, WhoComesBackHearsOfItsLossAndOfWhatItMissed) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    (void)l.nexus("a");
    l.close("a");
    CO_ASSERT_OK(co_await l.volume->resize(ByteCount(8192ull * 4096)));
    std::unique_ptr<Nexus> back = l.device->open_nexus(BlockLab::name_of("a"));
    std::vector<std::string> heard;
    for (int i = 0; i < 3; ++i) heard.push_back(co_await ready(l, back.get()));
    EXPECT_EQ(heard, (std::vector<std::string>{"6/29/07", "6/2a/09", "GOOD"}));
    l.device->close_nexus(std::move(back));
  });
}

TEST(DeviceTest, EverySessionHearsOfANewCapacityAndSeesIt) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    Nexus* const a = &l.nexus("a");
    Nexus* const b = &l.nexus("b");
    CO_ASSERT_OK(co_await l.volume->resize(ByteCount(8192ull * 4096)));
    for (Nexus* nexus : {a, b}) {
      const std::string first = co_await ready(l, nexus);
      EXPECT_EQ(first, "6/2a/09");
      const Answer capacity = co_await l.send_as(nexus, cdb10(0x25, 0, 0));
      EXPECT_EQ(load_be32(capacity.data, 0), 8192u * 8 - 1);
    }
    const Answer last = co_await l.send(cdb16(0x88, 8192ull * 8 - 1, 1));
    EXPECT_EQ(told(last), "GOOD");
    volume::VolumeSettings changed = l.settings;
    changed.read_only = true;
    CO_ASSERT_OK(co_await l.volume->change_settings(changed));
    for (Nexus* nexus : {a, b}) {
      const std::string first = co_await ready(l, nexus);
      EXPECT_EQ(first, "6/2a/01");
    }
  });
}

TEST(DeviceTest, WhoIsForgottenHearsOfAPowerOn) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    (void)l.nexus("a");
    l.close("a");
    for (std::size_t i = 0; i <= Device::kMostRemembered; ++i) {
      l.device->close_nexus(l.device->open_nexus(BlockLab::name_of(fmt::format("other-{}", i))));
    }
    std::unique_ptr<Nexus> back = l.device->open_nexus(BlockLab::name_of("a"));
    const std::string heard = co_await ready(l, back.get());
    EXPECT_EQ(heard, "6/29/00");
    l.device->close_nexus(std::move(back));
  });
}

TEST(DeviceTest, SeveralUnitsAreToldApart) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(engine::Replica* const replica, co_await l.store.make(2, 64));
    volume::Volume second(*replica, *l.store.pool, l.store.runtime->clock, {.name = "w"});
    Nexus* const a = &l.nexus("a");
    CO_ASSERT_OK(l.device->add_unit(300, second));
    EXPECT_EQ(test::outcome_of(l.device->add_unit(300, second)), "ALREADY_EXISTS");
    EXPECT_EQ(test::outcome_of(l.device->add_unit(0x4000, second)), "INVALID_ARGUMENT");

    std::string heard = co_await ready(l, a, 0);
    EXPECT_EQ(heard, "6/3f/0e");
    heard = co_await ready(l, a, 300);
    EXPECT_EQ(heard, "6/29/00");

    const Answer luns = co_await l.send_as(a, cdb12(0xa0, 0, 64));
    CO_ASSERT_TRUE(luns.data.size() == 24);
    EXPECT_EQ(load_be32(luns.data, 0), 16u);
    EXPECT_EQ(load_be64(luns.data, 8), 0u);
    EXPECT_EQ(load_be64(luns.data, 16), 0x412c'0000'0000'0000u);

    TestDataOut out(*l.store.pool, pattern(kBlock, 1));
    const Answer written =
        co_await l.execute(a, cdb10(0x2a, 0, 1), {.lun = encode_lun(300), .tag = 9}, &out);
    EXPECT_EQ(told(written), "GOOD");
    const Bytes untouched = co_await l.bytes_at(0, kBlock);
    EXPECT_TRUE(untouched == Bytes(kBlock));
    CO_ASSERT_OK_ASSIGN(const Buffer bytes, co_await second.read({0, kBlock}));
    EXPECT_EQ(Bytes(bytes.bytes().begin(), bytes.bytes().end()), pattern(kBlock, 1));

    // REPORT LUNS tells what the unit attention was about.
    CO_ASSERT_OK(co_await l.device->remove_unit(300));
    (void)co_await l.send_as(a, cdb12(0xa0, 0, 64));
    heard = co_await ready(l, a, 0);
    EXPECT_EQ(heard, "GOOD");
    heard = co_await ready(l, a, 300);
    EXPECT_EQ(heard, "5/25/00");
  });
}

TEST(DeviceTest, ALunThatThereIsNotIsRefusedButForItsIdentity) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    for (const std::uint64_t lun :
         {encode_lun(1), encode_lun(300), std::uint64_t{1}, std::uint64_t{0xc101} << 48}) {
      Nexus* const a = &l.nexus();
      TestDataOut out(*l.store.pool, Bytes(kBlock));
      const Command command{.lun = lun, .tag = 1};
      for (const Cdb& cdb : {kReady, cdb10(0x28, 0, 1), cdb10(0x2a, 0, 1), Cdb{0xff}}) {
        const Answer answer = co_await l.execute(a, cdb, command, &out);
        EXPECT_EQ(told(answer), "5/25/00");
      }
      EXPECT_FALSE(out.was_fetched);
      const Answer sense = co_await l.execute(a, cdb6(0x03, 0, 252), command, &out);
      EXPECT_EQ(told(sense), "GOOD");
      EXPECT_EQ(sense.data[2], std::byte{5});
      EXPECT_EQ(sense.data[12], std::byte{0x25});
      const Answer luns = co_await l.execute(a, cdb12(0xa0, 0, 64), command, &out);
      EXPECT_EQ(luns.data.size(), 16u);
    }
    const Answer short_list = co_await l.send(cdb12(0xa0, 0, 15));
    EXPECT_EQ(told(short_list), "5/24/00 cdb 6");
    Cdb select = cdb12(0xa0, 0, 64);
    select[2] = 1;
    const Answer well_known = co_await l.send(select);
    EXPECT_EQ(well_known.data.size(), 8u);
    select[2] = 0x12;
    const Answer unknown = co_await l.send(select);
    EXPECT_EQ(told(unknown), "5/24/00 cdb 2.7");
  });
}

TEST(DeviceTest, AUnitLeavesWhenItsCommandsAreOver) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    CO_ASSERT_OK_ASSIGN(engine::Replica* const replica, co_await l.store.make(2, 64));
    volume::Volume second(*replica, *l.store.pool, l.store.runtime->clock, {.name = "w"});
    CO_ASSERT_OK(l.device->add_unit(1, second));
    Nexus* const a = &l.nexus("a");
    Event gate;
    TestDataOut out(*l.store.pool, pattern(kBlock, 1));
    out.gate = &gate;
    TaskScope scope(co_await this_task());
    std::optional<Answer> answer;
    std::optional<Result<>> removed;
    scope.spawn(engine::keep(
        l.execute(a, cdb10(0x2a, 0, 1), {.lun = encode_lun(1), .tag = 1}, &out), &answer));
    co_await test::yield_until([&] { return out.was_fetched; });
    scope.spawn(engine::keep(l.device->remove_unit(1), &removed));
    co_await l.store.sleep(1s);
    EXPECT_FALSE(removed.has_value());
    const std::string heard = co_await ready(l, a, 1);
    EXPECT_EQ(heard, "5/25/00");
    gate.set();
    CO_ASSERT_OK(co_await scope.join());
    EXPECT_EQ(told(*answer), "GOOD");
    EXPECT_TRUE(removed->ok());
  });
}

}  // namespace
}  // namespace ashlar::scsi
