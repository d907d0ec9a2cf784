// PduReceiver cuts the bytes of a connection into PDUs and lands their data segments where they are
// wanted. It does no I/O: the owner receives into plan() and tells how much came.
//
//   while (true) {
//     ASHLAR_CO_TRY_ASSIGN(ReceivedPdu* pdu, receiver.next(placer));
//     if (pdu != nullptr) { … handle it … continue; }
//     const Result<std::size_t> count = co_await socket.receive(receiver.plan());
//     … receiver.received(*count);
//   }
//
// One receive serves as many PDUs as have arrived, and yet a data segment goes from the socket
// straight into memory that starts on a 4 KiB boundary: the plan is a scatter list shaped like what
// came last, header, buffer, header, buffer, … A stream of plain commands is one run of headers, a
// stream of 4 KiB writes lands each payload in a buffer of its own. Where the guess was wrong the
// bytes are moved once, and counted (bytes_moved). Data segments above kPredictedMost are not
// guessed: their header comes alone, then the payload and the next header with one receive.
//
// Where a data segment goes is asked when its header is known (PayloadPlacer). Bounded: staging of
// kStagingSize, guesses of kPlannedMost, one data segment of at most `data_segment_max`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/result.h"
#include "common/runtime/operation.h"
#include "volume/iscsi/pdu.h"

namespace ashlar::iscsi {

struct ReceivedPdu {
  enum class Payload : std::uint8_t {
    kWhole,      // as it was sent; or there is none
    kBadDigest,  // its digest does not match: the bytes are worth nothing
    kDropped,    // the placer wanted it nowhere
    kNoMemory,   // dropped, for the pool had no room
  };

  std::array<std::byte, kHeaderSize> header_bytes;
  ByteSpan ahs;  // additional header segments, in the receiver's memory
  std::uint32_t data_length = 0;
  Payload payload = Payload::kWhole;
  // The data segment stands at `offset` of it. A buffer of the placer, or one that holds just this.
  Buffer data;
  std::size_t offset = 0;

  template <class Header>
  Header as() const {
    return read_header<Header>(header_bytes);
  }
  Opcode opcode() const {
    return static_cast<Opcode>(std::to_integer<std::uint8_t>(header_bytes[0]) & kOpcodeMask);
  }
  ByteSpan data_segment() const { return ByteSpan(data.bytes()).subspan(offset, data_length); }
};

// Says where the data segment of a PDU goes.
class PayloadPlacer {
 public:
  struct Place {
    enum class Kind : std::uint8_t {
      kOwn,      // a buffer that starts with it
      kInto,     // `buffer` at `offset`, which has room for it
      kNowhere,  // it is dropped
    };
    Kind kind = Kind::kOwn;
    Buffer buffer;
    std::size_t offset = 0;
  };
  // Header and additional segments of `pdu` are there; its data_length is above 0.
  virtual Place place(const ReceivedPdu& pdu) = 0;

 protected:
  ~PayloadPlacer() = default;
};

class PduReceiver {
 public:
  static constexpr std::size_t kStagingSize = 8 << 10;
  static constexpr std::size_t kPredictedLeast = 512;
  static constexpr std::size_t kPredictedMost = 16 << 10;
  static constexpr std::size_t kPlannedMost = 64 << 10;
  static constexpr std::size_t kPlannedPayloads = 16;

  PduReceiver(BufferPool& pool, std::uint32_t data_segment_max);
  PduReceiver(const PduReceiver&) = delete;
  PduReceiver& operator=(const PduReceiver&) = delete;

  // From the next PDU on.
  void set_data_segment_max(std::uint32_t most) { data_segment_max_ = most; }
  void use_digests(bool header, bool data) {
    header_digest_ = header;
    data_digest_ = data;
  }

  // Where the next bytes of the stream go; asked when next() gave null. Stays until received().
  std::span<const IoSlice> plan();
  void received(std::size_t count);

  // The next PDU, until the next call; null when more bytes have to come. An error means that the
  // stream cannot be read on: kDataLoss for a bad header digest, kInvalidArgument for a data
  // segment that is longer than was agreed.
  Result<ReceivedPdu*> next(PayloadPlacer& placer);

  // Adds the bytes that were received and not yet given by next(), for a connection that is handed
  // over; only between PDUs. And where it goes on, before anything else is received.
  void append_unread(std::vector<std::byte>& to) const;
  void preload(std::vector<std::byte> bytes);

  // Payload that had to be moved to where it is wanted.
  std::uint64_t bytes_moved() const { return bytes_moved_; }

 private:
  enum class Phase : std::uint8_t { kHeader, kPayload, kDropping, kTrailer };

  // A piece of the scatter list that bytes were received into.
  struct Segment {
    std::byte* data = nullptr;
    std::size_t size = 0;
    Buffer buffer;          // a guessed payload's
    bool is_taken = false;  // the buffer belongs to a PDU now
  };

  std::size_t small_bytes_before_payload() const;
  std::size_t trailer_size(std::uint32_t length) const {
    return padding_after(length) + (data_digest_ ? kDigestSize : 0);
  }
  void add_staging(std::size_t size);
  void adapt_guesses();
  void add_guesses(std::size_t small);
  void collect_spares();
  Buffer take_spare(std::size_t size);

  // What was received and not consumed: from `at_` of segment `segment_` on.
  std::size_t available() const;
  ByteSpan peek() const;
  void advance(std::size_t count);
  bool fill_small(std::byte* into, std::size_t& have, std::size_t need);

  Result<bool> fill_head();
  void begin_payload(PayloadPlacer& placer);
  void begin_own_payload();
  bool fill_payload();
  bool drop_payload();
  void finish_pdu();

  BufferPool& pool_;
  std::uint32_t data_segment_max_;
  bool header_digest_ = false;
  bool data_digest_ = false;

  Phase phase_ = Phase::kHeader;
  // Header, additional segments and digest as they come.
  std::array<std::byte, kHeaderSize + 255 * 4 + kDigestSize> head_;
  std::size_t head_have_ = 0;
  std::size_t head_need_ = kHeaderSize;
  bool head_is_sized_ = false;
  std::size_t payload_have_ = 0;
  std::array<std::byte, 3 + kDigestSize> trailer_;
  std::size_t trailer_have_ = 0;
  ReceivedPdu pdu_;

  std::unique_ptr<std::byte[]> staging_;
  std::vector<std::byte> preloaded_;
  std::size_t staging_used_ = 0;
  std::array<Segment, 2 * kPlannedPayloads + 2> segments_;
  std::array<IoSlice, 2 * kPlannedPayloads + 2> slices_;
  std::size_t segment_count_ = 0;
  bool first_is_direct_ = false;  // the first segment is the payload's own place
  std::size_t segment_ = 0;
  std::size_t at_ = 0;
  std::size_t left_ = 0;

  std::array<Buffer, kPlannedPayloads> spares_;
  std::size_t spare_count_ = 0;
  std::size_t predicted_ = 0;        // the payload of the PDUs to come
  std::size_t without_payload_ = 0;  // PDUs in a row
  std::size_t payloads_ = 0;         // of the last receive
  std::size_t guesses_ = 0;          // payloads in the plan
  std::size_t planned_ = 0;          // bytes of the plan
  bool was_filled_ = false;          // all of them, by the last receive
  std::uint64_t bytes_moved_ = 0;
};

}  // namespace ashlar::iscsi
