// Text of login and text PDUs: a list of key=value pairs, each ended by a zero byte, that may be
// spread over several PDUs by the C bit (RFC 7143, 6.1).
//
//   TextAssembly text;                      // of one request, over as many PDUs as it takes
//   ASHLAR_TRY(text.add(data_segment));
//   if (!continues) { ASHLAR_TRY_ASSIGN(const KeyList keys, parse_keys(text.bytes())); … }
//
//   TextWriter reply;
//   reply.add("AuthMethod", "CHAP");
//   TextPieces pieces(std::move(reply).take());
//   pieces.next(8192)                       // what the next PDU carries; pieces.more(): with C bit
//
// Everything that comes in is bounded here: bytes of a request, pairs, lengths of names and values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace ashlar::iscsi {

inline constexpr std::size_t kMostTextBytes = 16 << 10;  // of one request, over all its PDUs
inline constexpr std::size_t kMostKeys = 128;
inline constexpr std::size_t kLongestKeyName = 63;  // 6.1, standard-label
// 6.1: 255 for most values; a challenge of CHAP has 1024 bytes in hexadecimal (12.1.3).
inline constexpr std::size_t kLongestValue = 2 + 2 * 1024;

struct TextKey {
  std::string_view name;
  std::string_view value;
};
using KeyList = std::vector<TextKey>;

// The names and values point into `text`. kInvalidArgument when a pair has no end, no "=", or no
// proper name, or when a bound is passed. Empty pairs (zero bytes in a row) are skipped: some
// initiators pad with them.
Result<KeyList> parse_keys(ByteSpan text);

class TextAssembly {
 public:
  // kResourceExhausted when the request becomes too long.
  Result<> add(ByteSpan piece);
  ByteSpan bytes() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  void clear() { bytes_.clear(); }

 private:
  std::vector<std::byte> bytes_;
};

class TextWriter {
 public:
  void add(std::string_view name, std::string_view value);
  void add_number(std::string_view name, std::uint64_t value);
  void add_bool(std::string_view name, bool value);
  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }
  std::string take() && { return std::move(text_); }

 private:
  std::string text_;
};

class TextPieces {
 public:
  TextPieces() = default;
  explicit TextPieces(std::string text) : text_(std::move(text)) {}

  // The next bytes, at most `limit`; they live as long as the text.
  std::string_view next(std::size_t limit) {
    const std::string_view piece = std::string_view(text_).substr(at_, limit);
    at_ += piece.size();
    return piece;
  }
  bool more() const { return at_ < text_.size(); }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

}  // namespace ashlar::iscsi
