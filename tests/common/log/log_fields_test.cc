#include "common/log/log_fields.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/secret.h"
#include "common/base/units.h"

namespace ashlar {
namespace {

struct Point {
  int x;
};
struct Opaque {};

template <class T>
concept CanBeAField = requires(LogFields fields, T value) { fields.with("key", value); };

}  // namespace
}  // namespace ashlar

template <>
struct fmt::formatter<ashlar::Point> : fmt::formatter<int> {
  template <class Context>
  auto format(ashlar::Point point, Context& context) const {
    return fmt::formatter<int>::format(point.x, context);
  }
};

namespace ashlar {
namespace {

TEST(LogFieldsTest, NumbersAndOurNumbersStayNumbers) {
  const LogFields fields = LogFields{}
                               .epoch(Epoch(3))
                               .lsn(Lsn(17))
                               .with("bytes", ByteCount(512))
                               .with("below", -1)
                               .with("ratio", 0.5)
                               .with("synced", true);
  const auto& list = fields.list();
  ASSERT_EQ(list.size(), 6U);
  EXPECT_EQ(list[0].key, "epoch");
  EXPECT_EQ(list[0].value, LogField::Value(std::uint64_t{3}));
  EXPECT_EQ(list[1].value, LogField::Value(std::uint64_t{17}));
  EXPECT_EQ(list[2].value, LogField::Value(std::uint64_t{512}));
  EXPECT_EQ(list[3].value, LogField::Value(std::int64_t{-1}));
  EXPECT_EQ(list[4].value, LogField::Value(0.5));
  EXPECT_EQ(list[5].value, LogField::Value(true));
}

TEST(LogFieldsTest, OtherTypesBecomeTheTextOfTheirFormatter) {
  const LogFields fields = LogFields{}
                               .volume("pvc-1")
                               .request_id(std::string("r-9"))
                               .with("point", Point{4})
                               .with("letter", 'a');
  const auto& list = fields.list();
  ASSERT_EQ(list.size(), 4U);
  EXPECT_EQ(list[0].value, LogField::Value(std::string("pvc-1")));
  EXPECT_EQ(list[1].value, LogField::Value(std::string("r-9")));
  EXPECT_EQ(list[2].value, LogField::Value(std::string("4")));
  EXPECT_EQ(list[3].value, LogField::Value(std::string("a")));
}

TEST(LogFieldsTest, SettingAKeyAgainReplacesItsValue) {
  const LogFields of_the_volume = LogFields{}.volume("pvc-1").epoch(Epoch(3));
  const LogFields later = LogFields(of_the_volume).epoch(Epoch(4));
  ASSERT_EQ(later.list().size(), 2U);
  EXPECT_EQ(later.list()[1].value, LogField::Value(std::uint64_t{4}));
  EXPECT_EQ(of_the_volume.list()[1].value, LogField::Value(std::uint64_t{3}));
}

TEST(LogFieldsTest, TypesWithoutAFormatterDoNotCompile) {
  static_assert(CanBeAField<Point>);
  static_assert(!CanBeAField<Opaque>);
  static_assert(!Loggable<Opaque>);
  static_assert(!CanBeAField<Secret>);
}

}  // namespace
}  // namespace ashlar
