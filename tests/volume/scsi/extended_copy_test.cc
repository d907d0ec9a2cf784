#include <gtest/gtest.h>

#include "common/base/random.h"
#include "tests/volume/scsi/unit_lab.h"
#include "volume/scsi/copy_parameters.h"

namespace ashlar::scsi {
namespace {

constexpr std::size_t kHeader = CopyLimits::kHeaderSize;
constexpr std::size_t kTarget = CopyLimits::kTargetSize;
constexpr std::size_t kSegment = CopyLimits::kSegmentSize;

Bytes target_of(LogicalUnit& unit) {
  Bytes target(kTarget);
  target[0] = 0xe4;
  target[4] = 0x01;  // binary
  target[5] = 0x03;  // NAA of the unit
  target[7] = 16;
  const NaaIdentifier naa = naa_identifier(unit.volume().uuid());
  for (std::size_t i = 0; i < 16; ++i) target[8 + i] = std::to_integer<std::uint8_t>(naa[i]);
  put_be(target, 29, unit.block_size(), 3);
  return target;
}
Bytes segment(std::uint16_t source, std::uint16_t destination, std::uint16_t blocks,
              std::uint64_t from, std::uint64_t to, std::uint8_t flags = 0) {
  Bytes bytes(kSegment);
  bytes[0] = 0x02;
  bytes[1] = flags;
  put_be(bytes, 2, kSegment - 4, 2);
  put_be(bytes, 4, source, 2);
  put_be(bytes, 6, destination, 2);
  put_be(bytes, 10, blocks, 2);
  put_be(bytes, 12, from, 8);
  put_be(bytes, 20, to, 8);
  return bytes;
}
Bytes list_of(std::uint8_t id, const std::vector<Bytes>& targets,
              const std::vector<Bytes>& segments) {
  Bytes list(kHeader);
  list[0] = id;
  for (const Bytes& target : targets) list.insert(list.end(), target.begin(), target.end());
  put_be(list, 2, list.size() - kHeader, 2);
  const std::size_t begin = list.size();
  for (const Bytes& one : segments) list.insert(list.end(), one.begin(), one.end());
  put_be(list, 8, list.size() - begin, 4);
  return list;
}
Bytes cdb_of(std::size_t length) {
  Bytes cdb(16);
  cdb[0] = 0x83;
  put_be(cdb, 10, length, 4);
  return cdb;
}
Task<Answer> copy(Host& host, Bytes list) {
  co_return co_await host.send(cdb_of(list.size()), list);
}
Bytes receive(std::uint8_t action, std::uint8_t id, std::uint32_t length = 0xffff) {
  Bytes cdb(16);
  cdb[0] = 0x84;
  cdb[1] = action;
  cdb[2] = id;
  put_be(cdb, 10, length, 4);
  return cdb;
}

Bytes pattern(std::size_t size, std::uint64_t seed) {
  Bytes bytes(size);
  Random(seed).fill(std::as_writable_bytes(std::span(bytes)));
  return bytes;
}
Task<void> put(UnitLab& lab, std::uint16_t lun, std::uint64_t offset, Bytes bytes) {
  Buffer buffer = lab.pool().allocate(ByteCount(bytes.size())).value();
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  CO_ASSERT_OK(co_await lab.unit(lun).volume().write(offset, std::move(buffer)));
}
Task<Bytes> get(UnitLab& lab, std::uint16_t lun, std::uint64_t offset, std::size_t size) {
  const Result<Buffer> read = co_await lab.unit(lun).volume().read({offset, size});
  EXPECT_TRUE(read.ok());
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(read->data());
  co_return Bytes(begin, begin + read->size());
}

TEST(ExtendedCopyTest, BlocksAreCopiedWithinAUnitAndToAnother) {
  UnitLab lab;
  lab.settings.push_back({.name = "other", .logical_block_size = 4096});
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Bytes data = pattern(1 << 20, 1);
    co_await put(l, 0, 0, data);
    const Bytes list = list_of(1, {target_of(l.unit(0)), target_of(l.unit(1))},
                               {segment(0, 0, 2048, 0, 4096), segment(0, 1, 2048, 0, 100)});
    const Answer answer = co_await copy(host, list);
    EXPECT_EQ(answer.to_string(), "GOOD");
    EXPECT_EQ(answer.response.data_out_wanted, list.size());
    EXPECT_EQ(co_await get(l, 0, 4096 * 512, data.size()), data);
    EXPECT_EQ(co_await get(l, 1, 100 * 4096, data.size()), data);
  });
}

