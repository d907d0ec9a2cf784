#include <gtest/gtest.h>

#include "tests/volume/scsi/unit_lab.h"

namespace ashlar::scsi {
namespace {

constexpr std::uint8_t kControl = 0x0a;
constexpr std::uint8_t kCurrent = 0x00;
constexpr std::uint8_t kChangeable = 0x40;
constexpr std::uint8_t kDefault = 0x80;
constexpr std::uint8_t kSaved = 0xc0;

// MODE SENSE(6) without block descriptor.
Bytes sense6(std::uint8_t page, std::uint8_t control = kCurrent, std::uint8_t subpage = 0,
             std::uint8_t length = 255) {
  return {0x1a, 0x08, static_cast<std::uint8_t>(control | page), subpage, length, 0};
}
Bytes sense10(std::uint8_t page, std::uint8_t flags, std::uint8_t subpage = 0) {
  return {0x5a, flags, page, subpage, 0, 0, 0, 0x01, 0x00, 0};
}

struct ControlBits {
  bool d_sense = false;
  bool swp = false;
  bool tas = false;
};

// The control page as a host sends it back: PS cleared.
Bytes control_list(ControlBits bits) {
  return {0,
          0,
          0,
          0,
          0x0a,
          0x0a,
          static_cast<std::uint8_t>(0x02 | (bits.d_sense ? 0x04 : 0)),
          0x10,
          static_cast<std::uint8_t>(bits.swp ? 0x08 : 0),
          static_cast<std::uint8_t>(bits.tas ? 0x40 : 0),
          0,
          0,
          0xff,
          0xff,
          0,
          0};
}
Bytes select6(std::size_t length, bool saves = false, bool page_format = true) {
  return {0x15,
          static_cast<std::uint8_t>((page_format ? 0x10 : 0) | (saves ? 1 : 0)),
          0,
          0,
          static_cast<std::uint8_t>(length),
          0};
}
Task<Answer> set_control(Host& host, ControlBits bits, bool saves = false) {
  Bytes list = control_list(bits);
  co_return co_await host.send(select6(list.size(), saves), list);
}

TEST(ModePagesTest, TheHeaderTellsProtectionAndFua) {
  UnitLab lab;
  lab.settings[0].read_only = true;
  lab.run([](UnitLab& l) -> Task<void> {
    const Answer answer = co_await l.host("iqn.a").send(sense6(kControl));
    EXPECT_EQ(answer.to_string(), "GOOD");
    EXPECT_EQ(answer.data.at(0), answer.data.size() - 1);
    EXPECT_EQ(answer.data.at(2), 0x90);
    EXPECT_EQ(answer.data.at(3), 0);
    EXPECT_EQ(answer.data.at(4), 0x80 | kControl);  // can be saved
  });
}

TEST(ModePagesTest, TheWriteCacheFollowsTheAckPolicy) {
  for (const bool is_buffered : {false, true}) {
    UnitLab lab;
    if (is_buffered) lab.settings[0].ack_policy = volume::AckPolicy::kBuffered;
    lab.run([is_buffered](UnitLab& l) -> Task<void> {
      Host& host = l.host("iqn.a");
      EXPECT_EQ((co_await host.send(sense6(0x08))).data.at(6), is_buffered ? 0x04 : 0x00);
      // Nobody may change it.
      const Answer changeable = co_await host.send(sense6(0x08, kChangeable));
      for (std::size_t i = 6; i < changeable.data.size(); ++i) EXPECT_EQ(changeable.data[i], 0);
    });
  }
}

TEST(ModePagesTest, AllPagesAreThosePagesOneByOne) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    for (const std::uint8_t subpage : Bytes{0x00, 0xff}) {
      const Answer all = co_await host.send(sense6(0x3f, kCurrent, subpage));
      EXPECT_EQ(all.to_string(), "GOOD");
      Bytes expected(all.data.begin(), all.data.begin() + 4);
      for (std::uint8_t page = 0; page < 0x3f; ++page) {
        const Answer one = co_await host.send(sense6(page, kCurrent, subpage));
        if (one.to_string() == "GOOD") {
          expected.insert(expected.end(), one.data.begin() + 4, one.data.end());
        } else {
          EXPECT_EQ(one.to_string(), "5/24/00");
        }
      }
      EXPECT_EQ(all.data, expected);
    }
    EXPECT_EQ((co_await host.send(sense6(kControl, kCurrent, 2))).to_string(), "5/24/00");
    EXPECT_EQ((co_await host.send(sense6(0x3f, kCurrent, 1))).to_string(), "5/24/00");
  });
}

