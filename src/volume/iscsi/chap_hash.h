// The hash functions of CHAP by the numbers that IANA gave them (RFC 7143, 12.1.3; PPP
// Authentication Algorithms). libcrypto does the work, in chap_hash.cc and nowhere else.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "common/base/bytes.h"

namespace ashlar::iscsi {

enum class ChapAlgorithm : std::uint8_t {
  kMd5 = 5,
  kSha1 = 6,
  kSha256 = 7,
  kSha3_256 = 8,
};

std::optional<ChapAlgorithm> chap_algorithm(std::uint64_t number);
std::string_view to_string(ChapAlgorithm algorithm);
std::size_t chap_response_size(ChapAlgorithm algorithm);

inline constexpr std::size_t kLongestChapResponse = 32;

class ChapResponse {
 public:
  ByteSpan bytes() const { return ByteSpan(bytes_).first(size_); }
  // Takes the same time wherever they differ.
  bool equals(ByteSpan guess) const;

 private:
  friend std::optional<ChapResponse> chap_response(ChapAlgorithm, std::uint8_t, std::string_view,
                                                   ByteSpan);
  std::array<std::byte, kLongestChapResponse> bytes_{};
  std::size_t size_ = 0;
};

// The hash over identifier, secret and challenge (RFC 1994, 4.1). Nothing when this machine's
// libcrypto refuses the algorithm, as one in FIPS mode does with MD5.
std::optional<ChapResponse> chap_response(ChapAlgorithm algorithm, std::uint8_t identifier,
                                          std::string_view secret, ByteSpan challenge);

}  // namespace ashlar::iscsi
