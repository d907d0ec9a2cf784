#include "volume/iscsi/names.h"

#include <vector>

#include <gtest/gtest.h>

namespace ashlar::iscsi {
namespace {

TEST(NamesTest, TheThreeFormatsAreTakenAndFoldedToSmallLetters) {
  EXPECT_EQ(normalise_name("iqn.2001-04.com.example"), "iqn.2001-04.com.example");
  EXPECT_EQ(normalise_name("IQN.2001-04.COM.Example:Disk-1.a:b"),
            "iqn.2001-04.com.example:disk-1.a:b");
  EXPECT_EQ(normalise_name("iqn.1993-08.org.debian:01:1a2b"), "iqn.1993-08.org.debian:01:1a2b");
  EXPECT_EQ(normalise_name("eui.02004567A425678D"), "eui.02004567a425678d");
  EXPECT_EQ(normalise_name("naa.52004567BA64678D"), "naa.52004567ba64678d");
  EXPECT_EQ(normalise_name("naa.62004567BA64678D0123456789ABCDEF"),
            "naa.62004567ba64678d0123456789abcdef");
  EXPECT_EQ(normalise_name("iqn.2001-04.com.example:\xc3\xa4"), "iqn.2001-04.com.example:\xc3\xa4");
}

TEST(NamesTest, WhatIsNoISCSINameIsRefused) {
  for (const std::string_view bad : {"",
                                     "iqn",
                                     "iqn.",
                                     "iqn.2001-04",
                                     "iqn.2001-04.",
                                     "iqn.2001-04.:disk",
                                     "iqn.2001-13.a",
                                     "iqn.2001-00.a",
                                     "iqn.20x1-04.a",
                                     "iqn.200104.a.b",
                                     "iqn.2001-04..a",
                                     "iqn.2001-04.a.:b",
                                     "iqn.2001-04.a b",
                                     "iqn.2001-04.a_b",
                                     "iqn.2001-04.a/b",
                                     "eui.",
                                     "eui.0200456",
                                     "eui.02004567A425678G",
                                     "eui.02004567A425678D0",
                                     "naa.5200",
                                     "disk1",
                                     "com.example",
                                     "xiqn.2001-04.com.example"}) {
    EXPECT_FALSE(normalise_name(bad)) << bad;
  }
}

TEST(NamesTest, ANameHasAtMost223Bytes) {
  const std::string head = "iqn.2001-04.com.example:";
  EXPECT_TRUE(normalise_name(head + std::string(223 - head.size(), 'x')));
  EXPECT_FALSE(normalise_name(head + std::string(224 - head.size(), 'x')));
}

TEST(NamesTest, AListAllowsWhoStandsInItAndAnEmptyOneEverybody) {
  EXPECT_TRUE(list_allows({}, "iqn.2001-04.com.example"));
  const std::vector<std::string> list = {"no name at all", "IQN.2001-04.com.Example"};
  EXPECT_TRUE(list_allows(list, "iqn.2001-04.com.example"));
  EXPECT_FALSE(list_allows(list, "iqn.2001-04.com.example2"));
}

}  // namespace
}  // namespace ashlar::iscsi