TEST(ModePagesTest, BlockDescriptorsAreShortOrLong) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Answer shorter = co_await host.send({0x1a, 0, kControl, 0, 255, 0});
    EXPECT_EQ(shorter.data.at(3), 8);
    EXPECT_EQ(shorter.be(4, 4), 8192u);
    EXPECT_EQ(shorter.be(9, 3), 512u);
    const Answer ten = co_await host.send(sense10(kControl, 0));
    EXPECT_EQ(ten.be(0, 2), ten.data.size() - 2);
    EXPECT_EQ(ten.be(6, 2), 8u);
    EXPECT_EQ(ten.data.at(4), 0);
    const Answer longer = co_await host.send(sense10(kControl, 0x10));
    EXPECT_EQ(longer.data.at(4), 1);
    EXPECT_EQ(longer.be(6, 2), 16u);
    EXPECT_EQ(longer.be(8, 8), 8192u);
    EXPECT_EQ(longer.be(20, 4), 512u);
    const Answer none = co_await host.send(sense10(kControl, 0x08));
    EXPECT_EQ(none.be(6, 2), 0u);
  });
}

TEST(ModePagesTest, AllocationLengthCutsWithoutChangingTheLength) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Answer whole = co_await host.send(sense6(0x3f));
    for (std::uint8_t length = 0; length < 40; ++length) {
      const Answer cut = co_await host.send(sense6(0x3f, kCurrent, 0, length));
      EXPECT_EQ(cut.data, Bytes(whole.data.begin(), whole.data.begin() + length));
    }
  });
}

TEST(ModePagesTest, DSenseChangesTheFormatOfSense) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Answer failed = co_await host.send({0x12, 0x02, 0, 0, 96, 0});
    EXPECT_EQ(failed.response.sense_format, SenseFormat::kFixed);
    EXPECT_EQ((co_await set_control(host, {.d_sense = true})).to_string(), "GOOD");
    failed = co_await host.send({0x12, 0x02, 0, 0, 96, 0});
    EXPECT_EQ(failed.response.sense_format, SenseFormat::kDescriptor);
  });
}

TEST(ModePagesTest, SoftwareWriteProtectionReallyProtects) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Host& other = l.host("iqn.b");
    EXPECT_EQ((co_await set_control(host, {.swp = true})).to_string(), "GOOD");
    EXPECT_EQ(other.attentions(), "2a/01");
    EXPECT_EQ(host.attentions(), "");
    const Bytes write{0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    EXPECT_EQ((co_await host.send(write, Bytes(512))).to_string(), "7/27/02");
    EXPECT_EQ((co_await other.send(write, Bytes(512))).to_string(), "7/27/02");
    EXPECT_EQ((co_await host.send(sense6(kControl))).data.at(2), 0x90);
    EXPECT_EQ((co_await host.send({0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0})).to_string(), "GOOD");
    EXPECT_EQ((co_await set_control(host, {})).to_string(), "GOOD");
    EXPECT_EQ((co_await host.send(write, Bytes(512))).to_string(), "GOOD");
    // The same values again are no change.
    other.clear_attentions();
    EXPECT_EQ((co_await set_control(host, {})).to_string(), "GOOD");
    EXPECT_EQ(other.attentions(), "");
  });
}

TEST(ModePagesTest, ThatTheSpaceFallsToTheThresholdIsToldOnce) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Host& other = l.host("iqn.b");
    const auto set_threshold = [&](bool is_on, std::uint64_t mebibytes) {
      Bytes list{0, 0, 0, 0, 0x5c, 0x02, 0x00, 0x14};
      list.resize(28);
      list[20] = is_on ? 0x80 : 0x00;
      list[21] = 0x01;
      put_be(list, 24, mebibytes, 4);
      return host.send(select6(list.size()), list);
    };
    const Bytes read{0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    const std::uint64_t available = l.unit().volume().known_space().value() >> 20;
    EXPECT_EQ((co_await set_threshold(true, available - 1)).to_string(), "GOOD");
    other.clear_attentions();
    EXPECT_EQ((co_await host.send(read)).to_string(), "GOOD");
    EXPECT_EQ((co_await set_threshold(true, available + 1)).to_string(), "GOOD");
    other.clear_attentions();
    EXPECT_EQ((co_await host.send(read)).to_string(), "6/38/07");
    EXPECT_EQ((co_await other.send(read)).to_string(), "6/38/07");
    EXPECT_EQ((co_await host.send(read)).to_string(), "GOOD");
    EXPECT_EQ((co_await other.send(read)).to_string(), "GOOD");
    EXPECT_EQ((co_await set_threshold(false, available + 1)).to_string(), "GOOD");
    EXPECT_EQ((co_await host.send(read)).to_string(), "GOOD");
  });
}

