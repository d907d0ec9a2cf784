#include "volume/iscsi/pdu_receiver.h"

#include <algorithm>
#include <deque>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "volume/iscsi/digest.h"

namespace ashlar::iscsi {
namespace {

using Kind = PayloadPlacer::Place::Kind;

class TestPlacer final : public PayloadPlacer {
 public:
  Place place(const ReceivedPdu&) override {
    ++asked;
    return {kind, buffer.share(), offset};
  }
  Kind kind = Kind::kOwn;
  Buffer buffer;
  std::size_t offset = 0;
  int asked = 0;
};

// A stream and its receiver: PDUs go in as bytes, in pieces, and come out again.
class ReceiverLab {
 public:
  BufferPool pool{"test", ByteCount(64 << 20)};
  PduReceiver receiver{pool, 256 << 10};
  TestPlacer placer;
  std::deque<std::byte> stream;
  bool header_digest = false;
  bool data_digest = false;
  std::size_t receives = 0;

  void use_digests(bool header, bool data) {
    header_digest = header;
    data_digest = data;
    receiver.use_digests(header, data);
  }

  // Adds one PDU to the stream and returns its bytes' number.
  std::size_t put(std::uint32_t tag, ByteSpan data, std::size_t ahs_words = 0) {
    ScsiCommandPdu header;
    header.initiator_task_tag = tag;
    header.data_segment_length = static_cast<std::uint32_t>(data.size());
    header.total_ahs_length = static_cast<std::uint8_t>(ahs_words);
    std::vector<std::byte> bytes(header_bytes(header).begin(), header_bytes(header).end());
    bytes.resize(bytes.size() + 4 * ahs_words, std::byte{0xa5});
    const auto append = [&](ByteSpan more) { bytes.insert(bytes.end(), more.begin(), more.end()); };
    if (header_digest) append(digest_bytes(crc32c(bytes)));
    if (!data.empty()) {
      const std::size_t at = bytes.size();
      append(data);
      bytes.resize(bytes.size() + padding_after(static_cast<std::uint32_t>(data.size())));
      if (data_digest) append(digest_bytes(crc32c(ByteSpan(bytes).subspan(at))));
    }
    stream.insert(stream.end(), bytes.begin(), bytes.end());
    return bytes.size();
  }

