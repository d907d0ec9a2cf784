#include "volume/scsi/transport_id.h"

#include <charconv>
#include <string_view>

#include <fmt/format.h>

namespace ashlar::scsi {

namespace {

constexpr unsigned kProtocolIscsi = 0x5;
constexpr unsigned kFormatWithIsid = 0x40;
constexpr std::string_view kSeparator = ",i,0x";
constexpr std::size_t kSmallestText = 20;  // SPC-4: ADDITIONAL LENGTH is at least 20

}  // namespace

void append_transport_id(ParameterData& data, const InitiatorPort& port) {
  data.u8(kFormatWithIsid | kProtocolIscsi);
  data.u8(0);
  const ParameterData::Length16 length = data.begin_length16();
  const std::size_t begin = data.size();
  data.text(port.name);
  data.text(fmt::format("{}{:012x}", kSeparator, port.isid & 0xffff'ffff'ffff));
  data.u8(0);
  std::size_t size = data.size() - begin;
  while (size % 4 != 0 || size < kSmallestText) {
    data.u8(0);
    ++size;
  }
  data.end_length(length);
}

std::optional<ParsedTransportId> parse_transport_id(ByteSpan bytes) {
  ByteReader reader(bytes);
  const unsigned format_and_protocol = reader.u8();
  reader.skip(1);
  const std::uint16_t length = reader.u16_be();
  const ByteSpan text_bytes = reader.bytes(length);
  if (reader.failed() || format_and_protocol != (kFormatWithIsid | kProtocolIscsi) ||
      length % 4 != 0 || length < kSmallestText) {
    return std::nullopt;
  }
  std::string_view text = text_of(text_bytes);
  const std::size_t end = text.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  text = text.substr(0, end);
  const std::size_t separator = text.find(kSeparator);
  if (separator == std::string_view::npos || separator == 0 ||
      separator > InitiatorPort::kLongestName) {
    return std::nullopt;
  }
  const std::string_view digits = text.substr(separator + kSeparator.size());
  std::uint64_t isid = 0;
  const char* const last = digits.data() + digits.size();
  const std::from_chars_result read = std::from_chars(digits.data(), last, isid, 16);
  if (digits.empty() || digits.size() > 12 || read.ec != std::errc() || read.ptr != last) {
    return std::nullopt;
  }
  return ParsedTransportId{{std::string(text.substr(0, separator)), isid}, reader.position()};
}

}  // namespace ashlar::scsi
