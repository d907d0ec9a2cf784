#include "common/base/quote.h"

#include <gtest/gtest.h>

namespace ashlar {
namespace {

TEST(QuoteTest, PrintableTextIsPutInQuotes) {
  EXPECT_EQ(quote(""), "\"\"");
  EXPECT_EQ(quote("10 apples"), "\"10 apples\"");
}

TEST(QuoteTest, QuotesControlAndForeignBytesAreEscaped) {
  EXPECT_EQ(quote("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(quote("a\n\x1b[2Jµ"), R"("a\x0a\x1b[2J\xc2\xb5")");
}

TEST(QuoteTest, LongTextIsCutOff) {
  EXPECT_EQ(quote(std::string(80, 'x')), "\"" + std::string(80, 'x') + "\"");
  EXPECT_EQ(quote(std::string(81, 'x')), "\"" + std::string(80, 'x') + "…\"");
}

}  // namespace
}  // namespace ashlar
