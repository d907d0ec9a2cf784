#include <gtest/gtest.h>

#include "tests/volume/scsi/unit_lab.h"
#include "volume/scsi/block_limits.h"
#include "volume/scsi/unit_identity.h"

namespace ashlar::scsi {
namespace {

Bytes inquiry(std::uint8_t page, std::uint16_t allocation_length = 0xffff, bool evpd = true) {
  return {0x12,
          static_cast<std::uint8_t>(evpd ? 1 : 0),
          page,
          static_cast<std::uint8_t>(allocation_length >> 8),
          static_cast<std::uint8_t>(allocation_length),
          0};
}

std::string text_at(const Bytes& data, std::size_t at, std::size_t size) {
  return {data.begin() + static_cast<std::ptrdiff_t>(at),
          data.begin() + static_cast<std::ptrdiff_t>(at + size)};
}

TEST(InquiryTest, StandardDataSaysWhoAndWhatItIs) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    const Answer answer = co_await l.host("iqn.a").send(inquiry(0, 0xffff, false));
    EXPECT_EQ(answer.to_string(), "GOOD");
    CO_ASSERT_TRUE(answer.data.size() == 96);
    EXPECT_EQ(answer.data[0], 0x00);
    EXPECT_EQ(answer.data[1], 0x00);  // not removable
    EXPECT_EQ(answer.data[2], 0x06);  // SPC-4
    EXPECT_EQ(answer.data[3] & 0x0f, 2);
    EXPECT_EQ(answer.data[4], 91);
    EXPECT_EQ(answer.data[5], 0x18);  // implicit ALUA, third party copy
    EXPECT_EQ(answer.data[7], 0x02);  // command queuing
    EXPECT_EQ(text_at(answer.data, 8, 8), "ASHLAR  ");
    EXPECT_EQ(text_at(answer.data, 16, 16), "VOLUME          ");
    EXPECT_EQ(answer.be(62, 2), 0x0460u);
    EXPECT_EQ(answer.be(64, 2), 0x04c0u);
  });
}

TEST(InquiryTest, AnyAllocationLengthCutsAndChangesNothingElse) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    for (const bool evpd : {false, true}) {
      const std::uint8_t page = evpd ? 0x83 : 0x00;
      const Answer whole = co_await host.send(inquiry(page, 0xffff, evpd));
      for (std::uint16_t length = 0; length <= whole.data.size() + 1; ++length) {
        const Answer cut = co_await host.send(inquiry(page, length, evpd));
        EXPECT_EQ(cut.to_string(), "GOOD");
        Bytes expected = whole.data;
        expected.resize(std::min<std::size_t>(length, expected.size()));
        EXPECT_EQ(cut.data, expected) << length;
      }
    }
  });
}

TEST(InquiryTest, EveryPageOfTheListIsThereAndNoOther) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Answer list = co_await host.send(inquiry(0x00));
    const Bytes pages(list.data.begin() + 4, list.data.end());
    EXPECT_TRUE(std::ranges::is_sorted(pages));
    for (unsigned page = 0; page < 256; ++page) {
      const Answer answer = co_await host.send(inquiry(static_cast<std::uint8_t>(page)));
      if (std::ranges::find(pages, page) == pages.end()) {
        EXPECT_EQ(answer.to_string(), "5/24/00") << page;
        EXPECT_EQ(answer.pointed_byte(), 2);
        continue;
      }
      EXPECT_EQ(answer.to_string(), "GOOD") << page;
      EXPECT_EQ(answer.data.at(1), page);
      EXPECT_EQ(answer.be(2, 2), answer.data.size() - 4) << page;
    }
  });
}

TEST(InquiryTest, APageWithoutItsBitAndReservedBitsAreRefused) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    EXPECT_EQ((co_await host.send(inquiry(0x80, 255, false))).to_string(), "5/24/00");
    EXPECT_EQ((co_await host.send({0x12, 0x02, 0, 0, 96, 0})).to_string(), "5/24/00");
    EXPECT_EQ((co_await host.send({0x12, 0x20, 0, 0, 96, 0})).to_string(), "5/24/00");
  });
}

TEST(InquiryTest, ALunWithoutAUnitSaysSo) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Answer answer = co_await host.send(inquiry(0, 36, false), {}, 5);
    EXPECT_EQ(answer.to_string(), "GOOD");
    EXPECT_EQ(answer.data.at(0), 0x7f);
    EXPECT_EQ((co_await host.send(inquiry(0x83), {}, 5)).to_string(), "5/24/00");
  });
}

