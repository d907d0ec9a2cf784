#include "volume/iscsi/text_value.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar::iscsi {
namespace {

std::string decoded(std::string_view value, std::size_t longest = 64) {
  const auto bytes = parse_binary(value, longest);
  return bytes ? std::string(text_of(*bytes)) : "refused";
}

TEST(TextValueTest, NumbersAreDecimalOrHexadecimal) {
  EXPECT_EQ(parse_number("0"), 0u);
  EXPECT_EQ(parse_number("262144"), 262144u);
  EXPECT_EQ(parse_number("0x40000"), 262144u);
  EXPECT_EQ(parse_number("0XfF"), 255u);
  EXPECT_EQ(parse_number("18446744073709551615"), ~std::uint64_t{0});
  for (const std::string_view bad : {"", "0x", "-1", "+1", " 1", "1 ", "1k", "0xg", "0x-1", "1.0",
                                     "18446744073709551616", "0x10000000000000000", "0b1"}) {
    EXPECT_FALSE(parse_number(bad)) << bad;
  }
  EXPECT_EQ(parse_number("5", 5, 9), 5u);
  EXPECT_FALSE(parse_number("4", 5, 9));
  EXPECT_FALSE(parse_number("10", 5, 9));
}

TEST(TextValueTest, BooleansAreYesAndNoAsTheyAreWritten) {
  EXPECT_EQ(parse_bool("Yes"), true);
  EXPECT_EQ(parse_bool("No"), false);
  for (const std::string_view bad : {"", "yes", "YES", "true", "1"}) EXPECT_FALSE(parse_bool(bad));
}

TEST(TextValueTest, BinaryValuesComeInThreeEncodings) {
  EXPECT_EQ(decoded("0x414243"), "ABC");
  EXPECT_EQ(decoded("0X4a4B"), "JK");
  EXPECT_EQ(decoded("0x141"), std::string("\x01\x41"));  // an odd count of digits
  EXPECT_EQ(decoded("0bQUJD"), "ABC");
  EXPECT_EQ(decoded("0BQUI="), "AB");
  EXPECT_EQ(decoded("0bQQ=="), "A");
  EXPECT_EQ(decoded("65"), "A");
  EXPECT_EQ(decoded("16706"), "AB");
  EXPECT_EQ(decoded("0"), std::string(1, '\0'));
}

TEST(TextValueTest, BrokenBinaryValuesAreRefused) {
  for (const std::string_view bad :
       {"", "0x", "0xzz", "0b", "0bQ", "0bQQ", "0bQQ=", "0b====", "0bQ===", "0bQQ=A", "0bQUJ\n",
        "0bQR==", "hello", "-1", "99999999999999999999"}) {
    EXPECT_EQ(decoded(bad), "refused") << bad;
  }
  EXPECT_EQ(decoded("0x414243", 3), "ABC");
  EXPECT_EQ(decoded("0x414243", 2), "refused");
  EXPECT_EQ(decoded("0x14243", 2), "refused");
  EXPECT_EQ(decoded("0bQUJD", 2), "refused");
  EXPECT_EQ(decoded("65793", 2), "refused");
}

TEST(TextValueTest, WhatIsWrittenIsReadBack) {
  Random random(1);
  for (std::size_t size = 1; size <= 64; ++size) {
    std::vector<std::byte> bytes(size);
    random.fill(bytes);
    EXPECT_EQ(parse_binary(format_binary(bytes), 64), bytes);
    EXPECT_EQ(parse_binary(format_base64(bytes), 64), bytes);
  }
}

TEST(TextValueTest, AListIsVisitedInOrderUntilOneFits) {
  std::string seen;
  EXPECT_TRUE(any_of_list("a,b,,c", [&](std::string_view item) {
    seen.append(item).append("|");
    return item.empty();
  }));
  EXPECT_EQ(seen, "a|b||");
  EXPECT_TRUE(list_contains("CHAP,None", "None"));
  EXPECT_FALSE(list_contains("CHAP,Nonesuch", "None"));
  EXPECT_TRUE(list_contains("", ""));
}

}  // namespace
}  // namespace ashlar::iscsi