TEST(ExtendedCopyTest, RangesThatOverlapAreCopiedAsIfAtOnce) {
  for (const bool forward : {false, true}) {
    UnitLab lab;
    lab.run([forward](UnitLab& l) -> Task<void> {
      Host& host = l.host("iqn.a");
      const Bytes data = pattern(3 << 20, 1);
      const std::uint64_t from = forward ? 1003 : 0;
      const std::uint64_t to = forward ? 0 : 1003;
      co_await put(l, 0, from * 512, data);
      EXPECT_EQ(
          (co_await copy(host, list_of(1, {target_of(l.unit())}, {segment(0, 0, 6144, from, to)})))
              .to_string(),
          "GOOD");
      EXPECT_EQ(co_await get(l, 0, to * 512, data.size()), data);
    });
  }
}

TEST(ExtendedCopyTest, ACopyOfAThinRangeIsThin) {
  UnitLab lab;
  lab.settings.push_back({.name = "other"});
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Bytes data = pattern(4096, 1);
    co_await put(l, 0, 64 * 1024, data);
    co_await put(l, 1, 0, pattern(1 << 20, 2));
    EXPECT_EQ((co_await copy(host, list_of(1, {target_of(l.unit(0)), target_of(l.unit(1))},
                                           {segment(0, 1, 2048, 0, 0)})))
                  .to_string(),
              "GOOD");
    Bytes expected(1 << 20);
    std::copy(data.begin(), data.end(), expected.begin() + 64 * 1024);
    EXPECT_EQ(co_await get(l, 1, 0, 1 << 20), expected);
    CO_ASSERT_OK_ASSIGN(const volume::ProvisionedRun run,
                        co_await l.unit(1).volume().provisioning(0, 1 << 20));
    EXPECT_FALSE(run.is_mapped);
    EXPECT_EQ(run.length, 64u * 1024);
  });
}

TEST(ExtendedCopyTest, ListsThatAreCutAreRefusedAndNothingIsCopied) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    co_await put(l, 0, 0, pattern(4096, 1));
    const Bytes list = list_of(1, {target_of(l.unit())}, {segment(0, 0, 8, 0, 80)});
    EXPECT_EQ((co_await host.send(cdb_of(0))).to_string(), "GOOD");
    for (std::size_t size = 1; size < list.size(); ++size) {
      const Bytes cut(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_EQ((co_await copy(host, cut)).to_string(), "5/1a/00") << size;
    }
    EXPECT_EQ((co_await host.send(cdb_of(list.size()), Bytes(16))).to_string(), "5/1a/00");
    EXPECT_EQ(co_await get(l, 0, 80 * 512, 4096), Bytes(4096));
    // No descriptors at all are no error.
    EXPECT_EQ((co_await copy(host, Bytes(kHeader))).to_string(), "GOOD");
  });
}

TEST(ExtendedCopyTest, TooManyDescriptorsAreCountedByKind) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Bytes target = target_of(l.unit());
    const Bytes one = segment(0, 0, 8, 0, 80);
    const auto list = [&](std::size_t targets, std::size_t segments) {
      return list_of(1, std::vector<Bytes>(targets, target), std::vector<Bytes>(segments, one));
    };
    EXPECT_EQ((co_await copy(host, list(8, 8))).to_string(), "GOOD");
    EXPECT_EQ((co_await copy(host, list(9, 1))).to_string(), "5/26/06");
    EXPECT_EQ((co_await copy(host, list(1, 9))).to_string(), "5/26/08");
    EXPECT_EQ((co_await copy(host, list(9, 9))).to_string(), "5/1a/00");
  });
}

