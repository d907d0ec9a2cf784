// Feeds arbitrary bytes to what reads PDUs: headers of every opcode, and additional headers. What
// is read is written back byte for byte, and additional headers lie within what was given.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/check.h"
#include "volume/iscsi/ahs.h"
#include "volume/iscsi/digest.h"
#include "volume/iscsi/pdu.h"

namespace ashlar::iscsi {
namespace {

template <class Header>
void round_trip(HeaderSpan bytes) {
  const auto header = read_header<Header>(bytes);
  ASHLAR_CHECK(std::memcmp(header_bytes(header).data(), bytes.data(), kHeaderSize) == 0);
  // Each number, taken out and put back, is the same bytes.
  Header copy = header;
  copy.data_segment_length = std::uint32_t{header.data_segment_length};
  copy.initiator_task_tag = std::uint32_t{header.initiator_task_tag};
  ASHLAR_CHECK(std::memcmp(header_bytes(copy).data(), bytes.data(), kHeaderSize) == 0);
}

void read_headers(HeaderSpan bytes) {
  round_trip<BasicHeader>(bytes);
  round_trip<NopOutPdu>(bytes);
  round_trip<ScsiCommandPdu>(bytes);
  round_trip<TaskManagementRequestPdu>(bytes);
  round_trip<LoginRequestPdu>(bytes);
  round_trip<TextRequestPdu>(bytes);
  round_trip<DataOutPdu>(bytes);
  round_trip<LogoutRequestPdu>(bytes);
  round_trip<SnackRequestPdu>(bytes);
  const auto header = read_header<BasicHeader>(bytes);
  ASHLAR_CHECK(!to_string(opcode_of(header)).empty());
  ASHLAR_CHECK(with_padding(header.data_segment_length) % 4 == 0);
  ASHLAR_CHECK(is_initiator_opcode(opcode_of(header)) ||
               to_string(opcode_of(header)) == "unknown opcode" || header.opcode & 0x20);
}

void read_additional(ByteSpan bytes) {
  const auto parsed = parse_ahs(bytes);
  if (!parsed.ok()) {
    ASHLAR_CHECK(parsed.error().code() == ErrorCode::kInvalidArgument);
    return;
  }
  const ByteSpan cdb = parsed->extended_cdb;
  ASHLAR_CHECK(cdb.size() <= 244);
  ASHLAR_CHECK(cdb.empty() || (cdb.data() >= bytes.data() &&
                               cdb.data() + cdb.size() <= bytes.data() + bytes.size()));
  // All of it counts for the checksum, so that the sanitizer sees a span that is too long.
  (void)crc32c(cdb);
}

void run(const std::uint8_t* data, std::size_t size) {
  // Memory of its own, so that reading one byte too far is seen.
  std::vector<std::byte> bytes(size);
  if (size != 0) std::memcpy(bytes.data(), data, size);
  if (size >= kHeaderSize) {
    read_headers(HeaderSpan(ByteSpan(bytes).first(kHeaderSize)));
    read_additional(ByteSpan(bytes).subspan(kHeaderSize));
  } else {
    read_additional(bytes);
  }
}

}  // namespace
}  // namespace ashlar::iscsi

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ashlar::iscsi::run(data, size);
  return 0;
}