TEST(ModePagesTest, SavedValuesOutlastTheServerAndOthersAReset) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    EXPECT_EQ((co_await set_control(host, {.swp = true}, true)).to_string(), "GOOD");
    EXPECT_EQ((co_await set_control(host, {.d_sense = true})).to_string(), "GOOD");
    EXPECT_EQ((co_await host.send(sense6(kControl))).data.at(6) & 0x04, 0x04);
    EXPECT_EQ((co_await host.send(sense6(kControl, kSaved))).data.at(8), 0x08);
    EXPECT_EQ((co_await host.send(sense6(kControl, kDefault))).data.at(8), 0x00);
    EXPECT_EQ((co_await host.send(sense6(kControl, kChangeable))).data.at(6), 0x04);
    EXPECT_EQ((co_await host.send(sense6(kControl, kChangeable))).data.at(8), 0x08);
    EXPECT_EQ((co_await host.send(sense6(kControl, kChangeable))).data.at(9), 0x40);
    (void)co_await l.device->manage(host.nexus(), TaskManagementFunction::kLogicalUnitReset, 0, 0);
    host.clear_attentions();
    EXPECT_EQ((co_await host.send(sense6(kControl))).data.at(6) & 0x04, 0x00);
    EXPECT_EQ((co_await host.send(sense6(kControl))).data.at(8), 0x08);
  });
  lab.run([](UnitLab& l) -> Task<void> {
    EXPECT_EQ((co_await l.host("iqn.a").send(sense6(kControl))).data.at(8), 0x08);
  });
}

TEST(ModePagesTest, WhatCannotBeChangedIsRefusedAndNothingIsDone) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    for (std::size_t byte = 4; byte < 16; ++byte) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        const bool may =
            (byte == 6 && bit == 2) || (byte == 8 && bit == 3) || (byte == 9 && bit == 6);
        if (may) continue;
        Bytes list = control_list({});
        list[byte] = static_cast<std::uint8_t>(list[byte] ^ 1u << bit);
        const Answer answer = co_await host.send(select6(list.size()), list);
        EXPECT_NE(answer.to_string(), "GOOD") << byte << '.' << bit;
        if (byte >= 6) {
          EXPECT_EQ(answer.to_string(), "5/26/00") << byte << '.' << bit;
          EXPECT_EQ(answer.pointed_byte(), static_cast<int>(byte));
        }
      }
    }
    EXPECT_EQ(l.unit().mode_pages().current(), ModeParameters{});
  });
}

TEST(ModePagesTest, ListsOfTheWrongLengthAreRefused) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Bytes list = control_list({.swp = true});
    EXPECT_EQ((co_await host.send(select6(0))).to_string(), "GOOD");
    for (std::size_t size = 1; size < list.size(); ++size) {
      if (size == 4) continue;  // a header alone changes nothing
      const Bytes cut(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_EQ((co_await host.send(select6(size), cut)).to_string(), "5/1a/00") << size;
    }
    EXPECT_EQ((co_await host.send(select6(4), Bytes(4))).to_string(), "GOOD");
    // More than the host gives.
    EXPECT_EQ((co_await host.send(select6(list.size()), Bytes(4))).to_string(), "5/1a/00");
    EXPECT_EQ((co_await host.send(select6(list.size(), false, false), list)).to_string(),
              "5/24/00");
    EXPECT_FALSE(l.unit().mode_pages().is_software_write_protected());
  });
}

TEST(ModePagesTest, ABlockDescriptorMayOnlySayWhatIsSo) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const auto with_descriptor = [](std::uint32_t blocks, std::uint32_t size) {
      Bytes list(12);
      list[3] = 8;
      put_be(list, 4, blocks, 4);
      put_be(list, 9, size, 3);
      return list;
    };
    for (const std::uint32_t blocks : {0u, 8192u, 0xffff'ffffu}) {
      EXPECT_EQ((co_await host.send(select6(12), with_descriptor(blocks, 512))).to_string(),
                "GOOD");
    }
    EXPECT_EQ((co_await host.send(select6(12), with_descriptor(100, 512))).to_string(), "5/26/00");
    EXPECT_EQ((co_await host.send(select6(12), with_descriptor(0, 4096))).to_string(), "5/26/00");
    Bytes odd(10);
    odd[3] = 6;
    EXPECT_EQ((co_await host.send(select6(10), odd)).to_string(), "5/26/00");
  });
}

TEST(ModePagesTest, TenByteSelectHasItsOwnHeader) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Bytes short_list = control_list({.swp = true});
    Bytes list(8);
    list.insert(list.end(), short_list.begin() + 4, short_list.end());
    const Bytes select{0x55, 0x10, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(list.size()), 0};
    const Answer answer = co_await host.send(select, list);
    EXPECT_EQ(answer.to_string(), "GOOD");
    EXPECT_EQ(answer.response.data_out_wanted, list.size());
    EXPECT_TRUE(l.unit().mode_pages().is_software_write_protected());
  });
}

}  // namespace
}  // namespace ashlar::scsi
