#include "volume/iscsi/pdu_receiver.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "volume/iscsi/digest.h"

namespace ashlar::iscsi {
namespace {

// After so many PDUs without a payload none is guessed any more.
constexpr std::size_t kPatience = 16;

}  // namespace

PduReceiver::PduReceiver(BufferPool& pool, std::uint32_t data_segment_max)
    : pool_(pool),
      data_segment_max_(data_segment_max),
      staging_(std::make_unique_for_overwrite<std::byte[]>(kStagingSize)) {}

// --- the plan ---

// Bytes of the stream that come before the next payload could begin, as far as is known.
std::size_t PduReceiver::small_bytes_before_payload() const {
  const std::size_t header = kHeaderSize + (header_digest_ ? kDigestSize : 0);
  switch (phase_) {
    case Phase::kHeader: {
      const bool unsized_digest = !head_is_sized_ && header_digest_;
      return head_need_ - head_have_ + (unsized_digest ? kDigestSize : 0);
    }
    case Phase::kPayload:
      return trailer_size(pdu_.data_length) + header;
    case Phase::kDropping:
      return kStagingSize;
    case Phase::kTrailer:  // never with an empty data segment: such a PDU is over
      return trailer_size(pdu_.data_length) - trailer_have_ + header;
  }
  return header;
}

void PduReceiver::add_staging(std::size_t size) {
  Segment& segment = segments_[segment_count_];
  segment.data = staging_.get() + staging_used_;
  segment.size = std::min(size, kStagingSize - staging_used_);
  staging_used_ += segment.size;
  slices_[segment_count_++] = IoSlice(MutableByteSpan(segment.data, segment.size));
}

void PduReceiver::collect_spares() {
  for (std::size_t i = 0; i < segment_count_; ++i) {
    Segment& segment = segments_[i];
    const bool is_spare = !segment.buffer.empty() && !std::exchange(segment.is_taken, false) &&
                          segment.buffer.size() == predicted_ && spare_count_ < kPlannedPayloads;
    if (is_spare) spares_[spare_count_++] = std::move(segment.buffer);
    segment.buffer.reset();
  }
  segment_count_ = 0;
}

Buffer PduReceiver::take_spare(std::size_t size) {
  while (spare_count_ > 0) {
    Buffer spare = std::move(spares_[--spare_count_]);
    if (spare.size() == size) return spare;
  }
  Result<Buffer> fresh = pool_.allocate(ByteCount(size));
  return fresh.ok() ? std::move(*fresh) : Buffer();
}

// How many payloads the next receive may bring: twice as many when the last one filled its plan,
// fewer and fewer when it did not.
void PduReceiver::adapt_guesses() {
  const std::size_t most = std::min(kPlannedPayloads, kPlannedMost / predicted_);
  const std::size_t wanted =
      was_filled_ ? 2 * guesses_ : std::max(payloads_ + payloads_ / 2, guesses_ * 3 / 4);
  guesses_ = std::clamp<std::size_t>(wanted, 1, most);
}

// Header, payload, header, payload, …
void PduReceiver::add_guesses(std::size_t small) {
  adapt_guesses();
  const std::size_t count = guesses_;
  const std::size_t between = trailer_size(static_cast<std::uint32_t>(predicted_)) + kHeaderSize +
                              (header_digest_ ? kDigestSize : 0);
  for (std::size_t i = 0; i < count; ++i) {
    Buffer buffer = take_spare(predicted_);
    if (buffer.empty()) break;
    add_staging(small);
    Segment& segment = segments_[segment_count_];
    segment.data = buffer.data();
    segment.size = buffer.size();
    segment.buffer = std::move(buffer);
    slices_[segment_count_++] = IoSlice(MutableByteSpan(segment.data, segment.size));
    small = between;
  }
  if (segment_count_ == (first_is_direct_ ? 1u : 0u)) add_staging(kStagingSize);
}

std::span<const IoSlice> PduReceiver::plan() {
  ASHLAR_CHECK_EQ(left_, 0u);
  collect_spares();
  staging_used_ = 0;
  first_is_direct_ = phase_ == Phase::kPayload && payload_have_ < pdu_.data_length;
  if (first_is_direct_) {
    Segment& segment = segments_[0];
    segment.data = pdu_.data.data() + pdu_.offset + payload_have_;
    segment.size = pdu_.data_length - payload_have_;
    slices_[segment_count_++] = IoSlice(MutableByteSpan(segment.data, segment.size));
  }
  const std::size_t small = small_bytes_before_payload();
  if (phase_ == Phase::kDropping || predicted_ == 0) {
    while (spare_count_ > 0) spares_[--spare_count_].reset();
    add_staging(kStagingSize);
  } else if (predicted_ > kPredictedMost) {
    add_staging(small);
  } else {
    add_guesses(small);
  }
  planned_ = 0;
  for (std::size_t i = 0; i < segment_count_; ++i) planned_ += segments_[i].size;
  return std::span(slices_).first(segment_count_);
}

void PduReceiver::received(std::size_t count) {
  was_filled_ = count == planned_;
  left_ = count;
  segment_ = 0;
  at_ = 0;
  payloads_ = 0;
  if (!first_is_direct_) return;
  const std::size_t direct = std::min(count, segments_[0].size);
  payload_have_ += direct;
  left_ -= direct;
  segment_ = 1;
}

// --- what was received ---

std::size_t PduReceiver::available() const {
  return left_ == 0 ? 0 : std::min(left_, segments_[segment_].size - at_);
}

ByteSpan PduReceiver::peek() const {
  const std::size_t count = available();
  return count == 0 ? ByteSpan() : ByteSpan(segments_[segment_].data + at_, count);
}

void PduReceiver::advance(std::size_t count) {
  at_ += count;
  left_ -= count;
  if (at_ == segments_[segment_].size) {
    ++segment_;
    at_ = 0;
  }
}

// Headers and trailers are copied together: few bytes, which may be spread over two receives.
bool PduReceiver::fill_small(std::byte* into, std::size_t& have, std::size_t need) {
  while (have < need) {
    const ByteSpan here = peek();
    if (here.empty()) return false;
    const std::size_t count = std::min(here.size(), need - have);
    std::memcpy(into + have, here.data(), count);
    have += count;
    advance(count);
  }
  return true;
}

void PduReceiver::append_unread(std::vector<std::byte>& to) const {
  ASHLAR_CHECK(phase_ == Phase::kHeader && head_have_ == 0, "within a PDU");
  std::size_t left = left_;
  std::size_t at = at_;
  for (std::size_t i = segment_; left > 0; ++i, at = 0) {
    const std::size_t count = std::min(left, segments_[i].size - at);
    to.insert(to.end(), segments_[i].data + at, segments_[i].data + at + count);
    left -= count;
  }
}

void PduReceiver::preload(std::vector<std::byte> bytes) {
  ASHLAR_CHECK_EQ(segment_count_, 0u);
  preloaded_ = std::move(bytes);
  if (preloaded_.empty()) return;
  segments_[segment_count_++] = {preloaded_.data(), preloaded_.size(), {}, false};
  received(preloaded_.size());
}

// --- PDUs ---

Result<ReceivedPdu*> PduReceiver::next(PayloadPlacer& placer) {
  if (phase_ == Phase::kHeader) {
    pdu_.data.reset();
    ASHLAR_TRY_ASSIGN(const bool is_whole, fill_head());
    if (!is_whole) return nullptr;
    begin_payload(placer);
  }
  if (phase_ == Phase::kPayload && !fill_payload()) return nullptr;
  if (phase_ == Phase::kDropping && !drop_payload()) return nullptr;
  const std::size_t trailer = pdu_.data_length == 0 ? 0 : trailer_size(pdu_.data_length);
  if (!fill_small(trailer_.data(), trailer_have_, trailer)) return nullptr;
  finish_pdu();
  return &pdu_;
}

// Header, additional segments, digest.
Result<bool> PduReceiver::fill_head() {
  if (!head_is_sized_) {
    if (!fill_small(head_.data(), head_have_, kHeaderSize)) return false;
    std::memcpy(pdu_.header_bytes.data(), head_.data(), kHeaderSize);
    const auto basic = pdu_.as<BasicHeader>();
    head_need_ =
        kHeaderSize + std::size_t{4} * basic.total_ahs_length + (header_digest_ ? kDigestSize : 0);
    head_is_sized_ = true;
    pdu_.data_length = basic.data_segment_length;
  }
  if (!fill_small(head_.data(), head_have_, head_need_)) return false;
  std::size_t covered = head_need_;
  if (header_digest_) {
    covered -= kDigestSize;
    const ByteSpan head = head_;
    if (!digest_matches(head.subspan(covered), crc32c(head.first(covered)))) {
      return Error::data_loss("a PDU's header does not match its digest");
    }
  }
  if (pdu_.data_length > data_segment_max_) {
    return Error::invalid_argument("a data segment of {} bytes, where {} were agreed",
                                   pdu_.data_length, data_segment_max_);
  }
  pdu_.ahs = ByteSpan(head_).subspan(kHeaderSize, covered - kHeaderSize);
  return true;
}

void PduReceiver::begin_payload(PayloadPlacer& placer) {
  pdu_.payload = ReceivedPdu::Payload::kWhole;
  pdu_.offset = 0;
  payload_have_ = 0;
  trailer_have_ = 0;
  phase_ = Phase::kTrailer;
  if (pdu_.data_length == 0) return;
  PayloadPlacer::Place place = placer.place(pdu_);
  switch (place.kind) {
    case PayloadPlacer::Place::Kind::kOwn:
      begin_own_payload();
      break;
    case PayloadPlacer::Place::Kind::kInto:
      ASHLAR_CHECK(place.offset <= place.buffer.size() &&
                   pdu_.data_length <= place.buffer.size() - place.offset);
      pdu_.data = std::move(place.buffer);
      pdu_.offset = place.offset;
      phase_ = Phase::kPayload;
      break;
    case PayloadPlacer::Place::Kind::kNowhere:
      pdu_.payload = ReceivedPdu::Payload::kDropped;
      phase_ = Phase::kDropping;
      break;
  }
}

// Takes the buffer that the payload has landed in if it is a guessed one that fits.
void PduReceiver::begin_own_payload() {
  phase_ = Phase::kPayload;
  if (left_ > 0 && at_ == 0) {
    Segment& segment = segments_[segment_];
    if (!segment.buffer.empty() && segment.size >= pdu_.data_length) {
      segment.is_taken = true;
      pdu_.data = segment.buffer.slice(0, pdu_.data_length);
      payload_have_ = std::min<std::size_t>(left_, pdu_.data_length);
      advance(payload_have_);
      return;
    }
  }
  Result<Buffer> buffer = pool_.allocate(ByteCount(pdu_.data_length));
  if (buffer.ok()) {
    pdu_.data = std::move(*buffer);
  } else {
    pdu_.payload = ReceivedPdu::Payload::kNoMemory;
    phase_ = Phase::kDropping;
  }
}

bool PduReceiver::fill_payload() {
  while (payload_have_ < pdu_.data_length) {
    const ByteSpan here = peek();
    if (here.empty()) return false;
    const std::size_t count = std::min(here.size(), pdu_.data_length - payload_have_);
    std::memcpy(pdu_.data.data() + pdu_.offset + payload_have_, here.data(), count);
    payload_have_ += count;
    bytes_moved_ += count;
    advance(count);
  }
  phase_ = Phase::kTrailer;
  return true;
}

bool PduReceiver::drop_payload() {
  while (payload_have_ < pdu_.data_length) {
    const std::size_t count = std::min(available(), pdu_.data_length - payload_have_);
    if (count == 0) return false;
    payload_have_ += count;
    advance(count);
  }
  phase_ = Phase::kTrailer;
  return true;
}

void PduReceiver::finish_pdu() {
  const std::uint32_t length = pdu_.data_length;
  if (length > 0 && data_digest_ && pdu_.payload == ReceivedPdu::Payload::kWhole) {
    const std::size_t padding = padding_after(length);
    const ByteSpan trailer = trailer_;
    const std::uint32_t sum = crc32c(trailer.first(padding), crc32c(pdu_.data_segment()));
    if (!digest_matches(trailer.subspan(padding), sum)) {
      pdu_.payload = ReceivedPdu::Payload::kBadDigest;
    }
  }
  phase_ = Phase::kHeader;
  head_have_ = 0;
  head_need_ = kHeaderSize;
  head_is_sized_ = false;
  if (length >= kPredictedLeast) {
    predicted_ = length;
    without_payload_ = 0;
    ++payloads_;
  } else if (++without_payload_ == kPatience) {
    predicted_ = 0;
  }
}

}  // namespace ashlar::iscsi
