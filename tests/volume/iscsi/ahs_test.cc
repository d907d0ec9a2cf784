#include "volume/iscsi/ahs.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/support/expect.h"

namespace ashlar::iscsi {
namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> result;
  for (const int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

void expect_refused(std::initializer_list<int> values) {
  const auto input = bytes(values);
  const auto parsed = parse_ahs(input);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code(), ErrorCode::kInvalidArgument);
}

TEST(AhsTest, NoBytesAreNoHeaders) {
  const auto parsed = parse_ahs({});
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->extended_cdb.empty());
  EXPECT_FALSE(parsed->bidi_read_length);
}

TEST(AhsTest, AnExtendedCdbIsWhatFollowsTheReservedByte) {
  // A CDB of 18 bytes: AHSLength is 18 - 15.
  const auto input = bytes({0, 3, 1, 0, 0xaa, 0xbb, 0, 0});
  const auto parsed = parse_ahs(input);
  ASSERT_TRUE(parsed.ok()) << parsed.error().to_string();
  ASSERT_EQ(parsed->extended_cdb.size(), 2u);
  EXPECT_EQ(parsed->extended_cdb[0], std::byte{0xaa});
  EXPECT_EQ(parsed->extended_cdb[1], std::byte{0xbb});
}

TEST(AhsTest, BothHeadersStandTogetherInAnyOrder) {
  const auto input = bytes({0, 5, 2, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0xcc, 0, 0, 0});
  const auto parsed = parse_ahs(input);
  ASSERT_TRUE(parsed.ok()) << parsed.error().to_string();
  EXPECT_EQ(parsed->bidi_read_length, 0x10000u);
  EXPECT_EQ(parsed->extended_cdb.size(), 1u);
}

TEST(AhsTest, TheLongestCdbIsTakenAndNothingLonger) {
  std::vector<std::byte> input(4 + 244);
  store_be16(input, 0, 245);
  input[2] = std::byte{1};
  const auto parsed = parse_ahs(input);
  ASSERT_TRUE(parsed.ok()) << parsed.error().to_string();
  EXPECT_EQ(parsed->extended_cdb.size(), 244u);

  input.resize(4 + 248);
  store_be16(input, 0, 246);
  EXPECT_FALSE(parse_ahs(input).ok());
}

TEST(AhsTest, WhatIsCutShortOrWrongIsRefused) {
  expect_refused({0});
  expect_refused({0, 5, 2, 0});                                      // cut short
  expect_refused({0, 5, 2, 0, 0, 1, 0});                             // cut short
  expect_refused({0, 4, 2, 0, 0, 1, 0, 0});                          // wrong length
  expect_refused({0, 1, 1, 0});                                      // an extension of nothing
  expect_refused({0, 0, 1, 0});                                      // not even the reserved byte
  expect_refused({0, 1, 3, 0});                                      // unknown type
  expect_refused({0, 1, 0, 0});                                      // reserved type
  expect_refused({0, 3, 1, 0, 1, 2});                                // padding is missing
  expect_refused({0, 2, 1, 0, 1, 0, 0, 0, 0, 2, 1, 0, 1, 0, 0, 0});  // twice
  expect_refused({0, 5, 2, 0, 0, 0, 0, 1, 0, 5, 2, 0, 0, 0, 0, 1});  // twice
}

}  // namespace
}  // namespace ashlar::iscsi
