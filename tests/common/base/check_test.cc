#include "common/base/check.h"

#include <cstdio>

#include <gtest/gtest.h>

namespace ashlar {
namespace {

TEST(CheckDeathTest, FailureNamesExpressionPlaceAndMessage) {
  const int used = 7;
  EXPECT_DEATH(ASHLAR_CHECK(used < 5, "ring {} is full", "a"),
               "check_test.cc:.*check failed: used < 5: ring a is full");
}

TEST(CheckDeathTest, ComparisonPrintsBothSides) {
  const int left = 1;
  EXPECT_DEATH(ASHLAR_CHECK_EQ(left, 2), "left == 2: left 1, right 2");
}

TEST(CheckDeathTest, FailurePrintsTheStateOfLiveDumpHooks) {
  const int state = 42;
  const CheckDumpHook::Print print = [](const void* subject) {
    return fmt::format("state={}", *static_cast<const int*>(subject));
  };
  const CheckDumpHook outer("engine", &state, print);
  {
    const CheckDumpHook gone("gone", &state, print);
  }
  EXPECT_DEATH(ASHLAR_CHECK(false), "check failed: false\n  engine: state=42\n$");
}

TEST(CheckDeathTest, LastWordsAreSaidOnceAfterTheReportEvenIfTheyFailThemselves) {
  EXPECT_DEATH(
      {
        set_check_last_words([] {
          std::fputs("last words\n", stderr);
          ASHLAR_CHECK(1 == 2);
        });
        ASHLAR_CHECK(false);
      },
      "check failed: false\nlast words\nFATAL .*check failed: 1 == 2\n$");
}

TEST(CheckTest, HoldingConditionEvaluatesOnceAndPasses) {
  int evaluated = 0;
  ASHLAR_CHECK(++evaluated == 1);
  EXPECT_EQ(evaluated, 1);
}

}  // namespace
}  // namespace ashlar
