// Feeds arbitrary bytes to the parser of the log's batches, with their CRC made right so that it
// gets past it. What is accepted must encode to the same bytes.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/base/crc32c.h"
#include "engine/log_format.h"

namespace ashlar::engine {
namespace {

void run(const std::uint8_t* data, std::size_t size) {
  const ByteSpan input(reinterpret_cast<const std::byte*>(data), size);
  (void)decode_batch_header(input);
  (void)is_attempt_at(input, StoreUuid(), LogPosition(0));
  // The input is what a header begins with; zeros follow.
  std::vector<std::byte> bytes(kBlockSize);
  std::memcpy(bytes.data(), input.data(), std::min(size, bytes.size()));
  store_le64(bytes, 0, kBatchMagic);
  const std::optional<std::size_t> length = peek_header_length(bytes);
  if (!length) return;
  bytes.resize(*length);
  const std::uint32_t front = crc32c(ByteSpan(bytes).first(kBatchCrcOffset));
  store_le32(bytes, kBatchCrcOffset, crc32c(ByteSpan(bytes).subspan(kBatchCrcOffset + 4), front));
  const Result<Batch> batch = decode_batch_header(bytes);
  if (!batch.ok()) {
    ASHLAR_CHECK(batch.error().code() == ErrorCode::kDataLoss);
    return;
  }
  std::vector<RecordHeader> records;
  std::vector<std::uint32_t> checksums;
  for (const BatchRecord& record : batch->records) {
    records.push_back(record.header);
    checksums.insert(checksums.end(), record.checksums.begin(), record.checksums.end());
  }
  std::vector<std::byte> again(batch->header.header_length);
  ASHLAR_CHECK_EQ(encode_batch_header(batch->header, records, checksums, again), batch->crc);
  ASHLAR_CHECK(again == bytes);
}

}  // namespace
}  // namespace ashlar::engine

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ashlar::engine::run(data, size);
  return 0;
}
