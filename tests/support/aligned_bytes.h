// Memory for disk I/O in tests: aligned, zeroed, with a pattern to recognise.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>

#include "common/base/random.h"
#include "common/runtime/file.h"

namespace ashlar::test {

class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t size)
      : size_(size), bytes_(static_cast<std::byte*>(std::aligned_alloc(kDiskAlignment, size))) {
    std::memset(bytes_.get(), 0, size);
  }
  AlignedBytes(std::size_t size, std::uint64_t seed) : AlignedBytes(size) {
    Random(seed).fill(span());
  }

  std::size_t size() const { return size_; }
  MutableByteSpan span() { return {bytes_.get(), size_}; }
  ByteSpan span() const { return {bytes_.get(), size_}; }
  MutableByteSpan part(std::size_t offset, std::size_t size) {
    return span().subspan(offset, size);
  }

  bool is_zero() const {
    for (const std::byte byte : span()) {
      if (byte != std::byte{0}) return false;
    }
    return true;
  }
  friend bool operator==(const AlignedBytes& a, const AlignedBytes& b) {
    return a.size_ == b.size_ && std::memcmp(a.bytes_.get(), b.bytes_.get(), a.size_) == 0;
  }

 private:
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::size_t size_;
  std::unique_ptr<std::byte[], Free> bytes_;
};

}  // namespace ashlar::test
