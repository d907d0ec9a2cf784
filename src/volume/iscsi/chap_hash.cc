#include "volume/iscsi/chap_hash.h"

#include <memory>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "common/base/check.h"

namespace ashlar::iscsi {
namespace {

const EVP_MD* digest_of(ChapAlgorithm algorithm) {
  switch (algorithm) {
    case ChapAlgorithm::kMd5:
      return EVP_md5();
    case ChapAlgorithm::kSha1:
      return EVP_sha1();
    case ChapAlgorithm::kSha256:
      return EVP_sha256();
    case ChapAlgorithm::kSha3_256:
      return EVP_sha3_256();
  }
  ASHLAR_CHECK(false, "algorithm {}", static_cast<int>(algorithm));
}

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

}  // namespace

std::optional<ChapAlgorithm> chap_algorithm(std::uint64_t number) {
  if (number < 5 || number > 8) return std::nullopt;
  return static_cast<ChapAlgorithm>(number);
}

std::string_view to_string(ChapAlgorithm algorithm) {
  switch (algorithm) {
    case ChapAlgorithm::kMd5:
      return "MD5";
    case ChapAlgorithm::kSha1:
      return "SHA-1";
    case ChapAlgorithm::kSha256:
      return "SHA-256";
    case ChapAlgorithm::kSha3_256:
      return "SHA3-256";
  }
  return "unknown";
}

std::size_t chap_response_size(ChapAlgorithm algorithm) {
  switch (algorithm) {
    case ChapAlgorithm::kMd5:
      return 16;
    case ChapAlgorithm::kSha1:
      return 20;
    case ChapAlgorithm::kSha256:
    case ChapAlgorithm::kSha3_256:
      return 32;
  }
  ASHLAR_CHECK(false, "algorithm {}", static_cast<int>(algorithm));
}

bool ChapResponse::equals(ByteSpan guess) const {
  return guess.size() == size_ && CRYPTO_memcmp(guess.data(), bytes_.data(), size_) == 0;
}

std::optional<ChapResponse> chap_response(ChapAlgorithm algorithm, std::uint8_t identifier,
                                          std::string_view secret, ByteSpan challenge) {
  // The context holds the secret's last block; freeing it wipes it.
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  ChapResponse response;
  unsigned size = 0;
  static_assert(EVP_MAX_MD_SIZE >= kLongestChapResponse);
  if (context == nullptr || EVP_DigestInit_ex(context.get(), digest_of(algorithm), nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), &identifier, 1) != 1 ||
      EVP_DigestUpdate(context.get(), secret.data(), secret.size()) != 1 ||
      EVP_DigestUpdate(context.get(), challenge.data(), challenge.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(response.bytes_.data()),
                         &size) != 1) {
    return std::nullopt;
  }
  ASHLAR_CHECK(size == chap_response_size(algorithm), "{} bytes of {}", size, to_string(algorithm));
  response.size_ = size;
  return response;
}

}  // namespace ashlar::iscsi