  // Receives at most `most` bytes of the stream.
  std::size_t receive(std::size_t most = SIZE_MAX) {
    ++receives;
    std::size_t count = 0;
    for (const IoSlice& slice : receiver.plan()) {
      const std::size_t part = std::min({slice.size, stream.size(), most - count});
      std::copy_n(stream.begin(), part, slice.data);
      stream.erase(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(part));
      count += part;
      if (part < slice.size) break;
    }
    EXPECT_GT(count, 0u);
    receiver.received(count);
    return count;
  }
  // What is there already.
  ReceivedPdu* next() {
    Result<ReceivedPdu*> pdu = receiver.next(placer);
    EXPECT_TRUE(pdu.ok());
    return pdu.ok() ? *pdu : nullptr;
  }
};

std::vector<std::byte> random_bytes(Random& random, std::size_t size) {
  std::vector<std::byte> bytes(size);
  random.fill(bytes);
  return bytes;
}

bool is_aligned_to_page(const Buffer& buffer) {
  return reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096 == 0;
}

TEST(PduReceiverTest, AStreamInAnyPiecesGivesThePdusThatWentIn) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed);
    ReceiverLab lab;
    lab.use_digests(random.chance(1, 2), random.chance(1, 2));
    std::deque<std::vector<std::byte>> sent;
    std::uint32_t next_tag = 0;
    std::uint32_t expected_tag = 0;
    for (int round = 0; round < 200; ++round) {
      const std::uint64_t burst = random.below(12);
      const std::size_t usual = random.chance(1, 3) ? 0 : random.below(9000);
      for (std::uint64_t i = 0; i < burst; ++i) {
        const std::size_t size = random.chance(1, 4) ? random.below(70'000) : usual;
        sent.push_back(random_bytes(random, size));
        lab.put(next_tag++, sent.back(), random.chance(1, 8) ? random.below(40) : 0);
      }
      while (!lab.stream.empty()) {
        lab.receive(random.chance(1, 2) ? SIZE_MAX : 1 + random.below(10'000));
        while (ReceivedPdu* pdu = lab.next()) {
          ASSERT_FALSE(sent.empty());
          ASSERT_EQ(pdu->as<ScsiCommandPdu>().initiator_task_tag, expected_tag++) << seed;
          ASSERT_EQ(pdu->payload, ReceivedPdu::Payload::kWhole) << seed;
          ASSERT_TRUE(std::ranges::equal(pdu->data_segment(), sent.front())) << seed;
          if (!sent.front().empty()) {
            ASSERT_TRUE(is_aligned_to_page(pdu->data)) << seed;
          }
          sent.pop_front();
        }
      }
    }
    EXPECT_TRUE(sent.empty()) << seed;
  }
}

// 4 KiB writes as they stream in: nothing is copied, one receive takes many of them.
TEST(PduReceiverTest, ASteadyStreamOfWritesIsNotCopied) {
  for (const bool digests : {false, true}) {
    ReceiverLab lab;
    lab.use_digests(digests, digests);
    Random random(1);
    std::uint64_t moved_at_first = 0;
    std::size_t pdus = 0;
    for (int round = 0; round < 100; ++round) {
      for (std::uint32_t i = 0; i < 8; ++i) lab.put(i, random_bytes(random, 4096));
      std::vector<Buffer> kept;
      while (!lab.stream.empty()) {
        lab.receive();
        while (ReceivedPdu* pdu = lab.next()) {
          ++pdus;
          kept.push_back(std::move(pdu->data));
        }
      }
      if (round == 4) {
        moved_at_first = lab.receiver.bytes_moved();
        lab.receives = 0;
      }
    }
    EXPECT_EQ(pdus, 800u);
    EXPECT_EQ(lab.receiver.bytes_moved(), moved_at_first) << digests;
    EXPECT_LE(lab.receives, 95u * 2);
  }
}

TEST(PduReceiverTest, OneWriteAtATimeIsNotCopiedEither) {
  ReceiverLab lab;
  Random random(1);
  for (std::uint32_t i = 0; i < 10; ++i) {
    const std::uint64_t before = lab.receiver.bytes_moved();
    lab.put(i, random_bytes(random, 4096));
    while (!lab.stream.empty()) lab.receive();
    ASSERT_NE(lab.next(), nullptr);
    if (i > 0) {
      EXPECT_EQ(lab.receiver.bytes_moved(), before) << i;
    }
  }
}

TEST(PduReceiverTest, ASyncAfterEveryWriteDoesNotSpoilTheGuess) {
  ReceiverLab lab;
  Random random(1);
  std::uint64_t moved = 0;
  for (std::uint32_t i = 0; i < 20; ++i) {
    lab.put(i, i % 2 == 0 ? random_bytes(random, 4096) : std::vector<std::byte>());
    while (!lab.stream.empty()) lab.receive();
    ASSERT_NE(lab.next(), nullptr);
    if (i == 0) moved = lab.receiver.bytes_moved();
  }
  EXPECT_EQ(lab.receiver.bytes_moved(), moved);
}

TEST(PduReceiverTest, ManyPlainCommandsComeWithOneReceive) {
  ReceiverLab lab;
  for (std::uint32_t i = 0; i < 128; ++i) lab.put(i, {});
  lab.receive();
  std::uint32_t count = 0;
  while (lab.next() != nullptr) ++count;
  EXPECT_EQ(count, 128u);
}

// 256 KiB at a time into the buffer of a command, as in Data-Out: the payload and the next header
// come with one receive, straight into place.
TEST(PduReceiverTest, LargePayloadGoesStraightToWhereItIsWanted) {
  constexpr std::uint32_t kPart = 256 << 10;
  ReceiverLab lab;
  Random random(1);
  Buffer whole = lab.pool.allocate(ByteCount(8 * kPart)).value();
  lab.placer.kind = Kind::kInto;
  std::uint64_t moved = 0;
  for (std::uint32_t i = 0; i < 8; ++i) {
    const std::vector<std::byte> part = random_bytes(random, kPart);
    lab.put(i, part);
    lab.placer.buffer = whole.share();
    lab.placer.offset = std::size_t{i} * kPart;
    ReceivedPdu* pdu = lab.next();
    while (pdu == nullptr) {
      lab.receive();
      pdu = lab.next();
    }
    EXPECT_EQ(pdu->data.data(), whole.data());
    EXPECT_TRUE(std::ranges::equal(pdu->data_segment(), part));
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.data() + std::size_t{i} * kPart));
    if (i == 0) moved = lab.receiver.bytes_moved();
  }
  EXPECT_EQ(lab.receiver.bytes_moved(), moved);
  EXPECT_LE(moved, PduReceiver::kStagingSize);
}

