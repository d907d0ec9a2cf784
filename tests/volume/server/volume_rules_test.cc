#include "volume/server/volume_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/units.h"

namespace ashlar::server {
namespace {

using testing::HasSubstr;

StoreUuid store_uuid(std::uint64_t seed) {
  Random random(seed);
  return StoreUuid::generate(random);
}
VolumeUuid volume_uuid(std::uint64_t seed) {
  Random random(seed);
  return VolumeUuid::generate(random);
}

TEST(Sizes, WholeBlocksWithinTheBoundsArePossible) {
  for (const char* good : {"1Mi", "1028Ki", "10Gi", "1Pi"}) {
    EXPECT_TRUE(check_size(parse_size(good).value()).ok()) << good;
  }
  for (const char* bad : {"0", "4Ki", "1020Ki", "1M", "1048577", "1025Ti", "8Ei"}) {
    EXPECT_FALSE(check_size(parse_size(bad).value()).ok()) << bad;
  }
}

TEST(Names, AreLowerCaseAndBeginAndEndWell) {
  for (const std::string& good :
       {std::string("a"), std::string("pvc-1.data"), std::string("0"), std::string(63, 'x')}) {
    EXPECT_TRUE(check_name(good, "name").ok()) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("A"), std::string("-a"), std::string("a-"), std::string(".a"),
        std::string("a b"), std::string("a/b"), std::string("ä"), std::string(64, 'x'),
        std::string("a\0b", 3)}) {
    EXPECT_FALSE(check_name(bad, "name").ok()) << bad;
  }
}

TEST(RequestIds, ArePrintable) {
  EXPECT_TRUE(check_request_id("").ok());
  EXPECT_TRUE(check_request_id("create-17/a").ok());
  EXPECT_FALSE(check_request_id("a b").ok());
  EXPECT_FALSE(check_request_id("a\nb").ok());
  EXPECT_FALSE(check_request_id(std::string(129, 'x')).ok());
}

class PlaceTest : public testing::Test {
 protected:
  const std::vector<StoreOffer> stores_ = {
      {"/a", store_uuid(1), ByteCount(100), ByteCount(7)},
      {"/b", store_uuid(2), ByteCount(300), ByteCount(7)},
      {"/c", store_uuid(3), ByteCount(300), ByteCount(5)},
  };
};

TEST_F(PlaceTest, TheStoreWithMostSpaceAndThenLeastPromisedIsChosen) {
  EXPECT_EQ(place(stores_, "").value(), 2U);
  EXPECT_EQ(place({stores_[0], stores_[1]}, "").value(), 1U);
}

TEST_F(PlaceTest, AStoreIsNamedByDirectoryOrUuid) {
  EXPECT_EQ(place(stores_, "/a").value(), 0U);
  EXPECT_EQ(place(stores_, store_uuid(2).to_string()).value(), 1U);
  const Result<std::size_t> unknown = place(stores_, "/d");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(unknown.error().message(), HasSubstr("/a, /b, /c"));
}

TEST_F(PlaceTest, WithoutSpaceThereIsNoPlace) {
  EXPECT_EQ(place({{"/a", store_uuid(1), ByteCount(0), ByteCount(0)}}, "").error().code(),
            ErrorCode::kResourceExhausted);
  EXPECT_EQ(place({}, "").error().code(), ErrorCode::kResourceExhausted);
}

class SameTest : public testing::Test {
 protected:
  SameTest() {
    there_.uuid = volume_uuid(1);
    there_.settings.name = "a";
    there_.size = ByteCount(1 << 30);
    there_.store = store_uuid(1);
    there_.store_directory = "/a";
    wanted_.name = "a";
    wanted_.size = ByteCount(1 << 30);
  }
  std::string difference() const {
    const Result<> same = check_same(there_, wanted_, origin_);
    if (same.ok()) return "";
    EXPECT_EQ(same.error().code(), ErrorCode::kAlreadyExists);
    return same.error().message();
  }

  VolumeInfo there_;
  CreateVolume wanted_;
  std::optional<volume::VolumeOrigin> origin_;
};

TEST_F(SameTest, TheSameAgainIsTheSame) {
  EXPECT_EQ(difference(), "");
  wanted_.uuid = there_.uuid;
  wanted_.logical_block_size = 512;
  wanted_.ack_policy = volume::AckPolicy::kDurable;
  wanted_.store = "/a";
  EXPECT_EQ(difference(), "");
}

TEST_F(SameTest, EveryDifferenceIsNamed) {
  const auto differs = [this](auto change, const char* text) {
    const CreateVolume before = wanted_;
    change();
    EXPECT_THAT(difference(), HasSubstr(text));
    wanted_ = before;
  };
  differs([&] { wanted_.uuid = volume_uuid(2); }, "uuid");
  differs([&] { wanted_.size = ByteCount(1 << 20); }, "size of 1Gi");
  differs([&] { wanted_.logical_block_size = 4096; }, "blocks of 512");
  differs([&] { wanted_.ack_policy = volume::AckPolicy::kBuffered; }, "durable");
  differs([&] { wanted_.read_only = true; }, "not read-only");
  differs([&] { wanted_.removable = true; }, "not removable");
  differs([&] { wanted_.access.initiators = {"iqn.2026-01.org.example:x"}; }, "access");
  differs([&] { wanted_.store = "/b"; }, "/a");
  origin_ = volume::VolumeOrigin{volume_uuid(3), {}};
  EXPECT_THAT(difference(), HasSubstr("source"));
}

TEST_F(SameTest, ACopyHasTheKindOfItsSourceUnlessItSaysOtherwise) {
  origin_ = volume::VolumeOrigin{volume_uuid(3), {}};
  there_.settings.origin = origin_;
  there_.settings.logical_block_size = 4096;
  there_.settings.ack_policy = volume::AckPolicy::kBuffered;
  wanted_.source = VolumeSource{};
  wanted_.size = ByteCount(0);
  EXPECT_EQ(difference(), "");
  wanted_.ack_policy = volume::AckPolicy::kDurable;
  EXPECT_THAT(difference(), HasSubstr("buffered"));
}

TEST(Settings, OfACopyAreItsSourcesExceptForAccess) {
  VolumeInfo source;
  source.settings.name = "source";
  source.settings.logical_block_size = 4096;
  source.settings.ack_policy = volume::AckPolicy::kBuffered;
  source.settings.access.initiators = {"iqn.2026-01.org.example:x"};
  CreateVolume wanted;
  wanted.name = "copy";
  const Result<volume::VolumeSettings> settings = settings_of(wanted, &source);
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->logical_block_size, 4096U);
  EXPECT_EQ(settings->ack_policy, volume::AckPolicy::kBuffered);
  EXPECT_TRUE(settings->access.initiators.empty());
  wanted.logical_block_size = 512;
  EXPECT_FALSE(settings_of(wanted, &source).ok());
}

TEST(Settings, WhatIsNotPossibleIsRefused) {
  CreateVolume wanted;
  wanted.name = "a";
  wanted.logical_block_size = 1024;
  EXPECT_FALSE(settings_of(wanted, nullptr).ok());
  wanted.logical_block_size.reset();
  wanted.access.chap = volume::ChapCredentials{"user", Secret("short")};
  EXPECT_FALSE(settings_of(wanted, nullptr).ok());
}

}  // namespace
}  // namespace ashlar::server
