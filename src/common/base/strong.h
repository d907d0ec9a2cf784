// Integers that do not mix. An Ordinal names a place in a sequence (a log sequence number, an
// epoch, a block): two of them subtract to a plain count and a count moves one. A Quantity is an
// amount (bytes). Neither converts implicitly, and arithmetic that would overflow is a fatal check.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

#include <fmt/format.h>

#include "common/base/check.h"

namespace ashlar {

template <class Tag>
class Ordinal {
 public:
  constexpr Ordinal() = default;
  constexpr explicit Ordinal(std::uint64_t value) : value_(value) {}

  constexpr std::uint64_t value() const { return value_; }
  constexpr Ordinal next() const { return *this + 1; }

  constexpr Ordinal operator+(std::uint64_t count) const {
    std::uint64_t sum = 0;
    ASHLAR_CHECK(!__builtin_add_overflow(value_, count, &sum));
    return Ordinal(sum);
  }
  constexpr Ordinal operator-(std::uint64_t count) const {
    ASHLAR_CHECK(count <= value_);
    return Ordinal(value_ - count);
  }
  constexpr std::uint64_t operator-(Ordinal earlier) const {
    ASHLAR_CHECK(earlier.value_ <= value_);
    return value_ - earlier.value_;
  }
  constexpr Ordinal& operator+=(std::uint64_t count) { return *this = *this + count; }
  constexpr Ordinal& operator++() { return *this += 1; }

  friend constexpr auto operator<=>(Ordinal, Ordinal) = default;

 private:
  std::uint64_t value_ = 0;
};

template <class Tag>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(std::uint64_t value) : value_(value) {}

  constexpr std::uint64_t value() const { return value_; }

  constexpr Quantity operator+(Quantity other) const {
    std::uint64_t sum = 0;
    ASHLAR_CHECK(!__builtin_add_overflow(value_, other.value_, &sum));
    return Quantity(sum);
  }
  constexpr Quantity operator-(Quantity other) const {
    ASHLAR_CHECK(other.value_ <= value_);
    return Quantity(value_ - other.value_);
  }
  constexpr Quantity operator*(std::uint64_t factor) const {
    std::uint64_t product = 0;
    ASHLAR_CHECK(!__builtin_mul_overflow(value_, factor, &product));
    return Quantity(product);
  }
  // How many times `part` fits wholly.
  constexpr std::uint64_t operator/(Quantity part) const {
    ASHLAR_CHECK(part.value_ != 0);
    return value_ / part.value_;
  }
  constexpr Quantity operator%(Quantity part) const {
    ASHLAR_CHECK(part.value_ != 0);
    return Quantity(value_ % part.value_);
  }
  constexpr Quantity& operator+=(Quantity other) { return *this = *this + other; }
  constexpr Quantity& operator-=(Quantity other) { return *this = *this - other; }

  friend constexpr auto operator<=>(Quantity, Quantity) = default;

 private:
  std::uint64_t value_ = 0;
};

// A record's number in its volume; contiguous per volume, the first is 1 and 0 means "none yet".
using Lsn = Ordinal<struct LsnTag>;
// A byte position in a store's log; monotonic over the life of the log, never wraps with the ring.
using LogPosition = Ordinal<struct LogPositionTag>;
// The number of a volume config; +1 on every change of primary or in-sync set, never reused.
using Epoch = Ordinal<struct EpochTag>;
// A 4 KiB block of a volume, counted from 0.
using BlockIndex = Ordinal<struct BlockIndexTag>;
// An amount of bytes; parsed and printed in human units by common/base/units.h.
using ByteCount = Quantity<struct ByteCountTag>;

}  // namespace ashlar

template <class Tag>
struct std::hash<ashlar::Ordinal<Tag>> {
  std::size_t operator()(ashlar::Ordinal<Tag> ordinal) const noexcept {
    return std::hash<std::uint64_t>()(ordinal.value());
  }
};

template <class Tag>
struct fmt::formatter<ashlar::Ordinal<Tag>> : fmt::formatter<std::uint64_t> {
  template <class Context>
  auto format(ashlar::Ordinal<Tag> ordinal, Context& context) const {
    return fmt::formatter<std::uint64_t>::format(ordinal.value(), context);
  }
};
