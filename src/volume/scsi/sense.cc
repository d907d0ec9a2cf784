#include "volume/scsi/sense.h"

#include <algorithm>

#include "common/base/check.h"

namespace ashlar::scsi {

namespace {

// SPC-4, 4.5.1: current errors; deferred ones are never given.
constexpr std::uint8_t kFixedCurrent = 0x70;
constexpr std::uint8_t kDescriptorCurrent = 0x72;
constexpr std::uint8_t kInformationDescriptor = 0x00;
constexpr std::uint8_t kSpecificDescriptor = 0x02;

std::size_t encode_fixed(const Sense& sense, MutableByteSpan into) {
  constexpr std::size_t kSize = 18;
  const MutableByteSpan out = into.first(kSize);
  const bool has_information =
      sense.information.has_value() && *sense.information <= std::uint64_t{UINT32_MAX};
  out[0] = std::byte{static_cast<std::uint8_t>(kFixedCurrent | (has_information ? 0x80 : 0))};
  out[2] = static_cast<std::byte>(sense.key);
  if (has_information) store_be32(out, 3, static_cast<std::uint32_t>(*sense.information));
  out[7] = std::byte{kSize - 8};
  out[12] = std::byte{sense.asc.code};
  out[13] = std::byte{sense.asc.qualifier};
  if (sense.specific) {
    std::transform(sense.specific->begin(), sense.specific->end(), out.begin() + 15,
                   [](std::uint8_t value) { return std::byte{value}; });
  }
  return kSize;
}

std::size_t encode_descriptor(const Sense& sense, MutableByteSpan into) {
  ByteWriter out(into);
  out.u8(kDescriptorCurrent);
  out.u8(static_cast<std::uint8_t>(sense.key));
  out.u8(sense.asc.code);
  out.u8(sense.asc.qualifier);
  out.zeros(4);
  if (sense.information) {
    out.u8(kInformationDescriptor);
    out.u8(0x0a);
    out.u8(0x80);  // VALID
    out.u8(0);
    out.u64_be(*sense.information);
  }
  if (sense.specific) {
    out.u8(kSpecificDescriptor);
    out.u8(0x06);
    out.zeros(2);
    for (const std::uint8_t value : *sense.specific) out.u8(value);
    out.u8(0);
  }
  ASHLAR_CHECK(!out.failed());
  into[7] = static_cast<std::byte>(out.position() - 8);
  return out.position();
}

}  // namespace

SenseKeySpecific field_pointer(FieldPlace place, std::size_t byte, std::optional<unsigned> bit) {
  constexpr unsigned kSksv = 0x80;
  unsigned first = kSksv;
  if (place == FieldPlace::kCdb) first |= 0x40;
  if (bit) first |= 0x08 | (*bit & 7);
  // A place that does not fit is told as the last one that does.
  const std::size_t told = std::min<std::size_t>(byte, 0xffff);
  return {static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(told >> 8),
          static_cast<std::uint8_t>(told)};
}

SenseKeySpecific progress_indication(std::uint16_t done) {
  return {0x80, static_cast<std::uint8_t>(done >> 8), static_cast<std::uint8_t>(done)};
}

std::size_t encode_sense(const Sense& sense, SenseFormat format, MutableByteSpan into) {
  ASHLAR_CHECK(into.size() >= kLongestSense, "{} bytes for sense data", into.size());
  std::ranges::fill(into, std::byte{0});
  return format == SenseFormat::kFixed ? encode_fixed(sense, into) : encode_descriptor(sense, into);
}

}  // namespace ashlar::scsi
