#include "volume/scsi/transport_id.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ashlar::scsi {
namespace {

std::vector<std::byte> encoded(const InitiatorPort& port) {
  ParameterData data;
  append_transport_id(data, port);
  return {data.span().begin(), data.span().end()};
}

TEST(TransportIdTest, WhatIsWrittenIsReadAgain) {
  for (std::size_t size = 1; size <= InitiatorPort::kLongestName; ++size) {
    const InitiatorPort port{std::string(size, 'q'), 0x8000'1234'5678};
    const std::vector<std::byte> bytes = encoded(port);
    EXPECT_EQ(bytes.size() % 4, 0u);
    EXPECT_GE(bytes.size(), 24u);
    EXPECT_LE(bytes.size(), InitiatorPort::kLongestTransportId);
    const auto parsed = parse_transport_id(bytes);
    ASSERT_TRUE(parsed) << size;
    EXPECT_EQ(parsed->port, port);
    EXPECT_EQ(parsed->size, bytes.size());
  }
}

TEST(TransportIdTest, WhatAHostSendsIsRead) {
  // As sg_persist --transport-id="iqn.a,i,0x00023d000001" does.
  std::vector<std::byte> bytes = encoded({"iqn.a", 0x0002'3d00'0001});
  EXPECT_EQ(text_of(ByteSpan(bytes).subspan(4, 22)), "iqn.a,i,0x00023d000001");
}

TEST(TransportIdTest, WhatIsNotWholeOrOfAnotherKindIsRefused) {
  const std::vector<std::byte> good = encoded({"iqn.a", 1});
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse_transport_id(ByteSpan(good).first(size))) << size;
  }
  const auto with = [&](std::size_t at, unsigned value) {
    std::vector<std::byte> bytes = good;
    bytes[at] = static_cast<std::byte>(value);
    return parse_transport_id(bytes).has_value();
  };
  EXPECT_FALSE(with(0, 0x05));  // a device name, no port
  EXPECT_FALSE(with(0, 0x46));  // SAS
  EXPECT_FALSE(with(3, 22));    // no multiple of four
  EXPECT_FALSE(with(10, 'x'));  // no separator
  EXPECT_FALSE(with(15, 'g'));  // no digit
  EXPECT_FALSE(with(4, 0));     // ended before it begins
}

TEST(TransportIdTest, AnyBytesAreReadWithoutHarm) {
  Random random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::byte> bytes = encoded({"iqn.a", 1});
    for (int changes = 0; changes < 3; ++changes) {
      bytes[random.below(bytes.size())] = static_cast<std::byte>(random.next());
    }
    const auto parsed = parse_transport_id(bytes);
    if (parsed) {
      EXPECT_LE(parsed->port.name.size(), InitiatorPort::kLongestName);
      EXPECT_EQ(parsed->port.isid >> 48, 0u);
    }
  }
}

}  // namespace
}  // namespace ashlar::scsi
