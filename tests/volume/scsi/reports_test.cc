// REPORT SUPPORTED OPERATION CODES and its kin, LOG SENSE, diagnostics.
#include <gtest/gtest.h>

#include "tests/volume/scsi/unit_lab.h"
#include "volume/scsi/opcodes.h"

namespace ashlar::scsi {
namespace {

Bytes maintenance_in(std::uint8_t action, std::uint32_t length = 0xffff, std::uint8_t byte2 = 0,
                     std::uint8_t code = 0, std::uint16_t service_action = 0) {
  Bytes cdb{0xa3, action, byte2, code, 0, 0, 0, 0, 0, 0, 0, 0};
  put_be(cdb, 4, service_action, 2);
  put_be(cdb, 6, length, 4);
  return cdb;
}
constexpr std::uint8_t kOpcodes = 0x0c;
constexpr std::uint8_t kWithTimeouts = 0x80;

TEST(ReportOpcodesTest, AllIsTheTableWithAndWithoutTimeouts) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    for (const bool timeouts : {false, true}) {
      const Answer answer =
          co_await host.send(maintenance_in(kOpcodes, 0xffff, timeouts ? kWithTimeouts : 0));
      EXPECT_EQ(answer.to_string(), "GOOD");
      const std::size_t size = timeouts ? 20 : 8;
      const auto rows = opcode_table().rows();
      EXPECT_EQ(answer.be(0, 4), rows.size() * size);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::size_t at = 4 + i * size;
        EXPECT_EQ(answer.data.at(at), rows[i]->code);
        EXPECT_EQ(answer.be(at + 2, 2), rows[i]->service_action.value_or(0));
        EXPECT_EQ(answer.data.at(at + 5), (timeouts ? 2 : 0) | (rows[i]->service_action ? 1 : 0));
        EXPECT_EQ(answer.be(at + 6, 2), rows[i]->length);
        if (timeouts) EXPECT_EQ(answer.be(at + 8, 2), 10u);
      }
    }
  });
}

TEST(ReportOpcodesTest, OneCommandIsAskedForByTheRightOption) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    for (const Opcode* row : opcode_table().rows()) {
      const std::uint16_t action = row->service_action.value_or(0);
      for (const std::uint8_t option : Bytes{1, 2, 3}) {
        const Answer answer =
            co_await host.send(maintenance_in(kOpcodes, 0xffff, option, row->code, action));
        const bool fits = option == 3 || (option == 2) == row->service_action.has_value();
        EXPECT_EQ(answer.to_string(), fits ? "GOOD" : "5/24/00") << row->name << int{option};
        if (!fits) continue;
        EXPECT_EQ(answer.data.at(1), 3) << row->name;
        EXPECT_EQ(answer.be(2, 2), row->length);
        EXPECT_EQ(answer.data.size(), 4u + row->length);
        EXPECT_EQ(answer.data.at(4), row->code);
        if (row->service_action) EXPECT_EQ(answer.data.at(5) & 0x1f, *row->service_action);
      }
    }
  });
}

TEST(ReportOpcodesTest, WhatThereIsNotIsNotSupported) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    // READ LONG; a service action that MAINTENANCE IN lacks; one beyond five bits.
    for (const Bytes& cdb :
         {maintenance_in(kOpcodes, 255, 1, 0x3e), maintenance_in(kOpcodes, 255, 2, 0xa3, 0x1e),
          maintenance_in(kOpcodes, 255, 2, 0xa3, 0x10c), maintenance_in(kOpcodes, 255, 3, 0x3e),
          maintenance_in(kOpcodes, 255, 3, 0x00, 1)}) {
      const Answer answer = co_await host.send(cdb);
      EXPECT_EQ(answer.to_string(), "GOOD");
      EXPECT_EQ(answer.data.at(1), 1);
    }
    EXPECT_EQ((co_await host.send(maintenance_in(kOpcodes, 255, 4))).to_string(), "5/24/00");
  });
}

// What is advertised is implemented: the bits that a usage map leaves out are refused, and no
// command of the table is an invalid opcode (L74).
TEST(ReportOpcodesTest, UsageMapsAreTrue) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    for (const Opcode* row : opcode_table().rows()) {
      for (std::size_t byte = 1; byte < row->length; ++byte) {
        for (unsigned bit = 0; bit < 8; ++bit) {
          if (byte == 1 && row->service_action && bit < 5) continue;
          if ((row->usage[byte] >> bit & 1) != 0) continue;
          Bytes cdb(row->length);
          cdb[0] = row->code;
          cdb[1] = row->service_action.value_or(0);
          cdb[byte] = static_cast<std::uint8_t>(cdb[byte] | 1u << bit);
          const Answer answer = co_await host.send(cdb);
          EXPECT_EQ(answer.to_string(), "5/24/00") << row->name << ' ' << byte << '.' << bit;
          EXPECT_EQ(answer.pointed_byte(), static_cast<int>(byte)) << row->name;
        }
      }
    }
  });
}

TEST(ReportOpcodesTest, TaskManagementFunctionsAreThoseOfTheDevice) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    EXPECT_EQ((co_await host.send(maintenance_in(0x0d, 255))).data, (Bytes{0xda, 0, 0, 0}));
    const Answer extended = co_await host.send(maintenance_in(0x0d, 255, 0x80));
    EXPECT_EQ(extended.data.size(), 16u);
    EXPECT_EQ(extended.data.at(3), 12);
    EXPECT_EQ((co_await host.send(maintenance_in(0x0d, 3))).to_string(), "5/24/00");
  });
}

