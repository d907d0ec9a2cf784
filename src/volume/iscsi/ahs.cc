#include "volume/iscsi/ahs.h"

namespace ashlar::iscsi {
namespace {

constexpr std::uint8_t kExtendedCdb = 1;
constexpr std::uint8_t kBidiReadLength = 2;
constexpr std::size_t kLongestExtension = 260 - 16;  // SPC-4: a CDB has at most 260 bytes

}  // namespace

Result<AdditionalHeaders> parse_ahs(ByteSpan bytes) {
  AdditionalHeaders headers;
  ByteReader reader(bytes);
  while (reader.remaining() > 0) {
    const std::uint16_t length = reader.u16_be();  // of what follows the type, without padding
    const std::uint8_t type = reader.u8();
    const ByteSpan content = reader.bytes(length);
    if (reader.failed()) return Error::invalid_argument("an additional header is cut short");
    switch (type) {
      case kExtendedCdb:
        // One reserved byte, then the rest of the CDB.
        if (!headers.extended_cdb.empty()) {
          return Error::invalid_argument("two extended CDBs in one command");
        }
        if (length < 2 || length - 1u > kLongestExtension) {
          return Error::invalid_argument("an extended CDB header of {} bytes", length);
        }
        headers.extended_cdb = content.subspan(1);
        break;
      case kBidiReadLength:
        if (headers.bidi_read_length) {
          return Error::invalid_argument("two bidirectional read lengths in one command");
        }
        if (length != 5) {
          return Error::invalid_argument("a bidirectional read length of {} bytes", length);
        }
        headers.bidi_read_length = load_be32(content, 1);
        break;
      default:
        return Error::invalid_argument("additional header of unknown type {}", type);
    }
    reader.skip((4 - (reader.position() & 3)) & 3);
    if (reader.failed()) return Error::invalid_argument("an additional header is not padded");
  }
  return headers;
}

}  // namespace ashlar::iscsi
