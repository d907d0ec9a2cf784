#include "common/base/uuid.h"

#include <type_traits>
#include <unordered_set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar {
namespace {

constexpr std::string_view kText = "0123abcd-4567-89ab-cdef-0123456789ff";

TEST(UuidTest, TextBecomesBytesInOrderAndBack) {
  const Uuid uuid = Uuid::parse(kText).value();
  EXPECT_EQ(uuid.bytes()[0], std::byte{0x01});
  EXPECT_EQ(uuid.bytes()[4], std::byte{0x45});
  EXPECT_EQ(uuid.bytes()[15], std::byte{0xff});
  EXPECT_EQ(uuid.to_string(), kText);
  EXPECT_EQ(fmt::format("{}", uuid), kText);
  EXPECT_EQ(Uuid(uuid.bytes()), uuid);
}

TEST(UuidTest, UpperCaseIsReadAndPrintedAsLowerCase) {
  EXPECT_EQ(Uuid::parse("0123ABCD-4567-89AB-CDEF-0123456789FF").value().to_string(), kText);
}

TEST(UuidTest, OtherSpellingsAreRefusedByName) {
  for (const char* text :
       {"", "pvc-1", "0123abcd456789abcdef0123456789ff", "{0123abcd-4567-89ab-cdef-0123456789ff}",
        "0123abcd-4567-89ab-cdef-0123456789fg", "0123abcd-4567-89ab-cdef-0123456789f",
        "0123abcd-4567-89ab-cdef-0123456789ff0", "0123abcd-4567-89ab-cdef-0123456789f ",
        "0123abcd45-67-89ab-cdef-0123456789ff", "0123abcd-4567-89ab-cdef_0123456789ff"}) {
    const auto uuid = Uuid::parse(text);
    ASSERT_FALSE(uuid.ok()) << text;
    EXPECT_EQ(uuid.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(uuid.error().message(), testing::HasSubstr(text));
  }
  EXPECT_EQ(Uuid::parse("pvc-1").error().message(),
            "\"pvc-1\" is not a uuid: expected 32 hexadecimal digits in groups 8-4-4-4-12");
}

TEST(UuidTest, GeneratedUuidsAreVersionFourAndRoundTrip) {
  Random random(1);
  std::unordered_set<Uuid> seen;
  for (int i = 0; i < 1'000; ++i) {
    const Uuid uuid = Uuid::generate(random);
    const std::string text = uuid.to_string();
    ASSERT_EQ(text[14], '4');
    ASSERT_NE(std::string_view("89ab").find(text[19]), std::string_view::npos) << text;
    ASSERT_EQ(Uuid::parse(text).value(), uuid);
    ASSERT_TRUE(seen.insert(uuid).second);
  }
}

TEST(UuidTest, TheSameSeedGivesTheSameUuid) {
  Random a(9);
  Random b(9);
  EXPECT_EQ(VolumeUuid::generate(a), VolumeUuid::generate(b));
}

TEST(UuidTest, DefaultIsNilAndSortsFirst) {
  EXPECT_TRUE(Uuid().is_nil());
  EXPECT_EQ(Uuid().to_string(), "00000000-0000-0000-0000-000000000000");
  EXPECT_LT(Uuid(), Uuid::parse(kText).value());
  EXPECT_FALSE(Uuid::parse(kText).value().is_nil());
}

TEST(UuidTest, OrderIsThatOfTheText) {
  Random random(2);
  for (int i = 0; i < 200; ++i) {
    const Uuid a = Uuid::generate(random);
    const Uuid b = Uuid::generate(random);
    ASSERT_EQ(a < b, a.to_string() < b.to_string());
  }
}

TEST(TypedUuidTest, KindsDoNotMix) {
  static_assert(!std::is_constructible_v<VolumeUuid, ReplicaUuid>);
  static_assert(!std::is_convertible_v<Uuid, VolumeUuid>);
  static_assert(!std::is_convertible_v<VolumeUuid, Uuid>);
}

TEST(TypedUuidTest, ParsesPrintsAndHashesAsItsUuid) {
  const ServerUuid server = ServerUuid::parse(kText).value();
  EXPECT_EQ(fmt::format("{}", server), kText);
  EXPECT_EQ(std::hash<ServerUuid>()(server), std::hash<Uuid>()(server.untyped()));
  EXPECT_EQ(StoreUuid(server.bytes()).untyped(), server.untyped());
  EXPECT_FALSE(ServerUuid::parse("x").ok());
  EXPECT_TRUE(StoreUuid().is_nil());
}

}  // namespace
}  // namespace ashlar
