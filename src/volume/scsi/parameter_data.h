// ParameterData: what a command gives back, put together field by field; lengths that stand before
// what they count are set afterwards.
//
//   ParameterData data;
//   data.u8(0x83);
//   const ParameterData::Length16 length = data.begin_length16();
//   …
//   data.end_length(length);
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"

namespace ashlar::scsi {

class ParameterData {
 public:
  struct Length8 {
    std::size_t at;
  };
  struct Length16 {
    std::size_t at;
  };
  struct Length32 {
    std::size_t at;
  };

  void u8(unsigned value) { bytes_.push_back(static_cast<std::byte>(value)); }
  void be16(std::uint64_t value) { be(value, 2); }
  void be24(std::uint64_t value) { be(value, 3); }
  void be32(std::uint64_t value) { be(value, 4); }
  void be64(std::uint64_t value) { be(value, 8); }
  void zeros(std::size_t count) { bytes_.resize(bytes_.size() + count); }
  void bytes(ByteSpan source) { bytes_.insert(bytes_.end(), source.begin(), source.end()); }
  void text(std::string_view source) { bytes(bytes_of(source)); }
  // ASCII in a field of fixed size, filled up with spaces (SPC-4, 4.3.1).
  void padded(std::string_view source, std::size_t size) {
    text(source.substr(0, size));
    bytes_.resize(bytes_.size() + size - std::min(size, source.size()), std::byte{' '});
  }

  Length8 begin_length8() { return {begin(1)}; }
  Length16 begin_length16() { return {begin(2)}; }
  Length32 begin_length32() { return {begin(4)}; }
  // Counts what was added since.
  void end_length(Length8 length) { end(length.at, 1); }
  void end_length(Length16 length) { end(length.at, 2); }
  void end_length(Length32 length) { end(length.at, 4); }

  std::size_t size() const { return bytes_.size(); }
  ByteSpan span() const { return bytes_; }
  MutableByteSpan span() { return bytes_; }

 private:
  void be(std::uint64_t value, std::size_t size) {
    for (std::size_t i = size; i-- > 0;) u8(static_cast<unsigned>(value >> (8 * i) & 0xff));
  }
  std::size_t begin(std::size_t size) {
    const std::size_t at = bytes_.size();
    zeros(size);
    return at;
  }
  void end(std::size_t at, std::size_t size) {
    std::uint64_t count = bytes_.size() - at - size;
    ASHLAR_CHECK(size == 8 || count >> (8 * size) == 0, "{} bytes in a length of {}", count, size);
    for (std::size_t i = size; i-- > 0; count >>= 8) bytes_[at + i] = static_cast<std::byte>(count);
  }

  std::vector<std::byte> bytes_;
};

}  // namespace ashlar::scsi
