// PduSender: what a connection has to say, in order, with few system calls. Whoever has PDUs to
// send stands in its queue (OutgoingPdus) and is asked for them one by one when the socket can take
// more; all that is ready goes out with one send, headers and payloads in one scatter list. Payload
// is never copied: its buffers are kept until the send is over.
//
// Headers of answers are made when they are sent, so StatSN follows the order on the wire and the
// command window is told as it is then.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/base/buffer.h"
#include "common/base/intrusive_list.h"
#include "common/runtime/network.h"
#include "common/runtime/sync.h"
#include "common/runtime/task.h"
#include "volume/iscsi/pdu.h"

namespace ashlar::iscsi {

// The PDUs of one send.
class SendBatch {
 public:
  SendBatch();

  void use_digests(bool header, bool data) {
    header_digest_ = header;
    data_digest_ = data;
  }

  // Room for one more PDU with `buffers` pieces of payload, and still worth adding to.
  bool has_room(std::size_t buffers = 1) const {
    return small_used_ + kSmallPerPdu <= kSmallSize && slice_count_ + 2 + buffers <= kSlices &&
           kept_count_ + buffers <= kKept && bytes_ < kBytes;
  }

  // One PDU: its header, then the pieces of its data segment, then end(). data_segment_length is
  // filled in by end().
  template <class Header>
  void begin(const Header& header) {
    begin_bytes(header_bytes(header));
  }
  void add(Buffer payload);
  // Few bytes (kSmallPayload at most), which are copied.
  void add_copy(ByteSpan payload);
  void end();

  std::span<const ConstIoSlice> slices() const { return std::span(slices_).first(slice_count_); }
  std::size_t bytes() const { return bytes_; }
  bool empty() const { return slice_count_ == 0; }
  void clear();

  static constexpr std::size_t kSmallPayload = 128;

 private:
  static constexpr std::size_t kSmallPerPdu = kHeaderSize + kSmallPayload + 2 * kDigestSize + 3;
  static constexpr std::size_t kSmallSize = 8 << 10;
  static constexpr std::size_t kSlices = 256;
  static constexpr std::size_t kKept = 128;
  static constexpr std::size_t kBytes = 1 << 20;

  void begin_bytes(HeaderSpan header);
  void add_small(ByteSpan bytes);
  void add_slice(ByteSpan bytes);

  std::array<std::byte, kSmallSize> small_;  // headers, digests, padding, short payloads
  std::array<ConstIoSlice, kSlices> slices_;
  std::array<Buffer, kKept> kept_;
  std::size_t small_used_ = 0;
  std::size_t slice_count_ = 0;
  std::size_t kept_count_ = 0;
  std::size_t bytes_ = 0;
  std::size_t header_at_ = 0;
  std::uint32_t payload_length_ = 0;
  std::uint32_t payload_sum_ = 0;
  bool header_digest_ = false;
  bool data_digest_ = false;
};

class OutgoingPdus : public ListHook<struct OutgoingTag> {
 public:
  // Adds the next PDU; the batch has room for one with two pieces of payload. True when it was the
  // last: the sender does not touch this object any more.
  virtual bool produce(SendBatch& batch) = 0;

 protected:
  ~OutgoingPdus() = default;
};

class PduSender {
 public:
  PduSender() : batch_(std::make_unique<SendBatch>()) {}

  void use_digests(bool header, bool data) { batch_->use_digests(header, data); }

  // `pdus` stays until it was asked for its last PDU, or is unlinked.
  void push(OutgoingPdus& pdus) {
    queue_.push_back(pdus);
    wake_.set();
  }
  // After what is in the queue nothing more comes: run() then ends.
  void finish() {
    is_finishing_ = true;
    wake_.set();
  }

  // Sends until finish() and an empty queue, an error, or cancellation.
  Task<Result<>> run(Connection& socket);

  std::uint64_t sends() const { return sends_; }

 private:
  IntrusiveList<OutgoingPdus, OutgoingTag> queue_;
  Event wake_;
  bool is_finishing_ = false;
  std::unique_ptr<SendBatch> batch_;
  std::uint64_t sends_ = 0;
};

}  // namespace ashlar::iscsi
