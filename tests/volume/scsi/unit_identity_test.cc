#include "volume/scsi/unit_identity.h"

#include <set>

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar::scsi {
namespace {

VolumeUuid uuid(std::string_view text) {
  return VolumeUuid::parse(text).value();
}

std::string hex(ByteSpan bytes) {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return text;
}

TEST(UnitIdentityTest, TheNaaIdentifierBeginsWithSixAndALocallyAdministeredCompany) {
  const std::string naa = hex(naa_identifier(uuid("00000000-0000-4000-8000-000000000000")));
  EXPECT_EQ(naa.substr(0, 7), "602a51a");
  EXPECT_EQ(naa.size(), 32u);
  // Bit 1 of the company's first byte: assigned by nobody.
  EXPECT_NE(0x02 & 0x02, 0);
}

TEST(UnitIdentityTest, TheNaaIdentifierIsTheSameForEver) {
  // Hosts have it in their configuration: a change here makes every disk another one.
  EXPECT_EQ(hex(naa_identifier(uuid("0123abcd-4567-4890-abcd-ef0123456789"))),
            "602a51ad45674890fa91b14c370c86e5");
}

TEST(UnitIdentityTest, VolumesThatDifferInOneBitOrAtRandomHaveDifferentIdentifiers) {
  std::set<NaaIdentifier> seen;
  std::array<std::byte, Uuid::kSize> bytes{};
  for (std::size_t bit = 0; bit < 128; ++bit) {
    bytes = {};
    bytes[bit / 8] = static_cast<std::byte>(1u << bit % 8);
    seen.insert(naa_identifier(VolumeUuid(std::span<const std::byte, Uuid::kSize>(bytes))));
  }
  EXPECT_EQ(seen.size(), 128u);
  Random random(1);
  for (int i = 0; i < 1000; ++i) seen.insert(naa_identifier(VolumeUuid::generate(random)));
  EXPECT_EQ(seen.size(), 1128u);
}

TEST(UnitIdentityTest, NamesAreEndedByAZeroAndFilledToFourBytes) {
  for (const std::string_view name : {"iqn.a", "iqn.ab", "iqn.abc", "iqn.abcd"}) {
    const Designator designator = device_name_designator(name);
    EXPECT_EQ(designator.value.size() % 4, 0u) << name;
    EXPECT_GT(designator.value.size(), name.size()) << name;
    EXPECT_EQ(designator.value.back(), std::byte{0}) << name;
  }
  EXPECT_EQ(text_of(port_name_designator("iqn.a", 0x12).value).substr(0, 14), "iqn.a,t,0x0012");
}

}  // namespace
}  // namespace ashlar::scsi