TEST(ExtendedCopyTest, DescriptorsOfOtherKindsAreRefused) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Bytes good = list_of(1, {target_of(l.unit())}, {segment(0, 0, 8, 0, 80)});
    const auto with = [&](std::size_t at, std::uint8_t value) {
      Bytes list = good;
      list[at] = value;
      return list;
    };
    constexpr std::size_t kFirstSegment = kHeader + kTarget;
    EXPECT_EQ((co_await copy(host, with(kHeader, 0xe0))).to_string(), "5/26/07");
    EXPECT_EQ((co_await copy(host, with(kFirstSegment, 0x03))).to_string(), "5/26/09");
    EXPECT_EQ((co_await copy(host, with(kHeader + 1, 0xc0))).to_string(), "GOOD");
    EXPECT_EQ((co_await copy(host, with(kHeader + 1, 0x01))).to_string(), "5/26/00");
    EXPECT_EQ((co_await copy(host, with(kHeader + 7, 21))).to_string(), "5/26/00");
    EXPECT_EQ((co_await copy(host, with(1, 0x08))).to_string(), "5/26/00");
    EXPECT_EQ((co_await copy(host, with(1, 0x18))).to_string(), "5/26/00");  // with an identifier
    EXPECT_EQ((co_await copy(host, with(15, 1))).to_string(), "5/26/0b");
    EXPECT_EQ((co_await copy(host, with(kFirstSegment + 3, 0x14))).to_string(), "5/26/00");
    // What cannot be reached, or has another block size, ends the copy.
    EXPECT_EQ((co_await copy(host, with(kHeader + 1, 0x20))).to_string(), "a/0d/02");
    EXPECT_EQ((co_await copy(host, with(kHeader + 12, 0xff))).to_string(), "a/0d/02");
    EXPECT_EQ((co_await copy(host, with(kFirstSegment + 7, 1))).to_string(), "a/0d/02");
    EXPECT_EQ((co_await copy(host, with(kHeader + 30, 0x10))).to_string(), "a/0d/03");
  });
}

TEST(ExtendedCopyTest, RangesBeyondTheEndAreNotCopied) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const std::uint64_t end = l.unit().capacity();
    const auto try_copy = [&](std::uint64_t from, std::uint64_t to) {
      return copy(host, list_of(1, {target_of(l.unit())}, {segment(0, 0, 8, from, to)}));
    };
    EXPECT_EQ((co_await try_copy(0, end - 8)).to_string(), "GOOD");
    EXPECT_EQ((co_await try_copy(0, end - 7)).to_string(), "a/00/00");
    EXPECT_EQ((co_await try_copy(end - 7, 0)).to_string(), "a/00/00");
    EXPECT_EQ((co_await try_copy(~0ULL, 0)).to_string(), "a/00/00");
    EXPECT_EQ((co_await try_copy(0, ~0ULL - 3)).to_string(), "a/00/00");
  });
}

TEST(ExtendedCopyTest, ResultsAreKeptForWhoAskedAndByIdentifier) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Host& other = l.host("iqn.b");
    EXPECT_EQ((co_await host.send(receive(0, 1))).to_string(), "5/24/00");
    const std::vector<Bytes> targets{target_of(l.unit())};
    EXPECT_EQ((co_await copy(host, list_of(1, targets, {segment(0, 0, 16, 0, 80)}))).to_string(),
              "GOOD");
    const Answer status = co_await host.send(receive(0, 1));
    EXPECT_EQ(status.data, (Bytes{0, 0, 0, 8, 1, 0, 1, 1, 0, 0, 0, 8}));
    EXPECT_EQ((co_await other.send(receive(0, 1))).to_string(), "5/24/00");
    EXPECT_EQ((co_await host.send(receive(4, 1))).to_string(), "5/24/00");  // it did not fail

    EXPECT_EQ((co_await copy(
                   host, list_of(2, targets, {segment(0, 0, 8, 0, 80), segment(0, 1, 8, 0, 80)})))
                  .to_string(),
              "a/0d/02");
    const Answer failed = co_await host.send(receive(0, 2));
    EXPECT_EQ(failed.data.at(4), 2);
    EXPECT_EQ(failed.be(5, 2), 1u);
    const Answer details = co_await host.send(receive(4, 2));
    EXPECT_EQ(details.be(0, 4), details.data.size() - 4);
    EXPECT_EQ(details.data.at(56), 0x02);
    EXPECT_EQ(details.data.at(60) & 0x7f, 0x70);
    EXPECT_EQ(details.data.at(62) & 0x0f, 0x0a);
    // With the session they go.
    l.drop("iqn.a");
    EXPECT_EQ((co_await l.host("iqn.a").send(receive(0, 1))).to_string(), "5/24/00");
  });
}