TEST(InquiryTest, TheIdentityIsTheVolumesThroughEveryPort) {
  UnitLab lab;
  lab.settings.push_back({.name = "other"});
  lab.run([](UnitLab& l) -> Task<void> {
    Host& one = l.host("iqn.a", 1, 1);
    Host& two = l.host("iqn.a", 2, 2);
    const Answer serial = co_await one.send(inquiry(0x80));
    EXPECT_EQ(text_at(serial.data, 4, 36), l.unit().volume().uuid().to_string());
    EXPECT_EQ((co_await two.send(inquiry(0x80))).data, serial.data);
    EXPECT_NE((co_await one.send(inquiry(0x80), {}, 1)).data, serial.data);
    // The unit's own designators are alike, those of the ports are not.
    const Answer through_one = co_await one.send(inquiry(0x83));
    const Answer through_two = co_await two.send(inquiry(0x83));
    constexpr std::size_t kUnitDesignators = 4 + (4 + 16) + (4 + 44);
    EXPECT_TRUE(std::equal(through_one.data.begin(), through_one.data.begin() + kUnitDesignators,
                           through_two.data.begin()));
    EXPECT_NE(through_one.data, through_two.data);
    EXPECT_EQ(through_one.data.at(4 + 1), 0x03);  // NAA of the unit, first
    EXPECT_EQ(through_one.data.at(4 + 3), 16);
    EXPECT_EQ(through_one.be(kUnitDesignators + 6, 2), 1u);
    EXPECT_EQ(through_two.be(kUnitDesignators + 6, 2), 2u);
    // A public tool asks with 255 bytes and wants it whole.
    EXPECT_LE(through_one.data.size(), 255u);
  });
}

TEST(InquiryTest, LimitsAndProvisioningAreWhatTheUnitDoes) {
  for (const std::uint32_t block_size : {512u, 4096u}) {
    UnitLab lab;
    lab.settings[0].logical_block_size = block_size;
    lab.settings[0].removable = block_size == 4096;
    lab.run([block_size](UnitLab& l) -> Task<void> {
      Host& host = l.host("iqn.a");
      const Answer limits = co_await host.send(inquiry(0xb0));
      EXPECT_EQ(limits.data.size(), 64u);
      EXPECT_EQ(limits.be(6, 2), 4096 / block_size);        // granularity
      EXPECT_EQ(limits.be(8, 4), (4u << 20) / block_size);  // transfer
      EXPECT_EQ(limits.be(24, 4), 256u);                    // UNMAP descriptors
      EXPECT_EQ(limits.be(32, 4), 0x8000'0000u);
      EXPECT_EQ(limits.be(44, 4),
                BlockLimits::largest_atomic_write(l.unit().volume()) / block_size);
      const Answer thin = co_await host.send(inquiry(0xb2));
      EXPECT_EQ(thin.data.size(), 8u);
      EXPECT_EQ(std::size_t{block_size} << thin.data.at(4), 1u << 20);  // of a threshold
      EXPECT_EQ(thin.data.at(5), 0xe4);
      EXPECT_EQ(thin.data.at(6) & 0x07, 2);
      const Answer medium = co_await host.send(inquiry(0xb1));
      EXPECT_EQ(medium.be(4, 2), 1u);
      EXPECT_EQ(medium.data.at(7), 0x40);
      const Answer standard = co_await host.send(inquiry(0, 96, false));
      EXPECT_EQ(standard.data.at(1), block_size == 4096 ? 0x80 : 0x00);
    });
  }
}

TEST(InquiryTest, TheVolatileCacheIsToldOfABufferedVolumeOnly) {
  for (const bool is_buffered : {false, true}) {
    UnitLab lab;
    if (is_buffered) lab.settings[0].ack_policy = volume::AckPolicy::kBuffered;
    lab.run([is_buffered](UnitLab& l) -> Task<void> {
      const Answer extended = co_await l.host("iqn.a").send(inquiry(0x86));
      EXPECT_EQ(extended.data.at(6) & 0x01, is_buffered ? 1 : 0);
      EXPECT_EQ(extended.data.at(5), 0x07);
    });
  }
}

}  // namespace
}  // namespace ashlar::scsi
