// Responses that handlers give, by name; and the one table from our errors to SCSI's words.
#pragma once

#include "common/base/buffer.h"
#include "common/base/result.h"
#include "volume/scsi/command.h"
#include "volume/scsi/sense_codes.h"

namespace ashlar::scsi {

inline Response good() {
  return {};
}
Response status_only(Status status);
Response check_condition(SenseKey key, Asc code);
Response check_condition(Sense sense);
inline Response illegal_request(Asc code) {
  return check_condition(SenseKey::kIllegalRequest, code);
}
// INVALID FIELD IN CDB or IN PARAMETER LIST, pointing at the first byte (and the leftmost bit) that
// is wrong.
Response invalid_cdb(std::size_t byte, std::optional<unsigned> bit = std::nullopt);
Response invalid_parameter(std::size_t byte, std::optional<unsigned> bit = std::nullopt);
Response invalid_parameter(Asc code, std::size_t byte, std::optional<unsigned> bit = std::nullopt);

// The first `allocation_length` bytes of what a command has to say, in a buffer of `pool`; BUSY
// when there is no memory for it.
Response data_in(BufferPool& pool, ByteSpan bytes, std::uint64_t allocation_length);

// What the command was about when the error came up: the same error can mean two things.
enum class Doing : std::uint8_t { kReading, kWriting, kFetching };

// The one place that turns our errors into status and sense (DESIGN P6, L66): a closed gate, lost
// races and lack of memory are retryable, lack of disk space is SPACE ALLOCATION FAILED, and only
// bytes that cannot be had are a MEDIUM ERROR.
Response response_to(const Error& error, Doing doing);

}  // namespace ashlar::scsi