TEST(ExtendedCopyTest, ACopyWithoutAnIdentifierIsDoneAndForgotten) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    for (int i = 0; i < 100; ++i) {
      Bytes list = list_of(0, {target_of(l.unit())}, {segment(0, 0, 1, 0, 80)});
      list[1] = 0x18;
      EXPECT_EQ((co_await copy(host, list)).to_string(), "GOOD");
    }
    EXPECT_EQ((co_await host.send(receive(0, 0))).to_string(), "5/24/00");
  });
}

TEST(ExtendedCopyTest, OperatingParametersAndThePageSayTheSame) {
  UnitLab lab;
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    const Answer parameters = co_await host.send(receive(3, 0));
    EXPECT_EQ(parameters.be(0, 4), parameters.data.size() - 4);
    EXPECT_EQ(parameters.be(8, 2), CopyLimits::kMostTargets);
    EXPECT_EQ(parameters.be(10, 2), CopyLimits::kMostSegments);
    EXPECT_EQ(parameters.be(12, 4), CopyLimits::kLongestDescriptorList);
    EXPECT_EQ(parameters.data.at(43), 2);
    EXPECT_EQ(parameters.data.at(44), 0x02);
    EXPECT_EQ(parameters.data.at(45), 0xe4);
    const Answer page = co_await host.send({0x12, 1, 0x8f, 0xff, 0xff, 0});
    EXPECT_EQ(page.be(2, 2), page.data.size() - 4);
    // Its descriptors follow each other to the end, each a multiple of four.
    std::size_t at = 4;
    std::vector<std::uint64_t> kinds;
    while (at < page.data.size()) {
      kinds.push_back(page.be(at, 2));
      EXPECT_EQ(page.be(at + 2, 2) % 4, 0u);
      at += 4 + page.be(at + 2, 2);
    }
    EXPECT_EQ(at, page.data.size());
    EXPECT_EQ(kinds, (std::vector<std::uint64_t>{0x0001, 0x0004, 0x0008, 0x8001}));
  });
}

TEST(ExtendedCopyTest, ADestinationThatIsProtectedOrReservedIsNotWritten) {
  UnitLab lab;
  lab.settings.push_back({.name = "reserved"});
  lab.settings.push_back({.name = "read-only", .read_only = true});
  lab.run([](UnitLab& l) -> Task<void> {
    Host& host = l.host("iqn.a");
    Host& other = l.host("iqn.b");
    EXPECT_EQ((co_await other.send({0x16, 0, 0, 0, 0, 0}, {}, 1)).to_string(), "GOOD");
    for (const std::uint16_t lun : {std::uint16_t{1}, std::uint16_t{2}}) {
      const Bytes list =
          list_of(1, {target_of(l.unit(0)), target_of(l.unit(lun))}, {segment(0, 1, 8, 0, 0)});
      EXPECT_EQ((co_await copy(host, list)).to_string(), lun == 1 ? "a/0d/02" : "7/27/00");
    }
  });
}

TEST(ExtendedCopyTest, AnyListIsReadWithoutHarm) {
  Random random(9);
  const auto made = [&] {
    Bytes list(kHeader + kTarget + kSegment);
    Random(random.next()).fill(std::as_writable_bytes(std::span(list)));
    if (random.chance(3, 4)) {
      list[1] = 0;
      put_be(list, 2, kTarget * random.below(3), 2);
      put_be(list, 8, kSegment * random.below(3), 4);
      put_be(list, 12, 0, 4);
      list[kHeader] = 0xe4;
      list[kHeader + 1] = 0;
    }
    list.resize(random.below(list.size() + 1));
    return list;
  };
  for (int i = 0; i < 20'000; ++i) {
    const Bytes list = made();
    const auto request = parse_copy_request(span_of(list));
    if (request) {
      EXPECT_LE(request->targets.size(), CopyLimits::kMostTargets);
    } else {
      EXPECT_EQ(request.error().key, SenseKey::kIllegalRequest);
    }
  }
}

}  // namespace
}  // namespace ashlar::scsi
