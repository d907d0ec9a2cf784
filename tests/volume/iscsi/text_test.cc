#include "volume/iscsi/text.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/volume/iscsi/login_lab.h"

namespace ashlar::iscsi {
namespace {

std::string_view parse_outcome(std::string_view text) {
  return test::outcome_of(parse_keys(bytes_of(text)));
}

TEST(TextTest, PairsAreCutAtZerosAndAtTheFirstEqualsSign) {
  const std::string text = text_with("A=1;;;B.c-d+e@f_g=x=y,z;C=;");
  const auto keys = parse_keys(bytes_of(text));
  ASSERT_TRUE(keys.ok());
  ASSERT_EQ(keys->size(), 3u);
  EXPECT_EQ((*keys)[0].name, "A");
  EXPECT_EQ((*keys)[0].value, "1");
  EXPECT_EQ((*keys)[1].name, "B.c-d+e@f_g");
  EXPECT_EQ((*keys)[1].value, "x=y,z");
  EXPECT_EQ((*keys)[2].value, "");
  EXPECT_TRUE(parse_keys({})->empty());
}

TEST(TextTest, WhatIsNoListOfPairsIsRefused) {
  EXPECT_EQ(parse_outcome("A=1"), "INVALID_ARGUMENT");                      // has no end
  EXPECT_EQ(parse_outcome(text_with("A=1;B")), "INVALID_ARGUMENT");         // has no end
  EXPECT_EQ(parse_outcome(text_with("A;")), "INVALID_ARGUMENT");            // has no value
  EXPECT_EQ(parse_outcome(text_with("=1;")), "INVALID_ARGUMENT");           // has no name
  EXPECT_EQ(parse_outcome(text_with("a=1;")), "INVALID_ARGUMENT");          // is no capital
  EXPECT_EQ(parse_outcome(text_with("A b=1;")), "INVALID_ARGUMENT");        // has a space
  EXPECT_EQ(parse_outcome(text_with("A\xc3\xa4=1;")), "INVALID_ARGUMENT");  // is not ASCII
}

TEST(TextTest, NamesValuesAndCountsHaveTheirBounds) {
  EXPECT_EQ(parse_outcome(std::string(63, 'A') + text_with("=1;")), "OK");
  EXPECT_EQ(parse_outcome(std::string(64, 'A') + text_with("=1;")), "INVALID_ARGUMENT");
  EXPECT_EQ(parse_outcome("A=" + std::string(kLongestValue, 'x') + '\0'), "OK");
  EXPECT_EQ(parse_outcome("A=" + std::string(kLongestValue + 1, 'x') + '\0'), "INVALID_ARGUMENT");
  std::string many;
  for (std::size_t i = 0; i < kMostKeys; ++i) many += text_with("A=1;");
  EXPECT_EQ(parse_outcome(many), "OK");
  EXPECT_EQ(parse_outcome(many + text_with("A=1;")), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(parse_outcome(std::string(kMostTextBytes + 1, '\0')), "RESOURCE_EXHAUSTED");
}

TEST(TextTest, APairMayBeSpreadOverSeveralPieces) {
  const std::string text = text_with("First=one;Second=two;");
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    TextAssembly assembly;
    ASSERT_TRUE(assembly.add(bytes_of(text.substr(0, cut))).ok());
    ASSERT_TRUE(assembly.add(bytes_of(text.substr(cut))).ok());
    const auto keys = parse_keys(assembly.bytes());
    ASSERT_TRUE(keys.ok()) << cut;
    EXPECT_EQ((*keys)[1].value, "two");
  }
}

TEST(TextTest, AnAssemblyHoldsNoMoreThanItsBound) {
  TextAssembly assembly;
  const std::string piece(kMostTextBytes / 2, 'x');
  EXPECT_TRUE(assembly.add(bytes_of(piece)).ok());
  EXPECT_TRUE(assembly.add(bytes_of(piece)).ok());
  EXPECT_EQ(test::outcome_of(assembly.add(bytes_of("x"))), "RESOURCE_EXHAUSTED");
  assembly.clear();
  EXPECT_TRUE(assembly.add(bytes_of("x")).ok());
}

TEST(TextTest, WhatIsWrittenIsReadBackAndCutIntoPieces) {
  TextWriter writer;
  writer.add("Name", "value");
  writer.add_number("Number", 18446744073709551615u);
  writer.add_bool("Flag", true);
  EXPECT_EQ(writer.text(), text_with("Name=value;Number=18446744073709551615;Flag=Yes;"));
  const std::string text = writer.text();
  TextPieces pieces(std::move(writer).take());
  std::string together;
  while (pieces.more()) {
    const std::string_view piece = pieces.next(7);
    EXPECT_LE(piece.size(), 7u);
    together += piece;
  }
  EXPECT_EQ(together, text);
  EXPECT_EQ(pieces.next(7), "");
}

}  // namespace
}  // namespace ashlar::iscsi
