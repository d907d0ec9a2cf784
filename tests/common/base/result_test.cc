#include "common/base/result.h"

#include <cerrno>
#include <memory>

#include <gtest/gtest.h>

namespace ashlar {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error::invalid_argument("{} is odd", n);
  return n / 2;
}

Result<std::unique_ptr<int>> quarter(int n) {
  ASHLAR_TRY_ASSIGN(const int h, half(n));
  ASHLAR_TRY_ASSIGN(const int q, half(h));
  return std::make_unique<int>(q);
}

Result<> must_be_even(int n) {
  ASHLAR_TRY(half(n));
  return {};
}

TEST(ResultTest, TryAssignHandsOnValues) {
  auto r = quarter(12);
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(**r, 3);
}

TEST(ResultTest, TryReturnsTheFirstError) {
  EXPECT_EQ(quarter(6).error(), Error::invalid_argument("3 is odd"));
  EXPECT_EQ(must_be_even(5).error().to_string(), "INVALID_ARGUMENT: 5 is odd");
  EXPECT_TRUE(must_be_even(4).ok());
}

TEST(ResultDeathTest, ReadingTheValueOfAnErrorIsFatal) {
  EXPECT_DEATH(half(1).value(), "INVALID_ARGUMENT: 1 is odd");
  EXPECT_DEATH(must_be_even(1).value(), "INVALID_ARGUMENT: 1 is odd");
}

TEST(ErrorTest, ErrnoBecomesACanonicalCodeWithTheSystemsText) {
  const Error error = Error::from_errno(ENOSPC, "extending /data/log");
  EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(error.message(), "extending /data/log: No space left on device");
  EXPECT_EQ(Error::from_errno(EIO, "x").code(), ErrorCode::kDataLoss);
  EXPECT_EQ(Error::from_errno(ECONNRESET, "x").code(), ErrorCode::kUnavailable);
}

TEST(ErrorTest, ContextIsPutInFrontAndTheCodeStays) {
  const Error error = Error::not_found("no such file").with_context("opening store /data");
  EXPECT_EQ(error.to_string(), "NOT_FOUND: opening store /data: no such file");
}

TEST(ErrorTest, ErrorsAndCodesFormat) {
  const Error error = Error::not_found("gone");
  EXPECT_EQ(fmt::format("{}|{}", error, error.code()), "NOT_FOUND: gone|NOT_FOUND");
}

TEST(ErrorTest, EveryCodeHasItsOwnName) {
  for (int code = 1; code <= 16; ++code) {
    if (code == static_cast<int>(ErrorCode::kUnknown)) continue;
    EXPECT_NE(to_string(static_cast<ErrorCode>(code)), "UNKNOWN") << code;
  }
}

}  // namespace
}  // namespace ashlar
