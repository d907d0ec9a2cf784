#include "common/base/strong.h"

#include <type_traits>

#include <gtest/gtest.h>

namespace ashlar {
namespace {

TEST(StrongTest, TypesDoNotMix) {
  static_assert(!std::is_convertible_v<std::uint64_t, Lsn>);
  static_assert(!std::is_convertible_v<Lsn, std::uint64_t>);
  static_assert(!std::is_constructible_v<Lsn, Epoch>);
  static_assert(!std::is_constructible_v<ByteCount, LogPosition>);
}

TEST(StrongTest, OrdinalsMoveByCountsAndSubtractToCounts) {
  const Lsn lsn(41);
  EXPECT_EQ(lsn.next(), Lsn(42));
  EXPECT_EQ(lsn + 9, Lsn(50));
  EXPECT_EQ(Lsn(50) - lsn, 9u);
  EXPECT_LT(lsn, lsn.next());
}

TEST(StrongTest, QuantitiesAddAndDivide) {
  const ByteCount page(4096);
  EXPECT_EQ(page * 16, ByteCount(65536));
  EXPECT_EQ(ByteCount(65536) / page, 16u);
  EXPECT_EQ(ByteCount(5000) % page, ByteCount(904));
}

TEST(StrongDeathTest, OverflowAndUnderflowAreFatal) {
  EXPECT_DEATH(Lsn(UINT64_MAX).next(), "check failed");
  EXPECT_DEATH(ByteCount(1) - ByteCount(2), "check failed");
  EXPECT_DEATH(Lsn(1) - Lsn(2), "check failed");
  EXPECT_DEATH(ByteCount(UINT64_MAX) * 2, "check failed");
}

TEST(StrongTest, OrdinalsFormatAsTheirNumber) {
  EXPECT_EQ(fmt::format("{}/{}", Lsn(17), Epoch(3)), "17/3");
}

}  // namespace
}  // namespace ashlar
