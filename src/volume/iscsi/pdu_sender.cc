#include "volume/iscsi/pdu_sender.h"

#include <cstring>
#include <utility>

#include "volume/iscsi/digest.h"

namespace ashlar::iscsi {

SendBatch::SendBatch() = default;

void SendBatch::add_slice(ByteSpan bytes) {
  if (bytes.empty()) return;
  bytes_ += bytes.size();
  if (slice_count_ > 0) {
    ConstIoSlice& last = slices_[slice_count_ - 1];
    if (last.data + last.size == bytes.data()) {
      last.size += bytes.size();
      return;
    }
  }
  slices_[slice_count_++] = ConstIoSlice(bytes);
}

void SendBatch::add_small(ByteSpan bytes) {
  if (bytes.empty()) return;
  ASHLAR_CHECK_LE(small_used_ + bytes.size(), kSmallSize);
  std::byte* const place = small_.data() + small_used_;
  std::memcpy(place, bytes.data(), bytes.size());
  small_used_ += bytes.size();
  add_slice({place, bytes.size()});
}

void SendBatch::begin_bytes(HeaderSpan header) {
  header_at_ = small_used_;
  payload_length_ = 0;
  payload_sum_ = 0;
  add_small(header);
  // The header is not complete yet; the place of its digest is.
  static constexpr DigestBytes kRoom{};
  if (header_digest_) add_small(kRoom);
}

void SendBatch::add(Buffer payload) {
  if (payload.empty()) return;
  payload_length_ += static_cast<std::uint32_t>(payload.size());
  if (data_digest_) payload_sum_ = crc32c(payload.bytes(), payload_sum_);
  add_slice(payload.bytes());
  kept_[kept_count_++] = std::move(payload);
}

void SendBatch::add_copy(ByteSpan payload) {
  ASHLAR_CHECK_LE(payload.size(), kSmallPayload);
  payload_length_ += static_cast<std::uint32_t>(payload.size());
  if (data_digest_) payload_sum_ = crc32c(payload, payload_sum_);
  add_small(payload);
}

void SendBatch::end() {
  static constexpr std::array<std::byte, 3> kPadding{};
  const MutableByteSpan header = std::span(small_).subspan(header_at_, kHeaderSize);
  store_be24(header, offsetof(BasicHeader, data_segment_length), payload_length_);
  if (header_digest_) {
    const DigestBytes digest = digest_bytes(crc32c(header));
    std::memcpy(small_.data() + header_at_ + kHeaderSize, digest.data(), digest.size());
  }
  if (payload_length_ == 0) return;
  add_small(ByteSpan(kPadding).first(padding_after(payload_length_)));
  if (data_digest_) add_small(digest_bytes(padded_crc32c(payload_sum_, payload_length_)));
}

void SendBatch::clear() {
  for (std::size_t i = 0; i < kept_count_; ++i) kept_[i].reset();
  small_used_ = 0;
  slice_count_ = 0;
  kept_count_ = 0;
  bytes_ = 0;
}

Task<Result<>> PduSender::run(Connection& socket) {
  SendBatch& batch = *batch_;
  while (true) {
    while (queue_.empty()) {
      if (is_finishing_) co_return {};
      wake_.reset();
      ASHLAR_CO_TRY(co_await wake_.wait());
    }
    while (!queue_.empty() && batch.has_room(2)) {
      OutgoingPdus& first = queue_.pop_front();
      if (!first.produce(batch)) queue_.push_front(first);
    }
    ++sends_;
    ASHLAR_CO_TRY(co_await socket.send(batch.slices()));
    batch.clear();
  }
}

}  // namespace ashlar::iscsi
