#include "volume/scsi/unit_state.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar::scsi {
namespace {

UnitState some_state() {
  UnitState state;
  EXPECT_TRUE(
      state.reservations
          .apply({.action = ReserveAction::kRegister, .service_key = 7}, {{"iqn.a", 0x1234}, 1})
          .done());
  EXPECT_TRUE(
      state.reservations
          .apply({.action = ReserveAction::kReserve, .type = 5, .key = 7}, {{"iqn.a", 0x1234}, 1})
          .done());
  state.saved_modes.software_write_protect = true;
  state.sanitize.phase = SanitizeState::Phase::kRunning;
  state.sanitize.action = SanitizeAction::kOverwrite;
  state.sanitize.passes = 3;
  state.sanitize.passes_done = 1;
  state.sanitize.bytes_done = 1 << 20;
  state.sanitize.pattern = {std::byte{1}, std::byte{2}};
  return state;
}

TEST(UnitStateTest, WhatIsWrittenIsReadAgain) {
  for (const UnitState& state : {UnitState{}, some_state()}) {
    const Result<UnitState> decoded = UnitState::decode(state.encode());
    ASSERT_TRUE(decoded.ok()) << decoded.error().to_string();
    EXPECT_EQ(*decoded, state);
  }
}

TEST(UnitStateTest, NothingAtAllIsAUnitThatIsNew) {
  EXPECT_EQ(UnitState::decode({}).value(), UnitState{});
}

TEST(UnitStateTest, BytesThatAreMissingOrTooManyAreRefused) {
  std::vector<std::byte> bytes = some_state().encode();
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    EXPECT_FALSE(UnitState::decode(ByteSpan(bytes).first(size)).ok()) << size;
  }
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(UnitState::decode(bytes).ok());
  bytes.pop_back();
  bytes[0] = std::byte{2};
  EXPECT_EQ(UnitState::decode(bytes).error().code(), ErrorCode::kUnimplemented);
}

TEST(UnitStateTest, AnyBytesAreReadWithoutHarm) {
  const std::vector<std::byte> good = some_state().encode();
  Random random(5);
  for (int i = 0; i < 50'000; ++i) {
    std::vector<std::byte> bytes = good;
    for (int changes = 0; changes < 3; ++changes) {
      bytes[random.below(bytes.size())] = static_cast<std::byte>(random.next());
    }
    const Result<UnitState> decoded = UnitState::decode(bytes);
    if (decoded.ok()) EXPECT_EQ(UnitState::decode(decoded->encode()).value(), *decoded);
  }
}

TEST(SanitizeStateTest, EverySecondPassIsInvertedAndTheLastIsNot) {
  SanitizeState state;
  state.passes = 4;
  state.inverts = true;
  std::string passes;
  for (state.passes_done = 0; state.passes_done < state.passes; ++state.passes_done) {
    passes += state.is_inverted() ? 'i' : 'p';
  }
  EXPECT_EQ(passes, "ipip");
}

TEST(SanitizeStateTest, ProgressGrowsAndIsNeverWhole) {
  SanitizeState state;
  state.phase = SanitizeState::Phase::kRunning;
  state.passes = 2;
  EXPECT_EQ(state.progress(1000), 0);
  state.bytes_done = 500;
  EXPECT_EQ(state.progress(1000), 16384);
  state.passes_done = 1;
  EXPECT_EQ(state.progress(1000), 49152);
  state.bytes_done = 1000;
  EXPECT_EQ(state.progress(1000), 65535);
}

TEST(SanitizeStateTest, ThePatternBeginsAnewInEveryBlock) {
  std::vector<std::byte> bytes(1024);
  const std::array<std::byte, 3> pattern{std::byte{1}, std::byte{2}, std::byte{3}};
  fill_with_pattern(bytes, 512, pattern, false);
  EXPECT_EQ(bytes[511], std::byte{2});
  EXPECT_EQ(bytes[512], std::byte{1});
  fill_with_pattern(bytes, 512, pattern, true);
  EXPECT_EQ(bytes[512], std::byte{0xfe});
}

}  // namespace
}  // namespace ashlar::scsi
