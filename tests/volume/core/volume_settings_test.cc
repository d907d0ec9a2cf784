#include "volume/core/volume_settings.h"

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "engine/store_format.h"

namespace ashlar::volume {
namespace {

SnapshotUuid snapshot_uuid(std::uint64_t n) {
  Random random(n + 1);
  return SnapshotUuid::generate(random);
}

VolumeSettings full() {
  return {.name = "db-1.data",
          .logical_block_size = 4096,
          .ack_policy = AckPolicy::kBuffered,
          .read_only = true,
          .removable = true,
          .access = {.initiators = {"iqn.2026-11.example:host-1", "naa.52004567BA64678D"},
                     .chap = ChapCredentials{"user", Secret("a secret of 20 bytes")},
                     .mutual = ChapCredentials{"target", Secret("another one, as long")}},
          .snapshots = {{snapshot_uuid(1), "monday"}, {snapshot_uuid(2), "tuesday"}},
          .origin = VolumeOrigin{VolumeUuid(snapshot_uuid(3).untyped()), snapshot_uuid(4)}};
}

TEST(VolumeSettings, WhatIsEncodedComesBack) {
  const VolumeSettings plain{.name = "a"};
  for (const VolumeSettings& settings : {plain, full()}) {
    const Result<VolumeSettings> back = decode_settings(encode_settings(settings));
    ASSERT_TRUE(back.ok()) << back.error().to_string();
    EXPECT_EQ(*back, settings);
  }
}

TEST(VolumeSettings, TheLargestFitAnAttachment) {
  VolumeSettings settings = full();
  settings.name = std::string(63, 'n');
  settings.access.initiators.assign(kMostInitiators, "iqn." + std::string(219, 'x'));
  settings.access.chap = {std::string(223, 'u'), Secret(std::string(255, 's'))};
  settings.access.mutual = {std::string(223, 'u'), Secret(std::string(255, 't'))};
  settings.snapshots.clear();
  for (std::size_t i = 0; i < kMostSnapshots; ++i) {
    settings.snapshots.push_back({snapshot_uuid(i), fmt::format("{:060}", i)});
  }
  const std::vector<std::byte> bytes = encode_settings(settings);
  EXPECT_LE(bytes.size(), engine::kLargestAttachment);
  const Result<VolumeSettings> back = decode_settings(bytes);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, settings);
}

TEST(VolumeSettings, EveryCutIsRefused) {
  const std::vector<std::byte> bytes = encode_settings(full());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(decode_settings(ByteSpan(bytes).first(length)).ok()) << length;
  }
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{});
  EXPECT_FALSE(decode_settings(longer).ok());
}

TEST(VolumeSettings, AnotherVersionIsRefusedByName) {
  std::vector<std::byte> bytes = encode_settings(full());
  bytes[0] = std::byte{9};
  const Result<VolumeSettings> back = decode_settings(bytes);
  ASSERT_FALSE(back.ok());
  EXPECT_EQ(back.error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_NE(back.error().message().find("version 9"), std::string::npos);
}

TEST(VolumeSettings, DamagedBytesNeverBecomeSettingsThatCheckRefuses) {
  const std::vector<std::byte> bytes = encode_settings(full());
  Random random(1);
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::byte> damaged = bytes;
    damaged[random.below(damaged.size())] = static_cast<std::byte>(random.below(256));
    const Result<VolumeSettings> back = decode_settings(damaged);
    if (back.ok()) {
      EXPECT_TRUE(check_settings(*back).ok());
    }
  }
}

struct Refusal {
  std::string field;
  void (*change)(VolumeSettings&);
};

TEST(VolumeSettings, TheErrorNamesTheField) {
  const Refusal refusals[] = {
      {"name", [](VolumeSettings& s) { s.name = ""; }},
      {"name", [](VolumeSettings& s) { s.name = "Upper"; }},
      {"name", [](VolumeSettings& s) { s.name = std::string(64, 'a'); }},
      {"logical_block_size", [](VolumeSettings& s) { s.logical_block_size = 1024; }},
      {"access.initiators", [](VolumeSettings& s) { s.access.initiators = {"host-1"}; }},
      {"access.initiators", [](VolumeSettings& s) { s.access.initiators = {"iqn.a b"}; }},
      {"access.initiators",
       [](VolumeSettings& s) { s.access.initiators.assign(kMostInitiators + 1, "iqn.a"); }},
      {"access.chap.secret", [](VolumeSettings& s) { s.access.chap->secret = Secret("short"); }},
      {"access.chap.name", [](VolumeSettings& s) { s.access.chap->name = ""; }},
      {"access.mutual", [](VolumeSettings& s) { s.access.chap.reset(); }},
      {"access.mutual.secret",
       [](VolumeSettings& s) { s.access.mutual->secret = s.access.chap->secret; }},
      {"snapshots", [](VolumeSettings& s) { s.snapshots[1].name = s.snapshots[0].name; }},
      {"snapshots", [](VolumeSettings& s) { s.snapshots[1].uuid = s.snapshots[0].uuid; }},
      {"snapshots", [](VolumeSettings& s) { s.snapshots[0].name = "Monday"; }},
      {"origin", [](VolumeSettings& s) { s.origin->volume = {}; }},
  };
  EXPECT_TRUE(check_settings(full()).ok());
  for (const Refusal& refusal : refusals) {
    VolumeSettings settings = full();
    refusal.change(settings);
    const Result<> checked = check_settings(settings);
    ASSERT_FALSE(checked.ok()) << refusal.field;
    EXPECT_EQ(checked.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_TRUE(checked.error().message().starts_with(refusal.field)) << checked.error().message();
  }
}

}  // namespace
}  // namespace ashlar::volume
