// The opcode table against the unit that is made of it.
#include "volume/scsi/opcodes.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/volume/scsi/block_lab.h"

namespace ashlar::scsi {
namespace {

Cdb bare_cdb(const Opcode& row) {
  Cdb cdb(16);
  cdb[0] = row.code;
  if (row.service_action) cdb[1] = *row.service_action;
  return cdb;
}

TEST(OpcodesTest, EveryBitThatMeansNothingIsRefusedAndPointedAt) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    for (const Opcode* row : opcode_table().rows()) {
      for (std::size_t byte = 1; byte < row->length; ++byte) {
        for (unsigned bit = 0; bit < 8; ++bit) {
          const bool is_action = row->service_action && byte == 1 && bit < 5;
          if (is_action || (row->usage[byte] >> bit & 1) != 0) continue;
          Cdb cdb = bare_cdb(*row);
          cdb[byte] = static_cast<std::uint8_t>(cdb[byte] | 1u << bit);
          const Answer answer = co_await l.send(cdb, Bytes(4096));
          EXPECT_EQ(told(answer), fmt::format("5/24/00 cdb {}.{}", byte, bit)) << row->name;
        }
      }
    }
  });
}

TEST(OpcodesTest, BytesBehindACdbAreNotLookedAt) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    Cdb cdb = cdb6(0x00);
    cdb.resize(16, 0xff);
    const Answer answer = co_await l.send(cdb);
    EXPECT_EQ(told(answer), "GOOD");
  });
}

TEST(OpcodesTest, WhatIsNotInTheTableIsNotSupported) {
  BlockLab lab;
  lab.run([](BlockLab& l) -> Task<void> {
    std::set<unsigned> codes;
    std::set<std::pair<unsigned, unsigned>> actions;
    for (const Opcode* row : opcode_table().rows()) {
      codes.insert(row->code);
      if (row->service_action) actions.insert({row->code, *row->service_action});
    }
    for (unsigned code = 0; code < 256; ++code) {
      Cdb cdb(16);
      cdb[0] = static_cast<std::uint8_t>(code);
      if (!codes.contains(code)) {
        const Answer answer = co_await l.send(cdb);
        EXPECT_EQ(told(answer), "5/20/00") << code;
        continue;
      }
      const auto first = actions.lower_bound({code, 0});
      if (first == actions.end() || first->first != code) continue;
      for (unsigned action = 0; action < 32; ++action) {
        if (actions.contains({code, action})) continue;
        cdb[1] = static_cast<std::uint8_t>(action);
        const Answer answer = co_await l.send(cdb);
        EXPECT_EQ(told(answer), "5/24/00 cdb 1.4") << code << " " << action;
      }
    }
  });
}

TEST(OpcodesTest, TheTableKnowsTheCommandsThatFileSystemsNeed) {
  // L74, and what a Linux, Windows or VMware host asks for.
  for (const unsigned code :
       {0x00u, 0x03u, 0x08u, 0x0au, 0x1bu, 0x1eu, 0x25u, 0x28u, 0x2au, 0x2eu, 0x2fu,
        0x34u, 0x35u, 0x37u, 0x41u, 0x42u, 0x88u, 0x89u, 0x8au, 0x8bu, 0x8eu, 0x8fu,
        0x90u, 0x91u, 0x93u, 0x9cu, 0xa0u, 0xa8u, 0xaau, 0xaeu, 0xafu, 0xb7u}) {
    Cdb cdb(16);
    cdb[0] = static_cast<std::uint8_t>(code);
    EXPECT_NE(opcode_table().find(std::as_bytes(std::span(cdb))).row, nullptr) << code;
  }
}

}  // namespace
}  // namespace ashlar::scsi