TEST(ReportTargetPortsTest, EveryPortIsInItsGroupAndActive) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a", 1, 1);
    (void)l.host("iqn.b", 2, 1);
    (void)l.host("iqn.b", 7, 5);
    const Answer answer = co_await host.send(maintenance_in(0x0a));
    EXPECT_EQ(answer.be(0, 4), answer.data.size() - 4);
    EXPECT_EQ(answer.data.at(4), 0x00);  // active/optimized
    EXPECT_EQ(answer.be(6, 2), 1u);
    EXPECT_EQ(answer.data.at(11), 2);  // ports
    EXPECT_EQ(answer.be(14, 2), 1u);
    EXPECT_EQ(answer.be(18, 2), 2u);
    EXPECT_EQ(answer.be(22, 2), 5u);
    EXPECT_EQ(answer.be(30, 2), 7u);
    Bytes extended = maintenance_in(0x0a);
    extended[1] |= 1 << 5;
    const Answer longer = co_await host.send(extended);
    EXPECT_EQ(longer.data.at(4), 0x10);
    EXPECT_EQ(longer.data.size(), answer.data.size() + 4);
    extended[1] |= 2 << 5;
    EXPECT_EQ((co_await host.send(extended)).to_string(), "5/24/00");
    // SET TARGET PORT GROUPS there is not: the target alone decides.
    EXPECT_EQ((co_await host.send({0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})).to_string(),
              "5/20/00");
  });
}

TEST(ReportTargetPortsTest, TheTimestampIsTheClocks) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    const Answer answer = co_await l.host("iqn.a").send(maintenance_in(0x0f));
    EXPECT_EQ(answer.data.size(), 12u);
    EXPECT_EQ(answer.be(0, 2), 10u);
    const auto now = static_cast<std::uint64_t>(l.clock().wall_now().since_epoch().count());
    EXPECT_EQ(answer.be(4, 6), now / 1'000'000);
  });
}

TEST(LogPagesTest, TheListIsTrueAndPagesHaveNoSubpages) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const auto sense = [](std::uint8_t page, std::uint8_t subpage = 0, std::uint16_t pointer = 0,
                          std::uint16_t length = 255) {
      Bytes cdb{0x4d, 0, static_cast<std::uint8_t>(0x40 | page), subpage, 0, 0, 0, 0, 0, 0};
      put_be(cdb, 5, pointer, 2);
      put_be(cdb, 7, length, 2);
      return cdb;
    };
    const Answer list = co_await host.send(sense(0));
    EXPECT_EQ(list.be(2, 2), list.data.size() - 4);
    for (unsigned page = 0; page < 0x40; ++page) {
      const bool is_listed =
          std::ranges::find(list.data.begin() + 4, list.data.end(), page) != list.data.end();
      const Answer answer = co_await host.send(sense(static_cast<std::uint8_t>(page)));
      EXPECT_EQ(answer.to_string(), is_listed ? "GOOD" : "5/24/00") << page;
      if (is_listed) EXPECT_EQ(answer.be(2, 2), answer.data.size() - 4);
    }
    const Answer all = co_await host.send(sense(0, 0xff));
    EXPECT_EQ(all.data.at(0), 0xc0);
    EXPECT_EQ(all.be(2, 2), all.data.size() - 4);
    EXPECT_EQ((co_await host.send(sense(0x2f, 1))).to_string(), "5/24/00");
    EXPECT_EQ((co_await host.send(sense(0x2f, 0, 1))).to_string(), "5/24/00");
    EXPECT_EQ((co_await host.send(sense(0x2f, 0, 0, 3))).data.size(), 3u);
    // What is available, in MiB.
    const Answer provisioning = co_await host.send(sense(0x0c));
    EXPECT_EQ(provisioning.data.size(), 16u);
    EXPECT_EQ(provisioning.be(4, 2), 0x0001u);
    EXPECT_EQ(provisioning.be(8, 4), l.unit().volume().known_space().value() >> 20);
    EXPECT_GT(provisioning.be(8, 4), 0u);
    EXPECT_EQ((co_await host.send(sense(0x0c, 0, 2))).to_string(), "5/24/00");
  });
}

TEST(DiagnosticsTest, TheDefaultSelfTestPassesAndOthersThereAreNot) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    EXPECT_EQ((co_await host.send({0x1d, 0x04, 0, 0, 0, 0})).to_string(), "GOOD");
    EXPECT_EQ((co_await host.send({0x1d, 0x10, 0, 0, 0, 0})).to_string(), "GOOD");
    EXPECT_EQ((co_await host.send({0x1d, 0x20, 0, 0, 0, 0})).to_string(), "5/24/00");
    EXPECT_EQ((co_await host.send({0x1d, 0x04, 0, 0, 4, 0}, Bytes(4))).to_string(), "5/24/00");
    EXPECT_EQ((co_await host.send({0x1d, 0x10, 0, 0, 4, 0}, Bytes(4))).to_string(), "GOOD");
    EXPECT_EQ((co_await host.send({0x1d, 0x10, 0, 0, 4, 0}, {7, 0, 0, 0})).to_string(), "5/26/00");
    EXPECT_EQ((co_await host.send({0x1d, 0x10, 0, 0, 5, 0}, Bytes(5))).to_string(), "5/1a/00");
    EXPECT_EQ((co_await host.send({0x1c, 0x01, 0, 0, 255, 0})).data, (Bytes{0, 0, 0, 1, 0}));
    EXPECT_EQ((co_await host.send({0x1c, 0x01, 0x40, 0, 255, 0})).to_string(), "5/24/00");
  });
}

}  // namespace
}  // namespace ashlar::scsi