TEST(PduReceiverTest, DroppedPayloadTakesNoMemory) {
  ReceiverLab lab;
  Random random(1);
  lab.placer.kind = Kind::kNowhere;
  for (std::uint32_t i = 0; i < 3; ++i) {
    lab.put(i, random_bytes(random, 200'000));
    ReceivedPdu* pdu = nullptr;
    while ((pdu = lab.next()) == nullptr) lab.receive();
    EXPECT_EQ(pdu->payload, ReceivedPdu::Payload::kDropped);
    EXPECT_EQ(lab.pool.statistics().buffers, 0u);
  }
}

TEST(PduReceiverTest, WithoutMemoryAPayloadIsDroppedAndTheStreamGoesOn) {
  BufferPool tight("tight", ByteCount(2 << 20));
  const Buffer hog = tight.allocate(ByteCount(2 << 20)).value();
  PduReceiver receiver(tight, 256 << 10);
  TestPlacer placer;
  ReceiverLab source;
  Random random(1);
  source.put(1, random_bytes(random, 5000));
  source.put(2, {});
  std::vector<std::uint32_t> tags;
  while (tags.size() < 2) {
    Result<ReceivedPdu*> pdu = receiver.next(placer);
    ASSERT_TRUE(pdu.ok());
    if (*pdu != nullptr) {
      tags.push_back((*pdu)->as<ScsiCommandPdu>().initiator_task_tag);
      EXPECT_EQ((*pdu)->payload,
                tags.size() == 1 ? ReceivedPdu::Payload::kNoMemory : ReceivedPdu::Payload::kWhole);
      continue;
    }
    std::size_t count = 0;
    for (const IoSlice& slice : receiver.plan()) {
      const std::size_t part = std::min(slice.size, source.stream.size());
      std::copy_n(source.stream.begin(), part, slice.data);
      source.stream.erase(source.stream.begin(),
                          source.stream.begin() + static_cast<std::ptrdiff_t>(part));
      count += part;
    }
    receiver.received(count);
  }
  EXPECT_EQ(tags, (std::vector<std::uint32_t>{1, 2}));
}

TEST(PduReceiverTest, ABadHeaderDigestEndsTheStream) {
  ReceiverLab lab;
  lab.use_digests(true, false);
  lab.put(1, {});
  lab.stream[20] ^= std::byte{1};
  lab.receive();
  Result<ReceivedPdu*> pdu = lab.receiver.next(lab.placer);
  ASSERT_FALSE(pdu.ok());
  EXPECT_EQ(pdu.error().code(), ErrorCode::kDataLoss);
}

TEST(PduReceiverTest, ABadDataDigestIsToldWithThePdu) {
  ReceiverLab lab;
  lab.use_digests(true, true);
  Random random(1);
  for (std::uint32_t i = 0; i < 4; ++i) {
    const std::size_t size = lab.put(i, random_bytes(random, 1001));
    if (i == 2) lab.stream[lab.stream.size() - size + 52 + 500] ^= std::byte{1};
  }
  std::vector<bool> good;
  while (good.size() < 4) {
    ReceivedPdu* pdu = lab.next();
    if (pdu == nullptr) {
      lab.receive();
    } else {
      good.push_back(pdu->payload == ReceivedPdu::Payload::kWhole);
    }
  }
  EXPECT_EQ(good, (std::vector<bool>{true, true, false, true}));
}

TEST(PduReceiverTest, ADataSegmentThatIsLongerThanAgreedEndsTheStream) {
  ReceiverLab lab;
  lab.receiver.set_data_segment_max(8192);
  ScsiCommandPdu header;
  header.data_segment_length = 8193;
  const HeaderSpan bytes = header_bytes(header);
  lab.stream.assign(bytes.begin(), bytes.end());
  lab.receive();
  Result<ReceivedPdu*> pdu = lab.receiver.next(lab.placer);
  ASSERT_FALSE(pdu.ok());
  EXPECT_EQ(pdu.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(lab.placer.asked, 0);
}

TEST(PduReceiverTest, AConnectionThatIsHandedOverGoesOnWithWhatWasRead) {
  ReceiverLab lab;
  Random random(1);
  const std::vector<std::byte> data = random_bytes(random, 600);
  lab.put(1, data);
  lab.put(2, data);
  lab.put(3, {});
  lab.receive();
  ASSERT_NE(lab.next(), nullptr);
  std::vector<std::byte> unread;
  lab.receiver.append_unread(unread);

  PduReceiver other(lab.pool, 8192);
  other.preload(unread);
  for (const std::uint32_t tag : {2u, 3u}) {
    Result<ReceivedPdu*> pdu = other.next(lab.placer);
    ASSERT_TRUE(pdu.ok() && *pdu != nullptr);
    EXPECT_EQ((*pdu)->as<ScsiCommandPdu>().initiator_task_tag, tag);
  }
  Result<ReceivedPdu*> none = other.next(lab.placer);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(*none, nullptr);
  EXPECT_FALSE(other.plan().empty());
}

TEST(PduReceiverTest, AnIdleStreamHoldsNoGuesses) {
  ReceiverLab lab;
  Random random(1);
  for (std::uint32_t i = 0; i < 8; ++i) lab.put(i, random_bytes(random, 4096));
  while (!lab.stream.empty()) {
    lab.receive();
    while (lab.next() != nullptr) {
    }
  }
  (void)lab.receiver.plan();
  EXPECT_GT(lab.pool.statistics().buffers, 0u);
  lab.receiver.received(0);
  for (std::uint32_t i = 0; i < 20; ++i) {
    lab.put(i, {});
    lab.receive();
    while (lab.next() != nullptr) {
    }
  }
  (void)lab.receiver.plan();
  EXPECT_EQ(lab.pool.statistics().buffers, 0u);
}

}  // namespace
}  // namespace ashlar::iscsi
