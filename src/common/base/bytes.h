// Bytes in memory and the numbers in them, for formats and protocols.
//
//   load_be32(header, 16), store_le64(sector, 8, lsn.value())   a number at a fixed place; a place
//                          outside the span is a fatal check, for the layout is ours
//   ByteReader, ByteWriter one field after the other, for input whose length is not ours: going
//                          past the end sets a flag that sticks, and what is read after it is 0 or
//                          empty. Read all fields straight down, then ask failed() once, before
//                          believing any of them:
//
//     ByteReader reader(pdu);
//     const auto length = reader.u24_be();
//     const auto name = reader.bytes(length);
//     if (reader.failed()) return Error::invalid_argument("login request is cut short");
//
//   align_up, align_down, is_aligned   to powers of two, for sizes and log positions; checked
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "common/base/check.h"
#include "common/base/strong.h"

namespace ashlar {

using ByteSpan = std::span<const std::byte>;
using MutableByteSpan = std::span<std::byte>;

inline ByteSpan bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}
inline std::string_view text_of(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

namespace detail {

template <class T>
constexpr T byte_swapped(T value) {
  static_assert(std::is_unsigned_v<T>);
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

template <class T, std::endian Order>
constexpr T in_order(T value) {
  return Order == std::endian::native ? value : byte_swapped(value);
}

inline void check_room(std::size_t size, std::size_t offset, std::size_t count) {
  ASHLAR_CHECK(offset <= size && size - offset >= count, "{} bytes at {} of {}", count, offset,
               size);
}

template <class T, std::endian Order>
T load(ByteSpan bytes, std::size_t offset) {
  ASHLAR_CHECK(offset <= bytes.size() && bytes.size() - offset >= sizeof(T), "{} bytes at {} of {}",
               sizeof(T), offset, bytes.size());
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return in_order<T, Order>(value);
}

template <class T, std::endian Order>
void store(MutableByteSpan bytes, std::size_t offset, T value) {
  ASHLAR_CHECK(offset <= bytes.size() && bytes.size() - offset >= sizeof(T), "{} bytes at {} of {}",
               sizeof(T), offset, bytes.size());
  value = in_order<T, Order>(value);
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

}  // namespace detail

inline std::uint16_t load_le16(ByteSpan bytes, std::size_t offset = 0) {
  return detail::load<std::uint16_t, std::endian::little>(bytes, offset);
}
inline std::uint32_t load_le32(ByteSpan bytes, std::size_t offset = 0) {
  return detail::load<std::uint32_t, std::endian::little>(bytes, offset);
}
inline std::uint64_t load_le64(ByteSpan bytes, std::size_t offset = 0) {
  return detail::load<std::uint64_t, std::endian::little>(bytes, offset);
}
inline std::uint16_t load_be16(ByteSpan bytes, std::size_t offset = 0) {
  return detail::load<std::uint16_t, std::endian::big>(bytes, offset);
}
inline std::uint32_t load_be32(ByteSpan bytes, std::size_t offset = 0) {
  return detail::load<std::uint32_t, std::endian::big>(bytes, offset);
}
inline std::uint64_t load_be64(ByteSpan bytes, std::size_t offset = 0) {
  return detail::load<std::uint64_t, std::endian::big>(bytes, offset);
}
// Three bytes: lengths in iSCSI headers and in some SCSI commands.
inline std::uint32_t load_be24(ByteSpan bytes, std::size_t offset = 0) {
  detail::check_room(bytes.size(), offset, 3);
  return std::uint32_t{load_be16(bytes, offset)} << 8 |
         std::to_integer<std::uint32_t>(bytes[offset + 2]);
}

inline void store_le16(MutableByteSpan bytes, std::size_t offset, std::uint16_t value) {
  detail::store<std::uint16_t, std::endian::little>(bytes, offset, value);
}
inline void store_le32(MutableByteSpan bytes, std::size_t offset, std::uint32_t value) {
  detail::store<std::uint32_t, std::endian::little>(bytes, offset, value);
}
inline void store_le64(MutableByteSpan bytes, std::size_t offset, std::uint64_t value) {
  detail::store<std::uint64_t, std::endian::little>(bytes, offset, value);
}
inline void store_be16(MutableByteSpan bytes, std::size_t offset, std::uint16_t value) {
  detail::store<std::uint16_t, std::endian::big>(bytes, offset, value);
}
inline void store_be32(MutableByteSpan bytes, std::size_t offset, std::uint32_t value) {
  detail::store<std::uint32_t, std::endian::big>(bytes, offset, value);
}
inline void store_be64(MutableByteSpan bytes, std::size_t offset, std::uint64_t value) {
  detail::store<std::uint64_t, std::endian::big>(bytes, offset, value);
}
inline void store_be24(MutableByteSpan bytes, std::size_t offset, std::uint32_t value) {
  ASHLAR_CHECK(value < 1u << 24, "{} does not fit three bytes", value);
  detail::check_room(bytes.size(), offset, 3);
  store_be16(bytes, offset, static_cast<std::uint16_t>(value >> 8));
  bytes[offset + 2] = static_cast<std::byte>(value);
}

constexpr bool is_aligned(std::uint64_t value, std::uint64_t alignment) {
  ASHLAR_CHECK(std::has_single_bit(alignment), "{} is not a power of two", alignment);
  return (value & (alignment - 1)) == 0;
}
constexpr std::uint64_t align_down(std::uint64_t value, std::uint64_t alignment) {
  ASHLAR_CHECK(std::has_single_bit(alignment), "{} is not a power of two", alignment);
  return value & ~(alignment - 1);
}
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  std::uint64_t beyond = 0;
  ASHLAR_CHECK(!__builtin_add_overflow(value, alignment - 1, &beyond));
  return align_down(beyond, alignment);
}

constexpr bool is_aligned(ByteCount size, ByteCount alignment) {
  return is_aligned(size.value(), alignment.value());
}
constexpr ByteCount align_down(ByteCount size, ByteCount alignment) {
  return ByteCount(align_down(size.value(), alignment.value()));
}
constexpr ByteCount align_up(ByteCount size, ByteCount alignment) {
  return ByteCount(align_up(size.value(), alignment.value()));
}

constexpr bool is_aligned(LogPosition position, ByteCount alignment) {
  return is_aligned(position.value(), alignment.value());
}
constexpr LogPosition align_down(LogPosition position, ByteCount alignment) {
  return LogPosition(align_down(position.value(), alignment.value()));
}
constexpr LogPosition align_up(LogPosition position, ByteCount alignment) {
  return LogPosition(align_up(position.value(), alignment.value()));
}

// The span must outlive the reader and what it hands out.
class ByteReader {
 public:
  explicit ByteReader(ByteSpan bytes) : bytes_(bytes) {}

  std::uint8_t u8() { return number<std::uint8_t, &first_byte>(1); }
  std::uint16_t u16_be() { return number<std::uint16_t, &load_be16>(2); }
  std::uint32_t u24_be() { return number<std::uint32_t, &load_be24>(3); }
  std::uint32_t u32_be() { return number<std::uint32_t, &load_be32>(4); }
  std::uint64_t u64_be() { return number<std::uint64_t, &load_be64>(8); }
  std::uint16_t u16_le() { return number<std::uint16_t, &load_le16>(2); }
  std::uint32_t u32_le() { return number<std::uint32_t, &load_le32>(4); }
  std::uint64_t u64_le() { return number<std::uint64_t, &load_le64>(8); }

  // The next `count` bytes, or an empty span if there are fewer.
  ByteSpan bytes(std::uint64_t count) {
    if (failed_ || count > remaining()) {
      failed_ = true;
      return {};
    }
    const ByteSpan taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }
  void skip(std::uint64_t count) { (void)bytes(count); }

  // Marks the input as bad for a reason of the caller's, so that one question at the end serves.
  void fail() { failed_ = true; }

  bool failed() const { return failed_; }
  std::size_t position() const { return at_; }
  std::size_t remaining() const { return bytes_.size() - at_; }

 private:
  static std::uint8_t first_byte(ByteSpan bytes, std::size_t offset) {
    return std::to_integer<std::uint8_t>(bytes[offset]);
  }
  template <class T, T (*Load)(ByteSpan, std::size_t)>
  T number(std::size_t size) {
    const ByteSpan taken = bytes(size);
    return taken.empty() ? T{0} : Load(taken, 0);
  }

  ByteSpan bytes_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

// Writes into memory of a fixed size; what does not fit is not written at all, nor is anything
// after it.
class ByteWriter {
 public:
  explicit ByteWriter(MutableByteSpan bytes) : bytes_(bytes) {}

  void u8(std::uint8_t value) {
    const MutableByteSpan room = take(1);
    if (!room.empty()) room[0] = std::byte{value};
  }
  void u16_be(std::uint16_t value) { number<&store_be16>(2, value); }
  void u24_be(std::uint32_t value) { number<&store_be24>(3, value); }
  void u32_be(std::uint32_t value) { number<&store_be32>(4, value); }
  void u64_be(std::uint64_t value) { number<&store_be64>(8, value); }
  void u16_le(std::uint16_t value) { number<&store_le16>(2, value); }
  void u32_le(std::uint32_t value) { number<&store_le32>(4, value); }
  void u64_le(std::uint64_t value) { number<&store_le64>(8, value); }

  void bytes(ByteSpan source) {
    const MutableByteSpan room = take(source.size());
    // An empty span may have a null pointer, which memcpy must not be given.
    if (!room.empty()) std::memcpy(room.data(), source.data(), source.size());
  }
  void zeros(std::uint64_t count) {
    const MutableByteSpan room = take(count);
    if (!room.empty()) std::memset(room.data(), 0, room.size());
  }

  bool failed() const { return failed_; }
  std::size_t position() const { return at_; }
  std::size_t remaining() const { return bytes_.size() - at_; }
  // What has been written so far.
  MutableByteSpan written() const { return bytes_.first(at_); }

 private:
  MutableByteSpan take(std::uint64_t count) {
    if (failed_ || count > remaining()) {
      failed_ = true;
      return {};
    }
    const MutableByteSpan room = bytes_.subspan(at_, count);
    at_ += count;
    return room;
  }
  template <auto Store, class T>
  void number(std::size_t size, T value) {
    const MutableByteSpan room = take(size);
    if (!room.empty()) Store(room, 0, value);
  }

  MutableByteSpan bytes_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace ashlar
